//! Reading a file in large pieces. Reads land on a page boundary, and what the last piece left over
//! is put just before it: `read(2)` into an unaligned buffer was measured five times slower.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

/// Alignment that the kernel's copy likes best: a page.
const PAGE: usize = 4096;

/// Bytes of a file that are worked on at a time: enough packets for a turn to be worth taking, few
/// enough for them and what becomes of them to stay in the second-level cache.
pub const PIECE: usize = 384 << 10;

/// Most bytes by which a piece grows at a time while a long block in it is not whole: as many as are there
/// already, so that copying takes linear time, and no more than this.
pub const MOST_AT_ONCE: usize = 16 << 20;

/// Bytes from which on memory is given back after a long block.
pub const LARGE: usize = 8 << 20;

/// Bytes of one `read`: larger ones were not faster.
const READ: usize = 256 << 10;

/// Bytes before the boundary for what was left over: the longest packets of a network card that
/// splits segments fit.
const HEAD: usize = 128 << 10;

/// A piece of a file. Used again for the next one: fresh memory costs as much as the read itself.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    filled: Range<usize>,
}

/// How a piece that was read from a stream ends.
#[derive(Debug, Default)]
pub struct Ending {
    /// Whether nothing follows.
    pub ended: bool,
    /// What is wrong with the compressed data, if they end that way: what came before counts.
    pub damage: Option<String>,
}

impl Buffer {
    /// What is in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.filled.clone()]
    }

    /// Empties it; what is read next lands on a page boundary, `carry` before it.
    fn begin(&mut self, carry: &[u8], body: usize) {
        let head = carry.len().max(HEAD).next_multiple_of(PAGE);
        let (there, needed) = (self.bytes.len(), head + PAGE + body);
        if there < needed || (there > LARGE && needed <= LARGE) {
            self.bytes = vec![];
            self.bytes = vec![0; needed];
        }
        let boundary = self.bytes.as_ptr().align_offset(PAGE).min(PAGE) + head;
        let start = boundary - carry.len();
        self.bytes[start..boundary].copy_from_slice(carry);
        self.filled = start..boundary;
    }

    /// Reads the next piece of `input`, `carry` first.
    ///
    /// # Errors
    ///
    /// What reading said.
    pub fn fill(&mut self, carry: &[u8], input: &mut impl Read) -> io::Result<Ending> {
        let body = carry.len().clamp(PIECE, MOST_AT_ONCE);
        self.begin(carry, body);
        let last = self.filled.end + body;
        while self.filled.end < last {
            let end = self.filled.end;
            let room = (last - end).min(READ);
            match input.read(&mut self.bytes[end..end + room]) {
                Ok(0) => return Ok(Ending { ended: true, damage: None }),
                Ok(length) => self.filled.end += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Ok(Ending { ended: true, damage: Some(error.to_string()) });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ending::default())
    }

    /// Reads `length` bytes of `file` from byte `from` on, all of which must be there.
    ///
    /// # Errors
    ///
    /// What reading said.
    pub fn fill_at(&mut self, file: &File, from: u64, length: usize) -> io::Result<()> {
        self.begin(&[], length);
        self.extend_at(file, from, length)
    }

    /// Reads `length` bytes more, which stand at byte `from` of `file`.
    ///
    /// # Errors
    ///
    /// What reading said.
    pub fn extend_at(&mut self, file: &File, from: u64, length: usize) -> io::Result<()> {
        let end = self.filled.end;
        if self.bytes.len() < end + length {
            self.bytes.resize(end + length, 0);
        }
        let mut from = from;
        for part in self.bytes[end..end + length].chunks_mut(READ) {
            read_exact_at(file, part, from)?;
            from += part.len() as u64;
        }
        self.filled.end += length;
        Ok(())
    }
}

/// Reads a part of a file, wherever others read.
#[derive(Debug)]
pub struct ReadAt {
    file: File,
    range: Range<u64>,
}

impl ReadAt {
    /// Reads `range` of `file`.
    #[must_use]
    pub fn new(file: File, range: Range<u64>) -> Self {
        Self { file, range }
    }
}

impl Read for ReadAt {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.range.end.saturating_sub(self.range.start);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let length = read_at(&self.file, &mut bytes[..most], self.range.start)?;
        self.range.start += length as u64;
        Ok(length)
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], from: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, from)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], from: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, from)
}

fn read_exact_at(file: &File, mut bytes: &mut [u8], mut from: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match read_at(file, bytes, from) {
            Ok(0) => {
                let what = "it became shorter while it was read";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
            Ok(length) => {
                bytes = &mut bytes[length..];
                from += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn numbers(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn pieces_join_to_the_whole_whatever_is_carried_over() {
        let whole = numbers(3 * PIECE + 77);
        let mut input = &whole[..];
        let (mut joined, mut carry) = (Vec::new(), Vec::new());
        let mut buffer = Buffer::default();
        loop {
            let ending = buffer.fill(&carry, &mut input).expect("memory can be read");
            let bytes = buffer.bytes();
            let keep = bytes.len() - bytes.len().min(HEAD + 1000);
            joined.extend_from_slice(&bytes[..keep]);
            carry = bytes[keep..].to_vec();
            if ending.ended {
                break;
            }
        }
        joined.extend(carry);
        assert!(joined == whole);
    }

    #[test]
    fn a_part_of_a_file_is_read_at_its_place_and_made_longer() {
        let whole = numbers(2 * READ + 5000);
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(&whole).expect("written");
        let mut buffer = Buffer::default();
        for (from, length) in [(0, whole.len()), (3, 10), (4096, READ + 1)] {
            buffer.fill_at(&file, from as u64, length).expect("read");
            let more = (whole.len() - from - length).min(300_000);
            buffer.extend_at(&file, (from + length) as u64, more).expect("read");
            assert!(buffer.bytes() == &whole[from..from + length + more]);
        }
        let error = buffer.fill_at(&file, whole.len() as u64 - 1, 2).expect_err("not there");
        assert_eq!(error.to_string(), "it became shorter while it was read");
        let mut part = vec![];
        ReadAt::new(file, 5..9000).read_to_end(&mut part).expect("read");
        assert!(part == whole[5..9000]);
    }
}
