//! From a packet's tuple to the conversations that could be at either end of it: one look-up
//! serves both ends. Within one end, conversations are grouped by *lane*, the namespace they are
//! in, and ordered by the start of their lives: one tuple is one connection at a time in each.

use std::hint::black_box;
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
/// Whoever has many packets looks them up together: [`find_all`](Self::find_all).
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

/// Flows to look up together: as many as a processor waits for at once, and some more.
pub const BATCH: usize = 32;

/// Flows that are looked up together, some tens.
#[derive(Debug, Default)]
pub struct Batch {
    keys: Vec<(FlowKey, u64)>,
    guesses: Vec<u32>,
    found: Vec<Option<Found>>,
}

impl Batch {
    /// Where the conversations of each are.
    #[must_use]
    pub fn found(&self) -> &[Option<Found>] {
        &self.found
    }

    /// Where the conversations of the flow `key` are, if it was the one at `position`.
    #[inline]
    #[must_use]
    pub fn found_at(&self, position: usize, key: &FlowKey) -> Option<Option<Found>> {
        let is_it = self.keys.get(position).is_some_and(|(known, _)| known == key);
        is_it.then(|| self.found[position])
    }
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

    /// Where the conversations of the flow `key` are, of those that were indexed, which are
    /// `conversations`.
    #[inline]
    #[must_use]
    pub fn find(&self, key: &FlowKey, conversations: &Conversations) -> Option<Found> {
        self.find_hashed(self.flows.hash(key), key, conversations)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, key: &FlowKey, all: &Conversations) -> Option<Found> {
        let is_it = |first| self.first(first).is_some_and(|of| all.is_of(of.conversation, key));
        self.flows.find(hash, is_it)
    }

    #[inline]
    fn first(&self, at: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// The same of many flows. Each look-up waits for memory three times: for the slot of the flow, for
    /// its first entry, and for the conversation, which has its tuple. Here they wait together.
    pub fn find_all(
        &self,
        keys: impl Iterator<Item = FlowKey>,
        conversations: &Conversations,
        batch: &mut Batch,
    ) {
        let Batch { keys: hashed, guesses, found } = batch;
        hashed.clear();
        hashed.extend(keys.map(|key| (key, self.flows.hash(&key))));
        for (_, hash) in &*hashed {
            self.flows.touch(*hash);
        }
        guesses.clear();
        guesses.extend(hashed.iter().filter_map(|(_, hash)| self.flows.guess(*hash)));
        for guess in &*guesses {
            black_box(self.first(*guess).map(|entry| entry.start_ns));
        }
        for entry in guesses.iter().filter_map(|guess| self.first(*guess)) {
            conversations.touch(entry.conversation);
        }
        found.clear();
        found.extend(hashed.iter().map(|(key, hash)| self.find_hashed(*hash, key, conversations)));
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

#[cfg(test)]
mod tests;
