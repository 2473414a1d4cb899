//! What packages bring along beside the program: completions for shells, and man pages.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// Writes what makes `shell` complete the options of `ebpfrec`.
///
/// # Errors
///
/// What writing says.
pub fn completions(shell: Shell, out: &mut impl Write) -> io::Result<()> {
    // The generator panics where it can't write.
    let mut text = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "ebpfrec", &mut text);
    out.write_all(&text)
}

/// Writes the man pages of `ebpfrec` and its commands (section 1) into `folder`.
///
/// # Errors
///
/// What the system says.
pub fn pages(folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(Cli::command(), folder)
}
