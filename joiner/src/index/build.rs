//! Builds the index. With millions of conversations nearly all of the time is waiting for memory, so each
//! step goes through them in their order, and what it will need is touched some steps ahead.
//!
//! ```text
//! count the entries of every flow ─► give each flow its place ─► fill the entries in ─► ends of one tuple's
//! ```

use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rayon::iter::ParallelIterator as _;
use rayon::slice::ParallelSliceMut as _;
use schema::flow::Way;
use schema::{Endpoint, FiveTuple, Proto};

use super::table::Table;
use super::{BATCH, BEGINS_FLOW, Entry, IS_CONTESTED, IS_DOWN, Index, Lane, WildcardKey, position};
use crate::events::{ConversationId, HostId, Life, NamespaceId, Recordings};

/// Entries that one thread fills in at a time.
const SHARE: usize = 1 << 16;

/// Instead of a slot: the conversation has none, as its local address is a wildcard.
const NO_SLOT: u32 = u32::MAX;
/// Beside a slot: the local end is the higher one. No table has so many slots.
const IS_HIGH: u32 = 1 << 31;
/// Beside the number of a conversation: its flow has no place yet. No recording has so many.
const NOT_PLACED: u32 = 1 << 31;

/// Where the entry of a conversation goes whose flow has several.
#[derive(Clone, Copy)]
struct Placed {
    /// Twice the position of its flow's first entry; one more if it is not local to the lower end.
    order: u64,
    conversation: ConversationId,
}

/// Indexes every conversation of `recordings`.
pub(super) fn index(recordings: &Recordings) -> Index {
    let lanes = Lanes::new(recordings);
    let mut index = Index::default();
    let (slots, mut wild) = index.count(recordings);
    let nothing = Entry {
        conversation: ConversationId(0),
        start_ns: 0,
        end_ns: 0,
        latest_end_ns: 0,
        place: 0,
    };
    index.entries = vec![nothing; slots.len()];
    index.of_flows = slots.len() - wild.len();
    let mut groups = index.place(recordings, slots);
    wild.sort_by_cached_key(|&(key, id)| (key, rank(recordings, id)));
    let mut at = index.of_flows;
    for group in wild.chunk_by(|a, b| a.0 == b.0) {
        let range = at..at + group.len();
        at = range.end;
        for (entry, &(_, id)) in index.entries[range.clone()].iter_mut().zip(group) {
            entry.conversation = id;
        }
        index.wildcards.insert(group[0].0, position(range.start)..position(range.end));
        groups.push(range);
    }
    drop(wild);
    index.entries.par_chunks_mut(SHARE).for_each(|entries| {
        let mut contested = Contested::default();
        for entry in entries {
            fill(recordings, &lanes, &mut contested, entry);
        }
    });
    index.lanes = lanes.all;
    for range in groups {
        settle_group(recordings, &index.lanes, &mut index.entries[range]);
    }
    index
}

impl Index {
    /// Counts the entries of every flow. By conversation, the slot of its flow; and those that have none.
    fn count(&mut self, recordings: &Recordings) -> (Vec<u32>, Vec<(WildcardKey, ConversationId)>) {
        let conversations = &recordings.conversations;
        let mut slots = Vec::with_capacity(conversations.len());
        let mut wild = vec![];
        let mut flows = Table::with_room_for(conversations.len());
        let mut batch = Vec::with_capacity(BATCH);
        let mut ids = conversations.ids();
        loop {
            batch.clear();
            batch.extend(ids.by_ref().take(BATCH).map(|id| {
                let tuple = conversations.tuple(id);
                let (key, way) = tuple.canonical();
                (id, tuple, key, way, flows.hash(&key))
            }));
            if batch.is_empty() {
                break;
            }
            for (.., hash) in &batch {
                flows.touch(*hash);
            }
            for &(id, FiveTuple { proto, src, dst }, key, way, hash) in &batch {
                if src.is_unspecified() {
                    wild.push(((proto, src.port(), dst), id));
                    slots.push(NO_SLOT);
                    continue;
                }
                let is_it =
                    |first: u32| conversations.is_of(ConversationId(first & !NOT_PLACED), &key);
                let slot = flows.count((hash, id.0 | NOT_PLACED), way == Way::Up, is_it);
                slots.push(if way == Way::Up { slot } else { slot | IS_HIGH });
            }
        }
        self.flows = flows;
        (slots, wild)
    }

    /// Gives every flow its place, and the entries of its conversations theirs; where there are several at
    /// one end.
    fn place(&mut self, recordings: &Recordings, slots: Vec<u32>) -> Vec<Range<usize>> {
        let Self { flows, entries, .. } = self;
        let mut next = 0;
        let mut several = vec![];
        for (at, (id, &slot)) in recordings.conversations.ids().zip(&slots).enumerate() {
            if let Some(&ahead) = slots.get(at + BATCH) {
                flows.touch_slot(ahead & !IS_HIGH);
            }
            if slot == NO_SLOT {
                continue;
            }
            let (slot, is_high) = (slot & !IS_HIGH, slot & IS_HIGH != 0);
            let mut found = flows.counted(slot);
            if found.first & NOT_PLACED != 0 {
                found.first = next;
                flows.place(slot, next);
                next += found.up + found.down;
                let its = &mut entries[number(found.first)..][..number(found.up + found.down)];
                its[0].place = BEGINS_FLOW;
                for entry in &mut its[number(found.up)..] {
                    entry.place |= IS_DOWN;
                }
            }
            if found.up > 1 || found.down > 1 {
                let order = u64::from(found.first) << 1 | u64::from(is_high);
                several.push(Placed { order, conversation: id });
            } else {
                let entry = found.first + if is_high { found.up } else { 0 };
                entries[number(entry)].conversation = id;
            }
        }
        drop(slots);
        several.par_sort_unstable_by(|a, b| {
            let [ours, theirs] = [a, b].map(|placed| placed.conversation);
            let by_rank = || rank(recordings, ours).cmp(&rank(recordings, theirs));
            a.order.cmp(&b.order).then_with(by_rank)
        });
        let mut groups = vec![];
        let mut end = 0;
        for group in several.chunk_by(|a, b| a.order == b.order) {
            let first = usize::try_from(group[0].order >> 1).unwrap_or(usize::MAX);
            // Those of the way up are the first ones, and came just before.
            let is_high = group[0].order & 1 != 0;
            let begin = if is_high && end > first { end } else { first };
            end = begin + group.len();
            for (entry, placed) in entries[begin..end].iter_mut().zip(group) {
                entry.conversation = placed.conversation;
            }
            groups.push(begin..end);
        }
        groups
    }
}

/// Fills in all that an entry has by itself.
fn fill(recordings: &Recordings, lanes: &Lanes, contested: &mut Contested, entry: &mut Entry) {
    let conversation = recordings.conversation(entry.conversation);
    let life = recordings.life(conversation.life);
    let lane = lanes.number(&life);
    let is_contested = contested.has(recordings, life.namespace, conversation.tuple.src);
    // Since rows were lost it may be over, and its tuple another one's, whose SYN the capture need not
    // have.
    (entry.start_ns, entry.end_ns) = (life.start_ns, life.sure_ns);
    entry.latest_end_ns = life.sure_ns;
    entry.place |= lane | if is_contested { IS_CONTESTED } else { 0 };
}

/// Works out what entries at one end of one flow, which come lane by lane, have to do with each other.
fn settle_group(recordings: &Recordings, lanes: &[Lane], group: &mut [Entry]) {
    for lane in group.chunk_by_mut(|a, b| a.lane() == b.lane()) {
        end_where_the_next_begins(recordings, lanes[number(lane[0].lane().0)], lane);
        let mut latest_end_ns = i64::MIN;
        for entry in lane {
            latest_end_ns = latest_end_ns.max(entry.end_ns);
            entry.latest_end_ns = latest_end_ns;
        }
    }
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

/// The order of entries at one end of one flow.
fn rank(recordings: &Recordings, id: ConversationId) -> (Lane, i64, ConversationId) {
    let life = recordings.life_of(id);
    (Lane { host: life.host, namespace: life.namespace }, life.start_ns, id)
}

/// All lanes by their numbers: those of namespaces, then those of hosts.
struct Lanes {
    all: Vec<Lane>,
    /// How many are namespaces'.
    namespaces: u32,
}

impl Lanes {
    fn new(recordings: &Recordings) -> Self {
        let (mut all, mut hosts): (Vec<Lane>, usize) = (vec![], 0);
        for id in recordings.lives.ids() {
            let (host, namespace) = recordings.lives.place(id);
            hosts = hosts.max(usize::from(host.0) + 1);
            let Some(namespace) = namespace else { continue };
            // A namespace is one host's.
            let lane = Lane { host, namespace: Some(namespace) };
            if number(namespace.0) >= all.len() {
                all.resize(number(namespace.0) + 1, lane);
            }
            all[number(namespace.0)] = lane;
        }
        let namespaces = position(all.len());
        let hosts = (0..).map(HostId).take(hosts);
        all.extend(hosts.map(|host| Lane { host, namespace: None }));
        Self { all, namespaces }
    }

    #[inline]
    fn number(&self, life: &Life) -> u32 {
        let of_host = self.namespaces + u32::from(life.host.0);
        life.namespace.map_or(of_host, |namespace| namespace.0)
    }
}

/// Local addresses that were ever another namespace's. Few are asked for, again and again.
#[derive(Default)]
struct Contested(HashMap<(Option<NamespaceId>, [u8; 16]), bool, RandomState>);

impl Contested {
    fn has(
        &mut self,
        recordings: &Recordings,
        namespace: Option<NamespaceId>,
        local: Endpoint,
    ) -> bool {
        *self.0.entry((namespace, local.mapped())).or_insert_with(|| {
            local.is_loopback()
                || local.is_unspecified()
                || recordings.places.is_shared(namespace, local)
        })
    }
}

#[inline]
fn number(of: u32) -> usize {
    usize::try_from(of).unwrap_or(usize::MAX)
}
