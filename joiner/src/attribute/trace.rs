//! What the matcher tells of its way to a decision, for whoever wants to hear it.

use schema::FiveTuple;
use schema::annotation::Rule;

use super::verdict::Holder;
use crate::events::NamespaceId;
use crate::index::Lane;

/// One step of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The sockets with this tuple are looked at; behind so many translations.
    Tuple(FiveTuple, u32),
    /// A socket's conversation with that tuple, and the rule by which it fits.
    Candidate(Holder, Lane, Option<Rule>),
    /// A lane is out: the end's address is somebody else's, or the packet was seen elsewhere.
    Elsewhere(Lane),
    /// Where the packet was seen decides, if that is known.
    Place(Option<NamespaceId>),
    /// Several processes are left.
    Ambiguous,
    /// Who listens is looked for.
    Listeners,
    /// A translation changes this end: whoever listens on the packet's own address is not meant.
    ListenersTranslated,
    /// Published ports are looked for.
    Publications,
    /// A published port: whether the packet took that way nothing tells.
    PublishedOnly,
}

/// Hears of every step.
pub trait Trace {
    /// A step was made.
    fn step(&mut self, step: impl FnOnce() -> Step);
}

/// Nobody listens.
impl Trace for () {
    #[inline]
    fn step(&mut self, _: impl FnOnce() -> Step) {}
}

/// Keeps every step.
impl Trace for Vec<Step> {
    fn step(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}
