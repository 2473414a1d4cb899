//! The whole way on this machine's own kernel: real processes talk, `ebpfrec` records them,
//! `ebpfjoin` joins, and tshark reads the result. What is true is known from outside: each traffic
//! program knows its own pid and its sockets' addresses.
//!
//! The suite has its own `main`, because the traffic programs are this same executable, started
//! again as `live traffic ROLE …`.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

mod record;
mod scenarios;
mod traffic;
mod wire;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("traffic") {
        return traffic::play(args.collect());
    }
    let arguments = Arguments::from_args();
    let missing = record::what_is_missing();
    let required = std::env::var_os("EBPF_REQUIRE_LIVE").is_some_and(|value| value == "1");
    if let (Some(why), false) = (&missing, required) {
        eprintln!("live tests skipped: {why} (EBPF_REQUIRE_LIVE=1 makes this a failure)");
    }
    let trials = scenarios::ALL.iter().map(|&(name, scenario)| {
        let missing = missing.clone();
        let ignore = missing.is_some() && !required;
        Trial::test(name, move || match missing {
            Some(why) => Err(format!("cannot record here: {why}").into()),
            None => scenario().map_err(|error| format!("{error:#}").into()),
        })
        .with_ignored_flag(ignore)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
