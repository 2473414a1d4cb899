//! GRE (RFC 2784, with key and sequence of RFC 2890), PPTP's form of it (RFC 2637), and ERSPAN,
//! Cisco's copies of frames.
//!
//! ```text
//! 0 flags, version   2 protocol   [4 checksum, offset]   [key]   [sequence]   [acknowledgement]
//! ```

use crate::decode::Undecoded;
use crate::decode::bytes::{after, u16_at};
use crate::decode::link::{ethernet, ppp};

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// In PPTP's version alone.
const ACKNOWLEDGEMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;
const PPTP: u16 = 1;

/// Transparent Ethernet bridging.
const FRAME: u16 = 0x6558;
/// ERSPAN I, or II if there is a sequence number.
const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
const PPP: u16 = 0x880b;

/// ERSPAN headers, bytes.
const ERSPAN_II_HEADER: usize = 8;
const ERSPAN_III_HEADER: usize = 12;
/// ERSPAN III: eight more bytes follow.
const ERSPAN_III_OPTIONAL: u16 = 0x0001;

pub(super) fn payload(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    let (flags, protocol) = (u16_at(bytes, 0)?, u16_at(bytes, 2)?);
    let version = flags & VERSION;
    // Routing was taken out of the standard; nothing tells how long it is but itself.
    if version > PPTP || flags & ROUTING != 0 {
        return Err(Undecoded::NotIp);
    }
    let fields = flags & (CHECKSUM | KEY | SEQUENCE);
    let acknowledged = version == PPTP && flags & ACKNOWLEDGEMENT != 0;
    let optional = fields.count_ones() as usize + usize::from(acknowledged);
    let inner = after(bytes, 4 + 4 * optional)?;
    match protocol {
        FRAME => ethernet::frame(inner),
        ERSPAN if flags & SEQUENCE == 0 => ethernet::frame(inner),
        ERSPAN => ethernet::frame(after(inner, ERSPAN_II_HEADER)?),
        ERSPAN_III => {
            let more = u16_at(inner, 10)? & ERSPAN_III_OPTIONAL != 0;
            ethernet::frame(after(inner, ERSPAN_III_HEADER + if more { 8 } else { 0 })?)
        }
        PPP => ppp::frame(inner),
        ethertype => ethernet::payload(ethertype, inner),
    }
}
