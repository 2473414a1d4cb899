//! Network namespaces: their inodes, their cookies, and doing something in one.
#![expect(unsafe_code, reason = "`SO_NETNS_COOKIE` has no safe wrapper")]

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

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// `SO_NETNS_COOKIE`, since Linux 5.14 (include/uapi/asm-generic/socket.h).
const SO_NETNS_COOKIE: i32 = 71;

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

/// Where namespaces are kept without a process in them, inode and path: what `ip netns` makes, and
/// some container runtimes.
#[must_use]
pub fn mounted() -> Vec<(u64, PathBuf)> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(mounted_namespace).collect()
}

/// Inode and path, if a line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)) is about a network
/// namespace: the fourth field is then `net:[INODE]`. Paths with characters that are escaped there
/// are passed over.
fn mounted_namespace(line: &str) -> Option<(u64, PathBuf)> {
    let mut fields = line.split(' ').skip(3);
    let inode = fields.next()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
    Some((inode, fields.next()?.into()))
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

    /// Runs `work` on a thread of its own inside the namespace. Takes `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// The namespace can't be entered.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let inside = || -> io::Result<T> {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
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
        let same = Namespace::open(&path_of(std::process::id())).expect("our namespace");
        assert_eq!(inode, Some(same.inode));
        assert!(Namespace::open(&path_of(u32::MAX)).is_err());
        // Entering even one's own namespace takes privilege.
        if rustix::process::geteuid().is_root() && cookie.is_some() {
            assert_eq!(same.cookie().ok(), cookie);
        }
    }
    #[test]
    fn a_namespace_without_processes_is_found_by_its_mount() {
        let line = "72 26 0:4 net:[4026532177] /run/netns/web rw shared:5 - nsfs nsfs rw";
        let found = Some((4_026_532_177, PathBuf::from("/run/netns/web")));
        assert_eq!(mounted_namespace(line), found);
        for other in ["72 26 0:4 mnt:[4026532177] /x rw", "72 26 0:4 / / rw", "72 26", ""] {
            assert_eq!(mounted_namespace(other), None);
        }
    }
}
