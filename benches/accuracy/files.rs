//! The recording as Parquet, the packets as pcapng, as the recorder writes them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use schema::batch::{BatchBuilder, EventWriter};
use schema::kind::LossStage;
use schema::meta::FileMeta;
use schema::{Event, Kind, Proto, Source};

use crate::place::{BOOT_ID, HOST, INTERFACES, Interface};
use crate::recording::Recording;
use crate::world::{Extra, LENGTH_NS, Packet, Row, World};

/// When the recording begins, nanoseconds since 1970.
const START_NS: i64 = 1_700_000_000_000_000_000;
/// Rows in a batch.
const BATCH: usize = 8192;

/// A line of the event file.
enum Line<'a> {
    Interface(&'a Interface, Option<IpAddr>),
    Row(&'a Row),
    Exec(usize, i64),
    Lost(i64, u64),
}

impl Line<'_> {
    fn ts(&self) -> i64 {
        match self {
            Self::Interface(..) => 0,
            Self::Row(row) => row.ts,
            Self::Exec(_, ts) | Self::Lost(ts, _) => *ts,
        }
    }
}

/// Writes the event file.
pub(crate) fn write_events(path: &Path, world: &World, recording: &Recording) {
    let mut writer = EventWriter::new(File::create(path).expect("events")).expect("writer");
    let mut builder = BatchBuilder::default();
    let interfaces = INTERFACES.iter().flat_map(|interface| {
        let without = interface.addresses.is_empty().then_some(None);
        let addresses = interface.addresses.iter().copied().map(Some).chain(without);
        addresses.map(move |address| Line::Interface(interface, address))
    });
    let mut lines: Vec<Line<'_>> = interfaces.collect();
    lines.extend(recording.rows.iter().map(Line::Row));
    lines.extend(recording.losses.iter().map(|&(ts, count)| Line::Lost(ts, count)));
    let execs = world
        .cast
        .all
        .iter()
        .enumerate()
        .filter_map(|(id, process)| process.exec.as_ref().map(|&(ts, _)| Line::Exec(id, ts)));
    lines.extend(execs);
    lines.sort_by_key(Line::ts);
    for (seq, line) in (1..).zip(&lines) {
        append(&mut builder, world, line, seq);
        if builder.len() >= BATCH {
            writer.write(&builder.finish()).expect("rows");
        }
    }
    writer.write(&builder.finish()).expect("rows");
    writer.finish(&meta()).expect("footer");
}

fn meta() -> FileMeta {
    let rfc3339 = |ns: i64| {
        let since = Duration::from_nanos(ns.unsigned_abs());
        humantime::format_rfc3339_nanos(UNIX_EPOCH + since).to_string()
    };
    FileMeta {
        host: HOST.into(),
        boot_id: BOOT_ID.into(),
        start: rfc3339(START_NS),
        end: rfc3339(START_NS + LENGTH_NS),
        complete: true,
        ..FileMeta::default()
    }
}

fn append(builder: &mut BatchBuilder, world: &World, line: &Line<'_>, seq: u64) {
    let ts = START_NS + line.ts();
    let base = Event { ts, seq, host: HOST, ..Event::default() };
    match *line {
        Line::Interface(interface, address) => {
            let address = address.map(|address| address.to_string());
            builder.append(&Event {
                kind: Kind::Interface.as_str(),
                source: Source::Recorder.as_str(),
                netns: Some(interface.netns),
                ifname: Some(interface.name),
                ifindex: Some(interface.index),
                local_addr: address.as_deref(),
                container_name: interface.container,
                peer_netns: interface.peer.map(|(netns, _)| netns),
                peer_ifindex: interface.peer.map(|(_, index)| index),
                ..base
            });
        }
        Line::Lost(_, count) => builder.append(&Event {
            kind: Kind::Lost.as_str(),
            source: Source::Recorder.as_str(),
            error: Some(LossStage::Ring.as_str()),
            count: Some(count),
            ..base
        }),
        Line::Exec(id, at) => {
            let process = &world.cast.all[id];
            let name = process.name(at);
            builder.append(&Event {
                kind: Kind::Exec.as_str(),
                source: Source::Probe.as_str(),
                pid: Some(name.pid),
                comm: Some(&name.comm),
                start_ts: Some(START_NS + process.start_ns),
                ..base
            });
        }
        Line::Row(row) => append_row(builder, world, row, base),
    }
}

fn append_row(builder: &mut BatchBuilder, world: &World, row: &Row, base: Event<'_>) {
    let source = match row.kind {
        Kind::Nat | Kind::NatEnd => Source::Conntrack,
        Kind::Socket => Source::Snapshot,
        _ => Source::Probe,
    };
    let process = row.who.map(|who| &world.cast.all[who.0]);
    let name = process.map(|process| process.name(row.ts));
    let text = |end: Option<SocketAddr>| end.map(|end| end.ip().to_string());
    let (local, remote) = (text(Some(row.local)), text(row.remote));
    let (onward_src, onward_dst) = match row.extra {
        Extra::Onward { src, dst, .. } => (Some(src), Some(dst)),
        _ => (None, None),
    };
    let ct_id = match row.extra {
        Extra::Onward { id, .. } => Some(id),
        _ => None,
    };
    let (nat_src, nat_dst) = (text(onward_src), text(onward_dst));
    let bytes = match row.extra {
        Extra::Bytes(sent, received) => Some((sent, received)),
        _ => None,
    };
    let peer_cookie = match row.extra {
        Extra::Peer(life) => Some(life.0 as u64 + 1),
        _ => None,
    };
    builder.append(&Event {
        kind: row.kind.as_str(),
        source: source.as_str(),
        proto: row.proto.name(),
        direction: row.direction,
        local_addr: local.as_deref(),
        local_port: Some(row.local.port()),
        remote_addr: remote.as_deref(),
        remote_port: row.remote.map(|end| end.port()),
        socket_cookie: row.life.map(|life| life.0 as u64 + 1),
        peer_cookie,
        netns: Some(row.netns),
        pid: name.as_ref().map(|name| name.pid),
        tid: name.as_ref().map(|name| name.pid),
        comm: name.as_ref().map(|name| name.comm.as_str()),
        exe: process.and_then(|process| process.cmdline.as_ref()).map(|_| "/usr/bin/docker-proxy"),
        cmdline: process.and_then(|process| process.cmdline.as_deref()),
        start_ts: process.map(|process| START_NS + process.start_ns),
        bytes_sent: bytes.map(|(sent, _)| sent),
        bytes_received: bytes.map(|(_, received)| received),
        ct_id,
        nat_src_addr: nat_src.as_deref(),
        nat_src_port: onward_src.map(|end| end.port()),
        nat_dst_addr: nat_dst.as_deref(),
        nat_dst_port: onward_dst.map(|end| end.port()),
        ..base
    });
}

/// Writes the capture: raw IP packets of every interface.
pub(crate) fn write_capture(path: &Path, packets: &[Packet]) {
    let mut out = BufWriter::new(File::create(path).expect("capture"));
    let comment = format!("ebpfrec host={HOST} boot_id={BOOT_ID}");
    let mut section: Vec<u8> =
        [0x1a2b_3c4d_u32, 1, u32::MAX, u32::MAX].map(u32::to_le_bytes).concat();
    section.extend(options(&[(1, comment.as_bytes())]));
    out.write_all(&block(0x0a0d_0d0a, &section)).expect("section");
    for interface in INTERFACES {
        let comment = format!("ebpfrec netns={} ifindex={}", interface.netns, interface.index);
        let mut body: Vec<u8> = [101_u32, 0].map(u32::to_le_bytes).concat();
        // Nanoseconds.
        let tags = [(1, comment.as_bytes()), (2, interface.name.as_bytes()), (9, &[9])];
        body.extend(options(&tags));
        out.write_all(&block(1, &body)).expect("interface");
    }
    for packet in packets {
        let data = datagram(packet);
        let ns = (START_NS + packet.ns).unsigned_abs();
        let length = data.len() as u32;
        let header = [packet.interface as u32, (ns >> 32) as u32, ns as u32, length, length];
        let mut body = header.map(u32::to_le_bytes).concat();
        body.extend(&data);
        out.write_all(&block(6, &body)).expect("packet");
    }
    out.flush().expect("flushed");
}

fn options(tags: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![];
    for (code, value) in tags {
        bytes.extend(code.to_le_bytes());
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes.extend([0; 4]);
    bytes
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let total = (padded as u32 + 12).to_le_bytes();
    let mut bytes = [kind.to_le_bytes(), total].concat();
    bytes.extend(body);
    bytes.resize(8 + padded, 0);
    bytes.extend(total);
    bytes
}

/// An IP packet.
fn datagram(packet: &Packet) -> Vec<u8> {
    let mut segment = [packet.src.port().to_be_bytes(), packet.dst.port().to_be_bytes()].concat();
    if packet.proto == Proto::TCP {
        segment.extend(packet.seq.to_be_bytes());
        segment.extend(packet.ack.to_be_bytes());
        segment.extend([0x50, packet.flags, 0xff, 0xff, 0, 0, 0, 0]);
    } else {
        segment.extend((8 + packet.length as u16).to_be_bytes());
        segment.extend([0, 0]);
    }
    segment.resize(segment.len() + packet.length, b'x');
    let mut bytes;
    match (packet.src.ip(), packet.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            bytes = vec![0x45, 0];
            bytes.extend((20 + segment.len() as u16).to_be_bytes());
            bytes.extend([0, 1, 0x40, 0, 64, packet.proto.0, 0, 0]);
            bytes.extend(src.octets());
            bytes.extend(dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            bytes = vec![0x60, 0, 0, 0];
            bytes.extend((segment.len() as u16).to_be_bytes());
            bytes.extend([packet.proto.0, 64]);
            bytes.extend(src.octets());
            bytes.extend(dst.octets());
        }
        _ => unreachable!("both ends are of one family"),
    }
    bytes.extend(segment);
    bytes
}
