//! tshark's reading of an enriched capture, with our plugin.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::join::Joined;

/// One packet, as tshark dissects it and our plugin reads its comment. A field that the packet
/// does not have is empty.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) is_syn: bool,
    pub(crate) src_pid: Option<u32>,
    pub(crate) dst_pid: Option<u32>,
    pub(crate) src_comm: String,
    pub(crate) src_match: String,
    pub(crate) dst_match: String,
    pub(crate) dst_none: String,
    pub(crate) event: String,
    pub(crate) comment: String,
}

const FIELDS: &[&str] = &[
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "tcp.flags.syn",
    "tcp.flags.ack",
    "ebpf.src.pid",
    "ebpf.dst.pid",
    "ebpf.src.comm",
    "ebpf.src.match",
    "ebpf.dst.match",
    "ebpf.dst.none",
    "ebpf.event",
    "frame.comment",
];

/// Runs tshark with our plugin on the enriched capture; its standard output.
pub(crate) fn tshark(joined: &Joined, args: &[&str]) -> Result<String> {
    let plugin: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wireshark/ebpf.lua");
    let output = Command::new("tshark")
        .arg("-X")
        .arg(format!("lua_script:{}", plugin.display()))
        .arg("-r")
        .arg(joined.path("enriched.pcapng"))
        .args(args)
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tshark {args:?} failed: {stderr}");
    ensure!(!stderr.contains("Lua"), "the plugin complains: {stderr}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Every TCP and UDP packet of the capture.
pub(crate) fn packets(joined: &Joined) -> Result<Vec<Packet>> {
    let mut args = vec!["-T", "fields", "-Y", "tcp or udp"];
    for field in FIELDS {
        args.extend(["-e", field]);
    }
    let text = tshark(joined, &args)?;
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Result<Packet> {
    let cells: Vec<&str> = line.split('\t').collect();
    let cell = |name: &str| {
        let column = FIELDS.iter().position(|field| *field == name);
        column.and_then(|column| cells.get(column).copied()).unwrap_or_default()
    };
    let port = |tcp: &str, udp: &str| {
        let text = if cell(tcp).is_empty() { cell(udp) } else { cell(tcp) };
        text.parse().with_context(|| format!("no port in `{line}`"))
    };
    Ok(Packet {
        src_port: port("tcp.srcport", "udp.srcport")?,
        dst_port: port("tcp.dstport", "udp.dstport")?,
        is_syn: cell("tcp.flags.syn") == "1" && cell("tcp.flags.ack") == "0",
        src_pid: cell("ebpf.src.pid").parse().ok(),
        dst_pid: cell("ebpf.dst.pid").parse().ok(),
        src_comm: cell("ebpf.src.comm").to_owned(),
        src_match: cell("ebpf.src.match").to_owned(),
        dst_match: cell("ebpf.dst.match").to_owned(),
        dst_none: cell("ebpf.dst.none").to_owned(),
        event: cell("ebpf.event").to_owned(),
        comment: cell("frame.comment").to_owned(),
    })
}
