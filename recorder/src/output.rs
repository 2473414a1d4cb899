//! Output files: written under `NAME.partial`, given their name when they are complete, with room
//! on the disk set aside so that a full disk leaves something whole.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Seek as _, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
    process::{Gid, Uid},
};

mod error;
mod reserve;
#[cfg(test)]
mod tests;

pub use error::OutputError;
pub use reserve::{Reserve, Room};

/// What a file is called while it is being written, behind the name it will have.
pub const PARTIAL: &str = ".partial";

/// Owner may read and write, nobody else may do anything: recordings hold command lines and
/// payloads.
const MODE: u32 = 0o600;

/// A file that does not have its name yet.
#[derive(Debug)]
pub struct PartialFile {
    file: File,
    path: PathBuf,
    partial: PathBuf,
    written: u64,
}

impl PartialFile {
    /// Creates `PATH.partial`, empty. One that another recording left is not touched.
    ///
    /// # Errors
    /// [`OutputError`]; nothing was created then.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let own = || path.to_owned();
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(OutputError::Folder { path: own() }),
            Ok(meta) if !meta.is_file() => return Err(OutputError::NotAFile { path: own() }),
            _ => {}
        }
        // A trailing slash or dots: nothing that could name a file.
        if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(OutputError::Folder { path: own() });
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent
            && matches!(fs::metadata(parent), Err(error) if error.kind() == io::ErrorKind::NotFound)
        {
            return Err(OutputError::NoFolder { path: own(), parent: parent.to_owned() });
        }
        let partial = beside(path, PARTIAL);
        let file = create_beside(path, PARTIAL)?;
        Ok(Self { file, path: own(), partial, written: 0 })
    }

    /// Opens the `PATH.partial` that a recording left behind, for reading and writing; `None` if
    /// there is none. What is written goes behind its first `keep` bytes.
    ///
    /// # Errors
    /// [`OutputError::Busy`] if it is still being written; [`OutputError::Io`].
    pub fn left(path: &Path) -> Result<Option<Self>, OutputError> {
        let partial = beside(path, PARTIAL);
        let Some(file) = open_left(path, PARTIAL)? else { return Ok(None) };
        let length = file.metadata().map(|meta| meta.len());
        let written = length.map_err(|source| OutputError::Io { path: path.to_owned(), source })?;
        Ok(Some(Self { file, path: path.to_owned(), partial, written }))
    }

    /// What is in it, for reading.
    #[must_use]
    pub fn contents(&self) -> &File {
        &self.file
    }

    /// Forgets what follows the first `length` bytes; writing goes on there.
    ///
    /// # Errors
    /// What the system says.
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(io::SeekFrom::Start(length))?;
        self.written = length;
        Ok(())
    }

    /// The name the file will have.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Something to set room aside with, while others write; `first` bytes at once.
    ///
    /// # Errors
    /// [`OutputError::Full`] if there is not even that much room.
    pub fn reserve(&self, first: u64) -> Result<Reserve, OutputError> {
        Reserve::of(&self.file, &self.path, first)
    }

    /// Cuts the file back to `bytes`, gives it its name and returns its size.
    ///
    /// # Errors
    /// [`OutputError::Io`]; what was written stays under `NAME.partial`.
    pub fn finish(self) -> Result<u64, OutputError> {
        self.publish(RenameFlags::empty())
    }

    /// The same, unless there is a file of that name.
    ///
    /// # Errors
    /// [`OutputError::Exists`], [`OutputError::Io`].
    pub fn finish_new(self) -> Result<u64, OutputError> {
        // Where the kernel or the filesystem cannot do both at once, looking first must do.
        if fs::symlink_metadata(&self.path).is_ok() {
            return Err(OutputError::Exists { path: self.path.clone() });
        }
        self.publish(RenameFlags::NOREPLACE)
    }

    fn publish(self, flags: RenameFlags) -> Result<u64, OutputError> {
        let rename = |flags| renameat_with(CWD, &self.partial, CWD, &self.path, flags);
        let publish = || -> io::Result<()> {
            // Also gives back what was set aside behind the end.
            self.file.set_len(self.written)?;
            self.file.sync_all()?;
            match rename(flags) {
                Err(Errno::INVAL | Errno::NOSYS) if !flags.is_empty() => {
                    rename(RenameFlags::empty())?;
                }
                renamed => renamed?,
            }
            Ok(())
        };
        publish().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OutputError::Gone { path: self.path.clone() },
            _ => OutputError::Io { path: self.path.clone(), source },
        })?;
        Ok(self.written)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // Nothing worth keeping: a recording that never began. If it cannot be removed, its name
        // says that it is not complete.
        if self.written == 0 {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

impl Write for PartialFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.file.write(buffer)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// `PATH` with `ending` behind its name.
#[must_use]
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Creates a file that goes with `path`, empty, locked, for its owner alone.
///
/// # Errors
/// [`OutputError::Busy`], [`OutputError::Left`] if a recording left something in it,
/// [`OutputError::Io`].
pub fn create_beside(path: &Path, ending: &str) -> Result<File, OutputError> {
    let io_error = |source| OutputError::Io { path: path.to_owned(), source };
    let file = open_options()
        .create(true)
        // The lock comes before anything else: another recording may be writing it.
        .truncate(false)
        .open(beside(path, ending))
        .map_err(io_error)?;
    lock(&file, path)?;
    if file.metadata().map_err(io_error)?.len() > 0 {
        return Err(OutputError::Left { path: path.to_owned() });
    }
    // One that was left behind, empty, may have had other permissions.
    file.set_permissions(Permissions::from_mode(MODE)).map_err(io_error)?;
    give_to_user(&file).map_err(io_error)?;
    Ok(file)
}

/// Opens a file that goes with `path`, if it is there, and nobody is writing it.
///
/// # Errors
/// [`OutputError::Busy`], [`OutputError::Io`].
pub fn open_left(path: &Path, ending: &str) -> Result<Option<File>, OutputError> {
    match open_options().open(beside(path, ending)) {
        Ok(file) => {
            lock(&file, path)?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OutputError::Io { path: path.to_owned(), source }),
    }
}

fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Not through somebody's link in a shared folder.
    options.read(true).write(true).mode(MODE).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    options
}

fn lock(file: &File, path: &Path) -> Result<(), OutputError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(OutputError::Busy { path: path.to_owned() }),
        // A filesystem without locks: then two recordings are the user's own doing.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Under sudo(8), files belong to the user who called it: whoever started the recording can take
/// it home.
fn give_to_user(file: &File) -> io::Result<()> {
    let id = |name| std::env::var(name).ok()?.parse::<u32>().ok().filter(|&id| id != u32::MAX);
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let Some((user, group)) = id("SUDO_UID").zip(id("SUDO_GID")) else { return Ok(()) };
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    match rustix::fs::fchown(file, Some(user), Some(group)) {
        // Without the capability, or on a filesystem without owners, it stays root's.
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
