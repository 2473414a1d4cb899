//! Room on the disk, set aside before it is needed.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::OutputError;

/// Room is set aside in steps of this many bytes, so that most writes need no extra system call.
const RESERVE_STEP: u64 = 1 << 20;

/// Whether there is room for what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is, as far as the filesystem can tell.
    Enough,
    /// The disk, or the quota, is full.
    Full,
}

/// Room on the disk for a file to grow into.
#[derive(Debug)]
pub struct Reserve {
    file: File,
    reserved: u64,
}

impl Reserve {
    /// For `file`, which goes with `path`; `first` bytes at once.
    ///
    /// # Errors
    /// [`OutputError::Full`] if there is not even that much room.
    pub fn of(file: &File, path: &Path, first: u64) -> Result<Self, OutputError> {
        let io_error = |source| OutputError::Io { path: path.to_owned(), source };
        let mut reserve = Self { file: file.try_clone().map_err(io_error)?, reserved: 0 };
        match reserve.up_to(first).map_err(io_error)? {
            Room::Enough => Ok(reserve),
            Room::Full => Err(OutputError::Full { path: path.to_owned() }),
        }
    }

    /// Sets room aside for the file to grow to `bytes`, so that writing up to there cannot fail
    /// for want of it.
    ///
    /// # Errors
    /// What the system says, other than that it is full.
    pub fn up_to(&mut self, bytes: u64) -> io::Result<Room> {
        if bytes <= self.reserved {
            return Ok(Room::Enough);
        }
        let up_to = bytes.next_multiple_of(RESERVE_STEP);
        let length = up_to - self.reserved;
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.reserved, length) {
            Ok(()) => {
                self.reserved = up_to;
                Ok(Room::Enough)
            }
            Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Ok(Room::Full),
            // Not every filesystem can set room aside; then writing will tell.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => Ok(Room::Enough),
            Err(error) => Err(error.into()),
        }
    }
}
