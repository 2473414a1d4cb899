//! Section header block (draft-ietf-opsawg-pcapng §4.1), and what is known of a section.
//!
//! ```text
//! 8 byte-order magic u32   12 major u16   14 minor u16   16 section length i64   24 options
//! ```

use schema::annotation::option::ByteOrder;

use super::Block;
use super::interface::Interface;

const MAGIC: u32 = 0x1a2b_3c4d;
const MAJOR: u16 = 1;

/// What a packet block of this section is read with.
#[derive(Clone, Debug)]
pub struct Section {
    /// Of all numbers in it.
    pub order: ByteOrder,
    /// By interface id.
    pub interfaces: Vec<Interface>,
}

/// The byte order that a byte-order magic tells.
#[must_use]
pub fn order_of(magic: [u8; 4]) -> Option<ByteOrder> {
    [ByteOrder::Little, ByteOrder::Big].into_iter().find(|order| order.u32(magic) == MAGIC)
}

/// The section that `block` begins.
///
/// # Errors
///
/// What is wrong with it, in half a sentence.
pub fn parse(block: &Block<'_>) -> Result<Section, String> {
    let damaged = || "a section header that is too short".to_owned();
    let &[m0, m1, m2, m3, v0, v1, ..] = block.body() else { return Err(damaged()) };
    let order = order_of([m0, m1, m2, m3]).ok_or_else(damaged)?;
    match order.u16([v0, v1]) {
        MAJOR => Ok(Section { order, interfaces: vec![] }),
        major => Err(format!("a section of pcapng version {major}, which is not known")),
    }
}

/// Appends a section header with one option: who wrote the file.
pub fn write(application: &str, out: &mut Vec<u8>) {
    use schema::annotation::option::append;
    const SHB_USERAPPL: u16 = 4;
    let mut body = Vec::new();
    body.extend(MAGIC.to_le_bytes());
    body.extend(MAJOR.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    body.extend((-1_i64).to_le_bytes());
    append(SHB_USERAPPL, application.as_bytes(), ByteOrder::Little, &mut body);
    append(0, &[], ByteOrder::Little, &mut body);
    write_block(super::SECTION, &body, out);
}

/// Appends a little-endian block around `body`, whose length is a multiple of 4.
pub(super) fn write_block(kind: u32, body: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX);
    out.extend(kind.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(body);
    out.extend(length.to_le_bytes());
}
