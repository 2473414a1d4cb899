//! `record/*`: what recording costs the machine it runs on. The same traffic without anything, with
//! `ebpfrec`, with `tcpdump -w` and with `strace`, in turn, in rounds, each compared with nothing in
//! the same round: one machine's seconds say little, and these machines are noisy. Then the
//! nanoseconds of every hook, measured apart because the kernel's stopwatch costs time itself.
//!
//! `cargo bench -p recorder --bench record [-- [SECONDS [ROUNDS]] [--json] [--only WORKLOAD]
//! [--with TOOL]]`, as root.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

mod hooks;
mod load;
mod measure;
mod report;
mod tool;
mod usage;

/// Seconds of traffic of a turn, unless told otherwise: many times what a row is held.
const SECONDS: f64 = 4.0;
/// Rounds, unless told otherwise: enough for a median that one disturbance does not move.
const ROUNDS: usize = 5;

/// What was asked for.
struct Settings {
    seconds: f64,
    rounds: usize,
    json: bool,
    /// One workload, or all.
    only: Option<String>,
    /// One tool beside nothing, or all.
    with: Option<String>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((first, rest)) if first == load::PLAY => load::play(rest),
        _ => settings(&args).and_then(|settings| run(&settings)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("record: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn settings(args: &[String]) -> Result<Settings> {
    let mut settings =
        Settings { seconds: SECONDS, rounds: ROUNDS, json: false, only: None, with: None };
    let mut numbers = vec![];
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // What cargo adds.
            "--bench" => {}
            "--json" => settings.json = true,
            "--only" => settings.only = Some(args.next().context("--only needs a name")?.clone()),
            "--with" => settings.with = Some(args.next().context("--with needs a name")?.clone()),
            number => numbers.push(number.parse::<f64>().with_context(|| {
                format!(
                    "`{number}` is no number; give seconds, then rounds, --json, --only or --with"
                )
            })?),
        }
    }
    if let Some(&seconds) = numbers.first() {
        settings.seconds = seconds.clamp(0.5, 600.0);
    }
    if let Some(&rounds) = numbers.get(1) {
        settings.rounds = rounds.clamp(1.0, 1000.0) as usize;
    }
    Ok(settings)
}

fn is_meant(choice: &Option<String>, name: &str) -> bool {
    choice.as_deref().is_none_or(|choice| choice == name)
}

fn run(settings: &Settings) -> Result<()> {
    anyhow::ensure!(rustix::process::geteuid().is_root(), "hooks need root; run it with sudo");
    let tools: Vec<_> = tool::ALL
        .iter()
        .filter(|tool| tool.is_nothing() || is_meant(&settings.with, tool.name))
        .filter(|tool| {
            let there = tool.is_there();
            if !there {
                eprintln!("record: no {} here, so it is left out", tool.name);
            }
            there
        })
        .collect();
    let mut results = vec![];
    for workload in load::ALL.iter().filter(|workload| is_meant(&settings.only, workload.name)) {
        let turns = measure::rounds(workload, &tools, settings)?;
        let hooks = hooks::measure(workload, settings.seconds)?;
        let result = report::Result { workload, turns, hooks };
        if !settings.json {
            result.print();
        }
        results.push(result);
    }
    if settings.json {
        println!("{:#}", report::json(&results));
    } else {
        report::print_targets(&results);
    }
    Ok(())
}
