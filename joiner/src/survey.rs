//! The first pass over a capture: collects every SYN of a flow that the recordings know. Which SYN
//! a socket's life began with is known only once the following ones were seen, so this pass has to
//! be over before the first packet is named.

use crate::chunk::{Captured, Chunk};
use crate::decode::decode;
use crate::index::Index;
use crate::syn::Syn;

/// The SYNs and SYN-ACKs of `chunk` whose flow is in `index`.
#[must_use]
pub fn collect_syns(chunk: &Chunk, index: &Index) -> Vec<Syn> {
    let mut syns = Vec::new();
    for item in chunk.items() {
        let Some(Captured { link, data, time_ns }) = item.captured() else { continue };
        let Ok(packet) = decode(link, data) else { continue };
        let Some(tcp) = packet.tcp else { continue };
        if (tcp.is_syn() || tcp.is_syn_ack()) && index.knows(packet.tuple) {
            let ack = tcp.is_syn_ack().then_some(tcp.ack);
            syns.push(Syn { tuple: packet.tuple, time_ns, seq: tcp.seq, ack });
        }
    }
    syns
}
