//! The interfaces of a section, as far as they were described at some place in it. One list serves
//! all places: a copy per place would let a file of two megabytes, twenty thousand interfaces each
//! with its packet, take gigabytes.
//!
//! ```text
//! segment 0: 1 interface   segment 1: 2   segment 2: 4   …   none ever moves
//! ```

use std::sync::{Arc, OnceLock};

use super::interface::Interface;

/// Segments, which bounds the interfaces of one section that are known to 1,048,575, some 70 MB. Real
/// captures have up to a few hundred; whatever a file describes must not fill the memory.
const SEGMENTS: usize = 20;

/// Most interfaces of one section that are known. Packets of others are copied, and say so.
pub const MAX_INTERFACES: usize = (1 << SEGMENTS) - 1;

type Segment = OnceLock<Box<[OnceLock<Interface>]>>;

/// The first interfaces of a section, by id. A clone shares the list and keeps its own end.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    list: Arc<[Segment; SEGMENTS]>,
    length: usize,
}

impl Interfaces {
    /// How many were described up to here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none was described yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The interface with this id, if it was described up to here.
    #[inline]
    #[must_use]
    pub fn get(&self, id: usize) -> Option<&Interface> {
        if id >= self.length {
            return None;
        }
        let (segment, place) = locate(id);
        self.list.get(segment)?.get()?.get(place)?.get()
    }

    /// Adds the next one; `false` if there are too many, or if a clone has added its own.
    pub fn push(&mut self, interface: Interface) -> bool {
        let (segment, place) = locate(self.length);
        let added = self.list.get(segment).is_some_and(|list| {
            let list = list.get_or_init(|| (0..1 << segment).map(|_| OnceLock::new()).collect());
            list[place].set(interface).is_ok()
        });
        self.length += usize::from(added);
        added
    }
}

/// The segment that holds `id`, and the place in it.
#[inline]
fn locate(id: usize) -> (usize, usize) {
    let segment = (id + 1).ilog2() as usize;
    (segment, id + 1 - (1 << segment))
}

#[cfg(test)]
mod tests {
    use super::super::interface::Clock;
    use super::*;
    use crate::decode::LinkType;

    fn interface(number: usize) -> Interface {
        let link = LinkType(u16::try_from(number % 65_536).expect("small"));
        Interface { link, name: None, clock: Clock::MICROSECONDS, netns: None }
    }

    #[test]
    fn every_place_sees_what_was_described_before_it_and_no_more() {
        let mut all = Interfaces::default();
        assert!(all.is_empty());
        let mut places = vec![];
        for number in 0..MAX_INTERFACES {
            assert!(all.push(interface(number)));
            if number % 997 == 0 {
                places.push(all.clone());
            }
        }
        assert!(!all.push(interface(0)), "one too many");
        assert_eq!(all.len(), MAX_INTERFACES);
        for place in places.iter().chain([&all]) {
            let last = place.len() - 1;
            for id in [0, last / 2, last] {
                let found = place.get(id).map(|found| found.link);
                assert_eq!(found, Some(interface(id).link), "{id} of {last}");
            }
            assert!(place.get(last + 1).is_none());
        }
    }
}
