//! One row of the event file before it is written: compact, owned, and without the text that can
//! be looked up when it is written.

use std::sync::Arc;

use schema::{Endpoint, EventDirection, FiveTuple, Kind, Proto, kind::LossStage, wire::COMM_LEN};

use crate::{conntrack::Told, container::Publication, interfaces::Interface, process::Process};

/// A row and its time.
#[derive(Clone, Debug)]
pub struct Row {
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    /// What happened.
    pub body: Body,
}

/// What a row reports.
#[derive(Clone, Debug)]
pub enum Body {
    /// Something happened to a socket.
    Socket(Box<SocketRow>),
    /// A process began to run a program, or ended.
    Process(Box<ProcessRow>),
    /// The offset of the wall clock at this time, nanoseconds.
    Clock(i64),
    /// So many things were lost at a stage in the last second.
    Lost(LossStage, u64),
    /// An interface and one of its addresses.
    Interface(Box<Interface>),
    /// A published port of a container.
    Publish(Box<Publication>),
    /// A translated connection.
    Translated(Box<Told>),
}

impl Body {
    /// The kind the row has in the file.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Socket(row) => row.kind,
            Self::Process(row) => row.kind,
            Self::Clock(_) => Kind::Clock,
            Self::Lost(..) => Kind::Lost,
            Self::Interface(_) => Kind::Interface,
            Self::Publish(_) => Kind::Publish,
            Self::Translated(told) => {
                if told.ended {
                    Kind::NatEnd
                } else {
                    Kind::Nat
                }
            }
        }
    }
}

/// Something that happened to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketRow {
    /// What happened.
    pub kind: Kind,
    /// TCP or UDP.
    pub proto: Proto,
    /// Which end opened the conversation, where that is known.
    pub direction: Option<EventDirection>,
    /// This end.
    pub local: Local,
    /// The other end, if there is one.
    pub remote: Option<Endpoint>,
    /// Whether a socket on `::` takes IPv6 only, where that is known.
    pub v6only: Option<bool>,
    /// The kernel's id of the socket; 0 if unknown.
    pub socket_cookie: u64,
    /// The kernel's id of the socket's namespace; 0 if unknown.
    pub netns_cookie: u64,
    /// The process at this end.
    pub owner: Option<Owner>,
    /// What `/proc` says about that process.
    pub process: Option<Arc<Process>>,
    /// Connect to established, microseconds.
    pub latency_us: Option<u32>,
    /// The kernel's counters at the close.
    pub counters: Option<Counters>,
    /// Positive errno of a failed connect.
    pub errno: Option<u32>,
    /// Datagrams or segments the row stands for.
    pub count: Option<u64>,
    /// For [`Kind::Forward`]: the kernel's id of the other socket; else 0.
    pub peer_cookie: u64,
}

/// Boxes of rows that were written, for those that come. They come and go by the thousand, of which
/// an allocator keeps a few at hand; the way through its lists took a sixth of all time.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "it is the boxes that are used again")]
pub struct Spare(Vec<Box<SocketRow>>);

/// Boxes kept, some 4 MB: as many as are on their way at a time on a busy host.
const MAX_SPARE: usize = 16_384;

impl Spare {
    /// The row in a box.
    pub fn boxed(&mut self, row: SocketRow) -> Box<SocketRow> {
        match self.0.pop() {
            Some(mut spare) => {
                *spare = row;
                spare
            }
            None => Box::new(row),
        }
    }

    /// Keeps the box of a row that is done with.
    pub fn keep(&mut self, row: Row) {
        if let Body::Socket(mut spare) = row.body
            && self.0.len() < MAX_SPARE
        {
            spare.process = None;
            self.0.push(spare);
        }
    }
}

impl SocketRow {
    /// Both ends, if both are known whole: an address that can stand in a packet, and a port.
    #[must_use]
    pub fn tuple(&self) -> Option<FiveTuple> {
        let (local, remote) = (self.local.endpoint()?, self.remote?);
        let whole = self.local.is_whole() && !remote.is_unspecified() && remote.port() != 0;
        whole.then(|| FiveTuple::new(self.proto, local, remote))
    }
}

/// Something that happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRow {
    /// What happened: [`Kind::Exec`] or [`Kind::Exit`].
    pub kind: Kind,
    /// The process, as the hook saw it.
    pub owner: Owner,
    /// What else is known of it.
    pub process: Option<Arc<Process>>,
}

/// This end of a socket, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// Neither address nor port.
    Unknown,
    /// Address and port. The address may be a wildcard; then it takes what arrives at the port.
    Known(Endpoint),
}

impl Local {
    /// The endpoint, if known.
    #[must_use]
    pub fn endpoint(self) -> Option<Endpoint> {
        match self {
            Self::Known(endpoint) => Some(endpoint),
            Self::Unknown => None,
        }
    }

    /// Whether this is an address and a port that can stand in a packet.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.endpoint().is_some_and(|end| !end.is_unspecified() && end.port() != 0)
    }
}

/// A process, as the hook saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// The thread's name, NUL-padded.
    pub comm: [u8; COMM_LEN],
}

impl Owner {
    /// The thread's name without its padding.
    #[must_use]
    pub fn thread_name(&self) -> &[u8] {
        self.comm.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

/// What the kernel counted in the life of a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Segments sent again.
    pub retransmits: u32,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments received.
    pub segs_in: u32,
    /// Smoothed round-trip time, microseconds.
    pub srtt_us: u32,
}
