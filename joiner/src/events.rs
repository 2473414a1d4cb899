//! Event files to socket lives: which process held which socket, with which peers, from when to
//! when. Everything here is built once, before the first packet, and never changes afterwards.

use std::fs::File;
use std::path::{Path, PathBuf};

use schema::SchemaError;
use schema::rows::EventFile;

mod address;
mod cache;
mod clock;
mod conversations;
mod decode;
mod facts;
mod files;
mod host;
mod identity;
mod life;
mod lives;
mod place;
mod program;
mod reader;
mod sequence;
mod sockets;
mod text;
mod translation;

pub use self::clock::{StepBack, Timeline};
pub use self::conversations::Conversations;
pub use self::files::EventFiles;
pub use self::host::{Host, HostId, RecordingInfo};
pub use self::identity::{Identity, IdentityId};
pub use self::life::{Conversation, ConversationId, Forward, Handover, Life, LifeId, Listener};
pub use self::lives::Lives;
pub use self::place::{
    Container, ContainerId, Link, Namespace, NamespaceId, Places, Tenant, Tenure,
};
pub use self::program::Programs;
pub use self::text::{TextId, Texts};
pub use self::translation::{Publication, Translation};

/// All that the event files say, in the form the matcher needs.
#[derive(Debug, Default)]
pub struct Recordings {
    /// One per machine and boot.
    pub hosts: Vec<Host>,
    /// One per recording, in the order given.
    pub infos: Vec<RecordingInfo>,
    /// One per socket, and per connection where a socket had several one after the other.
    pub lives: Lives,
    /// One per life and peer.
    pub conversations: Conversations,
    /// Changes of owner within a life, ordered by life and time.
    pub handovers: Vec<Handover>,
    /// Local endpoints that take whoever comes.
    pub listeners: Vec<Listener>,
    /// Connections that were translated, in the order of their rows.
    pub translations: Vec<Translation>,
    /// Ports that lead elsewhere.
    pub publications: Vec<Publication>,
    /// Pairs of sockets that a process moves data between.
    pub forwards: Vec<Forward>,
    /// Namespaces, addresses, interfaces.
    pub places: Places,
    /// Which program a process ran when.
    pub programs: Programs,
    /// What is known of each process.
    pub identities: Vec<Identity>,
    /// The text that identities refer to.
    pub texts: Texts,
}

impl Recordings {
    /// The life `id`, which must come from these recordings.
    #[inline]
    #[must_use]
    pub fn life(&self, id: LifeId) -> Life {
        self.lives.get(id)
    }

    /// The conversation `id`, which must come from these recordings.
    #[inline]
    #[must_use]
    pub fn conversation(&self, id: ConversationId) -> Conversation {
        self.conversations.get(id, &self.lives)
    }

    /// The listener at position `id`, which must come from these recordings.
    #[must_use]
    pub fn listener(&self, id: u32) -> &Listener {
        &self.listeners[position(id)]
    }

    /// The process `id`, which must come from these recordings.
    #[must_use]
    pub fn identity(&self, id: IdentityId) -> &Identity {
        &self.identities[position(id.0)]
    }

    /// The socket of the conversation `id`, which must come from these recordings.
    #[must_use]
    pub fn life_of(&self, id: ConversationId) -> Life {
        self.life(self.conversations.life(id))
    }

    /// The host `id`, which must come from these recordings.
    #[must_use]
    pub fn host(&self, id: HostId) -> &Host {
        &self.hosts[usize::from(id.0)]
    }

    /// Moves all times of `host` by what `moved` makes of them.
    pub(crate) fn shift(&mut self, host: HostId, moved: impl Fn(i64) -> i64) {
        let lives = &mut self.lives;
        let is_its = |lives: &Lives, id: LifeId| lives.get(id).host == host;
        self.conversations.shift(|life| is_its(lives, life), &moved);
        for handover in &mut self.handovers {
            if is_its(lives, handover.life) {
                handover.time_ns = moved(handover.time_ns);
            }
        }
        for listener in &mut self.listeners {
            if is_its(lives, listener.life) {
                listener.from_ns = moved(listener.from_ns);
                listener.until_ns = moved(listener.until_ns);
            }
        }
        for id in lives.ids() {
            let mut life = lives.get(id);
            if life.host == host {
                let Life { start_ns, end_ns, sure_ns, .. } = &mut life;
                for time_ns in [start_ns, end_ns, sure_ns] {
                    *time_ns = moved(*time_ns);
                }
                lives.set(id, &life);
            }
        }
        for translation in self.translations.iter_mut().filter(|of| of.host == host) {
            translation.start_ns = moved(translation.start_ns);
            translation.end_ns = moved(translation.end_ns);
        }
        for publication in self.publications.iter_mut().filter(|of| of.host == Some(host)) {
            publication.to_ns = moved(publication.to_ns);
        }
        self.places.shift(host, &moved);
        let identities = &self.identities;
        self.programs.shift(|id| identities[position(id.0)].host == host, &moved);
        self.hosts[usize::from(host.0)].shift(moved);
    }

    /// The host with this boot id.
    #[must_use]
    pub fn host_by_boot(&self, boot_id: &str) -> Option<HostId> {
        let is_it = |host: &Host| !boot_id.is_empty() && host.boot_id == boot_id;
        let index = self.hosts.iter().position(is_it)?;
        u16::try_from(index).ok().map(HostId)
    }

    /// `identity` as it was at `time_ns`: the process may have become another program.
    #[must_use]
    pub fn identity_at(&self, id: IdentityId, time_ns: i64) -> IdentityId {
        if self.programs.is_empty() {
            return id;
        }
        self.programs.at(self.identity(id).proc, id, time_ns)
    }

    /// Who `life` was handed to by `time_ns`, if anybody.
    #[must_use]
    pub fn handed_over(&self, life: LifeId, time_ns: i64) -> Option<IdentityId> {
        let at = self.handovers.partition_point(|h| (h.life, h.time_ns) <= (life, time_ns));
        let last = self.handovers[..at].last()?;
        (last.life == life).then_some(last.owner)
    }
}

/// `value` where there is one, and the flag that says so.
fn flagged<T: Default>(value: Option<T>, flag: u16) -> (T, u16) {
    value.map_or((T::default(), 0), |value| (value, flag))
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
    load_with(paths, rayon::current_num_threads())
}

/// The same, on so many threads.
///
/// # Errors
///
/// Those of [`load`].
pub fn load_with<P: AsRef<Path>>(paths: &[P], threads: usize) -> Result<Recordings, EventsError> {
    let mut builder = reader::Builder::default();
    for path in paths {
        let path = path.as_ref();
        let read = || {
            let file = EventFile::open(File::open(path)?)?;
            builder.add(path, file, threads)
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
