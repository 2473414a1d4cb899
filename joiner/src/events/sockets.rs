//! The latest life of every socket, by its cookie.
//!
//! The kernel hands out cookies one after the other, to each processor a few thousand at a time, and
//! rows come in the order of time: those of one moment are of neighbouring cookies. So the table is one
//! of *blocks*, sixteen cookies each, a cache line; what goes on at one time is in few of them.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::host::HostId;
use super::life::LifeId;

/// Cookies of a block: their lives fill a cache line.
const BLOCK: usize = 16;
/// Instead of a life: none. No recording has so many.
pub(super) const NO_LIFE: LifeId = LifeId(u32::MAX);

/// A host, and its cookies less those of a block.
type BlockKey = (HostId, u64);

/// All sockets.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// Where the lives of each block begin.
    blocks: HashMap<BlockKey, u32, RandomState>,
    lives: Vec<[LifeId; BLOCK]>,
    /// The block that was asked for last.
    last: Option<(BlockKey, u32)>,
}

impl Sockets {
    /// The latest life of `socket`; [`NO_LIFE`] if it has none yet.
    #[inline]
    pub(super) fn get(&mut self, (host, cookie): (HostId, u64)) -> LifeId {
        let (key, within) = place((host, cookie));
        let block = match self.last {
            Some((last, block)) if last == key => block,
            _ => {
                let Some(&block) = self.blocks.get(&key) else { return NO_LIFE };
                self.last = Some((key, block));
                block
            }
        };
        self.lives[super::position(block)][within]
    }

    /// The latest life of `socket`, to be read or set; [`NO_LIFE`] if it has none yet.
    pub(super) fn latest(&mut self, socket: (HostId, u64)) -> &mut LifeId {
        let (key, within) = place(socket);
        let block = match self.last {
            Some((last, block)) if last == key => block,
            _ => {
                let next = u32::try_from(self.lives.len()).unwrap_or(u32::MAX);
                let block = *self.blocks.entry(key).or_insert(next);
                if block == next {
                    self.lives.push([NO_LIFE; BLOCK]);
                }
                self.last = Some((key, block));
                block
            }
        };
        &mut self.lives[super::position(block)][within]
    }
}

/// The block of a socket, and its place there.
#[inline]
fn place((host, cookie): (HostId, u64)) -> (BlockKey, usize) {
    let size = BLOCK as u64;
    ((host, cookie / size), usize::try_from(cookie % size).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn cookie() -> impl Strategy<Value = u64> {
        prop_oneof![0..40u64, 1_000_000..1_000_040u64, u64::MAX - 20..=u64::MAX, any::<u64>()]
    }

    proptest! {
        #[test]
        fn every_socket_has_its_latest_life(
            rows in prop::collection::vec((0..2u16, cookie(), any::<bool>()), 0..400),
        ) {
            let mut sockets = Sockets::default();
            let mut model: HashMap<(HostId, u64), LifeId> = HashMap::new();
            for (number, (host, cookie, is_new)) in (0..).zip(rows) {
                let socket = (HostId(host), cookie);
                let want = model.get(&socket).copied().unwrap_or(NO_LIFE);
                prop_assert_eq!(sockets.get(socket), want);
                let latest = sockets.latest(socket);
                prop_assert_eq!(*latest, want);
                if is_new {
                    *latest = LifeId(number);
                    model.insert(socket, LifeId(number));
                }
            }
        }
    }
}
