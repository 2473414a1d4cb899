//! The maps the recorder opens by name (`EVENTS`, `AWAKE`, `PEERS`, `DROPS`; those of `forward`
//! besides), and how a record gets into the ring.
#![expect(unsafe_code, reason = "map values are reached through raw pointers")]

use core::arch::asm;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    btf_maps::{Array, HashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use schema::wire::{DROP_COUNTERS, DROP_RING, PeerKey, ProcessRecord, Record, WAKE_FOR_URGENT};

/// Bytes of the ring until the loader sets the size; a power of two.
const RING_BYTES: usize = 8 << 20;

/// Peers of unconnected UDP sockets counted at a time: 12 MiB of kernel memory when all are in
/// use, and none before, since entries are allocated one by one.
const PEERS_MAX: usize = 65_536;

/// Records on their way to the recorder.
#[btf_map]
static EVENTS: RingBuf<Record, RING_BYTES> = RingBuf::new();

/// Whether the recorder is to be woken: `WAKE_*`, or 0.
#[btf_map]
static AWAKE: Array<u32, 1> = Array::new();

/// Datagrams counted per peer of an unconnected UDP socket.
#[btf_map]
pub(crate) static PEERS: HashMap<PeerKey, Record, PEERS_MAX, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// What was lost, by `DROP_*`.
#[btf_map]
static DROPS: PerCpuArray<u64, { DROP_COUNTERS as usize }> = PerCpuArray::new();

/// Puts `record` on the ring; counts it as dropped if there is no room. Whether there was.
///
/// The recorder is woken by the record that finds the ring read to its end, and not again until
/// it has gone to sleep: a wake-up is an interrupt, which in a virtual machine costs the workload
/// ten times what everything else here does.
#[inline(always)]
pub(crate) fn emit(record: &Record) -> bool {
    put(record, usual_flags())
}

/// The same for a record that something has to be looked up for which may soon be gone.
#[inline(always)]
pub(crate) fn emit_urgent(record: &Record) -> bool {
    put(record, urgent_flags())
}

#[inline(always)]
fn put(record: &Record, flags: u32) -> bool {
    let has_room = EVENTS.output(record, u64::from(flags)).is_ok();
    if !has_room {
        count_drop(DROP_RING);
    }
    has_room
}

#[inline(always)]
fn awake() -> u32 {
    // SAFETY: one aligned word of a map value, which outlives the program run.
    AWAKE.get_ptr(0).map_or(0, |awake| unsafe { awake.read_volatile() })
}

#[inline(always)]
fn usual_flags() -> u32 {
    if awake() == 0 { 0 } else { BPF_RB_NO_WAKEUP }
}

#[inline(always)]
fn urgent_flags() -> u32 {
    match awake() {
        0 => 0,
        WAKE_FOR_URGENT => BPF_RB_FORCE_WAKEUP,
        _ => BPF_RB_NO_WAKEUP,
    }
}

/// The same for a process that was made or has ended: nothing has to be looked up.
#[inline(always)]
pub(crate) fn emit_process(record: &ProcessRecord) {
    if EVENTS.output_untyped::<ProcessRecord>(record, u64::from(usual_flags())).is_err() {
        count_drop(DROP_RING);
    }
}

/// The same for one that runs a new program: the bytes of the record, its text included.
#[inline(always)]
pub(crate) fn emit_program(bytes: &[u8]) {
    if EVENTS.output_untyped::<[u8]>(bytes, u64::from(urgent_flags())).is_err() {
        count_drop(DROP_RING);
    }
}

/// Adds one to a `DROP_*` counter of this CPU.
#[inline(always)]
pub(crate) fn count_drop(index: u32) {
    if let Some(count) = DROPS.get_ptr_mut(index) {
        // SAFETY: the slot outlives the program run. Atomic although it is this CPU's own: a
        // program in softirq can interrupt one in a process.
        unsafe { increment(count) };
    }
}

/// Adds one atomically: by the one form of addition that every kernel knows, which `core` does not
/// offer for this target.
///
/// # Safety
///
/// `count` must point into a value of a map.
#[inline(always)]
pub(crate) unsafe fn increment(count: *mut u64) {
    // SAFETY: the caller vouches for `count`; values are aligned to 8 bytes.
    unsafe {
        asm!("lock *(u64 *)({count} + 0) += {one}", count = in(reg) count, one = in(reg) 1_u64);
    }
}
