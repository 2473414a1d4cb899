//! Random numbers from a seed, the same on every machine.

/// Splitmix64.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `from` on, below `to`.
    pub(super) fn within(&mut self, from: i64, to: i64) -> i64 {
        let width = u64::try_from(to - from).expect("a range");
        from + i64::try_from(self.next() % width).expect("small")
    }

    /// True so many times of a hundred.
    pub(super) fn percent(&mut self, percent: i64) -> bool {
        self.within(0, 100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.next() % of.len() as u64).expect("short")]
    }
}
