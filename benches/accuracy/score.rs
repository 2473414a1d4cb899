//! What was said, held against the truth, and counted.

use std::collections::BTreeMap;

use crate::process::Name;
use crate::truth::Truth;

/// What one name, or its absence, is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Right,
    /// Another process, or one where there is none.
    Wrong,
    /// Right, though nothing written tells it.
    Guessed,
    /// Not named, though it is knowable.
    Missed,
    /// Not named, and rightly so.
    Unnamed,
}

impl Outcome {
    pub(crate) fn of(said: Option<&Name>, truth: &Truth) -> Self {
        match (said, &truth.who) {
            (Some(said), Some(who)) if said == who || truth.listens.as_ref() == Some(said) => {
                if truth.knowable {
                    Self::Right
                } else {
                    Self::Guessed
                }
            }
            (Some(_), _) => Self::Wrong,
            (None, _) if truth.knowable => Self::Missed,
            (None, _) => Self::Unnamed,
        }
    }
}

/// How often each outcome came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) guessed: u64,
    pub(crate) missed: u64,
    pub(crate) unnamed: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Right => &mut self.right,
            Outcome::Wrong => &mut self.wrong,
            Outcome::Guessed => &mut self.guessed,
            Outcome::Missed => &mut self.missed,
            Outcome::Unnamed => &mut self.unnamed,
        } += 1;
    }

    /// Percent of the knowable ends that are named right.
    pub(crate) fn named(&self, knowable: u64) -> f64 {
        self.right as f64 * 100.0 / knowable.max(1) as f64
    }
}

/// The counts of one matcher.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    pub(crate) total: Counts,
    /// By match, or reason.
    pub(crate) how: BTreeMap<String, Counts>,
    pub(crate) scenes: BTreeMap<&'static str, Counts>,
    pub(crate) knowable: u64,
}

impl Score {
    pub(crate) fn add(
        &mut self,
        scene: &'static str,
        how: &str,
        said: Option<&Name>,
        truth: &Truth,
    ) -> Outcome {
        let outcome = Outcome::of(said, truth);
        self.knowable += u64::from(truth.knowable);
        self.total.add(outcome);
        self.scenes.entry(scene).or_default().add(outcome);
        match self.how.get_mut(how) {
            Some(counts) => counts.add(outcome),
            None => self.how.entry(how.to_owned()).or_default().add(outcome),
        }
        outcome
    }
}
