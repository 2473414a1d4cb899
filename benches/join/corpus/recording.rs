//! The event file: what the recorder would have seen of the flows, in order of time.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use schema::batch::{BatchBuilder, EventWriter};
use schema::kind::EventDirection;
use schema::meta::FileMeta;
use schema::{Event, Kind, Source};

use super::flow::{self, Flow};
use super::process::{self, Process};
use super::{BOOT_ID, HOST};

/// How long before the capture the recording begins, and how long after it it ends.
const AROUND_NS: u64 = 2_000_000_000;
/// What there was already is listed so long before the capture.
const LISTED_NS: u64 = 1_000_000_000;
/// From the row of a connect until its SYN is captured, or from a packet until its row.
const HOOK_NS: u64 = 20_000;
/// The clock of the wall less the time since the boot.
const BOOT_NS: u64 = 1_699_000_000_000_000_000;
const NETNS: u64 = 4_026_531_840;
/// Rows in a batch.
const BATCH: usize = 8192;

/// A moment in the life of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It was there when the recording began.
    Found,
    Begin,
    Established,
    Accepted,
    End,
}

/// A row of the event file, in short: there are millions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    ts: u64,
    flow: u32,
    end: u8,
    kind: Kind,
}

impl Row {
    /// What the client's (0) or server's (1) end has to say of this moment, if anything.
    pub(super) fn new(flow: &Flow, number: u64, what: What, end: usize, ns: u64) -> Option<Self> {
        let (kind, ts) = match (what, end, flow.is_tcp) {
            (What::Found, ..) => (Kind::Socket, ns - LISTED_NS),
            (What::Begin, 0, true) => (Kind::TcpConnect, ns - HOOK_NS),
            (What::Begin, 0, false) => (Kind::UdpConnect, ns - HOOK_NS),
            (What::Established, 0, true) => (Kind::TcpEstablished, ns + HOOK_NS),
            (What::Accepted, 1, true) => (Kind::TcpAccept, ns + HOOK_NS),
            (What::End, _, true) => (Kind::TcpClose, ns + HOOK_NS),
            (What::End, _, false) => (Kind::UdpClose, ns + HOOK_NS),
            _ => return None,
        };
        Some(Self { ts, flow: number as u32, end: end as u8, kind })
    }
}

/// Writes the event file; its rows.
pub(super) fn write(path: &Path, mut rows: Vec<Row>, named: u64, start: u64, end: u64) -> u64 {
    rows.sort_by_key(|row| row.ts);
    let processes = process::all();
    let mut writer = EventWriter::new(File::create(path).expect("events")).expect("writer");
    let mut builder = BatchBuilder::default();
    let mut seq = prelude(&mut builder, &processes, start - AROUND_NS);
    for row in rows {
        seq += 1;
        append(&mut builder, &processes, row, named, seq);
        if builder.len() >= BATCH {
            writer.write(&builder.finish()).expect("rows");
        }
    }
    writer.write(&builder.finish()).expect("rows");
    let rfc3339 = |ns: u64| {
        humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(ns)).to_string()
    };
    let meta = FileMeta {
        host: HOST.into(),
        boot_id: BOOT_ID.into(),
        start: rfc3339(start - AROUND_NS),
        end: rfc3339(end + AROUND_NS),
        complete: true,
        ..FileMeta::default()
    };
    writer.finish(&meta).expect("footer");
    seq
}

/// Clock, interface and listeners; how many rows these are.
fn prelude(builder: &mut BatchBuilder, processes: &[Process], ts: u64) -> u64 {
    let base = Event { ts: ts as i64, boot_ns: ts - BOOT_NS, host: HOST, ..Event::default() };
    builder.append(&Event {
        seq: 1,
        kind: Kind::Clock.as_str(),
        source: Source::Recorder.as_str(),
        mono_offset_ns: Some(BOOT_NS as i64),
        ..base
    });
    builder.append(&Event {
        seq: 2,
        kind: Kind::Interface.as_str(),
        source: Source::Recorder.as_str(),
        netns: Some(NETNS),
        ifname: Some("eth0"),
        ifindex: Some(2),
        local_addr: Some("10.0.0.1"),
        ..base
    });
    let mut seq = 2;
    for (port, process) in flow::LISTENERS {
        for wildcard in ["0.0.0.0", "::"] {
            seq += 1;
            builder.append(&Event {
                seq,
                kind: Kind::Socket.as_str(),
                source: Source::Snapshot.as_str(),
                proto: Some("tcp"),
                local_addr: Some(wildcard),
                local_port: Some(port),
                v6only: (wildcard == "::").then_some(true),
                socket_cookie: Some(seq),
                netns: Some(NETNS),
                ..owner(&processes[process], base)
            });
        }
    }
    seq
}

fn append(builder: &mut BatchBuilder, processes: &[Process], row: Row, named: u64, seq: u64) {
    let number = u64::from(row.flow);
    let flow = Flow::new(number, named);
    let end = usize::from(row.end);
    let ends = flow.recorded_ends(number);
    let (local, remote): (SocketAddr, SocketAddr) = (ends[end], ends[1 - end]);
    let (local_addr, remote_addr) = (local.ip().to_string(), remote.ip().to_string());
    let is_found = row.kind == Kind::Socket;
    let direction = if end == 0 { EventDirection::Out } else { EventDirection::In };
    let is_close = row.kind == Kind::TcpClose;
    let base = Event {
        ts: row.ts as i64,
        boot_ns: row.ts - BOOT_NS,
        host: HOST,
        kind: row.kind.as_str(),
        seq,
        source: if is_found { Source::Snapshot } else { Source::Probe }.as_str(),
        proto: Some(if flow.is_tcp { "tcp" } else { "udp" }),
        direction: (!is_found).then_some(direction.as_str()),
        local_addr: Some(&local_addr),
        local_port: Some(local.port()),
        remote_addr: Some(&remote_addr),
        remote_port: Some(remote.port()),
        socket_cookie: Some(1000 + number * 2 + end as u64),
        netns: Some(NETNS),
        latency_us: (row.kind == Kind::TcpEstablished).then_some(180 + row.flow % 5000),
        retransmits: is_close.then_some(row.flow % 3),
        // Made up, and so many that a packet's number is no evidence of what it belongs to.
        bytes_sent: is_close.then_some((1 << 24) + number % 100_000),
        bytes_received: is_close.then_some((1 << 24) + number % 70_000),
        srtt_us: is_close.then_some(170 + row.flow % 5000),
        ..Event::default()
    };
    builder.append(&owner(&processes[flow.processes[end]], base));
}

/// The event, with its process.
fn owner<'a>(process: &'a Process, event: Event<'a>) -> Event<'a> {
    let container = process.container.as_ref();
    Event {
        pid: Some(process.pid),
        tid: Some(process.pid),
        uid: Some(process.uid),
        gid: Some(process.uid),
        user: Some(process.user),
        comm: Some(process.comm),
        exe: Some(process.exe),
        cmdline: Some(&process.cmdline),
        start_ts: Some((BOOT_NS + u64::from(process.pid) * 10_000_000) as i64),
        ppid: Some(1),
        parent_uid: Some(0),
        parent_gid: Some(0),
        parent_comm: Some("systemd"),
        parent_exe: Some("/usr/lib/systemd/systemd"),
        cgroup_id: Some(u64::from(process.pid) + 5000),
        cgroup_path: Some(&process.cgroup),
        container_id: container.map(|container| container.id.as_str()),
        container_name: container.map(|container| container.name.as_str()),
        container_image: container.map(|container| container.image),
        container_runtime: container.map(|_| "containerd"),
        pod_name: container.map(|container| container.pod.as_str()),
        pod_namespace: container.map(|_| "default"),
        ..event
    }
}
