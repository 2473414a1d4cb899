//! From a packet's tuple to the conversations that could be at either end of it: one look-up
//! serves both ends. Within one end, conversations are grouped by *lane*, the namespace they are
//! in, and ordered by the start of their lives: one tuple is one connection at a time in each.

use std::ops::Range;

use hashbrown::HashMap;
use schema::flow::Way;
use schema::{Endpoint, FiveTuple, FlowKey, Proto};

use crate::events::{Conversation, ConversationId, HostId, NamespaceId, Recordings};

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
    /// Where.
    pub lane: Lane,
    /// Whether the address of the local end was ever another namespace's, so that somebody has to
    /// look whose it is at the time.
    pub is_contested: bool,
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
    entries.chunk_by(|a, b| a.lane == b.lane)
}

/// The conversations of one flow, by the end they are local to.
#[derive(Clone, Debug, Default)]
struct Ends {
    up: Range<u32>,
    down: Range<u32>,
}

/// A local port, whatever its address, and a remote endpoint.
type WildcardKey = (Proto, u16, Endpoint);

/// All conversations, by flow.
#[derive(Debug, Default)]
pub struct Index {
    flows: HashMap<FlowKey, Ends>,
    wildcards: HashMap<WildcardKey, Range<u32>>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Flow(FlowKey, bool),
    Wildcard(WildcardKey),
}

/// An entry before it has its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    place: Place,
    lane: Lane,
    start_ns: i64,
    conversation: ConversationId,
    end_ns: i64,
}

impl Index {
    /// Indexes every conversation of `recordings`.
    #[must_use]
    pub fn new(recordings: &Recordings) -> Self {
        let placed = |(id, conversation): (u32, &Conversation)| {
            let life = recordings.life(conversation.life);
            Placed {
                place: place(conversation.tuple),
                lane: Lane { host: life.host, namespace: life.namespace },
                start_ns: life.start_ns,
                conversation: ConversationId(id),
                end_ns: life.end_ns,
            }
        };
        let mut placed: Vec<_> = (0..).zip(&recordings.conversations).map(placed).collect();
        placed.sort_unstable();
        let mut index = Self::default();
        for group in placed.chunk_by_mut(|a, b| a.place == b.place) {
            let first = position(&index.entries);
            // In the capture, attempts to connect are those of all namespaces with the tuple: none
            // tells that a connection of one of them is over.
            if group[0].lane != group[group.len() - 1].lane {
                for placed in &mut *group {
                    let life = recordings.life(recordings.conversation(placed.conversation).life);
                    placed.end_ns = placed.end_ns.min(life.sure_ns);
                }
            }
            for lane in group.chunk_by_mut(|a, b| a.lane == b.lane) {
                end_where_the_next_begins(recordings, lane);
                index.push_lane(recordings, lane);
            }
            let range = first..position(&index.entries);
            match group[0].place {
                Place::Flow(key, is_up) => {
                    let ends = index.flows.entry(key).or_default();
                    *(if is_up { &mut ends.up } else { &mut ends.down }) = range;
                }
                Place::Wildcard(key) => {
                    index.wildcards.insert(key, range);
                }
            }
        }
        index
    }

    fn push_lane(&mut self, recordings: &Recordings, group: &[Placed]) {
        let mut latest_end_ns = i64::MIN;
        for &Placed { lane, start_ns, conversation, end_ns, .. } in group {
            latest_end_ns = latest_end_ns.max(end_ns);
            let local = recordings.conversation(conversation).tuple.src;
            let is_contested = local.is_loopback()
                || local.is_unspecified()
                || recordings.places.is_shared(lane.namespace, local);
            self.entries.push(Entry {
                conversation,
                start_ns,
                end_ns,
                latest_end_ns,
                lane,
                is_contested,
            });
        }
    }

    /// The conversations whose local end is the sender of `tuple`, then those whose local end is
    /// its receiver.
    #[inline]
    #[must_use]
    pub fn both_ends(&self, key: &FlowKey, way: Way) -> [&[Entry]; 2] {
        let Some(Ends { up, down }) = self.flows.get(key) else { return [&[], &[]] };
        let (up, down) = (self.slice(up), self.slice(down));
        match way {
            Way::Up => [up, down],
            Way::Down => [down, up],
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
        self.flows.contains_key(&tuple.canonical().0)
    }

    fn slice(&self, range: &Range<u32>) -> &[Entry] {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        self.entries.get(place(range.start)..place(range.end)).unwrap_or(&[])
    }
}

/// A TCP socket has its tuple to itself within its namespace. One whose close was not recorded was
/// gone by the time the next one had the tuple.
fn end_where_the_next_begins(recordings: &Recordings, lane: &mut [Placed]) {
    let mut next_start: Option<i64> = None;
    for placed in lane.iter_mut().rev() {
        let conversation = recordings.conversation(placed.conversation);
        if conversation.tuple.proto != Proto::TCP || placed.lane.namespace.is_none() {
            return;
        }
        let is_open = recordings.life(conversation.life).closed.is_none();
        let next = next_start.replace(placed.start_ns);
        if let Some(next) = next.filter(|&next| is_open && next > placed.start_ns) {
            placed.end_ns = (next - 1).min(placed.end_ns);
        }
    }
}

fn position(entries: &[Entry]) -> u32 {
    u32::try_from(entries.len()).unwrap_or(u32::MAX)
}

fn place(tuple: FiveTuple) -> Place {
    if tuple.src.is_unspecified() {
        return Place::Wildcard((tuple.proto, tuple.src.port(), tuple.dst));
    }
    let (key, way) = tuple.canonical();
    Place::Flow(key, way == Way::Up)
}
