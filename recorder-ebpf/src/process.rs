//! The life of a process: made, running a new program, ended. Threads are left out, and what
//! differs between kernels is not read: names and ids come from the running task.
//!
//! The loader compares these offsets with the running kernel's before it attaches a program:
//!
//! ```text
//! task:task_newtask          8 i32 pid            32 u64 clone_flags
//! sched:sched_process_exec  16 i32 old_pid
//! sched:sched_process_exit  32 bool group_dead    since Linux 6.16
//! ```
#![expect(unsafe_code, reason = "contexts and map values are reached through raw pointers")]

mod text;

use aya_ebpf::{EbpfContext as _, macros::tracepoint, programs::TracePointContext};
use bytemuck::Zeroable as _;
use schema::wire::{FOREIGN_PARENT, PROCESS_TAG, ProcessKind, ProcessRecord};

use crate::{
    forward,
    maps::{emit_process, emit_program},
    owner::read,
    socket::{Owner, boot_ns},
};

/// `CLONE_PARENT`: the new process gets the maker's father.
const CLONE_PARENT: u64 = 0x8000;
/// `CLONE_THREAD`: the new task is a thread of the maker's process.
const CLONE_THREAD: u64 = 0x1_0000;

/// `task:task_newtask`, up to the last field used.
#[repr(C)]
struct NewTask {
    common: u64,
    pid: u32,
    comm: [u32; 4],
    padding: u32,
    clone_flags: u64,
}

/// `sched:sched_process_exec`.
#[repr(C)]
struct NewProgram {
    common: u64,
    filename: u32,
    pid: u32,
    old_pid: u32,
}

/// `sched:sched_process_exit`, as of Linux 6.16.
#[repr(C)]
struct TaskEnd {
    common: u64,
    comm: [u32; 4],
    pid: u32,
    prio: u32,
    group_dead: u8,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(NewTask, pid) == 8 && offset_of!(NewTask, clone_flags) == 32);
    assert!(offset_of!(NewProgram, old_pid) == 16);
    assert!(offset_of!(TaskEnd, group_dead) == 32);
};

/// A task was made, by the running one.
#[tracepoint(category = "task", name = "task_newtask")]
fn new_task(ctx: TracePointContext) -> u32 {
    let task = ctx.as_ptr().cast::<NewTask>();
    let pid = read!(task, pid);
    // Of an earlier task with this id, which tried to start a program and failed.
    text::forget(pid);
    let flags = read!(task, clone_flags);
    if flags & CLONE_THREAD != 0 {
        return 0;
    }
    let mut record = new_record(ProcessKind::Fork);
    record.ppid = record.pid;
    record.pid = pid;
    record.tid = pid;
    if flags & CLONE_PARENT != 0 {
        record.flags = FOREIGN_PARENT;
    }
    emit_process(&record);
    forward::note_fork(record.ppid, pid);
    0
}

/// The running task runs a new program. It was started by the thread `old_pid`, whose id is gone.
#[tracepoint(category = "sched", name = "sched_process_exec")]
fn new_program(ctx: TracePointContext) -> u32 {
    let old_tid = read!(ctx.as_ptr().cast::<NewProgram>(), old_pid);
    let record = new_record(ProcessKind::Exec);
    forward::note_program(record.pid, &record.comm);
    if !text::emit_with(old_tid, &record) {
        emit_program(bytemuck::bytes_of(&record));
    }
    0
}

/// A thread ends; the kernel says whether it is the process's last.
#[tracepoint(category = "sched", name = "sched_process_exit")]
fn process_end(ctx: TracePointContext) -> u32 {
    if read!(ctx.as_ptr().cast::<TaskEnd>(), group_dead) != 0 {
        let record = new_record(ProcessKind::Exit);
        forward::note_end(record.pid);
        emit_process(&record);
    }
    0
}

/// The same for kernels that don't say: there the first thread stands for the process. It may end
/// before the others do; then the process is said to end too early, and goes on to be known.
#[tracepoint(category = "sched", name = "sched_process_exit")]
fn first_thread_end(_ctx: TracePointContext) -> u32 {
    let record = new_record(ProcessKind::Exit);
    if record.tid == record.pid {
        forward::note_end(record.pid);
        emit_process(&record);
    }
    0
}

/// A record about the running process.
#[inline(always)]
fn new_record(kind: ProcessKind) -> ProcessRecord {
    let mut record = ProcessRecord::zeroed();
    record.tag = PROCESS_TAG;
    record.boot_ns = boot_ns();
    record.kind = kind as u8;
    Owner::current().write_to_process(&mut record);
    record
}
