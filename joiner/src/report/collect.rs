//! What the packets of a chunk add up to, on any worker: by time, and by flow. Everything that takes
//! longer than a look at the packet is left to [`Traffic`](super::traffic::Traffic), which does it
//! once for many packets.

use schema::FiveTuple;

use super::groups::Groups;
use super::scale::{Cell, Timeline, Width};
use super::table::Sum;
use crate::attribute::{SideVerdict, Verdict};
use crate::chunk::{Chunk, Item};
use crate::examine::Examined;
use crate::summary::Counts;

/// Flows of a chunk that are kept in mind at the same time, a power of two: a chunk has few more
/// packets than that.
const RECENT: usize = 1024;

/// One bucket of time.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// How its packets were decided.
    pub counts: Counts,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Bytes sent and received by each program, by its number.
    pub groups: Vec<[u64; 2]>,
}

impl Moment {
    fn add(&mut self, verdict: &Verdict, bytes: u64, groups: &Groups) {
        self.counts.add(verdict);
        self.bytes = self.bytes.saturating_add(bytes);
        for (side, way) in [(&verdict.src, 0), (&verdict.dst, 1)] {
            let SideVerdict::Named { owner, .. } = *side else { continue };
            let number = groups.number(owner);
            if self.groups.len() <= number {
                self.groups.resize(number + 1, [0; 2]);
            }
            let sum = &mut self.groups[number][way];
            *sum = sum.saturating_add(bytes);
        }
    }
}

impl Cell for Moment {
    fn merge(&mut self, other: Self) {
        self.counts.merge(&other.counts);
        self.bytes = self.bytes.saturating_add(other.bytes);
        if self.groups.len() < other.groups.len() {
            self.groups.resize(other.groups.len(), [0; 2]);
        }
        for (mine, theirs) in
            self.groups.as_flattened_mut().iter_mut().zip(other.groups.as_flattened())
        {
            *mine = mine.saturating_add(*theirs);
        }
    }
}

/// Some packets of one flow and direction that were decided alike. There may be more of these.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Names the flow and direction; 0 for what has none.
    pub flow: u64,
    /// The decision.
    pub verdict: Verdict,
    /// From who sent it to who received it.
    pub tuple: Option<FiveTuple>,
    /// How many, and their bytes on the wire.
    pub sum: Sum,
}

impl Entry {
    /// Whether `other` can be added to this.
    #[inline]
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.flow == other.flow && self.verdict == other.verdict
    }
}

/// What a chunk adds up to.
#[derive(Clone, Debug)]
pub struct Collected {
    /// By time.
    pub timeline: Timeline<Moment>,
    /// Packets without a time.
    pub untimed: Counts,
    /// Time of the earliest packet, and of the latest one, nanoseconds since 1970 by the wall clock.
    pub span: Option<(i64, i64)>,
    /// By flow.
    pub flows: Vec<Entry>,
}

/// Collects, in the same way from every chunk.
#[derive(Debug)]
pub struct Collector {
    /// Buckets of time are of this width or more.
    pub width: Width,
    /// The programs that are counted.
    pub groups: Groups,
}

impl Collector {
    /// What `chunk` adds up to, whose packets were decided as `packets`: one for every item that is
    /// a packet, in order.
    #[must_use]
    pub fn collect(&self, chunk: &Chunk<'_>, packets: &[Examined]) -> Collected {
        let mut out = Collected {
            timeline: Timeline::new(self.width),
            untimed: Counts::default(),
            span: None,
            flows: Vec::with_capacity(packets.len().min(RECENT)),
        };
        let mut recent = [u32::MAX; RECENT];
        let mut bucket = i64::MIN;
        let mut moment = Moment::default();
        let items = chunk.items().filter(Item::is_packet);
        for (item, examined) in items.zip(packets) {
            let (time_ns, bytes) = match item {
                Item::Block(packet, interface) => {
                    let time_ns = interface.clock.nanoseconds(packet.timestamp());
                    (time_ns, packet.original_length())
                }
                Item::Record(record, _) => (record.time_ns, record.original_length),
                Item::Simple(_) | Item::Malformed(_) | Item::Other(_) => {
                    out.untimed.add(&examined.verdict);
                    continue;
                }
            };
            let (first, last) = out.span.unwrap_or((time_ns, time_ns));
            out.span = Some((first.min(time_ns), last.max(time_ns)));
            let its = self.width.bucket(time_ns);
            if its != bucket {
                self.keep(&mut out.timeline, bucket, &mut moment);
                bucket = its;
            }
            let bytes = u64::from(bytes);
            moment.add(&examined.verdict, bytes, &self.groups);
            let entry = Entry {
                flow: examined.flow.unwrap_or(0),
                verdict: examined.verdict,
                tuple: examined.tuple,
                sum: Sum { packets: 1, bytes },
            };
            let slot = &mut recent[entry.flow as usize % RECENT];
            match out.flows.get_mut(*slot as usize) {
                Some(known) if known.is_like(&entry) => known.sum.add(entry.sum),
                _ => {
                    *slot = u32::try_from(out.flows.len()).unwrap_or(u32::MAX);
                    out.flows.push(entry);
                }
            }
        }
        self.keep(&mut out.timeline, bucket, &mut moment);
        out
    }

    /// Adds `moment` to its bucket, and begins another one.
    fn keep(&self, timeline: &mut Timeline<Moment>, bucket: i64, moment: &mut Moment) {
        if moment.counts.packets > 0 {
            let time_ns = bucket.saturating_mul(self.width.ns());
            timeline.at(time_ns).merge(std::mem::take(moment));
        }
    }
}
