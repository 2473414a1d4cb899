//! The only file with threads. Every worker takes a piece of the capture through all stages, from
//! reading to writing, so that it stays in that processor's cache; what has to be done in order is
//! done in turns. Memory is bounded: each worker has one piece at a time.
//!
//! ```text
//! [read ─► examine] ─► sequence ─► [render] ─► write        [ ] on any worker, the rest in turn
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::thread;

use arrow_array::RecordBatch;

use crate::attribute::KnownFlows;
use crate::chunk::{Chunk, Piece};
use crate::config::{Detail, Style};
use crate::examine::{Examiner, Memory};
use crate::extra::edits::Extras;
use crate::feed::Feed;
use crate::layout::{Layout, Surveyor};
use crate::mark::Decisions;
use crate::output::Output;
use crate::packets::{self, PacketTable};
use crate::report::collect::{Collected, Collector};
use crate::report::traffic::Traffic;
use crate::scan::{Damage, ScanError};
use crate::sequence::{Form, Sequencer};
use crate::source::Source;
use crate::summary::Counts;
use crate::survey::{Survey, survey};
use crate::turns::Turns;

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

/// Flows and directions that all workers together keep in mind, a power of two: 42 MB.
const PLACES: usize = 1 << 19;
/// The same of one worker.
const MOST_PLACES: usize = 1 << 18;

/// Worker threads.
#[derive(Clone, Copy, Debug)]
pub struct Pipeline {
    threads: NonZeroUsize,
}

/// What the user wants of the second pass.
#[derive(Clone, Copy, Debug)]
pub struct Mode<'a> {
    /// How much is said.
    pub detail: Detail,
    /// How it is written.
    pub style: Style,
    /// What is said beside the packets.
    pub extras: &'a Extras,
    /// Collects for a report, if there is to be one.
    pub report: Option<&'a Collector>,
}

impl Pipeline {
    /// Works with `threads` threads.
    #[must_use]
    pub const fn new(threads: NonZeroUsize) -> Self {
        Self { threads }
    }

    /// How many threads it works with.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.threads.get()
    }

    /// First pass: what later decisions need to know of the whole capture, and where its pieces are.
    /// `progress` is told how many more bytes were read.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Scan`], [`PipelineError::Threads`] or [`PipelineError::Worker`].
    pub fn survey(
        &self,
        capture: &Source,
        known: &KnownFlows,
        progress: impl Fn(u64) + Sync,
    ) -> Result<(Layout, Survey), PipelineError> {
        if let Some((file, length)) = capture.in_place() {
            let surveyor = Surveyor::new(file, length, known)?;
            self.run(
                || surveyor.stop(),
                || Ok(surveyor.work(&progress).map_err(ScanError::from)?),
            )?;
            return Ok(surveyor.finish());
        }
        let feed = Feed::stream(capture.reader().map_err(ScanError::from)?)?;
        let layout = Layout { legacy: feed.legacy(), ..Layout::default() };
        let found = Turns::new((layout, Survey::default()));
        self.run(
            || found.stop(),
            || {
                let mut piece = Piece::default();
                while let Some(number) = feed.next(&mut piece)? {
                    let surveys: Vec<Survey> =
                        piece.chunks().map(|chunk| survey(&chunk, known)).collect();
                    let turn = |(layout, all): &mut (Layout, Survey)| {
                        layout.push(&piece);
                        surveys.into_iter().for_each(|next| all.append(next));
                    };
                    if found.take(number, turn).is_none() {
                        break;
                    }
                    progress(piece.length());
                }
                Ok(())
            },
        )?;
        let (mut layout, survey) = found.into_inner();
        layout.damage = feed.damage();
        Ok((layout, survey))
    }

    /// Second pass: names the packets of `capture`, which the first one laid out, and writes them to
    /// `output`; for a report, what they add up to is collected; in `table` each has a row.
    /// `progress` is told how many more bytes were dealt with.
    ///
    /// # Errors
    ///
    /// Any [`PipelineError`]; what was written by then is incomplete.
    pub fn enrich(
        &self,
        (capture, layout): (&Source, &Layout),
        mut output: impl Write + Send,
        examiner: &Examiner,
        mode: Mode<'_>,
        table: Option<&mut PacketTable<File>>,
        progress: impl Fn(u64) + Sync,
    ) -> Result<Totals, PipelineError> {
        if let Some(Damage { offset: 0, what, .. }) = &layout.damage {
            return Err(ScanError::Damaged(what.clone()).into());
        }
        let feed = match capture.in_place() {
            Some((file, _)) => Feed::in_place(file, layout),
            None => Feed::stream(capture.reader().map_err(ScanError::from)?)?,
        };
        let mut totals = Totals::default();
        if let Some(legacy) = feed.legacy() {
            let mut prelude = Vec::new();
            legacy.write_prelude(APPLICATION, &mut prelude);
            prelude.extend_from_slice(mode.extras.prelude());
            output.write_all(&prelude).map_err(PipelineError::Write)?;
            totals.bytes_out += prelude.len() as u64;
        }
        let pass = Pass {
            examiner,
            mode,
            has_table: table.is_some(),
            sequence: Turns::new(Sequence::new(examiner, mode)),
            sink: Turns::new(Sink { output, table, totals }),
        };
        let places = (PLACES / self.threads.get().next_power_of_two()).clamp(1, MOST_PLACES);
        let counts = self.run(|| pass.stop(), || pass.work(&feed, places, &progress))?;
        let Sink { mut output, mut totals, .. } = pass.sink.into_inner();
        for counts in counts {
            totals.counts.merge(&counts);
        }
        let Sequence { mut traffic, .. } = pass.sequence.into_inner();
        if let Some(traffic) = &mut traffic {
            traffic.finish(examiner.matcher.recordings());
        }
        totals.traffic = traffic;
        totals.damage = feed.damage();
        output.flush().map_err(PipelineError::Write)?;
        Ok(totals)
    }

    /// Runs `work` on every thread, and `stop` if one fails, so that the others don't wait for it.
    fn run<T: Send>(
        &self,
        stop: impl Fn() + Sync,
        work: impl Fn() -> Result<T, PipelineError> + Sync,
    ) -> Result<Vec<T>, PipelineError> {
        let one = || {
            let mut guard = StopUnlessDone { stop: &stop, is_done: false };
            let result = work();
            guard.is_done = result.is_ok();
            result
        };
        thread::scope(|scope| {
            let mut started = vec![];
            for number in 0..self.threads.get() {
                let name = thread::Builder::new().name(format!("worker {number}"));
                match name.spawn_scoped(scope, one) {
                    Ok(thread) => started.push(thread),
                    Err(error) => {
                        stop();
                        return Err(PipelineError::Threads(error.to_string()));
                    }
                }
            }
            let ended: Vec<_> = started.into_iter().map(|thread| thread.join()).collect();
            ended.into_iter().map(|end| end.unwrap_or(Err(PipelineError::Worker))).collect()
        })
    }
}

/// Stops the others when a thread ends by an error or a panic.
struct StopUnlessDone<'a, F: Fn()> {
    stop: &'a F,
    is_done: bool,
}

impl<F: Fn()> Drop for StopUnlessDone<'_, F> {
    fn drop(&mut self) {
        if !self.is_done {
            (self.stop)();
        }
    }
}

/// What all workers of the second pass share.
struct Pass<'a, 'b, W> {
    examiner: &'a Examiner,
    mode: Mode<'a>,
    has_table: bool,
    sequence: Turns<Sequence>,
    sink: Turns<Sink<'b, W>>,
}

/// What is decided in order.
struct Sequence {
    sequencer: Sequencer,
    traffic: Option<Traffic>,
    /// Packets so far.
    packets: u64,
}

/// What is written in order.
struct Sink<'b, W> {
    output: W,
    table: Option<&'b mut PacketTable<File>>,
    totals: Totals,
}

impl Sequence {
    fn new(examiner: &Examiner, mode: Mode<'_>) -> Self {
        let sequencer = Sequencer::new(mode.detail, examiner.matcher.flow_numbers());
        let traffic = mode.report.map(|collector| Traffic::new(collector.width));
        Self { sequencer, traffic, packets: 0 }
    }
}

/// What a worker found in a chunk.
#[derive(Default)]
struct Found {
    decisions: Decisions,
    forms: Vec<Form>,
    collected: Option<Collected>,
}

impl<W: Write + Send> Pass<'_, '_, W> {
    fn stop(&self) {
        self.sequence.stop();
        self.sink.stop();
    }

    /// Takes pieces through all stages until there are none; how their packets were decided.
    fn work(
        &self,
        feed: &Feed<'_>,
        places: usize,
        progress: &impl Fn(u64),
    ) -> Result<Counts, PipelineError> {
        let mut memory = Memory::new(&self.examiner.matcher, self.mode.style, places);
        memory.labels.refer_to(self.mode.extras.processes());
        let (mut piece, mut output, mut found) = (Piece::default(), Output::default(), vec![]);
        while let Some(number) = feed.next(&mut piece)? {
            memory.tidy();
            found.resize_with(piece.cuts.len(), Found::default);
            for (chunk, found) in piece.chunks().zip(&mut found) {
                self.examine(&chunk, &mut memory, found);
            }
            let turn = |sequence: &mut Sequence| self.sequence(sequence, &memory, &mut found);
            let Some(first) = self.sequence.take(number, turn) else { break };
            output.clear();
            for (chunk, found) in piece.chunks().zip(&found) {
                let decided = (&found.decisions, &*found.forms);
                output.render((self.examiner, self.mode.extras), chunk, decided, &memory.labels);
            }
            let rows = self.has_table.then(|| self.rows(&piece, &found, first));
            let turn =
                |sink: &mut Sink<'_, W>| sink.write(&output, rows.as_deref(), piece.length());
            match self.sink.take(number, turn) {
                None => break,
                Some(written) => written.map_err(PipelineError::Write)?,
            }
            progress(piece.length());
        }
        Ok(memory.labels.counts())
    }

    fn examine(&self, chunk: &Chunk<'_>, memory: &mut Memory<'_>, found: &mut Found) {
        let Found { decisions, forms, collected } = found;
        decisions.marks.clear();
        decisions.own.clear();
        forms.clear();
        if self.mode.report.is_none() && !self.has_table {
            return self.examiner.examine(chunk, memory, decisions);
        }
        // Then all has to be known of each packet.
        let packets = self.examiner.each(chunk);
        *collected = self.mode.report.map(|collector| collector.collect(chunk, &packets));
        self.examiner.mark_each(chunk, &packets, memory, decisions);
    }

    /// Decides the form of every packet; how many packets there were before.
    fn sequence(&self, sequence: &mut Sequence, memory: &Memory<'_>, found: &mut [Found]) -> u64 {
        let first = sequence.packets;
        for Found { decisions, forms, collected } in found {
            let marks = &decisions.marks;
            sequence.sequencer.forms(marks, &memory.labels, forms);
            sequence.packets += marks.len() as u64;
            if let (Some(all), Some(chunk)) = (&mut sequence.traffic, collected.take()) {
                all.merge(chunk, self.examiner.matcher.recordings());
            }
        }
        first
    }

    /// The rows of all packets of `piece`, before which there were `first`.
    fn rows(&self, piece: &Piece, found: &[Found], first: u64) -> Vec<RecordBatch> {
        let recordings = self.examiner.matcher.recordings();
        let mut frame = first + 1;
        let rows = piece.chunks().zip(found).map(|(chunk, found)| {
            let packets = &found.decisions.own;
            let rows = packets::rows(&chunk, packets, frame, recordings);
            frame += packets.len() as u64;
            rows
        });
        rows.collect()
    }
}

impl<W: Write> Sink<'_, W> {
    fn write(
        &mut self,
        output: &Output,
        rows: Option<&[RecordBatch]>,
        length: u64,
    ) -> io::Result<()> {
        if let Some(table) = &mut self.table {
            for rows in rows.unwrap_or_default() {
                table.write(rows)?;
            }
        }
        self.output.write_all(&output.bytes)?;
        let totals = &mut self.totals;
        totals.bytes_out += output.bytes.len() as u64;
        totals.annotated += output.annotated;
        totals.cut_options += output.cut_options;
        totals.growth += output.growth;
        totals.bytes_in += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
