//! Network namespaces: finding them all, their inodes and cookies, and doing something in one.
#![expect(unsafe_code, reason = "`SO_NETNS_COOKIE` has no safe wrapper")]

mod find;

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::{fs::MetadataExt as _, net::UnixDatagram},
    },
    path::{Path, PathBuf},
    thread,
};

use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use self::find::{Found, find_all, is_used, mounted, processes};
use crate::netlink::{ACK, ask, attributes, push_attribute, request};

/// `SO_NETNS_COOKIE`, since Linux 5.14 (include/uapi/asm-generic/socket.h).
const SO_NETNS_COOKIE: i32 = 71;

/// `RTM_NEWNSID`.
const NEW_NSID: u16 = 88;
/// `RTM_GETNSID`.
const GET_NSID: u16 = 90;
/// `NETNSA_NSID`.
const NSID: u16 = 1;
/// `NETNSA_FD`.
const NSID_FD: u16 = 3;
/// struct rtgenmsg: family u8, padded.
const GENERIC: [u8; 4] = [0; 4];

/// A network namespace, held open. Not to be kept: while it is open, the namespace and the
/// interfaces in it cannot go away.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    /// Inode of `/proc/PID/ns/net`.
    pub inode: u64,
}

/// Where the namespace of a process is.
#[must_use]
pub fn path_of(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

impl Namespace {
    /// Opens a namespace. That of another user's process takes `CAP_SYS_PTRACE`.
    ///
    /// # Errors
    /// It is gone, or not ours to see.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode })
    }

    /// Opens a namespace that must be the one with this inode: what a path leads to may change.
    ///
    /// # Errors
    /// It is gone, or not ours to see.
    pub fn open_same(path: &Path, inode: u64) -> io::Result<Self> {
        let namespace = Self::open(path)?;
        if namespace.inode == inode { Ok(namespace) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Moves this thread into the namespace, for good. Takes `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// The namespace can't be entered.
    pub fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// Runs `work` on a thread of its own inside the namespace. Takes `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// The namespace can't be entered.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let inside = || -> io::Result<T> {
            self.enter()?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The kernel's id of the namespace, as the hooks give it. Missing before Linux 5.14.
    ///
    /// # Errors
    /// The namespace can't be entered, or has none.
    pub fn cookie(&self) -> io::Result<u64> {
        self.run(current_cookie)?
    }

    /// Gives the namespace a number in that of this thread, where it has none. The kernel passes
    /// broadcasts on only from namespaces that have one; `ip link` gives numbers as a matter of
    /// course. Takes `CAP_NET_ADMIN`.
    pub fn hear_of(&self) {
        let mut body = GENERIC.to_vec();
        push_attribute(&mut body, NSID, &(-1_i32).to_ne_bytes());
        push_attribute(&mut body, NSID_FD, &self.file.as_raw_fd().to_ne_bytes());
        // It may have one already; and what is not heard of is found by looking again.
        let _ = ask(NETLINK_ROUTE, &request(NEW_NSID, ACK, &body), |_| {});
    }

    /// The number of the namespace in that of this thread, if it has one.
    ///
    /// # Errors
    /// The kernel refused to tell.
    pub fn number(&self) -> io::Result<Option<i32>> {
        let mut body = GENERIC.to_vec();
        push_attribute(&mut body, NSID_FD, &self.file.as_raw_fd().to_ne_bytes());
        let mut number = None;
        ask(NETLINK_ROUTE, &request(GET_NSID, ACK, &body), |message| {
            let rest = message.payload.get(GENERIC.len()..).unwrap_or_default();
            let value = attributes(rest).find(|&(kind, _)| kind == NSID);
            let value = value.and_then(|(_, value)| value.first_chunk::<4>());
            number = value.map(|&value| i32::from_ne_bytes(value)).filter(|&number| number >= 0);
        })?;
        Ok(number)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Cookie and inode of the namespace of this process. The cookie is missing before Linux 5.14.
#[must_use]
pub fn own_namespace() -> (Option<u64>, Option<u64>) {
    let inode = std::fs::metadata("/proc/self/ns/net").map(|meta| meta.ino());
    (current_cookie().ok(), inode.ok())
}

/// The kernel's id of the namespace of this thread. Missing before Linux 5.14.
///
/// # Errors
/// The kernel doesn't know it.
pub fn current_cookie() -> io::Result<u64> {
    // Every socket belongs to a namespace; this kind bothers none of the hooks.
    let socket = UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut length: libc::socklen_t = 8;
    // SAFETY: `cookie` has the eight bytes that `length` promises, and both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 && length == 8 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_is_the_same_either_way() {
        let (cookie, inode) = own_namespace();
        let same = Namespace::open(&path_of(std::process::id())).expect("our namespace");
        assert_eq!(inode, Some(same.inode));
        assert!(Namespace::open(&path_of(u32::MAX)).is_err());
        // Entering even one's own namespace takes privilege.
        if rustix::process::geteuid().is_root() && cookie.is_some() {
            assert_eq!(same.cookie().ok(), cookie);
        }
    }
}
