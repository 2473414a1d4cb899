//! Which sockets were ever handed to another process: few, and asked of every packet.

use crate::bits::Bits;
use crate::events::{LifeId, Recordings};

/// Those lives.
#[derive(Debug, Default)]
pub(super) struct HandedOver(Bits);

impl HandedOver {
    pub(super) fn new(recordings: &Recordings) -> Self {
        if recordings.handovers.is_empty() {
            return Self::default();
        }
        let mut lives = Bits::up_to(recordings.lives.len());
        for handover in &recordings.handovers {
            lives.add(super::position(handover.life.0));
        }
        Self(lives)
    }

    /// Whether `life` was.
    #[inline]
    pub(super) fn has(&self, life: LifeId) -> bool {
        self.0.has(super::position(life.0))
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
        let mut lives = Bits::up_to(131);
        handed.iter().for_each(|&life| lives.add(super::super::position(life)));
        let known = HandedOver(lives);
        assert!((0..200).all(|life| known.has(LifeId(life)) == handed.contains(&life)));
    }
}
