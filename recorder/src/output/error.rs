//! Why a file can't be written, and what to do about it.

use std::{io, path::PathBuf};

use crate::text::Printable;

/// Why an output file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A folder where a file was expected.
    #[error("cannot write {}: it is a folder; give the name of a file in it", Printable::path(.path))]
    Folder {
        /// The path given.
        path: PathBuf,
    },
    /// A device, a pipe, a socket.
    #[error("cannot write {}: it is not an ordinary file; give another name", Printable::path(.path))]
    NotAFile {
        /// The path given.
        path: PathBuf,
    },
    /// The folder it should be in is missing.
    #[error("cannot write {}: there is no folder {}; create it first", Printable::path(.path), Printable::path(.parent))]
    NoFolder {
        /// The path given.
        path: PathBuf,
        /// The missing folder.
        parent: PathBuf,
    },
    /// Someone else is writing it.
    #[error("cannot write {}: another recording is writing it; give another name", Printable::path(.path))]
    Busy {
        /// The path given.
        path: PathBuf,
    },
    /// A recording was cut off there.
    #[error(
        "cannot write {0}: a recording to it was cut off; get what it left with `ebpfrec recover \
         {0}`, or give another name", Printable::path(.path)
    )]
    Left {
        /// The path given.
        path: PathBuf,
    },
    /// There is a file of that name already, which is not to be replaced.
    #[error("{} is there already; move it away and try again", Printable::path(.path))]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// No room even to begin.
    #[error("cannot write {}: the disk is full; free some space or give another place", Printable::path(.path))]
    Full {
        /// The path given.
        path: PathBuf,
    },
    /// The folder, or the file in it, is not where it was.
    #[error(
        "cannot write {0}: it, or its folder, was removed or renamed while it was recorded; if it is \
         only renamed, `ebpfrec recover` with the new name gets everything", Printable::path(.path)
    )]
    Gone {
        /// The path given.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot write {}: {source}; give a place that can be written to", Printable::path(.path))]
    Io {
        /// The path given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
