//! Wireless LAN (IEEE 802.11): data frames that are not encrypted, bare or behind what the radio
//! tells of them (radiotap).
//!
//! ```text
//! 0 type, subtype   1 flags   2 duration   4 addresses 1 to 3   22 sequence
//!   [address 4]   [QoS]   [HT control]   LLC, SNAP
//! ```

use super::ethernet;
use crate::decode::Undecoded;
use crate::decode::bytes::{after, array_at};

/// Length of a header with three addresses.
const HEADER: usize = 24;
/// Type "data", version 0, in the first byte.
const DATA: u8 = 0b10 << 2;
const VERSION_AND_TYPE: u8 = 0b1111;
/// Subtypes with this bit have no data.
const NO_DATA: u8 = 0x40;
const QOS: u8 = 0x80;
const TO_AND_FROM_DISTRIBUTION: u8 = 0b11;
const PROTECTED: u8 = 0x40;
const HT_CONTROL: u8 = 0x80;
/// In the QoS field: several frames, each with a header of its own.
const AGGREGATED: u8 = 0x80;
/// Destination, source and length of each of them.
const SUBFRAME_HEADER: usize = 14;

/// Behind the radio's header, whose length is in its bytes 2 and 3, lowest first.
pub(super) fn radiotap(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    let [version, _, low, high] = array_at(bytes, 0)?;
    if version != 0 {
        return Err(Undecoded::NotIp);
    }
    frame(after(bytes, usize::from(u16::from_le_bytes([low, high])))?)
}

pub(super) fn frame(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    let [kind, flags] = array_at(bytes, 0)?;
    if kind & VERSION_AND_TYPE != DATA || kind & NO_DATA != 0 || flags & PROTECTED != 0 {
        return Err(Undecoded::NotIp);
    }
    let mut length = HEADER;
    if flags & TO_AND_FROM_DISTRIBUTION == TO_AND_FROM_DISTRIBUTION {
        length += 6;
    }
    if kind & QOS != 0 {
        let [qos] = array_at(bytes, length)?;
        length += 2;
        if flags & HT_CONTROL != 0 {
            length += 4;
        }
        if qos & AGGREGATED != 0 {
            length += SUBFRAME_HEADER;
        }
    }
    let (ethertype, packet) = ethernet::snap(after(bytes, length)?)?;
    ethernet::payload(ethertype, packet)
}
