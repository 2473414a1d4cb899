//! Time: packets are told by the clock of the host that captured, rows by the clock of theirs. Here
//! all become one: the steady clock of the host that captured, in which nobody ever set the time.
//! [`estimate`] finds out by how much the clock of a recording differs from it.

pub mod estimate;

use crate::events::{StepBack, Timeline};

/// How much packets may be out of order, nanoseconds: those of several interfaces are not written
/// down in the order of their times. A jump back by more is a step of the clock; one by less only
/// where it is as long as the step and happens when that did.
const DISORDER_NS: i64 = 1_000_000_000;

/// A packet whose time is before that of the packet before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Where it stands in the file, bytes.
    pub position: u64,
    /// The time of the packet before, nanoseconds since 1970.
    pub from_ns: i64,
    /// Its own time, nanoseconds since 1970.
    pub to_ns: i64,
}

/// The clock that a capture's times were taken from.
#[derive(Clone, Debug, Default)]
pub struct CaptureClock {
    timeline: Timeline,
    is_steady: bool,
    /// Where in the file the clock had been set back.
    marks: Vec<(u64, StepBack)>,
    /// Wall times that the clock showed twice, while nothing tells whether it was the first time.
    doubtful: Option<(i64, i64)>,
}

impl CaptureClock {
    /// The clock that was set as `timeline` tells, in a capture from the first time to the last one
    /// of `span` that jumps back at `jumps`, which are in file order.
    #[must_use]
    pub fn new(timeline: Timeline, jumps: &[Jump], span: Option<(i64, i64)>) -> Self {
        let mut marks: Vec<(u64, StepBack)> = vec![];
        let mut doubtful = None;
        let (mut first_ns, last_ns) = span.unwrap_or_default();
        for step in timeline.steps_back() {
            let from = marks.last().map_or(0, |&(position, _)| position + 1);
            let fits = |jump: &&Jump| jump.position >= from && is_explained(jump, &step);
            let fit = jumps.iter().filter(fits);
            if let Some(longest) = fit.max_by_key(|jump| jump.from_ns.abs_diff(jump.to_ns)) {
                marks.push((longest.position, step));
                first_ns = longest.to_ns;
            } else if first_ns >= step.to_ns && last_ns > step.from_ns {
                // It goes on beyond what the clock showed then: it began afterwards.
                marks.push((from, step));
            } else if (step.to_ns..=step.from_ns).contains(&first_ns) {
                doubtful = doubtful.or(Some((step.to_ns, step.from_ns)));
            }
        }
        Self { is_steady: timeline.is_steady(), timeline, marks, doubtful }
    }

    /// Whether the clock showed `wall_ns` twice, and nothing tells which time a packet is from.
    #[inline]
    #[must_use]
    pub fn is_doubtful(&self, wall_ns: i64) -> bool {
        self.doubtful.is_some_and(|(from, to)| (from..=to).contains(&wall_ns))
    }

    /// Whether the clock was never set.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.is_steady
    }

    /// The steady time of a packet that stands at byte `position` of the file.
    #[inline]
    #[must_use]
    pub fn steady(&self, wall_ns: i64, position: u64) -> i64 {
        if self.is_steady || self.timeline == Timeline::default() {
            return wall_ns;
        }
        let passed = self.marks.partition_point(|&(mark, _)| mark <= position);
        let after = passed.checked_sub(1).map(|last| self.marks[last].1);
        self.timeline.steady(wall_ns, after)
    }
}

/// Whether the clock was set back between the two packets of `jump`.
fn is_explained(jump: &Jump, step: &StepBack) -> bool {
    let near = |a: i64, b: i64| a.abs_diff(b) <= DISORDER_NS.unsigned_abs();
    let is_across = jump.from_ns <= step.from_ns && jump.to_ns >= step.to_ns;
    let is_in_order = near(jump.from_ns, step.from_ns) && near(jump.to_ns, step.to_ns);
    is_across && (is_in_order || jump.from_ns - jump.to_ns > DISORDER_NS)
}
