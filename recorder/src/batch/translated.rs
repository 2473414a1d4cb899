//! The columns that say how a connection was translated.

use schema::{Endpoint, Event, Proto};

use super::Batcher;
use crate::conntrack::Told;

impl Batcher {
    pub(super) fn push_translated(&mut self, told: &Told, event: Event<'_>) {
        let mut event: Event<'_> = event;
        let Told { translation, netns, netns_cookie, .. } = told;
        let (original, onward) = (translation.original, translation.onward);
        let text = |end: Endpoint| end.ip().to_string();
        let (local, remote) = (text(original.src), text(original.dst));
        let (src, dst) = (text(onward.src), text(onward.dst));
        event.proto = original.proto.name();
        event.local_addr = Some(&local);
        event.local_port = Some(original.src.port());
        event.remote_addr = Some(&remote);
        event.remote_port = destination_port(original.proto, original.dst);
        event.nat_src_addr = Some(&src);
        event.nat_src_port = Some(onward.src.port());
        event.nat_dst_addr = Some(&dst);
        event.nat_dst_port = destination_port(onward.proto, onward.dst);
        event.netns = *netns;
        event.netns_cookie = *netns_cookie;
        event.ct_id = Some(translation.id);
        event.ct_zone = Some(translation.zone);
        self.builder.append(&event);
    }
}

/// The id of an ICMP echo stands where a source port would; there is no second one.
fn destination_port(proto: Proto, end: Endpoint) -> Option<u16> {
    let has_ports = proto != Proto::ICMP && proto != Proto::ICMPV6;
    has_ports.then(|| end.port())
}
