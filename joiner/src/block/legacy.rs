//! Legacy pcap files (draft-ietf-opsawg-pcap): their header, and records turned into enhanced
//! packet blocks.
//!
//! ```text
//! file    0 magic u32   4 version   8 reserved[8]   16 snap length u32   20 link type u32
//!           (bits 31-28 of it: length of the frame check sequence, 26: whether that is known)
//! record  0 seconds u32   4 fraction u32   8 captured length u32   12 original length u32   16 packet
//!           (modified format: 16 interface u32, protocol u16, direction u8, padding; 24 packet)
//! ```

use schema::annotation::option::{ByteOrder, padding};

use super::interface::{Clock, Description};
use super::packet::Added;
use super::{ENHANCED_PACKET, MAX_PACKET, Step, section};
use crate::decode::LinkType;

const MAGIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// A. Kuznetzov's patch of libpcap 0.4, as in old Linux distributions.
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;
const FCS_IS_KNOWN: u32 = 1 << 26;

/// Bytes of the file header.
pub const HEADER: usize = 24;
/// Bytes of a record header.
const RECORD: usize = 16;
/// Bytes of one with interface, protocol and direction behind the rest.
const MODIFIED_RECORD: usize = 24;

/// What the header of the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legacy {
    order: ByteOrder,
    precision: Precision,
    /// Bytes of a record header.
    record: usize,
    snap_length: u32,
    /// How its packets begin.
    pub link: LinkType,
    fcs_bits: Option<u8>,
}

/// What the fraction of a second counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    Microseconds,
    Nanoseconds,
}

impl Precision {
    const fn per_second(self) -> u64 {
        match self {
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }

    const fn clock(self) -> Clock {
        match self {
            Self::Microseconds => Clock::MICROSECONDS,
            Self::Nanoseconds => Clock::NANOSECONDS,
        }
    }
}

/// One packet of a legacy file.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// The same in the units of the file.
    units: u64,
    /// Length on the wire.
    pub original_length: u32,
    /// As far as it was captured.
    pub data: &'a [u8],
    /// Header and packet.
    pub bytes: &'a [u8],
}

impl Legacy {
    /// The header at the beginning of a file; `None` if this is no legacy pcap.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let word = |order: ByteOrder, at: usize| {
            order.u32([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (order, precision, record) =
            [ByteOrder::Little, ByteOrder::Big].into_iter().find_map(|order| {
                match word(order, 0) {
                    MAGIC_MICROSECONDS => Some((order, Precision::Microseconds, RECORD)),
                    MAGIC_NANOSECONDS => Some((order, Precision::Nanoseconds, RECORD)),
                    MAGIC_MODIFIED => Some((order, Precision::Microseconds, MODIFIED_RECORD)),
                    _ => None,
                }
            })?;
        let link = word(order, 20);
        // In units of 16 bits.
        let fcs_bits = (link & FCS_IS_KNOWN != 0).then_some((link >> 28) as u8 * 16);
        let link = LinkType((link & 0xffff) as u16);
        Some(Self { order, precision, record, snap_length: word(order, 16), link, fcs_bits })
    }

    /// The record at the beginning of `bytes`.
    #[inline]
    #[must_use]
    pub fn first<'a>(&self, bytes: &'a [u8]) -> Step<Record<'a>> {
        let Some(header) = bytes.first_chunk::<RECORD>() else { return Step::Partial };
        let word = |at: usize| {
            self.order.u32([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let captured = word(8);
        if captured > MAX_PACKET {
            return Step::Damaged(format!("a packet that claims {captured} captured bytes"));
        }
        let Some(bytes) = bytes.get(..self.record + captured as usize) else {
            return Step::Partial;
        };
        let units = u64::from(word(0)) * self.precision.per_second() + u64::from(word(4));
        let time_ns = self.precision.clock().nanoseconds(units);
        let data = &bytes[self.record..];
        Step::Whole(Record { time_ns, units, original_length: word(12), data, bytes })
    }

    /// Whether `record` is what one looks like: lengths and fraction as they should be.
    #[must_use]
    pub fn is_likely(&self, record: &Record<'_>) -> bool {
        let fraction = record.bytes[4..].first_chunk().map(|bytes| self.order.u32(*bytes));
        let captured = record.data.len() as u64;
        fraction.is_some_and(|fraction| u64::from(fraction) < self.precision.per_second())
            && captured > 0
            && captured <= u64::from(record.original_length)
            && (self.snap_length == 0 || captured <= u64::from(self.snap_length))
    }

    /// Appends the section and the interface that stand for this file's header, and some blocks between
    /// them.
    pub fn write_prelude(&self, application: &str, between: &[u8], out: &mut Vec<u8>) {
        section::write(application, out);
        out.extend_from_slice(between);
        let Self { link, snap_length, precision, fcs_bits, .. } = *self;
        Description { link, snap_length, clock: precision.clock(), fcs_bits }.write(out);
    }
}

impl Record<'_> {
    /// Appends this packet as an enhanced packet block of a little-endian section.
    pub fn write(&self, added: Added<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let captured = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        let [low, high] = [(self.units & 0xffff_ffff) as u32, (self.units >> 32) as u32];
        for word in [ENHANCED_PACKET, 0, 0, high, low, captured, self.original_length] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(self.data);
        out.resize(out.len() + padding(self.data.len()), 0);
        if !(added.process.is_empty() && added.comment.is_empty()) {
            out.extend_from_slice(added.process);
            out.extend_from_slice(added.comment);
            out.extend_from_slice(&[0; 4]);
        }
        let length = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    }
}
