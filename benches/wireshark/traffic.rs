//! Seeded traffic: a host's processes talk TCP with the rest of the world, 20 packets and more a
//! flow, and the events say so. The same seed gives the same files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use schema::batch::{BatchBuilder, EventWriter};
use schema::meta::FileMeta;
use schema::{Event, Kind};

/// Captured lengths of the packets, and how many packets a flow has.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    lengths: &'static [usize],
    flow: usize,
}

pub(crate) const SHAPES: &[Shape] = &[
    Shape { name: "imix", lengths: &[64, 576, 1500], flow: 20 },
    Shape { name: "small", lengths: &[60, 66, 90], flow: 20 },
];

const START_NS: u64 = 1_700_000_000_000_000_000;
/// Between two packets of the capture.
const GAP_NS: u64 = 1000;
/// Flows that go on at the same time: their packets take turns.
const AT_ONCE: usize = 1000;
const PROCESSES: usize = 50;

/// A small generator of numbers (SplitMix64): nothing here needs a better one.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Writes `capture.pcapng` and `events.parquet`; bytes of the capture.
pub(crate) fn write(folder: &Path, shape: &Shape, packets: usize) -> u64 {
    let path = folder.join("capture.pcapng");
    let mut out = BufWriter::new(File::create(&path).expect("capture"));
    out.write_all(&prelude()).expect("prelude");
    let mut random = Random(7);
    let flows = packets.div_ceil(shape.flow);
    for n in 0..packets {
        // Groups of flows, one after the other; within a group, turn by turn.
        let group = n / (AT_ONCE * shape.flow);
        let flow = (group * AT_ONCE + n % AT_ONCE).min(flows - 1);
        let turn = n % (AT_ONCE * shape.flow) / AT_ONCE;
        let length = shape.lengths[random.below(shape.lengths.len())];
        let time = START_NS + n as u64 * GAP_NS;
        out.write_all(&packet(flow, turn, length, time)).expect("packet");
    }
    out.flush().expect("flushed");
    write_events(&folder.join("events.parquet"), flows, packets);
    std::fs::metadata(path).expect("capture").len()
}

fn prelude() -> Vec<u8> {
    let words: [u32; 7] = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28];
    let interface: [u32; 8] = [1, 32, 1, 0, 0x0001_0009, 9, 0, 32];
    words.into_iter().chain(interface).flat_map(u32::to_le_bytes).collect()
}

/// Far address and local port of a flow.
fn ends(flow: usize) -> ([u8; 4], u16) {
    let [.., b, c, d] = (flow as u32).to_be_bytes();
    ([93, b, c, d], 20_000 + (flow % 40_000) as u16)
}

fn packet(flow: usize, turn: usize, length: usize, ns: u64) -> Vec<u8> {
    let (far, port) = ends(flow);
    let near = ([10, 0, 0, 1], port);
    let far = (far, 443);
    let (src, dst) = if turn.is_multiple_of(2) { (near, far) } else { (far, near) };
    let flags = if turn == 0 { 2 } else { 16 };
    let mut data = vec![0; 12];
    data.extend([8, 0, 0x45, 0]);
    data.extend(((length - 14) as u16).to_be_bytes());
    data.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    data.extend(src.0);
    data.extend(dst.0);
    data.extend(src.1.to_be_bytes());
    data.extend(dst.1.to_be_bytes());
    data.extend((turn as u32).to_be_bytes());
    data.extend([0, 0, 0, 0, 0x50, flags]);
    data.resize(length, 0xaa);
    let padded = length.next_multiple_of(4);
    let total = (32 + padded) as u32;
    let (high, low) = ((ns >> 32) as u32, ns as u32);
    let header = [6, total, 0, high, low, length as u32, length as u32];
    let mut block: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
    block.extend(data);
    block.resize(28 + padded, 0);
    block.extend(total.to_le_bytes());
    block
}

fn write_events(path: &Path, flows: usize, packets: usize) {
    let file = File::create(path).expect("events");
    let mut writer = EventWriter::new(file).expect("writer");
    let mut builder = BatchBuilder::default();
    let last = START_NS + packets as u64 * GAP_NS;
    for flow in 0..flows {
        let (far, port) = ends(flow);
        let far = std::net::Ipv4Addr::from(far).to_string();
        let process = flow % PROCESSES;
        let (comm, exe) = [
            ("nginx", "/usr/sbin/nginx"),
            ("postgres", "/usr/lib/postgresql/15/bin/postgres"),
            ("curl", "/usr/bin/curl"),
        ][process % 3];
        let event = Event {
            host: "bench",
            source: "probe",
            proto: Some("tcp"),
            direction: Some("out"),
            local_addr: Some("10.0.0.1"),
            local_port: Some(port),
            remote_addr: Some(&far),
            remote_port: Some(443),
            socket_cookie: Some(flow as u64 + 1),
            pid: Some(1000 + process as u32),
            tid: Some(1000 + process as u32),
            uid: Some(1000),
            gid: Some(1000),
            user: Some("ana"),
            comm: Some(comm),
            exe: Some(exe),
            cmdline: Some(exe),
            start_ts: Some(1),
            ppid: Some(1),
            parent_comm: Some("systemd"),
            parent_exe: Some("/usr/lib/systemd/systemd"),
            ..Event::default()
        };
        let opened = START_NS + (flow / AT_ONCE * AT_ONCE * 20) as u64 * GAP_NS;
        let rows = [(Kind::TcpConnect, opened), (Kind::TcpClose, last)];
        for (row, (kind, ts)) in (1..).zip(rows) {
            let seq = flow as u64 * 2 + row;
            builder.append(&Event { ts: ts as i64, kind: kind.as_str(), seq, ..event });
        }
        if builder.len() >= 8192 {
            writer.write(&builder.finish()).expect("rows");
        }
    }
    writer.write(&builder.finish()).expect("rows");
    writer.finish(&FileMeta { host: "bench".into(), ..FileMeta::default() }).expect("footer");
}
