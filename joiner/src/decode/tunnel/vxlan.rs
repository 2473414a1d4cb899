//! VXLAN (RFC 7348).
//!
//! ```text
//! 0 flags   1 reserved   4 network (24 bits)   7 reserved   8 Ethernet frame
//! ```

use crate::decode::Undecoded;
use crate::decode::bytes::{after, array_at};
use crate::decode::link::ethernet;

/// A network is named: the only flag, and always set.
const NETWORK: u8 = 0x08;

pub(super) fn payload(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    match array_at(bytes, 0)? {
        [NETWORK, _, _, _, _, _, _, 0] => ethernet::frame(after(bytes, 8)?),
        _ => Err(Undecoded::NotIp),
    }
}
