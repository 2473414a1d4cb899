//! The file that is written: beside its final name, under which it appears only when it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file being written. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[derive(Debug)]
pub struct Destination {
    file: File,
    target: PathBuf,
    /// Where it is written; `None` for a device or pipe, which is written directly.
    partial: Option<PathBuf>,
}

impl Destination {
    /// Creates `TARGET.partial`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn create(target: &Path) -> io::Result<Self> {
        if fs::metadata(target).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let file = File::options().write(true).open(target)?;
            return Ok(Self { file, target: target.to_owned(), partial: None });
        }
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut partial = OsString::from(target);
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial)?;
        Ok(Self { file, target: target.to_owned(), partial: Some(partial) })
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
}
