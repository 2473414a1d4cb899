//! `pipe/*`: a long capture through a pipe, made while it is read, into `ebpfjoin - EVENTS -o
//! /dev/null`: how much memory it takes, which must not depend on how long the capture is. The pipe is
//! kept in `TMPDIR` until it was read a second time: there must be room for all of it.
//!
//! `cargo bench -p joiner --bench pipe [-- GIGABYTES]`

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use schema::batch::{BatchBuilder, EventWriter};
use schema::meta::FileMeta;
use schema::{Event, Kind};

/// Of a capture, unless told otherwise: what the joiner is meant for.
const GIGABYTES: f64 = 20.0;
/// A capture whose length can't matter, gigabytes.
const SHORT: f64 = 0.001;
/// Connections, all of one host and open all the time.
const FLOWS: u32 = 100_000;
/// Captured lengths, in the mixture of the Internet: seven small ones to four and one.
const LENGTHS: [usize; 12] = [64, 64, 576, 64, 576, 64, 1500, 64, 576, 64, 576, 64];
const START_NS: u64 = 1_700_000_000_000_000_000;
/// Between two packets.
const GAP_NS: u64 = 1000;
/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of a packet block before the packet.
const BLOCK: usize = 28;

fn main() {
    let asked = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let gigabytes = asked.unwrap_or(GIGABYTES);
    let folder = tempfile::tempdir().expect("folder");
    write_events(&folder.path().join("events.parquet"));
    println!("pipe/imix: {FLOWS} connections, kept in {}", std::env::temp_dir().display());
    let short = run(folder.path(), SHORT);
    let long = run(folder.path(), gigabytes);
    println!(
        "  {:.1} MB of it with the length of the capture",
        (long.saturating_sub(short)) as f64 / 1000.0
    );
}

/// Joins a capture of so many gigabytes; the most memory that was resident, kB.
fn run(folder: &Path, gigabytes: f64) -> u64 {
    let begin = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"))
        .current_dir(folder)
        .args(["-", "events.parquet", "-o", "/dev/null", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ebpfjoin starts");
    let stdin = child.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || capture(stdin, (gigabytes * 1e9) as u64));
    let (summary, peak_kb) = watch(child);
    let (packets, bytes) = writer.join().expect("no panic").expect("all of it is read");
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(summary["packets"], packets);
    assert_eq!(summary["source"]["named"].as_u64().map(|named| named * 2), Some(packets));
    println!(
        "  {:>6.2} GB, {:>6.1} M packets, in {took:.1} s ({:.2} GB/s): {:.1} MB resident at most",
        bytes as f64 / 1e9,
        packets as f64 / 1e6,
        bytes as f64 / 1e9 / took,
        peak_kb as f64 / 1000.0,
    );
    peak_kb
}

/// Waits for the end of a join; what it says, and the most memory that was resident, kB.
fn watch(mut child: Child) -> (serde_json::Value, u64) {
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    let mut stdout = child.stdout.take().expect("a pipe");
    let ended = loop {
        // The kernel's own high-water mark: no peak is missed between two looks.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|mark| mark.trim().strip_suffix(" kB")?.parse().ok());
        peak_kb = peak_kb.max(mark.unwrap_or(0));
        if let Some(ended) = child.try_wait().expect("waited") {
            break ended;
        }
        thread::sleep(LOOK);
    };
    assert!(ended.success(), "ebpfjoin: {ended}");
    let mut text = String::new();
    stdout.read_to_string(&mut text).expect("read");
    (serde_json::from_str(&text).expect("a summary"), peak_kb)
}

/// Writes a capture of at least `length` bytes and whole rounds of packets; how many packets and bytes it
/// has.
fn capture(mut out: ChildStdin, length: u64) -> io::Result<(u64, u64)> {
    let begin: [u32; 7] = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28];
    let interface: [u32; 8] = [1, 32, 1, 0, 0x0001_0009, 9, 0, 32];
    let begin: Vec<u8> = begin.into_iter().chain(interface).flat_map(u32::to_le_bytes).collect();
    out.write_all(&begin)?;
    let (mut round, places) = packets();
    let (mut packets, mut bytes) = (0_u64, begin.len() as u64);
    while bytes < length {
        for &at in &places {
            // Up and down take turns, so that half of the senders are ours.
            let flow = (packets / 2 % u64::from(FLOWS)) as u32;
            set(&mut round[at..], START_NS + (1 + packets) * GAP_NS, flow, packets % 2 == 1);
            packets += 1;
        }
        out.write_all(&round)?;
        bytes += round.len() as u64;
    }
    Ok((packets, bytes))
}

/// Packet blocks of all lengths, a megabyte of them, and where each begins.
fn packets() -> (Vec<u8>, Vec<usize>) {
    let (mut round, mut places) = (vec![], vec![]);
    for length in LENGTHS.iter().cycle().take(3000) {
        places.push(round.len());
        let total = (BLOCK + length.next_multiple_of(4) + 4) as u32;
        let words = [6, total, 0, 0, 0, *length as u32, *length as u32];
        round.extend(words.into_iter().flat_map(u32::to_le_bytes));
        let mut data = vec![0; 12];
        data.extend([8, 0, 0x45, 0]);
        data.extend(((length - 14) as u16).to_be_bytes());
        data.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        data.resize(46, 0);
        data.extend([0x50, 16, 0xff, 0xff]);
        data.resize(length.next_multiple_of(4), 0xaa);
        round.extend(data);
        round.extend(total.to_le_bytes());
    }
    (round, places)
}

/// Makes a packet one of a flow.
fn set(block: &mut [u8], ns: u64, flow: u32, is_down: bool) {
    block[12..16].copy_from_slice(&((ns >> 32) as u32).to_le_bytes());
    block[16..20].copy_from_slice(&(ns as u32).to_le_bytes());
    let (far, port) = ends(flow);
    let (near, far) = ([10, 0, 0, 1], far.octets());
    let (near, far) = ((near, port), (far, 443_u16));
    let (src, dst) = if is_down { (far, near) } else { (near, far) };
    block[BLOCK + 26..BLOCK + 30].copy_from_slice(&src.0);
    block[BLOCK + 30..BLOCK + 34].copy_from_slice(&dst.0);
    block[BLOCK + 34..BLOCK + 36].copy_from_slice(&src.1.to_be_bytes());
    block[BLOCK + 36..BLOCK + 38].copy_from_slice(&dst.1.to_be_bytes());
}

/// Far address and local port of a flow.
fn ends(flow: u32) -> (std::net::Ipv4Addr, u16) {
    ((0x5d00_0000 + flow).into(), 20_000 + (flow % 40_000) as u16)
}

fn write_events(path: &Path) {
    let mut writer = EventWriter::new(File::create(path).expect("events")).expect("writer");
    let mut builder = BatchBuilder::default();
    for flow in 0..FLOWS {
        let (far, port) = ends(flow);
        let far = far.to_string();
        builder.append(&Event {
            ts: START_NS as i64,
            seq: u64::from(flow),
            host: "bench",
            kind: Kind::TcpConnect.as_str(),
            source: "probe",
            proto: Some("tcp"),
            direction: Some("out"),
            local_addr: Some("10.0.0.1"),
            local_port: Some(port),
            remote_addr: Some(&far),
            remote_port: Some(443),
            socket_cookie: Some(u64::from(flow) + 1),
            pid: Some(1000 + flow % 50),
            comm: Some("nginx"),
            exe: Some("/usr/sbin/nginx"),
            start_ts: Some(1),
            ..Event::default()
        });
    }
    writer.write(&builder.finish()).expect("rows");
    // Long enough for any capture.
    let meta = FileMeta {
        host: "bench".into(),
        start: "2023-11-14T22:13:20Z".into(),
        end: "2033-11-14T22:13:20Z".into(),
        complete: true,
        ..FileMeta::default()
    };
    writer.finish(&meta).expect("footer");
}
