//! Enhanced packet blocks (draft-ietf-opsawg-pcapng §4.3) and the obsolete ones (appendix A), which
//! differ in how the interface is told: reading, and writing anew with other options.
//!
//! ```text
//! 8 interface id u32 (obsolete: u16, drops u16)   12 timestamp high u32   16 timestamp low u32
//! 20 captured length u32   24 original length u32   28 packet, padded to 4 …   options
//! ```

use schema::annotation::option::{
    ByteOrder, OPT_COMMENT, OPT_PROCESS_THREAD, Options, RawOption, padding,
};
use schema::annotation::{self, Annotation};

use super::{Block, ENHANCED_PACKET};

/// Offset of the packet's bytes within the block.
pub(crate) const DATA: usize = 28;

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
    /// their order. A process and thread is not written where the packet has somebody else's
    /// already; ours is the one of the sender that our comment names. Nor is the option `left_out`
    /// kept, if there is to be none. `false` if the options are cut: then nothing was appended.
    pub fn rewrite(&self, added: Added<'_>, left_out: Option<u16>, out: &mut Vec<u8>) -> bool {
        let order = self.order;
        // The sender that an older annotation of ours names: then that option is ours, too.
        let own_pid = self
            .own_comment()
            .and_then(Annotation::decode)
            .and_then(|annotation| annotation.src.process.pid);
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
                    let pid = option.process_thread(order).map(|(pid, _)| pid);
                    let is_out = left_out == Some(option.code);
                    if is_out || is_ours(&option) || (pid.is_some() && pid == own_pid) {
                        continue;
                    }
                    has_process |= option.code == OPT_PROCESS_THREAD;
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
    option.code == OPT_COMMENT && annotation::is_ours(option.value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schema::annotation::option::append;

    use super::super::{MAX_BLOCK, Step, first};
    use super::*;

    type Opt = (u16, Vec<u8>);

    const COMMENT: &[u8] = b"ebpf src.pid=117901063 src.comm=x";

    fn build(order: ByteOrder, data: &[u8], options: &[Opt]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let captured = u32::try_from(data.len()).expect("short");
        for word in [ENHANCED_PACKET, 0, 3, 1, 2, captured, 9000] {
            bytes.extend(order.u32_bytes(word));
        }
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        for (code, value) in options {
            append(*code, value, order, &mut bytes);
        }
        if !options.is_empty() {
            bytes.extend([0; 4]);
        }
        let length = order.u32_bytes(u32::try_from(bytes.len() + 4).expect("short"));
        bytes.extend(length);
        bytes[4..8].copy_from_slice(&length);
        bytes
    }

    fn view(bytes: &[u8], order: ByteOrder) -> PacketBlock<'_> {
        let Step::Whole(block) = first(bytes, order) else { panic!("not a block: {bytes:?}") };
        assert_eq!(block.bytes.len(), bytes.len());
        PacketBlock::new(&block, order).expect("lengths that fit")
    }

    fn rewritten(bytes: &[u8], order: ByteOrder, with: &[Opt]) -> Vec<u8> {
        let mut parts = [Vec::new(), Vec::new()];
        for (code, value) in with {
            append(*code, value, order, &mut parts[usize::from(*code == OPT_COMMENT)]);
        }
        let added = Added { process: &parts[0], comment: &parts[1] };
        let mut out = b"what was written before".to_vec();
        let before = out.len();
        assert!(view(bytes, order).rewrite(added, None, &mut out));
        out.split_off(before)
    }

    fn ours() -> [Opt; 2] {
        [(OPT_PROCESS_THREAD, vec![7; 8]), (OPT_COMMENT, COMMENT.to_vec())]
    }

    fn any_order() -> impl Strategy<Value = ByteOrder> {
        prop::sample::select(vec![ByteOrder::Little, ByteOrder::Big])
    }

    fn foreign_option() -> impl Strategy<Value = Opt> {
        let value = || prop::collection::vec(any::<u8>(), 0..20);
        prop_oneof![
            (2..20_u16, value()),
            (0x8000..=u16::MAX, value()),
            Just((OPT_PROCESS_THREAD, vec![9; 8])),
            Just((OPT_COMMENT, b"ebpfish, but not ours".to_vec())),
            Just((OPT_COMMENT, b"ebpf probe fires here, see ticket 12".to_vec())),
            Just((OPT_COMMENT, vec![])),
        ]
    }

    proptest! {
        #[test]
        fn all_but_our_options_is_as_it_was(
            order in any_order(),
            data in prop::collection::vec(any::<u8>(), 0..70),
            foreign in prop::collection::vec(foreign_option(), 0..5),
        ) {
            let bytes = build(order, &data, &foreign);
            let mut want = foreign.clone();
            let has_process = foreign.iter().any(|(code, _)| *code == OPT_PROCESS_THREAD);
            want.extend(ours().into_iter().skip(usize::from(has_process)));
            let once = rewritten(&bytes, order, &ours());
            prop_assert_eq!(&once, &build(order, &data, &want));
            prop_assert_eq!(view(&once, order).own_comment(), std::str::from_utf8(COMMENT).ok());
            // Somebody else's process option stays theirs, beside a comment of ours, too.
            prop_assert_eq!(&rewritten(&once, order, &ours()), &once);
            prop_assert_eq!(rewritten(&once, order, &[]), bytes);
        }

        #[test]
        fn damaged_options_are_left_alone(
            order in any_order(),
            options in prop::collection::vec(any::<u8>(), 0..10),
            length in 0..40_u32,
        ) {
            let mut bytes = build(order, &[1, 2, 3], &[]);
            bytes.truncate(bytes.len() - 4);
            bytes.extend(options);
            bytes.resize(bytes.len().next_multiple_of(4), 0xff);
            let total = order.u32_bytes(u32::try_from(bytes.len() + 4).expect("short"));
            bytes.extend(total);
            bytes[4..8].copy_from_slice(&total);
            bytes[20..24].copy_from_slice(&order.u32_bytes(length));
            let Step::Whole(block) = first(&bytes, order) else { panic!("not a block") };
            if let Some(packet) = PacketBlock::new(&block, order) {
                let mut out = vec![];
                if packet.rewrite(Added { process: &[], comment: &[] }, None, &mut out) {
                    prop_assert_eq!(view(&out, order).data(), packet.data());
                } else {
                    prop_assert!(out.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_packet_longer_than_its_block_is_none() {
        let mut bytes = build(ByteOrder::Little, &[0; 8], &[]);
        for captured in [9, 12, 13, MAX_BLOCK, u32::MAX - 3, u32::MAX] {
            bytes[20..24].copy_from_slice(&captured.to_le_bytes());
            let block = Block { kind: ENHANCED_PACKET, bytes: &bytes };
            assert!(PacketBlock::new(&block, ByteOrder::Little).is_none(), "{captured}");
        }
    }
}
