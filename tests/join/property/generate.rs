//! Worlds made up from a seed. The generator knows who is at both ends of each packet; the recording
//! tells what the recorder would have seen, less what was lost.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use crate::reference::END_MS;
use crate::reference::world::{Load, Packet, Row, Tuple};

/// Namespaces: the host's, a container's behind it, two with one address.
const HOST: u64 = 1;
const BOX: u64 = 4;
const TWINS: [u64; 2] = [5, 6];
const HOST_ADDR: &str = "10.0.0.1";
const BOX_ADDR: &str = "172.17.0.2";
const TWIN_ADDR: &str = "10.1.0.1";
const FAR_ADDR: &str = "10.9.0.9";

/// Who may rightly be named at each end; nobody if it is empty.
type Truth = [Vec<String>; 2];

pub(super) struct World {
    pub(super) rows: Vec<Row>,
    pub(super) packets: Vec<Packet>,
    pub(super) truth: Vec<Truth>,
    random: Random,
    used: BTreeSet<i64>,
    cookies: u64,
    losses: Vec<i64>,
    /// Whether the capture is of what leaves the host, or of what leaves the container.
    is_outside: bool,
    /// Processes that listen.
    listeners: HashMap<SocketAddr, String>,
}

/// A generator by xorshift: the same worlds everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn range(&mut self, from: i64, to: i64) -> i64 {
        let span = u64::try_from(to - from).expect("a range");
        from + i64::try_from(self.next() % span).expect("small")
    }

    fn percent(&mut self, percent: i64) -> bool {
        self.range(0, 100) < percent
    }
}

/// One connection, or one conversation of datagrams.
struct Flow {
    /// As the ends know it.
    tuple: Tuple,
    /// As it is captured.
    seen: Tuple,
    /// Namespace of the interface that captures it.
    tap: u64,
    /// Namespace of either end, if it is on the machine.
    ends: [Option<u64>; 2],
}

fn addr(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse().expect("an address"), port)
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = Self {
            rows: vec![],
            packets: vec![],
            truth: vec![],
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            used: BTreeSet::new(),
            cookies: 0,
            losses: vec![],
            is_outside: false,
            listeners: HashMap::new(),
        };
        for _ in 0..8 {
            world.random.next();
        }
        world.fill();
        world
    }

    fn fill(&mut self) {
        let places =
            [(HOST, HOST_ADDR), (BOX, BOX_ADDR), (TWINS[0], TWIN_ADDR), (TWINS[1], TWIN_ADDR)];
        for (netns, address) in places {
            let ms = self.at(1);
            let more = "if=eth0 index=2".to_owned();
            let local = Some(addr(address, 0));
            self.rows.push(Row { local, ..row(ms, "interface", netns, more) });
        }
        self.is_outside = self.random.percent(70);
        if self.random.percent(40) {
            let ms = self.random.range(20_000, 80_000);
            self.losses.push(ms);
        }
        for (port, name) in [(80, "master"), (8080, "local")] {
            let local = addr(HOST_ADDR, port);
            let (cookie, ms) = (self.cookie(), self.at(2));
            let process = Some(name.to_owned());
            let local = Some(local);
            self.rows.push(Row {
                process,
                cookie,
                local,
                ..row(ms, "socket", HOST, String::new())
            });
            self.listeners.insert(addr(HOST_ADDR, port), name.to_owned());
        }
        for kind in 0..6 {
            if self.random.percent(40) {
                continue;
            }
            // One connection of a tuple after another.
            let mut now = self.random.range(-70_000, 60_000);
            for _ in 0..self.random.range(1, 6) {
                now = self.flow(kind, now);
                now += match self.random.range(0, 3) {
                    // A port is another socket's no sooner than clocks may differ, or nobody could
                    // tell whose a datagram is.
                    0 if kind == 4 => self.random.range(250, 500),
                    0 => self.random.range(5, 300),
                    1 => self.random.range(300, 8_000),
                    _ => self.random.range(8_000, 70_000),
                };
                if now > END_MS + 20_000 {
                    break;
                }
            }
        }
        for ms in self.losses.clone() {
            let ms = self.at(ms);
            let more = "error=ring count=1".to_owned();
            self.rows.push(row(ms, "lost", 0, more));
        }
        self.rows.sort_by_key(|row| row.ms);
        // A capture begins some time, and from then on it is whole.
        let begin = self.random.range(-90_000, 30_000);
        let is_in = |at: &usize| self.packets[*at].ms >= begin;
        let mut order: Vec<usize> = (0..self.packets.len()).filter(is_in).collect();
        order.sort_by_key(|&at| self.packets[at].ms);
        self.packets = order.iter().map(|&at| self.packets[at].clone()).collect();
        self.truth = order.iter().map(|&at| self.truth[at].clone()).collect();
    }

    /// A time that nothing else has, at `ms` or soon after.
    fn at(&mut self, ms: i64) -> i64 {
        let free = (ms..).find(|ms| !self.used.contains(ms)).expect("one");
        self.used.insert(free);
        free
    }

    fn cookie(&mut self) -> u64 {
        self.cookies += 1;
        self.cookies
    }

    /// A row, unless it was lost or not recorded.
    fn push(&mut self, row: Row) {
        let is_lost = self.losses.iter().any(|&loss| (loss - 900..loss).contains(&row.ms));
        if (0..=END_MS).contains(&row.ms) && !(is_lost && self.random.percent(60)) {
            self.rows.push(row);
        }
    }

    fn flow(&mut self, kind: i64, now: i64) -> i64 {
        let far = |port| addr(FAR_ADDR, port);
        let here = |port| addr(HOST_ADDR, port);
        let plain = |tuple: Tuple, tap, ends| Flow { tuple, seen: tuple, tap, ends };
        match kind {
            0 => self.tcp(&plain((here(4000), far(443)), HOST, [Some(HOST), None]), now),
            1 => self.tcp(&plain((far(5000), here(80)), HOST, [None, Some(HOST)]), now),
            2 => self.tcp(&plain((here(4100), here(8080)), HOST, [Some(HOST); 2]), now),
            3 => {
                let twin = TWINS[usize::from(self.random.percent(50))];
                let tuple = (addr(TWIN_ADDR, 4000), far(443));
                self.tcp(&plain(tuple, twin, [Some(twin), None]), now)
            }
            4 => self.udp(&plain((here(6000), far(53)), HOST, [Some(HOST), None]), now),
            _ => {
                let port = 7_000 + u16::from(self.random.percent(30));
                let onward = 20_000 + u16::from(self.random.percent(30));
                let tuple = (addr(BOX_ADDR, port), far(443));
                let seen = (here(onward), far(443));
                let tap = if self.is_outside { HOST } else { BOX };
                let captured = if self.is_outside { seen } else { tuple };
                let flow = Flow { tuple, seen: captured, tap, ends: [Some(BOX), None] };
                let late = self.random.range(1, 19);
                let ms = self.at(now + 3 + late);
                let (local, remote, onward) = (Some(tuple.0), Some(tuple.1), Some(seen));
                let more = format!("ct={}", self.cookie());
                self.push(Row { local, remote, onward, ..row(ms, "nat", HOST, more.clone()) });
                let end = self.tcp(&flow, now);
                if self.random.percent(50) {
                    let ms = self.at(end + 2);
                    let (local, remote) = (Some(tuple.0), Some(tuple.1));
                    self.push(Row { local, remote, ..row(ms, "nat_end", HOST, more) });
                }
                end
            }
        }
    }

    fn packet(&mut self, flow: &Flow, ms: i64, up: bool, load: Load, truth: &Truth) {
        let ms = self.at(ms);
        let (src, dst) = if up { flow.seen } else { (flow.seen.1, flow.seen.0) };
        self.packets.push(Packet { ms, src, dst, load, netns: flow.tap });
        let [client, server] = truth.clone();
        self.truth.push(if up { [client, server] } else { [server, client] });
    }

    fn socket(
        &mut self,
        flow: &Flow,
        side: usize,
        cookie: u64,
        ms: i64,
        kind: &'static str,
        who: &str,
    ) {
        let Some(netns) = flow.ends[side] else { return };
        let (client, server) = flow.tuple;
        let (local, remote) = if side == 0 { (client, server) } else { (server, client) };
        let ms = self.at(ms);
        // The first reader of a connection that a listener took.
        let is_udp = flow.tuple.1.port() == 53;
        let more = match kind {
            "owner" => "direction=in",
            "socket" if is_udp => "proto=udp",
            _ => "",
        };
        self.push(Row {
            process: Some(who.to_owned()),
            cookie,
            local: Some(local),
            remote: Some(remote),
            ..row(ms, kind, netns, more.to_owned())
        });
    }

    /// A connection from its SYN to its end; returns when the tuple is free.
    fn tcp(&mut self, flow: &Flow, now: i64) -> i64 {
        let number = self.random.range(1_000, 1_000_000) as u32;
        let answer = self.random.range(1_000, 1_000_000) as u32;
        let client = format!("client{}", self.random.range(0, 3));
        let listener = self.listeners.get(&flow.tuple.1).cloned();
        let worker = match (&listener, self.random.percent(50)) {
            (Some(_), true) => format!("worker{}", self.random.range(0, 2)),
            (Some(listener), false) => listener.clone(),
            (None, _) => String::new(),
        };
        let cookies = [self.cookie(), self.cookie()];
        let at = |side: usize, name: &str| match flow.ends[side] {
            Some(_) => vec![name.to_owned()],
            None => vec![],
        };
        let truth = [at(0, &client), at(1, &worker)];
        let mut handshake = truth.clone();
        if flow.ends[1].is_some() {
            handshake[1].extend(listener.clone());
        }
        self.socket(flow, 0, cookies[0], now, "tcp_connect", &client);
        let syn_ms = now + self.random.range(1, 4);
        self.packet(flow, syn_ms, true, Load::Tcp("S", number, 0), &handshake);
        let mut open_ms = syn_ms;
        if self.random.percent(15) {
            open_ms += 1_000;
            self.packet(flow, open_ms, true, Load::Tcp("S", number, 0), &handshake);
        }
        open_ms += 5;
        let load = Load::Tcp("S.", answer, number + 1);
        self.packet(flow, open_ms, false, load, &handshake);
        let load = Load::Tcp(".", number + 1, answer + 1);
        self.packet(flow, open_ms + 1, true, load, &truth);
        if let Some(listener) = &listener {
            self.socket(flow, 1, cookies[1], open_ms + 5, "tcp_accept", listener);
            if *listener != worker {
                self.socket(flow, 1, cookies[1], open_ms + 9, "owner", &worker);
            }
        }
        let mut ms = open_ms + 20;
        for _ in 0..self.random.range(0, 5) {
            let up = self.random.percent(50);
            let (seq, ack) = if up { (number, answer) } else { (answer, number) };
            let load = Load::Tcp("P.", seq.wrapping_add(20), ack.wrapping_add(20));
            self.packet(flow, ms, up, load, &truth);
            ms += match self.random.percent(80) {
                true => self.random.range(1, 400),
                false => self.random.range(400, 20_000),
            };
        }
        let end_ms = ms + 5;
        self.packet(flow, end_ms, true, Load::Tcp("F.", number + 30, answer + 30), &truth);
        for (side, opened_ms, who) in [(0, now, &client), (1, open_ms + 5, &worker)] {
            if opened_ms < 0 && end_ms > 20 && (side == 0 || listener.is_some()) {
                self.socket(flow, side, cookies[side], 4, "socket", who);
            }
        }
        let sides = if self.random.percent(50) { [0, 1] } else { [1, 0] };
        for (nth, side) in (0..).zip(sides) {
            let who = if side == 0 { &client } else { &worker };
            if side == 0 || listener.is_some() {
                self.socket(flow, side, cookies[side], end_ms + 4 + nth, "tcp_close", who);
            }
        }
        let mut last_ms = end_ms + 8;
        if self.random.percent(60) {
            last_ms += match self.random.percent(80) {
                true => self.random.range(1, 500),
                false => self.random.range(500, 58_000),
            };
            let up = self.random.percent(50);
            let (seq, ack) = if up { (number, answer) } else { (answer, number) };
            let load = Load::Tcp(".", seq.wrapping_add(31), ack.wrapping_add(31));
            self.packet(flow, last_ms, up, load, &truth);
        }
        last_ms
    }

    fn udp(&mut self, flow: &Flow, now: i64) -> i64 {
        let who = format!("asker{}", self.random.range(0, 3));
        let cookie = self.cookie();
        let truth = [vec![who.clone()], vec![]];
        self.socket(flow, 0, cookie, now, "udp_connect", &who);
        let mut ms = now + 1;
        for _ in 0..self.random.range(1, 4) {
            self.packet(flow, ms, true, Load::Udp, &truth);
            ms += self.random.range(1, 300);
            self.packet(flow, ms, false, Load::Udp, &truth);
            ms += self.random.range(1, 300);
        }
        if now < 0 && ms > 20 {
            self.socket(flow, 0, cookie, 4, "socket", &who);
        }
        self.socket(flow, 0, cookie, ms, "udp_close", &who);
        // An answer that comes too late finds nobody.
        if self.random.percent(30) {
            ms += self.random.range(2, 400);
            self.packet(flow, ms, false, Load::Udp, &[vec![], vec![]]);
        }
        ms + 1
    }
}

fn row(ms: i64, kind: &'static str, netns: u64, more: String) -> Row {
    let (process, local, remote, onward) = (None, None, None, None);
    Row { ms, kind, process, cookie: 0, netns, local, remote, onward, more }
}
