//! What Linux's packet filter logs (`LINKTYPE_NFLOG`).
//!
//! ```text
//! 0 family   1 version   2 resource   then, padded to 4 bytes: 0 length   2 type   4 value
//! ```
//!
//! Lengths and types are in the byte order of the machine that captured.

use crate::decode::Undecoded;
use crate::decode::bytes::{after, array_at};

const VERSION: u8 = 0;
/// `NFULA_PAYLOAD`: the packet, from its IP header on.
const PAYLOAD: u16 = 9;
/// Attributes there are in a message; the kernel knows some twenty.
const MAX_ATTRIBUTES: usize = 64;

pub(super) fn payload(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    let [_, version, _, _] = array_at(bytes, 0)?;
    if version != VERSION {
        return Err(Undecoded::NotIp);
    }
    let attributes = after(bytes, 4)?;
    // Types are small numbers: read in the wrong order, the first one is a multiple of 256.
    let [_, _, low, _] = array_at(attributes, 0)?;
    let read = if low == 0 { u16::from_be_bytes } else { u16::from_le_bytes };
    find(attributes, read)
}

fn find(mut attributes: &[u8], read: fn([u8; 2]) -> u16) -> Result<&[u8], Undecoded> {
    for _ in 0..MAX_ATTRIBUTES {
        let length = usize::from(read(array_at(attributes, 0)?));
        if length < 4 {
            return Err(Undecoded::Malformed);
        }
        if read(array_at(attributes, 2)?) == PAYLOAD {
            let end = length.min(attributes.len());
            return Ok(&attributes[4..end.max(4)]);
        }
        attributes = after(attributes, length.next_multiple_of(4))?;
    }
    Err(Undecoded::Malformed)
}
