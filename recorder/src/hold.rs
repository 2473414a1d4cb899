//! Rows held for a moment before they are written, so that what the CPUs reported out of order
//! comes into order, and what is learned a little later still finds its row. Takes the time from
//! outside; does no I/O.

use std::collections::{HashMap, VecDeque};

use schema::FiveTuple;

use crate::row::{Row, SocketRow};

/// Nanoseconds every row is held: longer than one CPU can keep its part of the ring from being
/// read in order.
pub const HOLD_NS: u64 = 100_000_000;
/// Nanoseconds a failed connect waits for its error, which the kernel reports within the same
/// system call or softirq.
pub const ERROR_WAIT_NS: u64 = 200_000_000;
/// Nanoseconds a row waits for what somebody else has to look up: the port of a UDP socket, the
/// listener of an accepted connection, the name of a container. Normally it comes within
/// milliseconds, on an overloaded host now and then later than this. But a row that waits keeps all
/// after it out of the journal, and what is older than a second must survive a crash.
pub const ANSWER_WAIT_NS: u64 = 600_000_000;
/// Rows held at most, some 40 MB; the oldest go earlier then.
const MAX_ROWS: usize = 131_072;

/// What a row waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// The ends of the UDP socket with this cookie.
    Ends(u64),
    /// The error on the connection with this tuple.
    Error(FiveTuple),
    /// The sockets that were there before: an accepted connection, for its listener.
    Snapshot,
}

/// Time and order of arrival.
type Position = (u64, u64);

#[derive(Debug)]
struct Held {
    position: Position,
    row: Row,
    wait: Option<(Wait, u64)>,
}

/// The rows held.
#[derive(Debug, Default)]
pub struct Window {
    /// By position. Nearly every row belongs at the end, or a few places before it.
    rows: VecDeque<Held>,
    waiting: HashMap<Wait, Vec<Position>>,
    arrived: u64,
}

impl Window {
    /// Adds a row, which may wait for something.
    pub fn push(&mut self, row: Row, wait: Option<Wait>) {
        let position = (row.boot_ns, self.arrived);
        self.arrived += 1;
        let wait = wait.map(|wait| {
            self.waiting.entry(wait).or_default().push(position);
            let patience = match wait {
                Wait::Ends(_) | Wait::Snapshot => ANSWER_WAIT_NS,
                Wait::Error(_) => ERROR_WAIT_NS,
            };
            (wait, row.boot_ns.saturating_add(patience))
        });
        let last = self.rows.back();
        let place = if last.is_none_or(|last| last.position < position) {
            self.rows.len()
        } else {
            self.rows.partition_point(|held| held.position < position)
        };
        self.rows.insert(place, Held { position, row, wait });
    }

    /// Hands the rows of sockets that wait for `wait` to `complete`; one for which it returns true
    /// waits no longer. Returns how many that were.
    pub fn complete(
        &mut self,
        wait: &Wait,
        mut complete: impl FnMut(&mut SocketRow) -> bool,
    ) -> usize {
        let Some(mut positions) = self.waiting.remove(wait) else { return 0 };
        let before = positions.len();
        positions.retain(|position| {
            let place = self.rows.binary_search_by_key(position, |held| held.position);
            let held = place.ok().and_then(|place| self.rows.get_mut(place));
            let Some(held) = held else { return false };
            let crate::row::Body::Socket(row) = &mut held.row.body else { return false };
            let done = complete(row);
            if done {
                held.wait = None;
            }
            !done
        });
        let done = before - positions.len();
        if !positions.is_empty() {
            self.waiting.insert(*wait, positions);
        }
        done
    }

    /// The next row in order of time, if it was held long enough at `now_ns` (`CLOCK_BOOTTIME`)
    /// and waits for nothing any more. A row that waits keeps those after it.
    pub fn pop(&mut self, now_ns: u64) -> Option<Row> {
        self.pop_if(now_ns, |_| true)
    }

    /// The same, but it stays while it is not `ready`.
    pub fn pop_if(&mut self, now_ns: u64, ready: impl FnOnce(&Row) -> bool) -> Option<Row> {
        let held = self.rows.front()?;
        let until = held.wait.map_or(0, |(_, until)| until);
        let until = until.max(held.row.boot_ns.saturating_add(HOLD_NS));
        let goes = now_ns >= until && ready(&held.row);
        if !goes && self.rows.len() <= MAX_ROWS {
            return None;
        }
        self.take_first()
    }

    /// The next row in order of time, whatever it waits for: at the end of the recording.
    pub fn take_first(&mut self) -> Option<Row> {
        let held = self.rows.pop_front()?;
        if let Some((wait, _)) = held.wait
            && let Some(positions) = self.waiting.get_mut(&wait)
        {
            positions.retain(|other| *other != held.position);
            if positions.is_empty() {
                self.waiting.remove(&wait);
            }
        }
        Some(held.row)
    }

    /// Whether some row waits for something.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use schema::{Kind, Proto};

    use super::*;
    use crate::row::{Body, Local};

    const MS: u64 = 1_000_000;

    fn row(at_ms: u64, cookie: u64) -> Row {
        let socket = SocketRow {
            kind: Kind::UdpConnect,
            proto: Proto::UDP,
            direction: None,
            local: Local::Unknown,
            remote: None,
            v6only: None,
            socket_cookie: cookie,
            netns_cookie: 0,
            owner: None,
            process: None,
            latency_us: None,
            counters: None,
            errno: None,
            count: None,
            peer_cookie: 0,
        };
        Row { boot_ns: at_ms * MS, body: Body::Socket(Box::new(socket)) }
    }

    fn drain(window: &mut Window, now_ms: u64) -> Vec<(u64, Option<u32>)> {
        std::iter::from_fn(|| window.pop(now_ms * MS))
            .map(|row| match row.body {
                Body::Socket(socket) => (row.boot_ns / MS, socket.errno),
                _ => unreachable!("only sockets here"),
            })
            .collect()
    }

    #[test]
    fn rows_come_out_in_order_of_time_after_a_hold() {
        let mut window = Window::default();
        for at in [5, 3, 9, 3] {
            window.push(row(at, 0), None);
        }
        assert_eq!(drain(&mut window, 102), []);
        assert_eq!(drain(&mut window, 105), [(3, None), (3, None), (5, None)]);
        assert_eq!(drain(&mut window, 109), [(9, None)]);
    }

    #[test]
    fn a_waiting_row_keeps_its_place_until_it_is_completed() {
        let mut window = Window::default();
        window.push(row(1, 7), Some(Wait::Ends(7)));
        window.push(row(2, 8), None);
        assert_eq!(drain(&mut window, 300), []);
        let set = |row: &mut SocketRow| {
            row.errno = Some(1);
            true
        };
        assert_eq!(window.complete(&Wait::Ends(8), set), 0);
        assert_eq!(window.complete(&Wait::Ends(7), set), 1);
        assert_eq!(window.complete(&Wait::Ends(7), set), 0);
        assert!(!window.is_waiting());
        assert_eq!(drain(&mut window, 300), [(1, Some(1)), (2, None)]);
    }

    #[test]
    fn one_that_is_not_taken_waits_on() {
        let mut window = Window::default();
        window.push(row(1, 7), Some(Wait::Ends(7)));
        assert_eq!(window.complete(&Wait::Ends(7), |_| false), 0);
        assert!(window.is_waiting());
        assert_eq!(drain(&mut window, 600), []);
        assert_eq!(drain(&mut window, 601), [(1, None)]);
        assert!(!window.is_waiting());
    }

    #[test]
    fn memory_is_bounded() {
        let mut window = Window::default();
        for at in 0..MAX_ROWS as u64 + 10 {
            window.push(row(at, at), Some(Wait::Ends(at)));
        }
        let early = std::iter::from_fn(|| window.pop(0)).count();
        assert_eq!((early, window.rows.len(), window.waiting.len()), (10, MAX_ROWS, MAX_ROWS));
    }
}
