//! Network namespaces: their inodes, their cookies, and doing something in one.
#![expect(unsafe_code, reason = "`SO_NETNS_COOKIE` has no safe wrapper")]

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::{fs::MetadataExt as _, net::UnixDatagram},
    },
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// `SO_NETNS_COOKIE`, since Linux 5.14 (include/uapi/asm-generic/socket.h).
const SO_NETNS_COOKIE: i32 = 71;

/// A network namespace, held open. Not to be kept: while it is open, the namespace and the
/// interfaces in it cannot go away.
#[derive(Debug)]
pub(super) struct Namespace {
    file: File,
    /// Inode of `/proc/PID/ns/net`.
    pub(super) inode: u64,
}

impl Namespace {
    /// The namespace of process `pid`.
    pub(super) fn of_process(pid: u32) -> io::Result<Self> {
        let file = File::open(format!("/proc/{pid}/ns/net"))?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode })
    }

    /// Runs `work` on a thread of its own inside the namespace.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let inside = || -> io::Result<T> {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The kernel's id of the namespace, as the hooks give it.
    pub(super) fn cookie(&self) -> io::Result<u64> {
        self.run(current_cookie)?
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

fn current_cookie() -> io::Result<u64> {
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
        let same = Namespace::of_process(std::process::id()).expect("our namespace");
        assert_eq!(inode, Some(same.inode));
        assert!(Namespace::of_process(u32::MAX).is_err());
        // Entering even one's own namespace takes privilege.
        if rustix::process::geteuid().is_root() && cookie.is_some() {
            assert_eq!(same.cookie().ok(), cookie);
        }
    }
}
