//! Putting files in their place and taking them away. A file that is not ours, or is ours no longer,
//! is never written over and never removed.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::record::{Record, digest};
use super::{Folders, WiresharkError, failed};

/// The profile's file that Wireshark writes by itself: widths of columns and the like. It is not
/// written over, and goes with the profile, without which it means nothing.
pub const REWRITTEN: &str = "recent";

/// What became of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was written, or removed.
    Done(&'static str),
    /// It was as it should be already.
    Unchanged,
    /// Somebody changed it since; it was left as it is.
    Kept,
}

impl Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` takes the width that was asked for.
        f.pad(match self {
            Self::Done(what) => what,
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
        })
    }
}

/// `installed`, `absent`, or `different` where another file is there.
///
/// # Errors
///
/// A file is there and can't be read.
pub fn state(path: &Path, content: &str) -> Result<&'static str, WiresharkError> {
    Ok(match read(path)? {
        None => "absent",
        Some(there) if there == content.as_bytes() => "installed",
        Some(_) => "different",
    })
}

/// Writes `files`, and notes which of them and which folders were not there before.
///
/// # Errors
///
/// A file of somebody else's is in the way (then nothing was changed), or what the system says.
pub fn install(
    folders: &Folders,
    files: &[(PathBuf, &str)],
) -> Result<Vec<(PathBuf, Fate)>, WiresharkError> {
    let mut record = Record::read(&folders.configuration)?;
    let mut fates = vec![];
    for (path, content) in files {
        let fate = match read(path)? {
            None => Fate::Done("installed"),
            Some(there) if there == content.as_bytes() => Fate::Unchanged,
            Some(there) if record.is_ours(path, &there) => Fate::Done("updated"),
            Some(_) if record.files.contains_key(path) || is_rewritten(path) => Fate::Kept,
            Some(_) => return Err(WiresharkError::Foreign { path: path.clone() }),
        };
        fates.push((path.clone(), fate));
    }
    let to_write = || fates.iter().zip(files).filter(|((_, f), _)| matches!(f, Fate::Done(_)));
    for (_, (path, content)) in to_write() {
        record.files.insert(path.clone(), digest(content.as_bytes()));
        let parents = path.ancestors().skip(1);
        let mut missing: Vec<_> = parents.take_while(|folder| !folder.exists()).collect();
        missing.reverse();
        for folder in missing {
            if !record.folders.iter().any(|known| known == folder) {
                record.folders.push(folder.to_owned());
            }
        }
    }
    // The record first: what is cut off half-way can be undone. Its own folder may be one of them.
    make_folder(&folders.configuration)?;
    record.write(&folders.configuration)?;
    for (_, (path, content)) in to_write() {
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        fs::write(path, content).map_err(failed("write", path))?;
    }
    Ok(fates)
}

/// Removes what was put there and is as it was put there; folders only if nothing else is in them.
///
/// # Errors
///
/// What the system says.
pub fn uninstall(folders: &Folders) -> Result<Vec<(PathBuf, Fate)>, WiresharkError> {
    let record = Record::read(&folders.configuration)?;
    let mut fates = vec![];
    let mut is_profile_kept = false;
    // What Wireshark writes by itself comes last, after what it depends on.
    let (last, first): (Vec<_>, Vec<_>) = record.files.keys().partition(|path| is_rewritten(path));
    for path in first.into_iter().chain(last) {
        match read(path)? {
            None => {}
            Some(there)
                if record.is_ours(path, &there) || (is_rewritten(path) && !is_profile_kept) =>
            {
                fs::remove_file(path).map_err(failed("remove", path))?;
                fates.push((path.clone(), Fate::Done("removed")));
            }
            Some(_) => {
                is_profile_kept = true;
                fates.push((path.clone(), Fate::Kept));
            }
        }
    }
    Record::default().write(&folders.configuration)?;
    for folder in record.folders.iter().rev() {
        match fs::remove_dir(folder) {
            Ok(()) => fates.push((folder.clone(), Fate::Done("removed"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Whatever else is in it came later, and is somebody's.
            Err(_) => fates.push((folder.clone(), Fate::Kept)),
        }
    }
    Ok(fates)
}

fn is_rewritten(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == REWRITTEN)
}

fn make_folder(folder: &Path) -> Result<(), WiresharkError> {
    fs::create_dir_all(folder).map_err(failed("make", folder))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, WiresharkError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(root: &Path) -> Folders {
        Folders {
            version: String::new(),
            configuration: root.join("config/wireshark"),
            plugins: root.join("lib/plugins"),
            for_all: false,
        }
    }

    /// Every file and folder below `root`.
    fn tree(root: &Path) -> Vec<PathBuf> {
        let mut found = vec![];
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                found.push(path.clone());
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn what_was_installed_goes_and_what_was_there_stays() {
        let root = tempfile::tempdir().expect("folder");
        fs::create_dir_all(root.path().join("lib")).expect("folder");
        let before = tree(root.path());
        let folders = folders(root.path());
        let files = [
            (folders.plugins.join("ebpf.lua"), "plugin"),
            (folders.configuration.join("profiles/ebpf/preferences"), "columns"),
        ];
        let fates = |done| files.clone().map(|(path, _)| (path, done));
        let first = install(&folders, &files).expect("installed");
        assert_eq!(first, fates(Fate::Done("installed")));
        let second = install(&folders, &files).expect("again");
        assert_eq!(second, fates(Fate::Unchanged));
        uninstall(&folders).expect("gone");
        assert_eq!(tree(root.path()), before);
        assert_eq!(uninstall(&folders).expect("nothing to do"), []);
    }

    #[test]
    fn a_later_version_replaces_an_earlier_one_but_not_what_was_changed_since() {
        let root = tempfile::tempdir().expect("folder");
        let folders = folders(root.path());
        let (plugin, columns) = (folders.plugins.join("a.lua"), folders.plugins.join("columns"));
        install(&folders, &[(plugin.clone(), "1"), (columns.clone(), "1")]).expect("installed");
        fs::write(&columns, "mine").expect("changed");
        let next = install(&folders, &[(plugin.clone(), "2"), (columns.clone(), "2")]);
        let fates = [(plugin.clone(), Fate::Done("updated")), (columns.clone(), Fate::Kept)];
        assert_eq!(next.expect("updated"), fates);
        assert_eq!(fs::read(&columns).expect("still there"), b"mine");
        uninstall(&folders).expect("gone");
        assert!(!plugin.exists());
        assert_eq!(fs::read(&columns).expect("still there"), b"mine");
    }

    #[test]
    fn what_wireshark_writes_by_itself_goes_with_the_profile_and_stays_with_it() {
        for is_changed in [false, true] {
            let root = tempfile::tempdir().expect("folder");
            let folders = folders(root.path());
            let [recent, columns] = [REWRITTEN, "preferences"].map(|n| folders.plugins.join(n));
            let files = [(recent.clone(), "widths"), (columns.clone(), "columns")];
            install(&folders, &files).expect("installed");
            fs::write(&recent, "other widths").expect("changed");
            let again = install(&folders, &files).expect("again");
            assert_eq!(again[0], (recent.clone(), Fate::Kept));
            if is_changed {
                fs::write(&columns, "mine").expect("changed");
            }
            uninstall(&folders).expect("gone");
            assert_eq!([recent.exists(), columns.exists()], [is_changed; 2]);
        }
    }

    #[test]
    fn somebody_elses_file_is_refused_before_anything_is_written() {
        let root = tempfile::tempdir().expect("folder");
        let folders = folders(root.path());
        let (first, second) = (folders.plugins.join("a.lua"), folders.plugins.join("b.lua"));
        fs::create_dir_all(&folders.plugins).expect("folder");
        fs::write(&second, "theirs").expect("written");
        let before = tree(root.path());
        let refused = install(&folders, &[(first, "ours"), (second.clone(), "ours")]);
        let refused = refused.expect_err("refused").to_string();
        let why = "is there and was not put there by ebpfjoin; move it away and run this again";
        assert_eq!(refused, format!("{} {why}", second.display()));
        assert_eq!(tree(root.path()), before);
    }
}
