//! The listeners that were there before the recording. A connection accepted from one carries
//! nothing of its owner: the hooks were not there when the listener was made.

use std::collections::HashMap;

use schema::Endpoint;

use crate::row::{Owner, SocketRow};

/// Listeners remembered, about 6 MB; a host has hundreds. Connections to those beyond are named by
/// who reads or closes them.
const MAX_LISTENERS: usize = 65_536;

#[derive(Clone, Copy, Debug)]
struct Listener {
    netns_cookie: u64,
    local: Endpoint,
    v6only: bool,
    owner: Option<Owner>,
}

/// Where a connection was accepted, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Acceptor {
    netns_cookie: u64,
    /// The process that listens, if it is one and known.
    owner: Option<Owner>,
}

impl Listener {
    /// How well it fits a connection to `local`, of the same port; higher beats lower, as in the
    /// kernel's own search: the address itself, then the wildcard of its family, then `::`.
    fn fit(&self, local: Endpoint) -> Option<u8> {
        if self.local == local {
            Some(2)
        } else if !self.local.is_unspecified() {
            None
        } else if self.local.is_v4() == local.is_v4() {
            Some(1)
        } else {
            (local.is_v4() && !self.v6only).then_some(0)
        }
    }
}

/// Listeners by port.
#[derive(Debug, Default)]
pub struct Listeners {
    by_port: HashMap<u16, Vec<Listener>>,
    count: usize,
}

impl Listeners {
    /// Remembers a listener on `local` in the namespace with this cookie.
    pub fn insert(
        &mut self,
        netns_cookie: u64,
        local: Endpoint,
        v6only: bool,
        owner: Option<Owner>,
    ) {
        if self.count < MAX_LISTENERS {
            self.count += 1;
            let listeners = self.by_port.entry(local.port()).or_default();
            listeners.push(Listener { netns_cookie, local, v6only, owner });
        }
    }

    /// Gives the row of a connection accepted from such a listener its namespace and owner.
    pub fn complete(&self, row: &mut SocketRow) {
        let local = row.local.endpoint();
        if let Some(found) = local.and_then(|local| self.acceptor(row.netns_cookie, local)) {
            row.netns_cookie = found.netns_cookie;
            row.owner = found.owner;
        }
    }

    /// Who took a connection to `local`, in the namespace with this cookie, or in any if that is 0.
    /// `None` if nobody listens there, or in several namespaces; without an owner if several
    /// processes listen there, or one that is unknown.
    fn acceptor(&self, netns_cookie: u64, local: Endpoint) -> Option<Acceptor> {
        let listeners = self.by_port.get(&local.port())?;
        let inside = |listener: &&Listener| {
            (netns_cookie == 0 || listener.netns_cookie == netns_cookie)
                && listener.fit(local).is_some()
        };
        let netns_cookie = listeners.iter().find(inside)?.netns_cookie;
        if listeners.iter().filter(inside).any(|other| other.netns_cookie != netns_cookie) {
            return None;
        }
        let best = listeners.iter().filter(inside).filter_map(|one| one.fit(local)).max()?;
        let mut owners = listeners
            .iter()
            .filter(inside)
            .filter(|listener| listener.fit(local) == Some(best))
            .map(|listener| listener.owner);
        let first = owners.next().flatten();
        let same = |other: Option<Owner>| other.map(|owner| owner.pid) == first.map(|o| o.pid);
        Some(Acceptor { netns_cookie, owner: first.filter(|_| owners.all(same)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pid: u32) -> Option<Owner> {
        Some(Owner { pid, tid: pid, uid: 0, gid: 0, cgroup_id: 0, comm: [0; 16] })
    }

    fn found(listeners: &Listeners, local: Endpoint) -> Option<u32> {
        listeners.acceptor(1, local).and_then(|found| found.owner).map(|owner| owner.pid)
    }

    #[test]
    fn the_most_specific_listener_wins() {
        let mut listeners = Listeners::default();
        listeners.insert(1, Endpoint::v6([0; 16], 80), false, owner(10));
        let local = Endpoint::v4([10, 0, 0, 1], 80);
        let v6 = Endpoint::v6([7; 16], 80);
        assert_eq!((found(&listeners, local), found(&listeners, v6)), (Some(10), Some(10)));
        listeners.insert(1, Endpoint::v4([0; 4], 80), false, owner(11));
        assert_eq!((found(&listeners, local), found(&listeners, v6)), (Some(11), Some(10)));
        listeners.insert(1, local, false, owner(12));
        assert_eq!(found(&listeners, local), Some(12));
        assert_eq!(found(&listeners, Endpoint::v4([10, 0, 0, 2], 80)), Some(11));
        assert_eq!(found(&listeners, Endpoint::v4([10, 0, 0, 1], 81)), None);
        assert_eq!(listeners.acceptor(2, local), None, "another namespace");
    }

    #[test]
    fn an_unknown_namespace_is_found_if_only_one_listens() {
        let mut listeners = Listeners::default();
        let local = Endpoint::v4([10, 0, 0, 1], 80);
        listeners.insert(1, Endpoint::v4([0; 4], 80), false, owner(10));
        let found = Acceptor { netns_cookie: 1, owner: owner(10) };
        assert_eq!(listeners.acceptor(0, local), Some(found));
        listeners.insert(2, local, false, owner(11));
        assert_eq!(listeners.acceptor(0, local), None, "both may own the address");
        assert_eq!(listeners.acceptor(1, local), Some(found));
    }

    #[test]
    fn ipv6_only_takes_no_ipv4() {
        let mut listeners = Listeners::default();
        listeners.insert(1, Endpoint::v6([0; 16], 80), true, owner(10));
        assert_eq!(found(&listeners, Endpoint::v4([10, 0, 0, 1], 80)), None);
        assert_eq!(found(&listeners, Endpoint::v6([7; 16], 80)), Some(10));
    }

    #[test]
    fn several_processes_on_a_port_are_none() {
        let mut listeners = Listeners::default();
        let local = Endpoint::v4([0; 4], 80);
        listeners.insert(1, local, false, owner(10));
        listeners.insert(1, local, false, owner(10));
        let to = Endpoint::v4([10, 0, 0, 1], 80);
        assert_eq!(found(&listeners, to), Some(10));
        listeners.insert(1, local, false, None);
        assert_eq!(found(&listeners, to), None);
        let mut shared = Listeners::default();
        shared.insert(1, local, false, owner(10));
        shared.insert(1, local, false, owner(11));
        assert_eq!(found(&shared, to), None);
    }
}
