//! The table behind the index: flows to where their entries are. A slot holds all there is to
//! compare, so that a look-up costs one cache miss, and the entries one more.
//!
//! Slots are in the order of their hashes, as nearly as open addressing allows: the table is as long
//! as it has to be, not the next power of two.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use schema::FlowKey;

use super::position;
use crate::events::Addresses;

/// Slots for every three flows that may come.
const SLOTS_FOR_THREE: usize = 4;

/// More entries than a slot can count at one end are counted elsewhere.
const MANY: u8 = u8::MAX;

/// Where the entries of a flow begin that has no place yet.
pub(super) const NOT_PLACED: u32 = u32::MAX;

const IS_LOW_V4: u8 = 1;
const IS_HIGH_V4: u8 = 1 << 1;

/// A flow and where its entries are; a slot without entries is free.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    low: u32,
    high: u32,
    first: u32,
    low_port: u16,
    high_port: u16,
    proto: u8,
    /// Which of the addresses are IPv4 ones.
    v4: u8,
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
    addresses: Addresses,
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
        if let Some(slot) = self.slots.get(self.home(hash)) {
            std::hint::black_box(slot.first);
        }
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &FlowKey) -> Option<Found> {
        let mut at = self.home(hash);
        loop {
            // An empty table has no slot at all.
            let slot = self.slots.get(at)?;
            if slot.is_free() {
                return None;
            }
            if self.is_of(slot, key) {
                return Some(self.found(at, slot));
            }
            at = self.next(at);
        }
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    #[inline]
    fn is_of(&self, slot: &Slot, key: &FlowKey) -> bool {
        let &FlowKey { proto, low, high } = key;
        slot.low_port == low.port()
            && slot.high_port == high.port()
            && slot.proto == proto.0
            && self.addresses.is((slot.low, slot.v4 & IS_LOW_V4 != 0), low)
            && self.addresses.is((slot.high, slot.v4 & IS_HIGH_V4 != 0), high)
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

    /// Counts one more entry of `key`, for the way up or the other one; the slot that has it.
    pub(super) fn count(&mut self, key: &FlowKey, is_up: bool) -> u32 {
        let mut at = self.home(self.hash(key));
        while !self.slots[at].is_free() && !self.is_of(&self.slots[at], key) {
            at = self.next(at);
        }
        if self.slots[at].is_free() {
            let &FlowKey { proto, low, high } = key;
            let (low_port, high_port) = (low.port(), high.port());
            let (low, is_low_v4) = self.addresses.short(low);
            let (high, is_high_v4) = self.addresses.short(high);
            let flag = |is: bool, flag: u8| if is { flag } else { 0 };
            self.slots[at] = Slot {
                low,
                high,
                first: NOT_PLACED,
                low_port,
                high_port,
                proto: proto.0,
                v4: flag(is_low_v4, IS_LOW_V4) | flag(is_high_v4, IS_HIGH_V4),
                up: 0,
                down: 0,
            };
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

    /// How many entries the flow in slot `at` has.
    pub(super) fn counted(&self, at: u32) -> Found {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        self.found(at, &self.slots[at])
    }

    /// Says where the entries of the flow in slot `at` begin.
    pub(super) fn place(&mut self, at: u32, first: u32) {
        self.slots[usize::try_from(at).unwrap_or(usize::MAX)].first = first;
    }

    /// No more flows come.
    pub(super) fn finish(&mut self) {
        self.addresses.finish();
    }
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
            for &of in &tuples {
                let (key, way) = tuple(of).canonical();
                table.count(&key, way == Way::Up);
                model.entry(key).or_default()[usize::from(way == Way::Down)] += 1;
            }
            table.finish();
            for &of in tuples.iter().chain(&strangers) {
                let key = tuple(of).canonical().0;
                let found = table.find(table.hash(&key), &key).map(|found| [found.up, found.down]);
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
                    table.count(&key, pick == 0);
                    left[pick] -= 1;
                }
                let found = table.find(table.hash(&key), &key).expect("counted");
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
        assert_eq!(table.find(table.hash(&key), &key), None);
    }
}
