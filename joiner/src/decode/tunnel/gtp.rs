//! GTP-U, version 1 (3GPP TS 29.281): what mobile networks carry their users' packets in.
//!
//! ```text
//! 0 version, flags   1 type   2 length   4 tunnel
//!   [8 sequence   10 N-PDU   11 next extension]   extensions: 0 length in 4 bytes … next
//! ```

use crate::decode::Undecoded;
use crate::decode::bytes::{after, array_at};

/// Version 1, protocol GTP (not GTP').
const VERSION_1: u8 = 0x30;
const VERSION_AND_PROTOCOL: u8 = 0xf0;
/// The four bytes behind the tunnel are there, if any of these flags is set.
const OPTIONAL: u8 = 0x07;
const EXTENSIONS: u8 = 0x04;
/// A user's packet.
const PACKET: u8 = 0xff;
/// Extensions that are looked past.
const MAX_EXTENSIONS: usize = 8;

pub(super) fn payload(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    let [flags, kind] = array_at(bytes, 0)?;
    if flags & VERSION_AND_PROTOCOL != VERSION_1 || kind != PACKET {
        return Err(Undecoded::NotIp);
    }
    if flags & OPTIONAL == 0 {
        return after(bytes, 8);
    }
    let [next] = array_at(bytes, 11)?;
    let rest = after(bytes, 12)?;
    if flags & EXTENSIONS == 0 { Ok(rest) } else { skip(next, rest) }
}

fn skip(mut next: u8, mut bytes: &[u8]) -> Result<&[u8], Undecoded> {
    for _ in 0..=MAX_EXTENSIONS {
        if next == 0 {
            return Ok(bytes);
        }
        let [length] = array_at(bytes, 0)?;
        let length = usize::from(length) * 4;
        if length == 0 {
            return Err(Undecoded::Malformed);
        }
        [next] = array_at(bytes, length - 1)?;
        bytes = after(bytes, length)?;
    }
    Err(Undecoded::Malformed)
}
