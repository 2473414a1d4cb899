//! Where the second pass has its pieces from: out of a file, each thread for itself, as the first pass
//! laid them out; or out of a stream, one thread at a time.

use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::block::legacy::Legacy;
use crate::chunk::{Framing, Piece};
use crate::layout::Layout;
use crate::scan::{Damage, ScanError, Scanner};
use crate::source::Reader;

/// Pieces with their numbers, for any number of threads.
pub(crate) enum Feed<'a> {
    /// Out of a file.
    InPlace { file: &'a File, layout: &'a Layout, next: AtomicUsize },
    /// Out of a stream, with the number of the next piece.
    Stream(Mutex<(Scanner<Reader>, u64)>),
}

impl<'a> Feed<'a> {
    /// Pieces of `file`, which are laid out as `layout` says.
    pub(crate) fn in_place(file: &'a File, layout: &'a Layout) -> Self {
        Self::InPlace { file, layout, next: AtomicUsize::new(0) }
    }

    /// Pieces of `capture`.
    ///
    /// # Errors
    ///
    /// [`ScanError`], if this is not a capture.
    pub(crate) fn stream(capture: Reader) -> Result<Self, ScanError> {
        Ok(Self::Stream(Mutex::new((Scanner::new(capture)?, 0))))
    }

    /// The number of the next piece, which takes the place of `piece`; `None` at the end.
    ///
    /// # Errors
    ///
    /// What reading said.
    pub(crate) fn next(&self, piece: &mut Piece) -> Result<Option<u64>, ScanError> {
        match self {
            Self::InPlace { file, layout, next } => {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(extent) = layout.extents.get(number) else { return Ok(None) };
                let length = extent.cuts.last().map_or(0, |cut| cut.range.end);
                piece.buffer.fill_at(file, extent.offset, length)?;
                piece.offset = extent.offset;
                piece.cuts.clear();
                piece.cuts.extend_from_slice(&extent.cuts);
                Ok(Some(number as u64))
            }
            Self::Stream(stream) => {
                // Whoever failed while it read has stopped the others already.
                let Ok(mut stream) = stream.lock() else { return Ok(None) };
                let (scanner, next) = &mut *stream;
                if !scanner.next_piece(piece)? {
                    return Ok(None);
                }
                *next += 1;
                Ok(Some(*next - 1))
            }
        }
    }

    /// The header of a legacy file.
    pub(crate) fn legacy(&self) -> Option<Legacy> {
        let of = |framing: &Framing| match framing {
            Framing::Legacy(legacy) => Some(*legacy),
            Framing::Pcapng(_) => None,
        };
        match self {
            Self::InPlace { layout, .. } => layout.legacy,
            Self::Stream(stream) => of(stream.lock().ok()?.0.framing()),
        }
    }

    /// Where the capture could not be read further, once there are no more pieces.
    pub(crate) fn damage(self) -> Option<Damage> {
        match self {
            Self::InPlace { layout, .. } => layout.damage.clone(),
            Self::Stream(stream) => stream.into_inner().ok()?.0.damage().cloned(),
        }
    }
}
