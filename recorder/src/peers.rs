//! Datagram counts per peer: how much of what the kernel counted is in the file already. Pure
//! bookkeeping; the table itself is read elsewhere.

use std::collections::{HashMap, hash_map::Entry};

use schema::{
    EventDirection,
    wire::{PeerKey, Record, RecordKind},
};

/// Nanoseconds without a datagram after which a peer is forgotten.
pub const IDLE_NS: u64 = 30_000_000_000;

/// What is to be written about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Datagrams since the last row.
    pub count: u64,
    /// Who began: this end, or the peer.
    pub direction: EventDirection,
}

#[derive(Debug)]
struct Account {
    written: u64,
    direction: EventDirection,
}

/// The accounts of all peers. There is one for an entry of the kernel's table as long as the entry
/// is there, so there are never more than that has room for.
#[derive(Debug, Default)]
pub struct Peers {
    accounts: HashMap<PeerKey, Account>,
    by_socket: HashMap<u64, Vec<PeerKey>>,
}

impl Peers {
    /// Takes the count the kernel has reached for a peer; what of it is new, if anything.
    pub fn count(&mut self, key: &PeerKey, total: u64) -> Option<Due> {
        let direction = self.direction(key);
        let account = match self.accounts.entry(*key) {
            Entry::Occupied(account) => account.into_mut(),
            Entry::Vacant(vacant) => {
                self.by_socket.entry(key.socket_cookie).or_default().push(*key);
                vacant.insert(Account { written: 0, direction })
            }
        };
        let count = total.saturating_sub(account.written);
        account.written = account.written.max(total);
        (count > 0).then_some(Due { count, direction: account.direction })
    }

    /// Closes the account of a peer, because it was removed from the table.
    pub fn forget(&mut self, key: &PeerKey) {
        if self.accounts.remove(key).is_some()
            && let Entry::Occupied(mut keys) = self.by_socket.entry(key.socket_cookie)
        {
            keys.get_mut().retain(|other| other != key);
            if keys.get().is_empty() {
                keys.remove();
            }
        }
    }

    /// The peers of a socket.
    #[must_use]
    pub fn of_socket(&self, cookie: u64) -> Vec<PeerKey> {
        self.by_socket.get(&cookie).cloned().unwrap_or_default()
    }

    /// Who began: if datagrams went the other way before, what was found then.
    fn direction(&self, key: &PeerKey) -> EventDirection {
        let sends = key.kind == RecordKind::UdpSend as u8;
        let other = if sends { RecordKind::UdpRecv } else { RecordKind::UdpSend };
        let other = PeerKey { kind: other as u8, ..*key };
        match self.accounts.get(&other) {
            Some(account) => account.direction,
            None if sends => EventDirection::Out,
            None => EventDirection::In,
        }
    }
}

/// The key of the peer that a record of `UdpSend` or `UdpRecv` is about.
#[must_use]
pub fn key_of(record: &Record) -> PeerKey {
    PeerKey {
        socket_cookie: record.socket_cookie,
        remote_addr: record.remote_addr,
        remote_port: record.remote_port,
        kind: record.kind,
        reserved: [0; 5],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(cookie: u64, kind: RecordKind) -> PeerKey {
        PeerKey {
            socket_cookie: cookie,
            remote_addr: [1; 16],
            remote_port: 53,
            kind: kind as u8,
            reserved: [0; 5],
        }
    }

    fn due(count: u64, direction: EventDirection) -> Option<Due> {
        Some(Due { count, direction })
    }

    #[test]
    fn every_datagram_is_reported_once_whatever_comes_first() {
        let mut peers = Peers::default();
        let sends = key(1, RecordKind::UdpSend);
        assert_eq!(peers.count(&sends, 1), due(1, EventDirection::Out));
        assert_eq!(peers.count(&sends, 1), None);
        assert_eq!(peers.count(&sends, 1000), due(999, EventDirection::Out));
        // The table was read before the first datagram's record was: that one says nothing new.
        assert_eq!(peers.count(&sends, 1), None);
        assert_eq!(peers.count(&sends, 1001), due(1, EventDirection::Out));
    }

    #[test]
    fn an_answer_has_the_direction_of_the_question() {
        let mut peers = Peers::default();
        assert_eq!(peers.count(&key(1, RecordKind::UdpRecv), 1), due(1, EventDirection::In));
        assert_eq!(peers.count(&key(1, RecordKind::UdpSend), 1), due(1, EventDirection::In));
        assert_eq!(peers.count(&key(2, RecordKind::UdpSend), 1), due(1, EventDirection::Out));
        assert_eq!(peers.count(&key(2, RecordKind::UdpRecv), 1), due(1, EventDirection::Out));
    }

    #[test]
    fn a_forgotten_peer_starts_anew() {
        let mut peers = Peers::default();
        let (sends, receives) = (key(1, RecordKind::UdpSend), key(1, RecordKind::UdpRecv));
        peers.count(&sends, 5);
        peers.count(&receives, 5);
        assert_eq!(peers.of_socket(1), [sends, receives]);
        peers.forget(&sends);
        assert_eq!(peers.of_socket(1), [receives]);
        assert_eq!(peers.count(&sends, 2), due(2, EventDirection::Out));
        peers.forget(&receives);
        peers.forget(&sends);
        assert!(peers.by_socket.is_empty() && peers.accounts.is_empty());
    }
}
