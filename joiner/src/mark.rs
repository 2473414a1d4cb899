//! What the first stage of a chunk hands on: for every packet as little as the others have to know.

use schema::annotation::option::ByteOrder;

use crate::chunk::Glimpse;
use crate::examine::Examined;
use crate::label::{LabelId, Labels};

/// What the later stages have to know of every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Number of the flow and direction; [`Mark::NO_FLOW`] for a packet without a tuple.
    pub(crate) flow: u64,
    /// [`Verdict::gist`].
    pub(crate) said: u64,
    /// What is written on it if it isn't the first of its flow and direction.
    pub(crate) label: LabelId,
    /// Where it begins in the chunk, bytes.
    pub(crate) at: u32,
    /// Its length there, bytes.
    pub(crate) length: u32,
    /// Whether it is a block without options, to which some may simply be appended.
    pub(crate) is_bare: bool,
}

impl Mark {
    /// In place of a number of a flow.
    pub(crate) const NO_FLOW: u64 = u64::MAX;
    /// Set in the numbers of flows that no socket has: then the others are a fingerprint. Two flows
    /// with one (one chance in 2^62 per pair) only make the full form stand once more or once less.
    pub(crate) const STRANGER: u64 = 1 << 63;

    /// A packet about which nothing was decided yet.
    #[inline]
    pub(crate) fn new(packet: &Glimpse<'_>) -> Self {
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let (at, length, is_bare) = (size(packet.at), size(packet.length), packet.is_bare);
        Self { flow: Self::NO_FLOW, said: 0, label: 0, at, length, is_bare }
    }

    /// Takes note of what was decided.
    pub(crate) fn decide(
        &mut self,
        examined: &Examined,
        labels: &mut Labels<'_>,
        order: ByteOrder,
    ) {
        self.flow = examined.flow.unwrap_or(Self::NO_FLOW);
        self.said = examined.verdict.gist();
        self.label = labels.of(&examined.verdict, order);
    }

    /// What is to be known of a packet of which `examined` is.
    #[cfg(test)]
    pub(crate) fn of(examined: &Examined, labels: &mut Labels<'_>) -> Self {
        let nothing = Glimpse { at: 0, length: 0, is_bare: false, captured: None };
        let mut mark = Self::new(&nothing);
        mark.decide(examined, labels, ByteOrder::Little);
        mark
    }
}

/// The decisions about a chunk's packets.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    /// One for every item that is a packet, in order.
    pub(crate) marks: Vec<Mark>,
    /// Those that were not known from others, with their positions, in order.
    pub(crate) own: Vec<(u32, Examined)>,
}
