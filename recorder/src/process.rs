//! What is known of processes, kept for a while. A process id alone says little: ids are used
//! again and programs replaced, so what is kept is checked before it is believed.

use std::{
    fs,
    num::NonZeroUsize,
    os::unix::fs::MetadataExt as _,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;

use crate::{
    container::{Container, Membership, membership},
    procfs::{ProcDir, Stat, shows_all_processes},
    row::Owner,
};

/// Processes kept. A host rarely runs more at a time, and one takes about a KiB.
const MAX_PROCESSES: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");
/// cgroups kept.
const MAX_CGROUPS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Where the version 2 hierarchy is mounted: alone, and on hybrid hosts.
const CGROUP_ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// What was read so recently is believed. Process ids are given out in turn: between two uses of
/// one lie thousands of forks.
const FRESH: Duration = Duration::from_millis(20);
/// After this everything is read again, even if name and start are the same: the process may have
/// replaced its program or been moved to another cgroup.
const STALE: Duration = Duration::from_secs(1);

/// A process, as `/proc` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The process's name.
    pub comm: String,
    /// Clock ticks from boot to its start.
    pub start_ticks: u64,
    /// Path of the program.
    pub exe: Option<String>,
    /// Arguments, quoted for a shell.
    pub cmdline: Option<String>,
    /// The father's process id; 0 if it has none.
    pub ppid: u32,
    /// The father, unless he was gone.
    pub parent: Option<Parent>,
    /// cgroup and container.
    pub membership: Membership,
}

/// A process's father.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Name.
    pub comm: String,
    /// Path of the program.
    pub exe: Option<String>,
}

impl Process {
    /// The container the process is in.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        self.membership.container.as_ref()
    }

    fn read(pid: u32) -> Option<Self> {
        let folder = ProcDir::open(pid).ok()?;
        let Stat { comm, ppid, start_ticks } = folder.stat().ok()?;
        Some(Self {
            comm,
            start_ticks,
            exe: folder.exe(),
            cmdline: folder.cmdline(),
            ppid,
            parent: Parent::read(ppid),
            membership: membership(&folder.cgroup()),
        })
    }
}

impl Parent {
    fn read(pid: u32) -> Option<Self> {
        let folder = ProcDir::open(pid).ok()?;
        let (uid, gid) = folder.real_ids().ok()?;
        Some(Self { uid, gid, comm: folder.stat().ok()?.comm, exe: folder.exe() })
    }
}

/// Whether the cgroup has this id still: the process may have been moved since the hook ran.
fn has_id(membership: &Membership, cgroup_id: u64) -> bool {
    let Some(path) = &membership.path else { return false };
    // A cgroup's id is the inode number of its folder.
    CGROUP_ROOTS.iter().any(|root| {
        fs::metadata(format!("{root}{path}")).is_ok_and(|folder| folder.ino() == cgroup_id)
    })
}

struct Kept {
    process: Arc<Process>,
    read: Instant,
    checked: Instant,
}

/// The processes seen lately.
pub struct Processes {
    kept: LruCache<u32, Kept>,
    cgroups: LruCache<u64, Membership>,
    usable: bool,
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            kept: LruCache::new(MAX_PROCESSES),
            cgroups: LruCache::new(MAX_CGROUPS),
            usable: shows_all_processes(),
        }
    }
}

impl Processes {
    /// Whether `/proc` shows the processes the kernel's hooks speak of. If not, nothing is looked
    /// up.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.usable
    }

    /// The process of `owner`; `None` if it was gone already.
    pub fn get(&mut self, owner: &Owner) -> Option<Arc<Process>> {
        if !self.usable {
            return None;
        }
        let now = Instant::now();
        let kept = self.kept.get_mut(&owner.pid);
        let believed =
            kept.and_then(|kept| kept.is_believed(owner, now).then(|| Arc::clone(&kept.process)));
        let process = match believed {
            Some(process) => process,
            None => self.read(owner.pid, now)?,
        };
        if process.membership.by_id
            && !self.cgroups.contains(&owner.cgroup_id)
            && has_id(&process.membership, owner.cgroup_id)
        {
            self.cgroups.put(owner.cgroup_id, process.membership.clone());
        }
        Some(process)
    }

    /// cgroup and container of a process that is gone, if another one was seen in the same cgroup.
    pub fn membership(&mut self, cgroup_id: u64) -> Option<&Membership> {
        self.cgroups.get(&cgroup_id)
    }

    fn read(&mut self, pid: u32, now: Instant) -> Option<Arc<Process>> {
        let Some(process) = Process::read(pid) else {
            self.kept.pop(&pid);
            return None;
        };
        let process = Arc::new(process);
        self.kept.put(pid, Kept { process: Arc::clone(&process), read: now, checked: now });
        Some(process)
    }
}

impl Kept {
    fn is_believed(&mut self, owner: &Owner, now: Instant) -> bool {
        // The main thread's name is the process's: another one means another program.
        let renamed = owner.tid == owner.pid
            && *self.process.comm != *String::from_utf8_lossy(owner.thread_name());
        if renamed || now.duration_since(self.read) >= STALE {
            return false;
        }
        if now.duration_since(self.checked) < FRESH {
            return true;
        }
        let stat = ProcDir::open(owner.pid).and_then(|folder| folder.stat());
        self.checked = now;
        stat.is_ok_and(|stat| {
            stat.start_ticks == self.process.start_ticks && stat.comm == self.process.comm
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        process::{Command, Stdio},
    };

    use super::*;

    fn owner(pid: u32, comm: &str) -> Owner {
        let mut padded = [0; 16];
        padded[..comm.len()].copy_from_slice(comm.as_bytes());
        Owner { pid, tid: pid, uid: 0, gid: 0, cgroup_id: 7, comm: padded }
    }

    #[test]
    fn a_child_is_known_until_it_is_gone() {
        let mut processes = Processes::default();
        let mut child = Command::new("cat")
            .args(["-u", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("child");
        // Once it answers, its program is in place.
        child.stdin.as_mut().expect("piped").write_all(b"x").expect("written");
        child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("read");
        let known = processes.get(&owner(child.id(), "cat")).expect("running");
        assert_eq!(known.comm, "cat");
        assert_eq!(known.cmdline.as_deref(), Some("cat -u -"));
        assert_eq!(known.ppid, std::process::id());
        let parent = known.parent.as_ref().expect("our own process");
        assert_eq!(
            parent.exe,
            std::env::current_exe().ok().and_then(|exe| exe.into_os_string().into_string().ok())
        );
        child.kill().expect("killed");
        child.wait().expect("reaped");
        // Long enough for what is kept not to be believed unseen.
        std::thread::sleep(FRESH * 2);
        assert_eq!(processes.get(&owner(child.id(), "cat")), None);
    }

    #[test]
    fn another_name_means_another_program() {
        let mut processes = Processes::default();
        let mut child = Command::new("sh")
            .args(["-c", "read line; exec sleep 60"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("child");
        let before = processes.get(&owner(child.id(), "sh")).expect("running");
        assert_eq!(before.comm, "sh");
        child.stdin.as_mut().expect("piped").write_all(b"go\n").expect("told");
        let replaced = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            processes.get(&owner(child.id(), "sleep")).is_some_and(|now| now.comm == "sleep")
        });
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert!(replaced);
    }
}
