//! What is remembered per socket: in a table by cookie, which costs a fraction of socket storage,
//! and in storage where the table will not do.
#![expect(unsafe_code, reason = "maps and storage are reached through helpers and raw pointers")]

mod storage;
mod table;

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_ktime_get_boot_ns,
    generated::{bpf_get_current_cgroup_id, bpf_get_current_comm},
};
use bytemuck::Zeroable as _;
use schema::wire::{COMM_LEN, FLAG_INHERITED, FLAG_OUTGOING, FLAG_OWNER, ProcessRecord, Record};

pub(crate) use self::{
    storage::{get as stored, get_or_insert as store},
    table::{find, forget, insert},
};
use crate::{address::Endpoint, maps::increment, reader::Reader};

/// [`Socket::owner`] is known.
pub(crate) const HAS_OWNER: u32 = 1;
/// The owner was copied from a listener.
pub(crate) const INHERITED: u32 = 1 << 1;
/// The socket was opened by a connect of its own.
pub(crate) const OUTGOING: u32 = 1 << 2;
/// TCP: the handshake was completed.
pub(crate) const ESTABLISHED: u32 = 1 << 3;
/// UDP: a record about this socket was sent, so its end matters.
pub(crate) const SEEN: u32 = 1 << 4;
/// TCP: a segment with FIN came in; it ends before [`Socket::fin_end`].
pub(crate) const PEER_FIN: u32 = 1 << 5;
/// TCP: the socket was read from before it was closed.
pub(crate) const WAS_READ: u32 = 1 << 6;

/// The table has it since `sock_create`, and until both the descriptor and the connection, if there
/// was one, are gone.
pub(crate) const CREATED: u32 = 1 << 7;
/// TCP: a connect began of which no SYN was sent yet, to [`Socket::tried`].
pub(crate) const TRYING: u32 = 1 << 9;
/// Nothing is known but who reads: the socket is older than the hooks, or the rest is in storage.
const READ_ONLY: u32 = 1 << 8;

/// A process, as the running task shows it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    cgroup_id: u64,
    pid: u32,
    tid: u32,
    uid: u32,
    gid: u32,
    /// Words, because an array of bytes would be copied byte by byte.
    comm: [u32; COMM_LEN / 4],
}

/// Fills the fields that both kinds of records have.
macro_rules! write_owner {
    ($owner:ident, $record:ident) => {
        $record.cgroup_id = $owner.cgroup_id;
        $record.pid = $owner.pid;
        $record.tid = $owner.tid;
        $record.uid = $owner.uid;
        $record.gid = $owner.gid;
        $record.comm = bytemuck::cast($owner.comm);
    };
}

impl Owner {
    const NONE: Self = Self { cgroup_id: 0, pid: 0, tid: 0, uid: 0, gid: 0, comm: [0; 4] };

    /// The running task. Only for hooks that run in the process that made the system call.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        let pid_tgid = bpf_get_current_pid_tgid();
        let uid_gid = bpf_get_current_uid_gid();
        let mut comm = [0; COMM_LEN / 4];
        // SAFETY: the length is that of the array. On failure the helper clears it.
        let _ = unsafe { bpf_get_current_comm(comm.as_mut_ptr().cast(), COMM_LEN as u32) };
        Self {
            // SAFETY: the helper takes nothing and returns a number.
            cgroup_id: unsafe { bpf_get_current_cgroup_id() },
            pid: (pid_tgid >> 32) as u32,
            tid: pid_tgid as u32,
            uid: uid_gid as u32,
            gid: (uid_gid >> 32) as u32,
            comm,
        }
    }

    /// The running process, of the same hooks.
    #[inline(always)]
    pub(crate) fn current_pid() -> u32 {
        (bpf_get_current_pid_tgid() >> 32) as u32
    }

    /// The process id.
    #[inline(always)]
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Writes the process into `record`.
    #[inline(always)]
    pub(crate) fn write_to_process(&self, record: &mut ProcessRecord) {
        write_owner!(self, record);
    }

    /// Writes the owner into `record`.
    #[inline(always)]
    pub(crate) fn write_to(&self, record: &mut Record) {
        write_owner!(self, record);
        record.flags |= FLAG_OWNER;
    }
}

/// What is remembered of a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    /// 0 if no hook that can ask for it has run yet.
    pub(crate) netns_cookie: u64,
    /// When the SYN was about to leave, `CLOCK_BOOTTIME` nanoseconds.
    pub(crate) connect_ns: u64,
    /// Valid if `flags` has `HAS_OWNER`.
    pub(crate) owner: Owner,
    /// Sequence number after the peer's FIN; valid if `flags` has `PEER_FIN`.
    pub(crate) fin_end: u32,
    /// `HAS_OWNER` and the other flags of this module.
    pub(crate) flags: u32,
    /// Whom a connect was to reach; valid if `flags` has `TRYING`.
    pub(crate) tried: Endpoint,
    /// Who reads from it.
    pub(crate) reader: Reader,
    /// Zero: older kernels let no byte out of a program that it has not written.
    reserved: u32,
    /// How many of the two are gone, descriptor and connection.
    ends: u64,
}

impl Socket {
    /// A socket about which nothing is known.
    pub(crate) const NONE: Self = Self {
        netns_cookie: 0,
        connect_ns: 0,
        owner: Owner::NONE,
        fin_end: 0,
        flags: 0,
        tried: Endpoint::NONE,
        reader: Reader::NONE,
        reserved: 0,
        ends: 0,
    };

    /// A socket of which nothing is known but who reads.
    pub(crate) const fn read_by(reader: Reader) -> Self {
        Self { flags: READ_ONLY, reader, ..Self::NONE }
    }

    /// A connection begins, or a new one of a socket that had one before.
    #[inline(always)]
    pub(crate) fn begin(&mut self) {
        self.ends = 0;
        self.fin_end = 0;
        self.reader =
            if self.flags & HAS_OWNER == 0 { Reader::NONE } else { Reader::expect(self.owner.pid) };
    }

    /// The last descriptor or the connection of a created socket is gone. The other may end at the
    /// same time on another CPU: whoever is second forgets the socket.
    #[inline(always)]
    pub(crate) fn end_one(&mut self, cookie: u64) {
        let ends = &raw mut self.ends;
        // SAFETY: a map value, for only the table has created sockets. It may be another socket's
        // by the time it is read: then this one is forgotten already, and the cookie is no other's.
        let both = unsafe {
            increment(ends);
            ends.read_volatile() >= 2
        };
        if both {
            forget(cookie);
        }
    }

    /// A new record about this socket: time, cookies, owner, direction.
    #[inline(always)]
    pub(crate) fn record(&self, kind: u8, proto: u8, cookie: u64) -> Record {
        let mut record = new_record(kind, proto, cookie);
        record.netns_cookie = self.netns_cookie;
        if self.flags & HAS_OWNER != 0 {
            self.owner.write_to(&mut record);
        }
        if self.flags & INHERITED != 0 {
            record.flags |= FLAG_INHERITED;
        }
        if self.flags & OUTGOING != 0 {
            record.flags |= FLAG_OUTGOING;
        }
        record
    }
}

/// A record with nothing but kind, protocol, cookie and the present time.
#[inline(always)]
pub(crate) fn new_record(kind: u8, proto: u8, cookie: u64) -> Record {
    let mut record = Record::zeroed();
    record.boot_ns = boot_ns();
    record.socket_cookie = cookie;
    record.kind = kind;
    record.proto = proto;
    record
}

/// `CLOCK_BOOTTIME`, nanoseconds.
#[inline(always)]
pub(crate) fn boot_ns() -> u64 {
    // SAFETY: the helper takes nothing and returns a number.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// What is remembered about the socket with this cookie. `sk` is the context itself in
/// `cgroup/sock` programs and the context's `sk` in the others.
///
/// # Safety
///
/// `sk` must be such a pointer, and not null.
#[inline(always)]
pub(crate) unsafe fn get<'a>(cookie: u64, sk: *mut c_void) -> Option<&'a mut Socket> {
    match find(cookie) {
        Some(socket) if socket.flags & READ_ONLY == 0 => Some(socket),
        // SAFETY: the caller vouches for `sk`.
        _ => unsafe { stored(sk) },
    }
}
