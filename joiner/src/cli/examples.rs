//! What stands below the options in help texts and man pages.

pub(super) const JOIN: &str = "\
Examples:
  ebpfjoin trace.pcapng ev.parquet -o enriched.pcapng
  ebpfjoin trace.pcap host1.parquet host2.parquet -o enriched.pcapng --json
  ebpfjoin trace.pcapng ev.parquet -o enriched.pcapng --report report.html
  ssh web-1 tcpdump -w - -c 1000 | ebpfjoin - ev.parquet -o - | wireshark -k -i -
  ebpfjoin show enriched.pcapng
  ebpfjoin explain trace.pcapng ev.parquet --frame 17
  ebpfjoin wireshark --install

Exit codes:
  0  the whole capture was enriched
  1  an error; or the capture is cut, and what was whole of it was enriched
  2  wrong usage";

pub(super) const SHOW: &str = "\
Examples:
  ebpfjoin show enriched.pcapng -n 20
  ebpfjoin show enriched.pcapng --container web --port 5432
  ebpfjoin show enriched.pcapng --reason ambiguous --reason in-loss
  ebpfjoin show enriched.pcapng --json | jq -r 'select(.latency_us > 100000) | .src.comm'";

pub(super) const EXPLAIN: &str = "\
Examples:
  ebpfjoin explain trace.pcapng ev.parquet --frame 17
  ebpfjoin explain trace.pcapng recordings/ --frame 17 --clock-offset none";

pub(super) const WIRESHARK: &str = "\
Examples:
  ebpfjoin wireshark --install
  wireshark -C ebpf enriched.pcapng
  ebpfjoin wireshark --where --program /opt/wireshark/bin/tshark";
