//! The pcapng options around an annotation (draft-ietf-opsawg-pcapng §3.5, §4.3).
//!
//! ```text
//! +----------------+----------------+---------------------+
//! | code u16       | length u16     | value, padded to 4  |   in the byte order of the section
//! +----------------+----------------+---------------------+
//! ```

/// `opt_endofopt`.
pub const OPT_END: u16 = 0;
/// `opt_comment`: UTF-8 text, not NUL-terminated.
pub const OPT_COMMENT: u16 = 1;
/// `epb_processid_threadid`: two u32, pid then tid.
pub const OPT_PROCESS_THREAD: u16 = 8;

/// Byte order of a pcapng section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl ByteOrder {
    /// Two bytes to a number.
    #[inline]
    #[must_use]
    pub const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// Four bytes to a number.
    #[inline]
    #[must_use]
    pub const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// A number to two bytes.
    #[inline]
    #[must_use]
    pub const fn u16_bytes(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// A number to four bytes.
    #[inline]
    #[must_use]
    pub const fn u32_bytes(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// Appends one option. A value longer than 65,535 bytes does not fit one, and is cut there.
pub fn append(code: u16, value: &[u8], order: ByteOrder, out: &mut Vec<u8>) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&order.u16_bytes(code));
    out.extend_from_slice(&order.u16_bytes(length));
    out.extend_from_slice(&value[..usize::from(length)]);
    out.resize(out.len() + padding(usize::from(length)), 0);
}

/// Appends `epb_processid_threadid`: 12 bytes.
pub fn append_process_thread(pid: u32, tid: u32, order: ByteOrder, out: &mut Vec<u8>) {
    out.extend_from_slice(&order.u16_bytes(OPT_PROCESS_THREAD));
    out.extend_from_slice(&order.u16_bytes(8));
    out.extend_from_slice(&order.u32_bytes(pid));
    out.extend_from_slice(&order.u32_bytes(tid));
}

/// Zero bytes after a value of `length` bytes.
#[inline]
#[must_use]
pub const fn padding(length: usize) -> usize {
    length.wrapping_neg() & 3
}

/// One option, as it stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// What it is.
    pub code: u16,
    /// The value, without padding.
    pub value: &'a [u8],
}

impl RawOption<'_> {
    /// Reads `epb_processid_threadid`; `None` if this is another option or has a wrong length.
    #[must_use]
    pub fn process_thread(&self, order: ByteOrder) -> Option<(u32, u32)> {
        let (pid, rest) = self.value.split_first_chunk()?;
        let tid = rest.try_into().ok()?;
        (self.code == OPT_PROCESS_THREAD).then(|| (order.u32(*pid), order.u32(tid)))
    }
}

/// Options that are cut or claim more bytes than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("options are cut at byte {offset}")]
pub struct CutOptions {
    /// Offset of the option in question within the options.
    pub offset: usize,
}

/// The options in `bytes`, up to `opt_endofopt` or the end.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    bytes: &'a [u8],
    offset: usize,
    order: ByteOrder,
}

impl<'a> Options<'a> {
    /// Reads options in `order`.
    #[must_use]
    pub const fn new(bytes: &'a [u8], order: ByteOrder) -> Self {
        Self { bytes, offset: 0, order }
    }

    /// Offset of the option that [`next`](Self::next) will read: after the last one, where new
    /// options go.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn read(&mut self) -> Option<RawOption<'a>> {
        let rest = self.bytes.get(self.offset..)?;
        let (code, rest) = rest.split_first_chunk()?;
        let code = self.order.u16(*code);
        let (length, rest) = rest.split_first_chunk()?;
        if code == OPT_END {
            // Whatever length it claims.
            return Some(RawOption { code, value: &[] });
        }
        let length = usize::from(self.order.u16(*length));
        let value = rest.get(..length)?;
        // Some writers leave out the last option's padding.
        self.offset += 4 + (length + padding(length)).min(rest.len());
        Some(RawOption { code, value })
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<RawOption<'a>, CutOptions>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        match self.read() {
            Some(RawOption { code: OPT_END, .. }) => {
                self.bytes = &self.bytes[..self.offset];
                None
            }
            Some(option) => Some(Ok(option)),
            None => {
                let offset = self.offset;
                self.bytes = &self.bytes[..self.offset];
                Some(Err(CutOptions { offset }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order() -> impl Strategy<Value = ByteOrder> {
        prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)]
    }

    #[test]
    fn process_and_thread_are_two_words_in_section_order() {
        let mut out = Vec::new();
        append_process_thread(0x0102, 3, ByteOrder::Big, &mut out);
        assert_eq!(out, [0, 8, 0, 8, 0, 0, 1, 2, 0, 0, 0, 3]);
        let option = Options::new(&out, ByteOrder::Big).next().expect("one").expect("whole");
        assert_eq!(option.process_thread(ByteOrder::Big), Some((0x0102, 3)));
    }

    #[test]
    fn an_end_that_claims_a_length_is_no_cut_option() {
        for length in [0, 4, 0xff] {
            let options = [&[1, 0, 1, 0, b'x', 0, 0, 0][..], &[0, 0, length, 0]].concat();
            let mut reader = Options::new(&options, ByteOrder::Little);
            assert!(matches!(reader.next(), Some(Ok(RawOption { code: 1, value: b"x" }))));
            assert_eq!((reader.next(), reader.offset()), (None, 8));
        }
    }

    proptest! {
        #[test]
        fn options_read_back(
            options in prop::collection::vec((1..9_u16, prop::collection::vec(any::<u8>(), 0..9)), 0..5),
            order in order(),
            end in any::<bool>(),
        ) {
            let mut out = Vec::new();
            for (code, value) in &options {
                append(*code, value, order, &mut out);
            }
            let length = out.len();
            prop_assert_eq!(length % 4, 0);
            if end {
                out.extend_from_slice(&[0; 4]);
            }
            let mut reader = Options::new(&out, order);
            for (code, value) in &options {
                let option = reader.next().expect("one more").expect("whole");
                prop_assert_eq!((option.code, option.value), (*code, &value[..]));
            }
            prop_assert_eq!(reader.next(), None);
            prop_assert_eq!(reader.offset(), length);
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..64), order in order()) {
            let items = Options::new(&bytes, order).count();
            prop_assert!(items <= bytes.len() / 4 + 1);
        }
    }
}
