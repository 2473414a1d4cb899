//! The thread that writes the event file. Batches come over a bounded queue: whoever fills it never
//! waits, what doesn't fit is counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use arrow_array::RecordBatch;
use schema::{SchemaError, batch::EventWriter, kind::LossStage, meta::FileMeta};

use crate::{
    loss::Losses,
    output::{OutputError, PartialFile, Reserve, Room},
};

/// Batches that may wait for the disk; with at most 8,192 rows each some ten seconds of a busy
/// host.
const MAX_QUEUE: usize = 32;

/// Bytes set aside beyond what the writer holds, for the last row group's encoding to come out
/// larger than estimated, and for the footer.
const MARGIN: u64 = 2 << 20;

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

/// What became of the file.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The writing thread.
#[derive(Debug)]
pub struct EventFile {
    batches: SyncSender<RecordBatch>,
    state: Arc<State>,
    losses: Arc<Losses>,
    thread: JoinHandle<Result<EventWriter<PartialFile>, SchemaError>>,
}

#[derive(Debug, Default)]
struct State {
    bytes: AtomicU64,
    stopped: AtomicBool,
}

impl EventFile {
    /// Starts writing to `file`.
    ///
    /// # Errors
    /// The header could not be written, or no thread is to be had.
    pub fn start(file: PartialFile, losses: Arc<Losses>) -> Result<Self, EventFileError> {
        let reserve = file.reserve(MARGIN)?;
        let writer = EventWriter::new(file)?;
        let (batches, receiver) = sync_channel(MAX_QUEUE);
        let state = Arc::new(State::default());
        let shared = (Arc::clone(&state), Arc::clone(&losses));
        let thread = thread::Builder::new()
            .name("event-file".to_owned())
            .spawn(move || write_all(writer, reserve, &receiver, &shared.0, &shared.1))
            .map_err(SchemaError::from)?;
        Ok(Self { batches, state, losses, thread })
    }

    /// Hands a batch over; if there is no room its rows are counted as lost.
    pub fn send(&self, batch: RecordBatch) {
        match self.batches.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch)) => {
                self.losses.add(LossStage::Channel, batch.num_rows() as u64);
            }
            Err(TrySendError::Disconnected(batch)) => {
                self.losses.add(LossStage::Disk, batch.num_rows() as u64);
            }
        }
    }

    /// Hands over the last batch, waiting for room: the recording is over, nothing is kept from
    /// its work.
    pub fn send_last(&self, batch: RecordBatch) {
        if let Err(error) = self.batches.send(batch) {
            self.losses.add(LossStage::Disk, error.0.num_rows() as u64);
        }
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

    /// Writes what is left, then the metadata that `meta` gives once all is counted, and gives the
    /// file its name.
    ///
    /// # Errors
    /// [`EventFileError`]
    ///
    /// # Panics
    /// If the writing thread did.
    pub fn finish(self, meta: impl FnOnce(&Losses) -> FileMeta) -> Result<Written, EventFileError> {
        drop(self.batches);
        let joined = self.thread.join();
        let writer = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let rows = writer.rows();
        let file = writer.finish(&meta(&self.losses))?;
        Ok(Written { rows, bytes: file.finish()? })
    }
}

/// The size of the event file while it grows.
#[derive(Clone, Debug)]
pub struct FileSize(Arc<State>);

impl FileSize {
    /// Bytes, with an estimate of those still in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

fn write_all(
    mut writer: EventWriter<PartialFile>,
    mut reserve: Reserve,
    batches: &Receiver<RecordBatch>,
    state: &State,
    losses: &Losses,
) -> Result<EventWriter<PartialFile>, SchemaError> {
    for batch in batches {
        let rows = batch.num_rows() as u64;
        if state.stopped.load(Ordering::Relaxed) {
            losses.add(LossStage::Disk, rows);
            continue;
        }
        // An error here makes the file unreadable: the writer has lost its place in it.
        match reserve.up_to(needed(&writer, &batch)) {
            Ok(Room::Enough) => {
                if let Err(error) = writer.write(&batch) {
                    state.stopped.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(Room::Full) | Err(_) => {
                state.stopped.store(true, Ordering::Relaxed);
                losses.add(LossStage::Disk, rows);
            }
        }
        state.bytes.store(writer.bytes(), Ordering::Relaxed);
    }
    Ok(writer)
}

/// Bytes the file may take with everything the writer holds, `batch` and the footer. While there
/// is room for them, a full disk still leaves room for a file that is whole.
fn needed(writer: &EventWriter<PartialFile>, batch: &RecordBatch) -> u64 {
    writer.bytes() + batch.get_array_memory_size() as u64 + MARGIN
}
