//! The first pass over a capture: collects every SYN of a flow that the recordings know. Which SYN
//! a socket's life began with is known only once the following ones were seen, so this pass has to
//! be over before the first packet is named.

use crate::chunk::{Chunk, Item};
use crate::decode::{Tcp, decode};
use crate::index::Index;
use crate::syn::Syn;

/// The SYNs and SYN-ACKs of `chunk` whose flow is in `index`.
#[must_use]
pub fn collect_syns(chunk: &Chunk, index: &Index) -> Vec<Syn> {
    let mut syns = Vec::new();
    for item in chunk.items() {
        let (decoded, time_ns) = match item {
            Item::Block(packet, link, clock) => {
                (decode(link, packet.data()), clock.nanoseconds(packet.timestamp()))
            }
            Item::Record(record, link) => (decode(link, record.data), record.time_ns),
            Item::Simple(_) | Item::Malformed(_) | Item::Other(_) => continue,
        };
        let Ok(packet) = decoded else { continue };
        let Some(tcp) = packet.tcp else { continue };
        if tcp.flags & Tcp::SYN != 0 && index.knows(packet.tuple) {
            let ack = (tcp.flags & Tcp::ACK != 0).then_some(tcp.ack);
            syns.push(Syn { tuple: packet.tuple, time_ns, seq: tcp.seq, ack });
        }
    }
    syns
}
