//! What is compared: programs that watch the traffic and write down what they see.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tempfile::TempDir;

use crate::usage;

/// A way to watch.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// The program and its arguments; PID stands for the traffic's.
    command: &'static [&'static str],
    /// What it says on standard error once it watches.
    ready: &'static str,
    /// What it writes.
    file: &'static str,
}

/// The first is what the others are compared with.
pub(crate) const ALL: &[Tool] = &[
    Tool { name: "nothing", command: &[], ready: "", file: "" },
    Tool {
        name: "ebpfrec",
        command: &[env!("CARGO_BIN_EXE_ebpfrec"), "--events", "ev.parquet", "--json"],
        ready: "ebpfrec: recording",
        file: "ev.parquet",
    },
    Tool {
        name: "tcpdump",
        command: &["tcpdump", "-Z", "root", "-i", "lo", "-w", "t.pcap"],
        ready: "listening on",
        file: "t.pcap",
    },
    Tool {
        name: "strace",
        command: &["strace", "-f", "-e", "trace=network", "-o", "s.txt", "-p", "PID"],
        ready: "attached",
        file: "s.txt",
    },
];

/// What a tool left behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    /// Bytes of its file.
    pub(crate) bytes: u64,
    /// Events, packets or calls in it, if it says.
    pub(crate) events: Option<u64>,
    /// How many it says it lost, if it does.
    pub(crate) lost: Option<u64>,
    /// CPU seconds of all its life.
    pub(crate) cpu: f64,
}

/// A tool at work. It is killed if something fails.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
    folder: TempDir,
    file: PathBuf,
}

impl Tool {
    /// Whether it is what the others are compared with.
    pub(crate) fn is_nothing(&self) -> bool {
        self.command.is_empty()
    }

    /// Whether it can be run.
    pub(crate) fn is_there(&self) -> bool {
        let version = |program: &&str| {
            let mut command = Command::new(program);
            command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        self.command.first().is_none_or(version)
    }

    /// Starts it and waits until it watches; `None` if there is nothing to start.
    pub(crate) fn start(&self, pid: u32) -> Result<Option<Running>> {
        let Some((program, args)) = self.command.split_first() else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        let pid = pid.to_string();
        let mut child = Command::new(program)
            .args(args.iter().map(|&arg| if arg == "PID" { &*pid } else { arg }))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let stderr = BufReader::new(child.stderr.take().context("no standard error")?);
        let file = folder.path().join(self.file);
        let mut running = Running { child, stderr, said: String::new(), folder, file };
        while !running.said.contains(self.ready) {
            let length = running.stderr.read_line(&mut running.said)?;
            ensure!(length > 0, "{} ended before it began: {}", self.name, running.said);
        }
        Ok(Some(running))
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as Ctrl-C would.
    pub(crate) fn finish(mut self) -> Result<Left> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("pid 0")?;
        kill_process(pid, Signal::INT)?;
        let mut stdout = String::new();
        self.child.stdout.take().context("no standard output")?.read_to_string(&mut stdout)?;
        self.stderr.read_to_string(&mut self.said)?;
        // The kernel tells of a process until somebody has asked how it ended.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        let cpu = usage::whole_life(self.child.id())?;
        self.child.wait()?;
        let bytes = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        let (events, lost) = counts(&stdout, &self.said, &self.file);
        self.folder = tempfile::tempdir()?;
        Ok(Left { bytes, events, lost, cpu })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing is left to kill after `finish`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Events in the file and events lost, as the summary says.
fn counts(stdout: &str, stderr: &str, file: &Path) -> (Option<u64>, Option<u64>) {
    if let Ok(summary) = serde_json::from_str::<Value>(stdout) {
        let lost = summary["lost"].as_object();
        let lost = lost.map(|stages| stages.values().filter_map(Value::as_u64).sum());
        return (summary["events"]["rows"].as_u64(), lost);
    }
    let before = |what: &str| {
        let line = stderr.lines().find(|line| line.contains(what))?;
        line.split(' ').next()?.parse().ok()
    };
    match before("packets captured") {
        Some(captured) => (Some(captured), before("packets dropped by kernel")),
        // It stops whom it watches until all is written, and so loses nothing.
        None => {
            let text = std::fs::read(file).unwrap_or_default();
            (Some(text.split(|&byte| byte == b'\n').count() as u64 - 1), Some(0))
        }
    }
}
