//! What a process runs: what the kernel told when the program was started, and what `/proc` shows.
//! `/proc` knows more (where a link leads, a title the program gave itself), but shows the present,
//! not the moment of the event; so what it showed counts until the kernel tells that the process
//! had gone on to another program by then.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    clock::boot_ns,
    decode::Started,
    procfs::{MAX_CMDLINE, ProcDir, quote_cmdline},
    row::Owner,
};

/// Between the call and the record of a new program when the call was not seen: loading a large
/// program from a slow disk takes no longer.
const LOADING_NS: u64 = 1_000_000_000;

/// How a program starts itself again, as busybox does.
const ITSELF: &[u8] = b"/proc/self/exe";

/// What stands for arguments that the kernel program left out.
const CUT: &str = " …";

/// Name, path and arguments, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) comm: Option<String>,
    pub(super) exe: Option<String>,
    pub(super) cmdline: Option<String>,
}

/// What `/proc` showed.
#[derive(Debug)]
struct Shown {
    facts: Facts,
    /// Of which process, and when (`CLOCK_BOOTTIME`, nanoseconds).
    pid: u32,
    at_ns: u64,
}

/// A program that runs, in one process or, after a fork, in several.
#[derive(Debug, Default)]
pub struct Program {
    told: Facts,
    shown: Option<Shown>,
    /// What was shown belongs to a later program.
    refuted: AtomicBool,
}

impl Program {
    /// A program of which nothing but the process's name is known.
    pub(super) fn named(comm: &[u8]) -> Self {
        let comm = (!comm.is_empty()).then(|| String::from_utf8_lossy(comm).into_owned());
        Self { told: Facts { comm, ..Facts::default() }, ..Self::default() }
    }

    /// A program of which all this is known for sure.
    #[must_use]
    pub fn told(comm: &str, exe: Option<&str>, cmdline: Option<&str>) -> Self {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let told = Facts { comm: own(Some(comm)), exe: own(exe), cmdline: own(cmdline) };
        Self { told, ..Self::default() }
    }

    /// A program that `owner` was told to run now. `/proc`, unless it shows other processes than
    /// the kernel's, completes what was told.
    /// `before` is what the process ran until then.
    pub(super) fn started(
        owner: &Owner,
        started: Option<&Started>,
        before: &Self,
        look: bool,
    ) -> Self {
        let mut told = started.map_or_else(Facts::default, told);
        if started.is_some_and(|started| started.path.as_deref() == Some(ITSELF)) {
            told.exe = before.exe().map(str::to_owned);
        }
        let needs_arguments = started.is_none_or(|started| started.cut);
        let shown = look.then(|| Shown::look_at_start(owner.pid, needs_arguments)).flatten();
        let comm = Self::named(owner.thread_name()).told.comm;
        Self { told: Facts { comm, ..told }, shown, ..Self::default() }
    }

    /// The program of process `pid` as `/proc` shows it; what was `told` holds where it shows
    /// nothing.
    pub(super) fn shown(pid: u32, folder: &ProcDir, comm: String, told: Facts) -> Self {
        let facts = Facts { comm: Some(comm), exe: folder.exe(), cmdline: folder.cmdline() };
        let shown = Shown { facts, pid, at_ns: boot_ns() };
        Self { told, shown: Some(shown), ..Self::default() }
    }

    /// The process `pid` is told to have gone on to another program, or to be another process,
    /// since `since_ns`.
    pub(super) fn refute(&self, pid: u32, since_ns: u64) {
        if self.shown.as_ref().is_some_and(|shown| shown.pid == pid && shown.at_ns >= since_ns) {
            self.refuted.store(true, Ordering::Relaxed);
        }
    }

    /// What the kernel told of it.
    pub(super) fn told_facts(&self) -> &Facts {
        &self.told
    }

    /// The process's name.
    #[must_use]
    pub fn comm(&self) -> Option<&str> {
        self.find(|facts| facts.comm.as_deref())
    }

    /// Path of the program, symbolic links resolved if `/proc` could be asked in time.
    #[must_use]
    pub fn exe(&self) -> Option<&str> {
        self.find(|facts| facts.exe.as_deref())
    }

    /// Arguments, quoted for a shell.
    #[must_use]
    pub fn cmdline(&self) -> Option<&str> {
        self.find(|facts| facts.cmdline.as_deref())
    }

    fn find<'a>(&'a self, fact: impl Fn(&'a Facts) -> Option<&'a str>) -> Option<&'a str> {
        let shown = self.shown.as_ref().filter(|_| !self.refuted.load(Ordering::Relaxed));
        shown.and_then(|shown| fact(&shown.facts)).or_else(|| fact(&self.told))
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        (self.comm(), self.exe(), self.cmdline()) == (other.comm(), other.exe(), other.cmdline())
    }
}

impl Eq for Program {}

impl Shown {
    fn look_at_start(pid: u32, needs_arguments: bool) -> Option<Self> {
        let folder = ProcDir::open(pid).ok()?;
        let exe = Some(folder.exe()?);
        let cmdline = if needs_arguments { folder.cmdline() } else { None };
        Some(Self { facts: Facts { comm: None, exe, cmdline }, pid, at_ns: boot_ns() })
    }
}

/// Since when the process can have run the program it was told to run at `boot_ns`.
pub(super) fn earliest_start(boot_ns: u64, started: Option<&Started>) -> u64 {
    started.map_or(boot_ns.saturating_sub(LOADING_NS), |started| started.began_ns)
}

fn told(started: &Started) -> Facts {
    // A relative path means something only to whoever knows the folder.
    let path = started.path.as_ref().filter(|path| path.starts_with(b"/"));
    let mut cmdline = quote_cmdline(&started.arguments, MAX_CMDLINE - CUT.len());
    if started.cut && !cmdline.ends_with('…') {
        cmdline.push_str(CUT);
    }
    Facts {
        comm: None,
        exe: path.map(|path| String::from_utf8_lossy(path).into_owned()),
        cmdline: (!cmdline.is_empty()).then_some(cmdline),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pid: u32, at_ns: u64) -> Program {
        let facts = |text: &str| Facts {
            comm: None,
            exe: Some(text.to_owned()),
            cmdline: Some(text.to_owned()),
        };
        let shown = Some(Shown { facts: facts("shown"), pid, at_ns });
        Program { told: facts("told"), shown, ..Program::default() }
    }

    #[test]
    fn what_was_shown_counts_until_it_is_known_to_be_a_later_programs() {
        let program = shown(7, 100);
        program.refute(7, 101);
        program.refute(8, 50);
        assert_eq!((program.exe(), program.cmdline()), (Some("shown"), Some("shown")));
        program.refute(7, 100);
        assert_eq!((program.exe(), program.cmdline()), (Some("told"), Some("told")));
    }

    #[test]
    fn a_relative_path_is_not_the_programs() {
        let started = |path: &[u8], cut| Started {
            began_ns: 0,
            path: Some(path.to_owned()),
            arguments: b"x\0a b\0".to_vec(),
            cut,
        };
        assert_eq!(told(&started(b"./x", false)).exe, None);
        let facts = told(&started(b"/x\xff", true));
        assert_eq!(facts.exe.as_deref(), Some("/x\u{fffd}"));
        assert_eq!(facts.cmdline.as_deref(), Some("x 'a b' …"));
    }

    #[test]
    fn without_the_call_a_program_may_have_been_there_for_a_while() {
        assert_eq!(earliest_start(3 * LOADING_NS, None), 2 * LOADING_NS);
        let started = Started { began_ns: 5, path: None, arguments: vec![], cut: false };
        assert_eq!(earliest_start(9, Some(&started)), 5);
    }
}
