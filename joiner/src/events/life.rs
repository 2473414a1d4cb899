//! Socket lives, and whom they talk to. A *life* is one socket from its first row to its close; a
//! *conversation* is what it had with one peer: one for TCP and connected UDP, many for a server
//! on an unconnected UDP socket; a *listener* is a local endpoint that takes whoever comes.

use schema::{Endpoint, EventDirection, FiveTuple, Kind, Proto};

use super::host::HostId;
use super::identity::IdentityId;
use super::place::NamespaceId;
use super::text::TextId;

/// Index into [`Recordings::lives`](super::Recordings::lives).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LifeId(pub u32);

/// Index into [`Recordings::conversations`](super::Recordings::conversations).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub u32);

/// One socket of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The machine it is on.
    pub host: HostId,
    /// The kernel's id of the socket.
    pub socket_cookie: u64,
    /// The socket's network namespace, which need not be its process's.
    pub namespace: Option<NamespaceId>,
    /// Who opened the connection.
    pub direction: Option<EventDirection>,
    /// The kind of its first row.
    pub opened: Kind,
    /// The kind of the row that ended it; `None` if it outlived the recording.
    pub closed: Option<Kind>,
    /// Its first row, nanoseconds since 1970.
    pub start_ns: i64,
    /// Its close, or the end of the recording; nanoseconds since 1970.
    pub end_ns: i64,
    /// Until when it was open for sure: rows were lost then, its close perhaps among them.
    pub sure_ns: i64,
    /// The process at the local end.
    pub owner: Option<IdentityId>,
    /// The owner's thread.
    pub tid: Option<u32>,
    /// Connect to established, microseconds.
    pub latency_us: Option<u32>,
    /// Segments sent again.
    pub retransmits: Option<u32>,
    /// Payload bytes sent and received, where its close tells.
    pub bytes: Option<(u64, u64)>,
    /// Why its connect failed, by the name of the error.
    pub error: TextId,
}

impl Life {
    /// The life of a socket of which nothing is known but one row, of kind `opened` at `time_ns`.
    #[must_use]
    pub fn new(host: HostId, socket_cookie: u64, opened: Kind, time_ns: i64) -> Self {
        Self {
            host,
            socket_cookie,
            namespace: None,
            direction: None,
            opened,
            closed: None,
            start_ns: time_ns,
            end_ns: time_ns,
            sure_ns: time_ns,
            owner: None,
            tid: None,
            latency_us: None,
            retransmits: None,
            bytes: None,
            error: TextId::NONE,
        }
    }

    /// Whether it is of a connection that a listener took.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.direction == Some(EventDirection::In) && self.opened == Kind::TcpAccept
    }

    /// Whether it is known up to `time_ns` if the socket was open: its close is not among what was
    /// lost.
    #[must_use]
    pub fn is_sure(&self, time_ns: i64) -> bool {
        time_ns <= self.sure_ns || self.sure_ns == self.end_ns
    }

    /// Whether the socket was open at `time_ns`.
    #[must_use]
    pub fn contains(&self, time_ns: i64) -> bool {
        self.start_ns <= time_ns && time_ns <= self.end_ns
    }
}

/// One socket and one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The socket.
    pub life: LifeId,
    /// From the local end to the remote one. The local address may be a wildcard for UDP.
    pub tuple: FiveTuple,
    /// The kind of the row that first named this peer.
    pub opened: Kind,
    /// The time of that row, nanoseconds since 1970.
    pub opened_ns: i64,
    /// Who talks to this peer, if another process than the life's owner.
    pub owner: Option<IdentityId>,
}

/// A local endpoint of a life without a fixed peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The socket.
    pub life: LifeId,
    /// TCP or UDP.
    pub proto: Proto,
    /// Where it listens; the address may be a wildcard.
    pub local: Endpoint,
    /// Whether a socket on `::` refuses IPv4; unknown counts as no.
    pub v6only: bool,
    /// Since when, nanoseconds since 1970.
    pub from_ns: i64,
    /// Until when: a UDP socket that is connected takes only its peer's datagrams.
    pub until_ns: i64,
}

/// A process moves data between two of its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The process's host.
    pub host: HostId,
    /// The cookies of the two.
    pub sockets: [u64; 2],
}

/// From `time_ns` on, `life` belongs to `owner`.
#[derive(Clone, Copy, Debug)]
pub struct Handover {
    /// The socket.
    pub life: LifeId,
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// The new owner.
    pub owner: IdentityId,
}
