//! What truly happens: sockets and their processes, what the recorder writes of them, and every
//! packet with the truth of both its ends. Times are nanoseconds since the recording began.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use schema::{Kind, Proto};

use crate::process::{Cast, Name, ProcessId};
use crate::random::Random;

pub(crate) const MICRO: i64 = 1_000;
pub(crate) const MILLI: i64 = 1_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;

/// How long the recording lasts.
pub(crate) const LENGTH_NS: i64 = 600 * SECOND;
/// The capture begins before it and ends after it.
pub(crate) const CAPTURE_NS: (i64, i64) = (-20 * SECOND, LENGTH_NS + 80 * SECOND);

/// Local ports of one client and one server at first, so that tuples are used again.
const PORTS: u16 = 96;
const FIRST_PORT: u16 = 40_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LifeId(pub(crate) usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowId(pub(crate) usize);

/// One socket.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) netns: u64,
    pub(crate) proto: Proto,
    pub(crate) direction: Option<&'static str>,
    pub(crate) local: SocketAddr,
    /// `None` for a listener, and a socket without a fixed peer.
    pub(crate) remote: Option<SocketAddr>,
    /// Whose it is, from when on.
    pub(crate) owners: Vec<(i64, ProcessId)>,
    /// Of an accepted socket: who listens.
    pub(crate) opener: Option<ProcessId>,
    pub(crate) syn_ns: Option<i64>,
}

impl Life {
    pub(crate) fn owner(&self, time_ns: i64) -> ProcessId {
        let begun = self.owners.partition_point(|&(from_ns, _)| from_ns <= time_ns);
        self.owners[begun.saturating_sub(1)].1
    }
}

/// What a row says beside whose socket it is of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Extra {
    Nothing,
    Bytes(u64, u64),
    /// The translated ends, and the connection's id in connection tracking.
    Onward {
        src: SocketAddr,
        dst: SocketAddr,
        id: u32,
    },
    Peer(LifeId),
}

/// What the recorder writes, unless it is lost.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) ts: i64,
    pub(crate) kind: Kind,
    pub(crate) proto: Proto,
    pub(crate) life: Option<LifeId>,
    pub(crate) who: Option<ProcessId>,
    pub(crate) direction: Option<&'static str>,
    pub(crate) netns: u64,
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) extra: Extra,
}

/// One end of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// A socket of the machine, and the row without which it can't be known.
    Socket(LifeId, Option<RowId>),
    /// A socket, but which one of several is written nowhere.
    Untold(LifeId),
    /// Nobody on the machine.
    Nobody,
}

/// The far end behind a proxy, and what tells of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    pub(crate) far: LifeId,
    pub(crate) evidence: Evidence,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Evidence {
    Row(RowId),
    /// The bytes of these two sockets: front, back.
    Bytes(LifeId, LifeId),
}

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) ns: i64,
    pub(crate) interface: usize,
    pub(crate) proto: Proto,
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) length: usize,
    pub(crate) ends: [End; 2],
    pub(crate) behind: [Option<Behind>; 2],
    pub(crate) scene: &'static str,
}

/// Who shares local ports: namespace, address, and the server they talk to.
pub(crate) type PortKey = (u64, IpAddr, SocketAddr, Proto);

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) cast: Cast,
    pub(crate) lives: Vec<Life>,
    pub(crate) rows: Vec<Row>,
    pub(crate) packets: Vec<Packet>,
    pub(crate) listeners: HashMap<(u64, SocketAddr, Proto), LifeId>,
    /// When each port is free again.
    ports: HashMap<PortKey, Vec<i64>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let cast = Cast::new(&mut random);
        Self {
            random,
            cast,
            lives: vec![],
            rows: vec![],
            packets: vec![],
            listeners: HashMap::new(),
            ports: HashMap::new(),
        }
    }

    pub(crate) fn name(&self, process: ProcessId, time_ns: i64) -> Name {
        self.cast.all[process.0].name(time_ns)
    }

    pub(crate) fn add_life(&mut self, life: Life) -> LifeId {
        self.lives.push(life);
        LifeId(self.lives.len() - 1)
    }

    /// A row of a socket, with the process it has then.
    pub(crate) fn row(&mut self, ts: i64, kind: Kind, id: LifeId) -> RowId {
        let life = &self.lives[id.0];
        self.rows.push(Row {
            ts,
            kind,
            proto: life.proto,
            life: Some(id),
            who: Some(life.owner(ts)),
            direction: life.direction,
            netns: life.netns,
            local: life.local,
            remote: life.remote,
            extra: Extra::Nothing,
        });
        RowId(self.rows.len() - 1)
    }

    /// The same, with other contents.
    pub(crate) fn row_with(
        &mut self,
        ts: i64,
        kind: Kind,
        id: LifeId,
        change: impl FnOnce(&mut Row),
    ) -> RowId {
        let row = self.row(ts, kind, id);
        change(&mut self.rows[row.0]);
        row
    }

    /// A local port that is free at `time_ns`; the one that was used last, half of the time.
    pub(crate) fn port(&mut self, key: PortKey, time_ns: i64) -> u16 {
        let ports = self.ports.entry(key).or_insert_with(|| vec![i64::MIN; PORTS.into()]);
        let free: Vec<usize> = (0..ports.len()).filter(|&port| ports[port] < time_ns).collect();
        let latest = free.iter().copied().max_by_key(|&port| ports[port]);
        let port = match latest {
            Some(latest) if self.random.percent(50) => latest,
            Some(_) => self.random.pick(&free),
            None => {
                ports.push(i64::MIN);
                ports.len() - 1
            }
        };
        ports[port] = i64::MAX;
        FIRST_PORT + port as u16
    }

    /// `port` may be used again after `time_ns`.
    pub(crate) fn release(&mut self, key: PortKey, port: u16, time_ns: i64) {
        if let Some(ports) = self.ports.get_mut(&key) {
            ports[usize::from(port - FIRST_PORT)] = time_ns;
        }
    }

    /// A socket that takes whoever comes, from before the recording on.
    pub(crate) fn listen(
        &mut self,
        netns: u64,
        local: SocketAddr,
        proto: Proto,
        owner: ProcessId,
    ) -> LifeId {
        let owners = vec![(i64::MIN, owner)];
        let (direction, remote, opener, syn_ns) = (None, None, None, None);
        let life =
            self.add_life(Life { netns, proto, direction, local, remote, owners, opener, syn_ns });
        let kind = if proto == Proto::TCP { Kind::TcpListen } else { Kind::UdpBind };
        let ts = self.random.pick(&[-100, -20]) * SECOND;
        self.row(ts, kind, life);
        self.listeners.insert((netns, local, proto), life);
        life
    }
}
