//! From a recording to an enriched capture.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::recording::{Finished, Recording};

/// A program of this workspace: they lie beside each other.
pub(crate) fn program(name: &str) -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_ebpfjoin")).with_file_name(name);
    path.to_str().map_or_else(|| name.to_owned(), str::to_owned)
}

/// Records everything on the loopback interface that `filter` lets through.
pub(crate) fn record(filter: &str) -> Result<Recording> {
    let args = ["--events", "ev.parquet", "--packets", "trace.pcapng", "-i", "lo", "-f", filter];
    Recording::start(&program("ebpfrec"), &args)
}

/// Ends the recording and joins its files.
pub(crate) fn join(recording: Recording) -> Result<Joined> {
    let recorded = recording.finish()?;
    let args = ["trace.pcapng", "ev.parquet", "-o", "enriched.pcapng", "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"));
    let output = command.current_dir(recorded.path("")).args(args).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ebpfjoin failed: {stderr}");
    let summary = serde_json::from_slice(&output.stdout).context("the summary is not JSON")?;
    Ok(Joined { recorded, summary })
}

/// An enriched capture.
pub(crate) struct Joined {
    recorded: Finished,
    /// What `ebpfjoin --json` printed.
    pub(crate) summary: serde_json::Value,
}

impl Joined {
    /// A file of the recording.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.recorded.path(name)
    }
}
