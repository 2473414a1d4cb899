//! Numbers that look random and are the same every time.

/// A small generator (SplitMix64): nothing here needs a better one.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Less than `bound`, which is small beside 2³².
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((self.next() >> 32) * bound) >> 32
    }

    /// From 0 to less than 1.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whole numbers from 0 with this mean, long ones rarer and rarer.
    pub(super) fn geometric(&mut self, mean: f64) -> u64 {
        let ratio = mean / (mean + 1.0);
        ((1.0 - self.fraction()).ln() / ratio.ln()) as u64
    }
}

/// Different for different numbers, and without a pattern.
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
