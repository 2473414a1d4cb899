//! The packet file, as other tools and a second reader see it.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener, UdpSocket},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use pcap_file::pcapng::{
    Block, PcapNgReader,
    blocks::{
        interface_description::InterfaceDescriptionOption,
        interface_statistics::InterfaceStatisticsOption, section_header::SectionHeaderOption,
    },
};
use schema::Kind;

use super::{
    EBPFREC,
    live::Scenario,
    program::{Program, take_one},
    recording::{Finished, Recording},
    rows::only,
};

pub(crate) const ALL: &[Scenario] = &[
    ("every_packet_is_in_the_file", every_packet),
    ("packets_until_the_very_end_are_in_the_file", until_the_end),
    ("the_file_describes_interface_and_host", description),
    ("any_has_cooked_headers", any),
    ("packets_can_be_cut", snaplen),
    ("packets_and_events_have_one_clock", one_clock),
];

const DATAGRAMS: u32 = 500;

/// Runs `tshark -r` on the file and returns its lines; `None` where it is not installed.
fn tshark(finished: &Finished, args: &[&str]) -> Result<Option<Vec<String>>> {
    let file = finished.path("t.pcapng");
    let output = match Command::new("tshark").arg("-r").arg(file).args(args).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect()))
}

fn record(addr: &str, args: &[&str]) -> Result<(Recording, UdpSocket, SocketAddr)> {
    let server = UdpSocket::bind(addr)?;
    let remote = server.local_addr()?;
    let filter = format!("udp port {}", remote.port());
    let all = [&["--packets", "t.pcapng", "-f", &filter], args].concat();
    Ok((Recording::start(EBPFREC, &all)?, server, remote))
}

/// Number of packets and their captured bytes, read by a second implementation.
fn packets(finished: &Finished) -> Result<Vec<usize>> {
    let mut reader = PcapNgReader::new(File::open(finished.path("t.pcapng"))?)?;
    let mut lengths = vec![];
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block? {
            lengths.push(packet.data.len());
        }
    }
    Ok(lengths)
}

fn every_packet() -> Result<()> {
    let (recording, _server, remote) = record("127.0.0.1:0", &["-i", "lo"])?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..DATAGRAMS {
        client.send_to(&[7; 100], remote)?;
    }
    let finished = recording.finish()?;
    ensure!(packets(&finished)? == vec![142; DATAGRAMS as usize]);
    if let Some(lines) = tshark(&finished, &["-T", "fields", "-e", "udp.dstport"])? {
        ensure!(lines == vec![remote.port().to_string(); DATAGRAMS as usize]);
    }
    ensure!(finished.stderr.contains("lost     nothing"), "{}", finished.stderr);
    Ok(())
}

/// The kernel hands packets over in blocks: those of the last moment must be waited for.
fn until_the_end() -> Result<()> {
    for _ in 0..5 {
        let (recording, _server, remote) = record("127.0.0.1:0", &["-i", "lo"])?;
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.send_to(b"last words", remote)?;
        let finished = recording.finish()?;
        ensure!(packets(&finished)?.len() == 1);
    }
    Ok(())
}

fn description() -> Result<()> {
    let (recording, _server, remote) = record("127.0.0.1:0", &["-i", "lo", "-s", "200"])?;
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", remote)?;
    let finished = recording.finish()?;
    let mut reader = PcapNgReader::new(File::open(finished.path("t.pcapng"))?)?;
    let host = rustix::system::uname();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let nodename = host.nodename().to_str()?;
    let comment = format!("ebpfrec host={nodename} boot_id={}", boot_id.trim());
    let options = reader.section().options.clone();
    ensure!(options.contains(&SectionHeaderOption::Comment(comment.into())), "{options:?}");
    let application = concat!("ebpfrec ", env!("CARGO_PKG_VERSION"));
    ensure!(options.contains(&SectionHeaderOption::UserApplication(application.into())));
    let mut statistics = vec![];
    while let Some(block) = reader.next_block() {
        match block? {
            Block::InterfaceStatistics(block) => {
                let block = block.into_owned();
                statistics.push((block.timestamp, block.options));
            }
            Block::InterfaceDescription(block) => {
                use InterfaceDescriptionOption as Opt;
                ensure!(block.snaplen == 200);
                ensure!(block.options.contains(&Opt::IfName("lo".into())));
                ensure!(block.options.contains(&Opt::IfTsResol(9)));
                let filter = format!("\0udp port {}", remote.port());
                ensure!(block.options.contains(&Opt::IfFilter(filter.into_bytes().into())));
            }
            _ => {}
        }
    }
    let [(timestamp, options)] = &statistics[..] else {
        anyhow::bail!("{} statistics blocks", statistics.len());
    };
    use InterfaceStatisticsOption as Opt;
    // The loopback interface shows a packet twice, going out and coming in; libpcap takes one.
    let received = |option: &Opt<'_>| matches!(option, Opt::IsbIfRecv(1 | 2));
    ensure!(options.iter().any(received), "{options:?}");
    ensure!(options.contains(&Opt::IsbOsDrop(0)) && options.contains(&Opt::IsbUsrDeliv(1)));
    // Two words, the upper one first; this reader takes them for one number.
    let end_ns =
        if cfg!(target_endian = "little") { timestamp.rotate_left(32) } else { *timestamp };
    let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let age = now_ns.abs_diff(u128::from(end_ns));
    ensure!(age < 60_000_000_000, "the capture ended {age} ns ago");
    Ok(())
}

fn any() -> Result<()> {
    let (recording, _server, remote) = record("[::1]:0", &["-i", "any"])?;
    UdpSocket::bind("[::1]:0")?.send_to(b"x", remote)?;
    let finished = recording.finish()?;
    if let Some(lines) = tshark(&finished, &["-T", "fields", "-e", "frame.protocols"])? {
        ensure!(
            !lines.is_empty() && lines.iter().all(|line| line.starts_with("sll:")),
            "{lines:?}"
        );
    }
    ensure!(!packets(&finished)?.is_empty());
    Ok(())
}

fn snaplen() -> Result<()> {
    let (recording, _server, remote) = record("127.0.0.1:0", &["-i", "lo", "-s", "60"])?;
    UdpSocket::bind("127.0.0.1:0")?.send_to(&[1; 1000], remote)?;
    let finished = recording.finish()?;
    ensure!(packets(&finished)? == [60]);
    if let Some(lines) = tshark(&finished, &["-T", "fields", "-e", "frame.len"])? {
        ensure!(lines == ["1042"], "{lines:?}");
    }
    Ok(())
}

fn one_clock() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?.to_string();
    let filter = format!("tcp port {}", listener.local_addr()?.port());
    let recording = Recording::start(
        EBPFREC,
        &["--events", "ev.parquet", "--packets", "t.pcapng", "-i", "lo", "-f", &filter],
    )?;
    let client = Program::start(&["tcp-client", &addr, "1"])?;
    let pid = client.pid();
    take_one(&listener)?;
    client.finish()?;
    let finished = recording.finish()?;
    let (_, rows) = finished.events("ev.parquet")?;
    let connect = only(&rows, Kind::TcpConnect, pid)?;
    let mut reader = PcapNgReader::new(File::open(finished.path("t.pcapng"))?)?;
    let mut syn = None;
    while let Some(block) = reader.next_block() {
        if let (Block::EnhancedPacket(packet), None) = (block?, syn) {
            syn = Some(i64::try_from(packet.timestamp.as_nanos())?);
        }
    }
    let syn = syn.context("no packet was captured")?;
    // The event comes before the SYN leaves; a preempted CPU may take its time in between.
    ensure!((0..1_000_000_000).contains(&(syn - connect.ts)), "{syn} {}", connect.ts);
    Ok(())
}
