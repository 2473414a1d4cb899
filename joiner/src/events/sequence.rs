//! The numbers of a recording's rows: which are missing, and whether whole parts are.

/// What is known of the numbers so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sequence {
    /// The number that comes next, once there was one.
    next: Option<u64>,
    /// The part that was read last; 0 before the first.
    part: u32,
    /// Rows that are missing, other than those of missing parts.
    pub(super) missing_rows: u64,
    /// Parts before the last one read that are not there.
    pub(super) missing_parts: u32,
}

impl Sequence {
    /// A part begins; 0 is a recording that has none.
    pub(super) fn begin(&mut self, part: u32) {
        if part <= self.part {
            return;
        }
        let missing = part - self.part - 1;
        if missing > 0 {
            self.missing_parts += missing;
            // What is missing is in there.
            self.next = None;
        }
        self.part = part;
    }

    /// A row; whether some are missing before it.
    pub(super) fn row(&mut self, seq: u64) -> bool {
        let missing = self.next.map_or(0, |next| seq.saturating_sub(next));
        self.missing_rows = self.missing_rows.saturating_add(missing);
        // A part that was given twice brings no news.
        self.next = self.next.max(seq.checked_add(1));
        missing > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_counted_within_and_between_parts() {
        let mut sequence = Sequence::default();
        sequence.begin(1);
        assert_eq!([0, 1, 4].map(|seq| sequence.row(seq)), [false, false, true]);
        sequence.begin(2);
        assert!(sequence.row(7));
        assert_eq!((sequence.missing_rows, sequence.missing_parts), (4, 0));
    }

    #[test]
    fn rows_of_missing_parts_are_not_lost() {
        let mut sequence = Sequence::default();
        sequence.begin(3);
        assert!(!sequence.row(1000));
        sequence.begin(5);
        assert!(!sequence.row(2000) && !sequence.row(2001));
        assert_eq!((sequence.missing_rows, sequence.missing_parts), (0, 3));
        // Once more the same.
        sequence.begin(5);
        assert!(!sequence.row(2000) && !sequence.row(2001) && sequence.row(2003));
        assert_eq!(sequence.missing_rows, 1);
    }
}
