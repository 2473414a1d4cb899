//! One recording by `ebpfrec`, in a folder of its own.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread::JoinHandle,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use schema::{meta::FileMeta, rows::EventFile};
use tempfile::TempDir;

use super::rows::EventRow;

/// The line by which `ebpfrec` says that everything is attached.
const READY: &str = "ebpfrec: recording";

/// A recording under way. It is killed if the test fails.
pub(crate) struct Recording {
    recorder: Child,
    folder: TempDir,
    stderr: Option<JoinHandle<String>>,
}

impl Recording {
    /// Starts `ebpfrec` with these arguments in a new folder and waits until it records.
    pub(crate) fn start(program: &str, args: &[&str]) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, program, args)
    }

    /// The same in an existing folder.
    pub(crate) fn start_in(folder: TempDir, program: &str, args: &[&str]) -> Result<Self> {
        Self::start_command(folder, Command::new(program), args)
    }

    /// The same with a command of which more is said already, such as whose it is.
    pub(crate) fn start_command(
        folder: TempDir,
        mut command: Command,
        args: &[&str],
    ) -> Result<Self> {
        let mut recorder = command
            .current_dir(folder.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = BufReader::new(recorder.stderr.take().context("no standard error")?);
        let mut said = String::new();
        while !said.contains(READY) {
            let length = stderr.read_line(&mut said)?;
            ensure!(length > 0, "ebpfrec ended before it recorded: {said}");
        }
        let stderr = std::thread::spawn(move || read_rest(stderr, said));
        Ok(Self { recorder, folder, stderr: Some(stderr) })
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The recorder's pid.
    pub(crate) fn pid(&self) -> u32 {
        self.recorder.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.recorder.id())?).context("pid 0")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends the recording as `kill` would, which must be a clean end.
    pub(crate) fn finish(self) -> Result<Finished> {
        self.signal(Signal::TERM)?;
        let finished = self.wait()?;
        ensure!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
        Ok(finished)
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Result<Finished> {
        let mut stdout = String::new();
        if let Some(mut pipe) = self.recorder.stdout.take() {
            pipe.read_to_string(&mut stdout)?;
        }
        let status = self.recorder.wait()?;
        let stderr = self.stderr.take().context("waited once")?;
        let stderr = stderr.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir()?);
        Ok(Finished { folder, status, stdout, stderr })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Nothing is left to kill after `finish`; after a failed test the recorder must not stay.
        let _ = self.recorder.kill();
        let _ = self.recorder.wait();
    }
}

fn read_rest(mut stderr: BufReader<ChildStderr>, mut said: String) -> String {
    // What can't be read can't be shown; the status tells of the end.
    let _ = stderr.read_to_string(&mut said);
    said
}

/// What a recording left behind.
pub(crate) struct Finished {
    folder: TempDir,
    /// How `ebpfrec` ended.
    pub(crate) status: ExitStatus,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error, from the start.
    pub(crate) stderr: String,
}

impl Finished {
    /// A file of the recording.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Metadata and rows of the event file `name`, in file order.
    pub(crate) fn events(&self, name: &str) -> Result<(FileMeta, Vec<EventRow>)> {
        read_events(&self.path(name))
    }

    /// Names of the files that are there, in order.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        names(self.folder.path())
    }
}

/// Names of the files in a folder, in order.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder)?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Metadata and rows of an event file, in file order.
pub(crate) fn read_events(path: &Path) -> Result<(FileMeta, Vec<EventRow>)> {
    let file = EventFile::open(File::open(path)?)?;
    let meta = file.meta().clone();
    let mut rows = vec![];
    for batch in file.batches(&[])? {
        let batch = batch?;
        let columns = batch.columns()?;
        rows.extend((0..batch.len()).map(|row| EventRow::new(&columns.event(row))));
    }
    Ok((meta, rows))
}
