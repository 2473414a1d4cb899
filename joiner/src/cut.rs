//! Finds where blocks begin, and keeps track of sections and interfaces: from the bytes of a piece to
//! chunks that can be worked on independently of each other.

use std::ops::Range;
use std::sync::Arc;

use crate::block::interfaces::{Interfaces, MAX_INTERFACES};
use crate::block::legacy::{self, Legacy};
use crate::block::section::{self, Section};
use crate::block::{
    self, Block, ENHANCED_PACKET, INTERFACE, OBSOLETE_PACKET, SECTION, SIMPLE_PACKET, Step,
    interface,
};
use crate::chunk::{Cut, Framing};
use crate::scan::ScanError;

/// Blocks or records that must follow each other to be taken for such. What is taken for the
/// beginning of one is compared with where the piece before it ended, so that a wrong guess costs time
/// and nothing else.
const ENOUGH: usize = 6;

/// Where cutting ended, and why.
#[derive(Debug)]
pub(crate) struct End {
    /// Bytes that were cut.
    pub(crate) at: usize,
    pub(crate) why: Why,
}

/// Why cutting ended.
#[derive(Debug)]
pub(crate) enum Why {
    /// What follows begins at the limit or behind it.
    Limit,
    /// What follows goes on behind the bytes that are there.
    Partial,
    /// What follows makes no sense.
    Damaged(String),
}

/// Cuts a capture into chunks, one piece after the other.
#[derive(Clone, Debug)]
pub(crate) struct Cutter {
    framing: Arc<Framing>,
    /// Packets that were cut.
    pub(crate) packets: u64,
    /// Sections and interfaces that were described.
    pub(crate) descriptions: u64,
    /// Whether it only guesses. What it takes for a description is noted nowhere then: the list of
    /// interfaces is shared with who knows what comes next in it.
    is_guess: bool,
}

impl Cutter {
    /// Cuts a file that begins with `bytes`; also tells at which byte to begin.
    ///
    /// # Errors
    ///
    /// [`ScanError`], if this is not a capture.
    pub(crate) fn new(bytes: &[u8]) -> Result<(Self, usize), ScanError> {
        let framing = recognise(bytes)?;
        let begin = match framing {
            Framing::Legacy(_) => legacy::HEADER,
            Framing::Pcapng(_) => 0,
        };
        let framing = Arc::new(framing);
        Ok((Self { framing, packets: 0, descriptions: 0, is_guess: false }, begin))
    }

    /// One that guesses with what is known here, and ends where something is described.
    pub(crate) fn guessing(&self) -> Self {
        Self { packets: 0, is_guess: true, ..self.clone() }
    }

    /// What the next packet is read with.
    pub(crate) fn framing(&self) -> &Framing {
        &self.framing
    }

    /// Cuts what begins in `within` of `bytes`; appends to `cuts`.
    pub(crate) fn cut(&mut self, bytes: &[u8], within: Range<usize>, cuts: &mut Vec<Cut>) -> End {
        let (mut begin, end) = match &*self.framing {
            Framing::Pcapng(_) => self.cut_blocks(bytes, within, cuts),
            Framing::Legacy(legacy) => {
                let (end, packets) = cut_records(*legacy, bytes, within.clone());
                self.packets += packets;
                (within.start, end)
            }
        };
        begin = begin.min(end.at);
        self.emit(begin..end.at, cuts);
        end
    }

    /// Also tells where the last chunk begins, which is not appended.
    fn cut_blocks(
        &mut self,
        bytes: &[u8],
        within: Range<usize>,
        cuts: &mut Vec<Cut>,
    ) -> (usize, End) {
        let (mut begin, mut at) = (within.start, within.start);
        let mut has_packets = false;
        let mut order = self.order();
        while at < within.end {
            let block = match block::first(&bytes[at..], order) {
                Step::Whole(block) => block,
                Step::Partial => return (begin, End { at, why: Why::Partial }),
                Step::Damaged(what) => return (begin, End { at, why: Why::Damaged(what) }),
            };
            match block.kind {
                ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET => {
                    has_packets = true;
                    self.packets += 1;
                }
                SECTION | INTERFACE => {
                    // What precedes a section is walked in its own byte order.
                    if has_packets || (block.kind == SECTION && begin < at) {
                        self.emit(begin..at, cuts);
                        (begin, has_packets) = (at, false);
                    }
                    if let Err(what) = self.describe(&block) {
                        return (begin, End { at, why: Why::Damaged(what) });
                    }
                    order = self.order();
                }
                _ => {}
            }
            at += block.bytes.len();
        }
        (begin, End { at, why: Why::Limit })
    }

    fn emit(&self, range: Range<usize>, cuts: &mut Vec<Cut>) {
        if !range.is_empty() {
            cuts.push(Cut { range, framing: Arc::clone(&self.framing) });
        }
    }

    fn order(&self) -> schema::annotation::option::ByteOrder {
        match &*self.framing {
            Framing::Pcapng(section) => section.order,
            Framing::Legacy(_) => schema::annotation::option::ByteOrder::Little,
        }
    }

    /// Takes note of a new section or interface.
    fn describe(&mut self, block: &Block<'_>) -> Result<(), String> {
        self.descriptions += 1;
        if self.is_guess {
            return Err("a description where none was expected".to_owned());
        }
        let Framing::Pcapng(current) = Arc::make_mut(&mut self.framing) else { return Ok(()) };
        if block.kind == SECTION {
            *current = section::parse(block)
                .ok_or_else(|| "a section header that is too short".to_owned())?;
            return Ok(());
        }
        if !current.is_known {
            return Ok(());
        }
        let interface = interface::parse(block, current.order)
            .ok_or_else(|| "an interface description that is too short".to_owned())?;
        // Packets of what there is no room for are copied without names.
        if current.interfaces.len() < MAX_INTERFACES && !current.interfaces.push(interface) {
            return Err("an interface description where another one was".to_owned());
        }
        Ok(())
    }

    /// Where the first block or record may begin, of `bytes` that stand at byte `offset` of the
    /// file; a guess.
    pub(crate) fn guess(&self, bytes: &[u8], offset: u64) -> Option<usize> {
        match &*self.framing {
            Framing::Pcapng(section) => {
                // Every block is a multiple of 4 bytes long.
                let first = (offset.wrapping_neg() & 3) as usize;
                let is_one = |&at: &usize| are_blocks(&bytes[at..], section);
                (first..bytes.len()).step_by(4).find(is_one)
            }
            Framing::Legacy(legacy) => {
                (0..bytes.len()).find(|&at| are_records(&bytes[at..], *legacy))
            }
        }
    }
}

fn are_blocks(mut bytes: &[u8], section: &Section) -> bool {
    for seen in 0..ENOUGH {
        match block::first(bytes, section.order) {
            Step::Whole(block) => bytes = &bytes[block.bytes.len()..],
            // A lone beginning of something says nothing.
            Step::Partial => return seen > 0,
            Step::Damaged(_) => return false,
        }
    }
    true
}

fn are_records(mut bytes: &[u8], legacy: Legacy) -> bool {
    for seen in 0..ENOUGH {
        match legacy.first(bytes) {
            Step::Whole(record) if legacy.is_likely(&record) => {
                bytes = &bytes[record.bytes.len()..];
            }
            Step::Partial => return seen > 1,
            Step::Whole(_) | Step::Damaged(_) => return false,
        }
    }
    true
}

fn cut_records(legacy: Legacy, bytes: &[u8], within: Range<usize>) -> (End, u64) {
    let (mut at, mut packets) = (within.start, 0);
    while at < within.end {
        let why = match legacy.first(&bytes[at..]) {
            Step::Whole(record) => {
                at += record.bytes.len();
                packets += 1;
                continue;
            }
            Step::Partial => Why::Partial,
            Step::Damaged(what) => Why::Damaged(what),
        };
        return (End { at, why }, packets);
    }
    (End { at, why: Why::Limit }, packets)
}

/// The format, by the first bytes of the file.
fn recognise(bytes: &[u8]) -> Result<Framing, ScanError> {
    if bytes.is_empty() {
        return Err(ScanError::Empty);
    }
    if let Some(legacy) = Legacy::parse(bytes) {
        return Ok(Framing::Legacy(legacy));
    }
    let magic = bytes.get(8..).and_then(|rest| rest.first_chunk());
    match magic.and_then(|magic| section::order_of(*magic)) {
        Some(order) if bytes.starts_with(&SECTION.to_le_bytes()) => Ok(Framing::Pcapng(Section {
            order,
            is_known: true,
            interfaces: Interfaces::default(),
            boot_id: None,
        })),
        _ => Err(ScanError::NotACapture),
    }
}
