//! Nanoseconds of every hook, by the kernel's own stopwatch (`kernel.bpf_stats_enabled`).

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;

use crate::{
    load::{Load, Workload},
    tool,
};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// A kernel program of the recorder during some traffic.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) name: String,
    /// How often it ran, a connection or request.
    pub(crate) runs: f64,
    /// Nanoseconds of one run.
    pub(crate) ns: f64,
}

/// The stopwatch, which goes back to what it was.
struct Stopwatch(String);

impl Stopwatch {
    fn start() -> Result<Self> {
        let before = fs::read_to_string(SWITCH).context("no bpf_stats_enabled in this kernel")?;
        fs::write(SWITCH, "1")?;
        Ok(Self(before))
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SWITCH, &self.0) {
            eprintln!("record: cannot set {SWITCH} to {} again: {error}", self.0.trim());
        }
    }
}

/// The recorder's hooks during `workload`, the most expensive one first.
pub(crate) fn measure(workload: &Workload, seconds: f64) -> Result<Vec<Hook>> {
    let _stopwatch = Stopwatch::start()?;
    let recorder = tool::ALL.iter().find(|tool| tool.name == "ebpfrec").context("not compared")?;
    let mut load = Load::start(workload, seconds)?;
    let running = recorder.start(load.pid())?.context("a program")?;
    let before = read(running.pid())?;
    let done = load.run()?;
    let after = read(running.pid())?;
    let names: BTreeMap<u32, String> = loaded_programs()
        .filter_map(Result::ok)
        .map(|program| (program.id(), program.name_as_str().unwrap_or_default().to_owned()))
        .collect();
    running.finish()?;
    let mut hooks: Vec<Hook> = after
        .into_iter()
        .filter_map(|(id, (ns, runs))| {
            let (old_ns, old_runs) = before.get(&id).copied().unwrap_or_default();
            let (ns, runs) = ((ns - old_ns) as f64, (runs - old_runs) as f64);
            let name = names.get(&id).cloned().unwrap_or_default();
            (runs > 0.0).then(|| Hook { name, runs: runs / done.count, ns: ns / runs })
        })
        .collect();
    hooks.sort_by(|a, b| (b.runs * b.ns).total_cmp(&(a.runs * a.ns)));
    Ok(hooks)
}

/// Id → nanoseconds and runs of every program that a process holds.
fn read(pid: u32) -> Result<BTreeMap<u32, (u64, u64)>> {
    let mut programs = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A file that was closed meanwhile is no program.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field =
            |key| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        // A link has the id of its program, too, but nothing on how often it ran.
        if let (Some(id), Some(ns), Some(runs)) =
            (field("prog_id:"), field("run_time_ns:"), field("run_cnt:"))
        {
            programs.insert(u32::try_from(id)?, (ns, runs));
        }
    }
    Ok(programs)
}
