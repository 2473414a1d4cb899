//! What the descriptors of forwarders are of. A number is given out again as soon as its descriptor
//! is closed, so what was learned of it holds only as long as the socket is open and the number has
//! not been given to another one. A process is taken to have one table of descriptors: threads with
//! tables of their own (`unshare(CLONE_FILES)`) would be mixed up, and forwarders have none.

use aya_ebpf::{
    btf_maps::LruHashMap,
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_map, tracepoint},
    programs::TracePointContext,
};
use schema::wire::{
    DESCRIPTOR_PIPE, DESCRIPTOR_SOCKET, DESCRIPTOR_UNKNOWN, Descriptor, SEVERAL, descriptor_key,
};

use super::{closed_by, is_forwarder, returned, tell};
use crate::socket::boot_ns;

/// Descriptors remembered, 3 MiB: a forwarded connection has six, two sockets and two pipes. With
/// more of them the longest unused are forgotten, and what is moved to them is not told.
const DESCRIPTORS_MAX: usize = 32_768;
/// Open sockets of which the descriptor is known, 1.3 MiB.
const SOCKETS_MAX: usize = 16_384;

/// By process and number.
#[btf_map]
static DESCRIPTORS: LruHashMap<u64, Descriptor, DESCRIPTORS_MAX> = LruHashMap::new();

/// Socket cookie → key of its descriptor, until the socket is closed.
#[btf_map]
static HELD: LruHashMap<u64, u64, SOCKETS_MAX> = LruHashMap::new();

/// socket(2), accept(2) or accept4(2) returns: what is known of the number is no longer true.
#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
fn new_descriptor(ctx: TracePointContext) -> u32 {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let number = returned(&ctx);
    if !is_forwarder(pid) || number < 0 {
        return 0;
    }
    let new =
        Descriptor { since_ns: boot_ns(), id: 0, source: 0, kind: DESCRIPTOR_UNKNOWN, closed: 0 };
    let _ = DESCRIPTORS.insert(&descriptor_key(pid, number as u32), &new, 0);
    0
}

/// The descriptor `key` is of this pipe from now on.
#[inline(always)]
pub(super) fn set_pipe(key: u64, id: u64) {
    let new = Descriptor { since_ns: boot_ns(), id, source: 0, kind: DESCRIPTOR_PIPE, closed: 0 };
    let _ = DESCRIPTORS.insert(&key, &new, 0);
}

/// The pipe that the descriptor `key` is of, if it is known to be one.
#[inline(always)]
pub(super) fn pipe(key: u64) -> Option<u64> {
    let known = get(key)?;
    if known.kind == DESCRIPTOR_PIPE { Some(known.id) } else { None }
}

/// A call that began at `began_ns` read from `socket` by the descriptor `key`.
#[inline(always)]
pub(super) fn learn(key: u64, socket: u64, began_ns: u64) {
    let mut learned =
        Descriptor { since_ns: 0, id: socket, source: 0, kind: DESCRIPTOR_SOCKET, closed: 0 };
    let mut waiting = 0;
    if let Some(known) = get(key) {
        // Closed while the call went on, and another's now.
        if known.since_ns > began_ns {
            return;
        }
        if known.kind == DESCRIPTOR_SOCKET && is_held(socket, key) && known.id == socket {
            return;
        }
        learned.since_ns = known.since_ns;
        if known.kind == DESCRIPTOR_UNKNOWN && known.closed == closed(key) {
            waiting = known.source;
        }
    }
    let _ = DESCRIPTORS.insert(&key, &learned, 0);
    let _ = HELD.insert(&socket, &key, 0);
    // It has been of this socket ever since the number was given out.
    if waiting != 0 && waiting != SEVERAL {
        tell(waiting, socket);
    }
}

/// A call that began at `began_ns` moved data of the socket `source` to the descriptor `key`.
#[inline(always)]
pub(super) fn note_moved(source: u64, key: u64, began_ns: u64) {
    let Some(known) = get(key) else {
        wait_for(key, source, 0);
        return;
    };
    if known.since_ns > began_ns {
        return;
    }
    if known.kind == DESCRIPTOR_SOCKET && is_held(known.id, key) {
        tell(source, known.id);
    } else if known.kind != DESCRIPTOR_UNKNOWN || known.source == 0 || known.closed != closed(key) {
        wait_for(key, source, known.since_ns);
    } else if known.source != source {
        wait_for(key, SEVERAL, known.since_ns);
    }
}

/// Remembers that data of `source` went to a descriptor of which nothing else is known.
#[inline(always)]
fn wait_for(key: u64, source: u64, since_ns: u64) {
    let closed = closed(key);
    let waiting = Descriptor { since_ns, id: 0, source, kind: DESCRIPTOR_UNKNOWN, closed };
    let _ = DESCRIPTORS.insert(&key, &waiting, 0);
}

/// The running process closed the last descriptor of a socket.
#[inline(always)]
pub(crate) fn released(cookie: u64) {
    let Some(closed) = closed_by((bpf_get_current_pid_tgid() >> 32) as u32) else {
        return;
    };
    if HELD.remove(&cookie).is_err() {
        // SAFETY: one aligned word of a map value, which outlives the program run. If two threads
        // count at once it changes all the same.
        unsafe { closed.write_volatile(closed.read_volatile().wrapping_add(1)) };
    }
}

/// How many sockets the descriptor's process has closed whose descriptor was not known.
#[inline(always)]
fn closed(key: u64) -> u32 {
    // SAFETY: as in `released`.
    closed_by((key >> 32) as u32).map_or(0, |closed| unsafe { closed.read_volatile() })
}

#[inline(always)]
fn is_held(socket: u64, key: u64) -> bool {
    // SAFETY: one aligned word of a map value, which outlives the program run.
    HELD.get_ptr(&socket).is_some_and(|held| unsafe { held.read_volatile() } == key)
}

#[inline(always)]
fn get(key: u64) -> Option<Descriptor> {
    // SAFETY: a map value, which outlives the program run. Another thread may change it meanwhile:
    // that of a forwarder that closes descriptors it still uses.
    DESCRIPTORS.get_ptr(&key).map(|known| unsafe { *known })
}
