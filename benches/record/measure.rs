//! The rounds: every tool has a turn in each, and none is always the first.

use std::{io::IsTerminal as _, thread, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    Settings,
    load::{Done, Load, Workload},
    tool::{Left, Tool},
    usage,
};

/// Before and after the traffic: longer than `ebpfrec` holds a row, so that all its work on it counts.
const SETTLE: Duration = Duration::from_millis(700);

/// What one tool cost in one round.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) done: Done,
    /// What it used, unless it was nothing.
    pub(crate) used: Option<Used>,
}

#[derive(Clone, Debug)]
pub(crate) struct Used {
    /// CPU seconds from the begin of the traffic until shortly after its end.
    pub(crate) cpu: f64,
    /// CPU seconds after that, to finish its file.
    pub(crate) finish_cpu: f64,
    /// Peak of resident memory, bytes.
    pub(crate) memory: u64,
    pub(crate) left: Left,
}

/// Turns of each tool, in the order of `tools`.
pub(crate) fn rounds<'a>(
    workload: &Workload,
    tools: &[&'a Tool],
    settings: &Settings,
) -> Result<Vec<(&'a Tool, Vec<Turn>)>> {
    let mut turns: Vec<_> = tools.iter().map(|&tool| (tool, vec![])).collect();
    let shows = std::io::stderr().is_terminal();
    for round in 0..settings.rounds {
        for at in 0..tools.len() {
            let (tool, turns) = &mut turns[(at + round) % tools.len()];
            if shows {
                eprint!("\r\x1b[Krecord/{}: round {}, {}", workload.name, round + 1, tool.name);
            }
            let turn = turn(workload, tool, settings.seconds)
                .with_context(|| format!("{} with {}", workload.name, tool.name))?;
            turns.push(turn);
        }
    }
    if shows {
        eprint!("\r\x1b[K");
    }
    Ok(turns)
}

fn turn(workload: &Workload, tool: &Tool, seconds: f64) -> Result<Turn> {
    let mut load = Load::start(workload, seconds)?;
    let running = tool.start(load.pid())?;
    if running.is_some() {
        // What it found when it came is no part of what the traffic costs.
        thread::sleep(SETTLE);
    }
    let before = running.as_ref().map(|running| usage::so_far(running.pid())).transpose()?;
    let done = load.run()?;
    let used = match (running, before) {
        (Some(running), Some(before)) => {
            thread::sleep(SETTLE);
            let after = usage::so_far(running.pid())?;
            let memory = usage::peak_memory(running.pid())?;
            let left = running.finish()?;
            // The kernel's ticks are coarser than its nanoseconds.
            let finish_cpu = (left.cpu - after).max(0.0);
            Some(Used { cpu: after - before, finish_cpu, memory, left })
        }
        _ => None,
    };
    Ok(Turn { done, used })
}
