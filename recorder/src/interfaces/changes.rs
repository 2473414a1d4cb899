//! What was told of interfaces, and what is to be told now. No I/O.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use super::Interface;

/// Namespace by inode and cookie, interface, address: an inode is used again.
type Key = (u64, Option<u64>, u32, Option<IpAddr>);

/// The interfaces as they were told last.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<Key, Interface>);

impl Told {
    /// Tells `tell` how what is there `now` differs; removals first. Stops when `tell` returns
    /// false; what is left then is told the next time. Returns whether all was told.
    pub(super) fn update(
        &mut self,
        now: Vec<Interface>,
        mut tell: impl FnMut(Interface) -> bool,
    ) -> bool {
        let present: HashSet<Key> = now.iter().map(key).collect();
        // The interface is still there: it has an address now, where it had none.
        let links: HashSet<_> =
            now.iter().map(|of| (of.netns, of.netns_cookie, of.index)).collect();
        let gone: Vec<Key> = self.0.keys().filter(|key| !present.contains(key)).copied().collect();
        for key in gone {
            let (netns, cookie, index, address) = key;
            let replaced = address.is_none() && links.contains(&(netns, cookie, index));
            let Some(last) = self.0.get(&key) else { continue };
            if !replaced && !tell(Interface { removed: true, ..last.clone() }) {
                return false;
            }
            self.0.remove(&key);
        }
        for interface in now {
            let key = key(&interface);
            if self.0.get(&key) == Some(&interface) {
                continue;
            }
            if !tell(interface.clone()) {
                return false;
            }
            self.0.insert(key, interface);
        }
        true
    }
}

fn key(of: &Interface) -> Key {
    (of.netns, of.netns_cookie, of.index, of.address)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn interface(netns: u64, name: &str, address: Option<u8>) -> Interface {
        Interface {
            index: 2,
            name: name.into(),
            mac: None,
            address: address.map(|last| Ipv4Addr::new(10, 0, 0, last).into()),
            netns,
            netns_cookie: Some(netns + 100),
            peer: None,
            serves: None,
            removed: false,
        }
    }

    /// Namespace, last byte of the address, removed.
    fn update(told: &mut Told, now: &[Interface]) -> Vec<(u64, Option<u8>, bool)> {
        let mut out = vec![];
        let all = told.update(now.to_vec(), |of| {
            let last = of.address.map(|address| match address {
                IpAddr::V4(address) => address.octets()[3],
                IpAddr::V6(_) => 0,
            });
            out.push((of.netns, last, of.removed));
            true
        });
        assert!(all);
        out
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut told = Told::default();
        let bare = [interface(1, "eth0", None), interface(2, "eth0", None)];
        assert_eq!(update(&mut told, &bare), [(1, None, false), (2, None, false)]);
        assert_eq!(update(&mut told, &bare), []);
        // The first address is no removal of the interface without one.
        let one = [interface(1, "eth0", Some(1)), interface(2, "eth0", None)];
        assert_eq!(update(&mut told, &one), [(1, Some(1), false)]);
        let renamed = [interface(1, "lan0", Some(1)), interface(2, "eth0", None)];
        assert_eq!(update(&mut told, &renamed), [(1, Some(1), false)]);
        let other = [interface(1, "lan0", Some(9))];
        let mut changes = update(&mut told, &other);
        changes.sort_unstable();
        assert_eq!(changes, [(1, Some(1), true), (1, Some(9), false), (2, None, true)]);
        assert_eq!(update(&mut told, &[]), [(1, Some(9), true)]);
    }

    #[test]
    fn what_finds_no_room_is_told_later() {
        let mut told = Told::default();
        let now = vec![interface(1, "a", None), interface(2, "b", None), interface(3, "c", None)];
        let mut room = 2;
        let all = told.update(now.clone(), |_| {
            room -= 1;
            room >= 0
        });
        assert!(!all);
        assert_eq!(update(&mut told, &now), [(3, None, false)]);
    }
}
