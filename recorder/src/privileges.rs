//! What every thread may still do once everything is attached and opened: capabilities are a
//! thread's own on Linux, so each gives up, when it starts, what its work does not need.
//!
//! This bounds what a mistake can do. It is no wall between the threads: they share their memory,
//! so whoever takes over one of them has what all of them keep. There is no list of system calls
//! (seccomp(2)): which ones glibc, libpcap and the runtime make differs between their versions, and
//! a recorder that is killed for a new one in the middle of an incident does more harm than good.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Writing, locking and renaming files in folders of others, and giving them to the user behind
/// sudo.
const FILES: CapabilitySet =
    CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::CHOWN).union(CapabilitySet::FOWNER);
/// Reading `/proc` of other users' processes: their executable and namespaces take the first, their
/// open files the second besides.
const PROC: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);
/// Asking the kernel's tables in every network namespace: entering one, then asking there.
const NAMESPACES: CapabilitySet =
    PROC.union(CapabilitySet::SYS_ADMIN).union(CapabilitySet::NET_ADMIN);

/// Going before others while late, see [`Niceness`](crate::niceness::Niceness).
const PRIORITY: CapabilitySet = CapabilitySet::SYS_NICE;

/// What a thread does. Threads it starts inherit what it kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Waits for the end, then finishes the files.
    Main,
    /// Reads the ring and the maps of the kernel programs, and looks up processes.
    Events,
    /// Writes a file, and begins new ones.
    Files,
    /// Writes the event file, for which rows wait.
    EventFile,
    /// Asks about sockets, namespaces, interfaces and translations.
    Namespaces,
    /// Asks container runtimes, whose sockets may be in another user's folder.
    Runtimes,
    /// Reads packets from a socket that is open.
    Capture,
    /// The same, having gone to another network namespace, and watches who else is there.
    CaptureElsewhere,
}

impl Work {
    /// The capabilities its thread keeps, if it had them.
    #[must_use]
    pub const fn capabilities(self) -> CapabilitySet {
        match self {
            Self::Main | Self::Files => FILES,
            Self::EventFile => FILES.union(PRIORITY),
            // Reading a map takes CAP_BPF on kernels before 5.19 that refuse eBPF to others.
            Self::Events => PROC.union(CapabilitySet::BPF).union(PRIORITY),
            Self::Namespaces => NAMESPACES,
            Self::Runtimes => CapabilitySet::DAC_OVERRIDE,
            Self::Capture => CapabilitySet::empty(),
            Self::CaptureElsewhere => PROC,
        }
    }
}

/// Gives up whatever this thread's `work` does not need, for good: also what running another
/// program could bring back.
///
/// # Errors
/// The kernel refused. It has no reason to: anybody may give up what is theirs.
pub fn keep(work: Work) -> io::Result<()> {
    let kept = work.capabilities();
    set_no_new_privs(true)?;
    // Not known before Linux 4.3, and then there is nothing to be cleared.
    let _ = clear_ambient_capability_set();
    for capability in CapabilitySet::all().difference(kept) {
        // Takes CAP_SETPCAP, which who is not root need not have; and not all are known to every
        // kernel. Without new privileges the bound is a second lock on the same door.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let held = capabilities(None)?;
    let permitted = held.permitted.intersection(kept);
    set_capabilities(
        None,
        CapabilitySets {
            effective: held.effective.intersection(kept),
            permitted,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// [`keep`], at the start of a thread. Whatever stopped it there stops it in the main thread too,
/// which says so.
pub fn enter(work: Work) {
    let _ = keep(work);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_up_what_it_does_not_need_and_others_do_not() {
        let before = capabilities(None).expect("our own");
        let inside = std::thread::spawn(|| {
            keep(Work::Capture).expect("given up");
            (capabilities(None).expect("our own"), rustix::thread::no_new_privs())
        });
        let (sets, no_new_privs) = inside.join().expect("no panic");
        assert!(sets.permitted.is_empty() && sets.effective.is_empty());
        assert_eq!(no_new_privs, Ok(true));
        assert_eq!(capabilities(None), Ok(before));
    }
}
