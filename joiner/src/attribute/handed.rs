//! Which sockets were ever handed to another process: few, and asked of every packet.

use crate::events::{LifeId, Recordings};

/// One bit for every life.
#[derive(Debug, Default)]
pub(super) struct HandedOver(Vec<u64>);

/// Lives of one word.
const BITS: usize = u64::BITS as usize;

impl HandedOver {
    pub(super) fn new(recordings: &Recordings) -> Self {
        if recordings.handovers.is_empty() {
            return Self::default();
        }
        let mut words = vec![0; recordings.lives.len().div_ceil(BITS)];
        for handover in &recordings.handovers {
            let at = super::position(handover.life.0);
            if let Some(word) = words.get_mut(at / BITS) {
                *word |= 1 << (at % BITS);
            }
        }
        Self(words)
    }

    /// Whether `life` was.
    #[inline]
    pub(super) fn has(&self, life: LifeId) -> bool {
        let at = super::position(life.0);
        self.0.get(at / BITS).is_some_and(|word| word >> (at % BITS) & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Handover, IdentityId};

    #[test]
    fn only_those_that_were_are() {
        let handed = [0, 63, 64, 130];
        let handover = |life| Handover { life: LifeId(life), time_ns: 0, owner: IdentityId(0) };
        let handovers = handed.map(handover).to_vec();
        let all = Recordings { handovers, ..Recordings::default() };
        assert!(!HandedOver::new(&Recordings::default()).has(LifeId(0)));
        assert!(!HandedOver::new(&all).has(LifeId(64)), "there is no such life");
        let known = HandedOver(vec![1 | 1 << 63, 1, 1 << 2]);
        assert!((0..200).all(|life| known.has(LifeId(life)) == handed.contains(&life)));
    }
}
