//! Binds and peers of UDP sockets. An unconnected socket's datagrams are counted here per peer and
//! direction; only the first makes a record. A connected socket's fire no hook.
#![expect(unsafe_code, reason = "contexts are read through raw pointers, fields one by one")]

use core::ptr;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_NOEXIST, bpf_sock},
    helpers::{bpf_ktime_get_boot_ns, generated::bpf_get_netns_cookie},
    macros::{cgroup_sock, cgroup_sock_addr},
    programs::{SockAddrContext, SockContext},
};
use schema::wire::{
    DROP_PEERS, FAMILY_V4, FAMILY_V6, FLAG_OUTGOING, PROTO_TCP, PROTO_UDP, PeerKey, RecordKind,
};

use crate::{
    address::{AF_INET6, Endpoint, set_ends, set_local},
    maps::{PEERS, count_drop, emit, emit_urgent, increment},
    owner::{ALLOW, cookie_of, read, remember, sock_of, user_ip6, user_port},
    socket::{Owner, SEEN, Socket, new_record},
};

/// A socket was bound to an IPv4 address.
#[cgroup_sock(post_bind4)]
fn post_bind4(ctx: SockContext) -> i32 {
    let local = Endpoint::v4(read!(ctx.sock, src_ip4), read!(ctx.sock, src_port) as u16);
    bound(&ctx, local);
    ALLOW
}

/// A socket was bound to an IPv6 address.
#[cgroup_sock(post_bind6)]
fn post_bind6(ctx: SockContext) -> i32 {
    let local = Endpoint::v6(src_ip6(ctx.sock), read!(ctx.sock, src_port) as u16);
    bound(&ctx, local);
    ALLOW
}

#[inline(always)]
fn bound(ctx: &SockContext, local: Endpoint) {
    let protocol = read!(ctx.sock, protocol);
    if protocol == u32::from(PROTO_TCP) {
        // A listener's TCP socket may have been made by the kernel (multipath TCP has one
        // inside), which `sock_create` does not see: the process that binds it is its owner.
        // SAFETY: the context of this hook is the socket.
        let _ = unsafe { remember(cookie_of(ctx.as_ptr()), ctx.as_ptr(), ctx.as_ptr()) };
    }
    if protocol != u32::from(PROTO_UDP) {
        return;
    }
    let cookie = cookie_of(ctx.as_ptr());
    // SAFETY: the context of this hook is the socket.
    let Some(socket) = (unsafe { remember(cookie, ctx.as_ptr(), ctx.as_ptr()) }) else {
        return;
    };
    socket.flags |= SEEN;
    let mut record = new_record(RecordKind::UdpBind as u8, PROTO_UDP, cookie);
    record.netns_cookie = socket.netns_cookie;
    Owner::current().write_to(&mut record);
    set_local(&mut record, local);
    emit(&record);
}

/// A UDP socket is about to get a peer. The kernel picks the local address and port afterwards:
/// here they are those of an earlier bind, or zero.
#[inline(always)]
pub(crate) fn connected(ctx: &SockAddrContext, cookie: u64, socket: &mut Socket, remote: Endpoint) {
    socket.flags |= SEEN;
    let mut record = socket.record(RecordKind::UdpConnect as u8, PROTO_UDP, cookie);
    record.flags |= FLAG_OUTGOING;
    set_ends(&mut record, local_of(ctx, remote.family), remote);
    // Its port is looked up.
    emit_urgent(&record);
}

/// An unconnected socket sends over IPv4; so does an IPv6 one to an IPv4-mapped address.
#[cgroup_sock_addr(sendmsg4)]
fn sendmsg4(ctx: SockAddrContext) -> i32 {
    let remote = Endpoint::v4(read!(ctx.sock_addr, user_ip4), user_port(ctx.sock_addr));
    let source = read!(ctx.sock_addr, msg_src_ip4);
    datagram(&ctx, RecordKind::UdpSend as u8, remote, [0, 0, 0, source]);
    ALLOW
}

/// An unconnected socket sends over IPv6.
#[cgroup_sock_addr(sendmsg6)]
fn sendmsg6(ctx: SockAddrContext) -> i32 {
    let remote = Endpoint::v6(user_ip6(ctx.sock_addr), user_port(ctx.sock_addr));
    let source = [
        read!(ctx.sock_addr, msg_src_ip6[0]),
        read!(ctx.sock_addr, msg_src_ip6[1]),
        read!(ctx.sock_addr, msg_src_ip6[2]),
        read!(ctx.sock_addr, msg_src_ip6[3]),
    ];
    datagram(&ctx, RecordKind::UdpSend as u8, remote, source);
    ALLOW
}

/// A datagram was read from an IPv4 socket by a call that asks who sent it.
#[cgroup_sock_addr(recvmsg4)]
fn recvmsg4(ctx: SockAddrContext) -> i32 {
    let remote = Endpoint::v4(read!(ctx.sock_addr, user_ip4), user_port(ctx.sock_addr));
    datagram(&ctx, RecordKind::UdpRecv as u8, remote, [0; 4]);
    ALLOW
}

/// The same of an IPv6 socket; an IPv4 sender has an IPv4-mapped address.
#[cgroup_sock_addr(recvmsg6)]
fn recvmsg6(ctx: SockAddrContext) -> i32 {
    let remote = Endpoint::v6(user_ip6(ctx.sock_addr), user_port(ctx.sock_addr));
    datagram(&ctx, RecordKind::UdpRecv as u8, remote, [0; 4]);
    ALLOW
}

/// Counts a datagram; the first of a peer makes a record. `source` is the address the datagram
/// itself asks to be sent from, all zero if it does not, only the last word used for IPv4.
#[inline(always)]
fn datagram(ctx: &SockAddrContext, kind: u8, remote: Endpoint, source: [u32; 4]) {
    if read!(ctx.sock_addr, protocol) != u32::from(PROTO_UDP) {
        return;
    }
    let key = PeerKey {
        socket_cookie: cookie_of(ctx.as_ptr()),
        remote_addr: remote.bytes(),
        remote_port: remote.port,
        kind,
        reserved: [0; 5],
    };
    if !count(&key) {
        first(ctx, &key, remote, source);
    }
}

/// Adds one datagram to a known peer; false if the peer is not known.
#[inline(always)]
fn count(key: &PeerKey) -> bool {
    let Some(peer) = PEERS.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: the entry outlives the program run. `count` is changed atomically only; `boot_ns` is
    // one aligned word, and any of several CPUs' writes is right.
    unsafe {
        increment(&raw mut (*peer).count);
        ptr::write_volatile(&raw mut (*peer).boot_ns, bpf_ktime_get_boot_ns());
    }
    true
}

#[inline(always)]
fn first(ctx: &SockAddrContext, key: &PeerKey, remote: Endpoint, source: [u32; 4]) {
    // SAFETY: `sock_of` gives the context's socket.
    let socket =
        unsafe { remember(key.socket_cookie, sock_of(ctx.sock_addr).cast(), ctx.as_ptr()) };
    if let Some(socket) = socket {
        socket.flags |= SEEN;
    }
    let mut record = new_record(key.kind, PROTO_UDP, key.socket_cookie);
    // SAFETY: the helper takes the context of this hook.
    record.netns_cookie = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    // Whoever made the socket: this is the process that sends or reads.
    Owner::current().write_to(&mut record);
    record.count = 1;
    let mut local = local_of(ctx, remote.family);
    if remote.family == FAMILY_V4 {
        if source[3] != 0 {
            local = Endpoint::v4(source[3], local.port);
        }
    } else if source[0] | source[1] | source[2] | source[3] != 0 {
        local = Endpoint::v6(source, local.port);
    }
    set_ends(&mut record, local, remote);
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "the stack has no room for a copy"
    )]
    let inserted = PEERS.insert(key, &record, u64::from(BPF_NOEXIST));
    match inserted {
        Ok(()) => {
            emit(&record);
        }
        // Another CPU may have been first, with the same peer; else the table is full.
        Err(_) => {
            if !count(key) {
                count_drop(DROP_PEERS);
            }
        }
    }
}

/// The local end of the context's socket, as a peer of `family` sees it.
#[inline(always)]
fn local_of(ctx: &SockAddrContext, family: u8) -> Endpoint {
    let sk = sock_of(ctx.sock_addr);
    let port = read!(sk, src_port) as u16;
    if family == FAMILY_V6 && read!(sk, family) == AF_INET6 {
        Endpoint::v6(src_ip6(sk), port)
    } else {
        Endpoint::v4(read!(sk, src_ip4), port)
    }
}

#[inline(always)]
fn src_ip6(sk: *mut bpf_sock) -> [u32; 4] {
    [read!(sk, src_ip6[0]), read!(sk, src_ip6[1]), read!(sk, src_ip6[2]), read!(sk, src_ip6[3])]
}
