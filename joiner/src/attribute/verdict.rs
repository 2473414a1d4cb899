//! What was decided about one packet: for each end the socket and its process, or a reason.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use schema::annotation::{Match, Reason};

use crate::events::{ContainerId, ConversationId, IdentityId};

/// What names a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Its socket's conversation with the other end.
    Conversation(ConversationId),
    /// Its listener, by position among [`Recordings::listeners`](crate::events::Recordings).
    Listener(u32),
}

/// What is behind a process that forwards for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// It forwards for nobody, or for somebody on a host without a recording.
    Nobody,
    /// A process.
    Process {
        /// The process.
        owner: IdentityId,
        /// Whether its address was translated on top of it.
        nat: bool,
    },
    /// The container alone is certain, if that, and why.
    Container(Option<ContainerId>, Reason),
}

/// The decision about one end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SideVerdict {
    /// A process.
    Named {
        /// By what.
        holder: Holder,
        /// The process.
        owner: IdentityId,
        /// How it was found.
        found: Match,
        /// Whom it forwards for.
        via: Via,
    },
    /// Nobody, and why.
    Unnamed(Reason),
}

/// A decision, but for how the name was found.
#[derive(Hash)]
enum Gist {
    Named(Holder, IdentityId, Via),
    Unnamed(Reason),
}

impl SideVerdict {
    /// Whether a process is named.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        matches!(self, Self::Named { .. })
    }

    fn gist(&self) -> Gist {
        match *self {
            Self::Named { holder, owner, via, .. } => Gist::Named(holder, owner, via),
            Self::Unnamed(reason) => Gist::Unnamed(reason),
        }
    }
}

/// The decision about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// The sending end.
    pub src: SideVerdict,
    /// The receiving end.
    pub dst: SideVerdict,
}

impl Verdict {
    /// Nobody at either end, for one reason.
    #[must_use]
    pub const fn none(reason: Reason) -> Self {
        Self { src: SideVerdict::Unnamed(reason), dst: SideVerdict::Unnamed(reason) }
    }

    /// The decision about a packet the other way, whose ends are the same.
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self { src: self.dst, dst: self.src }
    }

    /// Whether either end has a name.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.src.is_named() || self.dst.is_named()
    }

    /// A number for what the full form says of both ends: the processes and what they were found by,
    /// however found, or why there are none. Odd if either is named. Two decisions with one number
    /// (one chance in 2^62 per pair) only make the full form stand once less.
    #[must_use]
    pub fn gist(&self) -> u64 {
        let sides = (self.src.gist(), self.dst.gist());
        // One seed for ever: the output must not depend on the run.
        FixedState::with_seed(1).hash_one(sides) & !3 | 2 | u64::from(self.is_named())
    }
}
