//! The pipes of forwarders: which descriptors are the ends of one, and whose data is in it.
//!
//! ```text
//! syscalls:sys_enter_pipe, sys_enter_pipe2   16 fildes (pointer to two ints)
//! ```

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    btf_maps::LruHashMap,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_probe_read_user},
    macros::{btf_map, tracepoint},
    programs::TracePointContext,
};
use schema::wire::{Contents, descriptor_key};

use super::{descriptor, is_forwarder, returned};
use crate::owner::read;

/// Threads that make a pipe at the same time.
const CALLS_MAX: usize = 1024;
/// Pipes of which the contents are remembered.
const PIPES_MAX: usize = 8192;

/// Where the descriptors are to be written, by process and thread.
#[btf_map]
static PIPE_CALLS: LruHashMap<u64, u64, CALLS_MAX> = LruHashMap::new();

/// By the key of the reading end.
#[btf_map]
static CONTENTS: LruHashMap<u64, Contents, PIPES_MAX> = LruHashMap::new();

#[repr(C)]
struct Pipe {
    common: u64,
    number: u64,
    fildes: u64,
}

const _: () = assert!(core::mem::offset_of!(Pipe, fildes) == 16);

/// pipe(2) or pipe2(2) was called.
#[tracepoint(category = "syscalls", name = "sys_enter_pipe2")]
fn enter_pipe(ctx: TracePointContext) -> u32 {
    let pid_tgid = bpf_get_current_pid_tgid();
    if is_forwarder((pid_tgid >> 32) as u32) {
        let fildes = read!(ctx.as_ptr().cast::<Pipe>(), fildes);
        let _ = PIPE_CALLS.insert(&pid_tgid, &fildes, 0);
    }
    0
}

/// The descriptors are made.
#[tracepoint(category = "syscalls", name = "sys_exit_pipe2")]
fn exit_pipe(ctx: TracePointContext) -> u32 {
    let pid_tgid = bpf_get_current_pid_tgid();
    let pid = (pid_tgid >> 32) as u32;
    if !is_forwarder(pid) || returned(&ctx) != 0 {
        return 0;
    }
    let Some(fildes) = PIPE_CALLS.get_ptr(&pid_tgid) else {
        return 0;
    };
    // SAFETY: one aligned word of a map value, which outlives the program run.
    let fildes = unsafe { fildes.read_volatile() };
    let mut ends = [0_u32; 2];
    let to = ends.as_mut_ptr().cast::<c_void>();
    // SAFETY: eight bytes are asked for and fit; what is behind the pointer is the helper's care.
    if unsafe { bpf_probe_read_user(to, 8, fildes as *const c_void) } != 0 {
        return 0;
    }
    let [reading, writing] = ends.map(|number| descriptor_key(pid, number));
    let _ = CONTENTS.insert(&reading, &Contents { source: 0, bytes: 0 }, 0);
    descriptor::set_pipe(reading, reading);
    descriptor::set_pipe(writing, reading);
    0
}

/// So many bytes went into a pipe, from this socket; 0 if it is not known which.
#[inline(always)]
pub(super) fn fill(pipe: u64, source: u64, bytes: u64) {
    let Some(contents) = CONTENTS.get_ptr_mut(&pipe) else {
        // What else may be in it was forgotten.
        let _ = CONTENTS.insert(&pipe, &Contents { source: 0, bytes }, 0);
        return;
    };
    // SAFETY: a map value, which outlives the program run. Who fills a pipe from two sockets at
    // once has mixed them anyway.
    let contents = unsafe { &mut *contents };
    if contents.bytes == 0 {
        contents.source = source;
    } else if contents.source != source {
        contents.source = 0;
    }
    contents.bytes += bytes;
}

/// So many bytes were taken out. Returns the socket all of them came from; 0 if that is not known.
#[inline(always)]
pub(super) fn drain(pipe: u64, bytes: u64) -> u64 {
    let Some(contents) = CONTENTS.get_ptr_mut(&pipe) else {
        return 0;
    };
    // SAFETY: as in `fill`.
    let contents = unsafe { &mut *contents };
    if bytes > contents.bytes {
        // There was something in it that nobody saw.
        contents.bytes = 0;
        return 0;
    }
    contents.bytes -= bytes;
    contents.source
}
