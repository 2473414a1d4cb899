//! What holds until something says otherwise, and what a reader of a later part alone must
//! therefore be told again: the interfaces, and the published ports.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use crate::{
    container::{Port, Publication},
    interfaces::Interface,
};

/// Interfaces and addresses remembered: as many as are looked at.
const MAX_INTERFACES: usize = 65_536;

/// Published ports remembered: as many as the directory of containers remembers.
const MAX_PUBLISHED: usize = 65_536;

/// Namespace, index and address.
type Place = (u64, u32, Option<IpAddr>);

/// The interfaces and published ports there are.
#[derive(Debug, Default)]
pub(super) struct Standing {
    interfaces: BTreeMap<Place, Interface>,
    /// By container's id and port.
    published: HashMap<(String, Port), Publication>,
}

impl Standing {
    /// An interface came, changed, or went.
    pub(super) fn note(&mut self, interface: &Interface) {
        let place = (interface.netns, interface.index, interface.address);
        if interface.removed {
            self.interfaces.remove(&place);
        } else if self.interfaces.len() < MAX_INTERFACES || self.interfaces.contains_key(&place) {
            self.interfaces.insert(place, interface.clone());
        }
    }

    /// Those there are, in the order of their namespaces.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces.values()
    }

    /// A published port came or went.
    pub(super) fn note_published(&mut self, publication: &Publication) {
        let place = (publication.container.id.clone(), publication.port);
        if publication.removed {
            self.published.remove(&place);
        } else if self.published.len() < MAX_PUBLISHED {
            self.published.insert(place, publication.clone());
        }
    }

    /// The published ports there are, in no order.
    pub(super) fn published(&self) -> impl Iterator<Item = &Publication> {
        self.published.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_is_not_told_again() {
        let eth = Interface {
            index: 2,
            name: "eth0".into(),
            mac: None,
            address: Some(IpAddr::from([10, 0, 0, 1])),
            netns: 7,
            netns_cookie: None,
            peer: None,
            serves: None,
            removed: false,
        };
        let mut standing = Standing::default();
        standing.note(&eth);
        standing.note(&Interface { name: "eth1".into(), ..eth.clone() });
        standing.note(&Interface { netns: 6, ..eth.clone() });
        let names: Vec<_> = standing.interfaces().map(|it| (it.netns, &*it.name)).collect();
        assert_eq!(names, [(6, "eth0"), (7, "eth1")]);
        standing.note(&Interface { removed: true, ..eth });
        assert_eq!(standing.interfaces().count(), 1);
    }
}
