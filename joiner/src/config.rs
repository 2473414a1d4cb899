//! What the options mean, converted once from what was typed.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::estimate::{Estimate, Use};
use crate::prepare::Sources;
use crate::source::Compression;

/// How much is said on each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Detail {
    /// All on the first packet of a flow and direction, the process on the others.
    Auto,
    /// All on every packet.
    Full,
    /// The process on every packet.
    Brief,
    /// All on the first packet of a flow and direction, nothing on the others.
    First,
    /// Nothing: older annotations are removed.
    None,
}

/// How the output is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Whether to write `epb_processid_threadid`.
    pub pid_option: bool,
    /// Whether to name addresses and interfaces.
    pub names: bool,
    /// Whether to write the process blocks of macOS.
    pub native: bool,
}

/// What the clock of a recording has to do with that of the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOffset {
    /// To be found out, for every host.
    Auto,
    /// Nanoseconds that the capture's clock is ahead of those of all recordings.
    Given(i64),
}

impl ClockOffset {
    /// What is made of an estimate.
    #[must_use]
    pub fn of(self, estimate: Estimate) -> Estimate {
        match self {
            Self::Auto => estimate,
            Self::Given(offset_ns) => {
                Estimate { offset_ns, drift: 0.0, spread_ns: 0, use_: Use::Given, ..estimate }
            }
        }
    }
}

impl FromStr for ClockOffset {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let (sign, size) = match text.strip_prefix('-') {
            Some(size) => (-1, size),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let size = match size {
            "none" | "0" => Duration::ZERO,
            size => humantime::parse_duration(size)
                .map_err(|_| "not auto, none or a time (-1.5s: write -1s500ms)")?,
        };
        let nanoseconds = i64::try_from(size.as_nanos()).map_err(|_| "too long a time")?;
        Ok(Self::Given(sign * nanoseconds))
    }
}

/// A join.
#[derive(Clone, Debug)]
pub struct Config {
    /// What names are found by.
    pub sources: Sources,
    /// Where the enriched capture goes.
    pub output: PathBuf,
    /// How it is compressed.
    pub compression: Option<Compression>,
    /// Where the table of packets goes, if there is to be one.
    pub packets: Option<PathBuf>,
    /// Where the page for people goes, if there is to be one.
    pub report: Option<PathBuf>,
    /// How much is said.
    pub detail: Detail,
    /// How it is written.
    pub style: Style,
    /// Worker threads.
    pub threads: NonZeroUsize,
    /// Whether to show progress.
    pub progress: bool,
}

/// A question how one packet was decided.
#[derive(Clone, Debug)]
pub struct Explain {
    /// What names are found by.
    pub sources: Sources,
    /// Which packet of the capture, from 1.
    pub frame: u64,
    /// Worker threads.
    pub threads: NonZeroUsize,
}
