//! Filesystems nobody mounted. They are mounted where only we see them, and are gone with us.
#![expect(unsafe_code, reason = "a thread gets a mount namespace of its own")]

use std::{io, os::fd::OwnedFd, thread};

use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
        fsconfig_create, fsmount, fsopen, mount, mount_change,
    },
    thread::{UnshareFlags, unshare_unsafe},
};

/// Mounts a filesystem nowhere and opens its root folder; unmounted when that is closed.
pub(super) fn open_detached(kind: &str) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(&root, ".", flags, Mode::empty())?)
}

/// Runs `work` on a thread that sees a filesystem of this `kind` mounted at `path`, and nobody
/// else does.
pub(super) fn with_private<T: Send>(
    kind: &str,
    path: &str,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let run = move || -> io::Result<T> {
        // SAFETY: the table of file descriptors stays shared. The thread ends with this closure,
        // and no other code runs on it.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
        // Without this the mount would spread to where we came from.
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount(kind, path, kind, flags, None)?;
        Ok(work())
    };
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
