//! The pipes among a process's descriptors (proc_pid_fd(5), proc_pid_fdinfo(5)): links that read
//! `pipe:[INODE]`, and which end each is.

use std::{io, os::fd::AsFd as _};

use rustix::fs::{Dir, Mode, OFlags, openat, readlinkat};

use super::{MAX_READ, ProcDir};

/// Descriptors looked at: as many as a process may have by default.
const MAX_DESCRIPTORS: usize = 1 << 20;

/// One end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeEnd {
    /// Number of the descriptor.
    pub number: u32,
    /// The pipe.
    pub inode: u64,
    /// Whether this is the end that is written to.
    pub writes: bool,
}

impl ProcDir {
    /// The pipe ends the process holds. Takes `CAP_SYS_PTRACE` for processes of others.
    ///
    /// # Errors
    /// The process is gone, or is not ours to look at.
    pub fn pipe_ends(&self) -> io::Result<Vec<PipeEnd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.0, "fd", flags, Mode::empty())?;
        let mut ends = vec![];
        for entry in Dir::read_from(folder.as_fd())?.take(MAX_DESCRIPTORS) {
            let Ok(entry) = entry else { break };
            // A descriptor may be closed while we look; `.` and `..` are no links.
            let Ok(link) = readlinkat(&folder, entry.file_name(), Vec::new()) else { continue };
            let number = entry.file_name().to_str().ok().and_then(|name| name.parse().ok());
            let (Some(number), Some(inode)) = (number, pipe_inode(link.as_bytes())) else {
                continue;
            };
            let info = self.read(&format!("fdinfo/{number}"), MAX_READ).unwrap_or_default();
            if let Some(writes) = is_for_writing(&info) {
                ends.push(PipeEnd { number, inode, writes });
            }
        }
        Ok(ends)
    }
}

fn pipe_inode(link: &[u8]) -> Option<u64> {
    let inode = link.strip_prefix(b"pipe:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inode).ok()?.parse().ok()
}

/// Whether a descriptor is only for writing, or only for reading, by its `fdinfo`.
fn is_for_writing(info: &[u8]) -> Option<bool> {
    let info = std::str::from_utf8(info).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    // Octal, as in open(2).
    match u32::from_str_radix(flags.trim(), 8).ok()? & 0o3 {
        0o0 => Some(false),
        0o1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn both_ends_of_our_own_pipe_are_found() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let own = ProcDir::open(std::process::id()).expect("our folder");
        let ends = own.pipe_ends().expect("our descriptors");
        let find = |number: i32| ends.iter().find(|end| end.number == number.cast_unsigned());
        let read = find(reader.as_raw_fd()).expect("the reading end");
        let write = find(writer.as_raw_fd()).expect("the writing end");
        assert_eq!((read.inode, read.writes, write.writes), (write.inode, false, true));
    }

    #[test]
    fn other_descriptors_are_no_pipe_ends() {
        assert_eq!(pipe_inode(b"pipe:[4242]"), Some(4242));
        assert_eq!(pipe_inode(b"socket:[4242]"), None);
        assert_eq!(is_for_writing(b"pos:\t0\nflags:\t0100001\nmnt_id:\t9\n"), Some(true));
        assert_eq!(
            is_for_writing(b"pos:\t0\nflags:\t0100002\n"),
            None,
            "a named pipe opened for both"
        );
        assert_eq!(is_for_writing(b""), None);
    }
}
