//! What the options mean, converted once from what was typed.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::attribute::Windows;

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
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether to write `epb_processid_threadid`.
    pub pid_option: bool,
}

/// A join.
#[derive(Clone, Debug)]
pub struct Config {
    /// The capture.
    pub capture: PathBuf,
    /// The event files; at least one.
    pub events: Vec<PathBuf>,
    /// Where the enriched capture goes.
    pub output: PathBuf,
    /// How much is said.
    pub detail: Detail,
    /// How it is written.
    pub style: Style,
    /// How far lives reach.
    pub windows: Windows,
    /// Worker threads.
    pub threads: NonZeroUsize,
    /// Whether to show progress.
    pub progress: bool,
}
