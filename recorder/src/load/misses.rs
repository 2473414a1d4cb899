//! How often the kernel left a program out. A program of a tracepoint is not started while it runs on
//! the same CPU already, or since Linux 7.2 while somebody is preempted in it; the kernel counts that
//! (since 5.12) and tells it in `/proc/PID/fdinfo`: `recursion_misses`, see proc(5).

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
};

use aya::programs::TracePoint;

use super::hooks::one_line;

/// Bytes of what the kernel tells of a program: some 300, and more as kernels learn to.
const TOLD: usize = 1024;

/// Hooks that tell something of their own and may be left out, each with all copies of its program.
#[derive(Default)]
pub(super) struct Misses(Vec<Vec<Counter>>);

/// Where the kernel tells about a program. Opened once: privileges may go later.
pub(super) struct Counter {
    about: File,
    // What is told is of this descriptor.
    _program: OwnedFd,
}

impl Misses {
    /// Adds a hook, with a counter for each copy of its program.
    pub(super) fn add(&mut self, copies: Vec<Counter>) {
        self.0.push(copies);
    }

    /// Calls that no program saw, at most: of several copies the one that was left out least missed
    /// all of these, and perhaps more.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn count(&self) -> io::Result<u64> {
        let least = |copies: &Vec<Counter>| -> io::Result<u64> {
            let counts: io::Result<Vec<u64>> = copies.iter().map(Counter::count).collect();
            Ok(counts?.into_iter().min().unwrap_or(0))
        };
        self.0.iter().map(least).sum()
    }
}

impl Counter {
    /// The counter of a program that is loaded.
    ///
    /// # Errors
    /// It is not, or there is no `/proc`: why, in one line.
    pub(super) fn of(program: &TracePoint) -> Result<Self, String> {
        let program = program.fd().map_err(|error| one_line(&error))?.as_fd().try_clone_to_owned();
        let of_fd = |program: OwnedFd| {
            let about = File::open(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))?;
            Ok(Self { about, _program: program })
        };
        program
            .and_then(of_fd)
            .map_err(|error| format!("how often it is left out cannot be read: {error}"))
    }

    fn count(&self) -> io::Result<u64> {
        let mut told = [0; TOLD];
        let length = self.about.read_at(&mut told, 0)?;
        Ok(parse(&told[..length]))
    }
}

/// The counter in what the kernel tells; 0 from one that doesn't count.
fn parse(told: &[u8]) -> u64 {
    let lines = told.split(|&byte| byte == b'\n');
    let count = lines.filter_map(|line| line.strip_prefix(b"recursion_misses:")).next();
    count.and_then(|count| str::from_utf8(count).ok()?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_among_the_rest() {
        let told =
            "pos:\t0\nprog_type:\t5\nrun_cnt:\t0\nrecursion_misses:\t129\nverified_insns:\t9\n";
        assert_eq!(parse(told.as_bytes()), 129);
        assert_eq!(parse(b"pos:\t0\nprog_type:\t5\n"), 0);
        assert_eq!(parse(b"recursion_misses:\tmany\n"), 0);
    }
}
