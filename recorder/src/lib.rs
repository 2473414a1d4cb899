//! `ebpfrec`: records which process opened, used and closed which socket, and packets.
//!
//! Data flows one way. Events: kernel programs ([`load`]) fill a ring; [`run`] reads it, [`decode`]
//! says what a record means, [`process`], [`container`] and [`lives`] add what is known of its
//! process and socket, [`hold`] brings rows into order and lets late knowledge ([`sockets`]) find
//! them, [`batch`] gives them number, time and text, [`parquet`] writes them. Packets:
//! [`capture`], all on its own.
//!
//! - [`cli`], [`config`]: what was typed, what was meant
//! - [`run`]: the only place that joins stages
//! - [`check`]: what this kernel gives
//! - [`load`]: kernel programs, attached
//! - [`decode`], [`row`], [`errno`]: records to rows
//! - [`process`], [`procfs`], [`users`], [`container`]: who
//! - [`lives`], [`listeners`], [`peers`], [`hold`]: what earlier and later records add
//! - [`sockets`], [`interfaces`], [`conntrack`], [`namespaces`], [`netlink`]: what only the kernel's
//!   tables tell
//! - [`clock`]: boot time to wall clock
//! - [`batch`], [`parquet`], [`journal`]: rows to the event file
//! - [`capture`]: packets to the packet file
//! - [`output`], [`rotate`]: files that get their name when they are whole, one after the other
//! - [`recover`]: what a recording left that was cut off
//! - [`loss`], [`summary`], [`status`]: what was lost, and what the user sees
//! - [`privileges`], [`niceness`]: what each thread may still do, and before whom
//! - [`host`], [`text`]: small things

pub mod batch;
pub mod capture;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conntrack;
pub mod container;
pub mod decode;
pub mod errno;
pub mod hold;
pub mod host;
pub mod interfaces;
pub mod journal;
pub mod listeners;
pub mod lives;
pub mod load;
pub mod loss;
pub mod manual;
pub mod namespaces;
pub mod netlink;
pub mod niceness;
pub mod output;
pub mod parquet;
pub mod peers;
pub mod privileges;
pub mod process;
pub mod procfs;
pub mod recover;
pub mod rotate;
pub mod row;
pub mod run;
pub mod sockets;
pub mod status;
pub mod summary;
pub mod text;
pub mod users;

/// Set in CI, where a skipped test would be a silent one.
#[cfg(test)]
const REQUIRE_LIVE: &str = "EBPF_REQUIRE_LIVE";
