//! What earlier records told about a socket and later ones need: its process, its ends, and, for an
//! accepted one, who turned out to use it.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use schema::{Endpoint, EventDirection, Kind, Proto};

use crate::{
    process::Process,
    row::{Body, Local, Owner, Row, SocketRow},
};

#[cfg(test)]
mod tests;

/// Sockets remembered, about 20 MB. When a busier host pushes one out, its close keeps what the
/// hook says and nothing more.
const MAX_LIVES: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// What is remembered of a socket.
#[derive(Clone, Debug)]
struct Life {
    proto: Proto,
    owner: Option<Owner>,
    process: Option<Arc<Process>>,
    local: Local,
    remote: Option<Endpoint>,
    netns_cookie: u64,
    direction: Option<EventDirection>,
    /// Somebody was reported to read from it.
    read: bool,
    closed: bool,
    /// The socket to or from which a forwarder moved this one's data.
    peer: Option<u64>,
    /// There were several of those.
    has_peers: bool,
}

/// The sockets remembered, by cookie.
#[derive(Debug)]
pub struct Lives(LruCache<u64, Life>);

impl Default for Lives {
    fn default() -> Self {
        Self(LruCache::new(MAX_LIVES))
    }
}

impl Life {
    /// A TCP connection that somebody else opened.
    fn is_accepted(&self) -> bool {
        self.proto == Proto::TCP && self.direction == Some(EventDirection::In)
    }

    fn is_of(&self, owner: Owner) -> bool {
        self.owner.is_some_and(|known| known.pid == owner.pid)
    }

    /// Gives the socket another owner, and returns the row that says so.
    fn hand_to(
        &mut self,
        boot_ns: u64,
        cookie: u64,
        owner: Owner,
        process: Option<Arc<Process>>,
        direction: Option<EventDirection>,
    ) -> Row {
        self.owner = Some(owner);
        self.process = process;
        self.row(boot_ns, cookie, Kind::Owner, direction)
    }

    fn row(&self, boot_ns: u64, cookie: u64, kind: Kind, direction: Option<EventDirection>) -> Row {
        let row = self.socket_row(cookie, kind, direction);
        Row { boot_ns, body: Body::Socket(Box::new(row)) }
    }

    fn socket_row(&self, cookie: u64, kind: Kind, direction: Option<EventDirection>) -> SocketRow {
        SocketRow {
            kind,
            proto: self.proto,
            direction,
            local: self.local,
            remote: self.remote,
            v6only: None,
            socket_cookie: cookie,
            netns_cookie: self.netns_cookie,
            owner: self.owner,
            process: self.process.clone(),
            latency_us: None,
            counters: None,
            errno: None,
            count: None,
            peer_cookie: 0,
        }
    }
}

impl Lives {
    /// The process of a TCP socket, if it was looked up when the socket was opened.
    pub fn process(&mut self, cookie: u64, pid: u32) -> Option<Arc<Process>> {
        let life = self.0.get(&cookie)?;
        let same = life.owner.is_some_and(|owner| owner.pid == pid);
        same.then(|| life.process.clone()).flatten()
    }

    /// Remembers what a row says about its socket, and gives a row that ends a life what earlier
    /// ones said.
    pub fn note(&mut self, row: &mut SocketRow) {
        if row.socket_cookie == 0 {
            return;
        }
        match row.kind {
            Kind::TcpClose | Kind::TcpRetransmit => self.refine(row),
            Kind::UdpClose => self.give_ends(row),
            Kind::UdpBind | Kind::UdpConnect | Kind::UdpSend | Kind::UdpRecv => {
                let known = self.0.get(&row.socket_cookie);
                let connected = known.and_then(|life| life.remote);
                let remote = if row.kind == Kind::UdpConnect { row.remote } else { connected };
                self.put(row, remote);
            }
            _ => self.put(row, row.remote),
        }
    }

    /// The last descriptor of a TCP socket was closed by `closer`. If the socket was accepted,
    /// nobody was seen to read from it, and the closer is not who is known as its owner, that is
    /// who used it: a worker behind a listener. Returns the `owner` row that says so.
    pub fn release(
        &mut self,
        boot_ns: u64,
        cookie: u64,
        closer: Owner,
        process: Option<Arc<Process>>,
    ) -> Option<Row> {
        let life = self.0.get_mut(&cookie)?;
        if !life.is_accepted() || life.read || life.is_of(closer) {
            return None;
        }
        Some(life.hand_to(boot_ns, cookie, closer, process, Some(EventDirection::In)))
    }

    /// `reader` read from a TCP socket, and is not who did before. Returns the `owner` row, if that
    /// is news: the first reader of an accepted socket is who it was accepted for, and so its
    /// owner from the beginning; a later one, or one of a socket opened by somebody else, was
    /// handed it, by descent or by message, and owns it from now on.
    pub fn read(
        &mut self,
        boot_ns: u64,
        cookie: u64,
        reader: Owner,
        read_before: bool,
        process: Option<Arc<Process>>,
    ) -> Option<Row> {
        let life = self.0.get_mut(&cookie)?;
        let first = life.is_accepted() && !life.read && !read_before;
        life.read = true;
        if life.closed || life.is_of(reader) {
            return None;
        }
        let direction = first.then_some(EventDirection::In);
        Some(life.hand_to(boot_ns, cookie, reader, process, direction))
    }

    /// Whether anything is known of the socket.
    #[must_use]
    pub fn knows(&self, cookie: u64) -> bool {
        self.0.contains(&cookie)
    }

    /// Remembers a socket that was there before the recording. Its holder will have read from it.
    pub fn insert_existing(&mut self, row: &SocketRow) {
        self.put(row, row.remote);
        if let Some(life) = self.0.get_mut(&row.socket_cookie) {
            life.read = row.owner.is_some();
        }
    }

    /// The last descriptor of a socket older than the hooks was closed, or of one accepted by an older
    /// listener after the connection had ended. Returns the row that says so, if the socket is known
    /// and was not closed before; who closes a socket that nobody was known to hold is its owner.
    pub fn release_existing(
        &mut self,
        boot_ns: u64,
        cookie: u64,
        closer: (Owner, Option<Arc<Process>>),
    ) -> Option<Row> {
        let life = self.0.get_mut(&cookie)?;
        let kind = match life.proto {
            Proto::UDP => Kind::UdpClose,
            _ => Kind::TcpClose,
        };
        if std::mem::replace(&mut life.closed, true) {
            return self.release(boot_ns, cookie, closer.0, closer.1);
        }
        if life.owner.is_none() {
            (life.owner, life.process) = (Some(closer.0), closer.1);
        }
        Some(life.row(boot_ns, cookie, kind, life.direction))
    }

    /// What is known of an open socket's process and direction, for the row that tells of it again.
    /// `None` if the socket is unknown.
    pub fn describe(&mut self, row: &mut SocketRow) -> Option<()> {
        let life = self.0.get(&row.socket_cookie)?;
        row.direction = life.direction.filter(|_| row.remote.is_some());
        row.owner = life.owner;
        row.process.clone_from(&life.process);
        Some(())
    }

    /// The row of an accepted socket was given its namespace and its listener's owner, who holds
    /// unless somebody else was found to use it.
    pub fn complete(&mut self, row: &SocketRow) {
        let Some(life) = self.0.get_mut(&row.socket_cookie) else { return };
        life.netns_cookie = row.netns_cookie;
        if life.owner.is_none() {
            life.owner = row.owner;
            life.process.clone_from(&row.process);
        }
    }

    /// The kernel told the ends of a connected UDP socket.
    pub fn set_ends(&mut self, cookie: u64, local: Endpoint, remote: Endpoint) {
        if let Some(life) = self.0.get_mut(&cookie)
            && life.remote.is_some_and(|known| is_same_peer(known, remote))
        {
            life.local = Local::Known(local);
            life.remote = Some(remote);
        }
    }

    /// The row that says that `forwarder` moved data between two of its sockets. The one that was
    /// accepted comes first; where that is not known, the one that the data came from.
    pub fn forward(&mut self, sockets: [u64; 2], forwarder: Owner) -> SocketRow {
        let [source, other] = sockets;
        let direction = |life: Option<&Life>| life.and_then(|life| life.direction);
        let directions = sockets.map(|socket| direction(self.0.peek(&socket)));
        let (front, back) = match directions {
            [Some(EventDirection::Out), Some(EventDirection::In) | None]
            | [None, Some(EventDirection::In)] => (other, source),
            _ => (source, other),
        };
        let mut row = match self.0.get_mut(&front) {
            Some(life) => {
                life.has_peers |= life.peer.is_some_and(|known| known != back);
                life.peer = Some(back);
                life.socket_row(front, Kind::Forward, life.direction)
            }
            None => unknown_row(front),
        };
        row.owner = Some(forwarder);
        row.process = None;
        row.peer_cookie = back;
        row
    }

    /// The same once more, for a reader of a later part alone; `None` if nobody forwards the
    /// socket's data, or for several others: a reader that is told of one of them would believe it
    /// the only one.
    pub fn forward_again(&mut self, front: u64) -> Option<SocketRow> {
        let life = self.0.peek(&front)?;
        let peer_cookie = life.peer.filter(|_| !life.has_peers && !life.closed)?;
        Some(SocketRow { peer_cookie, ..life.socket_row(front, Kind::Forward, life.direction) })
    }

    fn put(&mut self, row: &SocketRow, remote: Option<Endpoint>) {
        let life = Life {
            proto: row.proto,
            owner: row.owner,
            process: row.process.clone(),
            local: row.local,
            remote,
            netns_cookie: row.netns_cookie,
            direction: row.direction,
            read: false,
            closed: false,
            peer: None,
            has_peers: false,
        };
        self.0.put(row.socket_cookie, life);
    }

    fn refine(&mut self, row: &mut SocketRow) {
        // Of an opened socket nothing more is learned once it is closed, of an accepted one maybe
        // who held it: where memory is used again while it is in the cache, it costs less.
        let closed = row.kind == Kind::TcpClose;
        if closed
            && self.0.peek(&row.socket_cookie).is_some_and(|life| !life.is_accepted() && !life.read)
        {
            self.0.pop(&row.socket_cookie);
            return;
        }
        let Some(life) = self.0.get_mut(&row.socket_cookie) else { return };
        life.closed |= closed;
        if (life.is_accepted() || life.read) && life.owner.is_some() {
            row.owner = life.owner;
            row.process.clone_from(&life.process);
        }
    }

    fn give_ends(&mut self, row: &mut SocketRow) {
        let Some(life) = self.0.get(&row.socket_cookie) else { return };
        if row.local == Local::Unknown {
            row.local = life.local;
        }
        row.remote = row.remote.or(life.remote);
        row.direction = row.remote.map(|_| EventDirection::Out);
    }
}

/// A TCP socket of which nothing is known but its cookie.
fn unknown_row(cookie: u64) -> SocketRow {
    SocketRow {
        kind: Kind::Forward,
        proto: Proto::TCP,
        direction: None,
        local: Local::Unknown,
        remote: None,
        v6only: None,
        socket_cookie: cookie,
        netns_cookie: 0,
        owner: None,
        process: None,
        latency_us: None,
        counters: None,
        errno: None,
        count: None,
        peer_cookie: 0,
    }
}

/// Whether a socket connected to `asked` can have the peer `found`: a connect to the wildcard goes
/// to loopback.
#[must_use]
pub fn is_same_peer(asked: Endpoint, found: Endpoint) -> bool {
    asked == found
        || (asked.is_unspecified() && found.is_loopback() && asked.port() == found.port())
}
