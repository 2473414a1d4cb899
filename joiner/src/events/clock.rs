//! The wall clock of a host, which may be set while it is recorded. Times are told by a *steady*
//! clock instead: the wall clock as it would be had nobody touched it since the first row that
//! tells of it.

/// From `boot_ns` on the wall clock was `offset_ns` ahead of the time since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    boot_ns: i64,
    offset_ns: i64,
}

/// How a host's wall clock was set, by its `clock` rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// In order of time; empty if no row tells.
    segments: Vec<Segment>,
    /// The offset of the first row read.
    base_ns: Option<i64>,
}

/// Steps back by more than this repeat wall times in a way that matters, nanoseconds: the recorder
/// reports smaller changes every ten seconds only.
const STEP_NS: i64 = 1_000_000;

/// A moment at which the wall clock was set back, and all it showed for some time was shown before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBack {
    /// By how much, nanoseconds.
    pub by_ns: i64,
    /// Time since boot, nanoseconds.
    boot_ns: i64,
    /// What the wall clock showed just before and just after, nanoseconds since 1970.
    pub from_ns: i64,
    /// See `from_ns`.
    pub to_ns: i64,
}

impl Timeline {
    fn insert(&mut self, boot_ns: i64, offset_ns: i64) {
        self.base_ns.get_or_insert(offset_ns);
        let at = self.segments.partition_point(|segment| segment.boot_ns < boot_ns);
        let before = at.checked_sub(1).map(|at| self.segments[at].offset_ns);
        if before != Some(offset_ns) && self.segments.get(at).is_none_or(|s| s.boot_ns != boot_ns) {
            self.segments.insert(at, Segment { boot_ns, offset_ns });
        }
    }

    /// Whether wall clock and steady clock always agree.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.segments.iter().all(|segment| Some(segment.offset_ns) == self.base_ns)
    }

    /// The steps back, in order of time.
    #[must_use]
    pub fn steps_back(&self) -> Vec<StepBack> {
        let pairs = self.segments.windows(2).filter_map(|pair| {
            let [before, after] = pair else { return None };
            let by_ns = before.offset_ns - after.offset_ns;
            let boot_ns = after.boot_ns;
            let (from_ns, to_ns) = (boot_ns + before.offset_ns, boot_ns + after.offset_ns);
            (by_ns > STEP_NS).then_some(StepBack { by_ns, boot_ns, from_ns, to_ns })
        });
        pairs.collect()
    }

    /// The steady time at which the wall clock showed `wall_ns`; of several the first one after
    /// `after`, which is known to have happened.
    #[must_use]
    pub fn steady(&self, wall_ns: i64, after: Option<StepBack>) -> i64 {
        let Some(base_ns) = self.base_ns else { return wall_ns };
        let earliest = after.map_or(i64::MIN, |step| step.boot_ns);
        let first = self.segments.partition_point(|segment| segment.boot_ns < earliest);
        let mut offset_ns = self.segments.get(first).map_or(base_ns, |segment| segment.offset_ns);
        for (at, segment) in self.segments.iter().enumerate().skip(first) {
            if segment.boot_ns.saturating_add(segment.offset_ns) > wall_ns {
                break;
            }
            offset_ns = segment.offset_ns;
            let next = self.segments.get(at + 1).map(|next| next.boot_ns);
            if next.is_some_and(|next| wall_ns < next.saturating_add(segment.offset_ns)) {
                break;
            }
        }
        wall_ns - offset_ns + base_ns
    }
}

/// Reads the clock rows of one file, along with the rows whose times they explain.
#[derive(Debug, Default)]
pub(super) struct ClockReader {
    first_ns: Option<i64>,
    current_ns: Option<i64>,
}

impl ClockReader {
    /// From now on the rows' wall clock is ahead of `boot_ns` by `offset_ns`.
    pub(super) fn set(&mut self, timeline: &mut Timeline, boot_ns: u64, offset_ns: i64) {
        let offset_ns = believable(offset_ns);
        timeline.insert(believable(i64::try_from(boot_ns).unwrap_or(i64::MAX)), offset_ns);
        self.first_ns.get_or_insert(offset_ns);
        self.current_ns = Some(offset_ns);
    }

    /// The steady time of a row.
    pub(super) fn steady(&self, timeline: &Timeline, wall_ns: i64) -> i64 {
        steady(timeline, self.current_ns, wall_ns)
    }

    /// The steady time of the first row.
    pub(super) fn first_steady(&self, timeline: &Timeline, wall_ns: i64) -> i64 {
        steady(timeline, self.first_ns, wall_ns)
    }
}

fn steady(timeline: &Timeline, offset_ns: Option<i64>, wall_ns: i64) -> i64 {
    let moved = offset_ns.zip(timeline.base_ns).map_or(0, |(now, base)| now.saturating_sub(base));
    believable(believable(wall_ns).saturating_sub(moved))
}

/// No clock that is right shows a time beyond the year 2065, nanoseconds: a row that says so is
/// damaged. What is not as far away can be added and subtracted.
const FARTHEST_NS: i64 = 3_000_000_000_000_000_000;

fn believable(ns: i64) -> i64 {
    ns.clamp(-FARTHEST_NS, FARTHEST_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(offsets: &[(i64, i64)]) -> Timeline {
        let mut timeline = Timeline::default();
        for &(boot_ns, offset_ns) in offsets {
            timeline.insert(boot_ns, offset_ns);
        }
        timeline
    }

    const MS: i64 = 1_000_000;

    #[test]
    fn an_untouched_clock_is_steady() {
        let same = timeline(&[(0, 500), (100, 500)]);
        assert!(same.is_steady() && Timeline::default().is_steady());
        assert_eq!(same.steady(777, None), 777);
        assert_eq!(Timeline::default().steady(777, None), 777);
    }

    #[test]
    fn a_step_forward_is_taken_out() {
        let stepped = timeline(&[(0, 1000 * MS), (50 * MS, 4000 * MS)]);
        assert_eq!(stepped.steady(1049 * MS, None), 1049 * MS);
        assert_eq!(stepped.steady(4050 * MS, None), 1050 * MS);
        assert_eq!(stepped.steps_back(), []);
    }

    #[test]
    fn after_a_step_back_the_order_decides() {
        let stepped = timeline(&[(0, 5000 * MS), (100 * MS, 4950 * MS)]);
        // The wall clock shows 5050..5100 twice.
        let [step] = stepped.steps_back()[..] else { panic!("one step") };
        assert_eq!((step.by_ns, step.from_ns, step.to_ns), (50 * MS, 5100 * MS, 5050 * MS));
        assert_eq!(stepped.steady(5060 * MS, None), 5060 * MS);
        assert_eq!(stepped.steady(5060 * MS, Some(step)), 5110 * MS);
        assert_eq!(stepped.steady(5120 * MS, None), 5170 * MS, "only after the step");
    }

    #[test]
    fn rows_are_steady_by_the_last_clock_row() {
        let mut timeline = Timeline::default();
        let mut reader = ClockReader::default();
        assert_eq!(reader.steady(&timeline, 10), 10);
        reader.set(&mut timeline, 0, 100);
        assert_eq!(reader.steady(&timeline, 110), 110);
        reader.set(&mut timeline, 50, 40);
        assert_eq!(reader.steady(&timeline, 95), 155);
        assert_eq!(reader.first_steady(&timeline, 95), 95);
    }

    #[test]
    fn times_that_no_clock_shows_overflow_nowhere() {
        let mut timeline = Timeline::default();
        let mut clock = ClockReader::default();
        for (boot_ns, offset_ns) in [(0, i64::MIN), (u64::MAX, i64::MAX), (5, i64::MIN)] {
            clock.set(&mut timeline, boot_ns, offset_ns);
        }
        let times = [i64::MIN, 0, i64::MAX].map(|wall_ns| clock.steady(&timeline, wall_ns));
        assert!(times.is_sorted() && times[2].checked_sub(times[0]).is_some(), "{times:?}");
        assert!(timeline.steps_back().iter().all(|step| step.by_ns > 0));
    }
}
