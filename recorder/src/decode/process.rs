//! Ring records about processes.

use schema::wire::{
    ARGUMENTS_CUT, FOREIGN_PARENT, PATH_CUT, ProcessKind, ProcessRecord, TEXT_READ,
};

use crate::row::Owner;

/// What happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// `pid` was made by a process, whose facts it shares.
    Fork {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        boot_ns: u64,
        /// The new process.
        pid: u32,
        /// Who made it: its father, unless the maker's father is.
        maker: Owner,
        /// Whether the maker's father is its father.
        foreign_parent: bool,
    },
    /// A process runs a new program.
    Exec {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        boot_ns: u64,
        /// The process.
        owner: Owner,
        /// What the program was started with, if that could be read.
        started: Option<Started>,
    },
    /// A process ends.
    Exit {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        boot_ns: u64,
        /// The process.
        owner: Owner,
    },
}

/// What a program was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// When the system call began, `CLOCK_BOOTTIME` nanoseconds: before that the process ran
    /// another program.
    pub began_ns: u64,
    /// The path in the call; `None` if it is not known whole.
    pub path: Option<Vec<u8>>,
    /// The arguments, each ended by NUL.
    pub arguments: Vec<u8>,
    /// Whether there were more or longer arguments.
    pub cut: bool,
}

/// Reads a record about a process; `None` if it is none of this build's.
#[must_use]
pub fn decode_process(bytes: &[u8]) -> Option<ProcessEvent> {
    let (record, text) = ProcessRecord::from_bytes(bytes)?;
    let boot_ns = record.boot_ns;
    let owner = Owner {
        pid: record.pid,
        tid: record.tid,
        uid: record.uid,
        gid: record.gid,
        cgroup_id: record.cgroup_id,
        comm: record.comm,
    };
    Some(match record.kind()? {
        ProcessKind::Fork => ProcessEvent::Fork {
            boot_ns,
            pid: record.pid,
            // The thread that called is not told.
            maker: Owner { pid: record.ppid, tid: record.ppid, ..owner },
            foreign_parent: record.has(FOREIGN_PARENT),
        },
        ProcessKind::Exec => ProcessEvent::Exec { boot_ns, owner, started: started(&record, text) },
        ProcessKind::Exit => ProcessEvent::Exit { boot_ns, owner },
    })
}

fn started(record: &ProcessRecord, text: &[u8]) -> Option<Started> {
    if !record.has(TEXT_READ) {
        return None;
    }
    let (path, arguments) = text.split_at_checked(usize::from(record.path_len))?;
    let arguments = arguments.strip_prefix(&[0]).unwrap_or_default();
    Some(Started {
        began_ns: record.began_ns,
        path: (!record.has(PATH_CUT)).then(|| path.to_owned()),
        arguments: arguments.to_owned(),
        cut: record.has(ARGUMENTS_CUT),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schema::wire::PROCESS_TAG;

    use super::*;

    fn record(kind: ProcessKind, flags: u8, path_len: u16, text: &[u8]) -> Vec<u8> {
        let mut record: ProcessRecord = bytemuck::Zeroable::zeroed();
        record.tag = PROCESS_TAG;
        (record.boot_ns, record.began_ns) = (9, 8);
        (record.pid, record.ppid) = (42, 41);
        (record.kind, record.flags, record.path_len) = (kind as u8, flags, path_len);
        record.text_len = u16::try_from(text.len()).expect("short");
        [bytemuck::bytes_of(&record), text].concat()
    }

    fn started_with(flags: u8, path_len: u16, text: &[u8]) -> Option<Started> {
        match decode_process(&record(ProcessKind::Exec, flags, path_len, text)) {
            Some(ProcessEvent::Exec { boot_ns: 9, started, .. }) => started,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_program_has_its_path_and_arguments() {
        let want = |path: Option<&[u8]>, arguments: &[u8], cut| {
            let path = path.map(<[u8]>::to_owned);
            Some(Started { began_ns: 8, path, arguments: arguments.to_owned(), cut })
        };
        let text = b"/bin/x\0x\0\n\0";
        assert_eq!(started_with(TEXT_READ, 6, text), want(Some(b"/bin/x"), b"x\0\n\0", false));
        let cut = TEXT_READ | ARGUMENTS_CUT | PATH_CUT;
        assert_eq!(started_with(cut, 0, b"\0x\0"), want(None, b"x\0", true));
        assert_eq!(started_with(TEXT_READ, 6, b"/bin/x\0"), want(Some(b"/bin/x"), b"", false));
        // A path that fills the record has no NUL.
        assert_eq!(started_with(cut, 3, b"abc"), want(None, b"", true));
        assert_eq!(started_with(0, 0, b""), None);
    }

    #[test]
    fn a_new_process_has_its_makers_facts() {
        let event = decode_process(&record(ProcessKind::Fork, FOREIGN_PARENT, 0, b""));
        let Some(ProcessEvent::Fork { boot_ns, pid, maker, foreign_parent }) = event else {
            panic!("{event:?}")
        };
        assert_eq!((boot_ns, pid, maker.pid, foreign_parent), (9, 42, 41, true));
    }

    #[test]
    fn an_unknown_kind_is_none_of_ours() {
        let mut bytes = record(ProcessKind::Exit, 0, 0, b"");
        assert!(matches!(decode_process(&bytes), Some(ProcessEvent::Exit { boot_ns: 9, .. })));
        bytes[56] = 99;
        assert_eq!(decode_process(&bytes), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(
            flags in any::<u8>(),
            path_len in 0_u16..40,
            text in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = decode_process(&record(ProcessKind::Exec, flags, path_len, &text));
        }
    }
}
