//! Finding every network namespace: those of processes, and those that a mount keeps. One that only
//! a thread, an open descriptor, or a mount in somebody else's mount namespace keeps is not found.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::path_of;

/// Namespaces looked at, at most.
const MAX_NAMESPACES: usize = 4096;
/// Processes of one namespace that are remembered: enough to see whom it serves.
const MAX_PROCESSES: usize = 256;
/// Where `ip netns` keeps namespaces under the names that people give (ip-netns(8)).
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Inode of `/proc/PID/ns/net`.
    pub inode: u64,
    /// Where it can be opened.
    pub path: PathBuf,
    /// What it is called where it is mounted; untrusted text.
    pub name: Option<String>,
    /// Processes in it, at most 256.
    pub pids: Vec<u32>,
}

/// Every network namespace, and how many there was no room for. Those of other users' processes
/// show with `CAP_SYS_PTRACE` only.
#[must_use]
pub fn find_all() -> (Vec<Found>, u64) {
    let mut found: HashMap<u64, Found> = HashMap::new();
    let mut refused = 0;
    let mut add = |inode: u64, path: PathBuf, name: Option<(bool, String)>, pid: Option<u32>| {
        if found.len() >= MAX_NAMESPACES && !found.contains_key(&inode) {
            refused += 1;
            return;
        }
        let space = found.entry(inode).or_insert(Found { inode, path, name: None, pids: vec![] });
        if let Some((given, name)) = name
            && (given || space.name.is_none())
        {
            space.name = Some(name);
        }
        space.pids.extend(pid.filter(|_| space.pids.len() < MAX_PROCESSES));
    };
    for (inode, path) in mounted() {
        let name = name_of(&path);
        add(inode, path, name, None);
    }
    for pid in processes() {
        if let Ok(inode) = inode_of(pid) {
            add(inode, path_of(pid), None, Some(pid));
        }
    }
    let mut all: Vec<_> = found.into_values().collect();
    all.sort_by_key(|space| space.inode);
    (all, refused)
}

/// Whether a process is in the namespace, or a mount keeps it: somebody other than this program,
/// whose own threads and descriptors don't count. `last_user` is a process that was in it. Takes
/// `CAP_SYS_PTRACE`; without, no other process can be looked at, and the answer is yes.
pub fn is_used(inode: u64, last_user: &mut u32) -> bool {
    if inode_of(*last_user).is_ok_and(|of| of == inode)
        || mounted().iter().any(|&(of, _)| of == inode)
    {
        return true;
    }
    let own = std::process::id();
    let (mut seen, mut refused) = (false, false);
    for pid in processes().filter(|&pid| pid != own) {
        match inode_of(pid) {
            Ok(of) if of == inode => {
                *last_user = pid;
                return true;
            }
            Ok(_) => seen = true,
            // A few may have been made unreadable on purpose; if all are, it is us.
            Err(error) => refused |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    refused && !seen
}

/// Where namespaces are kept without a process in them, inode and path: what `ip netns` makes, and
/// some container runtimes.
#[must_use]
pub fn mounted() -> Vec<(u64, PathBuf)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
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

/// The file's name, and whether somebody gave it for people to use.
fn name_of(path: &Path) -> Option<(bool, String)> {
    let given = NAMED.iter().any(|&folder| path.parent() == Some(Path::new(folder)));
    Some((given, path.file_name()?.to_string_lossy().into_owned()))
}

/// Ids of all processes; threads have their own only in the folders below.
pub fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn inode_of(pid: u32) -> io::Result<u64> {
    Ok(fs::metadata(path_of(pid))?.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_is_among_them_and_in_use() {
        let pid = std::process::id();
        let own = inode_of(pid).expect("our namespace");
        let (all, refused) = find_all();
        let found = all.iter().find(|space| space.inode == own).expect("found");
        assert!(!found.pids.is_empty() && refused == 0);
        let mut user = pid;
        assert!(is_used(own, &mut user) && user == pid);
        let mut user = u32::MAX;
        assert!(is_used(own, &mut user) && user != u32::MAX, "another process is found");
    }

    #[test]
    fn a_namespace_without_processes_is_found_by_its_mount() {
        let line = "72 26 0:4 net:[4026532177] /run/netns/web rw shared:5 - nsfs nsfs rw";
        let found = Some((4_026_532_177, PathBuf::from("/run/netns/web")));
        assert_eq!(mounted_namespace(line), found);
        for other in ["72 26 0:4 mnt:[4026532177] /x rw", "72 26 0:4 / / rw", "72 26", ""] {
            assert_eq!(mounted_namespace(other), None);
        }
        assert_eq!(name_of(Path::new("/run/netns/web")), Some((true, "web".to_owned())));
        let other = name_of(Path::new("/run/docker/netns/1a2b"));
        assert_eq!(other, Some((false, "1a2b".to_owned())));
    }
}
