//! The file that is written. It gets its name only when it is whole; until then it has none where the
//! system can do that, so that nothing is left behind whatever ends the program, and else one of its own.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

/// Standard output, as it is typed.
pub const STANDARD_OUTPUT: &str = "-";

/// How names of files begin and end that are not whole.
const BEGIN: &str = ".ebpfjoin.";
const END: &str = ".partial";

/// Symbolic links that are followed one after the other: as many as Linux does.
const MAX_LINKS: usize = 40;

/// Bits of a file's mode that say who may do what.
#[cfg(unix)]
const PERMISSIONS: u32 = 0o777;

/// A file being written. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[derive(Debug)]
pub struct Destination {
    file: File,
    target: PathBuf,
    place: Place,
}

/// Where a file is that is not whole yet.
#[derive(Debug)]
enum Place {
    /// Where it will be: a device or pipe.
    Final,
    /// In the folder of its target, without a name.
    #[cfg(target_os = "linux")]
    Unnamed,
    /// Beside its target.
    Beside(TempPath),
}

impl Destination {
    /// Begins a file that will be called `target`; `-` is standard output. The permissions of a file
    /// that it takes the place of are its own, too.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn create(target: &Path) -> io::Result<Self> {
        let direct = |file| Ok(Self { file, target: target.to_owned(), place: Place::Final });
        if target == Path::new(STANDARD_OUTPUT) {
            let stdout = io::stdout();
            if stdout.is_terminal() {
                return Err(io::Error::other("standard output is a terminal"));
            }
            return direct(File::from(stdout.as_fd().try_clone_to_owned()?));
        }
        match fs::metadata(target) {
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => {
                return direct(File::options().write(true).open(target)?);
            }
            _ => {}
        }
        let target = resolve(target)?;
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed(&target)? {
            return Ok(Self { file, target, place: Place::Unnamed });
        }
        Self::beside(target)
    }

    /// Begins a file beside `target`.
    fn beside(target: PathBuf) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(
            &mut options,
            permissions(&target).unwrap_or(0o666),
        );
        let mut unique = Builder::new();
        let unique = unique.prefix(BEGIN).suffix(END);
        let name = unique.make_in(folder_of(&target), |name| options.open(name))?;
        let (file, name) = name.into_parts();
        keep_permissions(&file, &target)?;
        Ok(Self { file, target, place: Place::Beside(name) })
    }

    /// Whether writing to `target` would destroy `input`.
    #[must_use]
    pub fn would_destroy(target: &Path, input: &Path) -> bool {
        fs::canonicalize(input).is_ok_and(|input| input == Self::place(target))
    }

    /// Where a file that is called `target` is, behind all symbolic links.
    #[must_use]
    pub fn place(target: &Path) -> PathBuf {
        let target = resolve(target).unwrap_or_else(|_| target.to_owned());
        match (fs::canonicalize(folder_of(&target)), target.file_name()) {
            (Ok(folder), Some(name)) => folder.join(name),
            _ => target,
        }
    }

    /// The folder that it is written in.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.is_kept().then(|| folder_of(&self.target))
    }

    /// Whether what was written can be changed until the end: not what went to a device or pipe.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !matches!(self.place, Place::Final)
    }

    /// Where to write.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name.
    ///
    /// # Errors
    ///
    /// What the system says; the file is then gone.
    pub fn finish(self) -> io::Result<()> {
        match self.place {
            Place::Final => Ok(()),
            #[cfg(target_os = "linux")]
            Place::Unnamed => name(&self.file, &self.target),
            Place::Beside(name) => name.persist(&self.target).map_err(|error| error.error),
        }
    }
}

/// The file behind symbolic links: they stay, and so does `/dev/stdout` where a shell has put a file
/// behind it. The last one may lead to what is not there yet.
fn resolve(target: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let mut place = target.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(link) = fs::read_link(&place) else { return Ok(place) };
        place = folder_of(&place).join(link);
    }
    Err(io::Error::other("too many symbolic links, one behind the other"))
}

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// The permissions of the file that is at `target`.
#[cfg(unix)]
fn permissions(target: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = fs::metadata(target).ok().filter(fs::Metadata::is_file)?;
    Some(found.permissions().mode() & PERMISSIONS)
}

/// Gives `file` the permissions of the one that it will take the place of.
fn keep_permissions(file: &File, target: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(mode) = permissions(target) {
        use std::os::unix::fs::PermissionsExt as _;
        // A file system without permissions shows the same of all files, and refuses to change them.
        if file.metadata()?.permissions().mode() & PERMISSIONS == mode {
            return Ok(());
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    let _ = (file, target);
    Ok(())
}

/// A file without a name in the folder of `target`; `None` where there can be none, or where it
/// couldn't get a name later.
#[cfg(target_os = "linux")]
fn unnamed(target: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::Errno;
    let mode = Mode::from_raw_mode(permissions(target).unwrap_or(0o666));
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = match open(folder_of(target), flags, mode) {
        Ok(file) => File::from(file),
        // By the file system, or by a kernel that takes it for an ordinary folder.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if fs::metadata(link_to(&file)).is_err() {
        return Ok(None);
    }
    keep_permissions(&file, target)?;
    Ok(Some(file))
}

/// Where the kernel shows an open file.
#[cfg(target_os = "linux")]
fn link_to(file: &File) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Gives a file without a name the one of `target`.
#[cfg(target_os = "linux")]
fn name(file: &File, target: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    let source = link_to(file);
    let link = |name: &Path| {
        linkat(CWD, &source, CWD, name, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
    };
    match link(target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        done => return done,
    }
    // Only what has a name can take another's.
    let linked = Builder::new().prefix(BEGIN).suffix(END).make_in(folder_of(target), link)?;
    linked.into_temp_path().persist(target).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    type Create = fn(&Path) -> io::Result<Destination>;

    /// The usual way, and the one where files without names are not known.
    const WAYS: [Create; 2] = [Destination::create, |target| Destination::beside(resolve(target)?)];

    fn write(create: Create, target: &Path, bytes: &[u8]) {
        let destination = create(target).expect("created");
        destination.file().write_all(bytes).expect("written");
        destination.finish().expect("named");
    }

    #[test]
    fn the_name_appears_only_at_the_end() {
        for create in WAYS {
            let folder = tempfile::tempdir().expect("folder");
            let target = folder.path().join("out.pcapng");
            let list = || fs::read_dir(folder.path()).expect("list").count();
            drop(create(&target).expect("created"));
            assert_eq!(list(), 0, "a run that failed leaves nothing");
            // Two at once: each is whole, and the last one stays.
            let both = [b"x", b"y"].map(|bytes| {
                let destination = create(&target).expect("created");
                destination.file().write_all(bytes).expect("written");
                destination
            });
            assert!(!target.exists());
            for (destination, bytes) in both.into_iter().zip([b"x", b"y"]) {
                destination.finish().expect("named");
                assert_eq!(fs::read(&target).expect("read"), bytes);
            }
            assert_eq!(list(), 1);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn there_is_nothing_to_be_left_behind() {
        let folder = tempfile::tempdir().expect("folder");
        let destination = Destination::create(&folder.path().join("out")).expect("created");
        if matches!(destination.place, Place::Unnamed) {
            assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 0);
        }
    }

    #[test]
    fn inputs_are_safe_behind_links() {
        let folder = tempfile::tempdir().expect("folder");
        let place = |name: &str| folder.path().join(name);
        fs::write(place("in"), b"x").expect("written");
        fs::create_dir(place("sub")).expect("folder");
        let would_destroy =
            |target: &str, input: &str| Destination::would_destroy(&place(target), &place(input));
        assert!(would_destroy("sub/../in", "in"));
        assert!(!would_destroy("out", "in"));
        assert!(!would_destroy("out", "not there"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_leads_to_what_was_written() {
        for create in WAYS {
            let folder = tempfile::tempdir().expect("folder");
            fs::create_dir(folder.path().join("sub")).expect("folder");
            let place = |name: &str| folder.path().join(name);
            fs::write(place("file"), b"old").expect("written");
            for (link, file) in [("link", "file"), ("far", "link"), ("dangling", "sub/new")] {
                std::os::unix::fs::symlink(file, place(link)).expect("linked");
                write(create, &place(link), link.as_bytes());
                assert!(fs::symlink_metadata(place(link)).expect("there").is_symlink());
                assert_eq!(fs::read(place(file)).expect("read"), link.as_bytes());
            }
            assert!(fs::symlink_metadata(place("link")).expect("there").is_symlink());
            std::os::unix::fs::symlink("round", place("round")).expect("linked");
            assert!(create(&place("round")).is_err());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_takes_anothers_place_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt as _;
        for create in WAYS {
            let folder = tempfile::tempdir().expect("folder");
            let (target, plain) = (folder.path().join("out"), folder.path().join("plain"));
            let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
            File::create(&plain).expect("created");
            write(create, &target, b"1");
            assert_eq!(mode(&target), mode(&plain), "a new one has those of any new file");
            for permissions in [0o600, 0o664, 0o666] {
                fs::set_permissions(&target, fs::Permissions::from_mode(permissions)).expect("set");
                write(create, &target, b"2");
                assert_eq!(mode(&target) & 0o7777, permissions);
            }
        }
    }
}
