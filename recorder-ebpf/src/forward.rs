//! Forwarders: processes that move data between two of their sockets with splice(2), as
//! docker-proxy does. Which socket's data goes to which other one only the descriptors of the
//! calls tell: from a socket into a pipe, out of that pipe into another socket.
//!
//! Nothing is looked up afterwards, when a descriptor may be another socket's. While a thread is in
//! splice(2), the tracepoint that tells of reads from TCP sockets has the cookie of the one that
//! the call reads from, and so of the call's descriptor; docker-proxy reads from all its sockets.
//! `descriptor` keeps what is known of descriptors, `pipe` what is in pipes.
//!
//! Processes that are not forwarders are told by one look into a table, and done with.
//!
//! ```text
//! syscalls:sys_enter_splice   16 fd_in  32 fd_out
//! syscalls:sys_exit_*         16 ret
//! ```
#![expect(unsafe_code, reason = "contexts and map values are reached through raw pointers")]

mod descriptor;
mod pipe;

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_NOEXIST,
    btf_maps::{Array, HashMap, LruHashMap},
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_map, tracepoint},
    programs::TracePointContext,
};
use schema::wire::{COMM_LEN, PROTO_TCP, RecordKind, SEVERAL, descriptor_key};

pub(crate) use self::descriptor::released;
use crate::{
    maps::emit,
    owner::read,
    socket::{Owner, boot_ns, new_record},
};

/// Names of programs: as many as the recorder takes, and room to spare.
const NAMES_MAX: usize = 64;
/// Forwarders at a time, two for every published port; those beyond are not watched.
const FORWARDERS_MAX: usize = 4096;
/// Threads of forwarders of which the present call is remembered.
const THREADS_MAX: usize = 8192;
/// Pairs of sockets remembered as told: 1.3 MiB. One that was pushed out is told again.
const PAIRS_MAX: usize = 16_384;

/// What forwarders are called, NUL-padded; filled by the recorder.
#[btf_map]
static FORWARDER_NAMES: HashMap<[u8; COMM_LEN], u32, NAMES_MAX> = HashMap::new();

/// Process ids; those that run already are filled in by the recorder. The value counts the closed
/// sockets of which the descriptor was not known.
#[btf_map]
static FORWARDERS: HashMap<u32, u32, FORWARDERS_MAX> = HashMap::new();

/// Not zero once there has been a forwarder: where there is none, which is nearly everywhere, nobody
/// has to be looked up.
#[btf_map]
static FORWARDING: Array<u32, 1> = Array::new();

/// A call of splice(2).
#[repr(C)]
struct Call {
    /// When it began; 0 when it has ended.
    began_ns: u64,
    /// The socket that was read from meanwhile; 0 if none was, `SEVERAL` if an interrupt had others
    /// read from on behalf of the kernel.
    socket: u64,
    fd_in: u32,
    fd_out: u32,
}

/// Calls by process and thread.
#[btf_map]
static SPLICES: LruHashMap<u64, Call, THREADS_MAX> = LruHashMap::new();

/// Pairs of cookies, the smaller one first.
#[btf_map]
static PAIRS: LruHashMap<[u64; 2], u32, PAIRS_MAX> = LruHashMap::new();

/// `syscalls:sys_enter_splice`, up to the last field used. A descriptor is the lower half.
#[repr(C)]
struct Splice {
    common: u64,
    number: u64,
    fd_in: u32,
    fd_in_rest: u32,
    off_in: u64,
    fd_out: u32,
}

/// The end of any system call.
#[repr(C)]
struct Return {
    common: u64,
    number: u64,
    ret: i64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Splice, fd_in) == 16 && offset_of!(Splice, fd_out) == 32);
    assert!(offset_of!(Return, ret) == 16);
};

/// What the running system call returns.
#[inline(always)]
fn returned(ctx: &TracePointContext) -> i64 {
    read!(ctx.as_ptr().cast::<Return>(), ret)
}

/// splice(2) was called.
#[tracepoint(category = "syscalls", name = "sys_enter_splice")]
fn enter_splice(ctx: TracePointContext) -> u32 {
    let pid_tgid = bpf_get_current_pid_tgid();
    if !is_forwarder((pid_tgid >> 32) as u32) {
        return 0;
    }
    let splice = ctx.as_ptr().cast::<Splice>();
    let (fd_in, fd_out) = (read!(splice, fd_in), read!(splice, fd_out));
    let call = Call { began_ns: boot_ns(), socket: 0, fd_in, fd_out };
    if let Some(last) = SPLICES.get_ptr_mut(&pid_tgid) {
        // SAFETY: a map value, which outlives the program run and is this thread's own.
        unsafe { *last = call };
    } else {
        // Fails only for want of memory, and then this call tells nothing.
        let _ = SPLICES.insert(&pid_tgid, &call, 0);
    }
    0
}

/// splice(2) is done.
#[tracepoint(category = "syscalls", name = "sys_exit_splice")]
fn exit_splice(ctx: TracePointContext) -> u32 {
    let pid_tgid = bpf_get_current_pid_tgid();
    let pid = (pid_tgid >> 32) as u32;
    if !is_forwarder(pid) {
        return 0;
    }
    let Some(call) = SPLICES.get_ptr_mut(&pid_tgid) else {
        return 0;
    };
    // SAFETY: a map value, which outlives the program run and is this thread's own.
    let call = unsafe { &mut *call };
    let (began_ns, socket) = (call.began_ns, call.socket);
    let from = descriptor_key(pid, call.fd_in);
    let to = descriptor_key(pid, call.fd_out);
    call.began_ns = 0;
    if began_ns == 0 {
        return 0;
    }
    let moved = returned(&ctx);
    let socket = if socket == SEVERAL { 0 } else { socket };
    match (descriptor::pipe(from), descriptor::pipe(to)) {
        (None, Some(pipe)) => {
            // Also when there was nothing to read.
            if socket != 0 {
                descriptor::learn(from, socket, began_ns);
            }
            if moved > 0 {
                pipe::fill(pipe, socket, moved as u64);
            }
        }
        (Some(pipe), None) if moved > 0 => {
            let source = pipe::drain(pipe, moved as u64);
            if source != 0 {
                descriptor::note_moved(source, to, began_ns);
            }
        }
        (Some(one), Some(other)) if moved > 0 => {
            pipe::drain(one, moved as u64);
            pipe::fill(other, 0, moved as u64);
        }
        _ => {}
    }
    0
}

/// The running thread reads from a socket, or an interrupt does that came in between.
#[inline(always)]
pub(crate) fn note_read(cookie: u64) {
    if let Some(call) = SPLICES.get_ptr_mut(&bpf_get_current_pid_tgid()) {
        // SAFETY: a map value, which outlives the program run and is this thread's own.
        let call = unsafe { &mut *call };
        if call.socket == 0 {
            call.socket = cookie;
        } else if call.socket != cookie {
            call.socket = SEVERAL;
        }
    }
}

/// Tells that data went from one socket to the other, unless that was told before.
#[inline(always)]
fn tell(source: u64, other: u64) {
    if source == other {
        return;
    }
    let pair = if source < other { [source, other] } else { [other, source] };
    if PAIRS.get_ptr(&pair).is_some() {
        return;
    }
    let mut record = new_record(RecordKind::Forward as u8, PROTO_TCP, source);
    record.peer_cookie = other;
    Owner::current().write_to(&mut record);
    // One that found no room is told when more is moved.
    if emit(&record) {
        let _ = PAIRS.insert(&pair, &0, 0);
    }
}

#[inline(always)]
pub(crate) fn is_forwarder(pid: u32) -> bool {
    has_any() && FORWARDERS.get_ptr(&pid).is_some()
}

/// Whether there is a forwarder, or was one.
#[inline(always)]
fn has_any() -> bool {
    // SAFETY: one aligned word of a map value, which outlives the program run.
    FORWARDING.get_ptr(0).is_some_and(|any| unsafe { any.read_volatile() } != 0)
}

/// Watches the process.
#[inline(always)]
fn add(pid: u32, flags: u64) {
    if let Some(any) = FORWARDING.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { any.write_volatile(1) };
    }
    // An error says that it was one, or that there are too many: then this one is not watched.
    let _ = FORWARDERS.insert(&pid, &0, flags);
}

/// Where a forwarder's closed sockets are counted of which the descriptor was not known.
#[inline(always)]
fn closed_by(pid: u32) -> Option<*mut u32> {
    if has_any() { FORWARDERS.get_ptr_mut(&pid) } else { None }
}

/// A process was made.
#[inline(always)]
pub(crate) fn note_fork(maker: u32, pid: u32) {
    if is_forwarder(maker) {
        add(pid, 0);
    }
}

/// A process runs a new program, which gave it this name.
#[inline(always)]
pub(crate) fn note_program(pid: u32, comm: &[u8; COMM_LEN]) {
    if FORWARDER_NAMES.get_ptr(comm).is_some() {
        add(pid, u64::from(BPF_NOEXIST));
    } else {
        note_end(pid);
    }
}

/// A process ends.
#[inline(always)]
pub(crate) fn note_end(pid: u32) {
    if has_any() {
        // An error says that it was none.
        let _ = FORWARDERS.remove(&pid);
    }
}
