//! A table of totals with a bound: when it is full, the smaller half goes into one row for the others,
//! so that the sum of all rows is always that of all that was added.

use std::hash::Hash;

use foldhash::fast::FixedState;
use indexmap::IndexMap;

/// Packets, and their bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Packets.
    pub packets: u64,
    /// Bytes of these, as they were on the wire.
    pub bytes: u64,
}

impl Sum {
    /// Adds.
    pub fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Two sums: sent and received, or there and back.
pub type Both = [Sum; 2];

/// Sums by key, in the order in which the keys came.
#[derive(Clone, Debug)]
pub struct Table<K> {
    rows: IndexMap<K, Both, FixedState>,
    others: Both,
    /// How many keys went into `others`; one that comes again counts again.
    dropped: u64,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        let rows = IndexMap::with_hasher(FixedState::with_seed(0));
        Self { rows, others: Both::default(), dropped: 0 }
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    /// Adds to the row of `key`; where that stands.
    pub fn add(&mut self, key: K, both: Both) -> usize {
        let entry = self.rows.entry(key);
        let index = entry.index();
        let row = entry.or_default();
        row.iter_mut().zip(both).for_each(|(row, sum)| row.add(sum));
        index
    }

    /// Adds all rows of `other`; where each of them stands now.
    pub fn merge(&mut self, other: Self) -> Vec<usize> {
        self.others.iter_mut().zip(other.others).for_each(|(mine, sum)| mine.add(sum));
        self.dropped += other.dropped;
        other.rows.into_iter().map(|(key, both)| self.add(key, both)).collect()
    }

    /// Where there are more than `limit` rows: keeps the half with the most bytes. Tells for each
    /// row that there was where it stands now, or that it is among the others.
    pub fn prune(&mut self, limit: usize) -> Option<Vec<Option<usize>>> {
        if self.rows.len() <= limit {
            return None;
        }
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|&index| (std::cmp::Reverse(bytes(&self.rows[index])), index));
        let mut kept = vec![false; order.len()];
        order.into_iter().take(limit / 2).for_each(|index| kept[index] = true);
        let mut places = Vec::with_capacity(kept.len());
        let mut next = 0;
        let mut keep = kept.into_iter();
        let (others, dropped) = (&mut self.others, &mut self.dropped);
        self.rows.retain(|_, both| {
            let keep = keep.next().unwrap_or(false);
            places.push(keep.then_some(next));
            if keep {
                next += 1;
            } else {
                others.iter_mut().zip(*both).for_each(|(others, sum)| others.add(sum));
                *dropped += 1;
            }
            keep
        });
        Some(places)
    }

    /// In the order in which they came.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&K, &Both)> {
        self.rows.iter()
    }

    /// What went into no row of its own, and how many keys that is at most.
    #[must_use]
    pub fn others(&self) -> (Both, u64) {
        (self.others, self.dropped)
    }
}

/// All bytes of a row.
#[must_use]
pub fn bytes(both: &Both) -> u64 {
    both[0].bytes.saturating_add(both[1].bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: u64) -> Both {
        [Sum { packets: 1, bytes }, Sum::default()]
    }

    #[test]
    fn the_smaller_half_goes_to_the_others_and_the_sum_stays() {
        let mut table = Table::default();
        for key in 0..10_u64 {
            table.add(key, sum(key * 10));
        }
        assert_eq!(table.prune(10), None);
        table.add(10, sum(5));
        let places = table.prune(10).expect("too many");
        let kept: Vec<u64> = table.rows().map(|(key, _)| *key).collect();
        assert_eq!(kept, [5, 6, 7, 8, 9]);
        assert_eq!((places[4], places[5], places[9], places[10]), (None, Some(0), Some(4), None));
        let (others, dropped) = table.others();
        assert_eq!((others[0], dropped), (Sum { packets: 6, bytes: 105 }, 6));
        let rows: u64 = table.rows().map(|(_, both)| bytes(both)).sum();
        assert_eq!(rows + bytes(&others), 455);
    }
}
