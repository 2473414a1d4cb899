//! One recording: starts `ebpfrec` on the loopback interface, stops it, joins, and hands the
//! enriched capture to tshark.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// The line by which `ebpfrec` says that everything is attached.
const READY: &str = "ebpfrec: recording";

/// Programs of this workspace lie beside each other.
fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_ebpfjoin")).with_file_name(name)
}

/// Why no recording can be made here, if so.
pub(crate) fn what_is_missing() -> Option<String> {
    let recorder = program("ebpfrec");
    if !recorder.exists() {
        return Some(format!("{} is not built; use `cargo test --workspace`", recorder.display()));
    }
    if Command::new("tshark").arg("--version").output().is_err() {
        return Some("tshark is not installed".to_owned());
    }
    match Command::new(recorder).arg("check").output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Some(text.lines().next().unwrap_or("`ebpfrec check` failed").to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}

/// A recording under way.
pub(crate) struct Recording {
    recorder: Child,
    folder: TempDir,
}

impl Recording {
    /// Starts a recording of everything on the loopback interface that `filter` lets through, and
    /// waits until it is attached.
    pub(crate) fn start(filter: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut recorder = Command::new(program("ebpfrec"))
            .current_dir(folder.path())
            .args(["--events", "ev.parquet", "--packets", "trace.pcapng"])
            .args(["-i", "lo", "-f", filter])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = BufReader::new(recorder.stderr.take().context("no standard error")?);
        let mut said = String::new();
        while !said.contains(READY) {
            let length = stderr.read_line(&mut said)?;
            ensure!(length > 0, "ebpfrec ended before it recorded: {said}");
        }
        // What it says later is not needed, but the pipe must not fill up.
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        Ok(Self { recorder, folder })
    }

    /// Ends the recording as Ctrl-C would, joins both files, and reads the result.
    pub(crate) fn finish(mut self) -> Result<Joined> {
        let pid = i32::try_from(self.recorder.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("pid 0")?;
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        let status = self.recorder.wait()?;
        ensure!(status.success(), "ebpfrec ended with {status}");
        let output = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"))
            .current_dir(self.folder.path())
            .args(["trace.pcapng", "ev.parquet", "-o", "enriched.pcapng", "--json"])
            .output()?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "ebpfjoin failed: {stderr}");
        let summary = serde_json::from_slice(&output.stdout).context("the summary is not JSON")?;
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir()?);
        Ok(Joined { folder, summary })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Nothing is left to kill after `finish`; after a failed test the recorder must not stay.
        let _ = self.recorder.kill();
        let _ = self.recorder.wait();
    }
}

/// An enriched capture.
pub(crate) struct Joined {
    folder: TempDir,
    /// What `ebpfjoin --json` printed.
    pub(crate) summary: serde_json::Value,
}

impl Joined {
    /// A file of the recording.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
