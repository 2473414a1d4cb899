//! The file that is written: beside its final name, under which it appears only when it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// Standard output, as it is typed.
pub const STANDARD_OUTPUT: &str = "-";

/// A file being written. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[derive(Debug)]
pub struct Destination {
    file: File,
    target: PathBuf,
    /// Where it is written; `None` for a device or pipe, which is written directly.
    partial: Option<PathBuf>,
}

impl Destination {
    /// Creates `TARGET.partial`; `-` is standard output.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn create(target: &Path) -> io::Result<Self> {
        if target == Path::new(STANDARD_OUTPUT) {
            let stdout = io::stdout();
            if stdout.is_terminal() {
                return Err(io::Error::other("standard output is a terminal"));
            }
            let file = File::from(stdout.as_fd().try_clone_to_owned()?);
            return Ok(Self { file, target: target.to_owned(), partial: None });
        }
        if fs::metadata(target).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let file = File::options().write(true).open(target)?;
            return Ok(Self { file, target: target.to_owned(), partial: None });
        }
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let target = resolve(target);
        let partial = partial_of(&target);
        let file = File::create(&partial)?;
        Ok(Self { file, target, partial: Some(partial) })
    }

    /// Whether writing to `target` would destroy `input`: under the final name, or under the one
    /// that is used until then.
    #[must_use]
    pub fn would_destroy(target: &Path, input: &Path) -> bool {
        let target = resolve(target);
        let is_input = |place: &Path| matches!((fs::canonicalize(place), fs::canonicalize(input)), (Ok(a), Ok(b)) if a == b);
        is_input(&target) || is_input(&partial_of(&target))
    }

    /// The folder that it is written in.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        let folder = self.partial.as_deref()?.parent()?;
        Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    }

    /// Where to write.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its final name.
    ///
    /// # Errors
    ///
    /// What the system says; the file is then gone.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(partial) = &self.partial {
            fs::rename(partial, &self.target)?;
        }
        self.partial = None;
        Ok(())
    }
}

/// The file behind a symbolic link: the link stays, and so does `/dev/stdout` where a shell has put
/// a file behind it.
fn resolve(target: &Path) -> PathBuf {
    fs::canonicalize(target).unwrap_or_else(|_| target.to_owned())
}

fn partial_of(target: &Path) -> PathBuf {
    let mut partial = OsString::from(target);
    partial.push(".partial");
    partial.into()
}

impl Drop for Destination {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // Nothing to be done about it here, and the error that led here is told already.
            let _ = fs::remove_file(partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_name_appears_only_at_the_end() {
        let folder = tempfile::tempdir().expect("folder");
        let target = folder.path().join("out.pcapng");
        let list = || fs::read_dir(folder.path()).expect("list").count();
        drop(Destination::create(&target).expect("created"));
        assert_eq!(list(), 0, "a run that failed leaves nothing");
        let destination = Destination::create(&target).expect("created");
        destination.file().write_all(b"x").expect("written");
        assert!(!target.exists());
        destination.finish().expect("renamed");
        assert_eq!((fs::read(&target).expect("read"), list()), (b"x".to_vec(), 1));
    }
    #[test]
    fn inputs_are_safe_under_either_name_and_behind_links() {
        let folder = tempfile::tempdir().expect("folder");
        let place = |name: &str| folder.path().join(name);
        for name in ["in", "out.partial"] {
            fs::write(place(name), b"x").expect("written");
        }
        fs::create_dir(place("sub")).expect("folder");
        let would_destroy =
            |target: &str, input: &str| Destination::would_destroy(&place(target), &place(input));
        assert!(would_destroy("sub/../in", "in"));
        assert!(would_destroy("out", "out.partial"));
        assert!(!would_destroy("out", "in"));
        assert!(!would_destroy("out", "not there"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("folder");
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        fs::write(&file, b"old").expect("written");
        std::os::unix::fs::symlink("file", &link).expect("linked");
        let destination = Destination::create(&link).expect("created");
        destination.file().write_all(b"new").expect("written");
        destination.finish().expect("renamed");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read(&file).expect("read"), b"new");
    }
}
