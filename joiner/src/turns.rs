//! Order among threads: work that must be done in the order of its numbers, one at a time, whichever
//! thread has it. Whoever takes the numbers one after the other always works on the lowest that is
//! left, so that nobody waits for what nobody does.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Looks at whose turn it is before a thread goes to sleep: some 20 µs. To be woken takes longer than
/// that, most of all in a virtual machine, and turns are short.
const LOOKS: u32 = 2000;

/// A value that is worked on in turn.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    /// Whose turn it is, to be looked at without a lock.
    current: AtomicU64,
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    next: u64,
    is_stopped: bool,
    value: T,
}

impl<T> Turns<T> {
    pub(crate) fn new(value: T) -> Self {
        let state = State { next: 0, is_stopped: false, value };
        let current = AtomicU64::new(0);
        Self { current, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits for turn `number`, and works on the value. `None` if it will not come.
    pub(crate) fn take<R>(&self, number: u64, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut looks = 0;
        while self.current.load(Ordering::Relaxed) != number && looks < LOOKS {
            looks += 1;
            hint::spin_loop();
        }
        let mut state = self.state.lock().ok()?;
        while state.next != number && !state.is_stopped {
            state = self.changed.wait(state).ok()?;
        }
        if state.is_stopped {
            return None;
        }
        let result = work(&mut state.value);
        state.next = number + 1;
        drop(state);
        self.current.store(number + 1, Ordering::Relaxed);
        self.changed.notify_all();
        Some(result)
    }

    /// Looks at the value out of turn.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        let state = self.state.lock().ok()?;
        Some(look(&state.value))
    }

    /// No more turns are taken.
    pub(crate) fn stop(&self) {
        // A thread that failed in its turn has left a poisoned lock: whoever waits must be told.
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_stopped = true;
        self.changed.notify_all();
    }

    pub(crate) fn into_inner(self) -> T {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).value
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn turns_are_taken_in_order_by_any_number_of_threads() {
        for threads in 1..5 {
            let turns = Turns::new(vec![]);
            let next = AtomicU64::new(0);
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        loop {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            if number >= 1000 {
                                break;
                            }
                            assert!(turns.take(number, |all| all.push(number)).is_some());
                        }
                    });
                }
            });
            assert!(turns.into_inner().into_iter().eq(0..1000));
        }
    }

    #[test]
    fn nobody_waits_for_a_turn_that_will_not_come() {
        let turns = Turns::new(0);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.take(7, |value| *value));
            turns.stop();
            assert_eq!(waiting.join().expect("no panic"), None);
        });
        let turns = Turns::new(0);
        let failing = || turns.take(0, |_| panic!("on purpose, to see who notices"));
        assert!(catch_unwind(AssertUnwindSafe(failing)).is_err());
        turns.stop();
        assert_eq!(turns.take(1, |value| *value), None);
    }
}
