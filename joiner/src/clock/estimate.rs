//! How far the clock of a recording is from that of the capture: every connection that was both
//! recorded and captured tells, since its row stands right before its SYN. The median of many is
//! believed only where it matters and they agree.

use std::fmt;

use schema::Kind;

use crate::events::{HostId, Recordings};
use crate::index::{BATCH, Batch, Index};
use crate::syn::SynTable;

/// Pairs that are looked at: more don't make the median better.
const MAX_PAIRS: usize = 20_000;
/// Pairs without which nothing is believed.
const MIN_PAIRS: usize = 5;
/// Offsets below this change no decision, nanoseconds: the rules leave more room than that.
const LEAST_NS: i64 = 2_000_000;
/// The spread that is always allowed, nanoseconds: a busy host is late by as much.
const LEAST_SPREAD_NS: i64 = 2_000_000;
/// Largest spread, nanoseconds: with more, neighbouring connections change places.
const MAX_SPREAD_NS: i64 = 250_000_000;
/// The shortest time over which a drift shows, nanoseconds.
const DRIFT_SPAN_NS: i64 = 20_000_000_000;
/// Pairs whose slopes are compared, for a drift.
const DRIFT_PAIRS: usize = 400;
/// Clocks drift by less than one in a thousand; what seems to be more is something else.
const MAX_DRIFT: f64 = 1e-3;

/// What was found out about the clock of one host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Whose.
    pub host: HostId,
    /// Connections that were both recorded and captured, once each.
    pub pairs: usize,
    /// The capture's clock less the recording's, at `at_ns`; nanoseconds.
    pub offset_ns: i64,
    /// By how much more that is one second later, seconds.
    pub drift: f64,
    /// The time by the recording's clock for which `offset_ns` holds, nanoseconds since 1970.
    pub at_ns: i64,
    /// Half of the pairs are within this of the estimate, nanoseconds.
    pub spread_ns: i64,
    /// What became of it.
    pub use_: Use,
}

/// What becomes of an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Rows are shifted by it.
    Applied,
    /// The clocks agree.
    NotNeeded,
    /// Too few pairs.
    TooFew,
    /// The pairs don't agree.
    TooSpread,
    /// The user has given another one.
    Given,
}

impl Use {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::NotNeeded => "not needed",
            Self::TooFew => "not applied: too few connections",
            Self::TooSpread => "not applied: they disagree",
            Self::Given => "given by --clock-offset",
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Estimate {
    /// The capture's time for a time by the recording's clock, nanoseconds since 1970.
    #[must_use]
    pub fn moved(&self, time_ns: i64) -> i64 {
        if !matches!(self.use_, Use::Applied | Use::Given) {
            return time_ns;
        }
        time_ns.saturating_add(self.offset_at(time_ns))
    }

    fn offset_at(&self, time_ns: i64) -> i64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a thousandth of a time span"
        )]
        let drifted = (time_ns.saturating_sub(self.at_ns) as f64 * self.drift) as i64;
        self.offset_ns.saturating_add(drifted)
    }
}

/// The estimate for `host`, of the SYNs of a capture.
#[must_use]
pub fn estimate(recordings: &Recordings, index: &Index, syns: &SynTable, host: HostId) -> Estimate {
    let mut pairs = pairs(recordings, index, syns, host);
    let count = pairs.len();
    pairs.sort_unstable();
    let at_ns = pairs.get(count / 2).map_or(0, |pair| pair.0);
    let none = Estimate {
        host,
        pairs: count,
        offset_ns: 0,
        drift: 0.0,
        at_ns,
        spread_ns: 0,
        use_: Use::TooFew,
    };
    let still = fit(none, &pairs, 0.0);
    if count < MIN_PAIRS {
        let use_ = if still.offset_ns.abs() < LEAST_NS { Use::NotNeeded } else { Use::TooFew };
        return Estimate { use_, ..still };
    }
    let best = match drift(&pairs) {
        Some(drift) => {
            let moving = fit(none, &pairs, drift);
            if moving.spread_ns * 2 < still.spread_ns { moving } else { still }
        }
        None => still,
    };
    let (first, last) = (pairs[0].0, pairs[count - 1].0);
    let largest = [first, last].map(|time| best.offset_at(time).abs()).into_iter().max();
    let use_ = if largest.unwrap_or(0) < LEAST_NS {
        Use::NotNeeded
    } else if best.spread_ns > MAX_SPREAD_NS.min(LEAST_SPREAD_NS.max(best.offset_ns.abs() / 10)) {
        Use::TooSpread
    } else {
        Use::Applied
    };
    Estimate { use_, ..best }
}

/// (time of the row, time of its SYN less that), for every connection of which there is but one of
/// its tuple.
fn pairs(recordings: &Recordings, index: &Index, syns: &SynTable, host: HostId) -> Vec<(i64, i64)> {
    let mut pairs = vec![];
    if syns.is_empty() {
        return pairs;
    }
    let opened = recordings.conversations.iter(&recordings.lives).filter_map(|conversation| {
        let life = recordings.life(conversation.life);
        let is_it = life.host == host && life.opened == Kind::TcpConnect;
        is_it.then(|| (conversation.tuple.canonical(), life.start_ns))
    });
    let mut opened = opened.peekable();
    let (mut some, mut flows) = (vec![], Batch::default());
    while opened.peek().is_some() {
        some.clear();
        some.extend(opened.by_ref().take(BATCH));
        let keys = some.iter().map(|&((key, _), _)| key);
        index.find_all(keys, &recordings.conversations, &mut flows);
        for (&((_, way), start_ns), found) in some.iter().zip(flows.found()) {
            let Some(place) = *found else { continue };
            let [attempt] = syns.attempts_of(place.first) else { continue };
            let [alone, _] = index.flow(place).ends(way);
            if alone.len() == 1 && attempt.opener == way && attempt.is_seen {
                pairs.push((start_ns, attempt.first_ns.saturating_sub(start_ns)));
            }
            if pairs.len() >= MAX_PAIRS {
                return pairs;
            }
        }
    }
    pairs
}

/// Offset and spread, if the clocks drift so.
fn fit(mut estimate: Estimate, pairs: &[(i64, i64)], drift: f64) -> Estimate {
    estimate.drift = drift;
    estimate.offset_ns = 0;
    let level = |&(time_ns, offset_ns): &(i64, i64)| offset_ns - estimate.offset_at(time_ns);
    let mut levels: Vec<i64> = pairs.iter().map(level).collect();
    let offset_ns = median(&mut levels);
    let mut off: Vec<i64> =
        levels.iter().map(|level| level.saturating_sub(offset_ns).abs()).collect();
    estimate.spread_ns = median(&mut off);
    estimate.offset_ns = offset_ns;
    estimate
}

/// The median of the slopes between pairs that are far from each other (Theil and Sen).
fn drift(pairs: &[(i64, i64)]) -> Option<f64> {
    let (first, last) = (pairs.first()?.0, pairs.last()?.0);
    let span = last.saturating_sub(first);
    if span < DRIFT_SPAN_NS {
        return None;
    }
    let every = pairs.len().div_ceil(DRIFT_PAIRS);
    let some: Vec<_> = pairs.iter().step_by(every).collect();
    let mut slopes = vec![];
    for (at, a) in some.iter().enumerate() {
        for b in &some[at + 1..] {
            let apart = b.0 - a.0;
            if apart >= span / 4 {
                #[expect(clippy::cast_precision_loss, reason = "a ratio")]
                slopes.push((b.1 - a.1) as f64 / apart as f64);
            }
        }
    }
    let middle = slopes.len() / 2;
    if slopes.is_empty() {
        return None;
    }
    let (_, slope, _) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*slope).filter(|slope| slope.abs() <= MAX_DRIFT)
}

fn median(values: &mut [i64]) -> i64 {
    let middle = values.len() / 2;
    if values.is_empty() { 0 } else { *values.select_nth_unstable(middle).1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn of(pairs: &[(i64, i64)]) -> Estimate {
        let host = HostId(0);
        let at_ns = pairs[pairs.len() / 2].0;
        let (offset_ns, drift, spread_ns) = (0, 0.0, 0);
        let use_ = Use::Applied;
        let none = Estimate { host, pairs: pairs.len(), offset_ns, drift, at_ns, spread_ns, use_ };
        fit(none, pairs, super::drift(pairs).unwrap_or(0.0))
    }

    #[test]
    fn a_drift_shows_in_pairs_that_are_far_apart() {
        // Ten parts in a million, and one pair in ten that is a second late.
        let pairs: Vec<_> = (0..100)
            .map(|n| (n * SECOND, 5 * SECOND + n * 10_000 + i64::from(n % 10 == 0) * SECOND))
            .collect();
        let estimate = of(&pairs);
        assert!((estimate.drift - 1e-5).abs() < 1e-9, "{estimate:?}");
        assert!(estimate.spread_ns < 1000, "{estimate:?}");
        assert_eq!(estimate.moved(0) / 1000, 5_000_000);
        assert_eq!(estimate.moved(90 * SECOND) / 1000, 95_000_900);
    }

    #[test]
    fn short_captures_have_no_drift() {
        let pairs: Vec<_> = (0..10).map(|n| (n * SECOND, n * SECOND)).collect();
        assert_eq!(super::drift(&pairs), None);
    }
}
