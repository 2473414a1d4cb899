//! What can be typed. Long help stands on each argument's field.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::attribute::Windows;
use crate::config::{ClockOffset, Config, Detail, Explain, Style};
use crate::destination::STANDARD_OUTPUT;
use crate::prepare::Sources;
use crate::show::{Filter, ShowConfig};
use crate::source::Compression;
use crate::wireshark::{Action, WiresharkConfig};

mod examples;

/// Most worker threads: each keeps some 10 MB of the capture in flight, and more of them than that
/// wait for the one that reads.
const MAX_THREADS: u16 = 256;

/// Names, for every packet of a capture, the process that sent it and the one that received it.
#[derive(Debug, Parser)]
#[command(name = "ebpfjoin", version, after_help = examples::JOIN)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    /// What else to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The join.
    #[command(flatten)]
    pub join: JoinArgs,
}

/// What can be done beside a join.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the packets of an enriched capture with their processes
    ///
    /// Options that say which packets have to fit all of them, each at either end: --comm curl --port 53
    /// shows what curl sent to port 53 and what came back. Of an option given several times one will do.
    Show(Box<ShowArgs>),
    /// Tell how the ends of one packet were decided
    Explain(Box<ExplainArgs>),
    /// Put the Wireshark plugin and its profile where Wireshark looks
    ///
    /// Asks the installed tshark where that is. As root the plugin goes into everybody's folder,
    /// because Wireshark does not read root's own. A file that ebpfjoin has not put there, or that
    /// was changed since, is neither written over nor removed.
    Wireshark(WiresharkArgs),
    /// Print what makes a shell complete commands and options
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        folder: PathBuf,
    },
}

/// Arguments of a join.
#[derive(Debug, Args)]
pub struct JoinArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Where to write the enriched capture (pcapng); - is standard output
    ///
    /// It appears under this name only when it is whole. Names that end in .gz, .zst or .lz4 are
    /// compressed.
    #[arg(short, long, required = true, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write a table of the packets, too, for DuckDB or polars (Parquet)
    ///
    /// A row for each packet with all that is known of both ends; it joins with the events by host
    /// and socket cookie. For several captures a folder is to be given.
    #[arg(long, value_name = "FILE")]
    packets: Option<PathBuf>,
    /// Write a page for people, too: what was recorded, who talked to whom, what went wrong (HTML)
    ///
    /// One file that needs no network. Every row has the Wireshark display filter that shows its
    /// packets. For several captures a folder is to be given, and each has its page.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How much to say on each packet
    ///
    /// All that is known stands on the first packet of each flow and direction and wherever the
    /// process changes; on the other packets a brief form refers to it.
    #[arg(long, value_enum, default_value_t = Detail::Auto)]
    detail: Detail,
    /// Leave out the standard option with the sender's process and thread id
    #[arg(long)]
    no_pid_option: bool,
    /// Name the addresses of containers and pods, and say what interfaces are for
    ///
    /// A name resolution block before the first packet has the addresses that one container or pod
    /// alone had while the capture was made; descriptions of interfaces that lack a text get one,
    /// such as `vethd38ebdb (container web)`.
    #[arg(long)]
    names: bool,
    /// Write processes as macOS does, too: Wireshark 4.6 shows them without any plugin
    ///
    /// As frame.darwin.process_info.pid and .pname. Only in little-endian captures of one section
    /// that have none of their own.
    #[arg(long)]
    native: bool,
    /// How to compress the output, whatever its name
    #[arg(long, value_enum)]
    compress: Option<Compression>,
    /// Print neither progress nor summary
    #[arg(short, long)]
    quiet: bool,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// What names are found by.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The capture: pcapng or pcap, of any program; - is standard input
    ///
    /// It may be compressed by gzip, zstd or lz4. What comes through a pipe is kept beside the
    /// output until it was read a second time; in TMPDIR, or /tmp, if the output is a pipe or device.
    /// A folder, or a quoted pattern such as 'trace.*.pcapng', stands for every capture in it.
    #[arg(required = true)]
    capture: Option<PathBuf>,
    /// What `ebpfrec --events` wrote, of one machine or several; files, or folders of them
    ///
    /// A folder stands for every event file in it, a quoted pattern for all that fit. The parts of a
    /// recording are brought into their order, however they are given. Further captures may stand among them, if -o is a folder.
    #[arg(required = true)]
    events: Vec<PathBuf>,
    /// How far before a socket's first event it may own a packet
    ///
    /// Only where the capture has no SYN to go by; with one, a socket reaches back to its SYN.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_span, allow_hyphen_values = true)]
    before: Duration,
    /// How long after its close a TCP socket may own a packet
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_span, allow_hyphen_values = true)]
    after: Duration,
    /// How far the capture's clock is ahead of the recording's: auto, none, or a time like -3s
    ///
    /// By itself it is found out from connections that were both recorded and captured, for every
    /// host, and applied only where it matters and they agree.
    #[arg(long, value_name = "TIME", default_value = "auto", allow_hyphen_values = true)]
    clock_offset: ClockOffset,
    /// Name of the host that captured, where neither the capture nor its interfaces tell
    #[arg(long, value_name = "HOST")]
    capture_host: Option<String>,
    /// Ports that lead elsewhere, by a load balancer or router without a recording
    ///
    /// Lines of proto,addr,port,to_addr,to_port below a header of these words.
    #[arg(long, value_name = "FILE")]
    nat: Option<PathBuf>,
    /// Worker threads; as many as there are processors if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_THREADS)))]
    threads: Option<u16>,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = examples::EXPLAIN)]
pub struct ExplainArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Which packet, counted from 1 as Wireshark does
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frame: u64,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = examples::SHOW)]
pub struct ShowArgs {
    /// An enriched capture; - is standard input
    capture: PathBuf,
    /// Stop after so many packets that are shown
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Print one JSON object per packet
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Arguments of `wireshark`.
#[derive(Debug, Args)]
#[command(after_help = examples::WIRESHARK)]
pub struct WiresharkArgs {
    #[command(flatten)]
    action: ActionArgs,
    /// The tshark or wireshark to do it for, if there are several
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

/// One of these is to be given.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ActionArgs {
    /// Install the plugin and the profile, and say where
    #[arg(long)]
    install: bool,
    /// Remove what --install has put there
    #[arg(long)]
    uninstall: bool,
    /// Say where they belong, and what is there
    #[arg(long = "where", id = "where")]
    is_where: bool,
}

/// What was asked for.
#[derive(Debug)]
pub enum Task {
    /// Join, then report.
    Join(Box<Config>, Report),
    /// Print packets.
    Show(Box<ShowConfig>),
    /// Tell how a packet was decided.
    Explain(Box<Explain>),
    /// Install or remove what Wireshark needs.
    Wireshark(WiresharkConfig),
    /// Print completions for a shell.
    Completions(Shell),
    /// Write man pages into a folder.
    Man(PathBuf),
}

/// How to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Not at all.
    Quiet,
    /// A table on standard error.
    Table,
    /// JSON on standard output.
    Json,
}

impl Cli {
    /// What it means.
    ///
    /// # Errors
    ///
    /// Options that can't go together.
    pub fn into_task(self) -> Result<Task, clap::Error> {
        Ok(match self.command {
            Some(Command::Show(show)) => {
                let ShowArgs { capture, count, json, filter } = *show;
                Task::Show(Box::new(ShowConfig { capture, count, filter, json }))
            }
            Some(Command::Explain(explain)) => {
                let threads = explain.sources.threads();
                let sources = explain.sources.into_sources();
                Task::Explain(Box::new(Explain { sources, frame: explain.frame, threads }))
            }
            Some(Command::Wireshark(args)) => Task::Wireshark(args.into_config()),
            Some(Command::Completions { shell }) => Task::Completions(shell),
            Some(Command::Man { folder }) => Task::Man(folder),
            None => self.join.into_task()?,
        })
    }
}

impl WiresharkArgs {
    fn into_config(self) -> WiresharkConfig {
        let action = match (self.action.install, self.action.uninstall) {
            (true, _) => Action::Install,
            (false, true) => Action::Uninstall,
            (false, false) => Action::Where,
        };
        WiresharkConfig { action, program: self.program }
    }
}

impl JoinArgs {
    fn into_task(self) -> Result<Task, clap::Error> {
        let is_stdout = |output: &&PathBuf| output.as_path() == Path::new(STANDARD_OUTPUT);
        let outputs = [&self.output, &self.report, &self.packets];
        if self.json && outputs.into_iter().flatten().any(|output| is_stdout(&output)) {
            return Err(Cli::command().error(
                ErrorKind::ArgumentConflict,
                "--json prints on standard output, where the output is to go: give a file instead \
                 of -, or leave out --json",
            ));
        }
        let report = match (self.json, self.quiet) {
            (true, _) => Report::Json,
            (false, true) => Report::Quiet,
            (false, false) => Report::Table,
        };
        // Required, so it is there.
        let output = self.output.unwrap_or_default();
        let config = Config {
            threads: self.sources.threads(),
            sources: self.sources.into_sources(),
            compression: self.compress.or_else(|| Compression::of_name(&output)),
            output,
            packets: self.packets,
            report: self.report,
            detail: self.detail,
            style: Style {
                pid_option: !self.no_pid_option,
                names: self.names,
                native: self.native,
            },
            progress: !self.quiet,
        };
        Ok(Task::Join(Box::new(config), report))
    }
}

impl SourceArgs {
    fn threads(&self) -> NonZeroUsize {
        let threads = self.threads.map(usize::from).unwrap_or_else(|| {
            let processors = std::thread::available_parallelism();
            processors.map_or(1, NonZeroUsize::get).min(MAX_THREADS.into())
        });
        // At least one was typed or counted.
        NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN)
    }

    fn into_sources(self) -> Sources {
        Sources {
            // Required, so it is there.
            capture: self.capture.unwrap_or_default(),
            events: self.events,
            windows: Windows {
                before_ns: nanoseconds(self.before),
                after_ns: nanoseconds(self.after),
                ..Windows::default()
            },
            clock_offset: self.clock_offset,
            capture_host: self.capture_host,
            nat: self.nat,
        }
    }
}

/// How long, which no sign makes sense with.
fn parse_span(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Err("a time like 5s or 1m30s, not a negative one".to_owned());
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
