//! The kernel's counters of a closing socket, SYN and FIN taken off the bytes.
//!
//! Both directions count sequence numbers, and SYN and FIN have one each:
//!
//! ```text
//! sent      bytes_acked + (snd_nxt - snd_una)   our SYN  if we opened: the counter of an accepted
//!                                                        socket starts after it
//!                                               our FIN  from FIN_WAIT1, CLOSING, LAST_ACK on
//! received  bytes_received                      SYN      never
//!                                               FIN      in CLOSE_WAIT, LAST_ACK, CLOSING for
//!                                                        sure; in FIN_WAIT2 if it has come
//! ```
//!
//! A socket leaves FIN_WAIT2 for CLOSE whether the peer's FIN came, or a reset, or nobody waits
//! any longer; the states don't tell. So from FIN_WAIT1 on every incoming header is looked at for
//! the FIN: usually one or two.

use aya_ebpf::{
    bindings::{
        BPF_TCP_CLOSE_WAIT, BPF_TCP_CLOSING, BPF_TCP_FIN_WAIT1, BPF_TCP_FIN_WAIT2, BPF_TCP_LAST_ACK,
    },
    programs::SockOpsContext,
};
use schema::wire::{FLAG_COUNTERS, Record};

use super::{cookie, remember};
use crate::{
    owner::read,
    socket::{OUTGOING, PEER_FIN, Socket},
};

/// The FIN bit of the TCP header's flags (RFC 9293, section 3.1).
const TCP_FIN: u32 = 1;
/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;

/// Writes the counters into `record`. `old` is the state the socket is leaving for CLOSE.
#[inline(always)]
pub(super) fn write_to(ctx: &SockOpsContext, socket: &Socket, old: u32, record: &mut Record) {
    let in_flight = read!(ctx.ops, snd_nxt).wrapping_sub(read!(ctx.ops, snd_una));
    let sent = read!(ctx.ops, bytes_acked) + u64::from(in_flight);
    let syn_sent = socket.flags & OUTGOING != 0;
    let fin_sent =
        matches!(old, BPF_TCP_FIN_WAIT1 | BPF_TCP_FIN_WAIT2 | BPF_TCP_CLOSING | BPF_TCP_LAST_ACK);
    let fin_received = match old {
        BPF_TCP_CLOSE_WAIT | BPF_TCP_LAST_ACK | BPF_TCP_CLOSING => true,
        BPF_TCP_FIN_WAIT2 => {
            socket.flags & PEER_FIN != 0 && socket.fin_end == read!(ctx.ops, rcv_nxt)
        }
        _ => false,
    };
    record.bytes_sent = sent.saturating_sub(u64::from(syn_sent) + u64::from(fin_sent));
    record.bytes_received = read!(ctx.ops, bytes_received).saturating_sub(u64::from(fin_received));
    record.retransmits = read!(ctx.ops, total_retrans);
    record.segs_out = read!(ctx.ops, segs_out);
    record.segs_in = read!(ctx.ops, segs_in);
    // The kernel keeps eighths of a microsecond.
    record.srtt_us = read!(ctx.ops, srtt_us) >> 3;
    record.flags |= FLAG_COUNTERS;
}

/// A segment came in after our FIN was queued. If it has a FIN, notes where that ends; the FIN
/// counts once the receive window has moved past it.
#[inline(always)]
pub(super) fn note_fin(ctx: &SockOpsContext) {
    if read!(ctx.ops, skb_tcp_flags) & TCP_FIN == 0 {
        return;
    }
    let header = read!(ctx.ops, __bindgen_anon_3.skb_data).cast::<u8>();
    let end = read!(ctx.ops, __bindgen_anon_4.skb_data_end).cast::<u8>();
    if header.wrapping_add(TCP_HEADER) > end {
        return;
    }
    // SAFETY: 20 bytes were checked to be there; a header is aligned to 4.
    let sequence = u32::from_be(unsafe { header.add(4).cast::<u32>().read_volatile() });
    // SAFETY: as above.
    let header_words = unsafe { header.add(12).read_volatile() } >> 4;
    let payload = read!(ctx.ops, skb_len).wrapping_sub(u32::from(header_words) * 4);
    let Some(socket) = remember(ctx, cookie(ctx)) else {
        return;
    };
    socket.fin_end = sequence.wrapping_add(payload).wrapping_add(1);
    socket.flags |= PEER_FIN;
}
