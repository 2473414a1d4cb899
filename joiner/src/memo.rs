//! What was decided of flows that were seen lately, and for how long it holds. A cache that compares
//! its whole key and the time: what it doesn't know for sure it doesn't know.

use crate::attribute::Span;
use crate::decode::plain::PlainTuple;

/// Places of a new memo, a power of two.
const FIRST: usize = 1 << 10;

/// Where a flow and direction may be in a memo; grows with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) u64);

/// What is known of plain packets of one flow and direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Known {
    /// Number of the flow and direction.
    pub(crate) flow: u64,
    /// What is said of it, as a number.
    pub(crate) said: u64,
    /// The label that is written on its packets.
    pub(crate) label: u32,
    /// Whether that is a label of a big-endian section.
    pub(crate) is_big: bool,
}

/// One place: 80 bytes. One that was never used has no protocol, which no packet has.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    tuple: PlainTuple,
    from_ns: i64,
    to_ns: i64,
    known: Known,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Memo {
    lines: Vec<Line>,
    most: usize,
    /// Flows that took another one's place since it grew last.
    pushed_out: usize,
}

impl Memo {
    /// An empty one that grows to `most` places, a power of two.
    pub(crate) fn new(most: usize) -> Self {
        Self { lines: vec![Line::default(); FIRST.min(most)], most, pushed_out: 0 }
    }

    /// Brings the place of a flow nearer. A plain read that nobody waits for: many at a time cost
    /// little more than one.
    #[inline]
    pub(crate) fn touch(&self, place: Place) {
        let line = &self.lines[self.position(place)];
        std::hint::black_box((line.from_ns, line.known.label));
    }

    /// What is known of a plain packet with this tuple at `time_ns`.
    #[inline]
    pub(crate) fn find(&self, place: Place, tuple: &PlainTuple, time_ns: i64) -> Option<Known> {
        let line = &self.lines[self.position(place)];
        let is_it = line.from_ns <= time_ns && time_ns <= line.to_ns && line.tuple == *tuple;
        is_it.then_some(line.known)
    }

    /// Keeps in mind what holds of plain packets with this tuple during `span`.
    pub(crate) fn keep(&mut self, place: Place, tuple: &PlainTuple, span: &Span, known: Known) {
        let position = self.position(place);
        let line = &mut self.lines[position];
        let is_others = line.tuple != PlainTuple::default() && line.tuple != *tuple;
        let (from_ns, to_ns) = (*span.start(), *span.end());
        *line = Line { tuple: *tuple, from_ns, to_ns, known };
        self.pushed_out += usize::from(is_others);
        if self.pushed_out > self.lines.len() / 4 && self.lines.len() < self.most {
            // What it held is soon known again.
            self.lines = vec![Line::default(); (self.lines.len() * 4).min(self.most)];
            self.pushed_out = 0;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.lines.fill(Line::default());
    }

    #[inline]
    fn position(&self, Place(hash): Place) -> usize {
        // A power of two: the low bits are as good as any.
        #[expect(clippy::cast_possible_truncation, reason = "cut off by the mask anyway")]
        let low = hash as usize;
        low & (self.lines.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::LinkType;
    use crate::decode::plain::plain;

    /// The tuple of a datagram to one of many.
    fn tuple(number: u32) -> PlainTuple {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1];
        packet.extend(number.to_be_bytes());
        packet.extend([0, 80, 1, 187, 0, 8, 0, 0]);
        plain(LinkType(101), &packet).expect("plain")
    }

    fn known(flow: u64) -> Known {
        Known { flow, said: 3, label: 7, is_big: false }
    }

    #[test]
    fn only_the_very_tuple_and_time_are_found() {
        // There is one place only, whatever the hash.
        let mut memo = Memo::new(1);
        let place = Place(5);
        assert_eq!(memo.find(place, &tuple(1), 0), None);
        memo.keep(place, &tuple(1), &(10..=20), known(1));
        for (time_ns, found) in [(9, None), (10, Some(1)), (20, Some(1)), (21, None)] {
            assert_eq!(memo.find(place, &tuple(1), time_ns), found.map(known), "{time_ns}");
        }
        assert_eq!(memo.find(Place(6), &tuple(2), 15), None);
        memo.keep(Place(6), &tuple(2), &(0..=99), known(2));
        assert_eq!(memo.find(place, &tuple(1), 15), None);
        assert_eq!(memo.find(place, &tuple(2), 15), Some(known(2)));
        memo.clear();
        assert_eq!(memo.find(place, &tuple(2), 15), None);
    }

    #[test]
    fn it_grows_to_its_limit_and_no_further() {
        let mut memo = Memo::new(FIRST * 8);
        for number in 0..100_000 {
            let tuple = tuple(number);
            let place = Place(tuple.hash());
            memo.keep(place, &tuple, &(0..=1), known(u64::from(number)));
            assert!(memo.lines.len() <= FIRST * 8);
        }
        assert_eq!(memo.lines.len(), FIRST * 8);
        let is_found = |&number: &u32| {
            let tuple = tuple(number);
            let found = memo.find(Place(tuple.hash()), &tuple, 0);
            assert!(found.is_none_or(|found| found == known(u64::from(number))));
            found.is_some()
        };
        let found = (0..100_000).filter(is_found).count();
        assert!(found > FIRST * 4, "{found} of {} places are used", FIRST * 8);
    }
}
