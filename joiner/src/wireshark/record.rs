//! What was put where, kept in a file beside the profiles: a file of ours that is as we left it may be
//! replaced and removed, any other is somebody's.
//!
//! ```text
//! ebpfjoin put these here; `ebpfjoin wireshark --uninstall` removes them
//! file 3a7b… /home/ana/.local/lib/wireshark/plugins/ebpf.lua
//! folder /home/ana/.local/lib/wireshark/plugins
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest as _, Sha256};

use super::{WiresharkError, failed};

/// The record's file name, in Wireshark's configuration folder.
const NAME: &str = "ebpfjoin-installed";
const HEAD: &str = "ebpfjoin put these here; `ebpfjoin wireshark --uninstall` removes them";

/// What was put there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Files, and the digest of what was written.
    pub files: BTreeMap<PathBuf, String>,
    /// Folders that were not there before, outer ones first.
    pub folders: Vec<PathBuf>,
}

impl Record {
    /// Where the record is.
    #[must_use]
    pub fn path(configuration: &Path) -> PathBuf {
        configuration.join(NAME)
    }

    /// What is recorded; nothing if there is no record. Lines that it doesn't know are passed over.
    ///
    /// # Errors
    ///
    /// It is there and can't be read.
    pub fn read(configuration: &Path) -> Result<Self, WiresharkError> {
        let path = Self::path(configuration);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn parse(text: &str) -> Self {
        let mut record = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("file", rest)) => {
                    if let Some((digest, path)) = rest.split_once(' ') {
                        record.files.insert(path.into(), digest.to_owned());
                    }
                }
                Some(("folder", path)) => record.folders.push(path.into()),
                _ => {}
            }
        }
        record
    }

    fn text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for (path, digest) in &self.files {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "file {digest} {}", path.display());
        }
        for path in &self.folders {
            let _ = writeln!(text, "folder {}", path.display());
        }
        text
    }

    /// Writes the record; removes it if nothing is left in it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn write(&self, configuration: &Path) -> Result<(), WiresharkError> {
        let path = Self::path(configuration);
        if self.files.is_empty() && self.folders.is_empty() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(failed("remove", &path)(error))
                }
                _ => Ok(()),
            };
        }
        fs::write(&path, self.text()).map_err(failed("write", &path))
    }

    /// Whether `content` is what was put at `path`.
    #[must_use]
    pub fn is_ours(&self, path: &Path, content: &[u8]) -> bool {
        self.files.get(path).is_some_and(|known| *known == digest(content))
    }
}

/// SHA-256, in hexadecimal.
#[must_use]
pub fn digest(content: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(content) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = Record::default();
        record.files.insert("/home/ana b/ebpf.lua".into(), digest(b"lua"));
        record.folders.push("/home/ana b".into());
        assert_eq!(Record::parse(&record.text()), record);
        assert!(record.is_ours(Path::new("/home/ana b/ebpf.lua"), b"lua"));
        assert!(!record.is_ours(Path::new("/home/ana b/ebpf.lua"), b"lua "));
        assert!(!record.is_ours(Path::new("/home/ana/ebpf.lua"), b"lua"));
    }

    #[test]
    fn lines_of_a_later_version_are_passed_over() {
        assert_eq!(Record::parse("ebpfjoin 9\nlink a b\nfile short\n"), Record::default());
    }
}
