//! The thread that writes the packet file. Several interfaces' packets are brought into order of
//! time: each interface hands over its own in order, but up to a buffer's timeout late.

use std::{
    collections::VecDeque,
    sync::{
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use schema::kind::LossStage;

use super::{
    CaptureError, State, count_lost,
    device::BLOCK_TIMEOUT_MS,
    file::PacketFile,
    reader::{Chunk, Packet},
};
use crate::{
    loss::Losses,
    output::{OutputError, Room},
    privileges::{self, Work},
};

/// How long packets wait for earlier ones of other interfaces.
const HOLD: Duration = Duration::from_millis(2 * BLOCK_TIMEOUT_MS as u64);
/// Bytes held at most; then the earliest are written whatever may come.
const MAX_HELD: usize = 64 << 20;

/// Writes every chunk until the last sender is gone.
pub(super) fn write_all(
    mut file: PacketFile,
    chunks: &Receiver<Chunk>,
    state: &State,
    losses: &Losses,
) -> Result<PacketFile, CaptureError> {
    privileges::enter(Work::Files);
    let mut merge = Merge::new(file.interfaces());
    let mut full = false;
    loop {
        let now = Instant::now();
        let wait = [merge.next_release(now), file.next_flush(now)].into_iter().flatten().min();
        let received = match wait {
            Some(wait) => chunks.recv_timeout(wait),
            None => chunks.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let open = !matches!(received, Err(RecvTimeoutError::Disconnected));
        if let Ok(chunk) = received {
            merge.push(chunk);
        }
        let now = Instant::now();
        let outcome = write_due(&mut file, &mut merge, (now, !open), &mut full, state, losses);
        if full || outcome.is_err() {
            state.failed.store(true, Ordering::Relaxed);
        }
        outcome?;
        state.bytes.store(file.bytes(), Ordering::Relaxed);
        if !open {
            return Ok(file);
        }
    }
}

/// Writes the packets that nothing earlier can come before any more.
fn write_due(
    file: &mut PacketFile,
    merge: &mut Merge,
    (now, all): (Instant, bool),
    full: &mut bool,
    state: &State,
    losses: &Losses,
) -> Result<(), CaptureError> {
    *full = *full || file.make_room(merge.held)? == Room::Full;
    while let Some((interface, packet, data)) = merge.pop(now, all) {
        if !*full && file.is_part_over() {
            match file.next_part(&state.counts) {
                // A new file has room of its own to be made.
                Ok(()) => {}
                Err(CaptureError::Output(OutputError::Full { .. })) => *full = true,
                Err(error) => return Err(error),
            }
        }
        if *full {
            count_lost(losses, LossStage::Disk, 1);
            state.counts[interface].unwritten.fetch_add(1, Ordering::Relaxed);
        } else {
            file.write(interface, packet, data)?;
        }
    }
    file.flush_if_due(now)?;
    Ok(())
}

/// The chunks held, per interface.
struct Merge {
    queues: Vec<VecDeque<Open>>,
    /// Bytes of all chunks held, about.
    held: usize,
}

/// A chunk, partly written.
struct Open {
    chunk: Chunk,
    next: usize,
    offset: usize,
}

impl Open {
    fn time_ns(&self) -> u64 {
        self.chunk.packets.get(self.next).map_or(0, |packet| packet.time_ns)
    }
}

impl Merge {
    fn new(interfaces: usize) -> Self {
        Self { queues: (0..interfaces).map(|_| VecDeque::new()).collect(), held: 0 }
    }

    fn push(&mut self, chunk: Chunk) {
        self.held += weight(&chunk);
        self.queues[chunk.interface].push_back(Open { chunk, next: 0, offset: 0 });
    }

    /// How long until something is to be written, if anything is held.
    fn next_release(&self, now: Instant) -> Option<Duration> {
        let oldest = self.queues.iter().filter_map(|queue| queue.front());
        let oldest = oldest.map(|open| open.chunk.arrived).min()?;
        Some((oldest + self.patience()).saturating_duration_since(now))
    }

    fn patience(&self) -> Duration {
        // One interface has nobody to wait for.
        if self.queues.len() == 1 { Duration::ZERO } else { HOLD }
    }

    /// The earliest packet held, if something has been held long enough, or `all` is to go.
    fn pop(&mut self, now: Instant, all: bool) -> Option<(usize, Packet, &[u8])> {
        // A chunk that was written whole is dropped only now: its bytes were lent out.
        for queue in &mut self.queues {
            if let Some(open) = queue.front()
                && open.next == open.chunk.packets.len()
            {
                self.held -= weight(&open.chunk);
                queue.pop_front();
            }
        }
        let due = all
            || self.held > MAX_HELD
            || self.next_release(now).is_some_and(|wait| wait.is_zero());
        if !due {
            return None;
        }
        let (interface, queue) = self
            .queues
            .iter_mut()
            .enumerate()
            .filter(|(_, queue)| !queue.is_empty())
            .min_by_key(|(_, queue)| queue.front().map(Open::time_ns))?;
        let open = queue.front_mut()?;
        let packet = *open.chunk.packets.get(open.next)?;
        let start = open.offset;
        open.next += 1;
        open.offset += packet.captured as usize;
        Some((interface, packet, open.chunk.data.get(start..open.offset)?))
    }
}

fn weight(chunk: &Chunk) -> usize {
    // What a packet takes beside its bytes in the file, which is more than it does here.
    chunk.data.len() + 40 * chunk.packets.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(interface: usize, times: &[u64], arrived: Instant) -> Chunk {
        let packets =
            times.iter().map(|&time_ns| Packet { time_ns, captured: 1, original: 60 }).collect();
        let data = times.iter().map(|&time| u8::try_from(time).expect("small")).collect();
        Chunk { interface, packets, data, arrived }
    }

    fn drain(merge: &mut Merge, now: Instant, all: bool) -> Vec<(usize, u64)> {
        let mut out = vec![];
        while let Some((interface, packet, data)) = merge.pop(now, all) {
            assert_eq!(u64::from(data[0]), packet.time_ns, "bytes stay with their packet");
            out.push((interface, packet.time_ns));
        }
        out
    }

    #[test]
    fn interfaces_are_merged_by_time() {
        let start = Instant::now();
        let mut merge = Merge::new(2);
        merge.push(chunk(0, &[1, 4, 9], start));
        merge.push(chunk(1, &[2, 3], start + HOLD / 2));
        assert_eq!(drain(&mut merge, start, false), []);
        // The first chunk must go; of the second, what is earlier goes before it.
        let out = drain(&mut merge, start + HOLD, false);
        assert_eq!(out, [(0, 1), (1, 2), (1, 3), (0, 4), (0, 9)]);
        assert_eq!(merge.held, 0);
    }

    #[test]
    fn one_interface_waits_for_nobody_and_the_end_for_nothing() {
        let now = Instant::now();
        let mut one = Merge::new(1);
        one.push(chunk(0, &[1, 2], now));
        assert_eq!(drain(&mut one, now, false).len(), 2);
        let mut two = Merge::new(2);
        two.push(chunk(1, &[7], now));
        assert_eq!(drain(&mut two, now, true), [(1, 7)]);
        assert_eq!(two.next_release(now), None);
    }
}
