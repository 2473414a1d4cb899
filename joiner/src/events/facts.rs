//! What each row of a batch says, side by side: read from the columns by whoever decoded them, so that
//! the one thread that puts all rows together has one place to look at for each.

use hashbrown::HashMap;
use schema::rows::Columns;
use schema::{EventDirection, Kind, Proto};

use super::cache::Cached;
use super::flagged;
use super::place::{NamespaceKey, Space};
use super::reader::{parse_addr, parse_proto};

/// Instead of a position: none.
pub(super) const NONE: u32 = u32::MAX;

const HAS_TIME: u16 = 1;
const HAS_SEQ: u16 = 1 << 1;
const HAS_COOKIE: u16 = 1 << 2;
const HAS_TID: u16 = 1 << 3;
const HAS_LOCAL_PORT: u16 = 1 << 4;
const HAS_REMOTE_PORT: u16 = 1 << 5;
const HAS_OFFSET: u16 = 1 << 6;
const HAS_COUNTS: u16 = 1 << 7;

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    time_ns: i64,
    seq: u64,
    cookie: u64,
    tid: u32,
    /// The first row that says the same of the same process; [`NONE`] if it says nothing of one.
    pub(super) alike: u32,
    /// Position of the local address; [`NONE`] if there is none.
    pub(super) local: u32,
    /// Of the remote one.
    pub(super) remote: u32,
    /// Of the namespace.
    pub(super) space: u32,
    local_port: u16,
    remote_port: u16,
    has: u16,
    pub(super) proto: Option<Proto>,
    pub(super) kind: Option<Kind>,
    pub(super) direction: Option<EventDirection>,
}

impl Facts {
    /// By the wall clock, nanoseconds since 1970.
    #[inline]
    pub(super) fn time_ns(&self) -> Option<i64> {
        self.has(HAS_TIME).then_some(self.time_ns)
    }

    #[inline]
    pub(super) fn seq(&self) -> Option<u64> {
        self.has(HAS_SEQ).then_some(self.seq)
    }

    #[inline]
    pub(super) fn cookie(&self) -> Option<u64> {
        self.has(HAS_COOKIE).then_some(self.cookie)
    }

    #[inline]
    pub(super) fn tid(&self) -> Option<u32> {
        self.has(HAS_TID).then_some(self.tid)
    }

    #[inline]
    pub(super) fn local_port(&self) -> Option<u16> {
        self.has(HAS_LOCAL_PORT).then_some(self.local_port)
    }

    #[inline]
    pub(super) fn remote_port(&self) -> Option<u16> {
        self.has(HAS_REMOTE_PORT).then_some(self.remote_port)
    }

    /// Whether it tells the wall clock's offset.
    #[inline]
    pub(super) fn has_offset(&self) -> bool {
        self.has(HAS_OFFSET)
    }

    /// Whether it tells of latency or retransmissions.
    #[inline]
    pub(super) fn has_counts(&self) -> bool {
        self.has(HAS_COUNTS)
    }

    #[inline]
    fn has(&self, flag: u16) -> bool {
        self.has & flag != 0
    }
}

/// The rows of a batch, and what they refer to.
#[derive(Debug, Default)]
pub(super) struct BatchFacts {
    pub(super) rows: Vec<Facts>,
    pub(super) addresses: Vec<[u8; 16]>,
    pub(super) spaces: Vec<Space>,
}

/// Reads all rows; `alike` as [`Facts::alike`], for each.
pub(super) fn read(columns: &Columns<'_>, alike: &[u32]) -> BatchFacts {
    let mut facts = BatchFacts::default();
    let mut kinds = Cached::new(&columns.kind);
    let mut protos = Cached::new(&columns.proto);
    let mut directions = Cached::new(&columns.direction);
    let [mut locals, mut remotes] = [&columns.local_addr, &columns.remote_addr].map(Cached::new);
    let mut spaces = SpacePositions::default();
    let BatchFacts { rows, addresses, spaces: told } = &mut facts;
    let mut address = |text: &str| {
        addresses.push(parse_addr(text)?);
        u32::try_from(addresses.len() - 1).ok()
    };
    rows.extend(alike.iter().enumerate().map(|(row, &alike)| {
        let (time_ns, a) = flagged(columns.ts.get(row), HAS_TIME);
        let (seq, b) = flagged(columns.seq.get(row), HAS_SEQ);
        let (cookie, c) = flagged(columns.socket_cookie.get(row), HAS_COOKIE);
        let (tid, d) = flagged(columns.tid.get(row), HAS_TID);
        let (local_port, e) = flagged(columns.local_port.get(row), HAS_LOCAL_PORT);
        let (remote_port, f) = flagged(columns.remote_port.get(row), HAS_REMOTE_PORT);
        let (_, g) = flagged(columns.mono_offset_ns.get(row), HAS_OFFSET);
        let counts = columns.latency_us.get(row).or(columns.retransmits.get(row));
        let (_, h) = flagged(counts, HAS_COUNTS);
        Facts {
            time_ns,
            seq,
            cookie,
            tid,
            alike,
            local: locals.get(&columns.local_addr, row, &mut address).unwrap_or(NONE),
            remote: remotes.get(&columns.remote_addr, row, &mut address).unwrap_or(NONE),
            space: spaces.get(
                NamespaceKey {
                    inode: columns.netns.get(row),
                    cookie: columns.netns_cookie.get(row),
                },
                told,
            ),
            local_port,
            remote_port,
            has: a | b | c | d | e | f | g | h,
            proto: protos.get(&columns.proto, row, parse_proto),
            kind: kinds.get(&columns.kind, row, Kind::from_text),
            direction: directions.get(&columns.direction, row, EventDirection::from_text),
        }
    }));
    facts
}

/// Where the namespaces of a batch are; one row after the other is of the same.
#[derive(Default)]
struct SpacePositions {
    last: Option<(NamespaceKey, u32)>,
    all: HashMap<NamespaceKey, u32>,
}

impl SpacePositions {
    #[inline]
    fn get(&mut self, key: NamespaceKey, spaces: &mut Vec<Space>) -> u32 {
        if let Some((last, at)) = self.last
            && last == key
        {
            return at;
        }
        let at = *self.all.entry(key).or_insert_with(|| {
            spaces.push(Space::new(key));
            u32::try_from(spaces.len() - 1).unwrap_or(NONE)
        });
        self.last = Some((key, at));
        at
    }
}
