//! A world while it is made: everything that happens, told and untold. Only at the end is it decided
//! what the recording and the capture have of it.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use super::place::{self, Path};
use super::rng::Rng;
use super::world::{Interface, MS, Packet, Row, SECOND, Us, World};

/// A socket, whether the recording tells of it or not.
#[derive(Clone)]
pub(super) struct Sock {
    /// Its first row, with everything but process and time.
    pub(super) row: Row,
    pub(super) opened: Us,
    /// None if it outlives the world.
    pub(super) closed: Option<Us>,
    /// The process that holds it, and the one it is handed to.
    pub(super) holder: String,
    pub(super) handed: Option<(Us, String)>,
}

impl Sock {
    fn is_open(&self, at: Us) -> bool {
        self.opened < at && self.closed.is_none_or(|closed| at < closed)
    }

    fn holder(&self, at: Us) -> &str {
        match &self.handed {
            Some((from, to)) if *from <= at => to,
            _ => &self.holder,
        }
    }
}

/// Who listens on a port of a namespace, from when to when.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) ns: u64,
    pub(super) udp: bool,
    pub(super) port: u16,
    pub(super) who: String,
    pub(super) cookie: u64,
    pub(super) from: Us,
    pub(super) to: Us,
}

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) recorded: (Us, Us),
    pub(super) captured: (Us, Us),
    /// How many packets of a hundred the capture lacks, and how many SYNs.
    pub(super) missing: i64,
    pub(super) missing_syns: i64,
    pub(super) twins: bool,
    /// Rows are lost, and the recorder says so.
    pub(super) lossy: bool,
    /// After a loss, what is open is told again.
    pub(super) relisted: bool,
}

pub(super) struct Draft {
    pub(super) rng: Rng,
    pub(super) style: Style,
    pub(super) interfaces: Vec<Interface>,
    captured: Vec<bool>,
    pub(super) listeners: Vec<Listener>,
    /// When a translation of this client was last told of.
    pub(super) last_nat: BTreeMap<SocketAddrV4, Us>,
    rows: Vec<Row>,
    packets: Vec<Packet>,
    socks: Vec<Sock>,
    last_id: u64,
}

impl Draft {
    pub(super) fn new(mut rng: Rng, style: Style) -> Self {
        let interfaces = place::interfaces(&mut rng);
        let few = rng.percent(50);
        let captured = interfaces.iter().map(|_| !few || rng.percent(45)).collect();
        Self {
            rng,
            style,
            interfaces,
            captured,
            listeners: vec![],
            last_nat: BTreeMap::new(),
            rows: vec![],
            packets: vec![],
            socks: vec![],
            last_id: 0,
        }
    }

    pub(super) fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn process(&mut self, letter: char) -> String {
        format!("{letter}{}", self.id())
    }

    pub(super) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// A socket that was opened; its first row is told if the recording was on.
    pub(super) fn open(&mut self, sock: Sock) {
        self.rows.push(Row { at: sock.opened, who: sock.holder.clone(), ..sock.row.clone() });
        if let Some((at, to)) = &sock.handed {
            self.rows.push(Row { at: *at, kind: "owner", who: to.clone(), ..sock.row.clone() });
        }
        self.socks.push(sock);
    }

    /// Whether what happens at that time happens outside of the recording.
    pub(super) fn is_untold(&self, at: Us) -> bool {
        let (from, to) = self.style.recorded;
        at < from + 50 * MS || to < at
    }

    /// A packet, seen on every interface of its way that is captured.
    pub(super) fn send(&mut self, path: &Path, up: bool, packet: Packet) {
        let mut views = path.views.clone();
        if !up {
            views.reverse();
        }
        for (hop, (interface, ends)) in (0..).zip(views) {
            let (src, dst) = if up { ends } else { (ends.1, ends.0) };
            let at = packet.at + 2 * hop;
            let is_syn = packet.flags == "S";
            let missing = if is_syn { self.style.missing_syns } else { self.style.missing };
            let (from, to) = self.style.captured;
            let lacking = self.rng.percent(missing);
            if self.captured[interface] && !lacking && from <= at && at <= to {
                self.packets.push(Packet { at, src, dst, interface, ..packet.clone() });
            }
        }
    }

    /// A socket whose rows are written one by one.
    pub(super) fn keep(&mut self, sock: Sock) {
        self.socks.push(sock);
    }

    /// Those who listen there at that time.
    pub(super) fn listening(&self, udp: bool, ns: u64, port: u16, at: Us) -> Vec<Listener> {
        let there = self
            .listeners
            .iter()
            .filter(|there| (there.udp, there.ns, there.port) == (udp, ns, port));
        there.filter(|there| there.from < at && at < there.to).cloned().collect()
    }

    /// What a recorder and a capture make of it.
    pub(super) fn world(mut self, seed: u64) -> World {
        let (from, to) = self.style.recorded;
        // The snapshot follows the attaching of the hooks.
        let listed = from + self.rng.within(5 * MS, 50 * MS);
        let mut rows = std::mem::take(&mut self.rows);
        // So do the translations that were there already.
        let ended = |nat: &Row| {
            let is_end = |row: &Row| row.kind == "nat_end" && row.ct == nat.ct && row.at < listed;
            rows.iter().any(is_end)
        };
        let dumped = rows.iter().filter(|row| row.kind == "nat" && row.at < from && !ended(row));
        let mut dumped: Vec<_> = dumped.map(|row| Row { at: listed, ..row.clone() }).collect();
        rows.retain(|row| from <= row.at && row.at <= to);
        rows.append(&mut dumped);
        if self.style.lossy {
            self.lose(&mut rows);
        }
        for sock in self.socks.iter().filter(|sock| sock.opened < from && sock.is_open(listed)) {
            let mut row = snapshot(sock, listed);
            // It is listed by the name that the process has by then.
            let of = format!("of={}", row.who);
            let renames =
                |other: &Row| other.kind == "exec" && other.more == of && other.at < listed;
            if let Some(at) = rows.iter().position(renames) {
                row.who = rows.remove(at).who;
            }
            rows.push(row);
        }
        rows.extend(place::rows(&self.interfaces, from, self.style.twins));
        rows.sort_by_key(|row| row.at);
        let mut packets = self.packets;
        packets.sort_by_key(|packet| packet.at);
        World { seed, recorded: (from, to), interfaces: self.interfaces, rows, packets }
    }

    fn lose(&mut self, rows: &mut Vec<Row>) {
        let (from, to) = self.style.recorded;
        for _ in 0..self.rng.within(1, 4) {
            // What is lost lies in the second before the row that says so; within a crowd, to matter.
            let at = match rows.len() {
                0 => self.rng.within(from, to),
                many => {
                    let at = usize::try_from(self.rng.next() % many as u64).expect("small");
                    rows[at].at + self.rng.within(0, SECOND)
                }
            };
            if at > to {
                continue;
            }
            let mut translations = false;
            let mut lost = 0;
            let rng = &mut self.rng;
            rows.retain(|row| {
                // A socket that was handed over without a word is its first process's for all that
                // anybody can know, DESIGN included: these rows are spared.
                let is_spared = row.kind == "owner" && !row.more.contains("direction=in");
                let hit = (at - SECOND..=at).contains(&row.at)
                    && !matches!(row.kind, "lost" | "socket")
                    && !is_spared
                    && rng.percent(60);
                translations |= hit && row.kind.starts_with("nat");
                lost += i64::from(hit);
                !hit
            });
            if lost == 0 {
                continue;
            }
            let more = |stage: &str| format!("error={stage} count={lost}");
            rows.push(Row { more: more("ring"), ..Row::new(at, "lost") });
            if translations {
                rows.push(Row { more: more("conntrack"), ..Row::new(at, "lost") });
            }
            let again = at + self.rng.within(3 * SECOND, 10 * SECOND);
            if self.style.relisted && again <= to {
                let open = self.socks.iter().filter(|sock| sock.is_open(again));
                rows.extend(open.map(|sock| snapshot(sock, again)));
            }
        }
    }
}

fn snapshot(sock: &Sock, at: Us) -> Row {
    let who = sock.holder(at).to_owned();
    Row { at, kind: "socket", who, more: String::new(), ..sock.row.clone() }
}
