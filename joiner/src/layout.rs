//! The first pass over a capture that lies in a file: any number of threads cut it into pieces at the
//! same time. Where a block begins nobody knows but by reading from the file's beginning on, so each
//! thread guesses, works with that, and waits for its turn to hear where the piece before ended. A
//! wrong guess (or a section or interface that was described meanwhile) costs doing the piece again.
//!
//! ```text
//! read ─► guess, cut, survey ─► in turn: did the former piece end there? ─► keep, or cut again
//! ```

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::attribute::KnownFlows;
use crate::block::MAX_BLOCK;
use crate::block::legacy::Legacy;
use crate::chunk::{Cut, Framing, Piece};
use crate::cut::{Cutter, End, Why};
use crate::input::{Buffer, MOST_AT_ONCE, PIECE};
use crate::scan::{Damage, ScanError, cut_off};
use crate::survey::{Survey, survey_piece};
use crate::turns::Turns;

/// Bytes behind a piece that are read with it, so that its last block is whole most often.
const BEHIND: usize = 2 << 10;
/// Bytes that are read where it is not: the longest packets of a network card that splits segments
/// fit.
const MORE: usize = 68 << 10;

/// Bytes that are read to make a block whole: none is longer, and what claims to be is told as damage.
const LONGEST: usize = MAX_BLOCK as usize;

/// Where the pieces of a capture are.
#[derive(Debug, Default)]
pub struct Layout {
    /// Its pieces, in order, without what is in them.
    pub extents: Vec<Extent>,
    /// Its header, if it is a legacy file.
    pub legacy: Option<Legacy>,
    /// Where it could not be read further.
    pub damage: Option<Damage>,
}

/// A piece that was not read.
#[derive(Debug)]
pub struct Extent {
    /// Where it begins in the file, bytes.
    pub offset: u64,
    /// Its chunks.
    pub cuts: Box<[Cut]>,
}

impl Layout {
    /// Adds the next piece.
    pub fn push(&mut self, piece: &Piece) {
        self.extents.push(Extent { offset: piece.offset, cuts: piece.cuts.as_slice().into() });
    }
}

/// A first pass, shared by its threads.
pub(crate) struct Surveyor<'a> {
    file: &'a File,
    length: u64,
    known: &'a KnownFlows<'a>,
    next: AtomicU64,
    turns: Turns<Progress>,
}

/// What was found up to some place in the file.
struct Progress {
    cutter: Cutter,
    /// Where the next block begins, bytes.
    at: u64,
    layout: Layout,
    survey: Survey,
}

/// What a thread found, if it guessed right.
struct Guess {
    /// Where its first block begins in the file, bytes.
    begin: u64,
    cutter: Cutter,
    end: End,
    survey: Survey,
}

impl<'a> Surveyor<'a> {
    /// Begins with the first `length` bytes of `file`.
    ///
    /// # Errors
    ///
    /// [`ScanError`], if this is not a capture.
    pub(crate) fn new(
        file: &'a File,
        length: u64,
        known: &'a KnownFlows<'a>,
    ) -> Result<Self, ScanError> {
        let mut buffer = Buffer::default();
        buffer.fill_at(file, 0, size(length.min(PAGE)))?;
        let (cutter, at) = Cutter::new(buffer.bytes())?;
        let legacy = match cutter.framing() {
            Framing::Legacy(legacy) => Some(*legacy),
            Framing::Pcapng(_) => None,
        };
        let (layout, survey) = (Layout { legacy, ..Layout::default() }, Survey::default());
        let progress = Progress { cutter, at: at as u64, layout, survey };
        Ok(Self { file, length, known, next: AtomicU64::new(0), turns: Turns::new(progress) })
    }

    /// Works on pieces until there are no more. `progress` is told how many more bytes were read.
    ///
    /// # Errors
    ///
    /// What reading said.
    pub(crate) fn work(&self, progress: &impl Fn(u64)) -> io::Result<()> {
        let result = self.pieces(progress);
        if result.is_err() {
            self.stop();
        }
        result
    }

    fn pieces(&self, progress: &impl Fn(u64)) -> io::Result<()> {
        let mut piece = Piece::default();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(offset) = number.checked_mul(PIECE as u64).filter(|&at| at < self.length)
            else {
                return Ok(());
            };
            let limit = size((self.length - offset).min(PIECE as u64));
            let length = size((self.length - offset).min((PIECE + BEHIND) as u64));
            piece.buffer.fill_at(self.file, offset, length)?;
            (piece.offset, piece.cuts) = (offset, vec![]);
            let Some(guess) = self.turns.peek(|progress| progress.cutter.guessing()) else {
                return Ok(());
            };
            let guess = self.guess(guess, &mut piece, limit)?;
            let turn = |found: &mut Progress| self.turn(found, guess, &mut piece, limit);
            match self.turns.take(number, turn) {
                None => return Ok(()),
                Some(done) => done?,
            }
            progress(limit as u64);
        }
    }

    /// Nobody goes on.
    pub(crate) fn stop(&self) {
        self.turns.stop();
    }

    /// All that was found.
    pub(crate) fn finish(self) -> (Layout, Survey) {
        let Progress { layout, survey, .. } = self.turns.into_inner();
        (layout, survey)
    }

    /// Cuts and surveys a piece before its turn, with what is known of sections and interfaces.
    fn guess(
        &self,
        mut cutter: Cutter,
        piece: &mut Piece,
        limit: usize,
    ) -> io::Result<Option<Guess>> {
        let descriptions = cutter.descriptions;
        // Before its first interface nothing of a section can be read.
        if matches!(cutter.framing(), Framing::Pcapng(section) if section.interfaces.is_empty()) {
            return Ok(None);
        }
        let Some(begin) = cutter.guess(piece.buffer.bytes(), piece.offset) else {
            return Ok(None);
        };
        let end = self.cut(&mut cutter, piece, (begin, limit), MORE)?;
        // A long block, or a wrong guess: not worth reading on.
        let read = piece.offset + piece.buffer.bytes().len() as u64;
        if matches!(end.why, Why::Partial) && read < self.length {
            return Ok(None);
        }
        if cutter.descriptions != descriptions {
            return Ok(None);
        }
        let survey = survey_piece(piece, self.known);
        Ok(Some(Guess { begin: piece.offset + begin as u64, cutter, end, survey }))
    }

    /// Keeps the guess, or does the piece again.
    fn turn(
        &self,
        found: &mut Progress,
        guess: Option<Guess>,
        piece: &mut Piece,
        limit: usize,
    ) -> io::Result<()> {
        // The block before this piece may reach beyond it.
        if found.layout.damage.is_some() || found.at >= piece.offset + limit as u64 {
            return Ok(());
        }
        let right = guess.filter(|guess| {
            guess.begin == found.at && guess.cutter.descriptions == found.cutter.descriptions
        });
        let (end, survey) = if let Some(guess) = right {
            found.cutter.packets += guess.cutter.packets;
            (guess.end, guess.survey)
        } else {
            piece.cuts.clear();
            let begin = size(found.at - piece.offset);
            let end = self.cut(&mut found.cutter, piece, (begin, limit), LONGEST)?;
            (end, survey_piece(piece, self.known))
        };
        found.survey.append(survey);
        if !piece.cuts.is_empty() {
            found.layout.push(piece);
        }
        found.at = piece.offset + end.at as u64;
        let what = match end.why {
            Why::Limit => return Ok(()),
            Why::Partial => cut_off(size(self.length - found.at)),
            Why::Damaged(what) => what,
        };
        let packets = found.cutter.packets;
        found.layout.damage = Some(Damage { offset: found.at, packets, what });
        Ok(())
    }

    /// Cuts what begins in a piece, and reads as much more as its last block takes, up to `most` bytes.
    fn cut(
        &self,
        cutter: &mut Cutter,
        piece: &mut Piece,
        (begin, limit): (usize, usize),
        most: usize,
    ) -> io::Result<End> {
        let mut begin = begin;
        loop {
            let end = cutter.cut(piece.buffer.bytes(), begin..limit, &mut piece.cuts);
            let length = piece.buffer.bytes().len();
            let left = self.length - piece.offset - length as u64;
            let is_short = matches!(end.why, Why::Partial) && left > 0;
            if !is_short || length - end.at > most {
                return Ok(end);
            }
            let more = size(left.min((length - limit).clamp(MORE, MOST_AT_ONCE) as u64));
            piece.buffer.extend_at(self.file, piece.offset + length as u64, more)?;
            begin = end.at;
        }
    }
}

/// Bytes that tell the format.
const PAGE: u64 = 4096;

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
