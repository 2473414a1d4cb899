//! The thread that writes the event file: each batch first into the [journal](crate::journal),
//! then into a row group; parts one after the other, if there are any. Batches come over a bounded
//! queue: whoever fills it never waits, what doesn't fit is counted.

mod part;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use schema::{Kind, SchemaError, kind::LossStage, meta::FileMeta};

pub use self::part::FirstPart;
use self::part::{Part, Parts};
use crate::{
    clock::Sample,
    loss::Losses,
    niceness::Niceness,
    output::{OutputError, Room},
    privileges::{self, Work},
    rotate::Rotation,
};

/// Batches that may wait for the disk; with at most 8,192 rows each some ten seconds of a busy
/// host.
const MAX_QUEUE: usize = 32;
/// Bytes of memory that waiting batches may take together: as many rows as the queue holds, with
/// arguments of usual length.
const MAX_QUEUED_BYTES: u64 = 48 << 20;
/// How long a batch may wait before the writing thread is late: a fraction of the second within
/// which rows must be on the disk.
const LATE: Duration = Duration::from_millis(150);

/// Why the event file could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum EventFileError {
    /// Encoding or writing failed.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The file could not be given its name.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl From<std::io::Error> for EventFileError {
    fn from(error: std::io::Error) -> Self {
        SchemaError::from(error).into()
    }
}

/// What became of the file, or of all its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Files written one after the other; 0 without rotation.
    pub parts: u32,
    /// Rows of each kind, in the order of [`Kind::ALL`].
    pub kinds: [u64; Kind::ALL.len()],
}

/// The writing thread.
#[derive(Debug)]
pub struct EventFile {
    messages: SyncSender<Message>,
    state: Arc<State>,
    losses: Arc<Losses>,
    rotation: Rotation,
    /// Parts whose end was asked for, and since when the present one goes.
    cuts: u32,
    since: Instant,
    thread: JoinHandle<Result<Parts, EventFileError>>,
}

enum Message {
    /// With its size in memory, and when it was sent.
    Rows(RecordBatch, u64, Instant),
    /// The part ends here and now.
    Cut(Sample),
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of the present part, and of those before it.
    part_bytes: AtomicU64,
    earlier_bytes: AtomicU64,
    /// Bytes of the batches in the queue.
    queued: AtomicU64,
    /// Parts that were ended.
    cuts: AtomicU32,
    stopped: AtomicBool,
}

impl EventFile {
    /// Starts writing. `meta` is what is known at the start; `packets` the packet file that is
    /// written at the same time.
    ///
    /// # Errors
    /// The header could not be written, or no thread is to be had.
    pub fn start(
        first: FirstPart,
        meta: FileMeta,
        packets: Option<PathBuf>,
        losses: Arc<Losses>,
    ) -> Result<Self, EventFileError> {
        let rotation = first.series.rotation();
        let parts = Parts::start(first, meta, packets, Arc::clone(&losses))?;
        let (messages, receiver) = sync_channel(MAX_QUEUE);
        let state = Arc::new(State::default());
        let shared = (Arc::clone(&state), Arc::clone(&losses));
        let thread = thread::Builder::new()
            .name("event-file".to_owned())
            .spawn(move || write_all(parts, &receiver, &shared.0, &shared.1))?;
        let since = Instant::now();
        Ok(Self { messages, state, losses, rotation, cuts: 0, since, thread })
    }

    /// Hands a batch over; if there is no room its rows are counted as lost.
    pub fn send(&self, batch: RecordBatch) {
        let (rows, bytes) = (batch.num_rows() as u64, batch.get_array_memory_size() as u64);
        if self.state.queued.fetch_add(bytes, Ordering::Relaxed) > MAX_QUEUED_BYTES {
            self.state.queued.fetch_sub(bytes, Ordering::Relaxed);
            self.losses.add(LossStage::Channel, rows);
            return;
        }
        match self.messages.try_send(Message::Rows(batch, bytes, Instant::now())) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.state.queued.fetch_sub(bytes, Ordering::Relaxed);
                self.losses.add(LossStage::Channel, rows);
            }
            Err(TrySendError::Disconnected(_)) => self.losses.add(LossStage::Disk, rows),
        }
    }

    /// Hands over the last batch, waiting for room: the recording is over, nothing is kept from
    /// its work.
    pub fn send_last(&self, batch: RecordBatch) {
        let rows = batch.num_rows() as u64;
        if self.messages.send(Message::Rows(batch, 0, Instant::now())).is_err() {
            self.losses.add(LossStage::Disk, rows);
        }
    }

    /// Ends the part with the rows sent so far, if it is time; `now` is its end and the start of
    /// the next. Returns whether it did.
    pub fn cut_if_due(&mut self, now: Sample) -> bool {
        // Whether the size is that of the part in question shows once the last one was ended.
        let settled = self.state.cuts.load(Ordering::Acquire) == self.cuts;
        let bytes = self.state.part_bytes.load(Ordering::Relaxed);
        let due = settled && self.rotation.is_due(bytes, self.since.elapsed());
        if !due || self.messages.try_send(Message::Cut(now)).is_err() {
            // A full queue: the part ends a little later.
            return false;
        }
        self.cuts += 1;
        // The next part ends a whole time after this one should have, so that ends don't wander.
        self.since += self.rotation.time.unwrap_or(Duration::ZERO);
        if self.rotation.time.is_none_or(|time| self.since.elapsed() >= time) {
            self.since = Instant::now();
        }
        true
    }

    /// Whether writing has come to an end early: the disk is full, or failed.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.state.stopped.load(Ordering::Relaxed)
    }

    /// A watch on the size of the file.
    #[must_use]
    pub fn size(&self) -> FileSize {
        FileSize(Arc::clone(&self.state))
    }

    /// Writes what is left, then the metadata, and gives the file its name. `clean` is whether the
    /// recording ended because it was told to.
    ///
    /// # Errors
    /// [`EventFileError`]
    ///
    /// # Panics
    /// If the writing thread did.
    pub fn finish(self, end: Sample, clean: bool) -> Result<Written, EventFileError> {
        drop(self.messages);
        let joined = self.thread.join();
        let parts = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        parts.finish(end, clean && !self.state.stopped.load(Ordering::Relaxed))
    }
}

/// The size of the event file while it grows, all parts together.
#[derive(Clone, Debug)]
pub struct FileSize(Arc<State>);

impl FileSize {
    /// Bytes, with an estimate of those still in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let earlier = self.0.earlier_bytes.load(Ordering::Relaxed);
        self.0.part_bytes.load(Ordering::Relaxed) + earlier
    }
}

fn write_all(
    mut parts: Parts,
    messages: &Receiver<Message>,
    state: &State,
    losses: &Losses,
) -> Result<Parts, EventFileError> {
    let mut niceness = Niceness::give_way();
    privileges::enter(Work::EventFile);
    let stop = || state.stopped.store(true, Ordering::Relaxed);
    for message in messages {
        let (batch, bytes) = match message {
            Message::Rows(batch, bytes, sent) => {
                niceness.heed(sent.elapsed() >= LATE);
                (batch, bytes)
            }
            Message::Cut(_) if state.stopped.load(Ordering::Relaxed) => continue,
            Message::Cut(now) => {
                match parts.next(now) {
                    Ok(ended) => state.earlier_bytes.fetch_add(ended, Ordering::Relaxed),
                    Err(EventFileError::Output(OutputError::Full { .. })) => {
                        stop();
                        continue;
                    }
                    Err(error) => {
                        stop();
                        return Err(error);
                    }
                };
                state.part_bytes.store(parts.part().map_or(0, Part::bytes), Ordering::Relaxed);
                state.cuts.fetch_add(1, Ordering::Release);
                continue;
            }
        };
        state.queued.fetch_sub(bytes, Ordering::Relaxed);
        let rows = batch.num_rows() as u64;
        let Some(part) = parts.part().filter(|_| !state.stopped.load(Ordering::Relaxed)) else {
            losses.add(LossStage::Disk, rows);
            continue;
        };
        match part.write(batch, losses) {
            Ok(Room::Enough) => {}
            Ok(Room::Full) => {
                stop();
                losses.add(LossStage::Disk, rows);
            }
            // What was written before is in the journal, or in row groups.
            Err(error) => {
                stop();
                return Err(error.into());
            }
        }
        state.part_bytes.store(part.bytes(), Ordering::Relaxed);
    }
    Ok(parts)
}
