//! When to stop: on SIGINT, SIGTERM, or after a while. A second signal gives up at once.

use std::{
    io,
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag, low_level,
};

use super::Exit;

/// The request to stop.
pub(super) struct Stop {
    asked: Arc<AtomicBool>,
    wake: UnixStream,
    deadline: Option<Instant>,
}

impl Stop {
    /// Listens for signals from now on.
    pub(super) fn install() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (wake, wake_sender) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        // A closed terminal is a request to stop like any other, unless nohup(1) said otherwise.
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
            // Before the flag is set, so that only the second signal finds it set. What was
            // written so far stays in the partial files.
            flag::register_conditional_shutdown(signal, Exit::Error as i32, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
            low_level::pipe::register(signal, wake_sender.try_clone()?)?;
        }
        // A file that may not grow any more (setrlimit(2)) is a full disk, not a reason to die.
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(Self { asked, wake, deadline: None })
    }

    /// Stops after `duration` from now, if it is given.
    pub(super) fn after(&mut self, duration: Option<Duration>) {
        // A time too far to be written down is as good as none.
        self.deadline = duration.and_then(|duration| Instant::now().checked_add(duration));
    }

    /// Whether it is time to stop.
    pub(super) fn is_due(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits until then, but at most `most`.
    pub(super) fn wait(&self, most: Duration) {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let wait = left.map_or(most, |left| left.min(most));
        let timeout = Timespec {
            tv_sec: wait.as_secs().cast_signed(),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        if !self.is_due() {
            let mut source = [PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
            // An interrupted wait is a short one.
            let _ = poll(&mut source, Some(&timeout));
        }
    }
}

/// Whether the signal was set to be ignored by whoever started us.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // The mask's first bit is signal 1.
    mask & (1 << (signal - 1)) != 0
}
