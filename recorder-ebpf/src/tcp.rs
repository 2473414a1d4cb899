//! The life of a TCP socket, by `sock_ops` callbacks: connect, established, accept, listen,
//! retransmit, close. Most run in softirq, where the running task is anybody's: the owner comes
//! from the socket storage.
#![expect(unsafe_code, reason = "contexts are read through raw pointers, fields one by one")]

mod counters;

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG,
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
        BPF_SOCK_OPS_RETRANS_CB, BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_STATE_CB,
        BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_SOCK_OPS_TCP_LISTEN_CB,
        BPF_TCP_CLOSE, BPF_TCP_FIN_WAIT1, BPF_TCP_LISTEN,
    },
    helpers::generated::bpf_get_socket_cookie,
    macros::sock_ops,
    programs::SockOpsContext,
};
use schema::wire::{PROTO_TCP, Record, RecordKind};

use crate::{
    address::{AF_INET, Endpoint, set_ends, set_local},
    maps::emit,
    owner::read,
    socket::{self, CREATED, ESTABLISHED, HAS_OWNER, INHERITED, OUTGOING, Socket, WAS_READ},
};

/// A callback of a TCP socket. The return value is ignored for these operations; `reply` is left
/// alone, so that another program's answer stands.
#[sock_ops]
fn tcp(ctx: SockOpsContext) -> u32 {
    match read!(ctx.ops, op) {
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(&ctx),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => connected(&ctx),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => accepted(&ctx),
        BPF_SOCK_OPS_TCP_LISTEN_CB => listening(&ctx),
        BPF_SOCK_OPS_STATE_CB => state_changed(&ctx),
        BPF_SOCK_OPS_RETRANS_CB => retransmitted(&ctx),
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB => counters::note_fin(&ctx),
        _ => {}
    }
    1
}

/// The SYN is about to leave; the ports are chosen.
#[inline(always)]
fn connecting(ctx: &SockOpsContext) {
    watch(ctx, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG);
    let cookie = cookie(ctx);
    let Some(socket) = remember(ctx, cookie) else {
        return;
    };
    socket.flags = (socket.flags & (HAS_OWNER | CREATED)) | OUTGOING;
    socket.begin();
    let record = new_record(ctx, cookie, socket, RecordKind::TcpConnect);
    socket.connect_ns = record.boot_ns;
    emit(&record);
}

/// The handshake of an opened connection is complete.
#[inline(always)]
fn connected(ctx: &SockOpsContext) {
    watch(ctx, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG);
    let cookie = cookie(ctx);
    if let Some(socket) = remember(ctx, cookie) {
        opened(ctx, cookie, socket);
    }
}

#[inline(always)]
fn opened(ctx: &SockOpsContext, cookie: u64, socket: &mut Socket) {
    socket.flags = (socket.flags & (HAS_OWNER | CREATED)) | OUTGOING | ESTABLISHED;
    let mut record = new_record(ctx, cookie, socket, RecordKind::TcpEstablished);
    if socket.connect_ns != 0 {
        let micros = record.boot_ns.wrapping_sub(socket.connect_ns) / 1_000;
        record.latency_us = if micros > u64::from(u32::MAX) { u32::MAX } else { micros as u32 };
    }
    emit(&record);
}

/// The handshake of an accepted connection is complete, or of a simultaneous open, which gets this
/// callback although it was opened by a connect.
#[inline(always)]
fn accepted(ctx: &SockOpsContext) {
    // Those of an older listener have no flags to inherit.
    watch(ctx, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG);
    let Some(sk) = sock_of(ctx) else {
        return;
    };
    let cookie = cookie(ctx);
    // SAFETY: `sk` is the context's socket and not null.
    let mut known = unsafe { socket::get(cookie, sk) };
    if let Some(socket) = &mut known
        && socket.flags & OUTGOING != 0
    {
        opened(ctx, cookie, socket);
        return;
    }
    let mut nothing = Socket::NONE;
    let has_stored = known.is_some();
    let socket = known.unwrap_or(&mut nothing);
    // Everything here but owner and namespace is the listener's.
    let owner = socket.flags & HAS_OWNER;
    socket.connect_ns = 0;
    socket.flags = owner | ESTABLISHED | if owner == 0 { 0 } else { INHERITED };
    socket.begin();
    let record = new_record(ctx, cookie, socket, RecordKind::TcpAccept);
    if !socket::insert(cookie, socket) && !has_stored {
        // SAFETY: as above.
        let _ = unsafe { socket::store(sk, socket) };
    }
    emit(&record);
}

/// `listen(2)` was called.
#[inline(always)]
fn listening(ctx: &SockOpsContext) {
    // Accepted sockets start with their listener's callback flags.
    watch(ctx, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG);
    let cookie = cookie(ctx);
    let (Some(known), Some(sk)) = (remember(ctx, cookie), sock_of(ctx)) else {
        return;
    };
    // Accepted sockets start with a copy of what is stored.
    // SAFETY: `sk` is the context's socket and not null.
    let Some(socket) = (unsafe { socket::store(sk, known) }) else {
        return;
    };
    socket.flags &= HAS_OWNER;
    emit(&new_listener_record(ctx, cookie, socket, RecordKind::TcpListen));
}

/// Segments went out again. Arguments: first sequence number, number of segments, 0 if they were
/// sent.
#[inline(always)]
fn retransmitted(ctx: &SockOpsContext) {
    if read!(ctx.ops, __bindgen_anon_1.args[2]) != 0 {
        return;
    }
    let cookie = cookie(ctx);
    let Some(socket) = remember(ctx, cookie) else {
        return;
    };
    let mut record = new_record(ctx, cookie, socket, RecordKind::TcpRetransmit);
    record.count = u64::from(read!(ctx.ops, __bindgen_anon_1.args[1]));
    emit(&record);
}

/// Arguments: old state, new state. The addresses and counters are still those of the old one.
#[inline(always)]
fn state_changed(ctx: &SockOpsContext) {
    let old = read!(ctx.ops, __bindgen_anon_1.args[0]);
    let new = read!(ctx.ops, __bindgen_anon_1.args[1]);
    if new == BPF_TCP_FIN_WAIT1 {
        // From here on the peer's FIN leaves no trace in the states: look out for it.
        watch(ctx, BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
    }
    if new == BPF_TCP_CLOSE && old != BPF_TCP_CLOSE {
        closed(ctx, old);
    }
}

#[inline(always)]
fn closed(ctx: &SockOpsContext, old: u32) {
    let cookie = cookie(ctx);
    let Some(socket) = remember(ctx, cookie) else {
        return;
    };
    if old == BPF_TCP_LISTEN {
        emit(&new_listener_record(ctx, cookie, socket, RecordKind::TcpClose));
        return;
    }
    let kind = if socket.flags & ESTABLISHED != 0 {
        RecordKind::TcpClose
    } else if socket.flags & OUTGOING != 0 {
        RecordKind::TcpConnectFail
    } else {
        // A handshake that a peer began and nobody finished, or a connect that failed before its
        // SYN: no record told of a beginning.
        return;
    };
    let mut record = new_record(ctx, cookie, socket, kind);
    counters::write_to(ctx, socket, old, &mut record);
    emit(&record);
    if socket.flags & CREATED != 0 {
        socket.end_one(cookie);
    } else {
        forget_accepted(ctx, cookie, socket);
    }
}

/// Leaves what matters when the last descriptor is closed, should it still be open.
#[inline(always)]
fn forget_accepted(ctx: &SockOpsContext, cookie: u64, socket: &Socket) {
    if socket.reader.has_read()
        && let Some(sk) = sock_of(ctx)
        // SAFETY: `sk` is the context's socket and not null.
        && let Some(stored) = unsafe { socket::stored(sk) }
    {
        stored.flags |= WAS_READ;
    }
    socket::forget(cookie);
}

/// Asks for more callbacks. The flags belong to all programs together, so none is taken away.
#[inline(always)]
fn watch(ctx: &SockOpsContext, flags: u32) {
    let set = read!(ctx.ops, bpf_sock_ops_cb_flags);
    if set & flags != flags {
        // Fails only where the kernel knows none of these flags, and there we were not loaded.
        let _ = ctx.set_cb_flags((set | flags) as i32);
    }
}

/// What is remembered about the socket; older sockets start without an owner. `None` if the
/// context has no full socket or there is no memory.
#[inline(always)]
fn remember<'a>(ctx: &SockOpsContext, cookie: u64) -> Option<&'a mut Socket> {
    let sk = sock_of(ctx)?;
    // SAFETY: `sk` is the context's socket and not null.
    if let Some(socket) = unsafe { socket::get(cookie, sk) } {
        return Some(socket);
    }
    // SAFETY: as above.
    unsafe { socket::store(sk, &mut Socket::NONE.clone()) }
}

/// The context's socket, if it has a full one. The kernel trusts only the very pointer that was
/// compared with null.
#[inline(always)]
fn sock_of(ctx: &SockOpsContext) -> Option<*mut c_void> {
    let sk = read!(ctx.ops, __bindgen_anon_2.sk);
    if sk.is_null() { None } else { Some(sk.cast()) }
}

#[inline(always)]
fn new_record(ctx: &SockOpsContext, cookie: u64, socket: &Socket, kind: RecordKind) -> Record {
    let mut record = socket.record(kind as u8, PROTO_TCP, cookie);
    let local_port = read!(ctx.ops, local_port) as u16;
    // The two bytes of the port as they are in the header, in the high half of a word.
    let remote_port = u32::from_be(read!(ctx.ops, remote_port)) as u16;
    if read!(ctx.ops, family) == AF_INET {
        let remote = Endpoint::v4(read!(ctx.ops, remote_ip4), remote_port);
        set_ends(&mut record, Endpoint::v4(read!(ctx.ops, local_ip4), local_port), remote);
    } else {
        let remote = Endpoint::v6(
            [
                read!(ctx.ops, remote_ip6[0]),
                read!(ctx.ops, remote_ip6[1]),
                read!(ctx.ops, remote_ip6[2]),
                read!(ctx.ops, remote_ip6[3]),
            ],
            remote_port,
        );
        set_ends(&mut record, Endpoint::v6(local_ip6(ctx), local_port), remote);
    }
    record
}

#[inline(always)]
fn new_listener_record(
    ctx: &SockOpsContext,
    cookie: u64,
    socket: &Socket,
    kind: RecordKind,
) -> Record {
    let mut record = socket.record(kind as u8, PROTO_TCP, cookie);
    let port = read!(ctx.ops, local_port) as u16;
    let local = if read!(ctx.ops, family) == AF_INET {
        Endpoint::v4(read!(ctx.ops, local_ip4), port)
    } else {
        Endpoint::v6(local_ip6(ctx), port)
    };
    set_local(&mut record, local);
    record
}

#[inline(always)]
fn local_ip6(ctx: &SockOpsContext) -> [u32; 4] {
    [
        read!(ctx.ops, local_ip6[0]),
        read!(ctx.ops, local_ip6[1]),
        read!(ctx.ops, local_ip6[2]),
        read!(ctx.ops, local_ip6[3]),
    ]
}

#[inline(always)]
fn cookie(ctx: &SockOpsContext) -> u64 {
    // SAFETY: the helper takes the context of this hook.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}
