//! Translated connections, as the kernel's connection tracking tells them by ctnetlink: of every
//! network namespace, those that are there already, those that begin and those that end. A thread
//! of its own listens, so that the ring is never kept waiting.
//!
//! Nothing here makes the kernel track: a namespace tracks once a rule of its own asks for that,
//! and where none does there is nothing to be heard. Plain connections, which are most, the kernel
//! drops before they reach the thread ([`filter`]).
//!
//! - [`message`]: what the kernel says
//! - [`events`]: the socket it says it to
//! - [`spaces`]: which namespace it says it of
//! - [`standing`]: what was told and has not ended
//! - [`worker`]: the thread

mod events;
mod filter;
mod message;
mod spaces;
mod standing;
mod worker;

use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rustix::event::{EventfdFlags, eventfd};

pub use self::message::Translation;
use self::{events::Events, worker::Worker};
use crate::{
    load::{Hook, HookStatus},
    loss::Losses,
};

/// Translations waiting for the event loop, which takes them ten times a second. The thread waits
/// while there is no room, and meanwhile the kernel keeps what comes.
const MAX_WAITING: usize = 16_384;

/// What the kernel may keep until it is read, bytes, twice which it takes: more than ten thousand
/// events, two seconds of what two CPUs can translate. Only what waits takes memory.
pub const BUFFER_BYTES: usize = 8 << 20;

/// There once the kernel can track connections. Nothing is asked of it before: a question would
/// have it load what it needs for the answer.
const TRACKING: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
/// Whether the namespace of the thread that reads it tells of connections: 0 if not.
const TELLING: &str = "/proc/sys/net/netfilter/nf_conntrack_events";

/// A translated connection that began, was there already, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// `CLOCK_BOOTTIME`, nanoseconds: when the kernel saw it, where it says so, else when it was
    /// heard of.
    pub boot_ns: u64,
    /// Whether it ended.
    pub ended: bool,
    /// The connection.
    pub translation: Translation,
    /// Inode of the namespace that translates; `None` if it could not be found.
    pub netns: Option<u64>,
    /// The kernel's id of that namespace.
    pub netns_cookie: Option<u64>,
}

/// Why translations can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// The kernel has no nfnetlink, or gives no socket.
    #[error("no netfilter netlink socket: {source}")]
    Socket {
        /// What the kernel says.
        source: io::Error,
    },
    /// It tracks connections but does not tell of them.
    #[error("no answer from nf_conntrack_netlink: {source}")]
    Answer {
        /// What the kernel says.
        source: io::Error,
    },
    /// It is told not to.
    #[error("net.netfilter.nf_conntrack_events is 0: set it to 1")]
    Silent,
    /// No thread is to be had.
    #[error("cannot start a thread: {source}")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
}

/// The listening thread.
#[derive(Debug)]
pub struct Conntrack {
    told: Option<Receiver<Told>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    wake: OwnedFd,
    stop: AtomicBool,
    /// How often a look was asked for.
    asked: AtomicU64,
    /// One more than that was when the last look began of which all was told; 0 before the first.
    told: AtomicU64,
    /// Whether the next look is to tell again what was told before.
    again: AtomicBool,
}

impl Conntrack {
    /// Starts the thread. From now on translations are heard of; those that are there are told
    /// first. Takes `CAP_NET_ADMIN`, and `CAP_NET_BROADCAST` to hear of other namespaces than our
    /// own. What the kernel could not keep in `buffer_bytes` until it was read is counted in
    /// `losses`, and looked up.
    ///
    /// # Errors
    /// [`ConntrackError`]: the kernel does not tell, or no thread is to be had.
    pub fn start(losses: Arc<Losses>, buffer_bytes: usize) -> Result<Self, ConntrackError> {
        let events = open(buffer_bytes)?;
        let no_thread = |source| ConntrackError::Thread { source };
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let shared = Arc::new(Shared {
            wake: wake.map_err(|errno| no_thread(errno.into()))?,
            stop: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            told: AtomicU64::new(0),
            again: AtomicBool::new(false),
        });
        let (sender, told) = sync_channel(MAX_WAITING);
        let worker = Worker::new(events, sender, losses, Arc::clone(&shared));
        let thread = thread::Builder::new().name("conntrack".to_owned());
        let thread = thread.spawn(move || worker.run()).map_err(no_thread)?;
        Ok(Self { told: Some(told), shared, thread: Some(thread) })
    }

    /// What was heard of since the last call, as much as may wait at a time.
    pub fn told(&self) -> impl Iterator<Item = Told> {
        self.told.iter().flat_map(Receiver::try_iter).take(MAX_WAITING)
    }

    /// Asks for a look at everything: what was missed is told then, and what ended unheard.
    pub fn look_again(&self) {
        self.shared.asked.fetch_add(1, Ordering::AcqRel);
        self.wake();
    }

    /// The same, and what was told before is told again, for a reader who knows nothing of it.
    pub fn tell_again(&self) {
        self.shared.again.store(true, Ordering::Release);
        self.look_again();
    }

    /// Whether a look was finished since it was last asked for, and all it saw is in
    /// [`Self::told`], or was.
    #[must_use]
    pub fn has_told_all(&self) -> bool {
        self.shared.told.load(Ordering::Acquire) > self.shared.asked.load(Ordering::Acquire)
    }

    fn wake(&self) {
        // Fails only if it was woken 2^64 times over.
        let _ = rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Conntrack {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // It may be waiting for room.
        self.told = None;
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether the kernel tracks connections, or could, without having to load anything for it.
fn is_loaded() -> bool {
    Path::new(TRACKING).exists()
}

/// Whether the namespace of this thread is told not to tell of connections: then only those that a
/// look at the table shows are known.
fn is_silent() -> bool {
    std::fs::read_to_string(TELLING).is_ok_and(|setting| setting.trim() == "0")
}

/// The socket, which hears already if there is something to hear.
fn open(buffer_bytes: usize) -> Result<Events, ConntrackError> {
    let mut events =
        Events::open(buffer_bytes).map_err(|source| ConntrackError::Socket { source })?;
    if is_loaded() {
        events.subscribe().map_err(|source| ConntrackError::Answer { source })?;
    }
    Ok(events)
}

/// As one more hook: whether translations can be read, and what is lost if not. A kernel that
/// tracks nothing now loses nothing; it is listened to as soon as it does.
#[must_use]
pub fn check() -> Hook {
    hook(open(BUFFER_BYTES).err().as_ref())
}

/// The same, of an attempt that was made.
#[must_use]
pub fn hook(error: Option<&ConntrackError>) -> Hook {
    let error = error.or_else(|| is_silent().then_some(&ConntrackError::Silent));
    let status = error.map(|error| HookStatus::Missing(error.to_string()));
    Hook {
        name: "conntrack",
        required: false,
        loses: "what the kernel translates: who is behind a published port or a masqueraded address",
        status: status.unwrap_or(HookStatus::Attached),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_does_not_tell_is_named_and_what_is_lost() {
        let refused = |number| io::Error::from_raw_os_error(number);
        let answer = ConntrackError::Answer { source: refused(libc::EINVAL) };
        let socket = ConntrackError::Socket { source: refused(libc::EPROTONOSUPPORT) };
        for (error, said) in [
            (answer, "no answer from nf_conntrack_netlink: Invalid argument (os error 22)"),
            (socket, "no netfilter netlink socket: Protocol not supported (os error 93)"),
            (ConntrackError::Silent, "net.netfilter.nf_conntrack_events is 0: set it to 1"),
        ] {
            let hook = hook(Some(&error));
            assert_eq!(hook.status, HookStatus::Missing(said.to_owned()));
            assert!(!hook.required && !hook.loses.is_empty());
        }
    }
}
