//! Joins the stages: opens everything that can be refused first, starts what runs, waits for the
//! end, finishes the files.

mod events;
mod record;
mod recover;
mod stop;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser as _;
use clap_complete::Shell;

use crate::{
    check,
    cli::Cli,
    config::Config,
    conntrack,
    container::{Directory, Pod, RuntimeSocket},
    host::Host,
    interfaces::{Inventory, Names, table},
    load::{LoadOptions, load},
    manual,
};

/// How long runtimes may take to tell of what runs, when somebody waits for it.
const RUNTIMES_WAIT: Duration = Duration::from_secs(2);
const NO_THREAD: &str = "cannot start a thread; raise the limit of processes";

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// As it was asked to.
    Success = 0,
    /// With an error, or without a hook that is needed.
    Error = 1,
    /// The arguments make no sense.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The program.
#[must_use]
pub fn main() -> Exit {
    let config = match parse() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let result = match config {
        Config::Check { json, runtimes } => run_check(json, runtimes),
        Config::ListInterfaces { json, runtimes } => list_interfaces(json, runtimes),
        Config::Recover { path, json } => recover::run(&path, json),
        Config::Completions(shell) => completions(shell),
        Config::Man(folder) => manual::pages(&folder)
            .with_context(|| format!("cannot write to {}", folder.display()))
            .map(|()| Exit::Success),
        Config::Record(config) => record::run(&config),
    };
    result.unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            // Whoever read our output has seen enough.
            return Exit::Success;
        }
        report(&error);
        Exit::Error
    })
}

fn parse() -> Result<Config, Exit> {
    let cli = Cli::try_parse().map_err(|error| {
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
        // With nobody to read it there is nothing to be said.
        let _ = error.print();
        exit
    })?;
    Config::new(cli).map_err(|error| {
        report(&error.into());
        Exit::Usage
    })
}

fn run_check(json: bool, runtimes: Vec<RuntimeSocket>) -> anyhow::Result<Exit> {
    let directory = Directory::start(runtimes).context(NO_THREAD)?;
    let probes = load(&LoadOptions::default())?;
    let kernel = Host::this().kernel;
    let mut hooks = probes.hooks().to_vec();
    hooks.push(conntrack::check());
    let runtimes = directory.runtimes(RUNTIMES_WAIT);
    let text = if json {
        let report = check::report_json(&kernel, &hooks, &runtimes);
        serde_json::to_string_pretty(&report).context("cannot write the report")? + "\n"
    } else {
        check::report_table(&kernel, &hooks, &runtimes)
    };
    print(&text)?;
    Ok(if check::is_enough(&hooks) { Exit::Success } else { Exit::Error })
}

fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut text = vec![];
    manual::completions(shell, &mut text)?;
    print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Success)
}

fn list_interfaces(json: bool, runtimes: Vec<RuntimeSocket>) -> anyhow::Result<Exit> {
    let directory = Directory::start(runtimes).context(NO_THREAD)?;
    let inventory = Inventory { names: names(&directory), ..Inventory::take() };
    let text = if json {
        let list = table::list_json(&inventory);
        serde_json::to_string_pretty(&list).context("cannot write the list")? + "\n"
    } else {
        table::list(&inventory)
    };
    print(&text)?;
    Ok(Exit::Success)
}

/// What the runtimes call containers and pods.
fn names(directory: &Directory) -> Names {
    let mut names = Names::default();
    for details in directory.all(RUNTIMES_WAIT) {
        if let Some(name) = &details.name {
            names.add_container(details.id.clone(), name.clone());
        }
        if let Some(Pod { uid: Some(uid), namespace: Some(namespace), name: Some(name) }) =
            &details.pod
        {
            names.add_pod(uid.clone(), namespace.clone(), name.clone());
        }
    }
    names
}

/// Writes to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.context("cannot print")
}

/// Writes to standard error. If nobody reads it, the work goes on.
fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn report(error: &anyhow::Error) {
    say(&format!("ebpfrec: {}\n", one_line(error)));
}

/// The error and its causes, each once: many say their cause's text themselves.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = || io::Error::other("no such thing");
        let plain = anyhow::Error::new(cause()).context("cannot begin");
        assert_eq!(one_line(&plain), "cannot begin: no such thing");
        let told = anyhow::Error::new(cause()).context("cannot begin (no such thing); go on");
        assert_eq!(one_line(&told), "cannot begin (no such thing); go on");
    }
}
