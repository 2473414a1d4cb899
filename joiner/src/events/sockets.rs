//! The latest life of every socket, by its cookie.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::host::HostId;
use super::life::LifeId;
use super::lives::Lives;

/// All sockets. The table is the largest thing that is needed only while files are read: it holds no
/// keys, which the lives have, and enough of their hashes to grow without looking at those.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    table: HashTable<Socket>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Socket {
    hash: u32,
    life: LifeId,
}

impl Socket {
    fn is(self, hash: u32, socket: (HostId, u64), lives: &Lives) -> bool {
        self.hash == hash && lives.is_of(self.life, socket)
    }
}

impl Sockets {
    /// Half of a hash; the other half follows from it.
    fn hash(&self, socket: (HostId, u64)) -> u32 {
        let [.., a, b, c, d] = self.hasher.hash_one(socket).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The latest life of `socket`.
    pub(super) fn get(&self, socket: (HostId, u64), lives: &Lives) -> Option<LifeId> {
        let hash = self.hash(socket);
        let found = self.table.find(whole(hash), |known| known.is(hash, socket, lives));
        found.map(|known| known.life)
    }

    /// `socket` has a life, maybe another one than before.
    pub(super) fn set(&mut self, socket: (HostId, u64), life: LifeId, lives: &Lives) {
        let hash = self.hash(socket);
        match self.table.find_mut(whole(hash), |known| known.is(hash, socket, lives)) {
            Some(known) => known.life = life,
            None => {
                let new = Socket { hash, life };
                self.table.insert_unique(whole(hash), new, |known| whole(known.hash));
            }
        }
    }
}

fn whole(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
