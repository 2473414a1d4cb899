//! Errors the kernel reports on TCP sockets: the tracepoint `sock:inet_sk_error_report`, since
//! Linux 5.15. It knows addresses but no cookie; the recorder pairs its records with the failed
//! connects.
//!
//! ```text
//! offset  8 int error
//!        12 u16 sport        14 u16 dport      (host byte order)
//!        16 u16 family       18 u16 protocol
//!        20 u8[4] saddr      24 u8[4] daddr
//!        28 u8[16] saddr_v6  44 u8[16] daddr_v6
//! ```
//!
//! The loader compares these offsets with the running kernel's before it attaches the program: an
//! offset in an instruction cannot be changed any more.
#![expect(unsafe_code, reason = "the context is read through a raw pointer")]

use aya_ebpf::{EbpfContext as _, macros::tracepoint, programs::TracePointContext};
use schema::wire::{PROTO_TCP, RecordKind};

use crate::{
    address::{AF_INET, AF_INET6, Endpoint, set_ends},
    maps::emit,
    owner::read,
    socket::new_record,
};

/// The context, up to the last field used.
#[repr(C)]
struct Report {
    common: u64,
    error: i32,
    sport: u16,
    dport: u16,
    family: u16,
    protocol: u16,
    saddr: u32,
    daddr: u32,
    saddr_v6: [u32; 4],
    daddr_v6: [u32; 4],
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(offset_of!(Report, error) == 8);
    assert!(offset_of!(Report, sport) == 12);
    assert!(offset_of!(Report, saddr) == 20);
    assert!(offset_of!(Report, saddr_v6) == 28);
    assert!(offset_of!(Report, daddr_v6) == 44);
    assert!(size_of::<Report>() == 64);
};

/// The kernel is about to wake whoever waits on a socket, because of an error.
#[tracepoint(category = "sock", name = "inet_sk_error_report")]
fn socket_error(ctx: TracePointContext) -> u32 {
    let report = ctx.as_ptr().cast::<Report>();
    let error = read!(report, error);
    // A socket that was disconnected by its own side has forgotten the peer, and nobody can pair
    // the report with anything.
    let dport = read!(report, dport);
    if read!(report, protocol) != u16::from(PROTO_TCP) || error <= 0 || dport == 0 {
        return 0;
    }
    let mut record = new_record(RecordKind::SocketError as u8, PROTO_TCP, 0);
    record.errno = error as u32;
    let sport = read!(report, sport);
    match u32::from(read!(report, family)) {
        AF_INET => set_ends(
            &mut record,
            Endpoint::v4(read!(report, saddr), sport),
            Endpoint::v4(read!(report, daddr), dport),
        ),
        AF_INET6 => set_ends(
            &mut record,
            Endpoint::v6(
                [
                    read!(report, saddr_v6[0]),
                    read!(report, saddr_v6[1]),
                    read!(report, saddr_v6[2]),
                    read!(report, saddr_v6[3]),
                ],
                sport,
            ),
            Endpoint::v6(
                [
                    read!(report, daddr_v6[0]),
                    read!(report, daddr_v6[1]),
                    read!(report, daddr_v6[2]),
                    read!(report, daddr_v6[3]),
                ],
                dport,
            ),
        ),
        _ => return 0,
    }
    emit(&record);
    0
}
