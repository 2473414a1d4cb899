//! What is known of one process, with its text as numbers. `proc` names the process itself:
//! one (host, pid, start time) is one process for ever, whatever program it runs.

use super::host::HostId;
use super::text::TextId;

/// Index into [`Recordings::identities`](super::Recordings::identities).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityId(pub u32);

/// A process as the recorder saw it; text is looked up in [`Texts`](super::Texts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields are the columns of the same name")]
pub struct Identity {
    pub host: HostId,
    /// Number of the process within the output, from 1.
    pub proc: u32,
    pub pid: u32,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub ppid: Option<u32>,
    pub user: TextId,
    pub comm: TextId,
    pub exe: TextId,
    pub cmdline: TextId,
    pub parent_comm: TextId,
    pub parent_exe: TextId,
    pub container_id: TextId,
    pub container_name: TextId,
    pub container_image: TextId,
    /// `namespace/name`, or the name alone.
    pub pod: TextId,
}
