//! From a packet's tuple to the conversations that could be at either end of it: one look-up
//! serves both ends. Within one end, conversations are grouped by *lane*, the namespace they are
//! in, and ordered by the start of their lives: one tuple is one connection at a time in each.

use std::ops::Range;

use hashbrown::HashMap;
use schema::flow::Way;
use schema::{Endpoint, FlowKey, Proto};

pub use self::table::Found;
use self::table::Table;
use crate::events::{ConversationId, Conversations, HostId, NamespaceId, Recordings};

mod build;
mod table;

/// A conversation with the times that decide whether it fits.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The conversation.
    pub conversation: ConversationId,
    /// Start of its life, nanoseconds since 1970.
    pub start_ns: i64,
    /// End of its life, nanoseconds since 1970.
    pub end_ns: i64,
    /// The latest end of this entry and all before it in its lane: where a backward search may
    /// stop.
    pub latest_end_ns: i64,
    /// Number of the lane, and flags.
    place: u32,
}

/// The address of the local end was ever another namespace's.
const IS_CONTESTED: u32 = 1 << 31;
/// It is the first one of its flow.
const BEGINS_FLOW: u32 = 1 << 30;
/// Its local end is the higher one.
const IS_DOWN: u32 = 1 << 29;
const FLAGS: u32 = IS_CONTESTED | BEGINS_FLOW | IS_DOWN;

/// Number of a lane; what it is tells [`Index::lane`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneId(u32);

impl Entry {
    /// Where.
    #[inline]
    #[must_use]
    pub fn lane(&self) -> LaneId {
        LaneId(self.place & !FLAGS)
    }

    /// Whether the address of the local end was ever another namespace's, so that somebody has to
    /// look whose it is at the time.
    #[inline]
    #[must_use]
    pub fn is_contested(&self) -> bool {
        self.place & IS_CONTESTED != 0
    }
}

/// A namespace, or all of a host's sockets of which the namespace is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The host.
    pub host: HostId,
    /// The namespace.
    pub namespace: Option<NamespaceId>,
}

/// The lanes of one end's entries, one after the other.
pub fn lanes(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    entries.chunk_by(|a, b| a.lane() == b.lane())
}

/// A local port, whatever its address, and a remote endpoint.
type WildcardKey = (Proto, u16, Endpoint);

/// All conversations, by flow.
///
/// A look-up waits for memory, most of all for the slot of the flow. Whoever has many packets to look up
/// hides that: [`hash`](Self::hash) and [`touch`](Self::touch) for all of them, then
/// [`find`](Self::find), then [`flow`](Self::flow).
#[derive(Debug, Default)]
pub struct Index {
    flows: Table,
    wildcards: HashMap<WildcardKey, Range<u32>>,
    /// Those of one flow are neighbours, and flows are in the order of their first conversation: what
    /// goes on at one time is near each other. Those of wildcards come last.
    entries: Vec<Entry>,
    /// How many of them are of flows.
    of_flows: usize,
    lanes: Vec<Lane>,
}

/// The conversations of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// No other flow has this number, which is less than [`Index::numbers`].
    pub number: u32,
    /// Those whose local end is the lower one.
    pub up: &'a [Entry],
    /// Those whose local end is the higher one.
    pub down: &'a [Entry],
}

impl<'a> Flow<'a> {
    /// The conversations whose local end is the sender of packets that go `way`, then those whose
    /// local end is their receiver.
    #[inline]
    #[must_use]
    pub fn ends(&self, way: Way) -> [&'a [Entry]; 2] {
        match way {
            Way::Up => [self.up, self.down],
            Way::Down => [self.down, self.up],
        }
    }
}

impl Index {
    /// Indexes every conversation of `recordings`.
    #[must_use]
    pub fn new(recordings: &Recordings) -> Self {
        build::index(recordings)
    }

    /// The lane of an entry of this index.
    #[inline]
    #[must_use]
    pub fn lane(&self, id: LaneId) -> Lane {
        self.lanes[usize::try_from(id.0).unwrap_or(usize::MAX)]
    }

    /// The hash of a flow, in this index.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.flows.hash(key)
    }

    /// Fetches what [`find`](Self::find) will need, without waiting for it.
    #[inline]
    pub fn touch(&self, hash: u64) {
        self.flows.touch(hash);
    }

    /// Where the conversations of `key` are, whose hash is `hash`; of those that were indexed, which are
    /// `conversations`.
    #[inline]
    #[must_use]
    pub fn find(&self, hash: u64, key: &FlowKey, conversations: &Conversations) -> Option<Found> {
        self.flows.find(hash, |first| {
            let entry = usize::try_from(first).ok().and_then(|first| self.entries.get(first));
            entry.is_some_and(|entry| conversations.is_of(entry.conversation, key))
        })
    }

    /// The same, at once.
    #[inline]
    #[must_use]
    pub fn look_up(&self, key: &FlowKey, conversations: &Conversations) -> Option<Found> {
        self.find(self.hash(key), key, conversations)
    }

    /// All flows, in the order of their numbers.
    pub fn flows(&self) -> impl Iterator<Item = Flow<'_>> {
        let all = &self.entries[..self.of_flows];
        let mut at = 0;
        all.chunk_by(|_, next| next.place & BEGINS_FLOW == 0).map(move |flow| {
            let number = position(at);
            at += flow.len();
            let (up, down) = flow.split_at(flow.partition_point(|of| of.place & IS_DOWN == 0));
            Flow { number, up, down }
        })
    }

    /// The conversations at `found`, which must come from this index.
    #[inline]
    #[must_use]
    pub fn flow(&self, found: Found) -> Flow<'_> {
        let Found { first, up, down } = found;
        let up = first..first + up;
        Flow { number: first, down: self.slice(&(up.end..up.end + down)), up: self.slice(&up) }
    }

    /// More than the highest number of a flow.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.entries.len()
    }

    /// The conversations at `found` whose local end is the sender of packets that go `way`, then those
    /// whose local end is their receiver.
    #[inline]
    #[must_use]
    pub fn ends(&self, found: Option<Found>, way: Way) -> [&[Entry]; 2] {
        found.map_or([&[], &[]], |found| self.flow(found).ends(way))
    }

    /// Conversations of sockets that are bound to a port on every address, with this remote end.
    #[must_use]
    pub fn wildcard(&self, proto: Proto, local_port: u16, remote: Endpoint) -> &[Entry] {
        if self.wildcards.is_empty() {
            return &[];
        }
        self.wildcards.get(&(proto, local_port, remote)).map_or(&[], |range| self.slice(range))
    }

    #[inline]
    fn slice(&self, range: &Range<u32>) -> &[Entry] {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        self.entries.get(place(range.start)..place(range.end)).unwrap_or(&[])
    }
}

fn position(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
