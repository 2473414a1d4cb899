//! The thread that reads one interface, inside the interface's namespace.

use std::{
    os::fd::AsFd as _,
    sync::{Arc, PoisonError, atomic::Ordering, mpsc::SyncSender},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use schema::kind::LossStage;

use super::{
    State, count_lost,
    device::{BLOCK_TIMEOUT_MS, Device, reason},
};
use crate::{
    interfaces::losses_of,
    loss::{Losses, Rise},
    namespaces::{Namespace, is_used},
    privileges::{self, Work},
};

/// How long after the request to stop a packet from before can still arrive: two turns of the
/// kernel's buffer timer, and some slack.
const LINGER: Duration = Duration::from_millis(2 * BLOCK_TIMEOUT_MS as u64 + 50);
/// Why there is nothing more to come from a namespace.
const GONE: &str = "its network namespace is no longer used";
/// How often the kernel is asked for its drops, and whether the namespace is still used.
const STATS_EVERY: Duration = Duration::from_secs(1);
/// A chunk goes on its way when it has this many bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// Or this many packets: cut to a few bytes, they take more room than what is left of them.
const CHUNK_PACKETS: usize = 16_384;
/// Packets taken from the kernel between two looks at the chunk's size. Without a limit libpcap
/// goes on as long as packets come in. At 64 KiB each, the most that an interface hands over as
/// one, these are 4 MiB.
const DISPATCH_PACKETS: usize = 64;

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
    /// What an interface of another namespace lost by itself: libpcap looks for it in /sys, where
    /// it finds one of ours that happens to have the same name.
    interface_losses: Rise,
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
        Self {
            interface,
            device,
            chunks,
            state,
            losses,
            outcome,
            last: [0; 3],
            interface_losses: Rise::default(),
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        self.outcome.ended = self.read_all().err();
        self.count_drops();
        self.outcome.span_ns.1 = now_ns();
        if let Some(reason) = &self.outcome.ended {
            let mut ended = self.state.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.push((self.device.source.label.clone(), reason.clone()));
        }
        self.outcome
    }

    /// Reads until it is told to stop; else returns why there is nothing more to come.
    fn read_all(&mut self) -> Result<(), String> {
        self.enter()?;
        let elsewhere = self.device.source.inside.is_some();
        privileges::enter(if elsewhere { Work::CaptureElsewhere } else { Work::Capture });
        let ended = self.read_until_stop();
        if ended.is_err() {
            // Of an interface that is gone, the kernel still has the last packets, and hands them
            // over when their time is up.
            thread::sleep(LINGER);
            let stop_ns = self.state.stop_ns.load(Ordering::Relaxed);
            // That there is no more is known already.
            let _ = self.read_buffered(stop_ns);
        }
        ended
    }

    fn read_until_stop(&mut self) -> Result<(), String> {
        let mut stats_at = Instant::now() + STATS_EVERY;
        let mut linger_until = None;
        loop {
            self.wait();
            // What was captured after the request to stop is not wanted.
            let stop_ns = self.state.stop_ns.load(Ordering::Relaxed);
            let passed_stop = self.read_buffered(stop_ns).map_err(|error| reason(&error))?;
            if Instant::now() >= stats_at {
                self.count_drops();
                self.check_namespace()?;
                stats_at = Instant::now() + STATS_EVERY;
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

    /// Goes where the interface is, for good.
    fn enter(&mut self) -> Result<(), String> {
        let Some(inside) = &self.device.source.inside else { return Ok(()) };
        Namespace::open_same(&inside.path, inside.inode)
            .and_then(|namespace| namespace.enter())
            .map_err(|_| GONE.to_owned())?;
        self.interface_losses.by(self.lost_by_interface());
        Ok(())
    }

    /// This thread and its socket keep the namespace, and the interfaces in it, alive: no longer
    /// than somebody else does.
    fn check_namespace(&mut self) -> Result<(), String> {
        let Some(inside) = &mut self.device.source.inside else { return Ok(()) };
        if is_used(inside.inode, &mut inside.pid) { Ok(()) } else { Err(GONE.to_owned()) }
    }

    fn lost_by_interface(&self) -> u64 {
        let link = self.device.source.link.as_ref();
        link.and_then(|link| losses_of(link.index).ok()).unwrap_or(0)
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
        let (mut packets, mut data) = (vec![], vec![]);
        while data.len() < CHUNK_BYTES && packets.len() < CHUNK_PACKETS && !passed_stop {
            let read = self.device.capture.dispatch(Some(DISPATCH_PACKETS), |packet| {
                let time_ns = time_ns(packet.header);
                if stop_ns != 0 && time_ns > stop_ns {
                    passed_stop = true;
                    return;
                }
                let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
                packets.push(Packet { time_ns, captured, original: packet.header.len });
                data.extend_from_slice(packet.data);
            });
            // What was read before it went wrong is as good as ever.
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    self.hand_on(packets, data);
                    return Err(error);
                }
            }
        }
        // If the writer is gone, so is the reason to go on.
        Ok(!self.hand_on(packets, data) || passed_stop)
    }

    /// Waits for the disk; false if nobody takes it.
    fn hand_on(&mut self, packets: Vec<Packet>, data: Vec<u8>) -> bool {
        if packets.is_empty() {
            return true;
        }
        self.outcome.packets += packets.len() as u64;
        self.state.packets.fetch_add(packets.len() as u64, Ordering::Relaxed);
        let interface = self.interface;
        let chunk = Chunk { interface, packets, data, arrived: Instant::now() };
        self.chunks.send(chunk).is_ok()
    }

    /// Asks the kernel for its counters; they are 32 bits wide and wrap.
    fn count_drops(&mut self) {
        let Ok(stats) = self.device.capture.stats() else { return };
        let now = [stats.received, stats.dropped, stats.if_dropped];
        let mut rise: [u64; 3] =
            std::array::from_fn(|field| now[field].wrapping_sub(self.last[field]).into());
        self.last = now;
        if self.device.source.inside.is_some() {
            rise[2] = self.interface_losses.by(self.lost_by_interface());
        }
        self.outcome.received += rise[0];
        self.outcome.dropped += rise[1];
        self.outcome.interface_dropped += rise[2];
        let Outcome { received, dropped, interface_dropped, .. } = self.outcome;
        if let Some(counts) = self.state.counts.get(self.interface) {
            counts.store([received, dropped, interface_dropped]);
        }
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
