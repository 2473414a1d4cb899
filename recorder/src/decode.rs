//! A ring record to what it means. Some kinds of record are no rows of their own: they say more
//! about rows that others make.

mod process;

use schema::{
    Endpoint, EventDirection, FiveTuple, Kind, Proto,
    wire::{
        FAMILY_V4, FLAG_COUNTERS, FLAG_OUTGOING, FLAG_OWNER, FLAG_READ_BEFORE, PROTO_TCP,
        PROTO_UDP, Record, RecordKind,
    },
};

pub use self::process::{ProcessEvent, Started, decode_process};
use crate::row::{Body, Counters, Local, Owner, Row, SocketRow, Spare};

/// What a record means.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// Something happened to a socket.
    Row(Row),
    /// A process closed the last descriptor of a TCP socket.
    Release {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        boot_ns: u64,
        /// The kernel's id of the socket.
        socket_cookie: u64,
        /// The closer.
        closer: Owner,
    },
    /// A process closed the last descriptor of a socket that is older than the hooks.
    OlderRelease {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        boot_ns: u64,
        /// The kernel's id of the socket.
        socket_cookie: u64,
        /// The closer.
        closer: Owner,
    },
    /// A process read from a TCP socket, and is not the one known so far.
    Read {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        boot_ns: u64,
        /// The kernel's id of the socket.
        socket_cookie: u64,
        /// The reader.
        reader: Owner,
        /// Whether another process had read from it before.
        read_before: bool,
    },
    /// A process moved data from one of its TCP sockets to another one.
    Forward {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        boot_ns: u64,
        /// The kernel's ids of the socket it came from, and of that it went to.
        sockets: [u64; 2],
        /// The process.
        forwarder: Owner,
    },
    /// The kernel reported an error on the socket with this tuple.
    Error {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        boot_ns: u64,
        /// Seen from the socket: its own end is the source.
        tuple: FiveTuple,
        /// Positive.
        errno: u32,
    },
}

/// Reads one record; `None` if it is none of this build's.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Decoded> {
    decode_record(&Record::from_bytes(bytes)?, &mut Spare::default())
}

/// The meaning of a record, a row of it in one of the boxes that are spare; `None` if this build
/// doesn't know it.
#[must_use]
pub fn decode_record(record: &Record, spare: &mut Spare) -> Option<Decoded> {
    let proto = match record.proto {
        PROTO_TCP => Proto::TCP,
        PROTO_UDP => Proto::UDP,
        _ => return None,
    };
    let boot_ns = record.boot_ns;
    let outgoing = record.has(FLAG_OUTGOING);
    let kind = match record.kind()? {
        RecordKind::TcpConnect => Kind::TcpConnect,
        RecordKind::TcpEstablished => Kind::TcpEstablished,
        RecordKind::TcpConnectFail => Kind::TcpConnectFail,
        RecordKind::TcpAccept => Kind::TcpAccept,
        RecordKind::TcpListen => Kind::TcpListen,
        RecordKind::TcpClose => Kind::TcpClose,
        RecordKind::TcpRetransmit => Kind::TcpRetransmit,
        RecordKind::UdpConnect => Kind::UdpConnect,
        RecordKind::UdpBind => Kind::UdpBind,
        RecordKind::UdpSend => Kind::UdpSend,
        RecordKind::UdpRecv => Kind::UdpRecv,
        RecordKind::UdpClose => Kind::UdpClose,
        RecordKind::TcpRelease => {
            let socket_cookie = record.socket_cookie;
            return Some(Decoded::Release { boot_ns, socket_cookie, closer: owner(record)? });
        }
        RecordKind::OlderRelease => {
            let socket_cookie = record.socket_cookie;
            return Some(Decoded::OlderRelease { boot_ns, socket_cookie, closer: owner(record)? });
        }
        RecordKind::TcpRead => {
            return Some(Decoded::Read {
                boot_ns,
                socket_cookie: record.socket_cookie,
                reader: owner(record)?,
                read_before: record.has(FLAG_READ_BEFORE),
            });
        }
        RecordKind::Forward => {
            return Some(Decoded::Forward {
                boot_ns,
                sockets: [record.socket_cookie, record.peer_cookie],
                forwarder: owner(record)?,
            });
        }
        RecordKind::SocketError => {
            let local = endpoint(record.family, record.local_addr, record.local_port);
            let remote = endpoint(record.family, record.remote_addr, record.remote_port);
            let tuple = FiveTuple::new(proto, local, remote);
            return Some(Decoded::Error { boot_ns, tuple, errno: record.errno });
        }
    };
    let remote = (record.remote_port != 0 || record.remote_addr != [0; 16])
        .then(|| endpoint(record.family, record.remote_addr, record.remote_port));
    let direction = match kind {
        Kind::TcpConnect | Kind::TcpEstablished | Kind::TcpConnectFail => Some(EventDirection::Out),
        Kind::TcpAccept => Some(EventDirection::In),
        // Without an owner the socket is older than the hooks, and nobody saw who opened it.
        Kind::TcpClose | Kind::TcpRetransmit if outgoing => Some(EventDirection::Out),
        Kind::TcpClose | Kind::TcpRetransmit if remote.is_some() && record.has(FLAG_OWNER) => {
            Some(EventDirection::In)
        }
        Kind::UdpConnect | Kind::UdpSend => Some(EventDirection::Out),
        Kind::UdpRecv => Some(EventDirection::In),
        _ => None,
    };
    let counted = matches!(kind, Kind::TcpRetransmit | Kind::UdpSend | Kind::UdpRecv);
    let row = SocketRow {
        kind,
        proto,
        direction,
        local: local(record),
        remote,
        v6only: None,
        socket_cookie: record.socket_cookie,
        netns_cookie: record.netns_cookie,
        owner: owner(record),
        process: None,
        latency_us: (kind == Kind::TcpEstablished && record.latency_us != 0)
            .then_some(record.latency_us),
        counters: counters(record),
        errno: (record.errno != 0).then_some(record.errno),
        count: counted.then_some(record.count),
        peer_cookie: 0,
    };
    Some(Decoded::Row(Row { boot_ns, body: Body::Socket(spare.boxed(row)) }))
}

fn local(record: &Record) -> Local {
    // A wildcard without a port is what a socket has that was never bound, and one that is closed.
    if record.local_port == 0 && record.local_addr == [0; 16] {
        return Local::Unknown;
    }
    Local::Known(endpoint(record.family, record.local_addr, record.local_port))
}

fn endpoint(family: u8, addr: [u8; 16], port: u16) -> Endpoint {
    if addr == [0; 16] && family == FAMILY_V4 {
        Endpoint::v4([0; 4], port)
    } else {
        Endpoint::v6(addr, port)
    }
}

fn owner(record: &Record) -> Option<Owner> {
    record.has(FLAG_OWNER).then_some(Owner {
        pid: record.pid,
        tid: record.tid,
        uid: record.uid,
        gid: record.gid,
        cgroup_id: record.cgroup_id,
        comm: record.comm,
    })
}

fn counters(record: &Record) -> Option<Counters> {
    record.has(FLAG_COUNTERS).then_some(Counters {
        bytes_sent: record.bytes_sent,
        bytes_received: record.bytes_received,
        retransmits: record.retransmits,
        segs_out: record.segs_out,
        segs_in: record.segs_in,
        srtt_us: record.srtt_us,
    })
}

#[cfg(test)]
mod tests;
