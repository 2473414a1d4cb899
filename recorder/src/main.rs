//! Parses, runs, maps the result to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    recorder::run::main().into()
}
