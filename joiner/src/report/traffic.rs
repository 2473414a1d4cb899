//! What all packets add up to: by time, by process, by who talks to whom. Chunks are merged in the
//! order of the file, so that what comes out does not depend on the number of workers; its size does
//! not depend on that of the capture.

use super::collect::{Collected, Entry, Moment};
use super::party::Pair;
use super::scale::{Timeline, Width};
use super::table::{Both, Sum, Table};
use crate::attribute::SideVerdict;
use crate::events::{IdentityId, Recordings};
use crate::summary::Counts;

/// Flows and directions that are added to before they are looked up, a power of two: 5 MB.
const RECENT: usize = 1 << 15;
/// Processes with a row of their own, 3 MB.
const MAX_PROCESSES: usize = 65_536;
/// Pairs with a row of their own, 12 MB.
const MAX_PAIRS: usize = 65_536;

/// What packets add up to.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// By time.
    pub timeline: Timeline<Moment>,
    /// Packets without a time.
    pub untimed: Counts,
    /// Time of the earliest packet, and of the latest one, nanoseconds since 1970 by the wall clock.
    pub span: Option<(i64, i64)>,
    /// Sent and received, by process.
    pub processes: Table<IdentityId>,
    /// From client to server and back.
    pub pairs: Table<Pair>,
    /// Packets that have no ends.
    pub endless: Sum,
    /// By the last bits of their flows; one that comes where another is takes its place.
    recent: Vec<Option<Entry>>,
}

impl Traffic {
    /// Nothing yet, in buckets of this width or a greater one.
    #[must_use]
    pub fn new(width: Width) -> Self {
        Self {
            timeline: Timeline::new(width),
            untimed: Counts::default(),
            span: None,
            processes: Table::default(),
            pairs: Table::default(),
            endless: Sum::default(),
            recent: vec![None; RECENT],
        }
    }

    /// Adds the chunk that follows.
    pub fn merge(&mut self, next: Collected, recordings: &Recordings) {
        self.timeline.merge(next.timeline);
        self.untimed.merge(&next.untimed);
        self.span = match (self.span, next.span) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (span, None) | (None, span) => span,
        };
        for entry in next.flows {
            let slot = &mut self.recent[entry.flow as usize % RECENT];
            match slot {
                Some(known) if known.is_like(&entry) => known.sum.add(entry.sum),
                _ => {
                    if let Some(known) = slot.replace(entry) {
                        self.settle(&known, recordings);
                    }
                }
            }
        }
        self.processes.prune(MAX_PROCESSES);
        self.pairs.prune(MAX_PAIRS);
    }

    /// To be called after the last chunk.
    pub fn finish(&mut self, recordings: &Recordings) {
        for entry in std::mem::take(&mut self.recent).into_iter().flatten() {
            self.settle(&entry, recordings);
        }
    }

    fn settle(&mut self, entry: &Entry, recordings: &Recordings) {
        let Entry { verdict, tuple, sum, .. } = *entry;
        for (side, way) in [(&verdict.src, 0), (&verdict.dst, 1)] {
            let SideVerdict::Named { owner, .. } = *side else { continue };
            let mut both = Both::default();
            both[way] = sum;
            self.processes.add(owner, both);
        }
        let Some(tuple) = tuple else {
            self.endless.add(sum);
            return;
        };
        let (pair, forward) = Pair::of(recordings, &verdict, tuple);
        let mut both = Both::default();
        both[usize::from(!forward)] = sum;
        self.pairs.add(pair, both);
    }
}
