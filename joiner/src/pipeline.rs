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

use crate::attribute::KnownFlows;
use crate::chunk::Piece;
use crate::config::{Detail, Style};
use crate::examine::Examiner;
use crate::extra::edits::Extras;
use crate::feed::Feed;
use crate::layout::{Layout, Surveyor};
use crate::lengths::Lengths;
use crate::packets::PacketTable;
use crate::report::collect::Collector;
use crate::report::traffic::Traffic;
use crate::scan::{Damage, ScanError};
use crate::source::Source;
use crate::summary::Counts;
use crate::survey::{Survey, survey_piece};
use crate::turns::Turns;

mod pass;

use self::pass::Pass;

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
    /// What becomes of the lengths that section headers tell.
    pub lengths: Lengths<'a>,
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
        known: &KnownFlows<'_>,
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
                    let next = survey_piece(&piece, known);
                    let turn = |(layout, all): &mut (Layout, Survey)| {
                        layout.push(&piece);
                        all.append(next);
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
            legacy.write_prelude(APPLICATION, mode.extras.prelude(), &mut prelude);
            output.write_all(&prelude).map_err(PipelineError::Write)?;
            totals.bytes_out += prelude.len() as u64;
        }
        let pass = Pass::new((examiner, mode), output, table, totals);
        let places = (PLACES / self.threads.get().next_power_of_two()).clamp(1, MOST_PLACES);
        let counts = self.run(|| pass.stop(), || pass.work(&feed, places, &progress))?;
        let (mut output, mut totals) = pass.finish()?;
        for counts in counts {
            totals.counts.merge(&counts);
        }
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

#[cfg(test)]
mod tests;
