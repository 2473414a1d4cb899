//! What can be typed. Nothing is interpreted here beyond what a single argument says by itself;
//! [`Config`](crate::config::Config) gives it meaning.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::{capture::Target, load::ForwarderName};

const EXAMPLES: &str = "\
Examples:
  ebpfrec --events ev.parquet                        who opened, used and closed which socket
  ebpfrec --events ev.parquet --packets t.pcapng -i eth0
                                                     the same, and the packets of eth0
  ebpfrec --packets t.pcapng -i eth0 -i lo -s 128 -f 'tcp port 443' --duration 5m
                                                     packets only, their first 128 bytes
  ebpfrec --packets t.pcapng -i container:web        inside a container's network
  ebpfrec --list-interfaces                          every interface, and whose it is
  ebpfrec --events ev.parquet --rotate-time 1h --keep 24
                                                     for days: a file an hour, the last 24 of them
  ebpfrec check                                      what this kernel can give
  ebpfrec recover ev.parquet                         after a crash: what was recorded until then

Without root, these capabilities are enough (what is missing without each: docs/recording.md):
  setcap 'cap_bpf,cap_perfmon,cap_net_admin,cap_net_raw,cap_net_broadcast+ep
    cap_sys_admin,cap_sys_ptrace,cap_sys_nice,cap_dac_read_search+ep' ebpfrec

Afterwards, on any machine: ebpfjoin t.pcapng ev.parquet -o enriched.pcapng

Exit codes:
  0  what was asked for was done; losses, if any, are in the summary
  1  an error; or `check` found that a hook is missing that no recording can do without
  2  wrong usage";

/// Records which process opened, used and closed which socket, and packets.
///
/// Runs until Ctrl-C, SIGTERM or the end of --duration, then finishes its files and prints a
/// summary. Nothing stays attached to the kernel.
#[derive(Debug, Parser)]
#[command(
    name = "ebpfrec",
    version,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// A command other than recording.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to record.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which hooks this kernel takes, and what is lost without the others
    ///
    /// Loads and attaches everything a recording would, reports, and detaches it again. Exits with
    /// 1 if a hook is missing that no recording can do without.
    Check(CheckArgs),
    /// Finish the files of a recording that was killed
    ///
    /// Turns what was written until about a second before into the files the recording would have
    /// left, under the names they would have had, and says what is in them. A recording that still
    /// runs is left alone, and so is a file that has the name already.
    Recover(RecoverArgs),
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

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Whom to ask for the names of containers.
    #[command(flatten)]
    pub runtimes: RuntimeArgs,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Whom to ask for the names of containers.
#[derive(Debug, Args)]
pub struct RuntimeArgs {
    /// Ask the container runtime at this socket for names (repeatable)
    ///
    /// Docker's Engine API, which podman's service speaks too, or Kubernetes' CRI. The usual
    /// sockets, and that of DOCKER_HOST, are asked as well. A runtime that does not answer costs
    /// the names of its containers and nothing else.
    #[arg(long = "runtime-socket", value_name = "PATH", action = ArgAction::Append)]
    pub runtime_sockets: Vec<PathBuf>,

    /// Ask no container runtime for names
    #[arg(long, conflicts_with = "runtime_sockets")]
    pub no_runtimes: bool,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// What was given to --events or --packets, or a folder with such files
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Print JSON, an object a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of a recording.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("rotate").args(["rotate_size", "rotate_time"]).multiple(true))]
pub struct RecordArgs {
    /// Write socket events to this Parquet file
    ///
    /// One row per event. While recording, the file is called FILE.partial; it gets its name when
    /// it is complete.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["packets", "list_interfaces"])]
    pub events: Option<PathBuf>,

    /// Write packets to this pcapng file
    ///
    /// Needs at least one --interface. While recording, the file is called FILE.partial.
    #[arg(long, value_name = "FILE", requires = "targets")]
    pub packets: Option<PathBuf>,

    /// Capture on this interface, or in this container (repeatable; `any` for all)
    ///
    /// NAME: an interface; one of another network namespace if only one there has the name.
    /// `any`: every interface of this namespace at once, with Linux cooked headers instead of
    /// Ethernet ones. container:NAME (or the beginning of its id), pod:NAMESPACE/NAME, netns:NAME
    /// (as `ip netns` shows it, or its inode): inside that network, every interface but the
    /// loopback, or one of them: container:web/eth0.
    #[arg(
        short = 'i',
        long = "interface",
        value_name = "IFACE",
        action = ArgAction::Append,
        requires = "packets"
    )]
    pub targets: Vec<Target>,

    /// Show every interface of every network namespace, whose it is and how to capture on it
    #[arg(long, conflicts_with_all = ["events", "packets"])]
    pub list_interfaces: bool,

    /// Keep at most this many bytes of a packet
    #[arg(
        short,
        long,
        value_name = "BYTES",
        default_value_t = 262_144,
        value_parser = clap::value_parser!(u32).range(1..=262_144)
    )]
    pub snaplen: u32,

    /// Capture only packets that match this filter (see pcap-filter(7))
    ///
    /// Applies to packets alone; events are always recorded whole.
    #[arg(short, long, value_name = "BPF", requires = "packets")]
    pub filter: Option<String>,

    /// Stop after this long, for example 30s or 5m
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// Begin a new file when one has this size, for example 500M
    ///
    /// FILE.parquet becomes FILE.000001.parquet, FILE.000002.parquet and so on; numbers go on behind
    /// those that are there. Each is whole in itself and can be read while the recording goes on.
    /// Applies to events and packets, each by itself.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub rotate_size: Option<u64>,

    /// Begin a new file after this long, for example 1h
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub rotate_time: Option<Duration>,

    /// Keep only the N newest finished files, those of earlier recordings to FILE included
    #[arg(long, value_name = "N", requires = "rotate", value_parser = parse_keep)]
    pub keep: Option<NonZeroUsize>,

    /// Whom to ask for the names of containers.
    #[command(flatten)]
    pub runtimes: RuntimeArgs,

    /// Tell which connections of this program belong together (repeatable)
    ///
    /// A program that takes connections, makes others for them and moves the data between them with
    /// splice(2), by its name as `ps -o comm` shows it. docker-proxy is one without being named.
    #[arg(long = "forwarder", value_name = "NAME", action = ArgAction::Append)]
    pub forwarders: Vec<ForwarderName>,

    /// Size of the ring buffer between kernel and recorder, for example 64M
    ///
    /// A power of two. Raise it if the summary counts events lost in the ring.
    #[arg(long, value_name = "SIZE", default_value = "8M", value_parser = parse_size)]
    pub ring_size: u32,

    /// Print neither the status line nor the summary
    #[arg(short, long)]
    pub quiet: bool,

    /// Print the summary, or the list of interfaces, as JSON to standard output
    #[arg(long)]
    pub json: bool,
}

fn parse_keep(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "give how many files to keep, at least 1".to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("give a time like 30s, 5m or 1h 30m".to_owned()),
    }
}

/// A number of bytes with a unit.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" | "KiB" => 10,
        "M" | "m" | "MiB" => 20,
        "G" | "g" | "GiB" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Bytes of a part at least: a smaller one would hold little beside its own description.
const MIN_PART: u64 = 64 << 10;

fn parse_bytes(text: &str) -> Result<u64, String> {
    match bytes(text) {
        Some(bytes) if bytes >= MIN_PART => Ok(bytes),
        _ => Err("give a size of at least 64K, such as 500M or 1G".to_owned()),
    }
}

fn parse_size(text: &str) -> Result<u32, String> {
    match bytes(text).and_then(|bytes| u32::try_from(bytes).ok()) {
        Some(bytes) if bytes.is_power_of_two() => Ok(bytes),
        _ => Err("give a power of two, such as 8M or 64M, at most 2G".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::load::DEFAULT_RING_BYTES;

    #[test]
    fn the_default_ring_is_the_loaders() {
        let cli = Cli::try_parse_from(["ebpfrec", "--events", "e"]).expect("arguments");
        assert_eq!(cli.record.ring_size, DEFAULT_RING_BYTES);
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_powers_of_two_with_a_unit() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        for bad in ["", "M", "3M", "4G", "-1", "8X", "0", "1e6"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn something_to_record_is_needed() {
        let error = |args: &[&str]| {
            let all = std::iter::once("ebpfrec").chain(args.iter().copied());
            Cli::try_parse_from(all).map_err(|error| error.kind())
        };
        use clap::error::ErrorKind::{ArgumentConflict, MissingRequiredArgument};
        assert_eq!(error(&[]).expect_err("nothing"), MissingRequiredArgument);
        let packets_alone = error(&["--packets", "t"]).expect_err("no interface");
        assert_eq!(packets_alone, MissingRequiredArgument);
        let both = error(&["--events", "e", "check"]).expect_err("record and check");
        assert_eq!(both, ArgumentConflict);
        assert!(error(&["check", "--json"]).is_ok());
        assert!(error(&["--events", "e", "--duration", "90s"]).is_ok());
    }
}
