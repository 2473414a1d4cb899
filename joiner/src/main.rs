//! Parses, runs, maps the result to an exit code.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use joiner::allocator::give_back_large_blocks;
use joiner::cli::{Cli, Report, Task};
use joiner::config::Config;
use joiner::explain::explain;
use joiner::jobs::jobs;
use joiner::json::printable;
use joiner::manual;
use joiner::pipeline::PipelineError;
use joiner::run::{RunError, join};
use joiner::scan::Damage;
use joiner::show::{ShowError, show};
use joiner::summary::Summary;
use joiner::wireshark::{self, WiresharkError};
use schema::annotation::escape;

/// How the program ends; 2 is clap's, for wrong usage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exit {
    Success = 0,
    Failure = 1,
}

fn main() -> ExitCode {
    give_back_large_blocks();
    let exit = match Cli::parse().into_task().unwrap_or_else(|error| error.exit()) {
        Task::Join(config, report) => match jobs(*config) {
            Ok(jobs) => join_all(&jobs, report),
            Err(error) => fail(&error),
        },
        Task::Explain(config) => match explain(&config, &mut io::stdout().lock()) {
            Ok(()) => Exit::Success,
            Err(RunError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Exit::Success
            }
            Err(error) => fail(&error),
        },
        Task::Wireshark(config) => match wireshark::run(&config, &mut io::stdout().lock()) {
            Ok(()) => Exit::Success,
            Err(WiresharkError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Exit::Success
            }
            Err(error) => fail(&error),
        },
        Task::Completions(shell) => match manual::completions(shell, &mut io::stdout().lock()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                fail(&format_args!("cannot print: {error}"))
            }
            _ => Exit::Success,
        },
        Task::Man(folder) => match manual::pages(&folder) {
            Ok(()) => Exit::Success,
            Err(error) => fail(&format_args!("cannot write to {}: {error}", folder.display())),
        },
        Task::Show(config) => match show(&config) {
            Ok(damage) => end_of(&config.capture.display(), damage.as_ref()),
            // The reader has seen enough.
            Err(ShowError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Exit::Success
            }
            Err(error) => fail(&error),
        },
    };
    ExitCode::from(exit as u8)
}

/// Joins one capture after the other; one that fails does not keep the others from being joined.
fn join_all(jobs: &[Config], report: Report) -> Exit {
    let mut exit = Exit::Success;
    for config in jobs {
        match join(config) {
            Ok(summary) => {
                // A reader who has seen enough is no failure: the output is in its place.
                match print_summary(&summary, report) {
                    Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                        exit = fail(&format_args!("cannot print: {error}"));
                    }
                    _ => {}
                }
                let capture = config.sources.capture.display();
                if end_of(&capture, summary.damage.as_ref()) == Exit::Failure {
                    exit = Exit::Failure;
                }
            }
            // The output is a pipe, and its reader has seen enough.
            Err(RunError::Pipeline(PipelineError::Write(error)))
                if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => exit = fail(&error),
        }
    }
    exit
}

fn print_summary(summary: &Summary, report: Report) -> io::Result<()> {
    match report {
        Report::Quiet => Ok(()),
        // Nobody could be told that it can't be told.
        Report::Table => {
            let _ = write!(io::stderr(), "{summary}");
            Ok(())
        }
        Report::Json => {
            let mut stdout = io::stdout().lock();
            let json = format!("{:#}", summary.json());
            writeln!(stdout, "{}", printable(&json))?;
            stdout.flush()
        }
    }
}

fn end_of(capture: &dyn Display, damage: Option<&Damage>) -> Exit {
    let Some(Damage { offset, packets, what }) = damage else { return Exit::Success };
    let after = if *packets == 1 { "1 packet".to_owned() } else { format!("{packets} packets") };
    fail(&format_args!(
        "{capture}: damaged at byte {offset}, after {after}: {what}; everything before it was dealt with"
    ))
}

fn fail(error: &dyn Display) -> Exit {
    // Files and hosts may be called anything. Not eprintln, which panics where it can't write.
    let _ = writeln!(io::stderr(), "ebpfjoin: {}", escape::printable(&error.to_string()));
    Exit::Failure
}
