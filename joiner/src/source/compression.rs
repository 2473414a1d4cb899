//! Compressed captures: told by their first bytes when read, by the name or an option when written.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::Reader;

/// Compressed bytes read at once.
const READ: usize = 256 << 10;
/// Levels that cost little time; a capture is large.
const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;

/// How a capture is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl Compression {
    const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::Lz4];

    /// By the first bytes of a file.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| bytes.starts_with(compression.magic()))
    }

    /// By the end of a file's name.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        let suffix = path.extension()?.to_str()?;
        Self::ALL.into_iter().find(|compression| compression.suffix() == suffix)
    }

    const fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b],
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
            Self::Lz4 => &[0x04, 0x22, 0x4d, 0x18],
        }
    }

    /// What names of such files end in.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
            Self::Lz4 => "lz4",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// Decompresses `stored`. Where that is cut off or damaged, reading fails with
    /// [`InvalidData`](io::ErrorKind::InvalidData).
    ///
    /// # Errors
    ///
    /// Want of memory.
    pub fn reader(self, stored: Reader) -> io::Result<Reader> {
        let stored = BufReader::with_capacity(READ, stored);
        let name = self.name();
        Ok(match self {
            Self::Gzip => Box::new(Decoded { input: MultiGzDecoder::new(stored), name }),
            Self::Zstd => {
                let input = zstd::stream::read::Decoder::with_buffer(stored)?;
                Box::new(Decoded { input, name })
            }
            Self::Lz4 => {
                let input = FrameDecoder::new(stored);
                Box::new(Decoded { input: Frames { input }, name })
            }
        })
    }
}

/// Tells what is wrong with compressed data from what is wrong with the file they are in.
struct Decoded<R> {
    input: R,
    name: &'static str,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.input.read(bytes).map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::UnexpectedEof => format!("the {} data are cut off", self.name),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
                    format!("the {} data are damaged: {error}", self.name)
                }
                // About the file they are in.
                _ => return error,
            };
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }
}

/// One frame after the other: the decoder stops after each.
struct Frames<R: Read> {
    input: FrameDecoder<R>,
}

impl<R: io::BufRead> Read for Frames<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.input.read(bytes)?;
            let is_over = length == 0 && !bytes.is_empty();
            if !is_over || self.input.get_mut().fill_buf()?.is_empty() {
                return Ok(length);
            }
        }
    }
}

/// Compresses what is written to it, or doesn't.
#[expect(missing_debug_implementations, reason = "the encoders have none")]
pub enum Writer<W: Write> {
    /// As it is.
    Plain(W),
    /// By gzip.
    Gzip(GzEncoder<W>),
    /// By zstd.
    Zstd(zstd::stream::write::Encoder<'static, W>),
    /// By LZ4.
    Lz4(Box<FrameEncoder<W>>),
}

impl<W: Write> Writer<W> {
    /// Writes to `output`.
    ///
    /// # Errors
    ///
    /// Want of memory.
    pub fn new(output: W, compression: Option<Compression>) -> io::Result<Self> {
        Ok(match compression {
            None => Self::Plain(output),
            Some(Compression::Gzip) => {
                Self::Gzip(GzEncoder::new(output, flate2::Compression::new(GZIP_LEVEL)))
            }
            Some(Compression::Zstd) => {
                Self::Zstd(zstd::stream::write::Encoder::new(output, ZSTD_LEVEL)?)
            }
            Some(Compression::Lz4) => {
                // Of a frame that is cut off whole blocks can be read.
                let frame = FrameInfo::new().block_size(BlockSize::Max256KB);
                Self::Lz4(Box::new(FrameEncoder::with_frame_info(frame, output)))
            }
        })
    }

    /// Writes what belongs at the end.
    ///
    /// # Errors
    ///
    /// What writing says.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut output) => output.flush(),
            Self::Gzip(encoder) => encoder.finish()?.flush(),
            Self::Zstd(encoder) => encoder.finish()?.flush(),
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::other)?.flush(),
        }
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Lz4(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            // What they hold back is written at the end.
            Self::Gzip(_) | Self::Zstd(_) | Self::Lz4(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(compression: Compression, whole: &[u8]) -> Vec<u8> {
        let mut bytes = vec![];
        let mut writer = Writer::new(&mut bytes, Some(compression)).expect("memory");
        writer.write_all(whole).expect("written");
        writer.finish().expect("finished");
        bytes
    }

    fn read(compression: Compression, stored: Vec<u8>) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut input = compression.reader(Box::new(io::Cursor::new(stored))).expect("memory");
        let (mut whole, mut piece) = (vec![], vec![0; 7777]);
        loop {
            match input.read(&mut piece) {
                Ok(0) => return (whole, None),
                Ok(length) => whole.extend_from_slice(&piece[..length]),
                Err(error) => return (whole, Some(error.kind())),
            }
        }
    }

    #[test]
    fn what_was_compressed_comes_back() {
        let whole: Vec<u8> = (0..300_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        for compression in Compression::ALL {
            let stored = compressed(compression, &whole);
            assert_eq!(Compression::of(&stored), Some(compression));
            assert!(stored.len() < whole.len());
            assert!(read(compression, stored.clone()) == (whole.clone(), None));
            // As `cat a.gz b.gz` makes them.
            let twice = [stored.clone(), stored].concat();
            assert!(read(compression, twice) == ([&whole[..], &whole].concat(), None));
        }
    }

    #[test]
    fn what_is_cut_off_gives_what_is_whole() {
        let whole: Vec<u8> =
            (0..900_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for compression in Compression::ALL {
            let mut stored = compressed(compression, &whole);
            stored.truncate(stored.len() / 2);
            let (read, error) = read(compression, stored);
            assert_eq!(error, Some(io::ErrorKind::InvalidData), "{compression:?}");
            assert!(read.len() > whole.len() / 4 && whole.starts_with(&read), "{compression:?}");
        }
    }

    #[test]
    fn names_tell_how_to_compress() {
        let of = |name| Compression::of_name(Path::new(name));
        assert_eq!(of("a.pcapng.gz"), Some(Compression::Gzip));
        assert_eq!(of("a.zst"), Some(Compression::Zstd));
        assert_eq!(of("a.lz4"), Some(Compression::Lz4));
        assert_eq!((of("a.pcapng"), of("gz")), (None, None));
    }
}
