//! Files that follow one another: `ev.parquet` is written as `ev.000001.parquet`,
//! `ev.000002.parquet` and so on. Numbers go on behind those that are there, so that nothing is
//! overwritten and names sort by time.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    journal::JOURNAL,
    output::{OutputError, PARTIAL, PartialFile, open_left},
    privileges::{self, Work},
};

/// Digits of a number at least: a part a minute for two years.
const DIGITS: usize = 6;

/// When a file ends and the next begins, and how many stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes after which a part ends.
    pub size: Option<u64>,
    /// Time after which a part ends.
    pub time: Option<Duration>,
    /// Finished parts that stay; older ones are deleted.
    pub keep: Option<usize>,
}

impl Rotation {
    /// Whether there are parts at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.size.is_some() || self.time.is_some()
    }

    /// Whether a part of so many bytes, written for so long, is at its end.
    #[must_use]
    pub fn is_due(&self, bytes: u64, age: Duration) -> bool {
        self.size.is_some_and(|size| bytes >= size) || self.time.is_some_and(|time| age >= time)
    }
}

/// The files of one output.
#[derive(Clone, Debug)]
pub struct Series {
    path: PathBuf,
    rotation: Rotation,
    /// Number of the last part in the folder.
    number: u32,
    /// Parts of this recording so far.
    part: u32,
}

impl Series {
    /// The files of the output `path`.
    ///
    /// # Errors
    /// [`OutputError::Busy`] if another recording writes parts of it.
    pub fn new(path: &Path, rotation: Rotation) -> Result<Self, OutputError> {
        let mut series = Self { path: path.to_owned(), rotation, number: 0, part: 0 };
        if rotation.is_on() {
            // A folder that can't be read shows when the first part is created.
            for part in list(path).unwrap_or_default() {
                series.number = series.number.max(part.number);
                if part.state == State::Partial {
                    open_left(&part.path, PARTIAL)?;
                }
            }
        }
        Ok(series)
    }

    /// When parts end.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// Which part of this recording the last created is, from 1; 0 if there are no parts.
    #[must_use]
    pub fn part(&self) -> u32 {
        if self.rotation.is_on() { self.part } else { 0 }
    }

    /// Number of parts, or files, created.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.part
    }

    /// Creates the next file.
    ///
    /// # Errors
    /// [`OutputError`]
    pub fn create(&mut self) -> Result<PartialFile, OutputError> {
        let number = self.number + 1;
        let file = if self.rotation.is_on() {
            PartialFile::create(&part_path(&self.path, number))?
        } else {
            PartialFile::create(&self.path)?
        };
        self.number = number;
        self.part += 1;
        Ok(file)
    }

    /// Deletes the oldest finished parts, so that only as many stay as are to be kept.
    ///
    /// # Errors
    /// What the system says; a part that is gone already is none.
    pub fn prune(&self) -> io::Result<()> {
        let Some(keep) = self.rotation.keep.filter(|_| self.rotation.is_on()) else {
            return Ok(());
        };
        let parts = list(&self.path)?;
        let finished = parts.iter().filter(|part| part.state == State::Finished);
        let finished: Vec<_> = finished.collect();
        for part in &finished[..finished.len().saturating_sub(keep)] {
            match fs::remove_file(&part.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Gives parts their names, one after the other, in a thread: waiting for the disk can take long,
/// and meanwhile more keeps coming.
#[derive(Debug)]
pub struct Finisher<T, E>(Option<JoinHandle<Result<T, E>>>);

impl<T, E> Default for Finisher<T, E> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static, E: From<io::Error> + Send + 'static> Finisher<T, E> {
    /// Does `work`, once what was to be done before is done; returns what came of that.
    ///
    /// # Errors
    /// That of the work before, or no thread is to be had.
    pub fn start(
        &mut self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Option<T>, E> {
        let before = self.settle()?;
        let thread = thread::Builder::new().name("finish-part".to_owned());
        let work = move || {
            privileges::enter(Work::Files);
            work()
        };
        self.0 = Some(thread.spawn(work)?);
        Ok(before)
    }

    /// Waits until there is nothing more to be done.
    ///
    /// # Errors
    /// That of the work.
    ///
    /// # Panics
    /// If the work did.
    pub fn settle(&mut self) -> Result<Option<T>, E> {
        let Some(thread) = self.0.take() else { return Ok(None) };
        let done = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.map(Some)
    }
}

/// Whether a part is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It has its name.
    Finished,
    /// It is being written, or was when the recorder was killed.
    Partial,
}

/// A part in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its number.
    pub number: u32,
    /// Its state.
    pub state: State,
    /// The name it has, or will have.
    pub path: PathBuf,
}

/// The parts of the output `path`, by number.
///
/// # Errors
/// The folder can't be read.
pub fn list(path: &Path) -> io::Result<Vec<Part>> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut parts = vec![];
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let name = entry?.file_name();
        let (name, state) = match strip(&name, PARTIAL).or_else(|| strip(&name, JOURNAL)) {
            Some(name) => (name, State::Partial),
            None => (name, State::Finished),
        };
        if let Some(number) = part_number(path, &name) {
            parts.push(Part { number, state, path: path.with_file_name(name) });
        }
    }
    parts.sort();
    // A partial file and its journal are one.
    parts.dedup();
    Ok(parts)
}

/// `name` without `ending`.
fn strip(name: &OsStr, ending: &str) -> Option<OsString> {
    // An ending of plain characters can be cut off any name that is text; of others there is none
    // of ours.
    Some(name.to_str()?.strip_suffix(ending)?.into())
}

/// The name of part `number` of `path`: the number stands before the extension.
#[must_use]
pub fn part_path(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{number:0DIGITS$}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Which part of `path` a file of this name is, if it is one.
fn part_number(path: &Path, name: &OsStr) -> Option<u32> {
    let name = name.to_str()?;
    let rest = name.strip_prefix(path.file_stem()?.to_str()?)?.strip_prefix('.')?;
    let digits = match path.extension() {
        Some(extension) => rest.strip_suffix(extension.to_str()?)?.strip_suffix('.')?,
        None => rest,
    };
    let plain = digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn rotation(keep: Option<usize>) -> Rotation {
        Rotation { size: Some(1), time: None, keep }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    fn write_part(series: &mut Series) {
        let mut file = series.create().expect("created");
        file.write_all(b"x").expect("written");
        file.finish().expect("finished");
        series.prune().expect("pruned");
    }

    #[test]
    fn numbers_stand_before_the_extension_and_read_back() {
        for (path, want) in [
            ("a/ev.parquet", "a/ev.000007.parquet"),
            ("ev.2026.parquet", "ev.2026.000007.parquet"),
            ("ev", "ev.000007"),
            (".ev", ".ev.000007"),
        ] {
            let (path, want) = (Path::new(path), Path::new(want));
            assert_eq!(part_path(path, 7), want);
            assert_eq!(part_number(path, want.file_name().expect("name")), Some(7));
        }
        let path = Path::new("ev.parquet");
        assert_eq!(part_path(path, 12_345_678), Path::new("ev.12345678.parquet"));
        for other in ["ev.parquet", "ev.7.parquet", "ev.00000x.parquet", "ew.000007.parquet"] {
            assert_eq!(part_number(path, OsStr::new(other)), None, "{other}");
        }
    }

    #[test]
    fn numbers_go_on_and_the_newest_stay() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("ev.parquet");
        for (name, text) in [("ev.parquet", "other"), ("ev.000004.parquet", "older")] {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let mut series = Series::new(&path, rotation(Some(2))).expect("series");
        write_part(&mut series);
        assert_eq!(series.part(), 1);
        write_part(&mut series);
        assert_eq!(names(folder.path()), ["ev.000005.parquet", "ev.000006.parquet", "ev.parquet"]);
        assert_eq!(series.part(), 2);
    }

    #[test]
    fn a_part_in_use_belongs_to_another_recording() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("ev.parquet");
        let mut series = Series::new(&path, rotation(None)).expect("series");
        let mut file = series.create().expect("created");
        file.write_all(b"x").expect("written");
        assert!(matches!(Series::new(&path, rotation(None)), Err(OutputError::Busy { .. })));
        drop(file);
        // Cut off, it stays as it is.
        let mut next = Series::new(&path, rotation(Some(1))).expect("series");
        write_part(&mut next);
        assert_eq!(names(folder.path()), ["ev.000001.parquet.partial", "ev.000002.parquet"]);
    }

    #[test]
    fn without_rotation_there_is_one_file() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("t");
        let mut series = Series::new(&path, Rotation::default()).expect("series");
        write_part(&mut series);
        assert_eq!((series.part(), names(folder.path())), (0, vec!["t".to_owned()]));
    }

    #[test]
    fn a_part_ends_by_size_or_by_time() {
        let both = Rotation { size: Some(10), time: Some(Duration::from_secs(5)), keep: None };
        assert!(!both.is_due(9, Duration::from_secs(4)));
        assert!(both.is_due(10, Duration::ZERO) && both.is_due(0, Duration::from_secs(5)));
        assert!(!Rotation::default().is_due(u64::MAX, Duration::MAX));
    }
}
