//! The socket on which the kernel tells of connections that begin and end, in all namespaces that
//! have a number in ours.
#![expect(unsafe_code, reason = "no safe wrapper reads which namespace a message is from")]

use std::{
    io,
    mem::{self, MaybeUninit},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    ptr,
};

use libc::{NETLINK_LISTEN_ALL_NSID, SOL_NETLINK};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::{filter, message};
use crate::netlink::ask;

/// `NFNLGRP_CONNTRACK_NEW` and `NFNLGRP_CONNTRACK_DESTROY`.
const GROUPS: [u32; 2] = [1, 3];
/// Bytes read at once; one event is less than 1000.
const READ_BYTES: usize = 8 << 10;
/// Room for the number of a namespace, in units of 8 bytes so that it is aligned: a header of 16
/// bytes, a number of 4.
const CONTROL_WORDS: usize = 8;

/// The socket.
pub(super) struct Events {
    socket: Socket,
    subscribed: bool,
    buffer: Vec<u8>,
}

/// What was read.
pub(super) enum Read<'a> {
    /// Messages, and the number of the namespace they are from; `None` is our own.
    Messages(Option<i32>, &'a [u8]),
    /// The kernel had more to tell than there was room for.
    Overrun,
    /// Nothing more for now.
    Nothing,
}

impl Events {
    /// Opens the socket, with a receive buffer of this size; nothing is heard yet.
    pub(super) fn open(buffer_bytes: usize) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        // All three are refinements: what is lost without the first is counted, without the second
        // dumps tell of other namespaces, and without the third there is more to be read.
        let _ = set_socket_recv_buffer_size_force(borrow(&socket), buffer_bytes);
        let _ = socket.set_listen_all_namespaces(true);
        let _ = attach_filter(borrow(&socket));
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, subscribed: false, buffer: vec![0; READ_BYTES] })
    }

    /// Begins to hear. The kernel loads what tells of connections if it must; it does not begin to
    /// track any for it.
    ///
    /// # Errors
    /// There is nothing in this kernel that tells, or no privilege.
    pub(super) fn subscribe(&mut self) -> io::Result<()> {
        // Joining a group works without anybody to speak in it.
        count_entries()?;
        for group in GROUPS {
            self.socket.add_membership(group)?;
        }
        self.subscribed = true;
        Ok(())
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// Reads one datagram.
    pub(super) fn read(&mut self) -> Read<'_> {
        loop {
            match self.receive() {
                // Anyone may send to the socket; only the kernel is port 0.
                Ok((0, number, length)) => {
                    return Read::Messages(number, self.buffer.get(..length).unwrap_or_default());
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Read::Overrun,
                // Empty; or broken, and then there is nothing to be had from it.
                Err(_) => return Read::Nothing,
            }
        }
    }

    /// The sender's port, the number of the namespace, and the length of a datagram.
    fn receive(&mut self) -> io::Result<(u32, Option<i32>, usize)> {
        let mut sender = MaybeUninit::<libc::sockaddr_nl>::zeroed();
        let mut control = [0_u64; CONTROL_WORDS];
        let mut part =
            libc::iovec { iov_base: self.buffer.as_mut_ptr().cast(), iov_len: self.buffer.len() };
        // SAFETY: for this structure all zeros is a value: null pointers with lengths of 0.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = sender.as_mut_ptr().cast();
        header.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = mem::size_of_val(&control) as _;
        // SAFETY: every pointer in `header` is to a buffer of the length beside it, and all of them
        // outlive the call.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, 0) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: zeroed, of which the kernel wrote over a part; any bytes are a value.
        let sender = unsafe { sender.assume_init() };
        // SAFETY: the kernel has set the header to describe `control`, which is still there.
        let number = unsafe { namespace_number(&header) };
        Ok((sender.nl_pid, number, length))
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrow(&self.socket)
    }
}

/// The number of the namespace that a message is from; `None` if it is from our own.
///
/// # Safety
/// `header` must be as `recvmsg` left it, with its control buffer.
unsafe fn namespace_number(header: &libc::msghdr) -> Option<i32> {
    // SAFETY: these stay within the control buffer, by the caller's promise.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            let libc::cmsghdr { cmsg_level, cmsg_type, cmsg_len, .. } = *control;
            let is_whole = cmsg_len >= libc::CMSG_LEN(size_of::<i32>() as u32) as _;
            if cmsg_level == SOL_NETLINK && cmsg_type == NETLINK_LISTEN_ALL_NSID && is_whole {
                return Some(ptr::read_unaligned(libc::CMSG_DATA(control).cast::<i32>()));
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

/// Has the kernel drop what is told of plain connections.
pub(super) fn attach_filter(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut steps = filter::program();
    let len = u16::try_from(steps.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let program = libc::sock_fprog { len, filter: steps.as_mut_ptr() };
    // SAFETY: `program` points to as many steps as it says; the kernel copies them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many connections the namespace of this thread tracks.
pub(super) fn count_entries() -> io::Result<u32> {
    let mut count = None;
    ask(NETLINK_NETFILTER, &message::count_request(), |message| {
        count = message::parse_count(message).or(count);
    })?;
    count.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn borrow(socket: &Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is the socket's own and stays open as long as the borrow.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}
