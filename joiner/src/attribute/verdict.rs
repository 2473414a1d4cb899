//! What was decided about one packet: for each end the socket and its process, or a reason.

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

impl SideVerdict {
    /// Whether a process is named.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        matches!(self, Self::Named { .. })
    }

    /// Whether this and `other` name the same process for the same conversation, however found,
    /// or both nobody for the same reason.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Named { holder: a, owner: p, via: v, .. },
                Self::Named { holder: b, owner: q, via: w, .. },
            ) => (a, p, v) == (b, q, w),
            _ => self == other,
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

    /// Whether either end has a name.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.src.is_named() || self.dst.is_named()
    }

    /// Whether both ends agree with those of `other`: then the full form need not be repeated.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.src.agrees(&other.src) && self.dst.agrees(&other.dst)
    }
}
