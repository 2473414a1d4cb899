//! The root of the cgroup v2 tree, which every process is under: where the programs are attached.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    },
    path::PathBuf,
};

use super::{LoadError, mount};

/// Inode number, which is the cgroup id, of the tree's root. A cgroup namespace shows another
/// folder as `/`, with its own number.
const ROOT_INODE: u64 = 1;

/// The root of the tree, open.
#[derive(Debug)]
pub(super) struct CgroupRoot(OwnedFd);

impl AsFd for CgroupRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opens the root: where it is mounted (also beside version 1, as in hybrid set-ups), else a
/// mount of our own.
pub(super) fn open_root() -> Result<CgroupRoot, LoadError> {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mut seen = false;
    for path in cgroup2_mounts(&mounts) {
        if let Ok(folder) = File::open(path) {
            seen = true;
            if is_root(&folder).unwrap_or(false) {
                return Ok(CgroupRoot(folder.into()));
            }
        }
    }
    let root = match mount::open_detached("cgroup2") {
        Ok(root) => File::from(root),
        Err(_) if seen => return Err(LoadError::CgroupNamespace),
        Err(source) => return Err(LoadError::NoCgroup { source }),
    };
    match is_root(&root) {
        Ok(true) => Ok(CgroupRoot(root.into())),
        Ok(false) => Err(LoadError::CgroupNamespace),
        Err(source) => Err(LoadError::NoCgroup { source }),
    }
}

fn is_root(folder: &File) -> io::Result<bool> {
    Ok(folder.metadata()?.ino() == ROOT_INODE)
}

/// Where cgroup v2 is mounted, by the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
fn cgroup2_mounts(mountinfo: &[u8]) -> Vec<PathBuf> {
    mountinfo.split(|&byte| byte == b'\n').filter_map(cgroup2_mount).collect()
}

fn cgroup2_mount(line: &[u8]) -> Option<PathBuf> {
    let mut fields = line.split(|&byte| byte == b' ');
    let path = fields.nth(4)?;
    // Any number of optional fields, then a lone hyphen.
    fields.find(|field| field == b"-")?;
    let kind = fields.next()?;
    (kind == b"cgroup2").then(|| PathBuf::from(std::ffi::OsString::from_vec(unescape(path))))
}

/// Undoes the kernel's `\040` for a space, and the like.
fn unescape(mut field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    while let Some((&byte, rest)) = field.split_first() {
        let octal = |digit: u8| (b'0'..=b'7').contains(&digit).then(|| u32::from(digit - b'0'));
        if byte == b'\\'
            && let Some(([a, b, c], after)) = rest.split_first_chunk::<3>()
            && let (Some(a), Some(b), Some(c)) = (octal(*a), octal(*b), octal(*c))
            && let Ok(decoded) = u8::try_from(a * 64 + b * 8 + c)
        {
            plain.push(decoded);
            field = after;
        } else {
            plain.push(byte);
            field = rest;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_and_escaped_mounts_are_found() {
        let mountinfo = br"25 30 0:23 / /proc rw,nosuid shared:7 - proc proc rw
31 30 0:27 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:28 / /sys/fs/cgroup/unified rw,relatime shared:10 master:2 - cgroup2 cgroup2 rw
33 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:11 - cgroup cgroup rw,cpu
41 30 0:28 /a /mnt/a\040b\134c rw - cgroup2 none rw
";
        let found = cgroup2_mounts(mountinfo);
        assert_eq!(found, [PathBuf::from("/sys/fs/cgroup/unified"), PathBuf::from(r"/mnt/a b\c")]);
    }

    #[test]
    fn a_cut_or_odd_line_is_passed_over() {
        let mountinfo =
            b"\n1 2 3\n32 31 0:28 / /x rw shared:10\n32 31 0:28 / /x rw -\n- - - - - -\n";
        assert!(cgroup2_mounts(mountinfo).is_empty());
        assert_eq!(unescape(br"a\9\04\777"), br"a\9\04\777");
    }
}
