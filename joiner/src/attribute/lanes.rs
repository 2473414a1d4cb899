//! Which of several namespaces a packet's end is in. The same addresses can be in use in many
//! namespaces and on many hosts at once; who owns an address, and where the packet was seen, tell
//! them apart.

use schema::Endpoint;
use schema::annotation::Rule;

use super::seen::{Places, Seen};
use super::verdict::Holder;
use crate::events::{IdentityId, NamespaceId, Recordings, Tenant};
use crate::index::Lane;

/// What fits an end, in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// By what; `None` if several processes fit within the lane.
    pub(super) holder: Option<Holder>,
    pub(super) owner: Option<IdentityId>,
    pub(super) rule: Rule,
    pub(super) lane: Lane,
}

/// What fits an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// One process.
    One(Found),
    /// Several processes, and nothing tells which.
    Several,
    /// None.
    Nobody,
}

impl Fit {
    pub(super) fn is_nobody(self) -> bool {
        self == Self::Nobody
    }
}

/// One end of a packet, and where it was seen.
#[derive(Clone, Copy)]
pub(super) struct Chooser<'a> {
    pub(super) recordings: &'a Recordings,
    pub(super) places: &'a Places,
    pub(super) seen: Seen<'a>,
    /// The address at this end: the packet's, or what it was translated from.
    pub(super) address: Endpoint,
    /// Where it was translated, if it was.
    pub(super) translated: Option<NamespaceId>,
}

impl Chooser<'_> {
    /// Whether the end can be in `lane`: if its address is somebody else's, it is not. A socket that
    /// is bound to a wildcard has to have it (`is_wildcard`).
    pub(super) fn is_possible(&self, lane: Lane, is_wildcard: bool) -> bool {
        let Some(namespace) = lane.namespace else { return true };
        let (address, time_ns) = (self.address, self.seen.time_ns);
        let places = &self.recordings.places;
        if address.is_loopback() {
            // Such an address means something where it was seen, or translated, and nowhere else.
            let seen = || self.places.namespace(self.recordings, &self.seen);
            return self.translated.or_else(seen).is_none_or(|here| here == namespace);
        }
        let near = self.near();
        if near.iter().any(Option::is_some) {
            return near.contains(&Some(namespace));
        }
        if places.has(namespace, address, time_ns) {
            return true;
        }
        if is_wildcard && places.namespace(namespace).is_listed {
            // What is sent to all has many receivers; those next to the capture are certain.
            return is_for_all(address)
                && self.places.namespace(self.recordings, &self.seen) == Some(namespace);
        }
        !matches!(places.tenant(address, time_ns), Tenant::One(_))
    }

    /// Those of the namespaces that the packet passes by that have the address themselves: it is one of
    /// theirs then.
    fn near(&self) -> [Option<NamespaceId>; 2] {
        if self.translated.is_some() {
            return [None; 2];
        }
        let here = self.places.namespace(self.recordings, &self.seen);
        let beyond = self.places.beyond(self.recordings, &self.seen);
        let has =
            |&near: &NamespaceId| self.recordings.places.has(near, self.address, self.seen.time_ns);
        [here, beyond].map(|near| near.filter(has))
    }

    /// Whether several namespaces have the address, and nothing tells in which of them the end is.
    pub(super) fn may_be_anothers(&self) -> bool {
        let tenant = || self.recordings.places.tenant(self.address, self.seen.time_ns);
        !self.address.is_loopback()
            && tenant() == Tenant::Several
            && self.near().iter().all(Option::is_none)
    }

    /// The one of `found`, at most one per lane, that the end is.
    pub(super) fn choose(&self, mut found: Vec<Found>) -> Fit {
        if let Some(fit) = decided(&found) {
            return fit;
        }
        let owner = match self.recordings.places.tenant(self.address, self.seen.time_ns) {
            Tenant::One(tenure) => Some(tenure.namespace),
            Tenant::Several | Tenant::Nobody => None,
        };
        narrow(&mut found, |found| owner.is_some() && found.lane.namespace == owner);
        if found.len() > 1 {
            let here = self.places.namespace(self.recordings, &self.seen);
            narrow(&mut found, |found| here.is_some() && found.lane.namespace == here);
        }
        if found.len() > 1 {
            let host = self.places.host(self.recordings, &self.seen);
            narrow(&mut found, |found| host == Some(found.lane.host));
        }
        // That one of them is open at the time and another closed, or opens later, decides nothing:
        // what is seen may be the last of that one, or its first.
        decided(&found).unwrap_or(Fit::Several)
    }
}

/// Whether an address is multicast, or IPv4's broadcast.
pub(super) fn is_for_all(end: Endpoint) -> bool {
    let ip = end.ip();
    ip.is_multicast() || ip == std::net::Ipv4Addr::BROADCAST
}

/// Leaves those that fit, if any do.
fn narrow(found: &mut Vec<Found>, fits: impl Fn(&Found) -> bool) {
    if found.iter().any(&fits) {
        found.retain(fits);
    }
}

/// The outcome, if all that is left is one process's, or of one lane.
fn decided(found: &[Found]) -> Option<Fit> {
    let (first, rest) = match found {
        [] => return Some(Fit::Nobody),
        [first, rest @ ..] => (first, rest),
    };
    let is_one = rest
        .iter()
        .all(|other| other.owner == first.owner && other.owner.is_some() && other.holder.is_some());
    match (is_one, first.holder) {
        (true, Some(_)) => {
            // The most certain of one process's sockets.
            let best = found.iter().min_by_key(|found| found.rule).unwrap_or(first);
            Some(Fit::One(*best))
        }
        (true, None) if rest.is_empty() => Some(Fit::Several),
        _ => None,
    }
}
