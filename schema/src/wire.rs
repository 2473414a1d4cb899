//! What the kernel programs and the recorder hand each other: ring-buffer records, those about
//! sockets here and those about processes in a module of their own, and the layouts of shared maps. Both sides are built from this one file, on one machine, so the byte order
//! is the machine's own; sizes and offsets are asserted so that no compiler can disagree silently.
//!
//! ```text
//! Record, 160 bytes
//!   0 boot_ns            8 socket_cookie     16 netns_cookie      24 cgroup_id
//!  32 bytes_sent        40 bytes_received    48 count
//!  56 local_addr[16]    72 remote_addr[16]   88 local_port        90 remote_port
//!  92 pid   96 tid     100 uid  104 gid     108 latency_us       112 retransmits
//! 116 segs_out         120 segs_in          124 srtt_us          128 errno
//! 132 comm[16]         148 kind  149 proto  150 family  151 flags  152 peer_cookie
//! ```

mod forward;
mod process;

use bytemuck::{Pod, Zeroable};

pub use self::{
    forward::{
        Contents, DESCRIPTOR_PIPE, DESCRIPTOR_SOCKET, DESCRIPTOR_UNKNOWN, Descriptor, SEVERAL,
        descriptor_key,
    },
    process::{
        ARGUMENTS_CUT, FOREIGN_PARENT, PATH_CUT, PROCESS_TAG, ProcessKind, ProcessRecord, TEXT_MAX,
        TEXT_READ,
    },
};

/// Length of a task's name in the kernel, the closing NUL included (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;

/// `IPPROTO_TCP`.
pub const PROTO_TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const PROTO_UDP: u8 = 17;

/// [`Record::family`] of an IPv4 endpoint (addresses are then IPv4-mapped).
pub const FAMILY_V4: u8 = 4;
/// [`Record::family`] of an IPv6 endpoint.
pub const FAMILY_V6: u8 = 6;

/// `pid`, `tid`, `uid`, `gid`, `cgroup_id` and `comm` are those of the socket's owner. Without
/// this flag they are zero: the socket is older than the hooks.
pub const FLAG_OWNER: u8 = 1;
/// The owner was inherited from a listener when the connection was accepted.
pub const FLAG_INHERITED: u8 = 2;
/// `bytes_*`, `segs_*`, `srtt_us` and `retransmits` hold the kernel's counters.
pub const FLAG_COUNTERS: u8 = 4;
/// The socket was opened by a connect of its own: the direction is outgoing.
pub const FLAG_OUTGOING: u8 = 8;
/// Of [`RecordKind::TcpRead`]: another process has read from the socket before.
pub const FLAG_READ_BEFORE: u8 = 16;

/// Index into the per-CPU drop counters: records the ring buffer had no room for.
pub const DROP_RING: u32 = 0;
/// Index into the per-CPU drop counters: datagrams to or from a peer that the peer table had no
/// room for.
pub const DROP_PEERS: u32 = 1;
/// Index into the per-CPU drop counters: sockets whose owner could not be stored.
pub const DROP_OWNERS: u32 = 2;
/// Number of per-CPU drop counters.
pub const DROP_COUNTERS: u32 = 3;

/// What the recorder says in the map `AWAKE`: no record is to wake it. 0 says that the record that
/// finds the ring read to its end is.
pub const WAKE_NEVER: u32 = 1;
/// The same: only a record is to wake it that something has to be looked up for which may soon be
/// gone, a process or a UDP socket's port.
pub const WAKE_FOR_URGENT: u32 = 2;

/// What a [`Record`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// The SYN is about to leave; the five-tuple is complete.
    TcpConnect = 1,
    /// An outgoing connection is established; `latency_us` counts from `TcpConnect`.
    TcpEstablished = 2,
    /// An outgoing connection ended before it was established.
    TcpConnectFail = 3,
    /// An incoming connection is established.
    TcpAccept = 4,
    /// A socket listens.
    TcpListen = 5,
    /// A TCP socket reached state CLOSE.
    TcpClose = 6,
    /// Segments were retransmitted: `count` of them.
    TcpRetransmit = 7,
    /// A UDP socket was given a peer. The local port is not known yet unless it was bound.
    UdpConnect = 8,
    /// A UDP socket was bound explicitly.
    UdpBind = 9,
    /// First datagram of an unconnected socket to this peer; later ones are counted in the peer table.
    UdpSend = 10,
    /// First datagram an unconnected socket read from this peer.
    UdpRecv = 11,
    /// A UDP socket was released.
    UdpClose = 12,
    /// A process closed the last descriptor of a TCP socket that nobody had read from, and is not
    /// the one known as its owner. `pid` and the rest are the closer's; no addresses.
    TcpRelease = 128,
    /// The kernel reported `errno` on the TCP socket with these addresses; no cookie, no owner.
    SocketError = 129,
    /// A process reads from a TCP socket, and is not the one that did before, or, if none did, not
    /// the one known as its owner. `pid` and the rest are the reader's; no addresses.
    TcpRead = 130,
    /// A process closed the last descriptor of a socket that is older than the hooks. `pid` and the
    /// rest are the closer's; no addresses.
    OlderRelease = 131,
    /// A forwarder moved data from this TCP socket to the one with `peer_cookie`, or the other way.
    /// `pid` and the rest are the forwarder's; no addresses.
    Forward = 132,
}

impl RecordKind {
    /// The kind whose number is `byte`, if there is one.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::TcpConnect,
            2 => Self::TcpEstablished,
            3 => Self::TcpConnectFail,
            4 => Self::TcpAccept,
            5 => Self::TcpListen,
            6 => Self::TcpClose,
            7 => Self::TcpRetransmit,
            8 => Self::UdpConnect,
            9 => Self::UdpBind,
            10 => Self::UdpSend,
            11 => Self::UdpRecv,
            12 => Self::UdpClose,
            128 => Self::TcpRelease,
            129 => Self::SocketError,
            130 => Self::TcpRead,
            131 => Self::OlderRelease,
            132 => Self::Forward,
            _ => return None,
        })
    }
}

/// One thing that happened to one socket, as the kernel program saw it.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Record {
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    /// The kernel's id of the socket, never reused while it runs; 0 if unknown.
    pub socket_cookie: u64,
    /// The kernel's id of the socket's network namespace; 0 if unknown.
    pub netns_cookie: u64,
    /// cgroup v2 id of the owner.
    pub cgroup_id: u64,
    /// Payload bytes sent, SYN and FIN taken off.
    pub bytes_sent: u64,
    /// Payload bytes received, SYN and FIN taken off.
    pub bytes_received: u64,
    /// How many things this record stands for (datagrams, segments).
    pub count: u64,
    /// Network byte order; IPv4 as IPv4-mapped.
    pub local_addr: [u8; 16],
    /// Network byte order; IPv4 as IPv4-mapped; all zero if there is none.
    pub remote_addr: [u8; 16],
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order; 0 if there is none.
    pub remote_port: u16,
    /// Process (thread group) id of the owner, in the initial pid namespace.
    pub pid: u32,
    /// Thread id of the owner.
    pub tid: u32,
    /// Real user id of the owner, in the initial user namespace.
    pub uid: u32,
    /// Real group id of the owner.
    pub gid: u32,
    /// Connect to established, microseconds.
    pub latency_us: u32,
    /// Segments retransmitted in the socket's life.
    pub retransmits: u32,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments received.
    pub segs_in: u32,
    /// Smoothed round-trip time, microseconds.
    pub srtt_us: u32,
    /// Positive errno; 0 if none is known.
    pub errno: u32,
    /// The owner thread's name, NUL-padded.
    pub comm: [u8; COMM_LEN],
    /// A [`RecordKind`].
    pub kind: u8,
    /// [`PROTO_TCP`] or [`PROTO_UDP`].
    pub proto: u8,
    /// [`FAMILY_V4`] or [`FAMILY_V6`]: how an all-zero (wildcard) address is meant.
    pub family: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// Of [`RecordKind::Forward`]: the other socket; else 0.
    pub peer_cookie: u64,
}

/// Key of the peer table: one peer of one unconnected UDP socket, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct PeerKey {
    /// [`Record::socket_cookie`].
    pub socket_cookie: u64,
    /// Network byte order; IPv4 as IPv4-mapped.
    pub remote_addr: [u8; 16],
    /// Host byte order.
    pub remote_port: u16,
    /// [`RecordKind::UdpSend`] or [`RecordKind::UdpRecv`].
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

/// Value of the peer table: the record of the first datagram, with `count` going on to count all
/// of them and `boot_ns` at the latest.
pub type Peer = Record;

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Record>() == 160 && align_of::<Record>() == 8);
    assert!(offset_of!(Record, boot_ns) == 0);
    assert!(offset_of!(Record, count) == 48);
    assert!(offset_of!(Record, local_addr) == 56);
    assert!(offset_of!(Record, remote_addr) == 72);
    assert!(offset_of!(Record, local_port) == 88);
    assert!(offset_of!(Record, pid) == 92);
    assert!(offset_of!(Record, latency_us) == 108);
    assert!(offset_of!(Record, errno) == 128);
    assert!(offset_of!(Record, comm) == 132);
    assert!(offset_of!(Record, kind) == 148);
    assert!(offset_of!(Record, flags) == 151);
    assert!(offset_of!(Record, peer_cookie) == 152);
    assert!(size_of::<PeerKey>() == 32 && align_of::<PeerKey>() == 8);
    assert!(offset_of!(PeerKey, remote_port) == 24);
    assert!(offset_of!(PeerKey, kind) == 26);
};

impl Record {
    /// Reads a record off the ring; `None` if the length is not that of a record.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytemuck::try_pod_read_unaligned(bytes).ok()
    }

    /// The kind, if this build knows it.
    #[must_use]
    pub fn kind(&self) -> Option<RecordKind> {
        RecordKind::from_u8(self.kind)
    }

    /// Whether `flag` (one of `FLAG_*`) is set.
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_numbers_read_back() {
        for byte in 0..=u8::MAX {
            if let Some(kind) = RecordKind::from_u8(byte) {
                assert_eq!(kind as u8, byte);
            }
        }
    }

    #[test]
    fn a_record_of_another_length_is_refused() {
        let mut record = Record::zeroed();
        record.kind = RecordKind::UdpBind as u8;
        record.count = 7;
        let bytes = bytemuck::bytes_of(&record);
        let read = Record::from_bytes(bytes).expect("whole record");
        assert_eq!((read.kind(), read.count), (Some(RecordKind::UdpBind), 7));
        assert!(Record::from_bytes(&bytes[..159]).is_none());
        assert!(Record::from_bytes(&[bytes, &[0]].concat()).is_none());
    }
}
