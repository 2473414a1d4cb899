//! Section header block (draft-ietf-opsawg-pcapng §4.1), and what is known of a section.
//!
//! ```text
//! 8 byte-order magic u32   12 major u16   14 minor u16   16 section length i64   24 options
//! ```

use std::sync::Arc;

use schema::annotation::option::{ByteOrder, Options};

use super::Block;
use super::interfaces::Interfaces;

const MAGIC: u32 = 0x1a2b_3c4d;
const MAJOR: u16 = 1;
const COMMENT: u16 = 1;
/// Where the options begin, from the byte-order magic on.
const OPTIONS: usize = 16;

/// What a packet block of this section is read with.
#[derive(Clone, Debug)]
pub struct Section {
    /// Of all numbers in it.
    pub order: ByteOrder,
    /// Whether it is of a version that is known; the packets of others are copied unread.
    pub is_known: bool,
    /// By interface id.
    pub interfaces: Interfaces,
    /// The boot id of the host that captured, if `ebpfrec` did: a comment says
    /// `ebpfrec host=NAME boot_id=ID`.
    pub boot_id: Option<Arc<str>>,
}

/// What a comment of `ebpfrec` says by `key`.
pub(super) fn said<'a>(comment: &'a [u8], key: &str) -> Option<&'a str> {
    let mut words = str::from_utf8(comment).ok()?.split(' ');
    if words.next() != Some("ebpfrec") {
        return None;
    }
    words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The byte order that a byte-order magic tells.
#[must_use]
pub fn order_of(magic: [u8; 4]) -> Option<ByteOrder> {
    [ByteOrder::Little, ByteOrder::Big].into_iter().find(|order| order.u32(magic) == MAGIC)
}

/// The section that `block` begins; `None` if it is too short to be a section header.
#[must_use]
pub fn parse(block: &Block<'_>) -> Option<Section> {
    let &[m0, m1, m2, m3, v0, v1, ..] = block.body() else { return None };
    let order = order_of([m0, m1, m2, m3])?;
    let options = block.body().get(OPTIONS..).unwrap_or_default();
    let boot_id = Options::new(options, order)
        .map_while(Result::ok)
        .filter(|option| option.code == COMMENT)
        .find_map(|option| said(option.value, "boot_id").map(Arc::from));
    Some(Section {
        order,
        is_known: order.u16([v0, v1]) == MAJOR,
        interfaces: Interfaces::default(),
        boot_id,
    })
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
    super::write_block(super::SECTION, &body, out);
}
