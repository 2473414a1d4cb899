//! Worlds from a seed.

use super::draft::{Draft, Listener, Sock, Style};
use super::place::{self, Path, end};
use super::rng::Rng;
use super::tcp::Talk;
use super::world::{MS, Row, SECOND, Us, World};
use super::{special, udp};

/// When the last connection may begin.
const LAST: Us = 60 * SECOND;

#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Plain,
    Nat,
    Twins,
}

/// The world of a seed.
pub(super) fn world(seed: u64) -> World {
    let mut rng = Rng::new(seed);
    let sort = rng.pick(&[Sort::Plain, Sort::Plain, Sort::Nat, Sort::Twins]);
    let whole = rng.percent(60);
    let recorded = if whole {
        (0, 70 * SECOND)
    } else {
        (rng.within(0, 20 * SECOND), rng.within(40 * SECOND, 70 * SECOND))
    };
    let late = rng.percent(20);
    let missing = rng.pick(&[0, 0, 8, 35]);
    let style = Style {
        recorded,
        captured: (if late { rng.within(0, 30 * SECOND) } else { -20 * SECOND }, 300 * SECOND),
        missing,
        missing_syns: rng.pick(&[0, missing, missing, 60]),
        twins: sort == Sort::Twins,
        lossy: rng.percent(25),
        relisted: rng.percent(50),
    };
    let mut draft = Draft::new(rng, style);
    for ns in 1..=3 {
        for is_udp in [false, true] {
            listeners(&mut draft, ns, is_udp);
        }
    }
    for slot in 0..draft.rng.within(3, 7) {
        let port = 40_000 + u16::try_from(slot).expect("few");
        if sort == Sort::Twins && draft.rng.percent(70) {
            for ns in [2, 3] {
                let is_udp = draft.rng.percent(15);
                sequence(&mut draft, is_udp, &[place::twin(port, ns)], 0);
            }
        } else {
            let (paths, rest) = ways(&mut draft, sort, port);
            let is_udp = draft.rng.percent(25);
            sequence(&mut draft, is_udp, &paths, rest);
        }
    }
    draft.world(seed)
}

/// The ways that share a tuple somewhere, and how long it must rest between two of them.
fn ways(draft: &mut Draft, sort: Sort, port: u16) -> (Vec<Path>, Us) {
    let ns = draft.rng.pick(&[2, 3]);
    let kind = draft.rng.within(0, 3);
    match (sort, kind) {
        (Sort::Nat, 0) => {
            ([2, 3].map(|ns| place::masqueraded(port, ns, port + 21_000)).into(), 11 * SECOND)
        }
        (Sort::Nat, 1) => ([2, 3].map(|ns| place::published(port, ns)).into(), 0),
        (Sort::Nat, _) => (vec![place::both_changed(port, ns)], 0),
        (Sort::Plain, _) if draft.rng.percent(30) => (vec![place::to_container(port, ns)], 0),
        (_, 0) => (vec![place::loopback(port)], 0),
        (_, 1) => (vec![place::out(port)], 0),
        (_, _) => (vec![place::incoming(port)], 0),
    }
}

/// Connections one after the other over the same tuple.
fn sequence(draft: &mut Draft, is_udp: bool, paths: &[Path], rest: Us) {
    let mut at = draft.rng.within(-10 * SECOND, 40 * SECOND);
    for _ in 0..draft.rng.within(1, 7) {
        if at > LAST {
            return;
        }
        let path = &paths[usize::try_from(draft.rng.next() % paths.len() as u64).expect("few")];
        let unusual = if is_udp { 100 } else { draft.rng.within(0, 100) };
        let special = match unusual {
            0..8 => special::challenge(draft, path, at),
            8..12 => special::simultaneous(draft, path, at),
            _ => None,
        };
        let free = special.unwrap_or_else(|| {
            if is_udp { udp::run(draft, path, at) } else { Talk::new(draft, path).run(at) }
        });
        let wait = draft.rng.pick(&[
            0,
            MS,
            50 * MS,
            300 * MS,
            2 * SECOND,
            6 * SECOND,
            40 * SECOND,
            65 * SECOND,
        ]);
        // A translation's port is another's only when conntrack has forgotten the first: datagrams
        // for half a minute at least.
        let forgotten = if is_udp && path.nat.is_some() { 44 * SECOND } else { rest };
        at = free + (wait - wait / 3 + draft.rng.within(0, wait / 3 + 1)).max(forgotten);
    }
}

/// Who listens on the port of a namespace's server, one after another, or two at once.
fn listeners(draft: &mut Draft, ns: u64, is_udp: bool) {
    let port = if ns == 1 { 80 } else { 8080 };
    let mut from = draft.rng.pick(&[-50 * SECOND, -50 * SECOND, 3 * SECOND]);
    let mut times = vec![];
    for _ in 0..draft.rng.pick(&[1, 1, 2, 3]) {
        let to = from + draft.rng.pick(&[20 * SECOND, 60 * SECOND, 400 * SECOND]);
        times.push((from, to));
        from = to + draft.rng.pick(&[MS, 500 * MS, 5 * SECOND]);
    }
    if draft.rng.percent(15) {
        times.push((-50 * SECOND, 400 * SECOND));
    }
    for (from, to) in times {
        let who = draft.process(if is_udp { 'v' } else { 'l' });
        let cookie = draft.id();
        let kind = if is_udp { "udp_bind" } else { "tcp_listen" };
        let local = Some(end([0; 4], port));
        let row = Row { cookie, ns, udp: is_udp, local, ..Row::new(from, kind) };
        let close = if is_udp { "udp_close" } else { "tcp_close" };
        draft.row(Row { at: to, kind: close, ..row.clone() });
        draft.open(Sock { row, opened: from, closed: Some(to), holder: who.clone(), handed: None });
        draft.listeners.push(Listener { ns, udp: is_udp, port, who, cookie, from, to });
    }
}
