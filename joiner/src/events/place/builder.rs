//! Rows about namespaces, interfaces and addresses to [`Places`].

use hashbrown::{HashMap, HashSet};
use schema::Endpoint;

use super::{Container, ContainerId, Link, Namespace, NamespaceId, NamespaceKey, Places, Tenure};
use crate::events::host::HostId;
use crate::events::position;

/// How far apart rows are, nanoseconds, that tell of what was there already.
const TOLD_TOGETHER_NS: i64 = 1_000_000_000;

/// Takes note of places, row by row.
#[derive(Debug, Default)]
pub(in crate::events) struct PlaceBuilder {
    places: Places,
    by_cookie: HashMap<(HostId, u64), NamespaceId>,
    by_inode: HashMap<(HostId, u64), NamespaceId>,
    containers: HashMap<Container, ContainerId>,
    known_links: HashSet<Link>,
    /// Tenures that have not ended, by address and interface.
    open: HashMap<([u8; 16], NamespaceId, u32), usize>,
    /// Counts what changed of namespaces.
    changes: u64,
    /// Local addresses of sockets.
    used: HashSet<(NamespaceId, [u8; 16])>,
}

/// A namespace as rows of one file name it, and which it was when one did last.
#[derive(Clone, Copy, Debug)]
pub(in crate::events) struct Space {
    key: NamespaceKey,
    /// With the number of changes until then: if there were more, it may be another.
    known: Option<(Option<NamespaceId>, u64)>,
}

impl Space {
    /// Not met yet.
    pub(in crate::events) fn new(key: NamespaceKey) -> Self {
        Self { key, known: None }
    }
}

impl PlaceBuilder {
    /// The namespace that a row of `host` names.
    #[inline]
    pub(in crate::events) fn space(
        &mut self,
        host: HostId,
        space: &mut Space,
    ) -> Option<NamespaceId> {
        if let Some((known, changes)) = space.known
            && changes == self.changes
        {
            return known;
        }
        let id = self.namespace(host, space.key);
        space.known = Some((id, self.changes));
        id
    }

    /// The namespace with this key.
    pub(in crate::events) fn namespace(
        &mut self,
        host: HostId,
        key: NamespaceKey,
    ) -> Option<NamespaceId> {
        let NamespaceKey { inode, cookie } = key;
        let by_cookie = cookie.and_then(|cookie| self.by_cookie.get(&(host, cookie)).copied());
        let known = match (by_cookie, cookie, inode) {
            (Some(known), ..) => Some(known),
            // An inode that was met without its cookie belongs to the first cookie met with it.
            (None, Some(_), Some(inode)) => {
                let met = self.by_inode.get(&(host, inode)).copied();
                met.filter(|met| !self.by_cookie.values().any(|known| known == met))
            }
            (None, None, Some(inode)) => self.by_inode.get(&(host, inode)).copied(),
            (None, ..) => None,
        };
        if cookie.is_none() && inode.is_none() {
            return None;
        }
        let id = known.unwrap_or_else(|| {
            let id = NamespaceId(u32::try_from(self.places.namespaces.len()).unwrap_or(u32::MAX));
            self.places.namespaces.push(Namespace { host, inode: None, is_listed: false });
            id
        });
        let mut is_news = known.is_none();
        if let Some(cookie) = cookie {
            is_news |= self.by_cookie.insert((host, cookie), id) != Some(id);
        }
        if let Some(inode) = inode {
            is_news |= self.by_inode.insert((host, inode), id) != Some(id);
            let known = self.places.namespaces[position(id.0)].inode.replace(inode);
            is_news |= known != Some(inode);
        }
        self.changes += u64::from(is_news);
        Some(id)
    }

    /// A container, the same for the same columns.
    pub(in crate::events) fn container(&mut self, container: Container) -> ContainerId {
        let next = ContainerId(u32::try_from(self.places.containers.len()).unwrap_or(u32::MAX));
        *self.containers.entry(container).or_insert_with(|| {
            self.places.containers.push(container);
            next
        })
    }

    /// An interface, and maybe one of its addresses, is there (or gone) at `time_ns`.
    pub(in crate::events) fn link(
        &mut self,
        link: Link,
        address: Option<[u8; 16]>,
        container: Option<ContainerId>,
        (time_ns, removed): (i64, bool),
    ) {
        self.places.namespaces[position(link.namespace.0)].is_listed = true;
        if self.known_links.insert(link) {
            self.places.links.push(link);
        }
        let Some(address) = address else {
            if removed {
                self.close_all(link, time_ns);
            }
            return;
        };
        let key = (address, link.namespace, link.index);
        let tenures = self.places.tenures.entry(address).or_default();
        if removed {
            if let Some(tenure) = self.open.remove(&key).and_then(|at| tenures.get_mut(at)) {
                tenure.to_ns = time_ns;
            }
        } else if let Some(&at) = self.open.get(&key) {
            tenures[at].container = tenures[at].container.or(container);
        } else {
            self.open.insert(key, tenures.len());
            let namespace = link.namespace;
            tenures.push(Tenure { namespace, from_ns: time_ns, to_ns: i64::MAX, container });
        }
    }

    /// The other end of an interface is in the namespace with this inode.
    pub(in crate::events) fn peer(&mut self, link: Link, host: HostId, inode: u64) {
        let key = NamespaceKey { inode: Some(inode), cookie: None };
        if let Some(peer) = self.namespace(host, key) {
            self.places.peers.insert((link.namespace, link.index), peer);
        }
    }

    fn close_all(&mut self, link: Link, time_ns: i64) {
        let gone: Vec<_> = self
            .open
            .keys()
            .filter(|(_, namespace, index)| (*namespace, *index) == (link.namespace, link.index))
            .copied()
            .collect();
        for key in gone {
            let at = self.open.remove(&key);
            let tenures = self.places.tenures.get_mut(&key.0);
            if let (Some(at), Some(tenures)) = (at, tenures) {
                tenures[at].to_ns = time_ns;
            }
        }
    }

    /// A socket of `namespace` has this local address.
    pub(in crate::events) fn used(&mut self, namespace: NamespaceId, end: Endpoint) {
        if !end.is_unspecified() && !end.is_loopback() {
            self.used.insert((namespace, end.mapped()));
        }
    }

    /// All that was noted. Where nobody had an address before, its first owner had it always: the
    /// row that tells of it may be late. Namespaces whose interfaces no row tells of own the
    /// addresses that their sockets use.
    pub(in crate::events) fn finish(self) -> Places {
        let mut places = self.places;
        for (namespace, address) in self.used {
            if !places.namespace(namespace).is_listed {
                let tenures = places.tenures.entry(address).or_default();
                let (from_ns, to_ns) = (i64::MIN, i64::MAX);
                tenures.push(Tenure { namespace, from_ns, to_ns, container: None });
            }
        }
        for tenures in places.tenures.values_mut() {
            tenures.sort_by_key(|tenure| (tenure.from_ns, tenure.namespace));
            let mut ended = i64::MIN;
            // When its first owner is told of, and from when on it has the address.
            let mut first = (i64::MIN, i64::MIN);
            for at in 0..tenures.len() {
                let from_ns = tenures[at].from_ns;
                let before = tenures[..at].iter().map(|tenure| tenure.to_ns);
                ended = before.filter(|&to| to < from_ns).max().unwrap_or(ended);
                let is_shared = tenures[..at].iter().any(|tenure| tenure.to_ns >= from_ns);
                if !is_shared {
                    first = (from_ns, ended.saturating_add(i64::from(ended != i64::MIN)));
                }
                // Told in one breath, as all that is there at the start of a recording.
                if !is_shared || from_ns.saturating_sub(first.0) <= TOLD_TOGETHER_NS {
                    tenures[at].from_ns = first.1;
                }
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::place::Tenant;
    use crate::events::text::TextId;

    const HOST: HostId = HostId(0);

    fn key(inode: u64, cookie: u64) -> NamespaceKey {
        let known = |id: u64| (id != 0).then_some(id);
        NamespaceKey { inode: known(inode), cookie: known(cookie) }
    }

    #[test]
    fn cookies_tell_namespaces_apart_and_inodes_lead_to_them() {
        let mut builder = PlaceBuilder::default();
        let by_inode = builder.namespace(HOST, key(9, 0));
        assert_eq!(builder.namespace(HOST, key(9, 1)), by_inode, "the first cookie met with it");
        assert_eq!(builder.namespace(HOST, key(0, 1)), by_inode);
        let again = builder.namespace(HOST, key(9, 2));
        assert_ne!(again, by_inode, "the inode is used again");
        assert_eq!(builder.namespace(HOST, key(9, 0)), again);
        assert_ne!(builder.namespace(HostId(1), key(9, 1)), by_inode, "another machine");
        assert_eq!(builder.namespace(HOST, key(0, 0)), None);
    }

    #[test]
    fn an_address_has_one_owner_after_the_other() {
        let end = Endpoint::v4([172, 17, 0, 2], 80);
        let mut builder = PlaceBuilder::default();
        let [a, b] = [1, 2].map(|cookie| builder.namespace(HOST, key(0, cookie)).expect("known"));
        let link = |namespace| Link { namespace, name: TextId::NONE, index: 2 };
        builder.link(link(a), Some(end.mapped()), None, (100, false));
        builder.link(link(a), Some(end.mapped()), None, (200, true));
        builder.link(link(b), Some(end.mapped()), None, (300, false));
        let places = builder.finish();
        let owner = |time_ns| match places.tenant(end, time_ns) {
            Tenant::One(tenure) => Some(tenure.namespace),
            _ => None,
        };
        assert_eq!(
            (owner(0), owner(200), owner(201), owner(999)),
            (Some(a), Some(a), Some(b), Some(b))
        );
        assert!(places.has(b, end, 999) && !places.has(a, end, 999));
    }

    #[test]
    fn what_two_have_at_once_is_nobodys_alone() {
        let end = Endpoint::v4([10, 0, 0, 1], 80);
        let mut builder = PlaceBuilder::default();
        let [a, b] = [1, 2].map(|cookie| builder.namespace(HOST, key(0, cookie)).expect("known"));
        let link = |namespace| Link { namespace, name: TextId::NONE, index: 2 };
        builder.link(link(a), Some(end.mapped()), None, (100, false));
        builder.link(link(b), Some(end.mapped()), None, (100, false));
        builder.used(b, Endpoint::v4([10, 0, 0, 9], 1));
        let places = builder.finish();
        assert_eq!(places.tenant(end, 150), Tenant::Several);
        let unlisted = Endpoint::v4([10, 0, 0, 9], 1);
        assert_eq!(places.tenant(unlisted, 150), Tenant::Nobody, "rows list all that b has");
    }
}
