//! One end of a packet, by one of the tuples it is looked for with.

use schema::flow::Way;
use schema::{Endpoint, FiveTuple, FlowKey};

use super::seen::Seen;
use super::translate::View;
use crate::decode::Packet;
use crate::events::NamespaceId;

/// One end of one packet.
#[derive(Clone, Copy)]
pub(super) struct Role<'a> {
    /// The tuple by which sockets are looked for: the packet's, or one of its translations.
    pub(super) key: FlowKey,
    /// The number of that flow, if any socket had it.
    pub(super) flow: Option<u32>,
    /// The way the packet goes.
    pub(super) way: Way,
    pub(super) packet: &'a Packet,
    pub(super) seen: Seen<'a>,
    /// Whether this is the sending end.
    pub(super) sent: bool,
    /// The address at this end.
    pub(super) address: Endpoint,
    /// Where it was translated, if it was.
    pub(super) translated: Option<NamespaceId>,
}

impl<'a> Role<'a> {
    pub(super) fn new(
        (key, way): (FlowKey, Way),
        flow: Option<u32>,
        packet: &'a Packet,
        seen: &Seen<'a>,
        sent: bool,
    ) -> Self {
        let address = if sent { packet.tuple.src } else { packet.tuple.dst };
        Self { key, flow, way, packet, seen: *seen, sent, address, translated: None }
    }

    /// This end, then the other one.
    pub(super) fn ends(&self) -> (Endpoint, Endpoint) {
        let FiveTuple { src, dst, .. } = self.key.tuple(self.way);
        if self.sent { (src, dst) } else { (dst, src) }
    }

    /// This end.
    pub(super) fn local(&self) -> Endpoint {
        self.ends().0
    }

    /// The same end, where the packet was translated.
    pub(super) fn behind(self, view: &View) -> Self {
        Self { translated: view.namespace, ..self }
    }

    /// The same end, had the packet this tuple, whose flow has this number.
    pub(super) fn with(self, tuple: FiveTuple, flow: Option<u32>) -> Self {
        let (key, way) = tuple.canonical();
        let address = if self.sent { tuple.src } else { tuple.dst };
        Self { key, flow, way, address, ..self }
    }
}
