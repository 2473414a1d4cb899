//! Event files to socket lives: which process held which socket, with which peers, from when to
//! when. Everything here is built once, before the first packet, and never changes afterwards.

use std::fs::File;
use std::path::{Path, PathBuf};

use schema::SchemaError;
use schema::rows::EventFile;

mod cache;
mod files;
mod host;
mod identity;
mod life;
mod reader;
mod sequence;
mod text;

pub use self::files::EventFiles;
pub use self::host::{Host, HostId, RecordingInfo};
pub use self::identity::{Identity, IdentityId};
pub use self::life::{Conversation, ConversationId, Handover, Life, LifeId};
pub use self::text::{TextId, Texts};

/// All that the event files say, in the form the matcher needs.
#[derive(Debug, Default)]
pub struct Recordings {
    /// One per machine and boot.
    pub hosts: Vec<Host>,
    /// One per recording, in the order given.
    pub infos: Vec<RecordingInfo>,
    /// One per socket, and per connection where a socket had several one after the other.
    pub lives: Vec<Life>,
    /// One per life and peer.
    pub conversations: Vec<Conversation>,
    /// Changes of owner within a life, ordered by life and time.
    pub handovers: Vec<Handover>,
    /// What is known of each process.
    pub identities: Vec<Identity>,
    /// The text that identities refer to.
    pub texts: Texts,
}

impl Recordings {
    /// The life `id`, which must come from these recordings.
    #[must_use]
    pub fn life(&self, id: LifeId) -> &Life {
        &self.lives[position(id.0)]
    }

    /// The conversation `id`, which must come from these recordings.
    #[must_use]
    pub fn conversation(&self, id: ConversationId) -> &Conversation {
        &self.conversations[position(id.0)]
    }

    /// The process `id`, which must come from these recordings.
    #[must_use]
    pub fn identity(&self, id: IdentityId) -> &Identity {
        &self.identities[position(id.0)]
    }

    /// Who `life` was handed to by `time_ns`, if anybody.
    #[must_use]
    pub fn handed_over(&self, life: LifeId, time_ns: i64) -> Option<IdentityId> {
        let at = self.handovers.partition_point(|h| (h.life, h.time_ns) <= (life, time_ns));
        let last = self.handovers[..at].last()?;
        (last.life == life).then_some(last.owner)
    }
}

fn position(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

/// An event file that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct EventsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: SchemaError,
}

/// Reads `paths`; files of one boot of one machine are of one machine, parts of one recording,
/// which come in their order ([`EventFiles`]), one recording.
///
/// # Errors
///
/// The first file that is not an event file, too new, or damaged.
pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Recordings, EventsError> {
    let mut builder = reader::Builder::default();
    for path in paths {
        let path = path.as_ref();
        let read = || {
            let file = EventFile::open(File::open(path)?)?;
            builder.add(path, file)
        };
        guard(read).map_err(|source| EventsError { path: path.to_owned(), source })?;
    }
    Ok(builder.finish())
}

/// Runs `read` and turns a panic into an error: the Parquet library checks most of what a damaged
/// file can claim, not all, and a damaged file must not take the program down.
fn guard<T>(read: impl FnOnce() -> Result<T, SchemaError>) -> Result<T, SchemaError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(SchemaError::Damaged("the Parquet reader gave up on its contents".to_owned()))
    })
}
