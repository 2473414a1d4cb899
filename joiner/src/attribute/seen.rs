//! When and where a packet was seen.

use crate::block::interface::Interface;
use crate::events::{HostId, NamespaceId, Recordings};

/// When and where a packet was seen. Where matters for few packets only, and is looked up for those.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// Nanoseconds since 1970, by the steady clock of the host that captured.
    pub time_ns: i64,
    /// The interface block.
    pub interface: Option<&'a Interface>,
    /// The interface's number, where the packet itself tells (Linux cooked v2).
    pub index: Option<u32>,
    /// The boot id of the host that captured, where the section header tells.
    pub boot_id: Option<&'a str>,
}

impl Seen<'_> {
    /// At this time, nobody knows where.
    #[must_use]
    pub fn at(time_ns: i64) -> Self {
        Self { time_ns, ..Self::default() }
    }
}

/// Where packets were captured, as far as it can be told.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The host that captured, if the user or the capture as a whole tells.
    pub(super) host: Option<HostId>,
}

impl Places {
    /// The host that captured a packet.
    pub(super) fn host(&self, recordings: &Recordings, seen: &Seen<'_>) -> Option<HostId> {
        let told = seen.boot_id.and_then(|boot_id| recordings.host_by_boot(boot_id));
        told.or(self.host).or((recordings.hosts.len() == 1).then_some(HostId(0)))
    }

    /// The namespace of the interface that captured a packet.
    pub(super) fn namespace(
        &self,
        recordings: &Recordings,
        seen: &Seen<'_>,
    ) -> Option<NamespaceId> {
        let interface = seen.interface?;
        let host = self.host(recordings, seen);
        // Our own recorder says it; inodes are used again, but not within one capture.
        if let Some(inode) = interface.netns
            && let Some(namespace) = recordings.places.by_inode(host, inode)
        {
            return Some(namespace);
        }
        let places = &recordings.places;
        let by_index =
            seen.index.and_then(|index| places.only_namespace(host, |l| l.index == index));
        by_index.or_else(|| {
            let name = interface.name.as_deref()?;
            let name = recordings.texts.find(name)?;
            places.only_namespace(host, |link| link.name == name)
        })
    }

    /// The namespace at the other end of the interface that captured a packet, if it is a veth.
    pub(super) fn beyond(&self, recordings: &Recordings, seen: &Seen<'_>) -> Option<NamespaceId> {
        let here = self.namespace(recordings, seen)?;
        if let Some(index) = seen.index {
            return recordings.places.beyond(here, |link| link.index == index);
        }
        let name = seen.interface?.name.as_deref()?;
        let name = recordings.texts.find(name)?;
        recordings.places.beyond(here, |link| link.name == name)
    }
}
