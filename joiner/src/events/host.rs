//! Machines and recordings: what was watched, from when to when, and what was lost meanwhile.

use std::path::PathBuf;

use hashbrown::HashSet;
use schema::Endpoint;

use super::clock::Timeline;

/// How long before its `ts` a `lost` row reaches back, nanoseconds (it tells of the second
/// before).
const LOSS_SPAN_NS: i64 = 1_000_000_000;

/// Index into [`Recordings::hosts`](super::Recordings::hosts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u16);

/// One machine, from one boot to the next.
#[derive(Debug)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its boot id.
    pub boot_id: String,
    /// When it was recorded: from, to, nanoseconds since 1970; parts that follow one another are
    /// one.
    pub recorded: Vec<(i64, i64)>,
    /// Times before one of these of which there are rows, though not of all that happened: from, to.
    lead_ins: Vec<(i64, i64)>,
    /// How its wall clock was set meanwhile.
    pub timeline: Timeline,
    /// When events were lost: from, to, nanoseconds since 1970.
    losses: Vec<(i64, i64)>,
    /// When translations were lost, and nothing of sockets: the same.
    lost_translations: Vec<(i64, i64)>,
    /// Its addresses, IPv4 as IPv4-mapped, as far as any row tells.
    addresses: HashSet<[u8; 16]>,
}

impl Host {
    pub(crate) fn new(name: String, boot_id: String) -> Self {
        Self {
            name,
            boot_id,
            recorded: vec![],
            lead_ins: vec![],
            timeline: Timeline::default(),
            losses: vec![],
            lost_translations: vec![],
            addresses: HashSet::new(),
        }
    }

    /// Takes note of a time that was recorded, whose first row is of `first_ns`.
    pub(crate) fn add_recorded(&mut self, (from, to): (i64, i64), first_ns: i64) {
        if first_ns < from {
            self.lead_ins.push((first_ns, from));
        }
        match self.recorded.iter_mut().find(|(start, end)| *start <= to && from <= *end) {
            Some((start, end)) => (*start, *end) = (from.min(*start), to.max(*end)),
            None => self.recorded.push((from, to)),
        }
    }

    /// Until when it was recorded without a break from `time_ns` on; `None` if it was not then.
    pub(crate) fn recorded_until(&self, time_ns: i64) -> Option<i64> {
        let here = self.recorded.iter().filter(|&&(from, to)| from <= time_ns && time_ns <= to);
        here.map(|&(_, to)| to).max()
    }

    /// The same; a row of just before it was recorded counts as one of its beginning.
    pub(crate) fn told_until(&self, time_ns: i64) -> Option<i64> {
        let lead_in = self.lead_ins.iter().find(|&&(from, to)| from <= time_ns && time_ns < to);
        self.recorded_until(lead_in.map_or(time_ns, |&(_, to)| to))
    }

    /// Since when there are rows without a break until `time_ns`; `None` if there are none of then.
    pub(crate) fn told_from(&self, time_ns: i64) -> Option<i64> {
        let all = self.recorded.iter().chain(&self.lead_ins);
        let here = all.filter(|&&(from, to)| from <= time_ns && time_ns <= to);
        here.map(|&(from, _)| from).min()
    }

    pub(crate) fn add_loss(&mut self, time_ns: i64) {
        self.add_lost(time_ns.saturating_sub(LOSS_SPAN_NS), time_ns);
    }

    pub(crate) fn add_lost_translations(&mut self, time_ns: i64) {
        self.lost_translations.push((time_ns.saturating_sub(LOSS_SPAN_NS), time_ns));
    }

    /// Rows between these two moments are missing.
    pub(crate) fn add_lost(&mut self, from: i64, time_ns: i64) {
        match self.losses.last_mut() {
            Some((first, last)) if *first <= from && from <= *last => *last = time_ns.max(*last),
            _ => self.losses.push((from, time_ns)),
        }
    }

    pub(crate) fn add_address(&mut self, endpoint: Endpoint) {
        if !endpoint.is_unspecified() {
            self.addresses.insert(endpoint.mapped());
        }
    }

    /// Whether the address of `endpoint` is one of this machine's (every machine has its loopback).
    #[must_use]
    pub fn owns(&self, endpoint: Endpoint) -> bool {
        endpoint.is_loopback() || self.addresses.contains(&endpoint.mapped())
    }

    /// Moves all times by what `moved` makes of them.
    pub(crate) fn shift(&mut self, moved: impl Fn(i64) -> i64) {
        let losses = self.losses.iter_mut().chain(&mut self.lost_translations);
        let recorded = self.recorded.iter_mut().chain(&mut self.lead_ins);
        for (from, to) in recorded.chain(losses) {
            (*from, *to) = (moved(*from), moved(*to));
        }
    }

    /// When events were lost: from, to, nanoseconds since 1970.
    #[must_use]
    pub fn losses(&self) -> &[(i64, i64)] {
        &self.losses
    }

    /// Whether events were lost between these two moments.
    #[must_use]
    pub fn lost_between(&self, from_ns: i64, to_ns: i64) -> bool {
        self.losses.iter().any(|&(from, to)| from <= to_ns && from_ns <= to)
    }

    /// Whether `time_ns` was recorded.
    #[must_use]
    pub fn is_recorded(&self, time_ns: i64) -> bool {
        self.recorded.iter().any(|&(from, to)| from <= time_ns && time_ns <= to)
    }

    /// Whether `time_ns` and `span_ns` before it were recorded, and nothing was lost until then.
    #[must_use]
    pub fn is_whole_for(&self, span_ns: i64, time_ns: i64) -> bool {
        let from_ns = time_ns.saturating_sub(span_ns);
        self.recorded_until(from_ns).is_some_and(|until| time_ns <= until)
            && !self.lost_between(i64::MIN, time_ns)
    }

    /// When rows after `time_ns` first began to be lost.
    pub(crate) fn first_loss(&self, time_ns: i64) -> Option<i64> {
        let after = self.losses.iter().filter(|&&(_, to)| time_ns < to);
        after.map(|&(from, _)| from.max(time_ns)).min()
    }

    /// When anything was lost, as [`lost_at`](Self::lost_at) sees it.
    pub(crate) fn all_losses(&self) -> impl Iterator<Item = &(i64, i64)> {
        self.losses.iter().chain(&self.lost_translations)
    }

    /// When translations after `time_ns` first began to be lost.
    pub(crate) fn first_lost_translation(&self, time_ns: i64) -> Option<i64> {
        let after = self.lost_translations.iter().filter(|&&(_, to)| time_ns < to);
        after.map(|&(from, _)| from.max(time_ns)).min()
    }

    /// Whether events were lost around `time_ns`.
    #[must_use]
    pub fn lost_at(&self, time_ns: i64) -> bool {
        self.all_losses().any(|&(from, to)| from <= time_ns && time_ns <= to)
    }
}

/// What one event file, or all parts of a recording, say of themselves.
#[derive(Clone, Debug)]
pub struct RecordingInfo {
    /// The file; the first of several.
    pub path: PathBuf,
    /// Id of the recording; empty if it has none.
    pub recording: String,
    /// Parts read; 0 of a recording that has none.
    pub parts: u32,
    /// Parts before the last one that are not there.
    pub missing_parts: u32,
    /// Rows that are missing without a row or count that tells of them.
    pub missing_rows: u64,
    /// The machine's name.
    pub host: String,
    /// First moment recorded, nanoseconds since 1970.
    pub start_ns: i64,
    /// Last moment recorded, nanoseconds since 1970.
    pub end_ns: i64,
    /// Whether it ended cleanly.
    pub complete: bool,
    /// Rows.
    pub rows: u64,
    /// Things lost, by `lost` rows: (stage, how many).
    pub lost: Vec<(String, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_covers_the_second_before_its_row() {
        let mut host = Host::new("h".into(), "b".into());
        host.add_loss(5_000_000_000);
        host.add_loss(5_900_000_000);
        host.add_loss(9_000_000_000);
        assert!(!host.lost_at(3_999_999_999));
        assert!(host.lost_at(4_000_000_000) && host.lost_at(5_900_000_000));
        assert!(!host.lost_at(7_000_000_000) && host.lost_at(8_500_000_000));
    }

    #[test]
    fn what_is_told_of_before_the_start_is_open_from_then_on() {
        let mut host = Host::new("h".into(), "b".into());
        host.add_recorded((100, 200), 90);
        host.add_recorded((200, 300), 200);
        assert!(!host.is_recorded(99) && host.is_recorded(100));
        assert_eq!(
            [89, 90, 99, 100, 301].map(|at| host.told_until(at).is_some()),
            [false, true, true, true, false]
        );
        assert_eq!((host.told_until(95), host.recorded_until(95)), (Some(300), None));
        assert_eq!((host.told_from(95), host.told_from(250)), (Some(90), Some(100)));
    }

    #[test]
    fn every_host_owns_its_loopback() {
        let mut host = Host::new("h".into(), "b".into());
        host.add_address(Endpoint::v4([10, 0, 0, 1], 80));
        host.add_address(Endpoint::v4([0; 4], 80));
        assert!(host.owns(Endpoint::v4([10, 0, 0, 1], 9)));
        assert!(host.owns(Endpoint::v4([127, 0, 0, 53], 9)));
        assert!(!host.owns(Endpoint::v4([10, 0, 0, 2], 80)));
        assert!(!host.owns(Endpoint::v4([0; 4], 80)));
    }
}
