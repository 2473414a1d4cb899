//! Messages of ctnetlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h): what is asked, and
//! what comes back. Numbers in attributes are in network byte order.
//!
//! ```text
//! nfgenmsg (4)   0 family u8   1 version u8   2 resource u16   4 attributes
//! tuple          IP { v4 or v6 source, destination }   protocol { number, ports or ICMP id }
//! ```

use schema::{Endpoint, FiveTuple, Proto};

use crate::netlink::{self, ACK, DUMP, Message, attributes};

/// `NFNL_SUBSYS_CTNETLINK`, in the upper byte of a message's type.
const SUBSYSTEM: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`: one that begins, or one of a dump.
const NEW: u16 = SUBSYSTEM;
/// `IPCTNL_MSG_CT_GET`.
const GET: u16 = SUBSYSTEM | 1;
/// `IPCTNL_MSG_CT_DELETE`.
const DELETE: u16 = SUBSYSTEM | 2;
/// `IPCTNL_MSG_CT_GET_STATS`, both ways.
const GET_STATS: u16 = SUBSYSTEM | 5;
/// struct nfgenmsg, for any family.
const ANY_FAMILY: [u8; 4] = [0; 4];

// enum ctattr_type.
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const TIMESTAMP: u16 = 20;
/// `CTA_TIMESTAMP_EVENT`, since Linux 6.16: when it happened, if `nf_conntrack_timestamp` is set.
const TIMESTAMP_EVENT: u16 = 27;
/// `CTA_TIMESTAMP_START`, within [`TIMESTAMP`].
const TIMESTAMP_START: u16 = 1;
/// `CTA_STATS_GLOBAL_ENTRIES`.
const STATS_ENTRIES: u16 = 1;

// enum ctattr_tuple, ctattr_ip and ctattr_l4proto.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const TUPLE_ZONE: u16 = 3;
const V4_SRC: u16 = 1;
const V4_DST: u16 = 2;
const V6_SRC: u16 = 3;
const V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const SRC_PORT: u16 = 2;
const DST_PORT: u16 = 3;
const ICMP_ID: u16 = 4;
const ICMPV6_ID: u16 = 7;

/// A connection and how it is sent onwards. Of ICMP the id stands for both ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Translation {
    /// As its first packet came.
    pub original: FiveTuple,
    /// As its first packet was sent onwards: the reply turned round.
    pub onward: FiveTuple,
    /// The kernel's id of the entry.
    pub id: u32,
    /// Conntrack zone.
    pub zone: u16,
}

/// An entry of the table, or what was told of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Whether it ended.
    pub(super) ended: bool,
    pub(super) translation: Translation,
    /// When that happened, nanoseconds since 1970.
    pub(super) told_at: Option<u64>,
    /// When the connection began, nanoseconds since 1970.
    pub(super) began_at: Option<u64>,
}

impl Entry {
    /// Whether anything is translated, of a protocol that sockets use.
    pub(super) fn translates(&self) -> bool {
        let Translation { original, onward, .. } = self.translation;
        original != onward && original.proto.name().is_some()
    }
}

/// Asks for the whole table.
pub(super) fn dump_request() -> Vec<u8> {
    netlink::request(GET, DUMP, &ANY_FAMILY)
}

/// Asks for the number of entries.
pub(super) fn count_request() -> Vec<u8> {
    netlink::request(GET_STATS, ACK, &ANY_FAMILY)
}

/// Reads the number of entries.
pub(super) fn parse_count(message: Message<'_>) -> Option<u32> {
    if message.kind != GET_STATS {
        return None;
    }
    let (_, rest) = message.payload.split_first_chunk::<4>()?;
    let (_, value) = attributes(rest).find(|&(kind, _)| kind == STATS_ENTRIES)?;
    value.first_chunk().map(|&value| u32::from_be_bytes(value))
}

/// Reads an entry.
pub(super) fn parse_entry(message: Message<'_>) -> Option<Entry> {
    let ended = match message.kind {
        NEW => false,
        DELETE => true,
        _ => return None,
    };
    let (_, rest) = message.payload.split_first_chunk::<4>()?;
    let (mut original, mut reply) = (None, None);
    let (mut id, mut zone) = (0, 0);
    let (mut told_at, mut began_at) = (None, None);
    for (kind, value) in attributes(rest) {
        match kind {
            TUPLE_ORIG => {
                original = parse_tuple(value);
                zone = tuple_zone(value).unwrap_or(zone);
            }
            TUPLE_REPLY => reply = parse_tuple(value),
            ID => id = u32::from_be_bytes(*value.first_chunk()?),
            ZONE => zone = u16::from_be_bytes(*value.first_chunk()?),
            TIMESTAMP => {
                let start = attributes(value).find(|&(kind, _)| kind == TIMESTAMP_START);
                began_at = start.and_then(|(_, value)| value.first_chunk());
            }
            TIMESTAMP_EVENT => told_at = value.first_chunk(),
            _ => {}
        }
    }
    let onward = reply?.reversed();
    let translation = Translation { original: original?, onward, id, zone };
    let time = |bytes: Option<&[u8; 8]>| bytes.map(|&bytes| u64::from_be_bytes(bytes));
    Some(Entry { ended, translation, told_at: time(told_at), began_at: time(began_at) })
}

fn parse_tuple(bytes: &[u8]) -> Option<FiveTuple> {
    let nested = |wanted| attributes(bytes).find(|&(kind, _)| kind == wanted);
    let (_, ip) = nested(TUPLE_IP)?;
    let (_, protocol) = nested(TUPLE_PROTO)?;
    let (mut number, mut src_port, mut dst_port) = (None, 0, 0);
    for (kind, value) in attributes(protocol) {
        match kind {
            PROTO_NUM => number = value.first().copied(),
            SRC_PORT => src_port = u16::from_be_bytes(*value.first_chunk()?),
            DST_PORT => dst_port = u16::from_be_bytes(*value.first_chunk()?),
            ICMP_ID | ICMPV6_ID => {
                src_port = u16::from_be_bytes(*value.first_chunk()?);
                dst_port = src_port;
            }
            _ => {}
        }
    }
    let (mut src, mut dst) = (None, None);
    for (kind, value) in attributes(ip) {
        match kind {
            V4_SRC => src = Some(Endpoint::v4(*value.first_chunk()?, src_port)),
            V4_DST => dst = Some(Endpoint::v4(*value.first_chunk()?, dst_port)),
            V6_SRC => src = Some(Endpoint::v6(*value.first_chunk()?, src_port)),
            V6_DST => dst = Some(Endpoint::v6(*value.first_chunk()?, dst_port)),
            _ => {}
        }
    }
    Some(FiveTuple::new(Proto(number?), src?, dst?))
}

/// The zone of one direction alone.
fn tuple_zone(bytes: &[u8]) -> Option<u16> {
    let (_, value) = attributes(bytes).find(|&(kind, _)| kind == TUPLE_ZONE)?;
    value.first_chunk().map(|&value| u16::from_be_bytes(value))
}

#[cfg(test)]
pub(super) mod tests;
