//! Translations that are rules, not connections: published ports of container runtimes, and tables
//! of the user. They serve where no connection tells: whether a packet took that way shows only in
//! a socket that has the translated tuple.

use hashbrown::HashMap;

use schema::{Endpoint, FiveTuple, Proto};

use crate::events::{Publication, Recordings};

/// Addresses of a host that are tried for a port that is published on all of them.
const MAX_ADDRESSES: usize = 64;

/// All publications, by the port and by where it leads.
#[derive(Debug, Default)]
pub(super) struct Publications {
    all: Vec<Publication>,
    by_port: HashMap<(Proto, u16), Vec<u32>>,
    by_target: HashMap<(Proto, Endpoint), Vec<u32>>,
}

impl Publications {
    pub(super) fn new(all: Vec<Publication>) -> Self {
        let mut publications = Self::default();
        for (id, publication) in (0..).zip(&all) {
            let Publication { proto, public, target, .. } = *publication;
            publications.by_port.entry((proto, public.port())).or_default().push(id);
            publications.by_target.entry((proto, target)).or_default().push(id);
        }
        publications.all = all;
        publications
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn public(&self, proto: Proto, port: u16) -> impl Iterator<Item = &Publication> {
        let ids = self.by_port.get(&(proto, port)).map_or(&[][..], Vec::as_slice);
        ids.iter().map(|&id| &self.all[super::position(id)])
    }

    /// The publications that `end` is the public side of.
    pub(super) fn covering<'a>(
        &'a self,
        recordings: &'a Recordings,
        proto: Proto,
        end: Endpoint,
        time_ns: i64,
    ) -> impl Iterator<Item = &'a Publication> {
        self.public(proto, end.port())
            .filter(move |publication| covers(publication, recordings, end, time_ns))
    }

    /// The publication that leads to `target`.
    pub(super) fn leading_to(&self, proto: Proto, target: Endpoint) -> Option<&Publication> {
        let ids = self.by_target.get(&(proto, target))?;
        ids.last().map(|&id| &self.all[super::position(id)])
    }

    /// Whether SYNs of this tuple may be of a published port.
    pub(super) fn knows(&self, tuple: FiveTuple) -> bool {
        let FiveTuple { proto, src, dst } = tuple;
        [src, dst].into_iter().any(|end| {
            self.by_port.contains_key(&(proto, end.port()))
                || self.by_target.contains_key(&(proto, end))
        })
    }

    /// The other tuples that the packet with this one may have.
    pub(super) fn views(
        &self,
        recordings: &Recordings,
        tuple: FiveTuple,
        time_ns: i64,
    ) -> Vec<FiveTuple> {
        let FiveTuple { proto, src, dst } = tuple;
        let mut found = vec![];
        for publication in self.covering(recordings, proto, dst, time_ns) {
            found.push(FiveTuple::new(proto, src, publication.target));
        }
        for publication in self.covering(recordings, proto, src, time_ns) {
            found.push(FiveTuple::new(proto, publication.target, dst));
        }
        for end in self.public_ends(recordings, proto, dst, time_ns) {
            found.push(FiveTuple::new(proto, src, end));
        }
        for end in self.public_ends(recordings, proto, src, time_ns) {
            found.push(FiveTuple::new(proto, end, dst));
        }
        found
    }

    /// Where the port that leads to `target` is published.
    fn public_ends(
        &self,
        recordings: &Recordings,
        proto: Proto,
        target: Endpoint,
        time_ns: i64,
    ) -> Vec<Endpoint> {
        let ids = self.by_target.get(&(proto, target)).map_or(&[][..], Vec::as_slice);
        let mut ends = vec![];
        for publication in ids.iter().map(|&id| &self.all[super::position(id)]) {
            if !holds(publication, time_ns) {
                continue;
            }
            let public = publication.public;
            match publication.namespace {
                _ if !public.is_unspecified() => ends.push(public),
                Some(namespace) => {
                    let addresses = recordings.places.addresses(namespace).take(MAX_ADDRESSES);
                    ends.extend(addresses.map(|address| Endpoint::v6(address, public.port())));
                }
                None => {}
            }
        }
        ends
    }
}

fn holds(publication: &Publication, time_ns: i64) -> bool {
    // The row comes once the runtime has told, and it is told of what runs already.
    time_ns <= publication.to_ns
}

fn covers(publication: &Publication, recordings: &Recordings, end: Endpoint, time_ns: i64) -> bool {
    let public = publication.public;
    if !holds(publication, time_ns) || public.port() != end.port() {
        return false;
    }
    if !public.is_unspecified() {
        return public == end;
    }
    if public.is_v4() != end.is_v4() {
        return false;
    }
    match (publication.namespace, publication.host) {
        (Some(namespace), _) => recordings.places.has(namespace, end, time_ns),
        (None, Some(host)) => recordings.host(host).owns(end),
        (None, None) => true,
    }
}
