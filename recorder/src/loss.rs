//! Counts of what was lost, per stage. Stages count from their own threads; the event loop turns
//! what a counter rose by into a `lost` row.

use std::sync::atomic::{AtomicU64, Ordering};

use schema::kind::LossStage;
use serde_json::{Map, Value};

/// Number of stages.
pub const STAGES: usize = LossStage::ALL.len();

/// One counter per stage.
#[derive(Debug, Default)]
pub struct Losses([AtomicU64; STAGES]);

impl Losses {
    /// Counts `count` more.
    pub fn add(&self, stage: LossStage, count: u64) {
        // Counters are read for display and at the end, after the threads were joined.
        self.0[stage as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// What each stage lost so far, in the order of [`LossStage::ALL`].
    #[must_use]
    pub fn all(&self) -> [u64; STAGES] {
        std::array::from_fn(|stage| self.0[stage].load(Ordering::Relaxed))
    }

    /// Stage → count, zeros included: that nothing was lost is news too.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        counts(self.all())
    }
}

/// Stage → count, as JSON.
#[must_use]
pub fn to_json(of_stages: [u64; STAGES]) -> Value {
    Value::Object(counts(of_stages))
}

fn counts(of_stages: [u64; STAGES]) -> Map<String, Value> {
    let pairs = LossStage::ALL.iter().zip(of_stages);
    pairs.map(|(stage, count)| (stage.as_str().to_owned(), count.into())).collect()
}

/// A counter kept by someone else that only rises, possibly wrapping: what it rose by since the
/// last look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rise(u64);

impl Rise {
    /// Takes the counter's present value.
    pub fn by(&mut self, now: u64) -> u64 {
        let rise = now.saturating_sub(self.0);
        self.0 = now;
        rise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_counted_apart_and_zeros_shown() {
        let losses = Losses::default();
        losses.add(LossStage::Capture, 3);
        losses.add(LossStage::Capture, 4);
        let json = losses.to_json();
        assert_eq!(json["capture"], 7);
        assert_eq!(json["ring"], 0);
        assert_eq!(json.len(), STAGES);
    }

    #[test]
    fn a_rise_is_reported_once() {
        let mut rise = Rise::default();
        assert_eq!((rise.by(5), rise.by(5), rise.by(9)), (5, 0, 4));
    }
}
