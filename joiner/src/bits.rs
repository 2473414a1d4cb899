//! A set of small numbers, one bit for each: few that are asked for again and again.

/// Numbers of one word.
const BITS: usize = u64::BITS as usize;

/// The numbers that are in the set.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// An empty set of numbers less than `most`.
    pub(crate) fn up_to(most: usize) -> Self {
        Self(vec![0; most.div_ceil(BITS)])
    }

    /// Adds a number; one that the set has no room for is left out.
    pub(crate) fn add(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / BITS) {
            *word |= 1 << (number % BITS);
        }
    }

    /// Whether it is in the set.
    #[inline]
    pub(crate) fn has(&self, number: usize) -> bool {
        self.0.get(number / BITS).is_some_and(|word| word >> (number % BITS) & 1 != 0)
    }
}
