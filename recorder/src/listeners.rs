//! The listeners that were there before the recording. A connection accepted from one carries
//! nothing of its owner: the hooks were not there when the listener was made.

use std::collections::HashMap;

use schema::Endpoint;

use crate::row::Owner;

/// Listeners remembered, about 6 MB; a host has hundreds. Connections to those beyond are named by
/// who reads or closes them.
const MAX_LISTENERS: usize = 65_536;

#[derive(Clone, Copy, Debug)]
struct Listener {
    local: Endpoint,
    v6only: bool,
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

/// Listeners by namespace cookie and port.
#[derive(Debug, Default)]
pub struct Listeners {
    by_port: HashMap<(u64, u16), Vec<Listener>>,
    count: usize,
}

impl Listeners {
    /// Remembers a listener.
    pub fn insert(&mut self, netns: u64, local: Endpoint, v6only: bool, owner: Option<Owner>) {
        if self.count < MAX_LISTENERS {
            self.count += 1;
            let listeners = self.by_port.entry((netns, local.port())).or_default();
            listeners.push(Listener { local, v6only, owner });
        }
    }

    /// The owner of the listener that took a connection to `local`; `None` if there is none, or if
    /// several processes listen there, or if one of those is unknown.
    #[must_use]
    pub fn owner(&self, netns: u64, local: Endpoint) -> Option<Owner> {
        let listeners = self.by_port.get(&(netns, local.port()))?;
        let best = listeners.iter().filter_map(|listener| listener.fit(local)).max()?;
        let mut fitting = listeners.iter().filter(|listener| listener.fit(local) == Some(best));
        let owner = fitting.next()?.owner?;
        let same = fitting.all(|other| other.owner.is_some_and(|other| other.pid == owner.pid));
        same.then_some(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pid: u32) -> Option<Owner> {
        Some(Owner { pid, tid: pid, uid: 0, gid: 0, cgroup_id: 0, comm: [0; 16] })
    }

    fn found(listeners: &Listeners, local: Endpoint) -> Option<u32> {
        listeners.owner(1, local).map(|owner| owner.pid)
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
        assert!(listeners.owner(2, local).is_none(), "another namespace");
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
