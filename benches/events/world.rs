//! Seeded event files: a busy host with services in containers and programs outside, as `ebpfrec`
//! would write them, column by column. Connections to the world, from the world and between
//! containers, datagrams with and without a fixed peer, processes that come and go. The same seed
//! gives the same file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use schema::batch::{BatchBuilder, EventWriter};
use schema::community_id::community_id;
use schema::meta::FileMeta;
use schema::{Endpoint, Event, FiveTuple, Kind, Proto};

use crate::process::{Process, processes};

pub(crate) const START_NS: i64 = 1_700_000_000_000_000_000;
const BOOT_NS: i64 = 900_000_000_000_000;
/// Between the starts of two sockets: about a thousand a second.
const GAP_NS: i64 = 1_000_000;
/// Between two rows that tell of the clock.
const CLOCK_NS: i64 = 10_000_000_000;
/// Rows of a batch, as many as the recorder hands over at most.
const BATCH_ROWS: usize = 8192;
/// Addresses of the world.
const WORLD: u64 = 60_000;

/// A small generator of numbers (SplitMix64): nothing here needs a better one.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// A row that is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    time_ns: i64,
    /// Rows of one moment stay in order.
    order: u64,
    kind: Kind,
    is_out: bool,
    tuple: FiveTuple,
    cookie: u64,
    process: usize,
    latency_us: u32,
}

/// Writes about `rows` rows; rows, and sockets they tell of.
pub(crate) fn write(path: &Path, rows: u64) -> (u64, u64) {
    let mut world = World::new();
    let mut writer = EventWriter::new(File::create(path).expect("events")).expect("writer");
    let mut builder = BatchBuilder::default();
    let mut time_ns = START_NS;
    let mut next_clock = START_NS;
    while world.seq < rows {
        while world.due.peek().is_none_or(|Reverse(due)| due.time_ns >= time_ns) {
            world.open(time_ns);
            time_ns += world.random.below(2 * GAP_NS.unsigned_abs()) as i64;
        }
        let Some(Reverse(due)) = world.due.pop() else { break };
        if due.time_ns >= next_clock {
            world.tell_clock(due.time_ns, &mut builder);
            next_clock = due.time_ns + CLOCK_NS;
        }
        world.tell(&due, &mut builder);
        if builder.len() >= BATCH_ROWS {
            writer.write(&builder.finish()).expect("rows");
        }
    }
    writer.write(&builder.finish()).expect("rows");
    let meta = FileMeta {
        host: "bench".into(),
        boot_id: "11111111-2222-3333-4444-555555555555".into(),
        start: time_text(START_NS),
        end: time_text(time_ns),
        complete: true,
        ..FileMeta::default()
    };
    writer.finish(&meta).expect("footer");
    (world.seq, world.cookie)
}

fn time_text(time_ns: i64) -> String {
    let since = std::time::Duration::from_nanos(time_ns.unsigned_abs());
    humantime::format_rfc3339_nanos(std::time::UNIX_EPOCH + since).to_string()
}

struct World {
    random: Random,
    processes: Vec<Process>,
    due: BinaryHeap<Reverse<Due>>,
    order: u64,
    seq: u64,
    cookie: u64,
    port: u16,
    pid: u32,
}

impl World {
    fn new() -> Self {
        let mut random = Random(11);
        let processes = processes(&mut random);
        let (due, pid) = (BinaryHeap::new(), 100_000);
        Self { random, processes, due, order: 0, seq: 0, cookie: 0, port: 0, pid }
    }

    fn plan(&mut self, socket: Due, time_ns: i64, kind: Kind) {
        self.order += 1;
        self.due.push(Reverse(Due { time_ns, kind, order: self.order, ..socket }));
    }

    fn socket(&mut self, process: usize, is_out: bool, tuple: FiveTuple) -> Due {
        self.cookie += 1;
        let (time_ns, order, kind, latency_us) = (0, 0, Kind::TcpConnect, 0);
        Due { time_ns, order, kind, is_out, tuple, cookie: self.cookie, process, latency_us }
    }

    /// Somebody far away.
    fn stranger(&mut self, port: u16) -> Endpoint {
        let number = self.random.below(WORLD) as u32;
        if self.random.percent(10) {
            let [.., c, d] = number.to_be_bytes();
            let segments = [0x2001, 0xdb8, 7, u16::from(c), 0, 0, 0, u16::from(d)];
            return Endpoint::new(IpAddr::V6(Ipv6Addr::from(segments)), port);
        }
        let [_, b, c, d] = number.to_be_bytes();
        Endpoint::new(IpAddr::V4(Ipv4Addr::new(93 + b, c, d, 7)), port)
    }

    fn own(&mut self, process: usize, far: Endpoint, port: u16) -> Endpoint {
        let process = &self.processes[process];
        Endpoint::new(if far.is_v4() { process.v4 } else { process.v6 }, port)
    }

    fn own_port(&mut self) -> u16 {
        self.port = (self.port + 1) % 28_000;
        32_768 + self.port
    }

    /// One more socket, or two, and all their rows.
    fn open(&mut self, at: i64) {
        let mut process = self.random.below(self.processes.len() as u64) as usize;
        if self.cookie.is_multiple_of(200) {
            process = self.replace(process, at);
        }
        let ms = |random: &mut Random, most: u64| (1 + random.below(most)) as i64 * 1_000_000;
        let lasts = if self.random.percent(90) { 2_000 } else { 120_000 };
        let end = at + ms(&mut self.random, lasts);
        match self.random.below(100) {
            // To the world.
            0..40 => {
                let far = self.stranger(443);
                self.connect(process, far, at, end);
            }
            // From the world.
            40..65 => {
                let port = 10_000 + self.random.below(50_000) as u16;
                let far = self.stranger(port);
                self.accept(process, far, at, end);
            }
            // Between two of the host's.
            65..80 => {
                let server = self.random.below(self.processes.len() as u64) as usize;
                let far = Endpoint::new(self.processes[server].v4, 8080);
                let near = self.connect(process, far, at, end);
                self.accept(server, near, at + 40_000, end + 100_000);
            }
            // Nobody there.
            80..84 => {
                let far = self.stranger(25);
                let port = self.own_port();
                let tuple = FiveTuple::new(Proto::TCP, self.own(process, far, port), far);
                let socket = self.socket(process, true, tuple);
                self.plan(socket, at, Kind::TcpConnect);
                self.plan(socket, at + 3_000_000, Kind::TcpConnectFail);
            }
            // Questions to a name server, of sockets of their own.
            84..94 => {
                let far = Endpoint::v4([10, 0, 0, 53], 53);
                let port = self.own_port();
                let tuple = FiveTuple::new(Proto::UDP, self.own(process, far, port), far);
                let socket = self.socket(process, true, tuple);
                self.plan(socket, at, Kind::UdpConnect);
                self.plan(socket, at + 30_000_000, Kind::UdpClose);
            }
            // One socket and many peers.
            _ => {
                let port = self.own_port();
                let local = Endpoint::v4([0; 4], port);
                let socket = self.socket(process, true, FiveTuple::new(Proto::UDP, local, local));
                for nth in 0..3 {
                    let mut far = self.stranger(4789);
                    while !far.is_v4() {
                        far = self.stranger(4789);
                    }
                    let tuple = FiveTuple::new(Proto::UDP, self.own(process, far, port), far);
                    self.plan(Due { tuple, ..socket }, at + nth * 1_000_000, Kind::UdpSend);
                    self.plan(Due { tuple, ..socket }, at + nth * 1_000_000 + 1, Kind::UdpRecv);
                }
                self.plan(socket, end, Kind::UdpClose);
            }
        }
    }

    fn connect(&mut self, process: usize, far: Endpoint, at: i64, end: i64) -> Endpoint {
        let port = self.own_port();
        let near = self.own(process, far, port);
        let mut socket = self.socket(process, true, FiveTuple::new(Proto::TCP, near, far));
        self.plan(socket, at, Kind::TcpConnect);
        socket.latency_us = 50 + self.random.below(40_000) as u32;
        self.plan(socket, at + i64::from(socket.latency_us) * 1000, Kind::TcpEstablished);
        if self.random.percent(10) {
            self.plan(socket, at.midpoint(end), Kind::TcpRetransmit);
        }
        self.plan(socket, end.max(at + 50_000_000), Kind::TcpClose);
        near
    }

    fn accept(&mut self, process: usize, far: Endpoint, at: i64, end: i64) {
        let near = self.own(process, far, 8080);
        let socket = self.socket(process, false, FiveTuple::new(Proto::TCP, near, far));
        self.plan(socket, at, Kind::TcpAccept);
        self.plan(socket, at + 20_000, Kind::Owner);
        self.plan(socket, end, Kind::TcpClose);
    }

    /// A process ends and another one, of the same program, takes its place.
    fn replace(&mut self, process: usize, at: i64) -> usize {
        self.pid += 1;
        let of = &mut self.processes[process];
        (of.pid, of.start_ns) = (self.pid, at);
        of.cmdline = format!("{} --job {}", of.exe, self.pid);
        let local = Endpoint::v4([0; 4], 0);
        let socket = self.socket(process, true, FiveTuple::new(Proto::TCP, local, local));
        self.plan(socket, at, Kind::Exec);
        process
    }

    fn tell_clock(&mut self, time_ns: i64, builder: &mut BatchBuilder) {
        let event = Event {
            ts: time_ns,
            boot_ns: (time_ns - START_NS + BOOT_NS).unsigned_abs(),
            host: "bench",
            kind: Kind::Clock.as_str(),
            seq: self.seq,
            source: "recorder",
            mono_offset_ns: Some(START_NS - BOOT_NS),
            ..Event::default()
        };
        builder.append(&event);
        self.seq += 1;
    }

    /// The row of what is due.
    fn tell(&mut self, due: &Due, builder: &mut BatchBuilder) {
        let Due { time_ns, kind, tuple, cookie, .. } = *due;
        let [local, remote] = [tuple.src, tuple.dst].map(|end| end.ip().to_string());
        let flow = community_id(tuple);
        let mut event = Event {
            ts: time_ns,
            boot_ns: (time_ns - START_NS + BOOT_NS).unsigned_abs(),
            host: "bench",
            kind: kind.as_str(),
            seq: self.seq,
            source: "probe",
            ..Event::default()
        };
        let process = &self.processes[due.process];
        process.describe(&mut event);
        let is_of_socket = kind != Kind::Exec;
        if is_of_socket {
            event.proto = tuple.proto.name();
            event.socket_cookie = Some(cookie);
            event.netns_cookie = Some(process.netns_cookie);
            event.netns = Some(process.netns);
            event.direction = Some(if due.is_out { "out" } else { "in" });
            if tuple.src.port() != 0 {
                event.local_addr = Some(&local);
                event.local_port = Some(tuple.src.port());
            }
            // A socket without a fixed peer has none.
            if tuple.src != tuple.dst {
                event.remote_addr = Some(&remote);
                event.remote_port = Some(tuple.dst.port());
                event.community_id = flow.as_deref();
            }
        }
        match kind {
            Kind::TcpEstablished => event.latency_us = Some(due.latency_us),
            Kind::TcpConnectFail => event.error = Some("ECONNREFUSED"),
            Kind::TcpRetransmit => event.count = Some(1),
            Kind::UdpSend | Kind::UdpRecv => {
                event.count = Some(1 + cookie % 9);
                event.bytes_sent = (kind == Kind::UdpSend).then_some(cookie % 9000);
                event.bytes_received = (kind == Kind::UdpRecv).then_some(cookie % 9000);
            }
            Kind::TcpClose => {
                let random = self.random.next();
                event.retransmits = Some(u32::from(random.is_multiple_of(10)));
                event.segs_out = Some(4 + (random >> 8) as u32 % 500);
                event.segs_in = Some(4 + (random >> 16) as u32 % 900);
                event.bytes_sent = Some((random >> 24) % 100_000);
                event.bytes_received = Some((random >> 32) % 2_000_000);
                event.srtt_us = Some(40 + (random >> 40) as u32 % 30_000);
            }
            _ => {}
        }
        builder.append(&event);
        self.seq += 1;
    }
}
