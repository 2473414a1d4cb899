//! Copies of programs that are to be run.

use std::path::Path;
use std::process::Command;

/// Copies the program `from` to `to`, in a process of its own. If this one did it, a program that a test
/// beside this one starts at that moment would inherit the file still open for writing, and the copy
/// could not be run ("text file busy").
pub(crate) fn copy_program(from: &str, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "cp {from} {}", to.display());
}
