//! One event file, or one part of it, from its creation to its name; and how one follows another.

use std::{path::PathBuf, sync::Arc};

use arrow_array::RecordBatch;
use schema::{Kind, SchemaError, batch::EventWriter, meta::FileMeta, rows::EventBatch};

use super::{EventFileError, Written};
use crate::{
    clock::{Sample, rfc3339},
    journal::{self, Journal},
    loss::{Losses, STAGES, to_json},
    output::{OutputError, PartialFile, Reserve, Room},
    rotate::{Finisher, Series},
};

/// Bytes set aside beyond what the writer holds, for the last row group's encoding to come out
/// larger than estimated, and for the footer.
const MARGIN: u64 = 2 << 20;

/// The first file, created, with nothing in it: whatever can be refused is refused before anything
/// is attached to the kernel.
#[derive(Debug)]
pub struct FirstPart {
    pub(super) series: Series,
    files: Files,
}

impl FirstPart {
    /// Creates it.
    ///
    /// # Errors
    /// [`OutputError`]
    pub fn create(mut series: Series) -> Result<Self, OutputError> {
        let files = Files::create(&mut series)?;
        Ok(Self { series, files })
    }
}

/// What a part is written to, with nothing in it.
#[derive(Debug)]
struct Files {
    file: PartialFile,
    journal: Journal,
    /// Room on the disk to begin with.
    reserve: Reserve,
}

impl Files {
    fn create(series: &mut Series) -> Result<Self, OutputError> {
        let file = series.create()?;
        let journal = Journal::create(file.path())?;
        let reserve = file.reserve(MARGIN)?;
        Ok(Self { file, journal, reserve })
    }
}

/// The part being written.
#[derive(Debug)]
pub(super) struct Part {
    writer: EventWriter<PartialFile>,
    reserve: Reserve,
    journal: Journal,
    meta: FileMeta,
    /// What was lost before it began.
    lost_before: [u64; STAGES],
    /// Rows of each kind.
    kinds: [u64; Kind::ALL.len()],
}

impl Part {
    fn begin(
        files: Files,
        meta: FileMeta,
        packets: Option<&PathBuf>,
        lost_before: [u64; STAGES],
    ) -> Result<Self, EventFileError> {
        let Files { file, mut journal, reserve } = files;
        journal.begin(&meta, packets.map(PathBuf::as_path))?;
        let mut writer = EventWriter::new(file)?;
        writer.set_meta(meta.clone());
        let kinds = [0; Kind::ALL.len()];
        Ok(Self { writer, reserve, journal, meta, lost_before, kinds })
    }

    /// Adds a batch. With [`Room::Full`] nothing was added.
    pub(super) fn write(
        &mut self,
        batch: RecordBatch,
        losses: &Losses,
    ) -> Result<Room, SchemaError> {
        // While there is room for all that the writer holds and the footer, a full disk still
        // leaves room for a file that is whole.
        let needed = self.writer.bytes() + batch.get_array_memory_size() as u64 + MARGIN;
        if self.reserve.up_to(needed)? == Room::Full {
            return Ok(Room::Full);
        }
        let batch = EventBatch::from(batch);
        let lost = self.lost(losses);
        if self.journal.append(&batch, lost)? == Room::Full {
            return Ok(Room::Full);
        }
        let mut is_out = self.writer.write(batch.record_batch())?;
        self.count(&batch)?;
        if !is_out && self.journal.bytes() >= journal::MAX_BYTES {
            self.writer.cut()?;
            is_out = true;
        }
        if is_out {
            self.journal.restart();
            let lost = to_json(lost).to_string();
            self.writer.set_meta(FileMeta { lost, ..self.meta.clone() });
        }
        Ok(Room::Enough)
    }

    fn count(&mut self, batch: &EventBatch) -> Result<(), SchemaError> {
        let columns = batch.columns()?;
        let mut known = vec![None; columns.kind.keys()];
        for row in 0..batch.len() {
            let slot = columns.kind.key(row).and_then(|key| known.get_mut(key));
            let read = || columns.kind.get(row).and_then(Kind::from_text);
            let kind = match slot {
                Some(slot) => *slot.get_or_insert_with(read),
                None => read(),
            };
            if let Some(kind) = kind {
                self.kinds[kind as usize] += 1;
            }
        }
        Ok(())
    }

    /// What was lost since it began.
    fn lost(&self, losses: &Losses) -> [u64; STAGES] {
        let now = losses.all();
        std::array::from_fn(|stage| now[stage] - self.lost_before[stage])
    }

    /// Bytes written, with an estimate of those still in memory.
    pub(super) fn bytes(&mut self) -> u64 {
        self.writer.bytes()
    }

    /// Writes the rest. What remains to be done may wait for the disk.
    fn end(self, end: Sample, complete: bool, losses: &Losses) -> Result<Ending, SchemaError> {
        let total =
            if self.meta.part == 0 { String::new() } else { to_json(losses.all()).to_string() };
        let meta = FileMeta {
            end: rfc3339(end.wall_ns()),
            lost: to_json(self.lost(losses)).to_string(),
            lost_total: total,
            complete,
            ..self.meta
        };
        let rows = self.writer.rows();
        let file = self.writer.finish(&meta)?;
        Ok(Ending { file, journal: self.journal, rows, kinds: self.kinds })
    }
}

/// A part that has all its bytes, but not its name.
#[derive(Debug)]
struct Ending {
    file: PartialFile,
    journal: Journal,
    rows: u64,
    kinds: [u64; Kind::ALL.len()],
}

impl Ending {
    fn finish(self) -> Result<Written, EventFileError> {
        let path = self.file.path().to_owned();
        let bytes = self.file.finish()?;
        self.journal.remove().map_err(|source| OutputError::Io { path, source })?;
        Ok(Written { rows: self.rows, bytes, parts: 0, kinds: self.kinds })
    }
}

/// All parts of a recording.
#[derive(Debug)]
pub(super) struct Parts {
    series: Series,
    /// `None` after the next one could not be created.
    part: Option<Part>,
    packets: Option<PathBuf>,
    losses: Arc<Losses>,
    /// The part before, on its way to the disk.
    finishing: Finisher<Written, EventFileError>,
    written: Written,
}

impl Parts {
    pub(super) fn start(
        first: FirstPart,
        meta: FileMeta,
        packets: Option<PathBuf>,
        losses: Arc<Losses>,
    ) -> Result<Self, EventFileError> {
        let FirstPart { series, files } = first;
        let meta = FileMeta { part: series.part(), ..meta };
        let part = Part::begin(files, meta, packets.as_ref(), [0; STAGES])?;
        let written = Written::default();
        Ok(Self {
            series,
            part: Some(part),
            packets,
            losses,
            finishing: Finisher::default(),
            written,
        })
    }

    /// The part being written.
    pub(super) fn part(&mut self) -> Option<&mut Part> {
        self.part.as_mut()
    }

    /// Ends the part and begins the next. Returns the bytes of the former, about.
    pub(super) fn next(&mut self, now: Sample) -> Result<u64, EventFileError> {
        let Some(mut part) = self.part.take() else { return Ok(0) };
        let (bytes, lost) = (part.bytes(), self.losses.all());
        let meta = FileMeta { start: rfc3339(now.wall_ns()), ..part.meta.clone() };
        let ending = part.end(now, true, &self.losses)?;
        // Before the part has its name: whenever we are killed, there is something to recover that
        // tells of the recording.
        let files = Files::create(&mut self.series);
        let series = self.series.clone();
        let before = self.finishing.start(move || {
            let written = ending.finish()?;
            series.prune()?;
            Ok(written)
        })?;
        self.add(before);
        let meta = FileMeta { part: self.series.part(), ..meta };
        self.part = Some(Part::begin(files?, meta, self.packets.as_ref(), lost)?);
        Ok(bytes)
    }

    fn add(&mut self, part: Option<Written>) {
        let Some(part) = part else { return };
        self.written.rows += part.rows;
        self.written.bytes += part.bytes;
        for (sum, count) in self.written.kinds.iter_mut().zip(part.kinds) {
            *sum += count;
        }
    }

    /// Ends the last part.
    pub(super) fn finish(mut self, end: Sample, complete: bool) -> Result<Written, EventFileError> {
        let last = match self.part.take() {
            Some(part) => Some(part.end(end, complete, &self.losses)?.finish()),
            None => None,
        };
        let before = self.finishing.settle()?;
        self.add(before);
        self.add(last.transpose()?);
        self.series.prune()?;
        Ok(Written { parts: self.series.part(), ..self.written })
    }
}
