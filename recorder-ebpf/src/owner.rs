//! Who opened, connected and closed a socket. These hooks run in the process that made the system
//! call, so the running task is the process meant.
#![expect(unsafe_code, reason = "contexts are read through raw pointers, fields one by one")]

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{bpf_sock, bpf_sock_addr},
    helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie},
    macros::{cgroup_sock, cgroup_sock_addr},
    programs::{SockAddrContext, SockContext},
};
use schema::wire::{FLAG_OUTGOING, PROTO_TCP, PROTO_UDP, RecordKind};

use crate::{
    address::{Endpoint, set_remote},
    forward,
    maps::emit,
    socket::{
        self, CREATED, ESTABLISHED, HAS_OWNER, OUTGOING, Owner, SEEN, Socket, TRYING, WAS_READ,
        new_record,
    },
    udp,
};

/// Verdict of every hook here: these programs watch, they never refuse.
pub(crate) const ALLOW: i32 = 1;

/// Reads one field of a context, on its own and in its own width: the verifier knows no other way.
macro_rules! read {
    ($context:expr, $($field:tt)+) => {
        // SAFETY: the kernel hands out a valid context, and the field is in it.
        unsafe { ::core::ptr::read_volatile(&raw const (*$context).$($field)+) }
    };
}
pub(crate) use read;

/// A socket was made.
#[cgroup_sock(sock_create)]
fn sock_create(ctx: SockContext) -> i32 {
    if is_watched(read!(ctx.sock, protocol)) {
        let cookie = cookie_of(ctx.as_ptr());
        let mut initial = new_socket(ctx.as_ptr());
        initial.flags |= CREATED;
        if !socket::insert(cookie, &initial) {
            initial.flags = HAS_OWNER;
            // SAFETY: the context of this hook is the socket.
            let _ = unsafe { socket::store(ctx.as_ptr(), &mut initial) };
        }
    }
    ALLOW
}

/// A socket is about to be connected over IPv4.
#[cgroup_sock_addr(connect4)]
fn connect4(ctx: SockAddrContext) -> i32 {
    let remote = Endpoint::v4(read!(ctx.sock_addr, user_ip4), user_port(ctx.sock_addr));
    connect(&ctx, remote);
    ALLOW
}

/// A socket is about to be connected over IPv6, or by an IPv4-mapped address.
#[cgroup_sock_addr(connect6)]
fn connect6(ctx: SockAddrContext) -> i32 {
    let remote = Endpoint::v6(user_ip6(ctx.sock_addr), user_port(ctx.sock_addr));
    connect(&ctx, remote);
    ALLOW
}

/// The process that connects is the one that uses the socket, whoever made it.
#[inline(always)]
fn connect(ctx: &SockAddrContext, remote: Endpoint) {
    let protocol = read!(ctx.sock_addr, protocol);
    if !is_watched(protocol) {
        return;
    }
    let sk = sock_of(ctx.sock_addr);
    let cookie = cookie_of(ctx.as_ptr());
    // SAFETY: `sk` is the context's socket.
    let Some(socket) = (unsafe { remember(cookie, sk.cast(), ctx.as_ptr()) }) else {
        return;
    };
    let owner = Owner::current();
    if protocol == u32::from(PROTO_UDP) {
        socket.owner = owner;
        socket.flags |= HAS_OWNER;
        udp::connected(ctx, cookie, socket, remote);
    } else {
        give_up(cookie, socket);
        // A socket may be connected again after a failure: nothing of its former life holds.
        socket.flags = HAS_OWNER | TRYING | socket.flags & CREATED;
        socket.owner = owner;
        socket.tried = remote;
    }
}

/// Tells of a connect that came to its end before a SYN was sent: there is no way to the peer, or it is
/// forbidden. No hook says so; but the socket goes on to another connect, or is closed.
#[inline(always)]
fn give_up(cookie: u64, socket: &Socket) {
    if socket.flags & TRYING == 0 {
        return;
    }
    let mut record = socket.record(RecordKind::TcpConnectFail as u8, PROTO_TCP, cookie);
    record.flags |= FLAG_OUTGOING;
    set_remote(&mut record, socket.tried);
    emit(&record);
}

/// The last descriptor of a socket was closed.
#[cgroup_sock(sock_release)]
fn sock_release(ctx: SockContext) -> i32 {
    let protocol = read!(ctx.sock, protocol);
    if !is_watched(protocol) {
        return ALLOW;
    }
    let cookie = cookie_of(ctx.as_ptr());
    let is_tcp = protocol == u32::from(PROTO_TCP);
    if is_tcp {
        forward::released(cookie);
    }
    // SAFETY: the context of this hook is the socket.
    let Some(socket) = (unsafe { socket::get(cookie, ctx.as_ptr()) }) else {
        let mut record = new_record(RecordKind::OlderRelease as u8, protocol as u8, cookie);
        Owner::current().write_to(&mut record);
        emit(&record);
        // Of one that was read from.
        socket::forget(cookie);
        return ALLOW;
    };
    let flags = socket.flags;
    if is_tcp {
        give_up(cookie, socket);
    }
    if is_tcp && flags & (ESTABLISHED | OUTGOING) == ESTABLISHED {
        closed_accepted(cookie, socket);
    } else if !is_tcp && flags & SEEN != 0 {
        emit(&socket.record(RecordKind::UdpClose as u8, PROTO_UDP, cookie));
    }
    if flags & CREATED != 0 {
        if flags & OUTGOING != 0 {
            socket.end_one(cookie);
        } else {
            socket::forget(cookie);
        }
    }
    ALLOW
}

/// Who closes an accepted socket matters if nobody read from it, and if it is not who is known
/// already.
#[inline(always)]
fn closed_accepted(cookie: u64, socket: &Socket) {
    let known = socket.flags & HAS_OWNER != 0 && socket.owner.pid() == Owner::current_pid();
    if known || socket.flags & WAS_READ != 0 || socket.reader.has_read() {
        return;
    }
    let mut record = new_record(RecordKind::TcpRelease as u8, PROTO_TCP, cookie);
    record.netns_cookie = socket.netns_cookie;
    Owner::current().write_to(&mut record);
    emit(&record);
}

/// A socket of the running task.
#[inline(always)]
fn new_socket(ctx: *mut c_void) -> Socket {
    let mut new = Socket::NONE;
    // SAFETY: the helper takes the contexts of these hooks.
    new.netns_cookie = unsafe { bpf_get_netns_cookie(ctx) };
    new.owner = Owner::current();
    new.flags = HAS_OWNER;
    new
}

/// The kernel's id of the context's socket.
#[inline(always)]
pub(crate) fn cookie_of(ctx: *mut c_void) -> u64 {
    // SAFETY: the helper takes the contexts of these hooks.
    unsafe { bpf_get_socket_cookie(ctx) }
}

/// What is remembered about the socket; if nothing yet, the running task becomes its owner.
///
/// # Safety
///
/// `sk` as for [`socket::get`]; `ctx` must be the context of a `cgroup/sock` or `cgroup/sock_addr`
/// program.
#[inline(always)]
pub(crate) unsafe fn remember<'a>(
    cookie: u64,
    sk: *mut c_void,
    ctx: *mut c_void,
) -> Option<&'a mut Socket> {
    // SAFETY: the caller vouches for `sk`.
    if let Some(socket) = unsafe { socket::get(cookie, sk) } {
        return Some(socket);
    }
    // SAFETY: the caller vouches for `sk`.
    unsafe { socket::store(sk, &mut new_socket(ctx)) }
}

/// Whether sockets of this `IPPROTO_*` are watched.
#[inline(always)]
pub(crate) fn is_watched(protocol: u32) -> bool {
    protocol == u32::from(PROTO_TCP) || protocol == u32::from(PROTO_UDP)
}

/// The socket of a `cgroup/sock_addr` context.
#[inline(always)]
pub(crate) fn sock_of(ctx: *mut bpf_sock_addr) -> *mut bpf_sock {
    read!(ctx, __bindgen_anon_1.sk)
}

/// The port the caller named, host byte order. The context holds the two bytes as the system call
/// gave them, in the low half of a word.
#[inline(always)]
pub(crate) fn user_port(ctx: *mut bpf_sock_addr) -> u16 {
    u16::from_be(read!(ctx, user_port) as u16)
}

/// The IPv6 address the caller named.
#[inline(always)]
pub(crate) fn user_ip6(ctx: *mut bpf_sock_addr) -> [u32; 4] {
    [
        read!(ctx, user_ip6[0]),
        read!(ctx, user_ip6[1]),
        read!(ctx, user_ip6[2]),
        read!(ctx, user_ip6[3]),
    ]
}
