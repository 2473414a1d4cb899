//! Ring records about processes: a fixed part, and after it the text a program was started with.
//!
//! ```text
//! ProcessRecord, 80 bytes
//!   0 tag                8 boot_ns           16 began_ns          24 cgroup_id
//!  32 pid   36 tid      40 uid   44 gid      48 ppid
//!  52 path_len          54 text_len          56 kind  57 flags    58 reserved[6]
//!  64 comm[16]
//! ... text: `path_len` bytes of path, then the arguments, each ended by NUL; `text_len` in all
//! ```

use bytemuck::{Pod, Zeroable};

use super::COMM_LEN;

/// First word of every [`ProcessRecord`]. A [`Record`](super::Record) begins with a time, whose
/// highest bit stays clear for 292 years after boot.
pub const PROCESS_TAG: u64 = 1 << 63;

/// Bytes of text in a [`ProcessRecord`] at most. Half of what the event file takes of a command
/// line, which is more than all but few processes have; a longer one costs kernel memory for every
/// program that is just being started.
pub const TEXT_MAX: usize = 2048;

/// The path and the arguments are those of the system call. Without this flag there is no text.
pub const TEXT_READ: u8 = 1;
/// There were more arguments, or longer ones, than there was room for, or one could not be read.
pub const ARGUMENTS_CUT: u8 = 2;
/// The path is not whole.
pub const PATH_CUT: u8 = 4;
/// The new process's father is not the one that made it (`CLONE_PARENT`).
pub const FOREIGN_PARENT: u8 = 8;

/// What a [`ProcessRecord`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ProcessKind {
    /// A process was made; all but `pid` and `tid` are its maker's.
    Fork = 1,
    /// A process runs a new program.
    Exec = 2,
    /// The last thread of a process ends.
    Exit = 3,
}

impl ProcessKind {
    /// The kind whose number is `byte`, if there is one.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Fork,
            2 => Self::Exec,
            3 => Self::Exit,
            _ => return None,
        })
    }
}

/// One thing that happened to one process, as the kernel program saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ProcessRecord {
    /// [`PROCESS_TAG`].
    pub tag: u64,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    /// When the system call began that started the program; 0 if unknown.
    pub began_ns: u64,
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// Process (thread group) id, in the initial pid namespace.
    pub pid: u32,
    /// Thread id; of a new process its `pid`.
    pub tid: u32,
    /// Real user id, in the initial user namespace.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// The process that made a new one; 0 for other kinds.
    pub ppid: u32,
    /// Bytes of path.
    pub path_len: u16,
    /// Bytes of text after this fixed part, the path and its NUL included.
    pub text_len: u16,
    /// A [`ProcessKind`].
    pub kind: u8,
    /// [`TEXT_READ`], [`ARGUMENTS_CUT`], [`PATH_CUT`], [`FOREIGN_PARENT`].
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 6],
    /// The thread's name, NUL-padded.
    pub comm: [u8; COMM_LEN],
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<ProcessRecord>() == 80 && align_of::<ProcessRecord>() == 8);
    assert!(offset_of!(ProcessRecord, pid) == 32);
    assert!(offset_of!(ProcessRecord, path_len) == 52);
    assert!(offset_of!(ProcessRecord, text_len) == 54);
    assert!(offset_of!(ProcessRecord, kind) == 56);
    assert!(offset_of!(ProcessRecord, comm) == 64);
    assert!(TEXT_MAX < u16::MAX as usize);
};

impl ProcessRecord {
    /// Whether these are the bytes of a record about a process, and not about a socket.
    #[must_use]
    pub fn is_tagged(bytes: &[u8]) -> bool {
        bytes.first_chunk().is_some_and(|tag| u64::from_ne_bytes(*tag) == PROCESS_TAG)
    }

    /// Reads a record off the ring, with its text; `None` if the length is not what it says.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (fixed, text) = bytes.split_at_checked(size_of::<Self>())?;
        let record: Self = bytemuck::try_pod_read_unaligned(fixed).ok()?;
        let whole = record.tag == PROCESS_TAG
            && usize::from(record.text_len) == text.len()
            && usize::from(record.path_len) <= text.len();
        whole.then_some((record, text))
    }

    /// The kind, if this build knows it.
    #[must_use]
    pub fn kind(&self) -> Option<ProcessKind> {
        ProcessKind::from_u8(self.kind)
    }

    /// Whether `flag` is set.
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Record;

    #[test]
    fn a_record_is_read_with_its_text() {
        let mut record = ProcessRecord::zeroed();
        (record.tag, record.path_len, record.text_len) = (PROCESS_TAG, 2, 5);
        record.kind = ProcessKind::Exec as u8;
        let bytes = [bytemuck::bytes_of(&record), b"/x\0y\0"].concat();
        assert!(ProcessRecord::is_tagged(&bytes));
        assert_eq!(ProcessRecord::from_bytes(&bytes), Some((record, &b"/x\0y\0"[..])));
        assert!(ProcessRecord::from_bytes(&bytes[..84]).is_none());
        assert!(ProcessRecord::from_bytes(&bytes[..40]).is_none());
        assert!(ProcessRecord::from_bytes(&[&bytes[..], &[0]].concat()).is_none());
        record.path_len = 6;
        let bytes = [bytemuck::bytes_of(&record), b"/x\0y\0"].concat();
        assert!(ProcessRecord::from_bytes(&bytes).is_none(), "a path longer than the text");
    }

    #[test]
    fn a_record_about_a_socket_is_none_about_a_process() {
        let mut record = Record::zeroed();
        record.boot_ns = u64::MAX >> 1;
        assert!(!ProcessRecord::is_tagged(bytemuck::bytes_of(&record)));
        assert!(!ProcessRecord::is_tagged(&[]));
    }

    #[test]
    fn kind_numbers_read_back() {
        for byte in 0..=u8::MAX {
            if let Some(kind) = ProcessKind::from_u8(byte) {
                assert_eq!(kind as u8, byte);
            }
        }
    }
}
