//! A capture that comes as a stream, compressed or from a pipe: the one serial pass over it, piece by
//! piece.

use std::io::{self, Read};

use crate::chunk::{Framing, Piece};
use crate::cut::{Cutter, End, Why};
use crate::input::{Buffer, Ending, LARGE};

/// Where and why a capture could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset in the file of the first byte that was not understood.
    pub offset: u64,
    /// Packets before it.
    pub packets: u64,
    /// Half a sentence.
    pub what: String,
}

/// Why a file is not read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Reading failed.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// The file has no bytes.
    #[error("the file is empty; was the capture stopped before its first packet was written?")]
    Empty,
    /// Not even the first block makes sense.
    #[error("damaged from its first byte on: {0}; there is nothing to enrich")]
    Damaged(String),
    /// No magic that is known.
    #[error("not a capture: neither pcapng nor pcap; give a file of tcpdump, dumpcap or Wireshark")]
    NotACapture,
}

/// Cuts a capture into chunks.
#[derive(Debug)]
pub struct Scanner<R> {
    input: R,
    cutter: Cutter,
    /// What was read already, and from which byte on it is to be cut.
    first: Option<(Buffer, usize)>,
    ending: Ending,
    /// The beginning of a block whose end was not read yet.
    carry: Vec<u8>,
    /// Offset of `carry` in the file.
    offset: u64,
    damage: Option<Damage>,
}

impl<R: Read> Scanner<R> {
    /// Begins to read `input`, whose first bytes tell the format.
    ///
    /// # Errors
    ///
    /// [`ScanError`], if this is not a capture.
    pub fn new(mut input: R) -> Result<Self, ScanError> {
        let mut buffer = Buffer::default();
        let ending = buffer.fill(&[], &mut input)?;
        let (cutter, begin) =
            Cutter::new(buffer.bytes()).map_err(|error| match &ending.damage {
                Some(what) => ScanError::Damaged(what.clone()),
                None => error,
            })?;
        let first = Some((buffer, begin));
        Ok(Self { input, cutter, first, ending, carry: vec![], offset: 0, damage: None })
    }

    /// What the next packet is read with.
    #[must_use]
    pub fn framing(&self) -> &Framing {
        self.cutter.framing()
    }

    /// The next piece, which takes the place of `piece`; `false` at the end of what could be read.
    ///
    /// # Errors
    ///
    /// What reading said.
    pub fn next_piece(&mut self, piece: &mut Piece) -> io::Result<bool> {
        piece.cuts.clear();
        while piece.cuts.is_empty() {
            let begin = match self.first.take() {
                Some((buffer, begin)) => {
                    piece.buffer = buffer;
                    begin
                }
                None if self.damage.is_some() => return Ok(false),
                None if self.ending.ended => {
                    self.end();
                    return Ok(false);
                }
                None => {
                    self.ending = piece.buffer.fill(&self.carry, &mut self.input)?;
                    0
                }
            };
            piece.offset = self.offset;
            let bytes = piece.buffer.bytes();
            let End { at, why } = self.cutter.cut(bytes, begin..bytes.len(), &mut piece.cuts);
            self.carry.clear();
            if self.carry.capacity() > LARGE {
                self.carry = vec![];
            }
            self.offset += at as u64;
            if let Why::Damaged(what) = why {
                self.stop(what);
            } else {
                self.carry.extend_from_slice(&bytes[at..]);
            }
        }
        Ok(true)
    }

    /// Where the file stopped making sense, once [`next_piece`](Self::next_piece) has returned
    /// `false`.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    fn end(&mut self) {
        if let Some(what) = self.ending.damage.take() {
            self.stop(what);
        } else if !self.carry.is_empty() {
            self.stop(cut_off(self.carry.len()));
        }
    }

    /// Nothing is read from here on.
    fn stop(&mut self, what: String) {
        let Self { offset, cutter: Cutter { packets, .. }, .. } = *self;
        self.damage = Some(Damage { offset, packets, what });
    }
}

/// What is wrong where a file ends with the first `length` bytes of something.
pub(crate) fn cut_off(length: usize) -> String {
    format!("cut off, {length} bytes into a block")
}

#[cfg(test)]
mod tests;
