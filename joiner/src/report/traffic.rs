//! What the packets of a chunk add up to: by time, by process, by who talks to whom. Every chunk is
//! collected by itself, on any worker, and merged in the order of the file; what comes out does not
//! depend on the number of workers, and its size not on that of the capture.

use hashbrown::HashMap;
use schema::FiveTuple;

use super::party::{Group, Pair};
use super::scale::{Cell, Timeline, Width};
use super::table::{Both, Sum, Table};
use crate::attribute::{SideVerdict, Verdict};
use crate::chunk::{Chunk, Item};
use crate::events::{IdentityId, Recordings};
use crate::examine::Examined;
use crate::summary::Counts;

/// Programs that have a series of their own: 8 MB with all buckets.
const MAX_GROUPS: usize = 2048;
/// Processes with a row of their own, 3 MB.
const MAX_PROCESSES: usize = 65_536;
/// Pairs with a row of their own, 12 MB.
const MAX_PAIRS: usize = 65_536;

/// One bucket of time.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// How its packets were decided.
    pub counts: Counts,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Bytes sent and received by each program, by its place in [`Traffic::groups`].
    pub groups: Vec<[u64; 2]>,
}

impl Moment {
    fn add_group(&mut self, at: usize, [sent, received]: [u64; 2]) {
        if self.groups.len() <= at {
            self.groups.resize(at + 1, [0; 2]);
        }
        let bytes = &mut self.groups[at];
        *bytes = [bytes[0].saturating_add(sent), bytes[1].saturating_add(received)];
    }

    fn replace_groups(&mut self, places: &[Option<usize>]) {
        for (bytes, place) in std::mem::take(&mut self.groups).into_iter().zip(places) {
            if let Some(place) = *place {
                self.add_group(place, bytes);
            }
        }
    }
}

impl Cell for Moment {
    fn merge(&mut self, other: Self) {
        self.counts.merge(&other.counts);
        self.bytes = self.bytes.saturating_add(other.bytes);
        for (at, bytes) in other.groups.into_iter().enumerate() {
            self.add_group(at, bytes);
        }
    }
}

/// What packets add up to.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// By time.
    pub timeline: Timeline<Moment>,
    /// Packets without a time.
    pub untimed: Counts,
    /// Time of the earliest packet, and of the latest one, nanoseconds since 1970 by the wall clock.
    pub span: Option<(i64, i64)>,
    /// Sent and received, by program.
    pub groups: Table<Group>,
    /// Sent and received, by process.
    pub processes: Table<IdentityId>,
    /// From client to server and back.
    pub pairs: Table<Pair>,
    /// Packets that have no ends.
    pub endless: Sum,
}

impl Traffic {
    /// Nothing yet, in buckets of this width or a greater one.
    #[must_use]
    pub fn new(width: Width) -> Self {
        Self {
            timeline: Timeline::new(width),
            untimed: Counts::default(),
            span: None,
            groups: Table::default(),
            processes: Table::default(),
            pairs: Table::default(),
            endless: Sum::default(),
        }
    }

    /// What `chunk` adds up to, whose packets were decided as `packets`: one for every item that is
    /// a packet, in order.
    #[must_use]
    pub fn of(chunk: &Chunk, packets: &[Examined], recordings: &Recordings, width: Width) -> Self {
        let mut traffic = Self::new(width);
        let mut flows = Flows::default();
        let items = chunk.items().filter(Item::is_packet);
        for (item, examined) in items.zip(packets) {
            let (time_ns, bytes) = match item {
                Item::Block(packet, interface) => {
                    let time_ns = interface.clock.nanoseconds(packet.timestamp());
                    (time_ns, packet.original_length())
                }
                Item::Record(record, _) => (record.time_ns, record.original_length),
                Item::Simple(_) | Item::Malformed(_) | Item::Other(_) => {
                    traffic.untimed.add(&examined.verdict);
                    continue;
                }
            };
            let bucket = width.bucket(time_ns);
            if flows.bucket != bucket {
                traffic.take(&mut flows, recordings, width);
                flows.bucket = bucket;
            }
            flows.add(examined, time_ns, bytes);
        }
        traffic.take(&mut flows, recordings, width);
        traffic
    }

    /// Adds the traffic of the chunk that follows.
    pub fn merge(&mut self, mut next: Self) {
        let places = self.groups.merge(next.groups).into_iter().map(Some).collect::<Vec<_>>();
        next.timeline.cells_mut().for_each(|moment| moment.replace_groups(&places));
        self.timeline.merge(next.timeline);
        if let Some(places) = self.groups.prune(MAX_GROUPS) {
            self.timeline.cells_mut().for_each(|moment| moment.replace_groups(&places));
        }
        self.processes.merge(next.processes);
        self.processes.prune(MAX_PROCESSES);
        self.pairs.merge(next.pairs);
        self.pairs.prune(MAX_PAIRS);
        self.untimed.merge(&next.untimed);
        self.endless.add(next.endless);
        self.widen_span(next.span);
    }

    fn widen_span(&mut self, span: Option<(i64, i64)>) {
        self.span = match (self.span, span) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (span, None) | (None, span) => span,
        };
    }

    /// Adds the flows of one bucket, and forgets them.
    fn take(&mut self, flows: &mut Flows, recordings: &Recordings, width: Width) {
        self.widen_span(flows.span.take());
        flows.places.clear();
        if flows.entries.is_empty() {
            return;
        }
        let moment = self.timeline.at(flows.bucket.saturating_mul(width.ns()));
        for Entry { verdict, tuple, sum } in flows.entries.drain(..) {
            moment.counts.add_many(&verdict, sum.packets);
            moment.bytes = moment.bytes.saturating_add(sum.bytes);
            for (side, way) in [(&verdict.src, 0), (&verdict.dst, 1)] {
                let SideVerdict::Named { owner, .. } = *side else { continue };
                let mut both = Both::default();
                both[way] = sum;
                self.processes.add(owner, both);
                let group = self.groups.add(Group::of(recordings, owner), both);
                moment.add_group(group, both.map(|sum| sum.bytes));
            }
            let Some(tuple) = tuple else {
                self.endless.add(sum);
                continue;
            };
            let (pair, forward) = Pair::of(recordings, &verdict, tuple);
            let mut both = Both::default();
            both[usize::from(!forward)] = sum;
            self.pairs.add(pair, both);
        }
    }
}

/// The packets of one bucket, by flow and direction: what is looked up per packet is one number.
#[derive(Debug, Default)]
struct Flows {
    bucket: i64,
    span: Option<(i64, i64)>,
    places: HashMap<u64, usize>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    verdict: Verdict,
    tuple: Option<FiveTuple>,
    sum: Sum,
}

impl Flows {
    fn add(&mut self, packet: &Examined, time_ns: i64, bytes: u32) {
        let (first, last) = self.span.unwrap_or((time_ns, time_ns));
        self.span = Some((first.min(time_ns), last.max(time_ns)));
        let sum = Sum { packets: 1, bytes: bytes.into() };
        let next = self.entries.len();
        // What has no flow has no name either, and is one of a few reasons.
        let place = self.places.entry(packet.flow.unwrap_or(0)).or_insert(next);
        match self.entries.get_mut(*place) {
            Some(entry) if entry.verdict == packet.verdict => entry.sum.add(sum),
            _ => {
                *place = next;
                let (verdict, tuple) = (packet.verdict, packet.tuple);
                self.entries.push(Entry { verdict, tuple, sum });
            }
        }
    }
}
