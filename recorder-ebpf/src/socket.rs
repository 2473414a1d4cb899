//! What is remembered per socket, in socket storage: it lives as long as the socket, and an
//! accepted socket starts with a copy of its listener's.
#![expect(unsafe_code, reason = "socket storage is reached through helpers and raw pointers")]

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE},
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_ktime_get_boot_ns,
        generated::{bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_sk_storage_get},
    },
};
use bytemuck::Zeroable as _;
use schema::wire::{
    COMM_LEN, DROP_OWNERS, FLAG_INHERITED, FLAG_OUTGOING, FLAG_OWNER, ProcessRecord, Record,
};

use crate::maps::count_drop;

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

    /// The process id.
    #[inline(always)]
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Writes the process into `record`.
    #[inline(always)]
    pub(crate) fn write_to_process(&self, record: &mut ProcessRecord) {
        record.cgroup_id = self.cgroup_id;
        record.pid = self.pid;
        record.tid = self.tid;
        record.uid = self.uid;
        record.gid = self.gid;
        record.comm = bytemuck::cast(self.comm);
    }

    /// Writes the owner into `record`.
    #[inline(always)]
    pub(crate) fn write_to(&self, record: &mut Record) {
        record.cgroup_id = self.cgroup_id;
        record.pid = self.pid;
        record.tid = self.tid;
        record.uid = self.uid;
        record.gid = self.gid;
        record.comm = bytemuck::cast(self.comm);
        record.flags |= FLAG_OWNER;
    }
}

/// The value of the socket storage.
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
}

impl Socket {
    /// A socket about which nothing is known.
    pub(crate) const NONE: Self =
        Self { netns_cookie: 0, connect_ns: 0, owner: Owner::NONE, fin_end: 0, flags: 0 };

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

/// Flags of the storage map: both are what the kernel asks for, respectively what makes an
/// accepted socket inherit.
const STORAGE_FLAGS: usize = (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize;
/// `BPF_MAP_TYPE_SK_STORAGE`.
const SK_STORAGE: usize = 24;

/// Map definition in the form loaders read from BTF: the numbers are lengths of arrays that a
/// pointer could point to.
#[repr(C)]
struct StorageMap {
    r#type: *const [i32; SK_STORAGE],
    key: *const i32,
    value: *const Socket,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; STORAGE_FLAGS],
}

// SAFETY: the pointers are null and never followed; only the address of the static is used.
unsafe impl Sync for StorageMap {}

#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "SOCKETS")]
static SOCKETS: StorageMap = StorageMap {
    r#type: ptr::null(),
    key: ptr::null(),
    value: ptr::null(),
    max_entries: ptr::null(),
    map_flags: ptr::null(),
};

/// What is remembered about `sk`, which is the context itself in `cgroup/sock` programs and the
/// context's `sk` in the others.
///
/// # Safety
///
/// `sk` must be such a pointer, and not null.
#[inline(always)]
pub(crate) unsafe fn get<'a>(sk: *mut c_void) -> Option<&'a mut Socket> {
    // SAFETY: the caller vouches for `sk`; the helper returns null or a value that lives as long
    // as the socket, which outlives the program run.
    unsafe { bpf_sk_storage_get(map(), sk, ptr::null_mut(), 0).cast::<Socket>().as_mut() }
}

/// Like [`get`], and starts with `initial` if nothing is remembered yet. `None` only if there is
/// no memory, which is counted.
///
/// # Safety
///
/// As for [`get`].
#[inline(always)]
pub(crate) unsafe fn get_or_insert<'a>(
    sk: *mut c_void,
    initial: &mut Socket,
) -> Option<&'a mut Socket> {
    let flags = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
    // SAFETY: as in `get`; the helper copies `initial`.
    let found = unsafe {
        bpf_sk_storage_get(map(), sk, ptr::from_mut(initial).cast(), flags)
            .cast::<Socket>()
            .as_mut()
    };
    if found.is_none() {
        count_drop(DROP_OWNERS);
    }
    found
}

#[inline(always)]
fn map() -> *mut c_void {
    ptr::from_ref(&SOCKETS).cast_mut().cast()
}
