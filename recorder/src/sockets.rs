//! What only the kernel's socket tables tell: the sockets that were there before the hooks, the
//! local port of a UDP socket that was connected without being bound, and which namespace a
//! namespace cookie means. A thread of its own asks, so that the ring is never kept waiting.
//!
//! Nearly all name service traffic is such sockets, and they live for milliseconds. So two ways at
//! once: the kernel broadcasts every UDP socket that is destroyed, with its addresses; those that
//! live longer are found by a dump of their namespace a moment later.

mod diag;
mod holders;
mod snapshot;
mod worker;

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rustix::event::{EventfdFlags, eventfd};
use schema::Endpoint;

pub use self::{diag::DiagSocket, snapshot::Existing};

/// Questions waiting. A full queue drops some: their rows go out less complete.
const MAX_QUERIES: usize = 4096;
/// Answers waiting.
const MAX_ANSWERS: usize = 16_384;

/// What is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Which namespace has this cookie; `pid` may be in it.
    Namespace {
        /// The kernel's id of the namespace.
        netns_cookie: u64,
        /// A process that is probably in it.
        pid: u32,
    },
    /// The ends of a connected UDP socket.
    Ends {
        /// The kernel's id of the socket.
        socket_cookie: u64,
        /// The kernel's id of its namespace.
        netns_cookie: u64,
        /// A process that is probably in that namespace.
        pid: u32,
    },
    /// All sockets that exist, in all namespaces.
    Snapshot,
}

/// What was found out.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The namespace with this cookie has this inode.
    Namespace {
        /// The kernel's id of the namespace.
        netns_cookie: u64,
        /// Inode of `/proc/PID/ns/net`.
        inode: u64,
    },
    /// A connected UDP socket.
    Ends {
        /// The kernel's id of the socket.
        socket_cookie: u64,
        /// This end.
        local: Endpoint,
        /// The other end.
        remote: Endpoint,
    },
    /// A socket of the snapshot that was asked for.
    Existing(Box<Existing>),
    /// That was the last one.
    SnapshotTaken {
        /// Sockets there was no room for.
        left_out: u64,
    },
    /// The kernel had more to tell than there was room for.
    Overrun,
}

/// The asking thread.
#[derive(Debug)]
pub struct Sockets {
    queries: Option<SyncSender<Query>>,
    answers: Receiver<Answer>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Sockets {
    /// Starts the thread. From now on destroyed sockets are heard of.
    ///
    /// # Errors
    /// No socket or thread is to be had.
    pub fn start() -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (queries, query_receiver) = sync_channel(MAX_QUERIES);
        let (answer_sender, answers) = sync_channel(MAX_ANSWERS);
        let worker = worker::Worker::new(query_receiver, answer_sender, Arc::clone(&wake))?;
        let thread =
            thread::Builder::new().name("sockets".to_owned()).spawn(move || worker.run())?;
        Ok(Self { queries: Some(queries), answers, wake, thread: Some(thread) })
    }

    /// Asks, if there is room in the queue; whether there was.
    pub fn ask(&self, query: Query) -> bool {
        let Some(queries) = &self.queries else { return false };
        match queries.try_send(query) {
            Ok(()) => {
                self.wake();
                true
            }
            // A busy moment: the row stays as it is.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// What was found out since the last call.
    pub fn answers(&self) -> impl Iterator<Item = Answer> {
        self.answers.try_iter()
    }

    fn wake(&self) {
        // Fails only if it was woken 2^64 times over.
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.queries = None;
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It may be waiting for room for its answers.
            while !thread.is_finished() {
                self.answers.try_iter().for_each(drop);
                thread::sleep(std::time::Duration::from_millis(1));
            }
            let _ = thread.join();
        }
    }
}
