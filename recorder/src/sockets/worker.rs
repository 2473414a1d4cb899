//! The thread that asks the kernel about sockets and namespaces.

use std::{
    collections::{HashMap, HashSet},
    io,
    num::NonZeroUsize,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use lru::LruCache;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::set_socket_recv_buffer_size_force,
};

use schema::Proto;

use super::{
    Answer, Query,
    diag::{DiagSocket, FAMILIES, UDP_DESTROY_GROUPS, dump_request, parse_socket},
    snapshot,
};
use crate::{
    namespaces::{Namespace, find_all, own_namespace, path_of},
    netlink::{ask, messages},
    privileges::{self, Work},
};

/// How long a socket is given to be destroyed before its namespace is dumped for it. A name service
/// query over a local network is done by then.
const PATIENCE: Duration = Duration::from_millis(30);
/// Niceness of this thread, like that of the event loop.
const PRIORITY: i32 = -10;
/// Receive buffer of the broadcasts, bytes, twice which the kernel takes: a second of what two busy
/// CPUs can open and close. Only what waits takes memory.
const BROADCAST_BYTES: usize = 16 << 20;
/// Bytes read at once; one broadcast is less than 200.
const READ_BYTES: usize = 8 << 10;
/// Namespaces remembered.
const MAX_NAMESPACES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Sockets looked for at a time; more are answered by broadcasts alone.
const MAX_WANTED: usize = 65_536;
/// How often all processes are searched for a namespace, at most.
const SEARCH_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Worker {
    queries: Receiver<Query>,
    answers: SyncSender<Answer>,
    wake: Arc<OwnedFd>,
    destroyed: Socket,
    own_cookie: Option<u64>,
    /// Namespace cookie → where it can be opened.
    known: LruCache<u64, PathBuf>,
    /// Namespace cookie → sockets to be found there.
    wanted: HashMap<u64, Wanted>,
    searched: Option<Instant>,
}

struct Wanted {
    due: Instant,
    pid: u32,
    sockets: HashSet<u64>,
}

/// The other end no longer listens: time to go.
struct Gone;

impl Worker {
    pub(super) fn new(
        queries: Receiver<Query>,
        answers: SyncSender<Answer>,
        wake: Arc<OwnedFd>,
    ) -> io::Result<Self> {
        let mut destroyed = Socket::new(NETLINK_SOCK_DIAG)?;
        // Both are refinements: without them some ports stay unknown.
        let _ = set_socket_recv_buffer_size_force(borrow(&destroyed), BROADCAST_BYTES);
        let _ = destroyed.set_listen_all_namespaces(true);
        destroyed.set_non_blocking(true)?;
        destroyed.bind(&SocketAddr::new(0, UDP_DESTROY_GROUPS))?;
        let (own_cookie, _) = own_namespace();
        Ok(Self {
            queries,
            answers,
            wake,
            destroyed,
            own_cookie,
            known: LruCache::new(MAX_NAMESPACES),
            wanted: HashMap::new(),
            searched: None,
        })
    }

    pub(super) fn run(mut self) {
        // Of this thread alone; broadcasts wait for nobody.
        let _ = rustix::process::setpriority_process(None, PRIORITY);
        privileges::enter(Work::Namespaces);
        // Ends when the other side is gone; nothing is left to be done then.
        let Err(Gone) = self.serve();
    }

    fn serve(&mut self) -> Result<std::convert::Infallible, Gone> {
        self.search()?;
        loop {
            self.wait();
            self.take_queries()?;
            self.take_broadcasts()?;
            self.dump_due()?;
        }
    }

    fn wait(&self) {
        let now = Instant::now();
        let until = self.wanted.values().map(|wanted| wanted.due).min();
        let timeout = until.map(|due| {
            let left = due.saturating_duration_since(now);
            // Rounded up: to wake just before the time would be to wake twice.
            let millis = u32::try_from(left.as_millis() + 1).unwrap_or(u32::MAX);
            let left = Duration::from_millis(millis.into());
            Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let broadcasts = borrow(&self.destroyed);
        let mut sources = [
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(broadcasts, PollFlags::IN),
        ];
        // An interrupted wait is a short one.
        let _ = poll(&mut sources, timeout.as_ref());
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
    }

    fn tell(&self, answer: Answer) -> Result<(), Gone> {
        self.answers.send(answer).map_err(|_| Gone)
    }

    fn take_queries(&mut self) -> Result<(), Gone> {
        loop {
            match self.queries.try_recv() {
                Ok(Query::Namespace { netns_cookie, pid }) => self.identify(netns_cookie, pid)?,
                Ok(Query::Snapshot) => self.take_snapshot()?,
                Ok(Query::Ends { socket_cookie, netns_cookie, pid }) => {
                    self.want(socket_cookie, netns_cookie, pid);
                }
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Gone),
            }
        }
    }

    fn want(&mut self, socket_cookie: u64, netns_cookie: u64, pid: u32) {
        let total: usize = self.wanted.values().map(|wanted| wanted.sockets.len()).sum();
        if total >= MAX_WANTED {
            return;
        }
        let wanted = self.wanted.entry(netns_cookie).or_insert_with(|| Wanted {
            due: Instant::now() + PATIENCE,
            pid,
            sockets: HashSet::new(),
        });
        wanted.sockets.insert(socket_cookie);
    }

    /// Finds out which namespace has a cookie: that of the process, else by looking at all.
    fn identify(&mut self, netns_cookie: u64, pid: u32) -> Result<(), Gone> {
        if self.learn(&path_of(pid))? == Some(netns_cookie) {
            return Ok(());
        }
        // The socket may have been handed over from another namespace.
        if self.searched.is_none_or(|searched| searched.elapsed() >= SEARCH_EVERY) {
            self.search()?;
        }
        Ok(())
    }

    /// Has a snapshot taken, of all namespaces there are now. Not on this thread: looking through
    /// all processes can take a second.
    fn take_snapshot(&mut self) -> Result<(), Gone> {
        let answers = self.answers.clone();
        let thread = thread::Builder::new().name("snapshot".to_owned());
        // Ends by itself once nobody listens to its answers.
        match thread.spawn(move || snapshot::take(&answers)) {
            Ok(_) => Ok(()),
            Err(_) => self.tell(Answer::SnapshotTaken { left_out: 1 }),
        }
    }

    /// Looks at the namespaces of all processes, and at those that are kept without.
    fn search(&mut self) -> Result<(), Gone> {
        self.searched = Some(Instant::now());
        let (found, _) = find_all();
        for space in found {
            self.learn(&space.path)?;
        }
        Ok(())
    }

    /// Remembers a namespace and tells of it. Returns its cookie, if it is there and has one.
    fn learn(&mut self, path: &Path) -> Result<Option<u64>, Gone> {
        let Ok(namespace) = Namespace::open(path) else { return Ok(None) };
        let Ok(cookie) = namespace.cookie() else { return Ok(None) };
        if self.known.put(cookie, path.to_owned()).is_none() {
            if self.own_cookie != Some(cookie) {
                namespace.hear_of();
            }
            self.tell(Answer::Namespace { netns_cookie: cookie, inode: namespace.inode })?;
        }
        Ok(Some(cookie))
    }

    fn take_broadcasts(&mut self) -> Result<(), Gone> {
        let mut buffer = Vec::with_capacity(READ_BYTES);
        loop {
            buffer.clear();
            match self.destroyed.recv_from(&mut buffer, 0) {
                Ok((_, sender)) if sender.port_number() == 0 => {
                    for socket in messages(&buffer).filter_map(parse_socket) {
                        for wanted in self.wanted.values_mut() {
                            wanted.sockets.remove(&socket.cookie);
                        }
                        if let Some(answer) = ends(socket) {
                            self.tell(answer)?;
                        }
                    }
                }
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.tell(Answer::Overrun)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Empty; or broken, and then there is nothing to be had from it.
                Err(_) => return Ok(()),
            }
        }
    }

    fn dump_due(&mut self) -> Result<(), Gone> {
        let now = Instant::now();
        let due: Vec<u64> = self
            .wanted
            .iter()
            .filter(|(_, wanted)| wanted.due <= now || wanted.sockets.is_empty())
            .map(|(&cookie, _)| cookie)
            .collect();
        for netns_cookie in due {
            let Some(wanted) = self.wanted.remove(&netns_cookie) else { continue };
            if wanted.sockets.is_empty() {
                continue;
            }
            let mut found = vec![];
            // What can't be asked stays unknown.
            let _ = self.dump(netns_cookie, &wanted, &mut found);
            for answer in found {
                self.tell(answer)?;
            }
        }
        Ok(())
    }

    fn dump(
        &mut self,
        netns_cookie: u64,
        wanted: &Wanted,
        found: &mut Vec<Answer>,
    ) -> io::Result<()> {
        let mut collect = || -> io::Result<()> {
            for family in FAMILIES {
                ask(NETLINK_SOCK_DIAG, &dump_request(family, Proto::UDP), |message| {
                    if let Some(socket) = parse_socket(message)
                        && wanted.sockets.contains(&socket.cookie)
                    {
                        found.extend(ends(socket));
                    }
                })?;
            }
            Ok(())
        };
        if self.own_cookie == Some(netns_cookie) {
            return collect();
        }
        // Sockets are told apart by their own cookies: in a wrong namespace nothing is found.
        let known = self.known.get(&netns_cookie).map(|path| Namespace::open(path));
        let namespace = match known {
            Some(Ok(namespace)) => namespace,
            _ => Namespace::open(&path_of(wanted.pid))?,
        };
        namespace.run(collect)?
    }
}

fn ends(socket: DiagSocket) -> Option<Answer> {
    let (local, remote) = socket.ends()?;
    Some(Answer::Ends { socket_cookie: socket.cookie, local, remote })
}

#[expect(unsafe_code, reason = "the netlink crate offers raw descriptors only")]
fn borrow(socket: &Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is the socket's own and stays open as long as the borrow.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}
