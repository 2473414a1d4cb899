//! The ring buffer the kernel programs write to, seen from the reading end.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use aya::maps::{MapData, RingBuf};

/// The reading end of the ring buffer.
///
/// Poll it for reading. The kernel wakes the reader for a record only when everything before it
/// was read; a reader that drains, naps for about a millisecond and drains again before it polls
/// keeps the number of wake-ups bounded, whatever the workload does.
pub struct Ring {
    ring: RingBuf<MapData>,
}

impl Ring {
    pub(super) fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// Hands every record now in the ring to `each`, oldest first, and returns how many there were.
    /// At most one ring full of them: a workload faster than the reader can't keep it in here.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        let mut drained = 0;
        while drained < MAX_DRAIN
            && let Some(record) = self.ring.next()
        {
            each(&record);
            drained += 1;
        }
        drained
    }
}

/// Records handed out by one [`Ring::drain`]: about as many as the default ring holds.
const MAX_DRAIN: usize = 50_000;

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("fd", &self.as_raw_fd()).finish()
    }
}
