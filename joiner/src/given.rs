//! What the files given are: captures or event files, by what they begin with, whatever their order.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::Explain;
use crate::cut::Cutter;
use crate::glob::expand;
use crate::jobs::{SUFFIXES, expand_events, folder_of_captures};
use crate::run::RunError;
use crate::scan::ScanError;
use crate::source::Compression;

/// What event files begin with (Parquet).
const EVENTS: &[u8] = b"PAR1";
/// Bytes that are looked at: the header of any capture has fewer.
const LOOK: u64 = 4096;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Capture,
    Events,
    Neither,
}

/// What was given, sorted out; at least one of each.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) captures: Vec<PathBuf>,
    /// Event files, and folders of them.
    pub(crate) events: Vec<PathBuf>,
}

impl Given {
    /// Sorts out what stands in the place of the capture and behind it. A folder first stands for every
    /// capture in it, unless it has none, but event files; a [pattern](crate::glob) for every file that
    /// fits.
    ///
    /// # Errors
    ///
    /// [`RunError`], where there is nothing that fits, a file is neither, or one of both is missing.
    pub(crate) fn sort(first: &Path, more: &[PathBuf]) -> Result<Self, RunError> {
        let (mut captures, mut events) = (vec![], vec![]);
        let error = |path: &Path, source| RunError::Capture { path: path.to_owned(), source };
        for path in expand(first).map_err(|source| error(first, source.into()))? {
            if path.is_dir() {
                folder_of_captures(path, &mut captures, &mut events)?;
            } else if path.is_file() && content(&path) == Content::Events {
                events.push(path);
            } else {
                // What is no capture says so where it is read.
                captures.push(path);
            }
        }
        for path in expand_events(more)? {
            // What is no file is not looked at: what a pipe has to say it says once.
            let content = if path.is_file() { content(&path) } else { Content::Events };
            match content {
                Content::Capture => captures.push(path),
                Content::Events => events.push(path),
                Content::Neither => return Err(RunError::Neither { path }),
            }
        }
        match (captures.is_empty(), events.is_empty()) {
            (true, _) => Err(RunError::NoCapture),
            (false, true) => Err(RunError::NoEvents),
            (false, false) => Ok(Self { captures, events }),
        }
    }
}

/// `config` with the capture where it belongs, if it stands behind an event file.
///
/// # Errors
///
/// Those of [`Given::sort`].
pub(crate) fn in_order(config: &Explain) -> Result<Explain, RunError> {
    let mut config = config.clone();
    let sources = &mut config.sources;
    if sources.capture.is_file() && content(&sources.capture) == Content::Events {
        let mut given = Given::sort(&sources.capture, &sources.events)?;
        let captures = given.captures.len();
        if captures > 1 {
            return Err(RunError::OnePacket { captures });
        }
        (sources.capture, sources.events) = (given.captures.remove(0), given.events);
    }
    Ok(config)
}

/// What `path` is by its first bytes. A name tells where they don't: of a file that is empty or can't
/// be opened, of which more is said where it is read.
fn content(path: &Path) -> Content {
    let mut bytes = vec![];
    let read = File::open(path).and_then(|file| file.take(LOOK).read_to_end(&mut bytes));
    let is_parquet = path.extension().is_some_and(|suffix| suffix == "parquet");
    if read.is_err() || bytes.starts_with(EVENTS) || is_parquet {
        return Content::Events;
    }
    let is_capture = Compression::of(&bytes).is_some()
        || !matches!(Cutter::new(&bytes), Err(ScanError::NotACapture | ScanError::Empty))
        || has_name_of_capture(path);
    if is_capture { Content::Capture } else { Content::Neither }
}

/// Whether a file is a capture by its name.
pub(crate) fn has_name_of_capture(path: &Path) -> bool {
    let plain = match Compression::of_name(path) {
        Some(_) => path.with_extension(""),
        None => path.to_owned(),
    };
    plain.extension().is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix == *known))
}
