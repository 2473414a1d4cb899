//! pcapng blocks as they stand in a file (draft-ietf-opsawg-pcapng §3). A block is typed only on
//! demand; one that nobody looks into passes through byte for byte.
//!
//! ```text
//! 0 type u32   4 total length u32   8 body, padded to 4 …   total length u32 again
//! ```

use schema::annotation::option::ByteOrder;

pub mod interface;
pub mod interfaces;
pub mod legacy;
pub mod packet;
pub mod section;

/// Section header block.
pub const SECTION: u32 = 0x0a0d_0d0a;
/// Interface description block.
pub const INTERFACE: u32 = 1;
/// Packet block, obsolete.
pub const OBSOLETE_PACKET: u32 = 2;
/// Simple packet block.
pub const SIMPLE_PACKET: u32 = 3;
/// Enhanced packet block.
pub const ENHANCED_PACKET: u32 = 6;

/// Bytes of the shortest block.
const MIN_BLOCK: u32 = 12;

/// Longest packet that is believed, bytes: the limit of Wireshark's reader, that of a D-Bus message.
pub const MAX_PACKET: u32 = 128 << 20;

/// Longest block that is believed, bytes: the limit of Wireshark's reader, which leaves 128 KiB to the
/// options of the longest packet. A longer one is a damaged length, and must not be waited for. Nor is
/// one allocated because a length says so: memory grows with the bytes that are there.
pub const MAX_BLOCK: u32 = MAX_PACKET + 32 + (128 << 10);

/// One whole block.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its type.
    pub kind: u32,
    /// All of it, both lengths included.
    pub bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// What stands between the lengths.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[8..self.bytes.len() - 4]
    }
}

/// What stands at the beginning of some bytes of a file.
#[derive(Debug)]
pub enum Step<T> {
    /// A whole one.
    Whole(T),
    /// Its beginning; more bytes are needed.
    Partial,
    /// Nonsense, described in half a sentence.
    Damaged(String),
}

/// The block at the beginning of `bytes`, in a section of byte order `order`.
#[inline]
#[must_use]
pub fn first(bytes: &[u8], order: ByteOrder) -> Step<Block<'_>> {
    let Some((&kind, rest)) = bytes.split_first_chunk() else { return Step::Partial };
    let Some((&length, rest)) = rest.split_first_chunk() else { return Step::Partial };
    let kind = order.u32(kind);
    let order = if kind == SECTION {
        // The one block that brings its own byte order.
        let Some(&magic) = rest.first_chunk() else { return Step::Partial };
        match section::order_of(magic) {
            Some(order) => order,
            None => return Step::Damaged("a section header without byte-order magic".to_owned()),
        }
    } else {
        order
    };
    let length = order.u32(length);
    if !(MIN_BLOCK..=MAX_BLOCK).contains(&length) || length % 4 != 0 {
        return Step::Damaged(format!("a block that claims {length} bytes"));
    }
    let Some(bytes) = bytes.get(..length as usize) else { return Step::Partial };
    if bytes.last_chunk().map(|again| order.u32(*again)) != Some(length) {
        return Step::Damaged(format!("a block whose two lengths differ (the first is {length})"));
    }
    Step::Whole(Block { kind, bytes })
}

/// The block at the beginning of `bytes`, which are whole blocks that [`first`] has seen: its end is
/// not looked at again, which would cost a cache line.
#[inline]
#[must_use]
pub fn next_whole(bytes: &[u8], order: ByteOrder) -> Option<Block<'_>> {
    let (&kind, rest) = bytes.split_first_chunk()?;
    let length = order.u32(*rest.first_chunk()?);
    Some(Block { kind: order.u32(kind), bytes: bytes.get(..length as usize)? })
}

/// Appends a little-endian block around `body`, whose length is a multiple of 4.
fn write_block(kind: u32, body: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX);
    out.extend(kind.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(body);
    out.extend(length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_that_cannot_be_are_damage() {
        let block = |length: u32| [&5_u32.to_le_bytes()[..], &length.to_le_bytes()].concat();
        for length in [0, 8, 11, 13, MAX_BLOCK + 4, u32::MAX] {
            let bytes = block(length);
            let step = first(&bytes, ByteOrder::Little);
            assert!(matches!(step, Step::Damaged(_)), "{length}: {step:?}");
        }
        assert!(matches!(first(&block(12), ByteOrder::Little), Step::Partial));
        let differing = [&block(12)[..], &[16, 0, 0, 0]].concat();
        assert!(matches!(first(&differing, ByteOrder::Little), Step::Damaged(_)));
        let whole = [&block(12)[..], &[12, 0, 0, 0]].concat();
        let Step::Whole(block) = first(&whole, ByteOrder::Little) else { panic!("whole") };
        assert_eq!((block.kind, block.body()), (5, &[][..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_step(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                if let Step::Whole(block) = first(&bytes, order) {
                    prop_assert!(block.bytes.len() <= bytes.len() && block.bytes.len() % 4 == 0);
                }
            }
        }
    }
}
