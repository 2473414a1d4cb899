//! From a packet's tuple to the conversations that could be at either end of it: one look-up
//! serves both ends. Within one end, conversations are ordered by the start of their lives.

use std::ops::Range;

use hashbrown::HashMap;
use schema::flow::Way;
use schema::{Endpoint, FiveTuple, FlowKey, Proto};

use crate::events::{ConversationId, Recordings};

/// A conversation with the times that decide whether it fits.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The conversation.
    pub conversation: ConversationId,
    /// Start of its life, nanoseconds since 1970.
    pub start_ns: i64,
    /// End of its life, nanoseconds since 1970.
    pub end_ns: i64,
    /// The latest end of this entry and all before it: where a backward search may stop.
    pub latest_end_ns: i64,
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

impl Index {
    /// Indexes every conversation of `recordings`.
    #[must_use]
    pub fn new(recordings: &Recordings) -> Self {
        let mut placed: Vec<(Place, i64, ConversationId, i64)> = (0..)
            .zip(&recordings.conversations)
            .map(|(id, conversation)| {
                let life = recordings.life(conversation.life);
                (place(conversation.tuple), life.start_ns, ConversationId(id), life.end_ns)
            })
            .collect();
        placed.sort_unstable();
        let mut index = Self::default();
        for group in placed.chunk_by_mut(|a, b| a.0 == b.0) {
            end_where_the_next_begins(recordings, group);
            let range = index.push_group(group);
            match group[0].0 {
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

    fn push_group(&mut self, group: &[(Place, i64, ConversationId, i64)]) -> Range<u32> {
        let position = |entries: &Vec<Entry>| u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let first = position(&self.entries);
        let mut latest_end_ns = i64::MIN;
        for &(_, start_ns, conversation, end_ns) in group {
            latest_end_ns = latest_end_ns.max(end_ns);
            self.entries.push(Entry { conversation, start_ns, end_ns, latest_end_ns });
        }
        first..position(&self.entries)
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
fn end_where_the_next_begins(
    recordings: &Recordings,
    group: &mut [(Place, i64, ConversationId, i64)],
) {
    let life_of = |id| recordings.life(recordings.conversation(id).life);
    // The earliest start seen so far, by namespace; from the last life to the first.
    let mut next_starts: HashMap<_, i64> = HashMap::new();
    for (_, start_ns, id, end_ns) in group.iter_mut().rev() {
        let life = life_of(*id);
        let Some(netns_cookie) = life.netns_cookie else { continue };
        if recordings.conversation(*id).tuple.proto != Proto::TCP {
            return;
        }
        let next = next_starts.insert((life.host, netns_cookie), *start_ns);
        if let Some(next) = next.filter(|next| life.closed.is_none() && next > start_ns) {
            *end_ns = (next - 1).min(*end_ns);
        }
    }
}

fn place(tuple: FiveTuple) -> Place {
    if tuple.src.is_unspecified() {
        return Place::Wildcard((tuple.proto, tuple.src.port(), tuple.dst));
    }
    let (key, way) = tuple.canonical();
    Place::Flow(key, way == Way::Up)
}
