//! The ring buffer the kernel programs write to, seen from the reading end.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use aya::maps::{Array, MapData, RingBuf};

/// The reading end of the ring buffer.
///
/// Poll it for reading. The kernel wakes the reader for a record only when everything before it
/// was read, and not while the reader says that it is awake: one that drains and naps for about a
/// millisecond, again and again as long as there is something, costs the workload no wake-ups.
pub struct Ring {
    ring: RingBuf<MapData>,
    awake: Array<MapData, u32>,
    is_awake: bool,
}

impl Ring {
    pub(super) fn new(ring: RingBuf<MapData>, awake: Array<MapData, u32>) -> Self {
        Self { ring, awake, is_awake: false }
    }

    /// Says whether the reader looks into the ring by itself. Before it polls for long, it must say
    /// no; a record that comes at that very moment may still not wake it.
    pub fn set_awake(&mut self, awake: bool) {
        if awake != self.is_awake && self.awake.set(0, u32::from(awake), 0).is_ok() {
            self.is_awake = awake;
        }
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
