//! Reading a file in large pieces. Reads land on a page boundary, and what the last piece left over
//! is put just before it: `read(2)` into an unaligned buffer was measured five times slower.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Alignment that the kernel's copy likes best: a page.
const PAGE: usize = 4096;

/// Bytes read into one buffer: enough packets for a worker to be worth waking, few enough for the
/// second-level cache.
const BODY: usize = 1 << 20;

/// Bytes of one `read`: larger ones were not faster.
const READ: usize = 256 << 10;

/// Bytes before the boundary for what was left over: the longest packets of a network card that
/// splits segments fit.
const HEAD: usize = 128 << 10;

/// A piece of a file, without the rest of the last record.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    filled: Range<usize>,
}

impl Buffer {
    /// What is in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.filled.clone()]
    }

    /// Places `carry` before a page boundary and reads after it. Also tells whether the file
    /// ended, and what is wrong with its compressed data, if they end that way: what came before
    /// counts.
    fn fill(mut bytes: Vec<u8>, carry: &[u8], input: &mut impl Read) -> io::Result<Filled> {
        let head = carry.len().max(HEAD).next_multiple_of(PAGE);
        if bytes.len() < head + PAGE + BODY {
            bytes = vec![0; head + PAGE + BODY];
        }
        let boundary = bytes.as_ptr().align_offset(PAGE).min(PAGE) + head;
        let start = boundary - carry.len();
        bytes[start..boundary].copy_from_slice(carry);
        let mut end = boundary;
        let (mut ended, mut damage) = (false, None);
        while end < boundary + BODY {
            let room = (boundary + BODY - end).min(READ);
            match input.read(&mut bytes[end..end + room]) {
                Ok(0) => {
                    ended = true;
                    break;
                }
                Ok(length) => end += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    (ended, damage) = (true, Some(error.to_string()));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Filled { buffer: Self { bytes, filled: start..end }, ended, damage })
    }
}

/// A piece, and whether it was the last.
struct Filled {
    buffer: Buffer,
    ended: bool,
    damage: Option<String>,
}

/// Buffers that were used, to be used again: fresh memory costs as much as the read itself.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Pool {
    /// Takes back a buffer, if this was its last user.
    pub fn give_back(&self, buffer: Arc<Buffer>) {
        if let (Some(buffer), Ok(mut free)) = (Arc::into_inner(buffer), self.free.lock()) {
            free.push(buffer.bytes);
        }
    }

    fn take(&self) -> Vec<u8> {
        self.free.lock().ok().and_then(|mut free| free.pop()).unwrap_or_default()
    }
}

/// A file, piece by piece.
#[derive(Debug)]
pub struct Pieces<R> {
    input: R,
    pool: Pool,
    ended: bool,
    damage: Option<String>,
}

impl<R: Read> Pieces<R> {
    /// Reads `input`, with buffers of `pool`.
    pub fn new(input: R, pool: Pool) -> Self {
        Self { input, pool, ended: false, damage: None }
    }

    /// The next piece, `carry` first; `None` once the file has ended.
    ///
    /// # Errors
    ///
    /// What reading said.
    pub fn next_piece(&mut self, carry: &[u8]) -> io::Result<Option<Buffer>> {
        if self.ended {
            return Ok(None);
        }
        let filled = Buffer::fill(self.pool.take(), carry, &mut self.input)?;
        (self.ended, self.damage) = (filled.ended, filled.damage);
        Ok(Some(filled.buffer))
    }

    /// What is wrong with the compressed data that the file ended with.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_whole_whatever_is_carried_over() {
        let whole: Vec<u8> = (0..3 * BODY + 77).map(|i| (i % 251) as u8).collect();
        let pool = Pool::default();
        let mut pieces = Pieces::new(&whole[..], pool.clone());
        let (mut joined, mut carry) = (Vec::new(), Vec::new());
        while let Some(buffer) = pieces.next_piece(&carry).expect("memory can be read") {
            let bytes = buffer.bytes();
            let keep = bytes.len() - bytes.len().min(HEAD + 1000);
            joined.extend_from_slice(&bytes[..keep]);
            carry = bytes[keep..].to_vec();
            pool.give_back(Arc::new(buffer));
        }
        joined.extend(carry);
        assert!(joined == whole);
    }
}
