//! One process's folder under `/proc`. It is opened once: whatever is read through it is of that
//! process, and fails once the process is gone, even if its id is used again.

mod cmdline;
mod pipes;
mod sockets;
mod stat;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::fs::{Mode, OFlags, open, openat, readlinkat};

pub use self::{
    cmdline::quote_cmdline,
    pipes::PipeEnd,
    stat::{Stat, real_ids},
};

/// Most bytes read of any file but the command line. The longest, `cgroup`, has a line per
/// hierarchy, of which there are fewer than twenty, each shorter than `PATH_MAX`.
const MAX_READ: usize = 64 << 10;

/// What usually is enough for such a file.
const USUAL_READ: usize = 1024;

/// Most bytes of a command line in the event file.
pub const MAX_CMDLINE: usize = 4096;

/// The pid namespace every other one is in, as `/proc/PID/ns/pid` shows it (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &[u8] = b"pid:[4026531836]";

/// An open `/proc/PID`.
#[derive(Debug)]
pub struct ProcDir(OwnedFd);

impl ProcDir {
    /// Opens the folder of process `pid`; fails if there is no such process.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(pid: u32) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(format!("/proc/{pid}"), flags, Mode::empty())?))
    }

    /// Name, father and start time.
    ///
    /// # Errors
    /// The process is gone.
    pub fn stat(&self) -> io::Result<Stat> {
        let text = self.read("stat", MAX_READ)?;
        Stat::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Real user and group id.
    ///
    /// # Errors
    /// The process is gone.
    pub fn real_ids(&self) -> io::Result<(u32, u32)> {
        let text = self.read("status", MAX_READ)?;
        real_ids(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Path of the program; `None` for a kernel thread and a process that has ended.
    #[must_use]
    pub fn exe(&self) -> Option<String> {
        let path = readlinkat(&self.0, "exe", Vec::new()).ok()?;
        let path = path.to_string_lossy();
        // What the kernel adds once the file was replaced or removed.
        let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
        (!path.is_empty()).then(|| path.to_owned())
    }

    /// The arguments, quoted for a shell, at most 4,096 bytes.
    #[must_use]
    pub fn cmdline(&self) -> Option<String> {
        // Quoting never makes text shorter, so this many bytes are as good as all.
        let arguments = self.read("cmdline", MAX_CMDLINE + 1).ok()?;
        (!arguments.is_empty()).then(|| quote_cmdline(&arguments, MAX_CMDLINE))
    }

    /// The text of `cgroup` (cgroups(7)); empty if it can't be read.
    #[must_use]
    pub fn cgroup(&self) -> Vec<u8> {
        self.read("cgroup", MAX_READ).unwrap_or_default()
    }

    fn read(&self, name: &str, most: usize) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(self.0.as_fd(), name, flags, Mode::empty())?;
        // Else half of all calls only find out how much there is.
        let mut text = Vec::with_capacity(most.min(USUAL_READ));
        io::Read::read_to_end(
            &mut io::Read::take(std::fs::File::from(file), most as u64),
            &mut text,
        )?;
        Ok(text)
    }
}

/// Whether the process ids of the kernel's hooks are those of `/proc` here. Inside a container with
/// a process id namespace of its own they are not.
#[must_use]
pub fn shows_all_processes() -> bool {
    let link = |path: &str| rustix::fs::readlink(path, Vec::new()).ok();
    let own = std::process::id().to_string();
    link("/proc/self/ns/pid").is_some_and(|link| link.as_bytes() == INITIAL_PID_NAMESPACE)
        && link("/proc/self").is_some_and(|link| link.as_bytes() == own.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_read() {
        let pid = std::process::id();
        let own = ProcDir::open(pid).expect("our folder");
        let stat = own.stat().expect("our stat");
        assert_eq!(stat.ppid, std::os::unix::process::parent_id());
        let exe = std::env::current_exe().expect("our program");
        assert_eq!(own.exe().as_deref(), exe.to_str());
        assert!(own.cmdline().expect("arguments").starts_with(exe.to_str().expect("UTF-8")));
        let ids = own.real_ids().expect("our ids");
        assert_eq!(ids.0, rustix::process::getuid().as_raw());
        assert!(own.cgroup().ends_with(b"\n"));
    }

    #[test]
    fn a_folder_outlives_its_process_but_never_shows_another() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("child");
        let folder = ProcDir::open(child.id()).expect("the child's folder");
        assert!(folder.stat().is_ok());
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert!(folder.stat().is_err());
        assert_eq!((folder.exe(), folder.cmdline()), (None, None));
        assert!(folder.cgroup().is_empty());
    }
}
