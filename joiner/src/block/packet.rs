//! Enhanced packet blocks (draft-ietf-opsawg-pcapng §4.3) and the obsolete ones (appendix A), which
//! differ in how the interface is told: reading, and writing anew with other options.
//!
//! ```text
//! 8 interface id u32 (obsolete: u16, drops u16)   12 timestamp high u32   16 timestamp low u32
//! 20 captured length u32   24 original length u32   28 packet, padded to 4 …   options
//! ```

use schema::annotation::PREFIX;
use schema::annotation::option::{
    ByteOrder, OPT_COMMENT, OPT_PROCESS_THREAD, Options, RawOption, padding,
};

use super::{Block, ENHANCED_PACKET};

/// Offset of the packet's bytes within the block.
const DATA: usize = 28;

/// A packet block whose lengths fit.
#[derive(Clone, Copy, Debug)]
pub struct PacketBlock<'a> {
    /// The whole block.
    bytes: &'a [u8],
    order: ByteOrder,
    is_enhanced: bool,
    captured: usize,
}

impl<'a> PacketBlock<'a> {
    /// A view of `block`; `None` if the packet is longer than the block.
    #[inline]
    #[must_use]
    pub fn new(block: &Block<'a>, order: ByteOrder) -> Option<Self> {
        let header: &[u8; DATA] = block.bytes.first_chunk()?;
        let [.., c0, c1, c2, c3, _, _, _, _] = *header;
        let captured = order.u32([c0, c1, c2, c3]) as usize;
        let end = DATA.checked_add(captured)?.checked_add(padding(captured))?;
        let is_enhanced = block.kind == ENHANCED_PACKET;
        (end + 4 <= block.bytes.len()).then_some(Self {
            bytes: block.bytes,
            order,
            is_enhanced,
            captured,
        })
    }

    /// Position of its interface in the section.
    #[inline]
    #[must_use]
    pub fn interface(&self) -> usize {
        if self.is_enhanced {
            self.u32_at(8) as usize
        } else {
            usize::from(self.order.u16([self.bytes[8], self.bytes[9]]))
        }
    }

    /// Its timestamp, in units of the interface.
    #[inline]
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        u64::from(self.u32_at(12)) << 32 | u64::from(self.u32_at(16))
    }

    /// The packet as far as it was captured.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        &self.bytes[DATA..DATA + self.captured]
    }

    /// Length of the packet on the wire.
    #[must_use]
    pub fn original_length(&self) -> u32 {
        self.u32_at(24)
    }

    /// The whole block.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its options, as they stand.
    #[inline]
    #[must_use]
    pub fn options(&self) -> &'a [u8] {
        &self.bytes[self.options_at()..self.bytes.len() - 4]
    }

    fn options_at(&self) -> usize {
        DATA + self.captured + padding(self.captured)
    }

    fn u32_at(&self, at: usize) -> u32 {
        let bytes = &self.bytes[at..at + 4];
        self.order.u32([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Our comment in the options, if there is one.
    #[must_use]
    pub fn own_comment(&self) -> Option<&'a str> {
        Options::new(self.options(), self.order)
            .map_while(Result::ok)
            .find_map(|option| std::str::from_utf8(option.value).ok().filter(|_| is_ours(&option)))
    }

    /// Appends this block with `added` options in place of ours; everybody else's are kept, in
    /// their order. `has_process` tells whether `added` has a process and thread, which is not
    /// written where the packet has one already. `false` if the options are cut: then nothing was
    /// appended.
    pub fn rewrite(&self, added: Added<'_>, out: &mut Vec<u8>) -> bool {
        let order = self.order;
        let was_annotated = self.own_comment().is_some();
        let start = out.len();
        out.extend_from_slice(&self.bytes[..self.options_at()]);
        let options = self.options();
        let mut reader = Options::new(options, order);
        let mut has_process = false;
        loop {
            let from = reader.offset();
            match reader.next() {
                None => break,
                Some(Err(_)) => {
                    out.truncate(start);
                    return false;
                }
                Some(Ok(option)) => {
                    let is_process = option.code == OPT_PROCESS_THREAD;
                    if is_ours(&option) || (is_process && was_annotated) {
                        continue;
                    }
                    has_process |= is_process;
                    out.extend_from_slice(&options[from..reader.offset()]);
                }
            }
        }
        // The last option of a careless writer may lack its padding.
        out.resize(out.len() + padding(out.len() - start), 0);
        if !has_process {
            out.extend_from_slice(added.process);
        }
        out.extend_from_slice(added.comment);
        if out.len() - start > self.options_at() {
            out.extend_from_slice(&[0; 4]);
        }
        let length = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX);
        out.extend_from_slice(&order.u32_bytes(length));
        out[start + 4..start + 8].copy_from_slice(&order.u32_bytes(length));
        true
    }
}

/// Options to be added, rendered in the byte order of the section.
#[derive(Clone, Copy, Debug, Default)]
pub struct Added<'a> {
    /// `epb_processid_threadid`, or nothing.
    pub process: &'a [u8],
    /// Our comment, or nothing.
    pub comment: &'a [u8],
}

fn is_ours(option: &RawOption<'_>) -> bool {
    option.code == OPT_COMMENT
        && option
            .value
            .strip_prefix(PREFIX.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
}
