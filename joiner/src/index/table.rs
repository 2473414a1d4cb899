//! The table behind the index: flows to where their entries are. A slot holds no key but some bits of
//! its hash, so that eight of them share a cache line; where those agree, the flow's first conversation
//! tells whether it is the one. What goes on at one time has its conversations near each other, so
//! that these are seldom waited for; the slot is.
//!
//! Slots are in the order of their hashes, as nearly as open addressing allows: the table is as long
//! as it has to be, not the next power of two.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use schema::FlowKey;

use super::position;

/// Slots for every three flows that may come.
const SLOTS_FOR_THREE: usize = 4;

/// More entries than a slot can count at one end are counted elsewhere.
const MANY: u8 = u8::MAX;

/// A flow and where its entries are; a slot without entries is free.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// While flows are counted the number that its first conversation was counted by; later the
    /// position of its first entry.
    first: u32,
    /// The lowest bits of its hash, of which the highest decide where it is.
    tag: u16,
    up: u8,
    down: u8,
}

impl Slot {
    fn is_free(&self) -> bool {
        self.up == 0 && self.down == 0
    }
}

/// Where the entries of one flow are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The first of them: no other flow has the same. Entries for the way up come first.
    pub first: u32,
    /// Entries local to the lower end.
    pub up: u32,
    /// Entries local to the higher end.
    pub down: u32,
}

/// All flows.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    /// Counts that don't fit their slots, by slot: up, down.
    many: HashMap<u32, (u32, u32)>,
    hasher: RandomState,
}

impl Table {
    /// A table that has room for `flows` of them.
    pub(super) fn with_room_for(flows: usize) -> Self {
        let slots = if flows == 0 { 0 } else { flows / 3 * SLOTS_FOR_THREE + SLOTS_FOR_THREE };
        Self { slots: vec![Slot::default(); slots], ..Self::default() }
    }

    #[inline]
    pub(super) fn hash(&self, key: &FlowKey) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u128(u128::from_ne_bytes(key.low.mapped()));
        hasher.write_u128(u128::from_ne_bytes(key.high.mapped()));
        let [low, high] = [key.low, key.high].map(|end| u64::from(end.port()));
        hasher.write_u64(low << 32 | high << 16 | u64::from(key.proto.0));
        hasher.finish()
    }

    /// Where the search for a flow begins.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        let scaled = (u128::from(hash) * self.slots.len() as u128) >> 64;
        // Less than the number of slots.
        usize::try_from(scaled).unwrap_or(0)
    }

    /// Reads the slot where the search for a flow begins, so that it is near when it is searched for.
    #[inline]
    pub(super) fn touch(&self, hash: u64) {
        self.touch_slot(position(self.home(hash)));
    }

    /// The same of slot `at`.
    #[inline]
    pub(super) fn touch_slot(&self, at: u32) {
        if let Some(slot) = self.slots.get(place(at)) {
            std::hint::black_box(slot.first);
        }
    }

    /// The flow of hash `hash` for whose first entry `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<Found> {
        let (mut at, tag) = (self.home(hash), tag(hash));
        loop {
            // An empty table has no slot at all.
            let slot = self.slots.get(at)?;
            if slot.is_free() {
                return None;
            }
            if slot.tag == tag && is_it(slot.first) {
                return Some(self.found(at, slot));
            }
            at = self.next(at);
        }
    }

    /// Where the entries of a flow of hash `hash` probably are: of the one whose bits in the table agree.
    #[inline]
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        let (mut at, tag) = (self.home(hash), tag(hash));
        loop {
            let slot = self.slots.get(at)?;
            if slot.is_free() {
                return None;
            }
            if slot.tag == tag {
                return Some(slot.first);
            }
            at = self.next(at);
        }
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    #[inline]
    fn found(&self, at: usize, slot: &Slot) -> Found {
        let &Slot { first, up, down, .. } = slot;
        let (up, down) = if up == MANY || down == MANY {
            self.counted_elsewhere(at)
        } else {
            (u32::from(up), u32::from(down))
        };
        Found { first, up, down }
    }

    #[cold]
    fn counted_elsewhere(&self, at: usize) -> (u32, u32) {
        self.many.get(&position(at)).copied().unwrap_or_default()
    }

    /// Counts one more entry of the flow of hash `hash` for whose first number `is_it` holds, for the way
    /// up or the other one; the slot that has it. A new flow's first number is `number`.
    #[inline]
    pub(super) fn count(
        &mut self,
        (hash, number): (u64, u32),
        is_up: bool,
        is_it: impl Fn(u32) -> bool,
    ) -> u32 {
        let (mut at, tag) = (self.home(hash), tag(hash));
        loop {
            let slot = &mut self.slots[at];
            if slot.is_free() {
                *slot = Slot { first: number, tag, ..Slot::default() };
                break;
            }
            if slot.tag == tag && is_it(slot.first) {
                break;
            }
            at = self.next(at);
        }
        let slot = &mut self.slots[at];
        let (up, down) = (slot.up, slot.down);
        let count = if is_up { &mut slot.up } else { &mut slot.down };
        *count = count.saturating_add(1);
        if *count == MANY {
            let both = (u32::from(up), u32::from(down));
            let all = self.many.entry(position(at)).or_insert(both);
            *(if is_up { &mut all.0 } else { &mut all.1 }) += 1;
        } else if up == MANY || down == MANY {
            let all = self.many.entry(position(at)).or_default();
            *(if is_up { &mut all.0 } else { &mut all.1 }) += 1;
        }
        position(at)
    }

    /// What was counted of the flow in slot `at`.
    #[inline]
    pub(super) fn counted(&self, at: u32) -> Found {
        let at = place(at);
        self.found(at, &self.slots[at])
    }

    /// Says where the entries of the flow in slot `at` begin.
    #[inline]
    pub(super) fn place(&mut self, at: u32, first: u32) {
        self.slots[place(at)].first = first;
    }
}

#[inline]
fn tag(hash: u64) -> u16 {
    let [.., high, low] = hash.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[inline]
fn place(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use schema::flow::Way;
    use schema::{Endpoint, FiveTuple, Proto};

    use super::*;

    /// Few of each, so that flows come again and share their ports or addresses.
    fn endpoint() -> impl Strategy<Value = Endpoint> {
        prop_oneof![
            (0..3u8, 0..3u16).prop_map(|(last, port)| Endpoint::v4([10, 0, 0, last], port)),
            (0..3u8, 0..3u16).prop_map(|(last, port)| {
                let mut address = [0; 16];
                // Looks like an IPv4 address to whoever looks at its end alone.
                address[12..].copy_from_slice(&[10, 0, 0, last]);
                Endpoint::v6(address, port)
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_flow_is_found_and_no_other(
            tuples in prop::collection::vec((endpoint(), endpoint(), 6..8u8), 0..1200),
            strangers in prop::collection::vec((endpoint(), endpoint(), 6..8u8), 0..100),
        ) {
            let tuple = |(src, dst, proto)| FiveTuple::new(Proto(proto), src, dst);
            let mut table = Table::with_room_for(tuples.len());
            let mut model: HashMap<FlowKey, [u32; 2]> = HashMap::new();
            let keys: Vec<_> = tuples.iter().map(|&of| tuple(of).canonical()).collect();
            let is = |key: FlowKey| {
                let keys = &keys;
                move |number: u32| keys[number as usize].0 == key
            };
            for (number, &(key, way)) in (0..).zip(&keys) {
                table.count((table.hash(&key), number), way == Way::Up, is(key));
                model.entry(key).or_default()[usize::from(way == Way::Down)] += 1;
            }
            for &of in tuples.iter().chain(&strangers) {
                let key = tuple(of).canonical().0;
                let found = table.find(table.hash(&key), is(key));
                let found = found.map(|found| [found.up, found.down]);
                prop_assert_eq!(found, model.get(&key).copied());
            }
        }
    }

    #[test]
    fn more_entries_than_a_slot_counts_are_counted() {
        let ends = [1, 2].map(|last| Endpoint::v4([10, 0, 0, last], 80));
        let (key, _) = FiveTuple::new(Proto::UDP, ends[0], ends[1]).canonical();
        for order in [[300, 3], [3, 300], [255, 255], [254, 256], [1000, 1000]] {
            for is_turned in [false, true] {
                let mut table = Table::with_room_for(2000);
                let mut left = order;
                while left != [0, 0] {
                    let pick = if is_turned ^ (left[0] == 0) { 1 } else { 0 };
                    let pick = if left[pick] == 0 { 1 - pick } else { pick };
                    table.count((table.hash(&key), 0), pick == 0, |_| true);
                    left[pick] -= 1;
                }
                let found = table.find(table.hash(&key), |_| true).expect("counted");
                assert_eq!([found.up, found.down], order);
            }
        }
    }

    #[test]
    fn an_empty_table_has_no_flow() {
        let table = Table::with_room_for(0);
        let end = Endpoint::v4([10, 0, 0, 1], 80);
        let (key, _) = FiveTuple::new(Proto::UDP, end, end).canonical();
        table.touch(table.hash(&key));
        assert_eq!(table.find(table.hash(&key), |_| true), None);
    }
}
