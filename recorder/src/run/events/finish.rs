//! The end of the event loop: what still waits, and what came until the hooks are gone.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Ended, Loop, nap};
use crate::clock::Sample;

/// How long, at the end, rows may wait for what they wait for.
const LAST_WAIT: Duration = Duration::from_millis(500);
/// How long, at the end, the tables of translations may take to be read: a million entries.
const LAST_TABLES: Duration = Duration::from_secs(2);

impl Loop {
    /// Takes what came until now, and detaches the hooks.
    pub(super) fn end(mut self) -> Ended {
        self.niceness.heed(true);
        self.pipeline.look_a_last_time();
        self.read();
        let begin = Instant::now();
        while (self.pipeline.is_waiting() && begin.elapsed() < LAST_WAIT)
            || (self.pipeline.is_reading_translations() && begin.elapsed() < LAST_TABLES)
        {
            thread::sleep(nap::SHORT);
            self.read();
        }
        self.pipeline.take_interfaces();
        self.pipeline.give_up_translations();
        self.pipeline.take_translations();
        self.sweep(true);
        // The last moment of which everything is known: detaching takes a second, one hook after the
        // other.
        let end = Sample::now();
        // Detached: from here on nothing is added to the ring.
        drop(self.probes);
        self.ring.drain(|bytes| {
            self.pipeline.on_record(bytes);
        });
        self.pipeline.finish(end);
        if let Some(batch) = self.pipeline.take_batch() {
            self.file.send_last(batch);
        }
        Ended { file: self.file, end }
    }
}
