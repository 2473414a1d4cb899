//! What a recording left that was cut off, made into the files it would have written. Everything
//! happens in the partial file itself, behind what is whole of it, so that it takes no room to speak
//! of and can be tried again, whatever happens meanwhile.

mod events;
mod find;
mod packets;

use std::{
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use schema::SchemaError;
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::find::find;
use crate::{
    journal::JOURNAL,
    output::{OutputError, PARTIAL, PartialFile, beside},
    summary::{format_bytes, group},
    text::Printable,
};

/// First bytes of a pcapng file: the type of the section header block.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Why nothing was recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Nothing was cut off there.
    #[error(
        "nothing to recover at {}: there is no recording that was cut off; give the name that was \
         given to --events or --packets, or its folder", Printable::path(.path)
    )]
    Nothing {
        /// The path given.
        path: PathBuf,
    },
    /// The path can't be looked at.
    #[error("cannot look for recordings at {}: {source}", Printable::path(.path))]
    Look {
        /// The path given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not cut off at all.
    #[error("{} is still being recorded; stop that recording instead", Printable::path(.path))]
    Running {
        /// The file it will be.
        path: PathBuf,
    },
    /// There is a file of that name.
    #[error(
        "cannot recover {0}: there is a file of that name already; move it away and recover again",
        Printable::path(.path)
    )]
    Exists {
        /// The file it would be.
        path: PathBuf,
    },
    /// Neither events nor packets.
    #[error(
        "cannot recover {0}: what is in {0}.partial is not of ebpfrec; move it away",
        Printable::path(.path)
    )]
    Foreign {
        /// The file it would be.
        path: PathBuf,
    },
    /// What is there makes no sense.
    #[error(
        "cannot recover {}: nothing of it can be read; it is left as it is", Printable::path(.path)
    )]
    Unreadable {
        /// The file it would be.
        path: PathBuf,
    },
    /// Of another version.
    #[error(
        "cannot recover {}: {source}; use the ebpfrec that recorded it", Printable::path(.path)
    )]
    Version {
        /// The file it would be.
        path: PathBuf,
        /// What is wrong.
        source: SchemaError,
    },
    /// No room.
    #[error(
        "cannot recover {}: the disk is full; free some space and recover again, nothing was lost",
        Printable::path(.path)
    )]
    Full {
        /// The file it would be.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error(
        "cannot recover {}: {source}; what was recorded is still there", Printable::path(.path)
    )]
    Failed {
        /// The file it would be.
        path: PathBuf,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A file that was recovered.
#[derive(Debug, Serialize)]
pub struct Recovered {
    /// The file.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Whether nothing is missing: it was whole, and lacked only its name.
    pub complete: bool,
    /// What is in it.
    #[serde(flatten)]
    pub what: What,
}

fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// What a recovered file holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Events.
    Events {
        /// Rows.
        rows: u64,
        /// Time of the last one, or of the clean end, RFC 3339.
        end: String,
        /// Stage → things lost while it was recorded, as far as it is known.
        lost: Map<String, Value>,
        /// Bytes that nothing could be made of: the disk, not the crash, damaged them.
        damaged: u64,
    },
    /// Packets.
    Packets {
        /// Packets.
        packets: u64,
        /// Bytes after the last whole packet, cut off.
        cut: u64,
    },
    /// Nothing: the recording had not begun. There is no file.
    Nothing,
}

/// Recovers the file that would have been `path`. Also tells of a packet file that was written at
/// the same time.
///
/// # Errors
/// [`RecoverError`]; what was recorded stays as it is then.
pub fn recover(path: &Path) -> Result<(Recovered, Option<PathBuf>), RecoverError> {
    let left = PartialFile::left(path).map_err(|error| refuse(path, error))?;
    let mut magic = [0; 4];
    let has_magic = left.as_ref().is_some_and(|left| {
        // A file that is shorter has none.
        left.contents().read_exact_at(&mut magic, 0).is_ok()
    });
    if has_magic && magic == PCAPNG {
        let left = left.ok_or_else(|| RecoverError::Foreign { path: path.to_owned() })?;
        return packets::recover(path, left).map(|recovered| (recovered, None));
    }
    if has_magic && &magic != b"PAR1" && !beside(path, JOURNAL).exists() {
        return Err(RecoverError::Foreign { path: path.to_owned() });
    }
    events::recover(path, left)
}

fn refuse(path: &Path, error: OutputError) -> RecoverError {
    let path = path.to_owned();
    match error {
        OutputError::Busy { .. } => RecoverError::Running { path },
        OutputError::Exists { .. } => RecoverError::Exists { path },
        OutputError::Io { source, .. } => failed(&path, source),
        error => RecoverError::Failed { path, source: error.into() },
    }
}

fn failed(path: &Path, error: io::Error) -> RecoverError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RecoverError::Full { path },
        _ => RecoverError::Failed { path, source: error.into() },
    }
}

impl Recovered {
    /// A line for people, ended.
    #[must_use]
    pub fn line(&self) -> String {
        let path = Printable::path(&self.path);
        let size = format_bytes(self.bytes);
        let state = if self.complete { "complete" } else { "cut off" };
        match &self.what {
            What::Events { rows, end, lost, damaged } => {
                let mut line = format!("{path}  {} rows, {size}, {state}", group(*rows));
                if !end.is_empty() {
                    line += &format!(" at {end}");
                }
                let lost = lost.iter().filter_map(|(stage, count)| {
                    let count = count.as_u64().filter(|&count| count > 0)?;
                    Some(format!("{} {}", group(count), Printable::text(stage)))
                });
                let lost: Vec<_> = lost.collect();
                let lost = if lost.is_empty() { "nothing".to_owned() } else { lost.join(", ") };
                line += &format!(", lost {lost}");
                if *damaged > 0 {
                    line += &format!(", {} unreadable", format_bytes(*damaged));
                }
                line + "\n"
            }
            What::Packets { packets, cut } => {
                let mut line = format!("{path}  {} packets, {size}, {state}", group(*packets));
                if *cut > 0 {
                    line += &format!(", {} of half a packet cut off", format_bytes(*cut));
                }
                line + "\n"
            }
            What::Nothing => format!("{path}  nothing was recorded yet: no file\n"),
        }
    }
}

/// Removes a file that is needed no longer, if it is there.
fn remove(path: &Path, ending: &str) -> Result<(), RecoverError> {
    match std::fs::remove_file(beside(path, ending)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

/// Removes what a recording left that had not begun: files without a byte in them.
fn remove_empty(path: &Path) -> Result<Recovered, RecoverError> {
    let files = [PARTIAL, JOURNAL].map(|ending| std::fs::metadata(beside(path, ending)));
    if files.into_iter().flatten().any(|file| file.len() > 0) {
        return Err(RecoverError::Unreadable { path: path.to_owned() });
    }
    remove(path, PARTIAL)?;
    remove(path, JOURNAL)?;
    Ok(Recovered { path: path.to_owned(), bytes: 0, complete: true, what: What::Nothing })
}

#[cfg(test)]
mod tests;
