//! How a thread shares the CPUs with what it watches: it gives way to the workload as long as it
//! keeps up, and goes before it while it does not, since what is late may be lost.

use std::time::{Duration, Instant};

use rustix::process::setpriority_process;

/// Niceness of one that gives way: a tenth of the weight of an ordinary thread. Without it a
/// closed loop of connections on two busy CPUs lost a quarter of its throughput, most of it waiting
/// behind the recorder; with 19 a saturated host could keep us from the ring for seconds.
const GIVE_WAY: i32 = 10;
/// Niceness of one that is late: nine times the weight of an ordinary thread.
const HURRY: i32 = -10;
/// How long it goes on after it was last late, so that it does not change all the time.
const HURRY_FOR: Duration = Duration::from_secs(1);

/// The niceness of the thread that made it. By default that is left as it is.
#[derive(Debug, Default)]
pub struct Niceness {
    /// Without the privilege to take it back, nothing is given away.
    changes: bool,
    late_at: Option<Instant>,
}

impl Niceness {
    /// The calling thread gives way, if it is allowed to take that back (`CAP_SYS_NICE`).
    #[must_use]
    pub fn give_way() -> Self {
        let changes = setpriority_process(None, HURRY).is_ok();
        if changes {
            // Who may raise a priority may lower it.
            let _ = setpriority_process(None, GIVE_WAY);
        }
        Self { changes, late_at: None }
    }

    /// The calling thread goes first, for good.
    #[must_use]
    pub fn hurry() -> Self {
        // Without the privilege it runs like any other.
        let _ = setpriority_process(None, HURRY);
        Self { changes: false, late_at: None }
    }

    /// Takes note of whether the thread is `late` with its work.
    pub fn heed(&mut self, late: bool) {
        if !self.changes {
            return;
        }
        if late {
            if self.late_at.replace(Instant::now()).is_none() {
                let _ = setpriority_process(None, HURRY);
            }
        } else if self.late_at.is_some_and(|at| at.elapsed() >= HURRY_FOR) {
            self.late_at = None;
            let _ = setpriority_process(None, GIVE_WAY);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::process::getpriority_process;

    use super::*;

    /// In a thread of its own, which ends with its niceness.
    fn niceness_after(act: impl FnOnce(&mut Niceness) + Send + 'static) -> (bool, i32) {
        let thread = thread::spawn(|| {
            let mut niceness = Niceness::give_way();
            act(&mut niceness);
            (niceness.changes, getpriority_process(None).expect("of oneself"))
        });
        thread.join().expect("no panic")
    }

    #[test]
    fn who_is_late_goes_first_and_gives_way_again_a_while_after() {
        let own = getpriority_process(None).expect("of oneself");
        let (changes, found) = niceness_after(|_| {});
        assert_eq!(found, if changes { GIVE_WAY } else { own });
        let (_, found) = niceness_after(|niceness| {
            niceness.heed(true);
            niceness.heed(false);
        });
        assert_eq!(found, if changes { HURRY } else { own });
        let (_, found) = niceness_after(|niceness| {
            niceness.heed(true);
            niceness.late_at = Instant::now().checked_sub(HURRY_FOR);
            niceness.heed(false);
        });
        assert_eq!(found, if changes { GIVE_WAY } else { own });
    }
}
