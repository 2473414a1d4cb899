//! Who reads from a TCP socket: the tracepoint `tcp:tcp_rcv_space_adjust`, which fires in the
//! process that copies data out of the socket. It fires for every read, so what it does while
//! nothing changes is one look into a table.
//!
//! ```text
//! offset 64 u64 sock_cookie
//! ```
#![expect(unsafe_code, reason = "the context and map values are reached through raw pointers")]

use aya_ebpf::{
    EbpfContext as _,
    btf_maps::PerCpuArray,
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_map, tracepoint},
    programs::TracePointContext,
};
use schema::wire::{FLAG_READ_BEFORE, PROTO_TCP, RecordKind};

use crate::{
    forward,
    maps::emit,
    owner::read,
    socket::{self, Owner, Socket, boot_ns, new_record},
};

/// Changes of the reader reported of one socket: enough for a hand-over or two; processes that
/// take turns on one socket are not worth a record each time.
const CHANGES_MAX: u16 = 4;
/// Sockets not in the table that are reported per CPU in one [`PERIOD_SHIFT`] of time: those that
/// are older than the hooks, at the start, and should the table be too small, some.
const UNKNOWN_MAX: u64 = 1000;
/// Times are cut into periods of 2^30 ns, about a second.
const PERIOD_SHIFT: u32 = 30;

/// The process that read last, or, before anybody did, the socket's owner.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Reader {
    /// 0 if neither is known.
    pid: u32,
    /// Twice the changes still to be reported, plus one if somebody has read.
    state: u16,
    /// Not zero if that process is a forwarder.
    forwards: u16,
}

impl Reader {
    /// Nobody is known.
    pub(crate) const NONE: Self = Self { pid: 0, state: 0, forwards: 0 };

    /// The owner: not reported until somebody else reads.
    #[inline(always)]
    pub(crate) fn expect(owner: u32) -> Self {
        Self::new(owner, CHANGES_MAX * 2)
    }

    /// Whether anybody has read from the socket.
    #[inline(always)]
    pub(crate) fn has_read(&self) -> bool {
        self.state & 1 != 0
    }

    #[inline(always)]
    fn new(pid: u32, state: u16) -> Self {
        Self { pid, state, forwards: u16::from(forward::is_forwarder(pid)) }
    }
}

/// Period, and sockets reported in it that were not in the table.
#[btf_map]
static UNKNOWN: PerCpuArray<[u64; 2], 1> = PerCpuArray::new();

/// The context, up to the last field used. What comes before it is not the same in all kernels.
#[repr(C)]
struct Read {
    common: [u64; 8],
    sock_cookie: u64,
}

const _: () = assert!(core::mem::offset_of!(Read, sock_cookie) == 64);

/// Data was copied out of a socket.
#[tracepoint(category = "tcp", name = "tcp_rcv_space_adjust")]
fn socket_read(ctx: TracePointContext) -> u32 {
    let cookie = read!(ctx.as_ptr().cast::<Read>(), sock_cookie);
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // The idle task reads nothing: the kernel does, for itself.
    if pid == 0 {
        return 0;
    }
    let known = socket::find(cookie);
    let mut flags = 0;
    match known {
        Some(&mut Socket { ref mut reader, .. }) if reader.pid != 0 => {
            let state = reader.state;
            if reader.pid == pid {
                if state & 1 == 0 {
                    reader.state = state | 1;
                }
                if reader.forwards != 0 {
                    forward::note_read(cookie);
                }
                return 0;
            }
            let forwards = forward::is_forwarder(pid);
            if forwards {
                forward::note_read(cookie);
            }
            if state < 2 {
                return 0;
            }
            if state & 1 != 0 {
                flags = FLAG_READ_BEFORE;
            }
            reader.pid = pid;
            reader.state = (state - 2) | 1;
            reader.forwards = u16::from(forwards);
        }
        _ => {
            let reader = Reader::new(pid, CHANGES_MAX * 2 + 1);
            if reader.forwards != 0 {
                forward::note_read(cookie);
            }
            if !may_report_unknown() {
                return 0;
            }
            if let Some(socket) = known {
                socket.reader = reader;
            } else {
                // Without room it is reported again, which the recorder takes for what it is.
                socket::insert(cookie, &Socket::read_by(reader));
            }
        }
    }
    let mut record = new_record(RecordKind::TcpRead as u8, PROTO_TCP, cookie);
    Owner::current().write_to(&mut record);
    record.flags |= flags;
    emit(&record);
    0
}

#[inline(always)]
fn may_report_unknown() -> bool {
    let Some(slot) = UNKNOWN.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a map value, which outlives the program run and is this CPU's own.
    let [period, count] = unsafe { &mut *slot };
    let now = boot_ns() >> PERIOD_SHIFT;
    if *period != now {
        *period = now;
        *count = 0;
    }
    *count += 1;
    *count <= UNKNOWN_MAX
}
