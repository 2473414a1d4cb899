//! Containers for real: dockerd in a network of its own, every way that packets take to a published
//! port and out of a container, captured on every interface. What is true is known from the programs
//! at both ends: each says its own addresses, and the machine says their pids.
//! With `LAB_KEEP` set, the files of a failed one stay in a temporary folder.
//!
//! The suite has its own `main`, because those programs are this same executable in another role.

use std::process::ExitCode;

#[path = "../support/docker.rs"]
mod docker;
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
#[path = "../support/rows.rs"]
#[expect(dead_code, reason = "each suite uses a part of what they share")]
mod rows;

mod chain;
mod host;
mod node;
mod packets;
mod paths;
mod talk;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [play, role] = &args[..]
        && play == program::PLAY
        && role == node::ROLE
    {
        return node::play();
    }
    live::run(&host::ebpfrec(), &[], &[paths::ALL, chain::ALL].concat())
}
