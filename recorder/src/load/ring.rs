//! The ring buffer the kernel programs write to, seen from the reading end.

use std::{
    fmt, io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};

use aya::maps::{Array, MapData, RingBuf};
use rustix::event::{Timespec, epoll};
use schema::wire::{WAKE_FOR_URGENT, WAKE_NEVER};

/// What the reader does next, and what the kernel programs do for it meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reader {
    /// It polls: the record that finds the ring read to its end wakes it.
    Asleep = 0,
    /// It looks into the ring by itself: no record wakes it.
    Awake = WAKE_NEVER,
    /// It [naps](Ring::nap): only a record wakes it that something has to be looked up for which
    /// may soon be gone.
    Napping = WAKE_FOR_URGENT,
}

/// The reading end of the ring buffer.
///
/// A reader that drains and naps for some milliseconds, again and again as long as there is
/// something, costs the workload no wake-ups.
pub struct Ring {
    ring: RingBuf<MapData>,
    awake: Array<MapData, u32>,
    reader: Reader,
    wakes: OwnedFd,
}

impl Ring {
    pub(super) fn new(ring: RingBuf<MapData>, awake: Array<MapData, u32>) -> io::Result<Self> {
        // Tells of wake-ups alone, and not that there is something to read: while somebody naps
        // there nearly always is.
        let wakes = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&wakes, ring.as_fd(), epoll::EventData::new_u64(0), flags)?;
        Ok(Self { ring, awake, reader: Reader::Asleep, wakes })
    }

    /// Says what the reader does next. A record that comes at that very moment may still not wake
    /// it.
    pub fn tell(&mut self, reader: Reader) {
        if reader != self.reader && self.awake.set(0, reader as u32, 0).is_ok() {
            self.reader = reader;
        }
    }

    /// What comes there ends a [nap](Ring::nap), too.
    ///
    /// # Errors
    /// What the system says.
    pub fn heed(&self, source: impl AsFd) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        Ok(epoll::add(&self.wakes, source, epoll::EventData::new_u64(1), flags)?)
    }

    /// Waits until a record wakes the [napping](Reader::Napping) reader, or for so long.
    pub fn nap(&mut self, longest: Duration) {
        let nsec = i64::from(longest.subsec_nanos());
        let timeout = Timespec { tv_sec: longest.as_secs().cast_signed(), tv_nsec: nsec };
        let mut events = [MaybeUninit::uninit(); 1];
        // An interrupted nap is a short one.
        let _ = epoll::wait(&self.wakes, &mut events, Some(&timeout));
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
