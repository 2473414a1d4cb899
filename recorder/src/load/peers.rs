//! The table in which the kernel programs count datagrams per peer.

use aya::maps::{HashMap, MapData, MapError};
use schema::wire::{PeerKey, Record};

use super::LoadError;

/// A [`PeerKey`], as the map call wants it.
pub(super) type KeyWords = [u64; size_of::<PeerKey>() / 8];
/// A [`Record`], as the map call gives it.
pub(super) type RecordWords = [u64; size_of::<Record>() / 8];

/// Entries looked at in one walk. As many as the table holds (`PEERS_MAX` of the kernel programs):
/// while entries come and go the kernel may start over, and the walk must end all the same.
const MAX_WALK: usize = 65_536;

/// Datagrams per peer of an unconnected UDP socket and direction. The value is the record of the
/// first one, with `count` and `boot_ns` going on. Entries stay until they are removed.
pub struct PeerTable<'a> {
    map: &'a mut HashMap<MapData, KeyWords, RecordWords>,
}

impl<'a> PeerTable<'a> {
    pub(super) fn new(map: &'a mut HashMap<MapData, KeyWords, RecordWords>) -> Self {
        Self { map }
    }

    /// Every peer, in no order. One that is added or removed meanwhile may be missing or come
    /// twice.
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub fn iter(&self) -> impl Iterator<Item = Result<(PeerKey, Record), LoadError>> {
        self.map.iter().take(MAX_WALK).map(|entry| {
            let (key, value) = entry?;
            Ok((bytemuck::cast(key), bytemuck::cast(value)))
        })
    }

    /// The count of one peer; `None` if there is no such entry.
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub fn get(&self, key: &PeerKey) -> Result<Option<Record>, LoadError> {
        match self.map.get(bytemuck::cast_ref::<_, KeyWords>(key), 0) {
            Ok(value) => Ok(Some(bytemuck::cast(value))),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets a peer; false if there was no such entry. The next datagram makes a new one.
    ///
    /// # Errors
    /// The kernel refused to change the map.
    pub fn remove(&mut self, key: &PeerKey) -> Result<bool, LoadError> {
        match self.map.remove(bytemuck::cast_ref::<_, KeyWords>(key)) {
            Ok(()) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
