//! What the first page of a column says of itself, before anybody believes it: the Parquet library makes
//! room for as many dictionary values as a page's header claims, whatever the page holds.
//!
//! The header is a Thrift structure in the compact protocol (parquet.thrift, `PageHeader`):
//!
//! ```text
//! 1 i32 type   2 i32 uncompressed size   3 i32 compressed size   4 i32 CRC   7 DictionaryPageHeader
//!                                                                            └─ 1 i32 number of values
//! ```

use crate::compact::read_varint;

/// Bits of a field's first byte that hold its type.
const TYPE: u8 = 0x0f;
const I32: u8 = 5;
const STRUCT: u8 = 12;
/// Number of the field that a dictionary page's header has, and others don't.
const DICTIONARY: i64 = 7;

/// How many values the dictionary page at the start of `bytes` claims to have; `None` if it is another
/// page, or none.
pub(super) fn dictionary_values(mut bytes: &[u8]) -> Option<i64> {
    let mut number = 0;
    loop {
        let (id, kind) = field(&mut bytes, number)?;
        number = id;
        match kind {
            I32 if number < DICTIONARY => {
                integer(&mut bytes)?;
            }
            STRUCT if number == DICTIONARY => break,
            _ => return None,
        }
    }
    match field(&mut bytes, 0)? {
        (1, I32) => integer(&mut bytes),
        _ => None,
    }
}

/// Number and type of the next field, after that with number `before`.
fn field(bytes: &mut &[u8], before: i64) -> Option<(i64, u8)> {
    let (&head, rest) = bytes.split_first()?;
    *bytes = rest;
    let number = match i64::from(head >> 4) {
        0 => integer(bytes)?,
        step => before.checked_add(step)?,
    };
    Some((number, head & TYPE))
}

/// A number: LEB128, zigzag.
fn integer(bytes: &mut &[u8]) -> Option<i64> {
    let value = read_varint(bytes)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_values_is_found_behind_the_sizes() {
        // Type 2, 1000 bytes, 300 compressed, dictionary of 77 values, plain.
        let page =
            [0x15, 4, 0x15, 0xd0, 0x0f, 0x15, 0xd8, 0x04, 0x4c, 0x15, 0x9a, 0x01, 0x15, 0, 0];
        assert_eq!(dictionary_values(&page), Some(77));
        let with_crc = [&page[..8], &[0x15, 2, 0x3c], &page[9..]].concat();
        assert_eq!(dictionary_values(&with_crc), Some(77));
        for cut in 0..12 {
            assert_eq!(dictionary_values(&page[..cut]), None);
        }
        let data_page = [0x15, 0, 0x15, 2, 0x15, 2, 0x2c, 0x15, 2];
        assert_eq!(dictionary_values(&data_page), None);
        assert_eq!(dictionary_values(&[0xff; 40]), None);
    }
}
