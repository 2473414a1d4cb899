//! Interface description block (draft-ietf-opsawg-pcapng §4.2): link type, name, and the clock that
//! the timestamps of its packets count by.
//!
//! ```text
//! 8 link type u16   10 reserved u16   12 snap length u32   16 options
//! ```

use schema::annotation::option::{ByteOrder, Options, append};

use super::{Block, section, write_block};
use crate::decode::LinkType;

const COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_FCSLEN: u16 = 13;
const IF_TSOFFSET: u16 = 14;

/// Bytes of a name that are kept: Linux allows 15, Windows' device paths have about 50.
const MAX_NAME: usize = 256;

/// By `if_tsresol`, where that is a power of ten and its unit a whole number of nanoseconds.
const NANOSECONDS_IN_UNIT: [u64; 10] =
    [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1000, 100, 10, 1];

/// The units of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// `if_tsresol`: the low seven bits are a negative exponent, of 2 if the high bit is set, else
    /// of 10.
    resolution: u8,
    /// `if_tsoffset`: seconds to be added.
    offset_s: i64,
}

impl Clock {
    /// Microseconds: what holds where nothing is said.
    pub const MICROSECONDS: Self = Self { resolution: 6, offset_s: 0 };
    /// Nanoseconds.
    pub const NANOSECONDS: Self = Self { resolution: 9, offset_s: 0 };

    /// `units` since 1970 in nanoseconds; the nearest time that fits if it is out of range.
    #[inline]
    #[must_use]
    pub fn nanoseconds(self, units: u64) -> i64 {
        // Almost every file: tenths of a second to some power, and no overflow in 64 bits.
        if self.offset_s == 0
            && let Some(factor) = NANOSECONDS_IN_UNIT.get(usize::from(self.resolution))
            && let Some(nanoseconds) = units.checked_mul(*factor)
            && let Ok(nanoseconds) = i64::try_from(nanoseconds)
        {
            return nanoseconds;
        }
        self.any_nanoseconds(units)
    }

    /// [`nanoseconds`](Self::nanoseconds) of any clock.
    #[cold]
    fn any_nanoseconds(self, units: u64) -> i64 {
        let exponent = u32::from(self.resolution & 0x7f);
        let units = u128::from(units);
        let nanoseconds = if self.resolution & 0x80 != 0 {
            (units * 1_000_000_000).checked_shr(exponent).unwrap_or(0)
        } else if exponent <= 9 {
            units * 10_u128.pow(9 - exponent)
        } else {
            10_u128.checked_pow(exponent - 9).map_or(0, |divisor| units / divisor)
        };
        let nanoseconds = i128::try_from(nanoseconds).unwrap_or(i128::MAX);
        let offset = i128::from(self.offset_s) * 1_000_000_000;
        let total = nanoseconds.saturating_add(offset);
        let clamped = total.clamp(i64::MIN.into(), i64::MAX.into());
        i64::try_from(clamped).unwrap_or_default()
    }
}

/// An interface of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// How its packets begin.
    pub link: LinkType,
    /// Its name.
    pub name: Option<Box<str>>,
    /// What its timestamps count.
    pub clock: Clock,
    /// Inode of its network namespace, if `ebpfrec` captured: a comment says
    /// `ebpfrec netns=INODE ifindex=N`.
    pub netns: Option<u64>,
}

/// Reads a description; options that are cut count as absent.
#[must_use]
pub fn parse(block: &Block<'_>, order: ByteOrder) -> Option<Interface> {
    let (&[l0, l1, ..], options) = block.body().split_first_chunk::<8>()?;
    let link = LinkType(order.u16([l0, l1]));
    let clock = Clock::MICROSECONDS;
    let mut interface = Interface { link, name: None, clock, netns: None };
    for option in Options::new(options, order).map_while(Result::ok) {
        match (option.code, option.value) {
            (IF_NAME, name) => {
                let name = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]);
                interface.name = Some(name.trim_end_matches('\0').into());
            }
            (COMMENT, comment) => {
                let netns = section::said(comment, "netns").and_then(|text| text.parse().ok());
                interface.netns = interface.netns.or(netns);
            }
            (IF_TSRESOL, &[resolution, ..]) => interface.clock.resolution = resolution,
            (IF_TSOFFSET, &[a, b, c, d, e, f, g, h]) => {
                let bytes = [a, b, c, d, e, f, g, h];
                interface.clock.offset_s = match order {
                    ByteOrder::Little => i64::from_le_bytes(bytes),
                    ByteOrder::Big => i64::from_be_bytes(bytes),
                };
            }
            _ => {}
        }
    }
    Some(interface)
}

/// What a description says that is written anew.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// How its packets begin.
    pub link: LinkType,
    /// Bytes of a packet that were captured at most.
    pub snap_length: u32,
    /// What its timestamps count.
    pub clock: Clock,
    /// Bits of the frame check sequence at the end of each packet, where that is known.
    pub fcs_bits: Option<u8>,
}

impl Description {
    /// Appends it as a block of a little-endian section.
    pub fn write(&self, out: &mut Vec<u8>) {
        let order = ByteOrder::Little;
        let mut body = Vec::new();
        body.extend(self.link.0.to_le_bytes());
        body.extend([0, 0]);
        body.extend(self.snap_length.to_le_bytes());
        append(IF_TSRESOL, &[self.clock.resolution], order, &mut body);
        if let Some(bits) = self.fcs_bits {
            append(IF_FCSLEN, &[bits], order, &mut body);
        }
        append(0, &[], order, &mut body);
        write_block(super::INTERFACE, &body, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock(resolution: u8, offset_s: i64) -> Clock {
        Clock { resolution, offset_s }
    }

    #[test]
    fn units_of_ten_and_of_two_become_nanoseconds() {
        assert_eq!(clock(6, 0).nanoseconds(1_500_000), 1_500_000_000);
        assert_eq!(clock(9, 0).nanoseconds(7), 7);
        assert_eq!(clock(0, 0).nanoseconds(3), 3_000_000_000);
        assert_eq!(clock(12, 0).nanoseconds(5_999), 5);
        assert_eq!(clock(0x80 | 10, 0).nanoseconds(1536), 1_500_000_000);
        assert_eq!(clock(6, -1).nanoseconds(1_500_000), 500_000_000);
    }

    #[test]
    fn absurd_clocks_give_the_nearest_time() {
        assert_eq!(clock(0, 0).nanoseconds(u64::MAX), i64::MAX);
        assert_eq!(clock(6, i64::MIN).nanoseconds(1), i64::MIN);
        assert_eq!(clock(0x7f, 0).nanoseconds(u64::MAX), 0);
        assert_eq!(clock(0xff, 0).nanoseconds(u64::MAX), 0);
    }
    proptest! {
        #[test]
        fn the_short_way_gives_the_same_time(resolution in 0..10_u8, bits in 0..64, units in any::<u64>()) {
            let (clock, units) = (clock(resolution, 0), units >> bits);
            prop_assert_eq!(clock.nanoseconds(units), clock.any_nanoseconds(units));
        }
    }
}
