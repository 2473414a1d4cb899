//! What a program is started with: its path and arguments, from the memory of the process that
//! makes the system call. They are kept until the kernel says that the program runs, because by
//! then that memory is gone, and because many calls fail: a search along `PATH` tries one folder
//! after the other.
//!
//! ```text
//! syscalls:sys_enter_execve    16 filename  24 argv      (pointers)
//! syscalls:sys_enter_execveat  24 filename  32 argv
//! ```

use core::{ffi::c_void, ptr, slice};

use aya_ebpf::{
    EbpfContext as _,
    btf_maps::{LruHashMap, PerCpuArray},
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_probe_read_user, bpf_probe_read_user_str},
    },
    macros::{btf_map, tracepoint},
    programs::TracePointContext,
};
use schema::wire::{ARGUMENTS_CUT, PATH_CUT, ProcessRecord, TEXT_MAX, TEXT_READ};

use crate::{maps::emit_program, owner::read, socket::boot_ns};

/// Calls remembered at a time: 2.3 MiB. Those that failed are among them until others push them
/// out.
const CALLS_MAX: usize = 1024;
/// Arguments looked at.
const ARGUMENTS_MAX: u64 = 128;
/// Bytes of one string; a constant, which the verifier understands.
const STRING_MAX: usize = 2048;

/// A call: what is known of its record, and the text after it.
#[repr(C)]
struct Call {
    record: ProcessRecord,
    text: [u8; TEXT_MAX],
}

/// Where a call is put together. A string may begin anywhere in the text, so there is room for a
/// whole one after it.
#[repr(C)]
struct Scratch {
    record: ProcessRecord,
    text: [u8; TEXT_MAX + STRING_MAX],
}

/// Calls by thread id.
#[btf_map]
static CALLS: LruHashMap<u32, Call, CALLS_MAX> = LruHashMap::new();

/// One for each of the two programs. The kernel lets no program run in the middle of itself, but since
/// 7.2 another one may, while the task is preempted.
#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 2> = PerCpuArray::new();
const OF_EXECVE: u32 = 0;
const OF_EXECVEAT: u32 = 1;

/// `syscalls:sys_enter_execve`.
#[repr(C)]
struct Execve {
    common: u64,
    number: u64,
    filename: u64,
    argv: u64,
}

/// `syscalls:sys_enter_execveat`.
#[repr(C)]
struct Execveat {
    common: u64,
    number: u64,
    folder: u64,
    filename: u64,
    argv: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Execve, filename) == 16 && offset_of!(Execve, argv) == 24);
    assert!(offset_of!(Execveat, filename) == 24 && offset_of!(Execveat, argv) == 32);
    assert!(TEXT_MAX.is_power_of_two() && STRING_MAX <= TEXT_MAX);
};

/// `execve(2)` was called.
#[tracepoint(category = "syscalls", name = "sys_enter_execve")]
fn execve(ctx: TracePointContext) -> u32 {
    let call = ctx.as_ptr().cast::<Execve>();
    remember(OF_EXECVE, read!(call, filename), read!(call, argv));
    0
}

/// `execveat(2)` was called.
#[tracepoint(category = "syscalls", name = "sys_enter_execveat")]
fn execveat(ctx: TracePointContext) -> u32 {
    let call = ctx.as_ptr().cast::<Execveat>();
    remember(OF_EXECVEAT, read!(call, filename), read!(call, argv));
    0
}

/// Keeps the text of a call of the running thread, put together in the place of its program.
#[inline(always)]
fn remember(place: u32, path: u64, arguments: u64) {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return;
    };
    // SAFETY: a map value, which outlives the program run; it is this CPU's and this program's own.
    let scratch = unsafe { &mut *scratch };
    let mut flags = TEXT_READ;
    let mut length = read_string(scratch, 0, path);
    if length <= 0 {
        scratch.text[0] = 0;
        length = 1;
        flags |= PATH_CUT;
    } else if length >= STRING_MAX as i64 {
        flags |= PATH_CUT;
    }
    let path_len = (length - 1) as u16;
    let mut length = length as u64;
    let mut whole = false;
    for index in 0..ARGUMENTS_MAX {
        let mut argument = 0_u64;
        let to = (&raw mut argument).cast::<c_void>();
        let from = (arguments + index * 8) as *const c_void;
        // SAFETY: eight bytes are asked for and fit; what is behind `from` is the helper's care.
        if unsafe { bpf_probe_read_user(to, 8, from) } != 0 {
            break;
        }
        if argument == 0 {
            whole = true;
            break;
        }
        if length >= TEXT_MAX as u64 {
            break;
        }
        match read_string(scratch, length, argument) {
            ..0 => break,
            // Kernels of before 2025 count an empty string without its NUL.
            0 => {
                scratch.text[(length as usize) & (TEXT_MAX - 1)] = 0;
                length += 1;
            }
            read => length += read as u64,
        }
    }
    if length > TEXT_MAX as u64 {
        length = TEXT_MAX as u64;
        whole = false;
    }
    if !whole {
        flags |= ARGUMENTS_CUT;
    }
    scratch.record.began_ns = boot_ns();
    scratch.record.path_len = path_len;
    scratch.record.text_len = length as u16;
    scratch.record.flags = flags;
    let tid = bpf_get_current_pid_tgid() as u32;
    // SAFETY: `Scratch` begins as `Call` does.
    let call = unsafe { &*ptr::from_ref(scratch).cast::<Call>() };
    // Without it the program's arguments are unknown, and the recorder looks for them itself.
    let _ = CALLS.insert(&tid, call, 0);
}

/// Reads the string at `from` in the process's memory to `at`, which must be less than
/// [`TEXT_MAX`]. Returns its length, the NUL included, or a negative number.
#[inline(always)]
fn read_string(scratch: &mut Scratch, at: u64, from: u64) -> i64 {
    let at = (at as usize) & (TEXT_MAX - 1);
    // SAFETY: there are `STRING_MAX` bytes after every possible `at`; what is behind `from` is the
    // helper's care.
    unsafe {
        let to = scratch.text.as_mut_ptr().add(at).cast::<c_void>();
        bpf_probe_read_user_str(to, STRING_MAX as u32, from as *const c_void)
    }
}

/// Sends `record` with the text of the call that thread `tid` made; false if that is not known.
#[inline(always)]
pub(super) fn emit_with(tid: u32, record: &ProcessRecord) -> bool {
    let Some(call) = CALLS.get_ptr_mut(&tid) else {
        return false;
    };
    // SAFETY: a map value, which outlives the program run; only the thread `tid` used it, and it
    // has become the running one.
    let call = unsafe { &mut *call };
    let (began_ns, path_len) = (call.record.began_ns, call.record.path_len);
    let (text_len, flags) = (call.record.text_len, call.record.flags);
    call.record = *record;
    call.record.began_ns = began_ns;
    call.record.path_len = path_len;
    call.record.text_len = text_len;
    call.record.flags = flags;
    let mut length = usize::from(text_len);
    if length > TEXT_MAX {
        length = TEXT_MAX;
    }
    let start = ptr::from_ref(call).cast::<u8>();
    // SAFETY: the fixed part and `TEXT_MAX` bytes of text are there.
    let bytes = unsafe { slice::from_raw_parts(start, size_of::<ProcessRecord>() + length) };
    emit_program(bytes);
    forget(tid);
    true
}

/// Forgets the call that thread `tid` made, if it made one.
#[inline(always)]
pub(super) fn forget(tid: u32) {
    // An error says that there was none.
    let _ = CALLS.remove(&tid);
}
