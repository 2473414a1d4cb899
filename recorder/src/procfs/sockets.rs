//! The sockets among a process's descriptors (proc_pid_fd(5)): links that read `socket:[INODE]`.

use std::{io, os::fd::AsFd as _};

use rustix::fs::{Dir, Mode, OFlags, openat, readlinkat};

use super::ProcDir;

impl ProcDir {
    /// Hands the inode of every socket the process holds to `each`, once per descriptor; returns
    /// how many descriptors there were. Takes `CAP_SYS_PTRACE` for processes of others.
    ///
    /// # Errors
    /// The process is gone, or is not ours to look at.
    pub fn sockets(&self, mut each: impl FnMut(u32)) -> io::Result<usize> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.0, "fd", flags, Mode::empty())?;
        let mut seen = 0;
        let mut link = Vec::new();
        for entry in Dir::read_from(folder.as_fd())? {
            let Ok(entry) = entry else { break };
            // A descriptor may be closed while we look; `.` and `..` are no links.
            let Ok(target) = readlinkat(&folder, entry.file_name(), link) else {
                link = Vec::new();
                continue;
            };
            seen += 1;
            if let Some(inode) = socket_inode(target.as_bytes()) {
                each(inode);
            }
            link = target.into_bytes();
        }
        Ok(seen)
    }
}

fn socket_inode(link: &[u8]) -> Option<u32> {
    let inode = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inode).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::unix::fs::MetadataExt as _};

    use super::*;

    #[test]
    fn our_own_sockets_are_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&socket));
        let inode = std::fs::metadata(path).expect("our descriptor").ino();
        let own = ProcDir::open(std::process::id()).expect("our folder");
        let mut found = vec![];
        let seen = own.sockets(|inode| found.push(u64::from(inode))).expect("our descriptors");
        assert!(found.contains(&inode) && seen >= found.len());
    }

    #[test]
    fn other_links_are_no_sockets() {
        assert_eq!(socket_inode(b"socket:[4242]"), Some(4242));
        for other in
            [&b"pipe:[4242]"[..], b"socket:[x]", b"socket:[", b"/socket:[1] (deleted)", b""]
        {
            assert_eq!(socket_inode(other), None);
        }
    }
}
