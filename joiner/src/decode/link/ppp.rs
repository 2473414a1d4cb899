//! PPP (RFC 1661), bare, in HDLC-like framing (RFC 1662), and in PPPoE sessions (RFC 2516).

use super::ethernet;
use crate::decode::Undecoded;
use crate::decode::bytes::{after, u16_at};

const IPV4: u16 = 0x0021;
const IPV6: u16 = 0x0057;
const MPLS: [u16; 2] = [0x0281, 0x0283];
/// All stations, unnumbered information.
const ADDRESS_AND_CONTROL: u16 = 0xff03;

/// A frame, with address and control or, where the two sides agreed to leave them out, without.
pub(in crate::decode) fn frame(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    match u16_at(bytes, 0)? {
        ADDRESS_AND_CONTROL => payload(after(bytes, 2)?),
        _ => payload(bytes),
    }
}

/// A frame with something else in place of its address.
pub(super) fn frame_without_address(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    payload(after(bytes, 2)?)
}

/// ```text
/// 0 version, type   1 code   2 session   4 length   6 PPP protocol
/// ```
pub(super) fn session(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    // Version 1, type 1, session data; all others are about the session.
    match u16_at(bytes, 0)? {
        0x1100 => payload(after(bytes, 6)?),
        _ => Err(Undecoded::NotIp),
    }
}

fn payload(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    // The first byte of a protocol is even and the last is odd: one that is left out is told by it.
    let first = *bytes.first().ok_or(Undecoded::Truncated)?;
    let (protocol, packet) = if first & 1 == 1 {
        (u16::from(first), after(bytes, 1)?)
    } else {
        (u16_at(bytes, 0)?, after(bytes, 2)?)
    };
    match protocol {
        IPV4 | IPV6 => Ok(packet),
        label if MPLS.contains(&label) => ethernet::mpls(packet),
        _ => Err(Undecoded::NotIp),
    }
}
