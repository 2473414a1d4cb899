//! Translations by connection tracking.

use super::life::Attempt;
use super::world::{Row, Tuple};
use super::{AFTER_MS, BEFORE_MS};

/// Rows come so late at most.
const LATE_MS: i64 = 20;
/// And a connection's SYN so long before.
const SYN_MS: i64 = 1_000;

/// A connection under two tuples.
#[derive(Clone, Debug)]
pub(super) struct Translation {
    netns: u64,
    original: Tuple,
    onward: Tuple,
    /// From when on it holds; the first of its tuple may have held before.
    from_ms: i64,
    reach_ms: i64,
    to_ms: i64,
}

/// Another tuple of a packet.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) tuple: Tuple,
    pub(super) hops: usize,
}

impl Translation {
    fn tuples(&self) -> [Tuple; 3] {
        [self.original, (self.original.0, self.onward.1), self.onward]
    }
}

/// The translations that rows tell of, of connections with these attempts.
pub(super) fn read(rows: &[Row], attempts: &[Attempt]) -> Vec<Translation> {
    let mut rows: Vec<&Row> = rows.iter().filter(|row| row.kind.starts_with("nat")).collect();
    rows.sort_by_key(|row| row.ms);
    let mut all: Vec<Translation> = vec![];
    for row in rows {
        let (Some(src), Some(dst)) = (row.local, row.remote) else { continue };
        let original = (src, dst);
        let latest = all
            .iter_mut()
            .rev()
            .find(|known| known.netns == row.netns && known.original == original);
        let Some(onward) = row.onward else {
            // The end of a former connection says nothing of a later one.
            if let Some(latest) = latest.filter(|latest| latest.to_ms == i64::MAX) {
                latest.to_ms = row.ms + AFTER_MS;
            }
            continue;
        };
        let mut translation = Translation {
            netns: row.netns,
            original,
            onward,
            from_ms: 0,
            reach_ms: 0,
            to_ms: i64::MAX,
        };
        let tuples = translation.tuples();
        let syns = attempts.iter().filter(|attempt| tuples.contains(&attempt.tuple));
        let near = syns
            .map(|attempt| attempt.first_ms)
            .filter(|&syn| syn <= row.ms && row.ms - syn <= SYN_MS);
        translation.from_ms = near.max().unwrap_or(row.ms - LATE_MS);
        translation.reach_ms = translation.from_ms.min(row.ms - BEFORE_MS);
        if let Some(latest) = latest {
            latest.to_ms = latest.to_ms.min(translation.from_ms - 1).max(latest.from_ms);
        }
        all.push(translation);
    }
    all
}

/// Every other tuple that a packet has somewhere on its way, nearest first.
pub(super) fn views(all: &[Translation], tuple: Tuple, ms: i64) -> Vec<View> {
    let mut found = vec![View { tuple, hops: 0 }];
    let mut at = 0;
    while at < found.len() {
        let View { tuple, hops } = found[at].clone();
        at += 1;
        let swap = |(src, dst): Tuple| (dst, src);
        for which in 0..3 {
            // Of those with this tuple in one place, the latest that has begun.
            for is_back in [false, true] {
                let here = if is_back { swap(tuple) } else { tuple };
                let its = all.iter().filter(|known| known.tuples()[which] == here);
                let first = its.clone().next().map(|first| first.from_ms);
                let mut begun = its.filter(|known| {
                    let from =
                        if first == Some(known.from_ms) { known.reach_ms } else { known.from_ms };
                    from <= ms
                });
                let Some(latest) = begun.next_back().filter(|latest| ms <= latest.to_ms) else {
                    continue;
                };
                for other in latest.tuples() {
                    let other = if is_back { swap(other) } else { other };
                    if found.iter().all(|known| known.tuple != other) {
                        found.push(View { tuple: other, hops: hops + 1 });
                    }
                }
            }
        }
    }
    found.remove(0);
    found
}
