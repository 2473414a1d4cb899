//! A table of totals with a bound: when it is full, the smaller half goes into one row for the others,
//! so that the sum of all rows is always that of all that was added.

use std::cmp::Reverse;
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
    /// Adds to the row of `key`.
    pub fn add(&mut self, key: K, both: Both) {
        let row = self.rows.entry(key).or_default();
        row.iter_mut().zip(both).for_each(|(row, sum)| row.add(sum));
    }

    /// Where there are more than `limit` rows: keeps the half with the most bytes.
    pub fn prune(&mut self, limit: usize) {
        if self.rows.len() <= limit {
            return;
        }
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|&index| (Reverse(bytes(&self.rows[index])), index));
        let mut is_kept = vec![false; order.len()];
        order.into_iter().take(limit / 2).for_each(|index| is_kept[index] = true);
        let mut is_kept = is_kept.into_iter();
        let (others, dropped) = (&mut self.others, &mut self.dropped);
        self.rows.retain(|_, both| {
            let keep = is_kept.next().unwrap_or(false);
            if !keep {
                others.iter_mut().zip(*both).for_each(|(others, sum)| others.add(sum));
                *dropped += 1;
            }
            keep
        });
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
        table.prune(10);
        assert_eq!(table.rows().len(), 10);
        table.add(10, sum(5));
        table.prune(10);
        let kept: Vec<u64> = table.rows().map(|(key, _)| *key).collect();
        assert_eq!(kept, [5, 6, 7, 8, 9]);
        let (others, dropped) = table.others();
        assert_eq!((others[0], dropped), (Sum { packets: 6, bytes: 105 }, 6));
        let rows: u64 = table.rows().map(|(_, both)| bytes(both)).sum();
        assert_eq!(rows + bytes(&others), 455);
    }
}
