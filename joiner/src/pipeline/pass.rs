//! The second pass: what every worker does with a piece, and what all of them share.

use std::fs::File;
use std::io::{self, Write};

use arrow_array::RecordBatch;

use super::{Mode, PipelineError, Totals};
use crate::chunk::{Chunk, Piece};
use crate::examine::{Examiner, Memory};
use crate::feed::Feed;
use crate::lengths::Corrector;
use crate::mark::Decisions;
use crate::output::Output;
use crate::packets::{PacketTable, Rows};
use crate::report::collect::Collected;
use crate::report::traffic::Traffic;
use crate::sequence::{Form, Sequencer};
use crate::summary::Counts;
use crate::turns::Turns;

/// What all workers of the second pass share.
pub(super) struct Pass<'a, 'b, W> {
    examiner: &'a Examiner,
    mode: Mode<'a>,
    has_table: bool,
    sequence: Turns<Sequence>,
    sink: Turns<Sink<'a, 'b, W>>,
}

/// What is decided in order.
struct Sequence {
    sequencer: Sequencer,
    traffic: Option<Traffic>,
    /// Packets so far.
    packets: u64,
}

/// What is written in order.
struct Sink<'a, 'b, W> {
    output: W,
    lengths: Corrector<'a>,
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

impl<'a, 'b, W: Write + Send> Pass<'a, 'b, W> {
    /// A pass that writes to `output`, and rows to `table`; `totals` are of what was written before.
    pub(super) fn new(
        (examiner, mode): (&'a Examiner, Mode<'a>),
        output: W,
        table: Option<&'b mut PacketTable<File>>,
        totals: Totals,
    ) -> Self {
        let has_table = table.is_some();
        let sequence = Turns::new(Sequence::new(examiner, mode));
        Self {
            examiner,
            mode,
            has_table,
            sequence,
            sink: Turns::new(Sink { output, lengths: Corrector::new(mode.lengths), table, totals }),
        }
    }

    /// The output, and what the pass adds up to but for the decisions.
    pub(super) fn finish(self) -> Result<(W, Totals), PipelineError> {
        let Sink { output, mut lengths, mut totals, .. } = self.sink.into_inner();
        lengths.end(totals.bytes_in, totals.bytes_out).map_err(PipelineError::Write)?;
        totals.traffic = self.sequence.into_inner().traffic;
        if let Some(traffic) = &mut totals.traffic {
            traffic.finish(self.examiner.matcher.recordings());
        }
        Ok((output, totals))
    }

    /// Nobody goes on.
    pub(super) fn stop(&self) {
        self.sequence.stop();
        self.sink.stop();
    }

    /// Takes pieces through all stages until there are none; how their packets were decided.
    pub(super) fn work(
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
                let Mode { extras, lengths, .. } = self.mode;
                output.render((self.examiner, extras, lengths), chunk, decided, &memory.labels);
            }
            let rows = self.has_table.then(|| self.rows(&piece, &found, first));
            let turn =
                |sink: &mut Sink<'_, '_, W>| sink.write(&output, rows.as_ref(), piece.length());
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
    fn rows(&self, piece: &Piece, found: &[Found], first: u64) -> RecordBatch {
        let recordings = self.examiner.matcher.recordings();
        let (mut rows, mut frame) = (Rows::default(), first + 1);
        for (chunk, found) in piece.chunks().zip(found) {
            let packets = &found.decisions.own;
            rows.append(&chunk, packets, frame, recordings);
            frame += packets.len() as u64;
        }
        rows.finish()
    }
}

impl<W: Write> Sink<'_, '_, W> {
    fn write(
        &mut self,
        output: &Output,
        rows: Option<&RecordBatch>,
        length: u64,
    ) -> io::Result<()> {
        if let (Some(table), Some(rows)) = (&mut self.table, rows) {
            table.write(rows)?;
        }
        self.output.write_all(&output.bytes)?;
        let totals = &mut self.totals;
        for header in &output.headers {
            self.lengths.begin(*header, totals.bytes_out + header.at as u64)?;
        }
        totals.bytes_out += output.bytes.len() as u64;
        totals.annotated += output.annotated;
        totals.cut_options += output.cut_options;
        totals.growth += output.growth;
        totals.bytes_in += length;
        Ok(())
    }
}
