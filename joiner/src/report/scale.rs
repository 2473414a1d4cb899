//! Time in buckets: at most so many of one width, which grows as time goes on. Widths are what people
//! read easily, and each is a multiple of the one before, so that buckets can be put together; where
//! one begins depends on its width alone, not on what was seen first.

use std::collections::VecDeque;

/// Most buckets: one every few pixels of a chart as wide as a page.
pub const MAX_BUCKETS: usize = 240;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Nanoseconds. [`MAX_BUCKETS`] of the last cover all that 64 bits can tell.
const WIDTHS_NS: [i64; 23] = [
    MS,
    2 * MS,
    10 * MS,
    20 * MS,
    100 * MS,
    200 * MS,
    SECOND,
    2 * SECOND,
    10 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    10 * DAY,
    100 * DAY,
    1000 * DAY,
];

/// One of the widths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Width(usize);

impl Width {
    /// The least one of which [`MAX_BUCKETS`] cover this time, whatever the order of its ends.
    #[must_use]
    pub fn covering(from_ns: i64, to_ns: i64) -> Self {
        let (from, to) = (from_ns.min(to_ns), from_ns.max(to_ns));
        let fits = |width: &Self| {
            let buckets = width.bucket(to) - width.bucket(from);
            usize::try_from(buckets).is_ok_and(|buckets| buckets < MAX_BUCKETS)
        };
        (0..WIDTHS_NS.len()).map(Self).find(fits).unwrap_or(Self(WIDTHS_NS.len() - 1))
    }

    /// Nanoseconds.
    #[must_use]
    pub const fn ns(self) -> i64 {
        WIDTHS_NS[self.0]
    }

    /// Number of the bucket that `time_ns` falls into.
    #[inline]
    #[must_use]
    pub const fn bucket(self, time_ns: i64) -> i64 {
        time_ns.div_euclid(self.ns())
    }

    const fn wider(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What a bucket holds.
pub trait Cell: Default {
    /// Adds what another one holds.
    fn merge(&mut self, other: Self);
}

/// Buckets without a gap, from the first that holds something to the last.
#[derive(Clone, Debug)]
pub struct Timeline<T> {
    width: Width,
    first: i64,
    cells: VecDeque<T>,
}

impl<T: Cell> Timeline<T> {
    /// None yet; of this width, or a greater one.
    #[must_use]
    pub fn new(width: Width) -> Self {
        Self { width, first: 0, cells: VecDeque::new() }
    }

    /// How wide they are by now.
    #[must_use]
    pub fn width(&self) -> Width {
        self.width
    }

    /// Nanoseconds since 1970 at which the first begins.
    #[must_use]
    pub fn start_ns(&self) -> i64 {
        self.first.saturating_mul(self.width.ns())
    }

    /// In order.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = &T> {
        self.cells.iter()
    }

    /// The one that `time_ns` falls into.
    pub fn at(&mut self, time_ns: i64) -> &mut T {
        loop {
            let bucket = self.width.bucket(time_ns);
            if self.cells.is_empty() {
                self.first = bucket;
            }
            let last = self.first + self.cells.len() as i64 - 1;
            let (first, last) = (self.first.min(bucket), last.max(bucket));
            if last - first < MAX_BUCKETS as i64 {
                return self.cover(first, last, bucket);
            }
            self.widen();
        }
    }

    /// Adds the buckets of `other`.
    pub fn merge(&mut self, mut other: Self) {
        while other.width < self.width {
            other.widen();
        }
        let (width, first) = (other.width, other.first);
        for (bucket, cell) in (first..).zip(other.cells) {
            self.at(bucket.saturating_mul(width.ns())).merge(cell);
        }
        while self.width < width {
            self.widen();
        }
    }

    fn cover(&mut self, first: i64, last: i64, bucket: i64) -> &mut T {
        for _ in first..self.first {
            self.cells.push_front(T::default());
        }
        self.first = first;
        let length = usize::try_from(last - first + 1).unwrap_or(1);
        self.cells.resize_with(length, T::default);
        &mut self.cells[usize::try_from(bucket - first).unwrap_or(0)]
    }

    fn widen(&mut self) {
        let (narrow, wide) = (self.width, self.width.wider());
        let factor = wide.ns() / narrow.ns();
        let first = self.first.div_euclid(factor);
        let mut cells = VecDeque::new();
        for (bucket, cell) in (self.first..).zip(self.cells.drain(..)) {
            let at = usize::try_from(bucket.div_euclid(factor) - first).unwrap_or(0);
            cells.resize_with(at + 1, T::default);
            cells[at].merge(cell);
        }
        (self.width, self.first, self.cells) = (wide, first, cells);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Cell for u64 {
        fn merge(&mut self, other: Self) {
            *self += other;
        }
    }

    fn counted(times: &[i64]) -> Timeline<u64> {
        let mut timeline = Timeline::new(Width::default());
        for &time in times {
            *timeline.at(time) += 1;
        }
        timeline
    }

    #[test]
    fn widths_can_be_put_together_and_cover_all_times() {
        for pair in WIDTHS_NS.windows(2) {
            assert_eq!(pair[1] % pair[0], 0, "{pair:?}");
        }
        assert_eq!(Width::covering(i64::MAX, i64::MIN).0, WIDTHS_NS.len() - 1);
        assert_eq!(counted(&[i64::MIN, 0, i64::MAX]).cells().sum::<u64>(), 3);
    }

    #[test]
    fn a_minute_is_shown_in_buckets_of_its_size() {
        let start = 1_700_000_000 * SECOND;
        let timeline = counted(&[start, start + 59 * SECOND]);
        assert_eq!(timeline.width().ns(), SECOND);
        assert_eq!((timeline.start_ns(), timeline.cells().len()), (start, 60));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_up_the_buckets_are_the_same(
            times in prop::collection::vec(prop_oneof![0..10 * SECOND, any::<i64>()], 1..40),
            cut in 0..40_usize,
        ) {
            let (early, late) = times.split_at(cut.min(times.len()));
            let mut merged = counted(early);
            merged.merge(counted(late));
            let whole = counted(&times);
            prop_assert!(whole.cells().len() <= MAX_BUCKETS);
            prop_assert_eq!(merged.width(), whole.width());
            prop_assert_eq!(merged.start_ns(), whole.start_ns());
            prop_assert!(merged.cells().eq(whole.cells()));
            let (least, most) = (times.iter().min(), times.iter().max());
            let fit = Width::covering(*least.expect("some"), *most.expect("some"));
            prop_assert_eq!(whole.width(), fit);
        }
    }
}
