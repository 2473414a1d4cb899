//! Where things are: network namespaces, whose addresses are whose and from when to when, and which
//! interface is in which namespace.

use hashbrown::HashMap;
use schema::Endpoint;

use super::host::HostId;
use super::text::TextId;

mod builder;

pub(super) use self::builder::{PlaceBuilder, Space};

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
