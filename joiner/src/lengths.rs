//! Lengths that section headers tell (draft-ietf-opsawg-pcapng §4.1): once something in a section grows
//! they are false, and a reader that skips sections by them ends in the midst of a block. In a file they
//! are corrected afterwards; in a stream, where nothing can be, they are not told any more.
//!
//! ```text
//! section header: 16 length of all that follows it in the section, i64; -1 if that is not told
//! ```

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::ops::Range;

use schema::annotation::option::ByteOrder;

use crate::block::SECTION;
use crate::chunk::{Chunk, Framing};

/// Where the length stands in a section header, bytes.
const LENGTH: Range<usize> = 16..24;
/// Bytes of the shortest header that has one.
const MIN_HEADER: u32 = 28;
/// That no length is told.
const NOT_TOLD: [u8; 8] = [0xff; 8];

/// What becomes of the lengths that section headers tell.
#[derive(Clone, Copy, Debug, Default)]
pub enum Lengths<'a> {
    /// They stay: nothing in any section grows.
    #[default]
    Kept,
    /// They are not told any more: what was written can't be changed.
    Dropped,
    /// They are corrected in this file, with whose first byte the output begins.
    Corrected(&'a File),
}

/// A section header in what a piece of the capture becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Where it begins there, bytes.
    pub(crate) at: usize,
    /// Where it begins in the capture, bytes.
    pub(crate) position: u64,
    /// The length that it tells, if it does, and in which byte order.
    told: Option<(u64, ByteOrder)>,
}

impl Header {
    /// The header with which `chunk` begins, which will stand at byte `at`.
    pub(crate) fn of(chunk: &Chunk<'_>, at: usize) -> Option<Self> {
        let (Framing::Pcapng(_), order) = (chunk.framing, chunk.order()) else { return None };
        let bytes: &[u8; MIN_HEADER as usize - 4] = chunk.bytes().first_chunk()?;
        let [k0, k1, k2, k3, l0, l1, l2, l3, ..] = *bytes;
        if order.u32([k0, k1, k2, k3]) != SECTION {
            return None;
        }
        let has_length = order.u32([l0, l1, l2, l3]) >= MIN_HEADER;
        let length = <[u8; 8]>::try_from(&bytes[LENGTH]).ok()?;
        let told = (has_length && length != NOT_TOLD).then(|| {
            let length = match order {
                ByteOrder::Little => u64::from_le_bytes(length),
                ByteOrder::Big => u64::from_be_bytes(length),
            };
            (length, order)
        });
        Some(Self { at, position: chunk.offset(), told })
    }

    /// Makes it tell no length, in the `bytes` that it stands in.
    pub(crate) fn drop_length(&self, bytes: &mut [u8]) {
        if self.told.is_some()
            && let Some(length) = bytes.get_mut(self.at..).and_then(|rest| rest.get_mut(LENGTH))
        {
            length.copy_from_slice(&NOT_TOLD);
        }
    }
}

/// Corrects lengths where sections end.
#[derive(Debug, Default)]
pub(crate) struct Corrector<'a> {
    file: Option<&'a File>,
    /// The last header, and where it begins in the output, bytes.
    last: Option<(Header, u64)>,
}

impl<'a> Corrector<'a> {
    /// Does what `lengths` says.
    pub(crate) fn new(lengths: Lengths<'a>) -> Self {
        let file = match lengths {
            Lengths::Corrected(file) => Some(file),
            Lengths::Kept | Lengths::Dropped => None,
        };
        Self { file, last: None }
    }

    /// A section begins with `header`, at byte `at` of the output: the former one is written.
    pub(crate) fn begin(&mut self, header: Header, at: u64) -> io::Result<()> {
        self.end(header.position, at)?;
        self.last = Some((header, at));
        Ok(())
    }

    /// The section at hand ends where the capture has byte `position`, and the output byte `at`.
    pub(crate) fn end(&mut self, position: u64, at: u64) -> io::Result<()> {
        let (Some(mut file), Some((header, begin))) = (self.file, self.last.take()) else {
            return Ok(());
        };
        let Some((told, order)) = header.told else { return Ok(()) };
        let (before, after) = (position - header.position, at - begin);
        if before == after {
            return Ok(());
        }
        // What it tells may have been false before; then it is as false as it was.
        let length = told.wrapping_add(after).wrapping_sub(before);
        let length = match order {
            ByteOrder::Little => length.to_le_bytes(),
            ByteOrder::Big => length.to_be_bytes(),
        };
        let end = file.stream_position()?;
        file.seek(SeekFrom::Start(begin + LENGTH.start as u64))?;
        file.write_all(&length)?;
        file.seek(SeekFrom::Start(end)).map(drop)
    }
}
