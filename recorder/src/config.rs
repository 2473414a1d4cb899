//! What was meant: the arguments, checked against each other.

use std::{
    ffi::OsString,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    capture::Target,
    cli::{Cli, Command, RecordArgs, RuntimeArgs},
    container::{RuntimeSocket, runtime_sockets},
    load::ForwarderName,
    rotate::Rotation,
    text::Printable,
};
use clap_complete::Shell;

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// Record.
    Record(RecordConfig),
    /// Finish what a killed recording left.
    Recover {
        /// Where it was.
        path: PathBuf,
        /// As JSON.
        json: bool,
    },
    /// Show what the kernel can give.
    Check {
        /// As JSON.
        json: bool,
        /// Where container runtimes may listen.
        runtimes: Vec<RuntimeSocket>,
    },
    /// Print completions for a shell.
    Completions(Shell),
    /// Write man pages into a folder.
    Man(PathBuf),
    /// Show every interface.
    ListInterfaces {
        /// As JSON.
        json: bool,
        /// Where container runtimes may listen.
        runtimes: Vec<RuntimeSocket>,
    },
}

/// A recording. At least one of `events` and `packets` is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordConfig {
    /// Where events go.
    pub events: Option<PathBuf>,
    /// What is captured, and where it goes.
    pub packets: Option<PacketsConfig>,
    /// When to stop, if nobody says so earlier.
    pub duration: Option<Duration>,
    /// When a file ends and the next begins.
    pub rotation: Rotation,
    /// Where container runtimes may listen.
    pub runtimes: Vec<RuntimeSocket>,
    /// Programs that move data between their sockets.
    pub forwarders: Vec<ForwarderName>,
    /// Size of the ring buffer, bytes; a power of two.
    pub ring_bytes: u32,
    /// Print nothing but errors.
    pub quiet: bool,
    /// Print the summary as JSON to standard output.
    pub json: bool,
}

/// A packet capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketsConfig {
    /// Where packets go.
    pub path: PathBuf,
    /// Where packets are captured, at least one place.
    pub targets: Vec<Target>,
    /// Bytes kept of a packet.
    pub snaplen: u32,
    /// What is captured, in the language of pcap-filter(7).
    pub filter: Option<String>,
}

/// Arguments that don't go together.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Both outputs are one file.
    #[error("--events and --packets both write {}: give two different files", Printable::path(.path))]
    SameFile {
        /// That file.
        path: PathBuf,
    },
    /// More forwarders than the kernel programs take.
    #[error("{count} --forwarder are too many: give at most {MAX_FORWARDERS}")]
    Forwarders {
        /// How many there are.
        count: usize,
    },
}

/// Forwarders that can be named: half of what the kernel programs have room for (`NAMES_MAX`).
const MAX_FORWARDERS: usize = 32;

impl Config {
    /// Gives meaning to what was typed.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn new(cli: Cli) -> Result<Self, ConfigError> {
        match cli.command {
            Some(Command::Check(args)) => {
                Ok(Self::Check { json: args.json, runtimes: runtimes(&args.runtimes) })
            }
            None if cli.record.list_interfaces => {
                let runtimes = runtimes(&cli.record.runtimes);
                Ok(Self::ListInterfaces { json: cli.record.json, runtimes })
            }
            Some(Command::Completions { shell }) => Ok(Self::Completions(shell)),
            Some(Command::Man { folder }) => Ok(Self::Man(folder)),
            Some(Command::Recover(args)) => Ok(Self::Recover { path: args.path, json: args.json }),
            None => Ok(Self::Record(RecordConfig::new(cli.record)?)),
        }
    }
}

impl RecordConfig {
    fn new(args: RecordArgs) -> Result<Self, ConfigError> {
        if let (Some(events), Some(packets)) = (&args.events, &args.packets)
            && place(events) == place(packets)
        {
            return Err(ConfigError::SameFile { path: packets.clone() });
        }
        let packets = args.packets.map(|path| PacketsConfig {
            path,
            targets: args.targets,
            snaplen: args.snaplen,
            filter: args.filter.filter(|filter| !filter.trim().is_empty()),
        });
        Ok(Self {
            events: args.events,
            packets,
            duration: args.duration,
            rotation: Rotation {
                size: args.rotate_size,
                time: args.rotate_time,
                keep: args.keep.map(NonZeroUsize::get),
            },
            runtimes: runtimes(&args.runtimes),
            forwarders: forwarders(args.forwarders)?,
            ring_bytes: args.ring_size,
            quiet: args.quiet,
            json: args.json,
        })
    }
}

fn runtimes(args: &RuntimeArgs) -> Vec<RuntimeSocket> {
    if args.no_runtimes {
        return vec![];
    }
    runtime_sockets(&args.runtime_sockets, std::env::var_os("DOCKER_HOST").as_deref())
}

/// Those that were named, and the one that every Docker host has.
fn forwarders(named: Vec<ForwarderName>) -> Result<Vec<ForwarderName>, ConfigError> {
    if named.len() > MAX_FORWARDERS {
        return Err(ConfigError::Forwarders { count: named.len() });
    }
    let mut all = vec![ForwarderName::DOCKER_PROXY];
    all.extend(named);
    Ok(all)
}

/// Folder, links resolved, and name of a file that need not exist.
fn place(path: &Path) -> (PathBuf, Option<OsString>) {
    if let Ok(path) = path.canonicalize() {
        return (path, None);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let name = path.file_name().map(OsString::from);
    (parent.canonicalize().unwrap_or_else(|_| parent.to_owned()), name)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn record(args: &[&str]) -> Result<RecordConfig, ConfigError> {
        let cli = Cli::try_parse_from([&["ebpfrec"], args].concat()).expect("arguments");
        match Config::new(cli)? {
            Config::Record(config) => Ok(config),
            other => panic!("not a recording: {other:?}"),
        }
    }

    #[test]
    fn one_file_for_both_is_refused_however_it_is_spelled() {
        for other in ["x.out", "./x.out", "../recorder/x.out"] {
            let error = record(&["--events", "x.out", "--packets", other, "-i", "lo"]);
            let text = error.expect_err(other).to_string();
            assert_eq!(
                text,
                format!("--events and --packets both write {other}: give two different files")
            );
        }
        assert!(record(&["--events", "x.out", "--packets", "src/x.out", "-i", "lo"]).is_ok());
    }

    #[test]
    fn docker_proxy_is_a_forwarder_without_being_named() {
        let named = record(&["--events", "e", "--forwarder", "haproxy"]).expect("a recording");
        let haproxy = "haproxy".parse().expect("a name");
        assert_eq!(named.forwarders, [ForwarderName::DOCKER_PROXY, haproxy]);
        let many = [&["--events", "e"][..], &["--forwarder", "x"].repeat(33)].concat();
        let error = record(&many).expect_err("too many").to_string();
        assert_eq!(error, "33 --forwarder are too many: give at most 32");
    }

    #[test]
    fn an_empty_filter_is_none() {
        let config = record(&["--packets", "p", "-i", "lo", "-i", "container:web", "-f", " "]);
        let packets = config.expect("a recording").packets.expect("packets");
        assert_eq!(packets.targets.len(), 2);
        assert_eq!(packets.filter, None);
    }
}
