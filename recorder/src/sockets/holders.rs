//! Who holds a socket that was there before the recording: every process is looked through for it.
//! A socket can have several holders, by `fork` or by being passed on; who of them uses it nothing
//! here can tell, so it gets an owner only where one is certain.

use std::{
    collections::{HashMap, HashSet},
    fs,
};

use schema::wire::COMM_LEN;

use crate::{procfs::ProcDir, row::Owner};

/// Descriptors looked at in one search, of all processes together; some four seconds' work.
const MAX_DESCRIPTORS: usize = 1 << 22;
/// Fathers followed upwards; a longer line of descent is no father's.
const MAX_GENERATIONS: usize = 64;

/// Holders of the sockets searched for.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// Inode → processes, each once.
    by_inode: HashMap<u32, Vec<u32>>,
    owners: HashMap<u32, Option<Owner>>,
    fathers: HashMap<u32, u32>,
}

impl Holders {
    /// Looks through all processes for sockets with these inodes. Needs `CAP_SYS_PTRACE`.
    pub(super) fn find(wanted: &HashSet<u32>) -> Self {
        let mut found = Self::default();
        let mut looked_at = 0;
        for pid in processes() {
            let Ok(folder) = ProcDir::open(pid) else { continue };
            let seen = folder.sockets(|inode| {
                if wanted.contains(&inode) {
                    let holders = found.by_inode.entry(inode).or_default();
                    if holders.last() != Some(&pid) {
                        holders.push(pid);
                    }
                }
            });
            looked_at += seen.unwrap_or(0);
            if looked_at > MAX_DESCRIPTORS {
                break;
            }
        }
        found
    }

    /// The owner of the socket with this inode: its only holder. Of a socket that is `shared` by
    /// design, a listener or an unbound one, the holder that all the others descend from: who made
    /// it and handed it down.
    pub(super) fn owner(&mut self, inode: u32, shared: bool) -> Option<Owner> {
        let holders = self.by_inode.get(&inode)?.clone();
        let pid = match holders.as_slice() {
            [only] => *only,
            several if shared => self.ancestor(several)?,
            _ => return None,
        };
        *self.owners.entry(pid).or_insert_with(|| read_owner(pid))
    }

    /// The one of `holders` that all the others descend from.
    fn ancestor(&mut self, holders: &[u32]) -> Option<u32> {
        let mut eldest = holders.iter().copied().filter(|&pid| !self.descends(pid, holders));
        let first = eldest.next();
        if eldest.next().is_some() { None } else { first }
    }

    fn descends(&mut self, pid: u32, holders: &[u32]) -> bool {
        let mut above = pid;
        for _ in 0..MAX_GENERATIONS {
            above = *self.fathers.entry(above).or_insert_with(|| father(above));
            if above == 0 {
                return false;
            }
            if above != pid && holders.contains(&above) {
                return true;
            }
        }
        false
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The father's process id; 0 if there is none.
fn father(pid: u32) -> u32 {
    ProcDir::open(pid).and_then(|folder| folder.stat()).map_or(0, |stat| stat.ppid)
}

/// The process as a hook would show it, except for its cgroup's id.
fn read_owner(pid: u32) -> Option<Owner> {
    let folder = ProcDir::open(pid).ok()?;
    let (uid, gid) = folder.real_ids().ok()?;
    let name = folder.stat().ok()?.comm;
    let mut comm = [0; COMM_LEN];
    let length = name.len().min(COMM_LEN - 1);
    comm[..length].copy_from_slice(&name.as_bytes()[..length]);
    Some(Owner { pid, tid: pid, uid, gid, cgroup_id: 0, comm })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(fathers: &[(u32, u32)]) -> Holders {
        Holders { fathers: fathers.iter().copied().collect(), ..Holders::default() }
    }

    #[test]
    fn the_master_owns_what_it_handed_down() {
        let mut holders = family(&[(10, 1), (11, 10), (12, 11), (1, 0)]);
        assert_eq!(holders.ancestor(&[11, 12, 10]), Some(10));
        assert_eq!(holders.ancestor(&[10, 12]), Some(10), "through one that holds nothing");
    }

    #[test]
    fn brothers_without_their_father_are_ambiguous() {
        let mut holders = family(&[(10, 1), (11, 10), (12, 10), (1, 0)]);
        assert_eq!(holders.ancestor(&[11, 12]), None);
        // A loop can't be, and must not be followed for ever.
        let mut loops = family(&[(5, 6), (6, 5)]);
        assert_eq!(loops.ancestor(&[5, 7]), None);
    }
}
