//! Which recordings were cut off at a place.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use super::RecoverError;
use crate::{
    journal::JOURNAL,
    output::{PARTIAL, beside},
    rotate::{self, State},
};

/// The files that recordings would have written, had they not been cut off: at `path`, which is the
/// name that was given to a recording, or of what it left, or a folder. Parts included.
///
/// # Errors
/// [`RecoverError::Nothing`], [`RecoverError::Look`].
pub fn find(path: &Path) -> Result<Vec<PathBuf>, RecoverError> {
    let look = |source| RecoverError::Look { path: path.to_owned(), source };
    let mut found = BTreeSet::new();
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(look)? {
            let name = entry.map_err(look)?.file_name();
            if let Some(name) = without_ending(&name) {
                found.insert(path.join(name));
            }
        }
    } else {
        let name = path.file_name().and_then(without_ending);
        let path = name.map_or(path.to_owned(), |name| path.with_file_name(name));
        if beside(&path, PARTIAL).exists() || beside(&path, JOURNAL).exists() {
            found.insert(path.clone());
        }
        // A folder that can't be read has none.
        let parts = rotate::list(&path).unwrap_or_default().into_iter();
        found.extend(parts.filter(|part| part.state == State::Partial).map(|part| part.path));
    }
    if found.is_empty() {
        return Err(RecoverError::Nothing { path: path.to_owned() });
    }
    Ok(found.into_iter().collect())
}

/// The name without what stands behind it while it is written.
fn without_ending(name: &OsStr) -> Option<&str> {
    let name = name.to_str()?;
    let stripped = name.strip_suffix(PARTIAL).or_else(|| name.strip_suffix(JOURNAL))?;
    (!stripped.is_empty()).then_some(stripped)
}
