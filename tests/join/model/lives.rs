//! What the rows of a recording say, as DESIGN §4 means them: lives of sockets, who holds them,
//! translations, addresses, losses.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use super::place::Ends;
use super::world::{Row, SECOND, Us, World};

/// "A `socket_cookie` from its first row to its close."
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) ns: u64,
    pub(super) udp: bool,
    pub(super) local: SocketAddrV4,
    pub(super) remote: Option<SocketAddrV4>,
    /// Others it is known to have exchanged datagrams with, and from when on.
    pub(super) peers: Vec<(Us, SocketAddrV4)>,
    pub(super) first: Us,
    pub(super) first_kind: &'static str,
    pub(super) close: Option<Us>,
    rows: Vec<Row>,
}

impl Life {
    /// The process that holds it at `at`: "refined by later rows". Several where DESIGN leaves it open.
    fn holders(&self, at: Us) -> Vec<&str> {
        let named = || self.rows.iter().filter(|row| row.who != "-");
        let for_all = |row: &&Row| row.kind == "owner" && row.more.contains("direction=in");
        if let Some(row) = named().rfind(for_all) {
            return vec![&row.who];
        }
        // One that is handed over is the new process's from the row on, and no earlier.
        let first = named().next().filter(|row| row.kind != "owner");
        let until_then = named().rfind(|row| row.at <= at);
        let mut holders: Vec<_> = until_then.or(first).map(|row| &*row.who).into_iter().collect();
        if self.first_kind == "tcp_accept" {
            // Open point: a later listing of an accepted socket tells who took it over, not when.
            holders.extend(named().filter(|row| row.kind == "socket").map(|row| &*row.who));
        }
        holders
    }

    /// Whether it was there at `at`, after its first row.
    pub(super) fn was_open(&self, at: Us) -> bool {
        self.first < at && self.close.is_none_or(|close| at <= close)
    }

    /// Accepted, and no row told of a better owner than the listener's.
    pub(super) fn is_inherited(&self) -> bool {
        let better = |row: &Row| matches!(row.kind, "owner" | "socket");
        self.first_kind == "tcp_accept" && !self.rows.iter().any(better)
    }

    /// Whether a row says that it was still there at `at` or later.
    pub(super) fn seen_from(&self, at: Us) -> bool {
        self.rows.iter().any(|row| row.at >= at)
    }

    /// When a row told that it was established.
    pub(super) fn established(&self) -> Option<Us> {
        self.rows.iter().find(|row| row.kind == "tcp_established").map(|row| row.at)
    }

    /// The last row up to `at`.
    pub(super) fn last_row(&self, at: Us) -> Us {
        self.rows.iter().map(|row| row.at).filter(|&row| row <= at).max().unwrap_or(self.first)
    }
}

/// One translated connection.
#[derive(Clone, Debug)]
pub(super) struct Translation {
    pub(super) from: Us,
    /// "A later `nat` of the same tuple ends the former, whatever a late `nat_end` says."
    pub(super) to: Us,
    /// Until when it is told to be there.
    pub(super) sure_to: Us,
    pub(super) original: Ends,
    pub(super) onward: Ends,
    pub(super) udp: bool,
}

impl Translation {
    /// What it makes of a packet's ends: either way, and back.
    pub(super) fn pairs(&self) -> [(Ends, Ends); 4] {
        let turned = |(src, dst): Ends| (dst, src);
        let (original, onward) = (self.original, self.onward);
        [
            (original, onward),
            (onward, original),
            (turned(original), turned(onward)),
            (turned(onward), turned(original)),
        ]
    }
}

/// Everything that a recording says.
pub(super) struct Told<'a> {
    pub(super) world: &'a World,
    pub(super) lives: Vec<Life>,
    pub(super) translations: Vec<Translation>,
    execs: Vec<&'a Row>,
    /// Times of the rows that tell of a loss: of the second before.
    pub(super) losses: Vec<Us>,
}

impl<'a> Told<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let of_kind =
            |kind: &str| world.rows.iter().filter(|row| row.kind == kind).collect::<Vec<_>>();
        let losses = of_kind("lost").iter().map(|row| row.at).collect();
        let translations = translations(&of_kind("nat"), &of_kind("nat_end"));
        Self { world, lives: lives(&world.rows), translations, execs: of_kind("exec"), losses }
    }

    /// The processes that may hold a life at `at`, by the names they had then.
    pub(super) fn names(&self, life: &Life, at: Us) -> Vec<String> {
        let name = |holder: &str| {
            let of = format!("of={holder}");
            let changed = self.execs.iter().rfind(|row| row.at <= at && row.more == of);
            changed.map_or(holder, |row| &row.who).to_owned()
        };
        life.holders(at).into_iter().map(name).collect()
    }

    /// A tuple of TCP as it is anywhere, whenever.
    pub(super) fn forms(&self, ends: Ends) -> Vec<Ends> {
        let pairs = self.translations.iter().filter(|nat| !nat.udp).flat_map(Translation::pairs);
        let mut forms = vec![ends];
        forms.extend(pairs.filter(|(from, _)| *from == ends).map(|(_, to)| to));
        forms
    }

    /// The namespaces that have an address.
    pub(super) fn owners_of(&self, end: SocketAddrV4) -> Vec<u64> {
        let rows = self.world.rows.iter().filter(|row| row.kind == "interface");
        let there = rows.filter(|row| row.local.is_some_and(|local| local.ip() == end.ip()));
        let mut owners: Vec<_> = there.map(|row| row.ns).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// Whether rows were lost between two times, give or take.
    pub(super) fn lost_within(&self, from: Us, to: Us) -> bool {
        self.losses.iter().any(|&lost| lost >= from && lost - SECOND <= to)
    }
}

fn lives(rows: &[Row]) -> Vec<Life> {
    let mut sockets = BTreeMap::<u64, Vec<Row>>::new();
    for row in rows.iter().filter(|row| row.cookie != 0) {
        sockets.entry(row.cookie).or_default().push(row.clone());
    }
    let life = |rows: Vec<Row>| {
        let first = &rows[0];
        let is_end =
            |row: &&Row| matches!(row.kind, "tcp_close" | "tcp_connect_fail" | "udp_close");
        // Peers of an unconnected socket are no end of its own.
        let is_peer = |row: &&Row| matches!(row.kind, "udp_send" | "udp_recv");
        let peers = rows.iter().filter(is_peer).filter_map(|row| Some((row.at, row.remote?)));
        Life {
            ns: first.ns,
            udp: first.udp,
            local: first.local.expect("a socket has an address"),
            remote: first.remote.filter(|_| !is_peer(&first)),
            peers: peers.collect(),
            first: first.at,
            first_kind: first.kind,
            close: rows.iter().find(is_end).map(|row| row.at),
            rows,
        }
    };
    sockets.into_values().map(life).collect()
}

fn translations(begins: &[&Row], ends: &[&Row]) -> Vec<Translation> {
    let tuples =
        |row: &Row| (row.local.zip(row.remote).expect("ends"), row.onward.expect("onward"));
    let translation = |row: &&Row| {
        let (original, onward) = tuples(row);
        let later = begins.iter().filter(|other| other.at > row.at && other.udp == row.udp);
        let same = later.filter(|other| tuples(other).0 == original || tuples(other).1 == onward);
        let next = same.map(|other| other.at).min();
        let end = ends.iter().find(|end| end.ct == row.ct).map(|end| end.at);
        // Open point: for how long a translation is followed after its end, for the last packets.
        let sure_to = next.into_iter().chain(end).min().unwrap_or(Us::MAX);
        let last = end.map(|end| end + 60 * SECOND);
        let to = next.into_iter().chain(last).min().unwrap_or(Us::MAX);
        Translation { from: row.at, sure_to, to, original, onward, udp: row.udp }
    };
    begins.iter().map(translation).collect()
}
