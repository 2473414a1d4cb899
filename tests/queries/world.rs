//! The incident that docs/queries.md asks about: three machines, ten minutes. What happened is
//! written down here first, as facts; the rows of the event files and the expected answers are
//! both made of them, each by its own way.

mod cast;
mod traffic;
mod wire;

pub(crate) use self::cast::{CONTAINERS, Container, HOST_NETNS, Process};
pub(crate) use self::wire::{Packet, RST, Side};

/// 2026-11-23 03:00:00 UTC, when the recordings begin; nanoseconds since 1970.
pub(crate) const START_NS: i64 = 1_795_402_800_000_000_000;
/// They take ten minutes.
pub(crate) const END_NS: i64 = START_NS + 600 * SECOND_NS;
/// Nanoseconds.
pub(crate) const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds.
pub(crate) const MS_NS: i64 = 1_000_000;

/// `minute:second` after three, nanoseconds since 1970.
pub(crate) const fn at(minute: i64, second: i64) -> i64 {
    START_NS + (minute * 60 + second) * SECOND_NS
}

/// Index into [`World::processes`].
pub(crate) type Who = usize;

/// Address and port.
pub(crate) type End = (String, u16);

/// An endpoint.
pub(crate) fn end(address: &str, port: u16) -> End {
    (address.to_owned(), port)
}

/// How a socket came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It connected.
    Opened,
    /// A listener took it.
    Accepted,
    /// TCP: it listens. UDP: it has no fixed peer.
    Bound,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It outlived the recording.
    Open,
    /// Closed at this time, after so many payload bytes.
    Closed { at: i64, sent: u64, received: u64 },
    /// The connect failed.
    Failed { at: i64, errno: &'static str },
}

/// Datagrams to or from one peer, told of in one row.
#[derive(Clone, Debug)]
pub(crate) struct Datagrams {
    pub(crate) at: i64,
    pub(crate) peer: End,
    pub(crate) sent: bool,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// One socket.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    pub(crate) cookie: u64,
    /// Who used it from the beginning.
    pub(crate) owner: Who,
    /// Whose listener took it, if that was another process.
    pub(crate) listener: Option<Who>,
    /// To whom it was handed, and when.
    pub(crate) handed: Option<(i64, Who)>,
    pub(crate) proto: &'static str,
    pub(crate) role: Role,
    pub(crate) local: End,
    pub(crate) remote: Option<End>,
    /// It was there before the recording.
    pub(crate) existed: bool,
    pub(crate) opened: i64,
    pub(crate) latency_us: Option<u32>,
    /// When segments were sent again.
    pub(crate) retransmits: Vec<i64>,
    pub(crate) datagrams: Vec<Datagrams>,
    pub(crate) fate: Fate,
}

impl Socket {
    /// Whether it was open at some time from `from` to `to`.
    pub(crate) fn overlaps(&self, from: i64, to: i64) -> bool {
        self.opened <= to && self.closed().is_none_or(|closed| closed >= from)
    }

    pub(crate) fn closed(&self) -> Option<i64> {
        match self.fate {
            Fate::Open => None,
            Fate::Closed { at, .. } | Fate::Failed { at, .. } => Some(at),
        }
    }
}

/// A translated connection.
#[derive(Clone, Debug)]
pub(crate) struct Nat {
    pub(crate) host: &'static str,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) original: [End; 2],
    pub(crate) onward: [End; 2],
}

/// One process moves data between two of its sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forward {
    pub(crate) at: i64,
    pub(crate) who: Who,
    pub(crate) front: u64,
    pub(crate) back: u64,
}

/// An interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface {
    pub(crate) host: &'static str,
    pub(crate) at: i64,
    pub(crate) name: &'static str,
    pub(crate) index: u32,
    pub(crate) address: Option<&'static str>,
    /// It is inside the container that it serves.
    pub(crate) inside: bool,
    /// By name.
    pub(crate) serves: Option<&'static str>,
    pub(crate) removed: bool,
}

/// Something was lost, and counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) host: &'static str,
    pub(crate) at: i64,
    pub(crate) stage: &'static str,
    pub(crate) count: u64,
}

/// Rows that are missing from the file though nobody counted them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) host: &'static str,
    pub(crate) at: i64,
    pub(crate) rows: u64,
}

/// The wall clock was set by so much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) host: &'static str,
    pub(crate) at: i64,
    pub(crate) by_ns: i64,
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) processes: Vec<Process>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) nats: Vec<Nat>,
    pub(crate) forwards: Vec<Forward>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) losses: Vec<Loss>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) steps: Vec<Step>,
    pub(crate) packets: Vec<Packet>,
}

/// The machines, with their addresses. Numbers of sockets and processes are the same on several.
pub(crate) const HOSTS: [(&str, &str); 3] =
    [("web-1", "10.0.0.5"), ("node-2", "10.0.0.12"), ("db-1", "10.0.0.7")];

impl World {
    /// The incident.
    pub(crate) fn new() -> Self {
        let mut world = Self::default();
        let cast = cast::Cast::new(&mut world);
        traffic::play(&mut world, &cast);
        world.share_cookies();
        world.packets = wire::seen(&world);
        world
    }

    /// Gives a connect that failed on `node-2` the cookie of the busiest socket of `web-1`: who forgets
    /// the host takes one for the other.
    fn share_cookies(&mut self) {
        let cookie = |found: fn(&Socket) -> bool| {
            self.sockets.iter().find(|socket| found(socket)).map(|socket| socket.cookie)
        };
        let busy = cookie(|s| matches!(s.fate, Fate::Closed { sent: 1_000_000_000.., .. }));
        let failed = cookie(|s| matches!(s.fate, Fate::Failed { errno: "ETIMEDOUT", .. }));
        let (busy, failed) = (busy.expect("a copy"), failed.expect("a failure"));
        for at in 0..self.sockets.len() {
            if self.host(&self.sockets[at]) == "node-2" {
                self.sockets[at].cookie = self.sockets[at].cookie + 10_000 - failed;
            } else {
                self.sockets[at].cookie += 10_000 - busy;
            }
        }
        for forward in &mut self.forwards {
            forward.front += 10_000 - busy;
            forward.back += 10_000 - busy;
        }
    }

    /// The machine a socket is on.
    pub(crate) fn host(&self, socket: &Socket) -> &'static str {
        self.processes[socket.owner].host
    }

    /// The process that used a socket from the beginning.
    pub(crate) fn owner(&self, socket: &Socket) -> &Process {
        &self.processes[socket.owner]
    }

    fn add(&mut self, socket: Socket) -> u64 {
        let host = self.host(&socket);
        let before = self.sockets.iter().filter(|other| self.host(other) == host).count();
        let cookie = 1000 + u64::try_from(before).expect("few");
        self.sockets.push(Socket { cookie, ..socket });
        cookie
    }
}
