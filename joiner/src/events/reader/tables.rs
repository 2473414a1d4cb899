//! Rows that are not of sockets: losses, interfaces, translations, published ports, forwarders.

use std::collections::HashMap;

use schema::kind::LossStage;
use schema::{Endpoint, FiveTuple, Kind};

use super::{Builder, Part, Row, add_lost, parse_addr, position};
use crate::events::cache::BatchCache;
use crate::events::host::HostId;
use crate::events::life::Forward;
use crate::events::place::{Container, ContainerId, Link, NamespaceId, Space};
use crate::events::translation::{Publication, Translation};

/// What the `error` column says of what is gone.
const REMOVED: &str = "removed";

/// Translations and publications that have not ended, by what names them; their positions.
#[derive(Debug, Default)]
pub(super) struct Standing {
    translations: HashMap<(HostId, Option<NamespaceId>, FiveTuple), Tracked>,
    publications: HashMap<(HostId, Option<NamespaceId>, FiveTuple), usize>,
}

/// A translation's position, and the number that connection tracking gave its connection.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    position: usize,
    id: Option<u32>,
}

impl Builder {
    pub(super) fn add_loss(&mut self, row: Row<'_, '_>, part: &mut Part) {
        let Row { host, columns, row: at, time_ns, .. } = row;
        let stage = columns.error.get(at).unwrap_or("unknown");
        let count = columns.count.get(at).unwrap_or(1);
        add_lost(&mut part.lost, stage, count);
        let host = &mut self.out.hosts[usize::from(host.0)];
        match LossStage::from_text(stage) {
            // Packets the capture dropped don't make any name doubtful.
            Some(LossStage::Capture) => {}
            Some(LossStage::Conntrack) => host.add_lost_translations(time_ns),
            _ => host.add_loss(time_ns),
        }
    }

    /// The namespace of a row, which is one of `spaces`.
    #[inline]
    pub(super) fn namespace(
        &mut self,
        row: Row<'_, '_>,
        spaces: &mut [Space],
    ) -> Option<NamespaceId> {
        let space = spaces.get_mut(position(row.facts.space))?;
        self.places.space(row.host, space)
    }

    /// The container columns of a row.
    pub(super) fn container_columns(
        &mut self,
        row: Row<'_, '_>,
        cache: &mut BatchCache,
    ) -> Container {
        let Row { columns, row: at, .. } = row;
        let texts = &mut self.out.texts;
        let mut intern = |text: &str| Some(texts.intern(text));
        let id = cache.container_id.get(&columns.container_id, at, &mut intern);
        let name = cache.container_name.get(&columns.container_name, at, &mut intern);
        let image = cache.container_image.get(&columns.container_image, at, &mut intern);
        let mut pod = cache.pod_name.get(&columns.pod_name, at, &mut intern);
        if let (Some(namespace), Some(name)) =
            (columns.pod_namespace.get(at), columns.pod_name.get(at))
        {
            pod = Some(texts.intern(&format!("{namespace}/{name}")));
        }
        Container {
            id: id.unwrap_or_default(),
            name: name.unwrap_or_default(),
            image: image.unwrap_or_default(),
            pod: pod.unwrap_or_default(),
        }
    }

    fn container(&mut self, row: Row<'_, '_>, cache: &mut BatchCache) -> Option<ContainerId> {
        let container = self.container_columns(row, cache);
        (container != Container::default()).then(|| self.places.container(container))
    }

    pub(super) fn add_interface(
        &mut self,
        row: Row<'_, '_>,
        cache: &mut BatchCache,
        spaces: &mut [Space],
    ) {
        let Row { host, columns, row: at, time_ns, .. } = row;
        let Some(namespace) = self.namespace(row, spaces) else { return };
        let (Some(name), Some(index)) = (columns.ifname.get(at), columns.ifindex.get(at)) else {
            return;
        };
        let name = self.out.texts.intern(name);
        let address = row.local();
        let removed = columns.error.get(at) == Some(REMOVED);
        let container = self.container(row, cache);
        if let Some(address) = address {
            self.out.hosts[usize::from(host.0)].add_address(Endpoint::v6(address, 0));
        }
        let link = Link { namespace, name, index };
        self.places.link(link, address, container, (time_ns, removed));
        if let Some(inode) = columns.peer_netns.get(at) {
            self.places.peer(link, host, inode);
        }
    }

    pub(super) fn add_translation(&mut self, row: Row<'_, '_>, spaces: &mut [Space]) {
        let Row { host, columns, facts, row: at, kind, time_ns, .. } = row;
        let namespace = self.namespace(row, spaces);
        let address = |text: Option<&str>| text.and_then(parse_addr);
        let end = |address: Option<[u8; 16]>, port: Option<u16>| {
            Some(Endpoint::v6(address?, port.unwrap_or(0)))
        };
        let (Some(proto), Some(source), Some(target)) = (
            facts.proto,
            end(row.local(), facts.local_port()),
            end(row.remote(), facts.remote_port()),
        ) else {
            return;
        };
        let original = FiveTuple::new(proto, source, target);
        let key = (host, namespace, original);
        let id = columns.ct_id.get(at);
        if kind == Kind::NatEnd {
            // Ends come late: one of an earlier connection says nothing of the one that stands.
            if let Some(known) = self.standing.translations.get(&key) {
                let standing = &mut self.out.translations[known.position];
                let is_its = known.id.zip(id).is_none_or(|(known, id)| known == id);
                if is_its && standing.start_ns < time_ns && standing.end_ns == i64::MAX {
                    standing.end_ns = time_ns;
                }
            }
            return;
        }
        let onward = FiveTuple::new(
            proto,
            end(address(columns.nat_src_addr.get(at)), columns.nat_src_port.get(at))
                .unwrap_or(source),
            end(address(columns.nat_dst_addr.get(at)), columns.nat_dst_port.get(at))
                .unwrap_or(target),
        );
        if original == onward {
            return;
        }
        if let Some(known) = self.standing.translations.get(&key) {
            let standing = &self.out.translations[known.position];
            // Told again, as after a dump. Another connection may have the same tuples before the
            // end of the former one is told, and between the two somebody else the translated one.
            if known.id == id && standing.onward == onward && standing.end_ns == i64::MAX {
                return;
            }
        }
        let position = self.out.translations.len();
        self.standing.translations.insert(key, Tracked { position, id });
        let (start_ns, end_ns) = (time_ns, i64::MAX);
        self.out.translations.push(Translation {
            host,
            namespace,
            original,
            onward,
            start_ns,
            end_ns,
        });
    }

    pub(super) fn add_publication(
        &mut self,
        row: Row<'_, '_>,
        cache: &mut BatchCache,
        spaces: &mut [Space],
    ) {
        let Row { host, columns, facts, row: at, time_ns, .. } = row;
        let namespace = self.namespace(row, spaces);
        let (proto, public) = (facts.proto, row.local());
        let target = columns.nat_dst_addr.get(at).and_then(parse_addr);
        let ports = facts.local_port().zip(columns.nat_dst_port.get(at));
        let (Some(proto), Some(public), Some(target), Some((public_port, target_port))) =
            (proto, public, target, ports)
        else {
            return;
        };
        let public = Endpoint::v6(public, public_port);
        let target = Endpoint::v6(target, target_port);
        let key = (host, namespace, FiveTuple::new(proto, public, target));
        if columns.error.get(at) == Some(REMOVED) {
            if let Some(known) = self.standing.publications.remove(&key) {
                self.out.publications[known].to_ns = time_ns;
            }
            return;
        }
        let container = self.container(row, cache);
        let known = *self.standing.publications.entry(key).or_insert(self.out.publications.len());
        if known < self.out.publications.len() {
            return;
        }
        let (from_ns, to_ns) = (time_ns, i64::MAX);
        let host = Some(host);
        self.out.publications.push(Publication {
            host,
            namespace,
            proto,
            public,
            target,
            container,
            from_ns,
            to_ns,
        });
    }

    pub(super) fn add_forward(&mut self, row: Row<'_, '_>) {
        let Row { host, columns, facts, row: at, .. } = row;
        let sockets = facts.cookie().zip(columns.peer_cookie.get(at));
        if let Some((socket, peer)) = sockets {
            self.out.forwards.push(Forward { host, sockets: [socket, peer] });
        }
    }
}
