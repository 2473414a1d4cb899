//! Ethernet (IEEE 802.3) and what its types name: VLAN tags (802.1Q, 802.1ad), MPLS (RFC 3032),
//! PPPoE sessions (RFC 2516), and LLC with SNAP (802.2, RFC 1042), which stands where the type
//! would be a length.

use super::ppp;
use crate::decode::Undecoded;
use crate::decode::bytes::{after, array_at, u16_at};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and the type QinQ used before that was assigned.
const VLAN: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
const MPLS: [u16; 2] = [0x8847, 0x8848];
const PPPOE_SESSION: u16 = 0x8864;
/// What is less is a length, or what Linux cooked captures call a frame that begins with LLC.
const MAX_LENGTH: u16 = 1500;

/// VLAN tags that are looked past; networks nest two, tests of three and four are known.
const MAX_VLAN_TAGS: usize = 8;
/// MPLS labels that are looked past; more than a path has in practice.
const MAX_LABELS: usize = 16;

/// The IP packet in a frame that begins with its addresses.
#[inline]
pub(in crate::decode) fn frame(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    payload(u16_at(bytes, 12)?, after(bytes, 14)?)
}

/// The IP packet in what a type was said of.
#[inline]
pub(in crate::decode) fn payload(ethertype: u16, bytes: &[u8]) -> Result<&[u8], Undecoded> {
    match ethertype {
        IPV4 | IPV6 => Ok(bytes),
        _ => wrapped(ethertype, bytes),
    }
}

fn wrapped(mut ethertype: u16, mut bytes: &[u8]) -> Result<&[u8], Undecoded> {
    for _ in 0..=MAX_VLAN_TAGS {
        match ethertype {
            IPV4 | IPV6 => return Ok(bytes),
            tag if VLAN.contains(&tag) => {
                ethertype = u16_at(bytes, 2)?;
                bytes = after(bytes, 4)?;
            }
            label if MPLS.contains(&label) => return mpls(bytes),
            PPPOE_SESSION => return ppp::session(bytes),
            length if length <= MAX_LENGTH => {
                (ethertype, bytes) = snap(bytes)?;
            }
            _ => return Err(Undecoded::NotIp),
        }
    }
    Err(Undecoded::Malformed)
}

/// What follows LLC and SNAP: a type, and what it was said of.
pub(super) fn snap(bytes: &[u8]) -> Result<(u16, &[u8]), Undecoded> {
    // Unnumbered information to and from SNAP, and the organisation that assigns Ethernet's types.
    match array_at(bytes, 0)? {
        [0xaa, 0xaa, 0x03, 0, 0, 0] => Ok((u16_at(bytes, 6)?, after(bytes, 8)?)),
        _ => Err(Undecoded::NotIp),
    }
}

/// ```text
/// 0 label (20 bits), class (3), bottom of the stack (1), time to live (8)
/// ```
///
/// Nothing tells what the labels are around; IP is what begins with its version.
pub(in crate::decode) fn mpls(mut bytes: &[u8]) -> Result<&[u8], Undecoded> {
    for _ in 0..MAX_LABELS {
        let [_, _, third, _] = array_at(bytes, 0)?;
        bytes = after(bytes, 4)?;
        if third & 1 == 0 {
            continue;
        }
        return match bytes.first().ok_or(Undecoded::Truncated)? >> 4 {
            4 | 6 => Ok(bytes),
            // A pseudowire's control word (RFC 4385), then a frame.
            0 => frame(after(bytes, 4)?),
            _ => Err(Undecoded::NotIp),
        };
    }
    Err(Undecoded::Malformed)
}
