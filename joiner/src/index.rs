//! From a packet's tuple to the conversations that could be at either end of it: one look-up
//! serves both ends. Within one end, conversations are grouped by *lane*, the namespace they are
//! in, and ordered by the start of their lives: one tuple is one connection at a time in each.

use std::ops::Range;

use hashbrown::HashMap;
use rayon::slice::ParallelSliceMut as _;
use schema::flow::Way;
use schema::{Endpoint, FiveTuple, FlowKey, Proto};

pub use self::table::Found;
use self::table::{NOT_PLACED, Table};
use crate::events::{ConversationId, HostId, NamespaceId, Recordings};

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
    /// Number of the lane; the highest bit says that it is contested.
    place: u32,
}

const IS_CONTESTED: u32 = 1 << 31;

/// Number of a lane; what it is tells [`Index::lane`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneId(u32);

impl Entry {
    /// Where.
    #[inline]
    #[must_use]
    pub fn lane(&self) -> LaneId {
        LaneId(self.place & !IS_CONTESTED)
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
/// A look-up waits for memory twice, for the slot of the flow and for its entries. Whoever has many
/// packets to look up hides that: [`hash`](Self::hash) and [`touch`](Self::touch) for all of them, then
/// [`find`](Self::find) and [`touch_entries`](Self::touch_entries), then [`flow`](Self::flow).
#[derive(Debug, Default)]
pub struct Index {
    flows: Table,
    wildcards: HashMap<WildcardKey, Range<u32>>,
    /// Those of one flow are neighbours, and flows are in the order of their first conversation: what
    /// goes on at one time is near each other.
    entries: Vec<Entry>,
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

/// Where a conversation's entry goes.
#[derive(Clone, Copy)]
struct Placed {
    /// Twice the position of its flow's first entry; one more if it is not local to the lower end.
    order: u64,
    conversation: ConversationId,
}

impl Index {
    /// Indexes every conversation of `recordings`.
    #[must_use]
    pub fn new(recordings: &Recordings) -> Self {
        let mut flows = Table::with_room_for(recordings.conversations.len());
        let mut wild: Vec<(WildcardKey, ConversationId)> = vec![];
        // By conversation, the slot of its flow.
        let mut slots: Vec<u32> = Vec::with_capacity(recordings.conversations.len());
        for (id, conversation) in (0..).map(ConversationId).zip(recordings.conversations.iter()) {
            let FiveTuple { proto, src, dst } = conversation.tuple;
            if src.is_unspecified() {
                wild.push(((proto, src.port(), dst), id));
                slots.push(NOT_PLACED);
            } else {
                let (key, way) = conversation.tuple.canonical();
                slots.push(flows.count(&key, way == Way::Up));
            }
        }
        flows.finish();
        let mut index = Self { flows, ..Self::default() };
        let mut lanes = HashMap::new();
        let placed = index.place_flows(recordings, slots);
        index.entries.reserve_exact(recordings.conversations.len());
        for group in placed.chunk_by(|a, b| a.order == b.order) {
            index.push_group(
                recordings,
                &mut lanes,
                group.iter().map(|placed| placed.conversation),
            );
        }
        drop(placed);
        wild.sort_by_cached_key(|&(key, id)| (key, rank(recordings, id)));
        for group in wild.chunk_by(|a, b| a.0 == b.0) {
            let first = position(index.entries.len());
            index.push_group(recordings, &mut lanes, group.iter().map(|&(_, id)| id));
            index.wildcards.insert(group[0].0, first..position(index.entries.len()));
        }
        index
    }

    /// Gives every flow its place; the conversations in the order of their entries.
    fn place_flows(&mut self, recordings: &Recordings, slots: Vec<u32>) -> Vec<Placed> {
        let mut next = 0;
        let mut placed = Vec::with_capacity(slots.len());
        for (id, slot) in recordings.conversations.ids().zip(slots) {
            if slot == NOT_PLACED {
                continue;
            }
            let mut found = self.flows.counted(slot);
            if found.first == NOT_PLACED {
                found.first = next;
                self.flows.place(slot, next);
                next += found.up + found.down;
            }
            let (_, way) = recordings.conversation(id).tuple.canonical();
            let order = u64::from(found.first) << 1 | u64::from(way == Way::Down);
            placed.push(Placed { order, conversation: id });
        }
        placed.par_sort_unstable_by(|a, b| {
            let ranks = || [a, b].map(|placed| rank(recordings, placed.conversation));
            a.order.cmp(&b.order).then_with(|| {
                let [a, b] = ranks();
                a.cmp(&b)
            })
        });
        placed
    }

    /// The entries of all conversations at one end of one flow, which come lane by lane.
    fn push_group(
        &mut self,
        recordings: &Recordings,
        numbers: &mut HashMap<Lane, u32>,
        conversations: impl Iterator<Item = ConversationId>,
    ) {
        let first = self.entries.len();
        for id in conversations {
            let conversation = recordings.conversation(id);
            let life = recordings.life(conversation.life);
            let local = conversation.tuple.src;
            let is_contested = local.is_loopback()
                || local.is_unspecified()
                || recordings.places.is_shared(life.namespace, local);
            let lane = Lane { host: life.host, namespace: life.namespace };
            let next = position(self.lanes.len());
            let lane = *numbers.entry(lane).or_insert_with(|| {
                self.lanes.push(lane);
                next
            });
            self.entries.push(Entry {
                conversation: id,
                start_ns: life.start_ns,
                // Since rows were lost it may be over, and its tuple another one's, whose SYN the
                // capture need not have.
                end_ns: life.sure_ns,
                latest_end_ns: 0,
                place: if is_contested { lane | IS_CONTESTED } else { lane },
            });
        }
        let group = &mut self.entries[first..];
        for lane in group.chunk_by_mut(|a, b| a.lane() == b.lane()) {
            end_where_the_next_begins(recordings, self.lanes[lane_number(lane)], lane);
            let mut latest_end_ns = i64::MIN;
            for entry in lane {
                latest_end_ns = latest_end_ns.max(entry.end_ns);
                entry.latest_end_ns = latest_end_ns;
            }
        }
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

    /// Where the conversations of `key` are, whose hash is `hash`.
    #[inline]
    #[must_use]
    pub fn find(&self, hash: u64, key: &FlowKey) -> Option<Found> {
        self.flows.find(hash, key)
    }

    /// Fetches what [`flow`](Self::flow) will need, without waiting for it.
    #[inline]
    pub fn touch_entries(&self, found: Found) {
        if let Some(entry) = usize::try_from(found.first).ok().and_then(|at| self.entries.get(at)) {
            std::hint::black_box(entry.conversation);
        }
    }

    /// The conversations at `found`, which must come from this index.
    #[inline]
    #[must_use]
    pub fn flow(&self, found: Found) -> Flow<'_> {
        let Found { first, up, down } = found;
        let up = first..first + up;
        Flow { number: first, down: self.slice(&(up.end..up.end + down)), up: self.slice(&up) }
    }

    /// The number of the flow `key`, if any conversation has it; other than those of all other flows,
    /// and less than [`numbers`](Self::numbers).
    #[inline]
    #[must_use]
    pub fn flow_number(&self, key: &FlowKey) -> Option<u32> {
        self.find(self.hash(key), key).map(|found| found.first)
    }

    /// More than the highest number of a flow.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.entries.len()
    }

    /// The conversations whose local end is the sender of `tuple`, then those whose local end is
    /// its receiver.
    #[inline]
    #[must_use]
    pub fn both_ends(&self, key: &FlowKey, way: Way) -> [&[Entry]; 2] {
        match self.find(self.hash(key), key) {
            Some(found) => self.flow(found).ends(way),
            None => [&[], &[]],
        }
    }

    /// Conversations of sockets that are bound to a port on every address, with this remote end.
    #[must_use]
    pub fn wildcard(&self, proto: Proto, local_port: u16, remote: Endpoint) -> &[Entry] {
        if self.wildcards.is_empty() {
            return &[];
        }
        self.wildcards.get(&(proto, local_port, remote)).map_or(&[], |range| self.slice(range))
    }

    /// Whether any conversation has this flow.
    #[must_use]
    pub fn knows(&self, tuple: FiveTuple) -> bool {
        self.flow_number(&tuple.canonical().0).is_some()
    }

    #[inline]
    fn slice(&self, range: &Range<u32>) -> &[Entry] {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        self.entries.get(place(range.start)..place(range.end)).unwrap_or(&[])
    }
}

/// The order of entries at one end of one flow.
fn rank(recordings: &Recordings, id: ConversationId) -> (Lane, i64, ConversationId) {
    let life = recordings.life(recordings.conversation(id).life);
    (Lane { host: life.host, namespace: life.namespace }, life.start_ns, id)
}

/// A TCP socket has its tuple to itself within its namespace. One whose close was not recorded was
/// gone by the time the next one had the tuple.
fn end_where_the_next_begins(recordings: &Recordings, lane: Lane, entries: &mut [Entry]) {
    let mut next_start: Option<i64> = None;
    for entry in entries.iter_mut().rev() {
        let conversation = recordings.conversation(entry.conversation);
        if conversation.tuple.proto != Proto::TCP || lane.namespace.is_none() {
            return;
        }
        let is_open = recordings.life(conversation.life).closed.is_none();
        let next = next_start.replace(entry.start_ns);
        if let Some(next) = next.filter(|&next| is_open && next > entry.start_ns) {
            entry.end_ns = (next - 1).min(entry.end_ns);
        }
    }
}

/// Position of the lane of `entries`, which are all of one.
fn lane_number(entries: &[Entry]) -> usize {
    usize::try_from(entries[0].lane().0).unwrap_or(usize::MAX)
}

fn position(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
