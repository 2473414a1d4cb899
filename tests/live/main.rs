//! The whole way on this machine's own kernel: real processes talk, `ebpfrec` records them,
//! `ebpfjoin` joins, and tshark reads the result. What is true is known from outside: each traffic
//! program knows its own pid and its sockets' addresses.
//!
//! The suite has its own `main`, because the traffic programs are this same executable in other
//! roles.

use std::process::ExitCode;

#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "each suite uses a part of what they share")]
mod lab;
#[path = "../support/live.rs"]
mod live;
#[path = "../support/program.rs"]
#[expect(dead_code, reason = "each suite uses a part of what they share")]
mod program;
#[path = "../support/recording.rs"]
#[expect(dead_code, reason = "each suite uses a part of what they share")]
mod recording;
#[path = "../support/router.rs"]
#[expect(dead_code, reason = "each suite uses a part of what they share")]
mod router;
#[path = "../support/rows.rs"]
#[expect(dead_code, reason = "each suite uses a part of what they share")]
mod rows;

mod docker_proxy;
mod join;
mod nat;
mod scenarios;
mod traffic;
mod wire;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(program::PLAY) {
        return traffic::play(&args.collect::<Vec<_>>());
    }
    let live = [scenarios::ALL, docker_proxy::ALL, nat::ALL].concat();
    live::run(&join::program("ebpfrec"), &[], &live)
}
