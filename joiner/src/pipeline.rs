//! The only file with threads. One thread scans the capture into chunks, workers take them through
//! the parallel stages, and order comes from bounded queues of one-shot receivers: a stage's place
//! in the queue is taken before its work begins. Memory is bounded by the length of the queues.
//!
//! ```text
//! scan ─► [examine] ─► sequence ─► [render] ─► write        [ ] on any worker, the rest in order
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use arrow_array::RecordBatch;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::attribute::KnownFlows;
use crate::chunk::{Chunk, Damage, Framing, ScanError, Scanner};
use crate::config::{Detail, Style};
use crate::examine::{Examination, Examined, Examiner};
use crate::input::Pool;
use crate::output::{Rendered, Workers};
use crate::packets::{self, PacketTable};
use crate::report::collect::Collector;
use crate::report::traffic::Traffic;
use crate::sequence::{Form, Sequencer};
use crate::source::Reader;
use crate::summary::Counts;
use crate::survey::{Survey, survey};

/// Name and version, as they stand in a section header that is written anew.
const APPLICATION: &str = concat!("ebpfjoin ", env!("CARGO_PKG_VERSION"));

/// Why a pass over the capture did not reach its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The capture can't be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The output can't be written.
    #[error("cannot write the output: {0}; free some space or choose another folder")]
    Write(#[source] io::Error),
    /// The workers can't be started.
    #[error("cannot start the worker threads: {0}; try --threads 1")]
    Threads(String),
    /// A worker gave up: a defect of this program.
    #[error("a worker failed; this is a defect, please report it with the message above")]
    Worker,
}

/// What the second pass adds up to.
#[derive(Debug, Default)]
pub struct Totals {
    /// The decisions.
    pub counts: Counts,
    /// The same in the detail of a report, if there is to be one.
    pub traffic: Option<Traffic>,
    /// Packets with an annotation.
    pub annotated: u64,
    /// Packets left without theirs, because their options are cut.
    pub cut_options: u64,
    /// Bytes by which the packets grew.
    pub growth: i64,
    /// Bytes of the capture.
    pub bytes_in: u64,
    /// Bytes of the enriched capture.
    pub bytes_out: u64,
    /// Where the capture could not be read further.
    pub damage: Option<Damage>,
}

/// Worker threads, and how far ahead of the slowest stage the others may run.
#[derive(Debug)]
pub struct Pipeline {
    workers: ThreadPool,
    depth: usize,
}

impl Pipeline {
    /// Starts `threads` workers.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Threads`].
    pub fn new(threads: NonZeroUsize) -> Result<Self, PipelineError> {
        let workers = ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .thread_name(|number| format!("worker {number}"))
            // The stage that waits for the result notices; see `PipelineError::Worker`.
            .panic_handler(|_| {})
            .build()
            .map_err(|error| PipelineError::Threads(error.to_string()))?;
        Ok(Self { workers, depth: threads.get() * 2 + 2 })
    }

    /// First pass: what later decisions need to know of the whole capture. `progress` is told how
    /// many more bytes were read.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Scan`] or [`PipelineError::Worker`].
    pub fn survey(
        &self,
        capture: Reader,
        known: &Arc<KnownFlows>,
        progress: impl Fn(u64),
    ) -> Result<Survey, PipelineError> {
        let pool = Pool::default();
        let scanner = Scanner::new(capture, pool.clone())?;
        let (queue, results) = self.queue();
        thread::scope(|scope| {
            let scan = scope.spawn(|| {
                self.scan(scanner, queue, |chunk| {
                    let (known, pool) = (Arc::clone(known), pool.clone());
                    move || {
                        let length = chunk.bytes().len() as u64;
                        let found = survey(&chunk, &known);
                        chunk.give_back(&pool);
                        (found, length)
                    }
                })
            });
            let mut all = Survey::default();
            while let Ok(result) = results.recv() {
                let (found, length) = result.recv().map_err(|_| PipelineError::Worker)?;
                all.append(found);
                progress(length);
            }
            drop(results);
            join(scan)?;
            Ok(all)
        })
    }

    /// Second pass: names the packets of `capture` and writes them to `output`; for a report, what
    /// they add up to is collected; in `table` each has a row.
    /// `progress` is told how many more bytes were dealt with.
    ///
    /// # Errors
    ///
    /// Any [`PipelineError`]; what was written by then is incomplete.
    pub fn enrich(
        &self,
        capture: Reader,
        mut output: impl Write,
        examiner: &Arc<Examiner>,
        (detail, style, report): (Detail, Style, Option<&Arc<Collector>>),
        mut table: Option<&mut PacketTable<File>>,
        progress: impl Fn(u64),
    ) -> Result<Totals, PipelineError> {
        let pool = Pool::default();
        let scanner = Scanner::new(capture, pool.clone())?;
        let mut totals = Totals::default();
        if let Framing::Legacy(legacy) = scanner.framing() {
            let mut prelude = Vec::new();
            legacy.write_prelude(APPLICATION, &mut prelude);
            output.write_all(&prelude).map_err(PipelineError::Write)?;
            totals.bytes_out += prelude.len() as u64;
        }
        let (to_sequence, examined) = self.queue();
        let (to_write, rendered) = self.queue();
        let has_table = table.is_some();
        thread::scope(|scope| {
            let scan = scope.spawn(move || {
                self.scan(scanner, to_sequence, |chunk| {
                    let examiner = Arc::clone(examiner);
                    let report = report.cloned();
                    move || examiner.examine(chunk, report.as_deref())
                })
            });
            let sequence = scope.spawn(move || {
                let workers = Arc::default();
                let stage = Render { examiner, style, pool, workers, has_table };
                self.sequence(examined, to_write, (detail, report), &stage)
            });
            while let Ok(result) = rendered.recv() {
                let Done { chunk, rows, length } =
                    result.recv().map_err(|_| PipelineError::Worker)?;
                if let (Some(table), Some(rows)) = (&mut table, rows) {
                    table.write(&rows).map_err(PipelineError::Write)?;
                }
                output.write_all(&chunk.bytes).map_err(PipelineError::Write)?;
                totals.bytes_out += chunk.bytes.len() as u64;
                totals.annotated += chunk.annotated;
                totals.cut_options += chunk.cut_options;
                totals.growth += chunk.growth;
                totals.bytes_in += length;
                progress(length);
            }
            drop(rendered);
            (totals.counts, totals.traffic) =
                sequence.join().map_err(|_| PipelineError::Worker)??;
            totals.damage = join(scan)?;
            if let Some(Damage { offset: 0, what, .. }) = totals.damage {
                return Err(ScanError::Damaged(what).into());
            }
            output.flush().map_err(PipelineError::Write)?;
            Ok(totals)
        })
    }

    fn queue<T>(&self) -> (SyncSender<Receiver<T>>, Receiver<Receiver<T>>) {
        sync_channel(self.depth)
    }

    /// Starts `work` on a worker, its place in `queue` taken. `false` if nobody waits any more.
    fn start<T: Send + 'static>(
        &self,
        queue: &SyncSender<Receiver<T>>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> bool {
        let (done, result) = sync_channel(1);
        let waited_for = queue.send(result).is_ok();
        if waited_for {
            self.workers.spawn(move || {
                // The other end is gone only if the run has failed already.
                let _ = done.send(work());
            });
        }
        waited_for
    }

    /// Cuts the capture into chunks and starts `work` on each.
    fn scan<T, W>(
        &self,
        mut scanner: Scanner<Reader>,
        queue: SyncSender<Receiver<T>>,
        work: impl Fn(Chunk) -> W,
    ) -> Result<Option<Damage>, ScanError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        while let Some(chunk) = scanner.next_chunk()? {
            if !self.start(&queue, work(chunk)) {
                break;
            }
        }
        Ok(scanner.damage().cloned())
    }

    /// Decides the form of every packet, in order, and starts rendering.
    fn sequence(
        &self,
        examined: Receiver<Receiver<Examination>>,
        queue: SyncSender<Receiver<Done>>,
        (detail, report): (Detail, Option<&Arc<Collector>>),
        stage: &Render<'_>,
    ) -> Result<(Counts, Option<Traffic>), PipelineError> {
        let mut sequencer = Sequencer::new(detail);
        let mut counts = Counts::default();
        let recordings = stage.examiner.matcher.recordings();
        let mut traffic = report.map(|collector| Traffic::new(collector.width));
        let mut frame = 1;
        while let Ok(result) = examined.recv() {
            let examination = result.recv().map_err(|_| PipelineError::Worker)?;
            counts.merge(&examination.counts);
            if let (Some(all), Some(chunk)) = (&mut traffic, examination.collected) {
                all.merge(chunk, recordings);
            }
            let forms = examination.packets.iter().map(|packet| sequencer.form(packet)).collect();
            let Examination { chunk, packets, .. } = examination;
            let first = frame;
            frame += packets.len() as u64;
            if !self.start(&queue, stage.work(chunk, packets, forms, first)) {
                break;
            }
        }
        if let Some(traffic) = &mut traffic {
            traffic.finish(recordings);
        }
        Ok((counts, traffic))
    }
}

/// The last parallel stage, with what all its chunks share.
struct Render<'a> {
    examiner: &'a Arc<Examiner>,
    style: Style,
    pool: Pool,
    workers: Arc<Workers>,
    /// Whether packets become rows of a table, too.
    has_table: bool,
}

/// A chunk that only has to be written.
struct Done {
    chunk: Rendered,
    rows: Option<RecordBatch>,
    /// How long it was in the capture.
    length: u64,
}

impl Render<'_> {
    fn work(
        &self,
        chunk: Chunk,
        packets: Vec<Examined>,
        forms: Vec<Form>,
        first: u64,
    ) -> impl FnOnce() -> Done + Send + 'static {
        let (examiner, style, has_table) = (Arc::clone(self.examiner), self.style, self.has_table);
        let (pool, workers) = (self.pool.clone(), Arc::clone(&self.workers));
        move || {
            let matcher = &examiner.matcher;
            let rendered =
                workers.with(|worker| worker.render(&chunk, &packets, &forms, matcher, style));
            let recordings = matcher.recordings();
            let rows = has_table.then(|| packets::rows(&chunk, &packets, first, recordings));
            let length = chunk.bytes().len() as u64;
            chunk.give_back(&pool);
            Done { chunk: rendered, rows, length }
        }
    }
}

type ScanResult = Result<Option<Damage>, ScanError>;

fn join(scan: thread::ScopedJoinHandle<'_, ScanResult>) -> Result<Option<Damage>, PipelineError> {
    Ok(scan.join().map_err(|_| PipelineError::Worker)??)
}

#[cfg(test)]
mod tests;
