//! Geneve (RFC 8926).
//!
//! ```text
//! 0 version (2 bits), length of options (6)   1 flags   2 protocol   4 network   8 options
//! ```

use crate::decode::Undecoded;
use crate::decode::bytes::{after, array_at, u16_at};
use crate::decode::link::ethernet;

/// Transparent Ethernet bridging.
const FRAME: u16 = 0x6558;
const VERSION: u8 = 0xc0;
/// In 4 bytes.
const OPTIONS: u8 = 0x3f;

pub(super) fn payload(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    let [first] = array_at(bytes, 0)?;
    if first & VERSION != 0 {
        return Err(Undecoded::NotIp);
    }
    let inner = after(bytes, 8 + usize::from(first & OPTIONS) * 4)?;
    match u16_at(bytes, 2)? {
        FRAME => ethernet::frame(inner),
        ethertype => ethernet::payload(ethertype, inner),
    }
}
