//! Tests that need the real kernel: where it refuses they are skipped with one line that says why,
//! unless `EBPF_REQUIRE_LIVE=1` asks for them.

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

/// A test, by name.
pub(crate) type Scenario = (&'static str, fn() -> anyhow::Result<()>);

/// Runs `always`, and `live` where `recorder` says that this kernel gives what is needed.
pub(crate) fn run(recorder: &str, always: &[Scenario], live: &[Scenario]) -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = what_is_missing(recorder);
    let required = std::env::var_os("EBPF_REQUIRE_LIVE").is_some_and(|value| value == "1");
    if let (Some(why), false) = (&missing, required) {
        eprintln!("live tests skipped: {why} (EBPF_REQUIRE_LIVE=1 makes this a failure)");
    }
    let always = always.iter().map(|&(name, scenario)| {
        Trial::test(name, move || scenario().map_err(|error| format!("{error:#}").into()))
    });
    let live = live.iter().map(|&(name, scenario)| {
        let missing = missing.clone();
        let ignore = missing.is_some() && !required;
        Trial::test(name, move || match missing {
            Some(why) => Err(format!("cannot record here: {why}").into()),
            None => scenario().map_err(|error| format!("{error:#}").into()),
        })
        .with_ignored_flag(ignore)
    });
    libtest_mimic::run(&arguments, always.chain(live).collect()).exit_code()
}

fn what_is_missing(recorder: &str) -> Option<String> {
    match Command::new(recorder).arg("check").output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Some(text.lines().next().unwrap_or("`ebpfrec check` failed").to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}
