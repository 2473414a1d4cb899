//! The thread that looks for changes. The kernel broadcasts that something changed, in all
//! namespaces that have a number in ours; then everything is looked at again, because only all of
//! it together tells whose an interface is.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    net::sockopt::set_socket_recv_buffer_size_force,
};
use schema::kind::LossStage;

use super::{Interface, Inventory, changes::Told};
use crate::{
    loss::Losses,
    namespaces::Namespace,
    privileges::{self, Work},
};

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR` and `RTNLGRP_NSID`, as bits.
const GROUPS: u32 = 1 | 1 << 4 | 1 << 8 | 1 << 27;
/// How long after a change it is looked: a container's interface takes a dozen steps to be there.
const SETTLE: Duration = Duration::from_millis(100);
/// How often it is looked without a change heard of: a new namespace with nothing but its loopback
/// makes itself heard nowhere.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A look is followed by so many times its own duration without one, so that a host with thousands
/// of processes and interfaces that come and go all the time pays 2 % of a CPU at most.
const REST_AFTER_LOOK: u32 = 50;
/// The same while nothing is heard of.
const IDLE_AFTER_LOOK: u32 = 500;
/// Interfaces that may wait for the event loop, which takes them ten times a second.
const MAX_WAITING: usize = 8192;
/// Receive buffer of the broadcasts, bytes, twice which the kernel takes: some five hundred changes
/// at once.
const BROADCAST_BYTES: usize = 1 << 20;
/// Bytes of broadcasts read at once; they are only counted.
const READ_BYTES: usize = 64 << 10;

/// The running thread.
#[derive(Debug)]
pub struct Watch {
    changes: Receiver<Interface>,
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
}

impl Watch {
    /// Starts the thread. What is there now is told first. Broadcasts of other namespaces take
    /// `CAP_NET_BROADCAST` to hear and `CAP_NET_ADMIN` to be sent; without, changes there show
    /// within ten seconds. Broadcasts that were lost are counted in `losses`.
    ///
    /// # Errors
    /// No socket or thread is to be had.
    pub fn start(losses: Arc<Losses>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            stop: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            told: AtomicU64::new(0),
        });
        let mut broadcasts = Socket::new(NETLINK_ROUTE)?;
        // Both are refinements.
        let _ = set_socket_recv_buffer_size_force(borrow(&broadcasts), BROADCAST_BYTES);
        let _ = broadcasts.set_listen_all_namespaces(true);
        broadcasts.set_non_blocking(true)?;
        broadcasts.bind(&SocketAddr::new(0, GROUPS))?;
        let (sender, changes) = sync_channel(MAX_WAITING);
        let worker = Worker {
            broadcasts,
            changes: sender,
            losses,
            shared: Arc::clone(&shared),
            told: Told::default(),
            heard: vec![],
            refused: 0,
        };
        let thread = thread::Builder::new().name("interfaces".to_owned());
        let thread = Some(thread.spawn(move || worker.run())?);
        Ok(Self { changes, shared, thread })
    }

    /// What changed since the last call.
    pub fn changes(&self) -> impl Iterator<Item = Interface> {
        self.changes.try_iter()
    }

    /// Asks for a last look.
    pub fn look_again(&self) {
        self.shared.asked.fetch_add(1, Ordering::AcqRel);
        self.wake();
    }

    /// Whether a look was finished since it was last asked for, and all it saw is in
    /// [`Self::changes`], or was.
    #[must_use]
    pub fn has_told_all(&self) -> bool {
        self.shared.told.load(Ordering::Acquire) > self.shared.asked.load(Ordering::Acquire)
    }

    fn wake(&self) {
        // Fails only if it was woken 2^64 times over.
        let _ = rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Worker {
    broadcasts: Socket,
    changes: SyncSender<Interface>,
    losses: Arc<Losses>,
    shared: Arc<Shared>,
    told: Told,
    /// Inodes and cookies of the namespaces that were given a number.
    heard: Vec<(u64, Option<u64>)>,
    refused: u64,
}

impl Worker {
    fn run(mut self) {
        privileges::enter(Work::Namespaces);
        while !self.shared.stop.load(Ordering::Acquire) {
            let asked = self.shared.asked.load(Ordering::Acquire);
            let begun = Instant::now();
            let all = self.look();
            let took = begun.elapsed();
            if all {
                self.shared.told.store(asked + 1, Ordering::Release);
            }
            let ended = Instant::now();
            let rest = if all { took * REST_AFTER_LOOK } else { SETTLE };
            let idle = if all { LOOK_EVERY.max(took * IDLE_AFTER_LOOK) } else { SETTLE };
            self.wait(ended + rest, ended + idle);
        }
    }

    /// Looks at everything and tells what is new; false if there was no room to tell all of it.
    fn look(&mut self) -> bool {
        let now = Inventory::take();
        let heard: Vec<_> = now.spaces.iter().map(|space| (space.inode, space.cookie)).collect();
        for space in now.spaces.iter().filter(|space| !space.is_own) {
            if !self.heard.contains(&(space.inode, space.cookie))
                && let Ok(namespace) = Namespace::open_same(&space.path, space.inode)
            {
                namespace.hear_of();
            }
        }
        self.heard = heard;
        // Each look refuses the same ones again.
        self.losses.add(LossStage::Sockets, now.refused.saturating_sub(self.refused));
        self.refused = self.refused.max(now.refused);
        let Self { told, changes, .. } = self;
        told.update(now.entries(), |interface| changes.try_send(interface).is_ok())
    }

    /// Waits for a change, then until it has settled, but not before `rest`; without a change,
    /// until `idle`.
    fn wait(&mut self, rest: Instant, idle: Instant) {
        let mut until = idle;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let mut sources = [
                PollFd::from_borrowed_fd(self.shared.wake.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(borrow(&self.broadcasts), PollFlags::IN),
            ];
            // An interrupted wait is a short one.
            let _ = poll(&mut sources, Some(&timeout));
            let woken = rustix::io::read(&self.shared.wake, &mut [0; 8]).is_ok();
            if self.take_broadcasts() && until == idle {
                until = idle.min(rest.max(Instant::now() + SETTLE));
            }
            if woken || Instant::now() >= until {
                return;
            }
        }
    }

    /// Empties the socket; whether there was something.
    fn take_broadcasts(&mut self) -> bool {
        let mut buffer = Vec::with_capacity(READ_BYTES);
        let mut any = false;
        loop {
            buffer.clear();
            match self.broadcasts.recv_from(&mut buffer, 0) {
                Ok((_, sender)) => any |= sender.port_number() == 0,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    // What is there now will be seen; what came and went meanwhile is lost.
                    self.losses.add(LossStage::Sockets, 1);
                    any = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Empty; or broken, and then it is looked every ten seconds.
                Err(_) => return any,
            }
        }
    }
}

#[expect(unsafe_code, reason = "the netlink crate offers raw descriptors only")]
fn borrow(socket: &Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is the socket's own and stays open as long as the borrow.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}
