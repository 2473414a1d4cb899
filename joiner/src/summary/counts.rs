//! How often which rule named an end, and how often which reason left it without a name.

use schema::annotation::{Match, Reason, Rule};
use serde_json::{Map, Value, json};

use crate::attribute::{SideVerdict, Verdict};

const RULES: usize = Rule::ALL.len();

/// How one end of the packets was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideCounts {
    /// By rule, without and with translation.
    matches: [[u64; RULES]; 2],
    reasons: [u64; Reason::ALL.len()],
}

impl SideCounts {
    fn add(&mut self, side: &SideVerdict, packets: u64) {
        match side {
            SideVerdict::Named { found, .. } => {
                self.matches[usize::from(found.nat)][found.rule as usize] += packets;
            }
            SideVerdict::Unnamed(reason) => self.reasons[*reason as usize] += packets,
        }
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in
            self.matches.as_flattened_mut().iter_mut().zip(other.matches.as_flattened())
        {
            *mine += theirs;
        }
        for (mine, theirs) in self.reasons.iter_mut().zip(other.reasons) {
            *mine += theirs;
        }
    }

    /// Packets with a name at this end.
    #[must_use]
    pub fn named(&self) -> u64 {
        self.matches.as_flattened().iter().sum()
    }

    /// Every match that occurred, most certain first.
    pub(crate) fn by_match(&self) -> impl Iterator<Item = (Match, u64)> {
        [false, true].into_iter().flat_map(move |nat| {
            Rule::ALL.iter().map(move |&rule| {
                (Match { nat, rule }, self.matches[usize::from(nat)][rule as usize])
            })
        })
    }

    /// Every reason that occurred.
    pub(crate) fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().map(|&reason| (reason, self.reasons[reason as usize]))
    }

    pub(super) fn json(&self) -> Value {
        let matches = self.by_match().map(|(found, count)| (found.to_string(), count));
        let reasons = self.by_reason().map(|(reason, count)| (reason.to_string(), count));
        json!({
            "named": self.named(),
            "by_match": non_zero(matches),
            "by_reason": non_zero(reasons),
        })
    }
}

pub(super) fn non_zero(counts: impl Iterator<Item = (String, u64)>) -> Map<String, Value> {
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.into())).collect()
}

/// How both ends of the packets were decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packet blocks and records.
    pub packets: u64,
    /// The sending end.
    pub src: SideCounts,
    /// The receiving end.
    pub dst: SideCounts,
}

impl Counts {
    /// Counts one packet.
    pub fn add(&mut self, verdict: &Verdict) {
        self.add_many(verdict, 1);
    }

    /// Counts so many packets of one kind.
    pub fn add_many(&mut self, verdict: &Verdict, packets: u64) {
        self.packets += packets;
        self.src.add(&verdict.src, packets);
        self.dst.add(&verdict.dst, packets);
    }

    /// Adds the counts of another chunk.
    pub fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.src.merge(&other.src);
        self.dst.merge(&other.dst);
    }
}
