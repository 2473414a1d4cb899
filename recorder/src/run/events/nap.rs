//! How long the ring is left alone once it was read to its end, while more is expected.

use std::time::{Duration, Instant};

/// How long what comes next is left to gather. Short where `/proc` is all that tells of processes:
/// one may end right after its connect, and then there is nothing left to look up.
pub(super) const SHORT: Duration = Duration::from_micros(200);
/// The nap there when there is much to do.
const BUSY: Duration = Duration::from_millis(1);
/// The nap where the kernel tells of processes, after a record that something has to be looked up
/// for: what begins one process often begins another, and a busy host then pays for some two
/// hundred wake-ups a second, not for a thousand.
const LONG: Duration = Duration::from_millis(4);
/// The nap while all that comes is about connections of processes that have been there for a while:
/// nothing has to be looked up before it is gone, and a record for which that is not so ends the
/// nap. A look costs more than the records it finds, up to some thousand connections a second.
/// Twice as much saved little more.
const QUIET: Duration = Duration::from_millis(16);
/// Records at once that mean there is much to do.
const BUSY_RECORDS: usize = 32;

/// Decides about naps.
#[derive(Debug)]
pub(super) struct Naps {
    /// Whether the kernel tells of processes.
    told: bool,
    /// When a record last came that something has to be looked up for.
    alert_at: Instant,
}

impl Naps {
    /// For a kernel that tells of processes, or doesn't.
    pub(super) fn new(told: bool) -> Self {
        Self { told, alert_at: Instant::now() }
    }

    /// Whether processes are only known by `/proc`.
    pub(super) fn are_short(&self) -> bool {
        !self.told
    }

    /// Whether nothing has to be looked up soon: naps are long, until some record says otherwise.
    pub(super) fn are_quiet(&self) -> bool {
        self.told && self.alert_at.elapsed() >= LONG
    }

    /// A record came that something has to be looked up for.
    pub(super) fn be_alert(&mut self) {
        self.alert_at = Instant::now();
    }

    /// The nap after so many records.
    pub(super) fn after(&self, records: usize) -> Duration {
        match (self.told, records < BUSY_RECORDS) {
            (false, true) => SHORT,
            (false, false) => BUSY,
            (true, _) if self.are_quiet() => QUIET,
            (true, _) => LONG,
        }
    }

    /// The nap while there is much to do.
    pub(super) fn while_busy(&self) -> Duration {
        self.after(BUSY_RECORDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_gone_soon_shortens_the_next_nap() {
        let mut naps = Naps { told: true, alert_at: Instant::now() };
        assert_eq!((naps.after(1), naps.after(1000)), (LONG, LONG));
        let Some(before) = Instant::now().checked_sub(LONG) else { return };
        naps.alert_at = before;
        assert_eq!((naps.after(1), naps.while_busy()), (QUIET, QUIET));
        naps.be_alert();
        assert_eq!(naps.after(1), LONG);
    }

    #[test]
    fn without_records_of_processes_naps_are_short() {
        let naps = Naps::new(false);
        assert!(naps.are_short());
        assert_eq!((naps.after(1), naps.while_busy()), (SHORT, BUSY));
    }
}
