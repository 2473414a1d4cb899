//! Where things are: network namespaces, whose addresses are whose and from when to when, and which
//! interface is in which namespace.

use hashbrown::{HashMap, HashSet};
use schema::Endpoint;

use super::host::HostId;
use super::text::TextId;

/// Index into [`Places::namespaces`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId(pub u32);

/// A network namespace of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its host.
    pub host: HostId,
    /// Its inode. Used again once the namespace is gone.
    pub inode: Option<u64>,
    /// Whether interface rows tell of its addresses.
    pub is_listed: bool,
}

/// A namespace as one row names it: inode and the kernel's cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct NamespaceKey {
    pub(super) inode: Option<u64>,
    pub(super) cookie: Option<u64>,
}

/// An address of a namespace, for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Whose.
    pub namespace: NamespaceId,
    /// From, nanoseconds since 1970; the beginning of time if nobody had it before.
    pub from_ns: i64,
    /// To, nanoseconds since 1970.
    pub to_ns: i64,
    /// The container that has it, where one does: a row's container columns.
    pub container: Option<ContainerId>,
}

/// Index into [`Places::containers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub u32);

/// A container; text is looked up in [`Texts`](super::Texts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields are the columns of the same name")]
pub struct Container {
    pub id: TextId,
    pub name: TextId,
    pub image: TextId,
    /// `namespace/name`, or the name alone.
    pub pod: TextId,
}

/// An interface of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// Whose.
    pub namespace: NamespaceId,
    /// Its name.
    pub name: TextId,
    /// Its number in the namespace.
    pub index: u32,
}

/// Who owns an address at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// One namespace, as far as was recorded.
    One(Tenure),
    /// Several.
    Several,
    /// None.
    Nobody,
}

/// What is known of places.
#[derive(Debug, Default)]
pub struct Places {
    /// All namespaces.
    pub namespaces: Vec<Namespace>,
    /// All containers that own an address.
    pub containers: Vec<Container>,
    links: Vec<Link>,
    /// Where the other end of a veth is, by namespace and number of this one.
    peers: HashMap<(NamespaceId, u32), NamespaceId>,
    tenures: HashMap<[u8; 16], Vec<Tenure>>,
}

impl Places {
    /// The namespace `id`, which must come from here.
    #[must_use]
    pub fn namespace(&self, id: NamespaceId) -> &Namespace {
        &self.namespaces[super::position(id.0)]
    }

    /// The container `id`, which must come from here.
    #[must_use]
    pub fn container(&self, id: ContainerId) -> &Container {
        &self.containers[super::position(id.0)]
    }

    /// Every tenure of the address of `end` at `time_ns`.
    pub fn tenures(&self, end: Endpoint, time_ns: i64) -> impl Iterator<Item = &Tenure> {
        let all = self.tenures.get(&end.mapped()).map_or(&[][..], Vec::as_slice);
        all.iter().filter(move |tenure| (tenure.from_ns..=tenure.to_ns).contains(&time_ns))
    }

    /// Whose the address of `end` is at `time_ns`. A loopback address is everybody's.
    #[must_use]
    pub fn tenant(&self, end: Endpoint, time_ns: i64) -> Tenant {
        if end.is_loopback() {
            return Tenant::Several;
        }
        let mut tenant = Tenant::Nobody;
        for &tenure in self.tenures(end, time_ns) {
            tenant = match tenant {
                Tenant::Nobody => Tenant::One(tenure),
                Tenant::One(first) if first.namespace == tenure.namespace => Tenant::One(first),
                Tenant::One(_) | Tenant::Several => return Tenant::Several,
            };
        }
        tenant
    }

    /// Whether `namespace` has the address of `end` at `time_ns`.
    #[must_use]
    pub fn has(&self, namespace: NamespaceId, end: Endpoint, time_ns: i64) -> bool {
        end.is_loopback() || self.tenures(end, time_ns).any(|tenure| tenure.namespace == namespace)
    }

    /// Whether the address of `end` ever was another namespace's than `namespace`.
    #[must_use]
    pub fn is_shared(&self, namespace: Option<NamespaceId>, end: Endpoint) -> bool {
        let all = self.tenures.get(&end.mapped()).map_or(&[][..], Vec::as_slice);
        all.iter().any(|tenure| Some(tenure.namespace) != namespace)
    }

    /// The only namespace, of `host` if that is known, with an interface that `fits`.
    #[must_use]
    pub fn only_namespace(
        &self,
        host: Option<HostId>,
        fits: impl Fn(&Link) -> bool,
    ) -> Option<NamespaceId> {
        let on_host =
            |link: &&Link| host.is_none_or(|host| self.namespace(link.namespace).host == host);
        let mut found = self.links.iter().filter(on_host).filter(|link| fits(link));
        let first = found.next()?.namespace;
        found.all(|link| link.namespace == first).then_some(first)
    }

    /// The namespace at the other end of the only interface of `namespace` that `fits`, where that
    /// is a veth.
    #[must_use]
    pub fn beyond(
        &self,
        namespace: NamespaceId,
        fits: impl Fn(&Link) -> bool,
    ) -> Option<NamespaceId> {
        let is_its = |link: &&Link| link.namespace == namespace && fits(link);
        let mut peers = self.links.iter().filter(is_its).map(|link| {
            let peer = self.peers.get(&(namespace, link.index));
            peer.copied().filter(|&peer| peer != namespace)
        });
        let first = peers.next()??;
        peers.all(|peer| peer == Some(first)).then_some(first)
    }

    /// The latest namespace of `host` with this inode.
    #[must_use]
    pub fn by_inode(&self, host: Option<HostId>, inode: u64) -> Option<NamespaceId> {
        let is_it = |namespace: &Namespace| {
            namespace.inode == Some(inode) && host.is_none_or(|host| namespace.host == host)
        };
        let position = self.namespaces.iter().rposition(is_it)?;
        u32::try_from(position).ok().map(NamespaceId)
    }

    /// Every address that `namespace` ever had.
    pub fn addresses(&self, namespace: NamespaceId) -> impl Iterator<Item = [u8; 16]> + '_ {
        let has = move |tenures: &[Tenure]| tenures.iter().any(|t| t.namespace == namespace);
        self.tenures.iter().filter(move |(_, tenures)| has(tenures)).map(|(address, _)| *address)
    }

    pub(super) fn shift(&mut self, host: HostId, moved: impl Fn(i64) -> i64) {
        let Self { namespaces, tenures, .. } = self;
        for tenure in tenures.values_mut().flatten() {
            if namespaces[super::position(tenure.namespace.0)].host == host {
                tenure.from_ns = moved(tenure.from_ns);
                tenure.to_ns = moved(tenure.to_ns);
            }
        }
    }

    /// Every address that anybody had, and who had it from when to when.
    pub fn all_tenures(&self) -> impl Iterator<Item = ([u8; 16], &[Tenure])> {
        self.tenures.iter().map(|(address, tenures)| (*address, tenures.as_slice()))
    }

    /// Interfaces whose host is to be told by their names.
    pub fn links(&self) -> &[Link] {
        &self.links
    }
}

/// How far apart rows are, nanoseconds, that tell of what was there already.
const TOLD_TOGETHER_NS: i64 = 1_000_000_000;

/// Takes note of places, row by row.
#[derive(Debug, Default)]
pub(super) struct PlaceBuilder {
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
pub(super) struct Space {
    key: NamespaceKey,
    /// With the number of changes until then: if there were more, it may be another.
    known: Option<(Option<NamespaceId>, u64)>,
}

impl Space {
    /// Not met yet.
    pub(super) fn new(key: NamespaceKey) -> Self {
        Self { key, known: None }
    }
}

impl PlaceBuilder {
    /// The namespace that a row of `host` names.
    #[inline]
    pub(super) fn space(&mut self, host: HostId, space: &mut Space) -> Option<NamespaceId> {
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
    pub(super) fn namespace(&mut self, host: HostId, key: NamespaceKey) -> Option<NamespaceId> {
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
            let known = self.places.namespaces[super::position(id.0)].inode.replace(inode);
            is_news |= known != Some(inode);
        }
        self.changes += u64::from(is_news);
        Some(id)
    }

    /// A container, the same for the same columns.
    pub(super) fn container(&mut self, container: Container) -> ContainerId {
        let next = ContainerId(u32::try_from(self.places.containers.len()).unwrap_or(u32::MAX));
        *self.containers.entry(container).or_insert_with(|| {
            self.places.containers.push(container);
            next
        })
    }

    /// An interface, and maybe one of its addresses, is there (or gone) at `time_ns`.
    pub(super) fn link(
        &mut self,
        link: Link,
        address: Option<[u8; 16]>,
        container: Option<ContainerId>,
        (time_ns, removed): (i64, bool),
    ) {
        self.places.namespaces[super::position(link.namespace.0)].is_listed = true;
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
    pub(super) fn peer(&mut self, link: Link, host: HostId, inode: u64) {
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
    pub(super) fn used(&mut self, namespace: NamespaceId, end: Endpoint) {
        if !end.is_unspecified() && !end.is_loopback() {
            self.used.insert((namespace, end.mapped()));
        }
    }

    /// All that was noted. Where nobody had an address before, its first owner had it always: the
    /// row that tells of it may be late. Namespaces whose interfaces no row tells of own the
    /// addresses that their sockets use.
    pub(super) fn finish(self) -> Places {
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
