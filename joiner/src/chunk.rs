//! The one serial pass over a capture: finds where blocks begin, keeps track of sections and
//! interfaces, and cuts the file into chunks that can be worked on independently of each other.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use crate::block::interface::{self, Interface};
use crate::block::interfaces::{Interfaces, MAX_INTERFACES};
use crate::block::legacy::{self, Legacy, Record};
use crate::block::packet::PacketBlock;
use crate::block::section::{self, Section};
use crate::block::{
    self, Block, ENHANCED_PACKET, INTERFACE, OBSOLETE_PACKET, SECTION, SIMPLE_PACKET, Step,
};
use crate::decode::LinkType;
use crate::input::{Buffer, Pieces, Pool};

/// What the packets of a chunk are read with.
#[derive(Clone, Debug)]
pub enum Framing {
    /// Blocks of a pcapng section.
    Pcapng(Section),
    /// Records of a legacy pcap.
    Legacy(Legacy),
}

/// Whole blocks or records, one after the other, under one framing.
#[derive(Clone, Debug)]
pub struct Chunk {
    buffer: Arc<Buffer>,
    range: Range<usize>,
    /// Where it begins in the file, bytes.
    offset: u64,
    /// What they are read with.
    pub framing: Arc<Framing>,
}

/// One block or record of a chunk.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A packet block.
    Block(PacketBlock<'a>, &'a Interface),
    /// A packet of a legacy file.
    Record(Record<'a>, LinkType),
    /// A simple packet block: it has no time.
    Simple(&'a [u8]),
    /// A packet block of an unknown interface, or with lengths that don't fit.
    Malformed(&'a [u8]),
    /// Not a packet.
    Other(&'a [u8]),
}

/// What is needed of a packet to decide about it.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// How it begins.
    pub link: LinkType,
    /// As far as it was captured.
    pub data: &'a [u8],
    /// Nanoseconds since 1970, by the wall clock.
    pub time_ns: i64,
    /// Where, as far as the file tells.
    pub interface: Option<&'a Interface>,
}

impl<'a> Item<'a> {
    /// Whether it is a packet.
    #[must_use]
    pub fn is_packet(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// The packet, if there is one with a time.
    #[inline]
    #[must_use]
    pub fn captured(&self) -> Option<Captured<'a>> {
        match *self {
            Self::Block(packet, interface) => Some(Captured {
                link: interface.link,
                data: packet.data(),
                time_ns: interface.clock.nanoseconds(packet.timestamp()),
                interface: Some(interface),
            }),
            Self::Record(record, link) => {
                let Record { data, time_ns, .. } = record;
                Some(Captured { link, data, time_ns, interface: None })
            }
            Self::Simple(_) | Self::Malformed(_) | Self::Other(_) => None,
        }
    }
}

impl Chunk {
    /// Its bytes as they stand in the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer.bytes()[self.range.clone()]
    }

    /// Where it begins in the file, bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The boot id of the host that captured, where the file tells.
    #[must_use]
    pub fn boot_id(&self) -> Option<&str> {
        match &*self.framing {
            Framing::Pcapng(section) => section.boot_id.as_deref(),
            Framing::Legacy(_) => None,
        }
    }

    /// Its blocks or records, in order.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.items_at().map(|(item, _)| item)
    }

    /// Its blocks or records, in order, and where each begins in the file, bytes.
    pub fn items_at(&self) -> impl Iterator<Item = (Item<'_>, u64)> {
        let mut rest = self.bytes();
        let end = self.offset + rest.len() as u64;
        std::iter::from_fn(move || {
            let (item, length) = match &*self.framing {
                Framing::Pcapng(section) => {
                    let block = block::next_whole(rest, section.order)?;
                    (read_block(&block, section), block.bytes.len())
                }
                Framing::Legacy(legacy) => match legacy.first(rest) {
                    Step::Whole(record) => (Item::Record(record, legacy.link), record.bytes.len()),
                    Step::Partial | Step::Damaged(_) => return None,
                },
            };
            let position = end - rest.len() as u64;
            rest = &rest[length..];
            Some((item, position))
        })
    }

    /// Hands the buffer back to `pool`, if this was its last chunk.
    pub fn give_back(self, pool: &Pool) {
        pool.give_back(self.buffer);
    }
}

#[inline]
fn read_block<'a>(block: &Block<'a>, section: &'a Section) -> Item<'a> {
    match block.kind {
        ENHANCED_PACKET | OBSOLETE_PACKET => {
            let known = PacketBlock::new(block, section.order)
                .and_then(|packet| Some((packet, section.interfaces.get(packet.interface())?)));
            match known {
                Some((packet, interface)) => Item::Block(packet, interface),
                None => Item::Malformed(block.bytes),
            }
        }
        SIMPLE_PACKET => Item::Simple(block.bytes),
        _ => Item::Other(block.bytes),
    }
}

/// Where and why a capture could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset in the file of the first byte that was not understood.
    pub offset: u64,
    /// Packets before it.
    pub packets: u64,
    /// Half a sentence.
    pub what: String,
}

/// Why a file is not read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Reading failed.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// The file has no bytes.
    #[error("the file is empty; was the capture stopped before its first packet was written?")]
    Empty,
    /// Not even the first block makes sense.
    #[error("damaged from its first byte on: {0}; there is nothing to enrich")]
    Damaged(String),
    /// No magic that is known.
    #[error("not a capture: neither pcapng nor pcap; give a file of tcpdump, dumpcap or Wireshark")]
    NotACapture,
}

/// Cuts a capture into chunks.
#[derive(Debug)]
pub struct Scanner<R> {
    pieces: Pieces<R>,
    /// The beginning of a block whose end was not read yet.
    carry: Vec<u8>,
    /// Offset of `carry` in the file.
    offset: u64,
    /// Packets before `carry`.
    packets: u64,
    /// What the next packet is read with; ahead of `framing` where no packet was seen since.
    current: Framing,
    framing: Arc<Framing>,
    is_stale: bool,
    ready: VecDeque<Chunk>,
    damage: Option<Damage>,
}

impl<R: Read> Scanner<R> {
    /// Begins to read `input`, whose first bytes tell the format.
    ///
    /// # Errors
    ///
    /// [`ScanError`], if this is not a capture.
    pub fn new(input: R, pool: Pool) -> Result<Self, ScanError> {
        let mut pieces = Pieces::new(input, pool);
        let first = pieces.next_piece(&[])?.ok_or(ScanError::Empty)?;
        let current = recognise(first.bytes()).map_err(|error| match pieces.damage() {
            Some(what) => ScanError::Damaged(what.to_owned()),
            None => error,
        })?;
        let mut scanner = Self {
            pieces,
            carry: vec![],
            offset: 0,
            packets: 0,
            framing: Arc::new(current.clone()),
            current,
            is_stale: false,
            ready: VecDeque::new(),
            damage: None,
        };
        let skipped = match &scanner.current {
            Framing::Legacy(_) => legacy::HEADER,
            Framing::Pcapng(_) => 0,
        };
        scanner.cut(first, skipped);
        Ok(scanner)
    }

    /// What the file begins with.
    #[must_use]
    pub fn framing(&self) -> &Framing {
        &self.current
    }

    /// The next chunk; `None` at the end of what could be read.
    ///
    /// # Errors
    ///
    /// What reading said.
    pub fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            if self.damage.is_some() {
                return Ok(None);
            }
            let carry = std::mem::take(&mut self.carry);
            if let Some(buffer) = self.pieces.next_piece(&carry)? {
                self.cut(buffer, 0);
            } else {
                if let Some(what) = self.pieces.damage().map(str::to_owned) {
                    self.stop(0, what);
                } else if !carry.is_empty() {
                    let what = format!("cut off, {} bytes into a block", carry.len());
                    self.stop(0, what);
                }
                self.carry = vec![];
                return Ok(None);
            }
        }
    }

    /// Where the file stopped making sense, once [`next_chunk`](Self::next_chunk) has returned `None`.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Cuts `buffer` into chunks, from byte `from` on.
    fn cut(&mut self, buffer: Buffer, from: usize) {
        let buffer = Arc::new(buffer);
        let bytes = buffer.bytes();
        let (mut begin, mut at) = (from, from);
        let mut has_packets = false;
        loop {
            let step = match &self.current {
                Framing::Pcapng(section) => block::first(&bytes[at..], section.order),
                // A record is a packet block for what follows.
                Framing::Legacy(legacy) => match legacy.first(&bytes[at..]) {
                    Step::Whole(Record { bytes, .. }) => {
                        Step::Whole(Block { kind: ENHANCED_PACKET, bytes })
                    }
                    Step::Partial => Step::Partial,
                    Step::Damaged(what) => Step::Damaged(what),
                },
            };
            let block = match step {
                Step::Whole(block) => block,
                Step::Partial => break,
                Step::Damaged(what) => {
                    self.stop(at, what);
                    break;
                }
            };
            match block.kind {
                SECTION | INTERFACE => {
                    // What precedes a section is walked in its own byte order.
                    if has_packets || (block.kind == SECTION && begin < at) {
                        self.emit(&buffer, begin..at);
                        (begin, has_packets) = (at, false);
                    }
                    if let Err(what) = self.describe(&block) {
                        self.stop(at, what);
                        break;
                    }
                }
                ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET => {
                    if self.is_stale {
                        self.framing = Arc::new(self.current.clone());
                        self.is_stale = false;
                    }
                    has_packets = true;
                    self.packets += 1;
                }
                _ => {}
            }
            at += block.bytes.len();
        }
        self.carry = if self.damage.is_some() { vec![] } else { bytes[at..].to_vec() };
        self.emit(&buffer, begin..at);
        self.offset += at as u64;
    }

    /// Nothing is read from byte `at` of the piece on.
    fn stop(&mut self, at: usize, what: String) {
        let offset = self.offset + at as u64;
        self.damage = Some(Damage { offset, packets: self.packets, what });
    }

    fn emit(&mut self, buffer: &Arc<Buffer>, range: Range<usize>) {
        if !range.is_empty() {
            let (buffer, framing) = (Arc::clone(buffer), Arc::clone(&self.framing));
            let offset = self.offset + range.start as u64;
            self.ready.push_back(Chunk { buffer, range, offset, framing });
        }
    }

    /// Takes note of a new section or interface.
    fn describe(&mut self, block: &Block<'_>) -> Result<(), String> {
        let Framing::Pcapng(current) = &mut self.current else { return Ok(()) };
        if block.kind == SECTION {
            *current = section::parse(block)
                .ok_or_else(|| "a section header that is too short".to_owned())?;
            self.framing = Arc::new(self.current.clone());
            return Ok(());
        }
        if !current.is_known {
            return Ok(());
        }
        let interface = interface::parse(block, current.order)
            .ok_or_else(|| "an interface description that is too short".to_owned())?;
        if !current.interfaces.push(interface) {
            return Err(format!("more than {MAX_INTERFACES} interfaces in one section"));
        }
        self.is_stale = true;
        Ok(())
    }
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

#[cfg(test)]
mod tests;
