//! Which files are meant by what was given: event files, and folders with the parts of recordings.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use schema::SchemaError;
use schema::meta::FileMeta;
use schema::rows::EventFile;

use super::{EventsError, guard};

/// The event files, parts of a recording in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFiles {
    /// What is to be read.
    pub paths: Vec<PathBuf>,
    /// What was found in folders and is not finished: still being recorded, or cut off.
    pub unfinished: Vec<PathBuf>,
    /// What is among `paths` already, itself or a copy of it, and is not read again.
    pub twice: Vec<PathBuf>,
}

impl EventFiles {
    /// Looks into folders, and brings parts into order.
    ///
    /// # Errors
    ///
    /// A file that is no event file, a folder without one.
    pub fn find<P: AsRef<Path>>(given: &[P]) -> Result<Self, EventsError> {
        let mut found = Self::default();
        let mut parts = vec![];
        for path in given.iter().map(AsRef::as_ref) {
            let error = |source: SchemaError| EventsError { path: path.to_owned(), source };
            if !path.is_dir() {
                let meta = read_meta(path).map_err(error)?;
                parts.push((path.to_owned(), meta));
                continue;
            }
            let before = parts.len();
            for path in list(path).map_err(|source| error(source.into()))? {
                if path.extension() == Some(OsStr::new("partial")) {
                    found.unfinished.push(path);
                    continue;
                }
                match read_meta(&path) {
                    Ok(meta) => parts.push((path, meta)),
                    // Somebody else's table.
                    Err(SchemaError::Foreign { .. }) => {}
                    Err(source) => return Err(EventsError { path, source }),
                }
            }
            if parts.len() == before {
                return Err(error(SchemaError::Io(io::Error::other(
                    "there is no event file in this folder; give the one that `ebpfrec` wrote to",
                ))));
            }
        }
        // Recordings stay in the order in which they were given, or named.
        let mut order = HashMap::new();
        for (_, meta) in parts.iter().filter(|(_, meta)| !meta.recording.is_empty()) {
            let next = order.len();
            order.entry(meta.recording.clone()).or_insert(next);
        }
        // Of two copies the one that is whole.
        let is_cut = |meta: &FileMeta| !meta.recording.is_empty() && !meta.complete;
        parts.sort_by_key(|(_, meta)| {
            (order.get(&meta.recording).copied(), meta.part, is_cut(meta))
        });
        let mut known = HashSet::new();
        for (path, meta) in parts {
            let is_new = known.insert(Content::of(&path, meta));
            if is_new { &mut found.paths } else { &mut found.twice }.push(path);
        }
        Ok(found)
    }
}

/// What tells the content of one file from that of another.
#[derive(PartialEq, Eq, Hash)]
enum Content {
    /// A part of a recording, whose number is unique; what `ebpfrec recover` made of it is that part,
    /// too.
    Part(String, u32),
    /// A file of before recordings had numbers.
    File(PathBuf),
}

impl Content {
    fn of(path: &Path, meta: FileMeta) -> Self {
        if meta.recording.is_empty() {
            Self::File(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
        } else {
            Self::Part(meta.recording, meta.part)
        }
    }
}

fn read_meta(path: &Path) -> Result<FileMeta, SchemaError> {
    guard(|| Ok(EventFile::open(File::open(path)?)?.meta().clone()))
}

/// Files of a folder that are Parquet by their names, or are to be, in order of the names.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.ends_with(".parquet") || name.ends_with(".parquet.partial") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
