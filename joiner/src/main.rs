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
use joiner::manual;
use joiner::pipeline::PipelineError;
use joiner::run::{RunError, join};
use joiner::scan::Damage;
use joiner::show::{ShowError, show};
use joiner::wireshark::{self, WiresharkError};

/// How the program ends; 2 is clap's, for wrong usage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exit {
    Success = 0,
    Failure = 1,
}

fn main() -> ExitCode {
    give_back_large_blocks();
    let exit = match Cli::parse().into_task() {
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
                print_summary(&summary, report);
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

fn print_summary(summary: &joiner::summary::Summary, report: Report) {
    // A summary that nobody reads is no failure: the output is in its place.
    let _ = match report {
        Report::Quiet => Ok(()),
        Report::Table => write!(io::stderr(), "{summary}"),
        Report::Json => writeln!(io::stdout(), "{:#}", summary.json()),
    };
}

fn end_of(capture: &dyn Display, damage: Option<&Damage>) -> Exit {
    let Some(Damage { offset, packets, what }) = damage else { return Exit::Success };
    let after = if *packets == 1 { "1 packet".to_owned() } else { format!("{packets} packets") };
    eprintln!(
        "ebpfjoin: {capture}: damaged at byte {offset}, after {after}: {what}; everything before \
         it was dealt with"
    );
    Exit::Failure
}

fn fail(error: &dyn Display) -> Exit {
    eprintln!("ebpfjoin: {error}");
    Exit::Failure
}
