//! The files a case reads: written once and used again, or in a folder that goes away.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::corpus::{self, Shape, Truth};

/// Files of a case. A folder that is not to be kept goes away with this value.
#[derive(Debug)]
pub(crate) struct Inputs {
    folder: PathBuf,
    pub(crate) truth: Truth,
    /// For what is written meanwhile.
    scratch: TempDir,
}

impl Inputs {
    /// Finds them in `keep`, or writes them.
    pub(crate) fn of(shape: &Shape, name: &str, keep: Option<&Path>) -> Result<Self> {
        // Beside what is built: a temporary folder may be in memory, which is measured, too.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(target)?;
        let scratch = tempfile::tempdir_in(
            keep.map_or(Ok(target), |keep| std::fs::create_dir_all(keep).map(|()| keep))?,
        )?;
        let folder = match keep {
            Some(keep) => keep.join(format!("{name}-{}", shape.packets)),
            None => scratch.path().to_owned(),
        };
        let truth = match read_truth(&folder) {
            Some(truth) => truth,
            None => write(shape, &folder)?,
        };
        Ok(Self { folder: folder.canonicalize()?, truth, scratch })
    }

    pub(crate) fn capture(&self) -> PathBuf {
        self.folder.join("capture.pcapng")
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.folder.join("events.parquet")
    }

    /// A file that goes away.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

/// What there is to be found in the files of this folder, if they are whole.
fn read_truth(folder: &Path) -> Option<Truth> {
    let text = std::fs::read_to_string(folder.join("truth.json")).ok()?;
    Truth::from_json(&serde_json::from_str(&text).ok()?)
}

/// Writes the files of a shape into a folder, what there is to be found last.
pub(crate) fn write(shape: &Shape, folder: &Path) -> Result<Truth> {
    std::fs::create_dir_all(folder).with_context(|| format!("no folder {}", folder.display()))?;
    let path = folder.join("truth.json");
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let truth = corpus::write(folder, shape);
    std::fs::write(path, format!("{:#}\n", truth.to_json()))?;
    Ok(truth)
}
