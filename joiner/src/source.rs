//! Where a capture comes from: a file, compressed or not, or a pipe. A capture is read twice, so what
//! comes through a pipe is kept on the disk meanwhile, beside the output or, where that is no file,
//! where temporary files are (`TMPDIR`), in a file without a name.

pub mod compression;

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use self::compression::Compression;
use crate::input::ReadAt;

/// Standard input, as it is typed.
const STANDARD_INPUT: &str = "-";
/// Bytes at the beginning that tell how a file is compressed.
const MAGIC: usize = 4;

/// A capture, decompressed, from its beginning.
pub type Reader = Box<dyn Read + Send>;

/// A capture that can be read as often as needed.
#[derive(Debug)]
pub struct Source {
    stored: Stored,
    compression: Option<Compression>,
}

enum Stored {
    /// A file, as long as it was when it was opened: it may still be written.
    File { file: File, length: u64 },
    /// A pipe that is kept while it is read for the first time.
    Pipe { kept: File, first: Mutex<Option<Reader>> },
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { file, length } => write!(out, "{file:?} ({length} bytes)"),
            Self::Pipe { kept, .. } => write!(out, "a pipe kept in {kept:?}"),
        }
    }
}

impl Source {
    /// Opens the capture at `path`; `-` is standard input. A pipe will be kept in the folder
    /// `keep_in`, or where temporary files are, if there is none.
    ///
    /// # Errors
    ///
    /// What the system says; a folder is refused.
    pub fn open(path: &Path, keep_in: Option<&Path>) -> io::Result<Self> {
        if path == Path::new(STANDARD_INPUT) {
            return Self::keep(Box::new(io::stdin()), keep_in);
        }
        let found = fs::metadata(path)?;
        if found.is_dir() {
            return Err(io::Error::other("it is a folder; give one of its captures"));
        }
        let mut file = File::open(path)?;
        if !found.is_file() {
            return Self::keep(Box::new(file), keep_in);
        }
        let mut magic = [0; MAGIC];
        let length = read_up_to(&mut file, &mut magic)?;
        let compression = Compression::of(&magic[..length]);
        let stored = Stored::File { file, length: found.len() };
        Ok(Self { stored, compression })
    }

    fn keep(mut input: Reader, keep_in: Option<&Path>) -> io::Result<Self> {
        let place = Place::new(keep_in);
        let mut kept = tempfile::tempfile_in(&place.folder).map_err(|error| place.error(&error))?;
        let mut magic = [0; MAGIC];
        let length = read_up_to(&mut input, &mut magic)?;
        kept.write_all(&magic[..length]).map_err(|error| place.error(&error))?;
        let begin = io::Cursor::new(magic).take(length as u64);
        let rest = Tee { input, kept: kept.try_clone()?, place };
        let first: Reader = Box::new(begin.chain(rest));
        let compression = Compression::of(&magic[..length]);
        Ok(Self { stored: Stored::Pipe { kept, first: Mutex::new(Some(first)) }, compression })
    }

    /// Bytes as they are stored; `None` where nobody knows yet.
    #[must_use]
    pub fn stored_length(&self) -> Option<u64> {
        match self.stored {
            Stored::File { length, .. } => Some(length),
            Stored::Pipe { .. } => None,
        }
    }

    /// The file that holds the capture as it is, and its length: what does not come through a pipe, or
    /// has come.
    #[must_use]
    pub fn in_place(&self) -> Option<(&File, u64)> {
        if self.compression.is_some() {
            return None;
        }
        match &self.stored {
            Stored::File { file, length } => Some((file, *length)),
            Stored::Pipe { kept, first } => {
                let is_kept = first.lock().is_ok_and(|first| first.is_none());
                let length = kept.metadata().ok()?.len();
                is_kept.then_some((kept, length))
            }
        }
    }

    /// Whether the capture is longer than what is stored of it.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compression.is_some()
    }

    /// The capture from its beginning. The first reader of a pipe has to be done before the next
    /// one begins, which sees what that one saw.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn reader(&self) -> io::Result<Reader> {
        let stored: Reader = match &self.stored {
            Stored::File { file, length } => Box::new(ReadAt::new(file.try_clone()?, 0..*length)),
            Stored::Pipe { kept, first } => {
                let first = first.lock().ok().and_then(|mut first| first.take());
                match first {
                    Some(first) => first,
                    None => {
                        let mut again = kept.try_clone()?;
                        again.rewind()?;
                        Box::new(again)
                    }
                }
            }
        };
        match self.compression {
            Some(compression) => compression.reader(stored),
            None => Ok(stored),
        }
    }
}

/// The capture at `path`, decompressed, to be read once; `-` is standard input.
///
/// # Errors
///
/// What the system says.
pub fn read_once(path: &Path) -> io::Result<Reader> {
    let mut input: Reader = if path == Path::new(STANDARD_INPUT) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    let mut magic = [0; MAGIC];
    let length = read_up_to(&mut input, &mut magic)?;
    let compression = Compression::of(&magic[..length]);
    let whole = Box::new(io::Cursor::new(magic).take(length as u64).chain(input));
    match compression {
        Some(compression) => compression.reader(whole),
        None => Ok(whole),
    }
}

fn read_up_to(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where a pipe is kept.
struct Place {
    folder: PathBuf,
    /// What can be done if there is no room.
    way_out: &'static str,
}

impl Place {
    fn new(keep_in: Option<&Path>) -> Self {
        match keep_in {
            Some(folder) => {
                Self { folder: folder.to_owned(), way_out: "choose another folder with -o" }
            }
            None => Self { folder: std::env::temp_dir(), way_out: "set TMPDIR to another folder" },
        }
    }

    fn error(&self, error: &io::Error) -> io::Error {
        let Self { folder, way_out } = self;
        let folder = folder.display();
        let what = format!(
            "what comes through the pipe can't be kept in {folder}: {error}; free some space \
             there, or {way_out}"
        );
        io::Error::new(error.kind(), what)
    }
}

/// What is read from `input` is kept.
struct Tee {
    input: Reader,
    kept: File,
    place: Place,
}

impl Read for Tee {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(bytes)?;
        self.kept.write_all(&bytes[..length]).map_err(|error| self.place.error(&error))?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(source: &Source) -> Vec<u8> {
        let mut bytes = vec![];
        source.reader().expect("opened").read_to_end(&mut bytes).expect("read");
        bytes
    }

    #[test]
    fn a_pipe_can_be_read_again() {
        let whole: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for length in [0, 1, 4, 5, whole.len()] {
            let input: Reader = Box::new(io::Cursor::new(whole[..length].to_vec()));
            let source = Source::keep(input, None).expect("kept");
            assert!(all(&source) == whole[..length] && all(&source) == whole[..length]);
        }
    }

    #[test]
    fn a_file_that_grows_is_read_as_far_as_it_was() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("growing");
        fs::write(&path, b"first").expect("written");
        let source = Source::open(&path, None).expect("opened");
        let mut file = File::options().append(true).open(&path).expect("opened");
        file.write_all(b" and more").expect("written");
        assert_eq!(all(&source), b"first");
    }
}
