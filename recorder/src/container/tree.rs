//! The folders of the cgroup v2 tree as they come (inotify(7)): a container that lives for a fraction
//! of a second is gone before anybody reads `/proc/PID/cgroup`, but its folder is made long before
//! its first process, and a cgroup's id, which every hook tells, is the inode number of its folder.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

/// Where the version 2 hierarchy is mounted: alone, and on hybrid hosts.
pub const CGROUP_ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// `CGROUP2_SUPER_MAGIC`, statfs(2).
const CGROUP2: i64 = 0x6367_7270;
/// Folders watched: more than any host has. Of those beyond, processes tell.
const MAX_FOLDERS: usize = 65_536;
/// Bytes read at a time: some fifty new folders with the longest names.
const BUFFER: usize = 16 << 10;

/// Watches the tree.
#[derive(Debug)]
pub struct CgroupTree {
    notes: OwnedFd,
    root: &'static str,
    /// Paths below the root, by the watch of the folder; the root's own is empty.
    folders: HashMap<i32, String>,
    /// The same the other way round.
    watches: HashMap<String, i32>,
    /// Folders found that nobody was told of yet: id, and path from the root on.
    found: VecDeque<(u64, String)>,
}

impl CgroupTree {
    /// Watches all folders there are. `None` where version 2 is not mounted, or nothing can be
    /// watched: then processes alone tell of their cgroups.
    #[must_use]
    pub fn watch() -> Option<Self> {
        let is_cgroup2 =
            |root: &&str| rustix::fs::statfs(*root).is_ok_and(|stat| stat.f_type == CGROUP2);
        let root = CGROUP_ROOTS.into_iter().find(is_cgroup2)?;
        let notes = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        let (folders, watches) = (HashMap::new(), HashMap::new());
        let mut tree = Self { notes, root, folders, watches, found: VecDeque::new() };
        tree.add(String::new());
        (!tree.folders.is_empty()).then_some(tree)
    }

    /// Hands every folder that was not told yet to `tell`: the cgroup's id, and its path as
    /// `/proc/PID/cgroup` has it.
    pub fn read(&mut self, mut tell: impl FnMut(u64, &str)) {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        loop {
            let mut missed = false;
            let mut changes = vec![];
            let mut reader = Reader::new(&self.notes, &mut buffer);
            let end = loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(error) => break error,
                };
                missed |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                if let Some(parent) = self.folders.get(&event.wd())
                    && let Some(Ok(name)) = event.file_name().map(|name| name.to_str())
                {
                    let path = format!("{parent}/{name}");
                    if event.events().contains(ReadFlags::CREATE | ReadFlags::ISDIR) {
                        changes.push((path, true));
                    } else if event.events().contains(ReadFlags::DELETE | ReadFlags::ISDIR) {
                        changes.push((path, false));
                    }
                }
                if reader.is_buffer_empty() {
                    break Errno::INTR;
                }
            };
            for (path, is_new) in changes {
                if is_new {
                    self.add(path);
                } else {
                    self.forget(&path);
                }
            }
            if missed {
                self.add(String::new());
            }
            if end != Errno::INTR {
                break;
            }
        }
        for (id, path) in self.found.drain(..) {
            tell(id, &path);
        }
    }

    /// Watches a folder and all below it. What is made meanwhile may be found twice.
    fn add(&mut self, path: String) {
        let mut paths = vec![path];
        while let Some(path) = paths.pop() {
            if self.folders.len() >= MAX_FOLDERS {
                return;
            }
            let folder = format!("{}{path}", self.root);
            let flags = WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::ONLYDIR
                | WatchFlags::DONT_FOLLOW;
            // It may be gone again, or the user's watches be used up.
            let Ok(watch) = inotify::add_watch(&self.notes, &folder, flags) else { continue };
            let Ok(meta) = fs::symlink_metadata(&folder) else { continue };
            let below = fs::read_dir(&folder).into_iter().flatten().flatten();
            let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            let names = below.filter_map(|entry| entry.file_name().into_string().ok());
            paths.extend(names.map(|name| format!("{path}/{name}")));
            let told = if path.is_empty() { "/".to_owned() } else { path.clone() };
            self.found.push_back((meta.ino(), told));
            self.watches.insert(path.clone(), watch);
            self.folders.insert(watch, path);
        }
    }

    /// A folder is gone. The kernel keeps its watch for as long as it remembers the folder.
    fn forget(&mut self, path: &str) {
        let Some(watch) = self.watches.remove(path) else { return };
        self.folders.remove(&watch);
        // An error says that it is gone already.
        let _ = inotify::remove_watch(&self.notes, watch);
    }
}

impl AsFd for CgroupTree {
    /// Readable when a folder came or went.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notes.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, process::id};

    use super::*;

    #[test]
    fn a_folder_that_is_gone_at_once_is_told_with_its_id() {
        let mut tree = CgroupTree::watch();
        let name = format!("/ebpfrec-test-{}", id());
        let made = tree.as_mut().and_then(|tree| {
            let folder = format!("{}{name}", tree.root);
            fs::create_dir(&folder).ok().map(|()| folder)
        });
        let (Some(mut tree), Some(folder)) = (tree, made) else {
            assert!(std::env::var_os(crate::REQUIRE_LIVE).is_none(), "no cgroup can be made here");
            eprintln!("skipped: no cgroup can be made here");
            return;
        };
        let inner = format!("{folder}/inner");
        let mut told = HashMap::new();
        tree.read(|id, path| {
            told.insert(path.to_owned(), id);
        });
        let number = |path: &str| fs::metadata(Path::new(path)).map(|meta| meta.ino()).ok();
        let want = (number(tree.root), number(&folder));
        assert_eq!((told.get("/").copied(), told.get(&name).copied()), want);
        // One below a new one, after that was told.
        fs::create_dir(&inner).expect("a cgroup");
        let want = number(&inner);
        tree.read(|id, path| {
            told.insert(path.to_owned(), id);
        });
        fs::remove_dir(&inner).expect("empty");
        fs::remove_dir(&folder).expect("empty");
        assert_eq!(told.get(&format!("{name}/inner")).copied(), want);
        tree.read(|_, _| {});
        // Other tests make some, too.
        let is_watched = tree.folders.values().any(|path| path.starts_with(&name));
        assert!(!is_watched, "what is gone is forgotten");
    }
}
