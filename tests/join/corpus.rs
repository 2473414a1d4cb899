//! Captures that others made, read where they lie: each is read to its end or its defect, and comes
//! out with every packet, block and option as it was, by our own comparison and by tshark's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::blocks::{read, read_legacy, stripped};
use crate::scene::scene;
use crate::tools::{corpus, ebpfjoin, tshark};

fn captures() -> Vec<PathBuf> {
    let Some(folder) = corpus() else {
        eprintln!("no conformance test: the captures of others are not beside the project");
        return vec![];
    };
    let entries = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains('~'));
    let mut captures: Vec<_> = entries.filter(named).collect();
    captures.sort();
    assert!(captures.len() > 40, "only {} captures", captures.len());
    captures
}

/// The enriched capture, or the error; `ebpfjoin` must not have panicked.
fn enriched(capture: &Path) -> Result<Vec<u8>, String> {
    let folder = scene();
    let path = capture.to_str().expect("text");
    let output = ebpfjoin(folder.path(), &[path, "ev.parquet", "-o", "out.pcapng", "--quiet"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{path}: {stderr}");
    assert!(!stderr.contains("panicked"), "{path}: {stderr}");
    fs::read(folder.path().join("out.pcapng")).map_err(|_| stderr)
}

/// The second record of this one is damaged, by which tshark takes it for another kind of pcap.
fn is_misread_by_tshark(capture: &Path) -> bool {
    capture.to_string_lossy().ends_with("bug-6875-01~fuzz.pcap")
}

fn is_pcapng(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a])
}

#[test]
fn nothing_but_annotations_is_added() {
    for capture in captures() {
        let input = fs::read(&capture).expect("capture");
        let output = match enriched(&capture) {
            Ok(output) => output,
            Err(error) => {
                // Refused on the first block, or a kind of pcap that is not read.
                let name = capture.to_string_lossy();
                let known = ["modified-format", "shb-option-too-long"];
                assert!(known.iter().any(|known| name.contains(known)), "{error}");
                continue;
            }
        };
        let (want, got) = if is_pcapng(&input) {
            (read(&input), stripped(read(&output)))
        } else {
            (read_legacy(&input), stripped(read(&output)).split_off(2))
        };
        assert_eq!(want, got, "{}", capture.display());
    }
}

#[test]
fn tshark_reads_the_same_packets() {
    let fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.protocols"];
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("out.pcapng");
    for capture in captures() {
        if is_misread_by_tshark(&capture) {
            continue;
        }
        let Ok(output) = enriched(&capture) else { continue };
        fs::write(&path, output).expect("written");
        let Some(before) = tshark(&capture, &fields) else { return };
        let after = tshark(&path, &fields).expect("tshark ran before");
        assert_eq!(before, after, "{}", capture.display());
    }
}

/// Whether TCP or UDP stands in the outermost IP packet, on a link that is looked into.
fn has_plain_ports(protocols: &str) -> bool {
    const LINKS: [&str; 8] =
        ["eth", "ethertype", "vlan", "ieee8021ad", "sll", "raw", "null", "loop"];
    let mut layers = protocols.split(':').skip_while(|layer| LINKS.contains(layer));
    // Extension headers are layers of their own.
    matches!(layers.next(), Some("ip" | "ipv6"))
        && layers
            .find(|layer| !layer.starts_with("ipv6."))
            .is_some_and(|layer| ["tcp", "udp"].contains(&layer))
}

/// The tuples that tshark sees, outermost first, against ours.
#[test]
fn tuples_are_those_of_tshark() {
    use joiner::chunk::{Item, Scanner};
    use joiner::decode::decode;
    use joiner::input::Pool;

    let fields = [
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
        "tcp.srcport",
        "tcp.dstport",
        "udp.srcport",
        "udp.dstport",
        "frame.protocols",
    ];
    let (mut compared, mut plain) = (0, 0);
    for capture in captures() {
        let file = fs::File::open(&capture).expect("capture");
        let Ok(mut scanner) = Scanner::new(file, Pool::default()) else { continue };
        if is_misread_by_tshark(&capture) {
            continue;
        }
        let Some(rows) = tshark(&capture, &fields) else { return };
        let mut rows = rows.into_iter();
        while let Some(chunk) = scanner.next_chunk().expect("read") {
            for item in chunk.items() {
                let decoded = match item {
                    Item::Block(packet, interface) => decode(interface.link, packet.data()),
                    Item::Record(record, link) => decode(link, record.data),
                    Item::Simple(_) | Item::Malformed(_) => {
                        rows.next();
                        continue;
                    }
                    Item::Other(_) => continue,
                };
                let Some(row) = rows.next() else { break };
                let packet = match decoded {
                    Ok(packet) => packet,
                    Err(why) => {
                        let protocols = &row[8];
                        assert!(
                            !has_plain_ports(protocols),
                            "{}: {why:?}: {protocols}",
                            capture.display()
                        );
                        continue;
                    }
                };
                plain += usize::from(has_plain_ports(&row[8]));
                let tuple = packet.tuple;
                // tshark has a value per layer; ours is the outermost, but of the packet that an ICMP
                // error quotes.
                let skipped =
                    usize::from(matches!(packet.origin, joiner::decode::Origin::Error { .. }));
                let layer = |at: usize, layer: usize| {
                    row[at].split(';').nth(layer).unwrap_or_default().to_owned()
                };
                let first = |at: usize| layer(at, 0);
                let address = |at: usize| layer(at, skipped);
                let is_v4 = tuple.src.is_v4();
                let (src, dst) =
                    if is_v4 { (address(0), address(1)) } else { (address(2), address(3)) };
                let place = format!("{}: {row:?}", capture.display());
                assert_eq!(src, tuple.src.ip().to_string(), "{place}");
                assert_eq!(dst, tuple.dst.ip().to_string(), "{place}");
                let ports = if tuple.proto == schema::Proto::TCP { 4 } else { 6 };
                // Where tshark follows something else than the transport's own ports it has none
                // (a datagram it takes for malformed).
                if !first(ports).is_empty() {
                    assert_eq!(first(ports), tuple.src.port().to_string(), "{place}");
                    assert_eq!(first(ports + 1), tuple.dst.port().to_string(), "{place}");
                    compared += 1;
                }
            }
        }
    }
    if corpus().is_some() {
        assert!(compared > 900, "only {compared} tuples were compared");
        assert!(plain > 900, "tshark's layers of only {plain} packets were understood");
    }
}
