//! What is known of processes, kept for a while. Where the kernel tells of every new process and
//! program, its word is taken, and `/proc` completes it; where it does not, everything is read from
//! `/proc`, and what is kept is checked before it is believed, because process ids are used again
//! and programs replaced.

mod program;

use std::{fs, num::NonZeroUsize, os::unix::fs::MetadataExt as _, sync::Arc};

use lru::LruCache;

pub use self::program::Program;
use self::program::earliest_start;
use crate::{
    clock::boot_ns,
    container::{CGROUP_ROOTS, Container, Membership, membership},
    decode::{ProcessEvent, Started},
    procfs::{ProcDir, Stat, shows_all_processes},
    row::Owner,
};

/// Processes kept. A host rarely runs more at a time, and one takes about a KiB.
const MAX_PROCESSES: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");
/// cgroups kept.
const MAX_CGROUPS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Nanoseconds for which what was read is believed unseen. Process ids are given out in turn:
/// between two uses of one lie thousands of forks.
const FRESH_NS: u64 = 20_000_000;
/// Nanoseconds after which everything is read again, even if name and start are the same: the
/// process may have replaced its program, given itself a title, or been moved to another cgroup.
const STALE_NS: u64 = 1_000_000_000;
/// Nanoseconds between the start of a process, as `/proc` gives it, and the hook that tells of it.
/// So soon after a clock tick the process may have started before it.
const FORK_NS: u64 = 200_000;

/// A process, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// What it runs.
    pub program: Arc<Program>,
    /// Clock ticks from boot to its start.
    pub start_ticks: Option<u64>,
    /// The father's process id; 0 if it has none.
    pub ppid: u32,
    /// The father, unless he was gone.
    pub parent: Option<Arc<Parent>>,
    /// cgroup and container.
    pub membership: Option<Arc<Membership>>,
}

/// A process's father, at the time of the fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// What he ran.
    pub program: Arc<Program>,
}

impl Process {
    /// The container the process is in.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        self.membership.as_ref()?.container.as_ref()
    }

    fn read(pid: u32) -> Option<Self> {
        let folder = ProcDir::open(pid).ok()?;
        let Stat { comm, ppid, start_ticks } = folder.stat().ok()?;
        Some(Self {
            program: Arc::new(Program::shown(pid, &folder, comm, Default::default())),
            start_ticks: Some(start_ticks),
            ppid,
            parent: Parent::read(ppid).map(Arc::new),
            membership: None,
        })
    }

    /// Brings what can change up to date; false if there is another process by now.
    fn refresh(&mut self, pid: u32) -> bool {
        // A process that is gone stays as it was.
        let Ok(folder) = ProcDir::open(pid) else { return true };
        let Ok(Stat { comm, ppid, start_ticks }) = folder.stat() else { return true };
        // What a hook told and what the kernel keeps can differ by one tick.
        if self.start_ticks.is_some_and(|known| known.abs_diff(start_ticks) > 1) {
            return false;
        }
        self.start_ticks.get_or_insert(start_ticks);
        if self.ppid == 0 {
            self.ppid = ppid;
            self.parent = Parent::read(ppid).map(Arc::new);
        }
        let program = Program::shown(pid, &folder, comm, self.program.told_facts().clone());
        if program != *self.program {
            self.program = Arc::new(program);
        }
        let cgroup = membership(&folder.cgroup());
        if self.membership.as_deref() != Some(&cgroup) {
            self.membership = Some(Arc::new(cgroup));
        }
        true
    }
}

impl Parent {
    fn read(pid: u32) -> Option<Self> {
        let folder = ProcDir::open(pid).ok()?;
        let (uid, gid) = folder.real_ids().ok()?;
        let comm = folder.stat().ok()?.comm;
        let program = Program::shown(pid, &folder, comm, Default::default());
        Some(Self { uid, gid, program: Arc::new(program) })
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
    /// When everything was read, or told, `CLOCK_BOOTTIME` nanoseconds.
    read_ns: u64,
    /// When it was last seen to be the same process still.
    checked_ns: u64,
    /// The cgroup id the process had when cgroup and container were found out. Before that they are
    /// its father's, if he is in a container, which only few children leave.
    cgroup_id: Option<u64>,
    ended: bool,
}

/// The processes seen lately.
pub struct Processes {
    kept: LruCache<u32, Kept>,
    cgroups: LruCache<u64, Arc<Membership>>,
    usable: bool,
    told: bool,
    ticks_per_second: u64,
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            kept: LruCache::new(MAX_PROCESSES),
            cgroups: LruCache::new(MAX_CGROUPS),
            usable: shows_all_processes(),
            told: false,
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
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

    /// From now on every new process and every new program is given to [`Processes::note`].
    pub fn trust_events(&mut self) {
        self.told = true;
    }

    /// Some events were lost: forgets what was known by them.
    pub fn distrust(&mut self) {
        self.kept.clear();
    }

    /// The process of `owner`; `None` if nothing is known of it and it was gone already.
    pub fn get(&mut self, owner: &Owner) -> Option<Arc<Process>> {
        let now = boot_ns();
        let (usable, told) = (self.usable, self.told);
        let kept = self.kept.get_mut(&owner.pid);
        let believed = kept.is_some_and(|kept| {
            if told { kept.is_up_to_date(owner, now, usable) } else { kept.is_believed(owner, now) }
        });
        if !believed {
            self.read(owner.pid, now)?;
        }
        self.complete_membership(owner);
        self.kept.get(&owner.pid).map(|kept| Arc::clone(&kept.process))
    }

    /// There is a cgroup with this id and path, of which no process need be known yet.
    pub fn learn_cgroup(&mut self, id: u64, path: &str) {
        let membership = membership(format!("0::{path}\n").as_bytes());
        if membership.by_id {
            self.cgroups.put(id, Arc::new(membership));
        }
    }

    /// cgroup and container of a process that is gone, if its cgroup was seen.
    pub fn membership(&mut self, cgroup_id: u64) -> Option<&Membership> {
        self.cgroups.get(&cgroup_id).map(|membership| &**membership)
    }

    /// Takes what happened to a process. Returns the process that began to run another program or
    /// ended, if anything is known of it.
    pub fn note(&mut self, event: &ProcessEvent) -> Option<Arc<Process>> {
        if !self.told {
            return None;
        }
        match event {
            ProcessEvent::Fork { boot_ns, pid, maker, foreign_parent } => {
                self.note_fork(*boot_ns, *pid, maker, *foreign_parent);
                None
            }
            ProcessEvent::Exec { boot_ns, owner, started } => {
                self.note_exec(*boot_ns, owner, started.as_ref());
                self.complete_membership(owner);
                self.kept.get(&owner.pid).map(|kept| Arc::clone(&kept.process))
            }
            ProcessEvent::Exit { owner, .. } => {
                let kept = self.kept.get_mut(&owner.pid)?;
                kept.ended = true;
                Some(Arc::clone(&kept.process))
            }
        }
    }

    fn note_fork(&mut self, boot_ns: u64, pid: u32, maker: &Owner, foreign_parent: bool) {
        if let Some(old) = self.kept.peek(&pid) {
            old.process.program.refute(pid, boot_ns);
        }
        let known = self.kept.contains(&maker.pid) || self.read(maker.pid, boot_ns).is_some();
        let maker_process = if known { self.kept.get(&maker.pid) } else { None };
        let maker_process = maker_process.map(|kept| Arc::clone(&kept.process));
        let program = maker_process.as_ref().map_or_else(
            || Arc::new(Program::named(maker.thread_name())),
            |maker| Arc::clone(&maker.program),
        );
        let (ppid, parent) = if foreign_parent {
            maker_process.as_ref().map_or((0, None), |maker| (maker.ppid, maker.parent.clone()))
        } else {
            let program = Arc::clone(&program);
            let parent = Parent { uid: maker.uid, gid: maker.gid, program };
            (maker.pid, Some(Arc::new(parent)))
        };
        let membership = maker_process
            .filter(|maker| maker.container().is_some())
            .and_then(|maker| maker.membership.clone());
        let start_ticks = Some(self.start_ticks(pid, boot_ns));
        let process = Process { program, start_ticks, ppid, parent, membership };
        self.keep(pid, process, boot_ns);
    }

    fn note_exec(&mut self, boot_ns: u64, owner: &Owner, started: Option<&Started>) {
        let pid = owner.pid;
        // Of a process that was there before, father and start are still to be read.
        let known = self.kept.contains(&pid) || self.read(pid, boot_ns).is_some();
        let before = if known { self.kept.get(&pid) } else { None };
        let before = before.map(|kept| Arc::clone(&kept.process)).unwrap_or_default();
        before.program.refute(pid, earliest_start(boot_ns, started));
        let program = Arc::new(Program::started(owner, started, &before.program, self.usable));
        self.keep(pid, Process { program, ..(*before).clone() }, boot_ns);
    }

    /// Clock ticks from boot to the start of a process that was told to be new at `boot_ns`.
    fn start_ticks(&self, pid: u32, boot_ns: u64) -> u64 {
        let tick_ns = 1_000_000_000 / self.ticks_per_second;
        let told = boot_ns / tick_ns;
        if !self.usable || boot_ns % tick_ns >= FORK_NS {
            return told;
        }
        let stat = ProcDir::open(pid).and_then(|folder| folder.stat());
        let shown = stat.ok().map(|stat| stat.start_ticks);
        shown.filter(|&shown| shown <= told && shown + 1 >= told).unwrap_or(told)
    }

    fn keep(&mut self, pid: u32, process: Process, now: u64) {
        let process = Arc::new(process);
        let kept = Kept { process, read_ns: now, checked_ns: now, cgroup_id: None, ended: false };
        self.kept.put(pid, kept);
    }

    fn read(&mut self, pid: u32, now: u64) -> Option<()> {
        let process = self.usable.then(|| Process::read(pid)).flatten();
        let Some(process) = process else {
            self.kept.pop(&pid);
            return None;
        };
        self.keep(pid, process, now);
        Some(())
    }

    /// Sees to it that the process's cgroup and container are its own, and remembers them for
    /// processes that are gone when they are looked for.
    fn complete_membership(&mut self, owner: &Owner) {
        let Some(kept) = self.kept.get_mut(&owner.pid) else { return };
        if owner.cgroup_id == 0 && kept.cgroup_id.is_some() {
            // The owner of a socket that was there before: no hook has told his cgroup.
            return;
        }
        let seen = self.cgroups.get(&owner.cgroup_id);
        if kept.cgroup_id != Some(owner.cgroup_id) {
            kept.cgroup_id = Some(owner.cgroup_id);
            let own = match seen {
                Some(seen) => Some(Arc::clone(seen)),
                None if self.usable => read_membership(owner.pid),
                None => None,
            };
            if own.is_some() && own != kept.process.membership {
                Arc::make_mut(&mut kept.process).membership = own;
            }
        }
        if seen.is_none()
            && owner.cgroup_id != 0
            && let Some(membership) = &kept.process.membership
            && membership.by_id
            && has_id(membership, owner.cgroup_id)
        {
            self.cgroups.put(owner.cgroup_id, Arc::clone(membership));
        }
    }
}

fn read_membership(pid: u32) -> Option<Arc<Membership>> {
    let text = ProcDir::open(pid).ok()?.cgroup();
    (!text.is_empty()).then(|| Arc::new(membership(&text)))
}

impl Kept {
    /// The main thread's name is the process's: another one means another program, or title.
    fn is_renamed(&self, owner: &Owner) -> bool {
        owner.tid == owner.pid
            && self.process.program.comm() != Some(&*String::from_utf8_lossy(owner.thread_name()))
    }

    /// Where every change of program is told: false only if there is another process by now.
    fn is_up_to_date(&mut self, owner: &Owner, now: u64, usable: bool) -> bool {
        let age = now.saturating_sub(self.read_ns);
        let is_due = age >= STALE_NS || (age >= FRESH_NS && self.is_renamed(owner));
        if self.ended || !usable || !is_due {
            return true;
        }
        self.read_ns = now;
        if owner.cgroup_id != 0 {
            self.cgroup_id = Some(owner.cgroup_id);
        }
        Arc::make_mut(&mut self.process).refresh(owner.pid)
    }

    /// Where nothing is told.
    fn is_believed(&mut self, owner: &Owner, now: u64) -> bool {
        if self.is_renamed(owner) || now.saturating_sub(self.read_ns) >= STALE_NS {
            return false;
        }
        if now.saturating_sub(self.checked_ns) < FRESH_NS {
            return true;
        }
        let stat = ProcDir::open(owner.pid).and_then(|folder| folder.stat());
        self.checked_ns = now;
        stat.is_ok_and(|stat| {
            Some(stat.start_ticks) == self.process.start_ticks
                && Some(&*stat.comm) == self.process.program.comm()
        })
    }
}

#[cfg(test)]
mod tests;
