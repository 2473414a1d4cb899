//! `ebpfrec` as its users run it: real programs open sockets while it records, and what it writes
//! is held against what those programs know of themselves.
//!
//! The suite has its own `main`, because the programs are this same executable in other roles.

use std::process::ExitCode;

#[path = "../support/containerd.rs"]
mod containerd;
#[path = "../support/copy.rs"]
mod copy;
#[path = "../support/docker.rs"]
#[expect(dead_code, reason = "each suite uses a part of what they share")]
mod docker;
#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/live.rs"]
mod live;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/recording.rs"]
mod recording;
#[path = "../support/router.rs"]
mod router;
#[path = "../support/rows.rs"]
mod rows;

mod crash;
mod disk;
mod errors;
mod existing;
mod forward;
mod forwarder;
mod hand_over;
mod interfaces;
mod life;
mod nat;
mod nat_lost;
mod owner;
mod packets;
mod process;
mod roles;
mod rotate;
mod runtimes;
mod safety;
mod talk;
mod targets;
mod tcp;
mod udp;

/// The program under test.
const EBPFREC: &str = env!("CARGO_BIN_EXE_ebpfrec");

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(program::PLAY) {
        return roles::play(&args.collect::<Vec<_>>());
    }
    let live = [
        life::ALL,
        existing::ALL,
        tcp::ALL,
        process::ALL,
        owner::ALL,
        forward::ALL,
        udp::ALL,
        packets::ALL,
        interfaces::ALL,
        nat::ALL,
        nat_lost::ALL,
        targets::ALL,
        disk::ALL,
        crash::ALL,
        rotate::ALL,
        runtimes::ALL,
        safety::ALL,
        errors::LIVE,
    ]
    .concat();
    let always = [errors::ALWAYS, crash::ALWAYS].concat();
    live::run(EBPFREC, &always, &live)
}
