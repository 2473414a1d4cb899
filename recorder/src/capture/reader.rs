//! The thread that reads one interface.

use std::{
    os::fd::AsFd as _,
    sync::{Arc, atomic::Ordering, mpsc::SyncSender},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use schema::kind::LossStage;

use super::{
    State, count_lost,
    device::{BLOCK_TIMEOUT_MS, Device, reason},
};
use crate::loss::Losses;

/// How long after the request to stop a packet from before can still arrive: two turns of the
/// kernel's buffer timer, and some slack.
const LINGER: Duration = Duration::from_millis(2 * BLOCK_TIMEOUT_MS as u64 + 50);
/// How often the kernel is asked for its drops.
const STATS_EVERY: Duration = Duration::from_secs(1);
/// A chunk goes on its way when it has this many bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// One packet of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// Nanoseconds since 1970.
    pub(super) time_ns: u64,
    /// Bytes captured.
    pub(super) captured: u32,
    /// Bytes on the wire.
    pub(super) original: u32,
}

/// Packets of one interface, in order, their bytes one after the other.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) interface: usize,
    pub(super) packets: Vec<Packet>,
    pub(super) data: Vec<u8>,
    pub(super) arrived: Instant,
}

/// What the kernel counted on an interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Start and end of the capture, nanoseconds since 1970.
    pub(super) span_ns: (u64, u64),
    /// Packets that passed the filter, with those dropped.
    pub(super) received: u64,
    /// Packets handed to us.
    pub(super) packets: u64,
    /// Packets the kernel had no room for.
    pub(super) dropped: u64,
    /// Packets the interface itself lost.
    pub(super) interface_dropped: u64,
    /// Why the capture came to an end early, if it did.
    pub(super) ended: Option<String>,
}

/// Reads one interface.
pub(super) struct Reader {
    interface: usize,
    device: Device,
    chunks: SyncSender<Chunk>,
    state: Arc<State>,
    losses: Arc<Losses>,
    outcome: Outcome,
    last: [u32; 3],
}

impl Reader {
    pub(super) fn new(
        interface: usize,
        device: Device,
        chunks: SyncSender<Chunk>,
        state: Arc<State>,
        losses: Arc<Losses>,
    ) -> Self {
        let span_ns = (now_ns(), 0);
        let outcome = Outcome { span_ns, ..Outcome::default() };
        Self { interface, device, chunks, state, losses, outcome, last: [0; 3] }
    }

    pub(super) fn run(mut self) -> Outcome {
        self.outcome.ended = self.read_all().err().map(|error| reason(&error));
        self.count_drops();
        self.outcome.span_ns.1 = now_ns();
        self.outcome
    }

    fn read_all(&mut self) -> Result<(), pcap::Error> {
        let mut stats_at = Instant::now() + STATS_EVERY;
        let mut linger_until = None;
        loop {
            self.wait();
            // What was captured after the request to stop is not wanted.
            let stop_ns = self.state.stop_ns.load(Ordering::Relaxed);
            let passed_stop = self.read_buffered(stop_ns)?;
            if Instant::now() >= stats_at {
                self.count_drops();
                stats_at += STATS_EVERY;
            }
            if stop_ns != 0 {
                let until = *linger_until.get_or_insert_with(|| Instant::now() + LINGER);
                if passed_stop || Instant::now() >= until {
                    return Ok(());
                }
            }
            if self.state.failed.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    fn wait(&self) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(BLOCK_TIMEOUT_MS) * 1_000_000 };
        let mut source = [PollFd::from_borrowed_fd(self.device.capture.as_fd(), PollFlags::IN)];
        // An interrupted wait is a short one.
        let _ = poll(&mut source, Some(&timeout));
    }

    /// Hands on what the kernel has buffered; whether there was a packet from after `stop_ns`,
    /// unless that is 0.
    fn read_buffered(&mut self, stop_ns: u64) -> Result<bool, pcap::Error> {
        let mut passed_stop = false;
        loop {
            let mut packets = vec![];
            let mut data = vec![];
            let read = self.device.capture.dispatch(None, |packet| {
                let time_ns = time_ns(packet.header);
                if stop_ns != 0 && time_ns > stop_ns {
                    passed_stop = true;
                    return;
                }
                let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
                packets.push(Packet { time_ns, captured, original: packet.header.len });
                data.extend_from_slice(packet.data);
            })?;
            let full = data.len() >= CHUNK_BYTES;
            if !packets.is_empty() {
                self.outcome.packets += packets.len() as u64;
                self.state.packets.fetch_add(packets.len() as u64, Ordering::Relaxed);
                let interface = self.interface;
                let chunk = Chunk { interface, packets, data, arrived: Instant::now() };
                // Waits for the disk; if the writer is gone, so is the reason to go on.
                if self.chunks.send(chunk).is_err() {
                    return Ok(true);
                }
            }
            if read == 0 || passed_stop || full {
                return Ok(passed_stop);
            }
        }
    }

    /// Asks the kernel for its counters; they are 32 bits wide and wrap.
    fn count_drops(&mut self) {
        let Ok(stats) = self.device.capture.stats() else { return };
        let now = [stats.received, stats.dropped, stats.if_dropped];
        let rise: [u64; 3] =
            std::array::from_fn(|field| now[field].wrapping_sub(self.last[field]).into());
        self.last = now;
        self.outcome.received += rise[0];
        self.outcome.dropped += rise[1];
        self.outcome.interface_dropped += rise[2];
        count_lost(&self.losses, LossStage::Capture, rise[1] + rise[2]);
    }
}

fn now_ns() -> u64 {
    crate::clock::Sample::now().wall_ns().unsigned_abs()
}

/// The header's time. With nanosecond precision asked for, the field for microseconds holds
/// nanoseconds.
fn time_ns(header: &pcap::PacketHeader) -> u64 {
    header.ts.tv_sec.max(0).unsigned_abs() * 1_000_000_000 + header.ts.tv_usec.max(0).unsigned_abs()
}
