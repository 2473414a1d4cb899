//! What the kernel says a process has used.

use std::fs;

use anyhow::{Context as _, Result};

/// CPU seconds of all threads that a process has now, in nanoseconds' precision.
pub(crate) fn so_far(pid: u32) -> Result<f64> {
    let mut ns = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ends meanwhile has used next to nothing.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        ns += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(ns as f64 / 1e9)
}

/// CPU seconds of a process, threads that have ended included, in the kernel's ticks. It may have
/// ended itself, as long as nobody has waited for it.
pub(crate) fn whole_life(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
    // utime and stime are the 14th and 15th of all, see proc_pid_stat(5).
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The most memory a process ever had resident, bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).context("no VmHWM")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}
