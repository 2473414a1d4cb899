//! Fragments: only the first of a datagram has the ports.

use hashbrown::HashMap;
use schema::FiveTuple;

use crate::decode::FragmentKey;
use crate::survey::First;

/// Fragments of one datagram are this close to each other, nanoseconds: what the receiver waits
/// (RFC 1122 asks for 60 s at least, Linux waits 30). The number is used again afterwards.
const TOGETHER_NS: i64 = 30_000_000_000;

/// The first fragments of a capture.
#[derive(Debug, Default)]
pub struct Fragments(HashMap<FragmentKey, Vec<First>>);

impl Fragments {
    /// Sorts out `firsts`.
    #[must_use]
    pub fn new(firsts: impl Iterator<Item = First>) -> Self {
        let mut fragments = Self::default();
        for first in firsts {
            fragments.0.entry(first.key).or_default().push(first);
        }
        fragments
    }

    /// The tuple of a fragment that was seen at `time_ns`: that of the nearest first one, before or
    /// after it.
    #[must_use]
    pub fn tuple(&self, key: &FragmentKey, time_ns: i64) -> Option<FiveTuple> {
        let distance = |first: &&First| first.time_ns.abs_diff(time_ns);
        let nearest = self.0.get(key)?.iter().min_by_key(distance)?;
        (distance(&nearest) <= TOGETHER_NS.unsigned_abs()).then_some(nearest.tuple)
    }
}

#[cfg(test)]
mod tests {
    use schema::{Endpoint, Proto};

    use super::*;

    #[test]
    fn a_fragment_belongs_to_the_nearest_first_one() {
        let [src, dst] = [1, 2].map(|last| Endpoint::v4([10, 0, 0, last], 53));
        let key = FragmentKey { src: src.mapped(), dst: dst.mapped(), proto: Proto::UDP, id: 7 };
        let first = |time_ns, port| {
            let src = Endpoint::v4([10, 0, 0, 1], port);
            First { key, time_ns, tuple: FiveTuple::new(Proto::UDP, src, dst) }
        };
        let second = 1_000_000_000;
        let fragments = Fragments::new([first(0, 1), first(100 * second, 2)].into_iter());
        let port = |time_ns| fragments.tuple(&key, time_ns).map(|tuple| tuple.src.port());
        assert_eq!(
            [0, 30, 31, 70, 100].map(|s| port(s * second)),
            [Some(1), Some(1), None, Some(2), Some(2)]
        );
        assert_eq!(fragments.tuple(&FragmentKey { id: 8, ..key }, 0), None);
    }
}
