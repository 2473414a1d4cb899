//! The wall clock, as an offset from `CLOCK_BOOTTIME`, which the hooks use and nobody can set.
//! When a `clock` row is due is decided here, without looking at any clock.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// Nanoseconds between two `clock` rows when nothing happens.
const ROW_EVERY_NS: u64 = 10_000_000_000;
/// Nanoseconds the offset may move without a row of its own.
const STEP_NS: u64 = 1_000_000;
/// How often a sample is tried; the one taken in the shortest time is used.
const TRIES: u32 = 5;
/// Offsets remembered for rows that come late. Late rows are less than a second old, and rows of
/// the clock ten seconds apart unless somebody plays with it.
const HISTORY: usize = 16;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    /// `CLOCK_REALTIME` less `CLOCK_BOOTTIME`, nanoseconds.
    pub offset_ns: i64,
}

impl Sample {
    /// Reads the clocks.
    #[must_use]
    pub fn now() -> Self {
        let sample = |_| {
            let before = read(ClockId::Boottime);
            let wall = read(ClockId::Realtime);
            let after = read(ClockId::Boottime);
            let boot = before + (after - before) / 2;
            (after - before, Self { boot_ns: boot.unsigned_abs(), offset_ns: wall - boot })
        };
        let best = (0..TRIES).map(sample).min_by_key(|&(width, _)| width);
        best.map_or(Self { boot_ns: 0, offset_ns: 0 }, |(_, sample)| sample)
    }

    /// The wall clock, nanoseconds since 1970.
    #[must_use]
    pub fn wall_ns(self) -> i64 {
        self.boot_ns.cast_signed() + self.offset_ns
    }
}

/// `CLOCK_BOOTTIME`, nanoseconds.
#[must_use]
pub fn boot_ns() -> u64 {
    read(ClockId::Boottime).unsigned_abs()
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Nanoseconds since 1970 as RFC 3339, UTC, with nine decimals.
#[must_use]
pub fn rfc3339(wall_ns: i64) -> String {
    let time: SystemTime = UNIX_EPOCH + Duration::from_nanos(wall_ns.max(0).unsigned_abs());
    humantime::format_rfc3339_nanos(time).to_string()
}

/// Decides when a `clock` row is due.
#[derive(Debug, Default)]
pub struct Pace {
    last: Option<Sample>,
}

impl Pace {
    /// Whether `sample` must go into the file: the first one, one ten seconds after the last that
    /// did, and one whose offset differs by more than a millisecond.
    pub fn is_due(&mut self, sample: Sample) -> bool {
        let due = self.last.is_none_or(|last| {
            sample.boot_ns.saturating_sub(last.boot_ns) >= ROW_EVERY_NS
                || sample.offset_ns.abs_diff(last.offset_ns) > STEP_NS
        });
        if due {
            self.last = Some(sample);
        }
        due
    }
}

/// The offsets that went into the file, to give rows their wall clock.
#[derive(Debug)]
pub struct Offsets {
    /// Oldest first, never empty.
    known: Vec<Sample>,
}

impl Offsets {
    /// Starts with the offset at the start of the recording; it also holds for what was before.
    #[must_use]
    pub fn new(first: Sample) -> Self {
        Self { known: vec![first] }
    }

    /// Takes the sample of a `clock` row.
    pub fn push(&mut self, sample: Sample) {
        if self.known.len() == HISTORY {
            self.known.remove(0);
        }
        self.known.push(sample);
    }

    /// The wall clock at `boot_ns`, nanoseconds since 1970: boot time plus the last offset at or
    /// before it.
    #[must_use]
    pub fn wall_ns(&self, boot_ns: u64) -> i64 {
        let at = self.known.iter().rev().find(|sample| sample.boot_ns <= boot_ns);
        let offset = at.or(self.known.first()).map_or(0, |sample| sample.offset_ns);
        boot_ns.cast_signed().saturating_add(offset)
    }
}

/// Becomes readable when somebody sets the wall clock (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`).
#[derive(Debug)]
pub struct StepWatch(OwnedFd);

impl StepWatch {
    /// Starts watching.
    ///
    /// # Errors
    /// The kernel has no timer to give.
    pub fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let watch = Self(timerfd_create(TimerfdClockId::Realtime, flags)?);
        watch.arm()?;
        Ok(watch)
    }

    /// Watches for the next time; whether the clock was set since the last call.
    ///
    /// # Errors
    /// The kernel refused to set the timer.
    pub fn rearm(&self) -> std::io::Result<bool> {
        let mut expirations = [0; 8];
        match rustix::io::read(&self.0, &mut expirations) {
            Err(rustix::io::Errno::CANCELED) => {
                self.arm()?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn arm(&self) -> std::io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // The timer itself shall never fire: the far end of time.
        let never = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.0, flags, &Itimerspec { it_interval: zero, it_value: never })?;
        Ok(())
    }
}

impl AsFd for StepWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn sample(boot_ns: u64, offset_ns: i64) -> Sample {
        Sample { boot_ns, offset_ns }
    }

    #[test]
    fn a_row_is_due_first_every_ten_seconds_and_at_a_step() {
        let mut pace = Pace::default();
        assert!(pace.is_due(sample(SECOND, 500)));
        assert!(!pace.is_due(sample(2 * SECOND, 500)));
        // A millisecond is slew, more is a step; either way.
        assert!(!pace.is_due(sample(3 * SECOND, 1_000_500)));
        assert!(pace.is_due(sample(4 * SECOND, 1_000_501)));
        assert!(pace.is_due(sample(5 * SECOND, 0)));
        assert!(!pace.is_due(sample(15 * SECOND - 1, 0)));
        assert!(pace.is_due(sample(15 * SECOND, 0)));
    }

    #[test]
    fn slow_drift_is_measured_from_the_last_row() {
        let mut pace = Pace::default();
        let due = (0..8).map(|i| pace.is_due(sample(SECOND + i, 300_000 * i.cast_signed())));
        assert_eq!(due.collect::<Vec<_>>(), [true, false, false, false, true, false, false, false]);
    }

    #[test]
    fn a_row_before_a_step_keeps_the_old_offset() {
        let mut offsets = Offsets::new(sample(100, 10));
        offsets.push(sample(200, -50));
        assert_eq!(offsets.wall_ns(99), 109);
        assert_eq!(offsets.wall_ns(199), 209);
        assert_eq!(offsets.wall_ns(200), 150);
        for boot_ns in 300..400 {
            offsets.push(sample(boot_ns, 1));
        }
        assert_eq!(offsets.known.len(), HISTORY);
    }

    #[test]
    fn the_clocks_agree_with_the_standard_library() {
        let before = SystemTime::now();
        let sample = Sample::now();
        let after = SystemTime::now();
        let wall = UNIX_EPOCH + Duration::from_nanos(sample.wall_ns().unsigned_abs());
        let slack = Duration::from_millis(1);
        assert!(before - slack <= wall && wall <= after + slack);
    }

    #[test]
    fn times_are_written_with_nanoseconds() {
        assert_eq!(rfc3339(1_700_000_000_000_000_001), "2023-11-14T22:13:20.000000001Z");
    }

    #[test]
    fn nobody_sets_the_clock_in_a_test() {
        let watch = StepWatch::new().expect("timer");
        assert!(!watch.rearm().expect("read"));
    }
}
