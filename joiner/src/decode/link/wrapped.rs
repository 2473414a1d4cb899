//! What capturing programs put before a frame of any link type: PPI (CACE Technologies), which has
//! the radio's state, and Apple's pktap, which has the process.
//!
//! ```text
//! PPI    0 version   1 flags   2 length u16   4 link type u32   8 fields        lowest byte first
//! pktap  0 length u32   4 kind u32   8 link type u32   12 interface, process    lowest byte first
//! ```

use super::LinkType;
use crate::decode::Undecoded;
use crate::decode::bytes::{after, array_at};

/// Kind of a record of pktap that has a packet.
const PACKET: u32 = 1;

/// The frame behind a PPI header, and its link type.
pub(super) fn ppi(bytes: &[u8]) -> Result<(LinkType, &[u8]), Undecoded> {
    let [version, _, l0, l1] = array_at(bytes, 0)?;
    if version != 0 {
        return Err(Undecoded::NotIp);
    }
    let link = u32::from_le_bytes(array_at(bytes, 4)?);
    Ok((link_type(link)?, after(bytes, usize::from(u16::from_le_bytes([l0, l1])))?))
}

/// The frame behind a header of pktap, and its link type.
pub(super) fn pktap(bytes: &[u8]) -> Result<(LinkType, &[u8]), Undecoded> {
    let word = |at| array_at(bytes, at).map(u32::from_le_bytes);
    let (length, kind, link) = (word(0)?, word(4)?, word(8)?);
    if kind != PACKET {
        return Err(Undecoded::NotIp);
    }
    let length = usize::try_from(length).map_err(|_| Undecoded::Malformed)?;
    Ok((link_type(link)?, after(bytes, length)?))
}

fn link_type(link: u32) -> Result<LinkType, Undecoded> {
    u16::try_from(link).map(LinkType).map_err(|_| Undecoded::NotIp)
}
