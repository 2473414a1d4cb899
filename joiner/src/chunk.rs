//! Whole blocks or records of a capture, one after the other, that can be worked on without the rest
//! of it.

use std::ops::Range;
use std::sync::Arc;

use schema::annotation::option::ByteOrder;

use crate::block::interface::Interface;
use crate::block::legacy::{Legacy, Record};
use crate::block::packet::{self, PacketBlock};
use crate::block::section::Section;
use crate::block::{self, Block, ENHANCED_PACKET, MAX_BLOCK, OBSOLETE_PACKET, SIMPLE_PACKET, Step};
use crate::decode::LinkType;
use crate::input::Buffer;

/// What the packets of a chunk are read with.
#[derive(Clone, Debug)]
pub enum Framing {
    /// Blocks of a pcapng section.
    Pcapng(Section),
    /// Records of a legacy pcap.
    Legacy(Legacy),
}

/// Bytes that are under one framing.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Where in the piece.
    pub range: Range<usize>,
    /// What they are read with.
    pub framing: Arc<Framing>,
}

/// A part of a file that was read, cut into chunks.
#[derive(Debug, Default)]
pub struct Piece {
    /// What was read; the cuts are within.
    pub buffer: Buffer,
    /// Where it begins in the file, bytes.
    pub offset: u64,
    /// Its chunks, in order.
    pub cuts: Vec<Cut>,
}

impl Piece {
    /// Its chunks, in order.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'_>> {
        self.cuts.iter().map(|cut| Chunk::new(self.buffer.bytes(), self.offset, cut))
    }

    /// Bytes of its chunks.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.cuts.iter().map(|cut| cut.range.len() as u64).sum()
    }
}

/// Whole blocks or records, one after the other, under one framing.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    bytes: &'a [u8],
    offset: u64,
    /// What they are read with.
    pub framing: &'a Framing,
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

    /// As it stands in the file.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        match *self {
            Self::Block(packet, _) => packet.bytes(),
            Self::Record(record, _) => record.bytes,
            Self::Simple(bytes) | Self::Malformed(bytes) | Self::Other(bytes) => bytes,
        }
    }
}

impl<'a> Chunk<'a> {
    /// What `cut` has of the piece `bytes`, which stands at byte `offset` of the file.
    #[must_use]
    pub fn new(bytes: &'a [u8], offset: u64, cut: &'a Cut) -> Self {
        let Cut { range, framing } = cut;
        let offset = offset + range.start as u64;
        Self { bytes: &bytes[range.clone()], offset, framing }
    }

    /// Its bytes as they stand in the file.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where it begins in the file, bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The byte order of what is written for it.
    #[must_use]
    pub fn order(&self) -> ByteOrder {
        match self.framing {
            Framing::Pcapng(section) => section.order,
            // It becomes a section of ours.
            Framing::Legacy(_) => ByteOrder::Little,
        }
    }

    /// The boot id of the host that captured, where the file tells.
    #[must_use]
    pub fn boot_id(&self) -> Option<&'a str> {
        match self.framing {
            Framing::Pcapng(section) => section.boot_id.as_deref(),
            Framing::Legacy(_) => None,
        }
    }

    /// Its blocks or records, in order.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        self.places().map(|(item, _)| item)
    }

    /// Its blocks or records, in order, and where each begins in the file, bytes.
    pub fn items_at(&self) -> impl Iterator<Item = (Item<'a>, u64)> + use<'a> {
        let offset = self.offset;
        self.places().map(move |(item, at)| (item, offset + at as u64))
    }

    /// Its blocks or records, in order, and where each begins in it, bytes.
    #[inline]
    pub(crate) fn places(&self) -> Items<'a> {
        Items { bytes: self.bytes, framing: self.framing, at: 0, last: (usize::MAX, None) }
    }

    /// The block or record at byte `at` of it, where one begins.
    #[must_use]
    pub fn item(&self, at: usize) -> Option<Item<'a>> {
        Items { at, ..self.places() }.next().map(|(item, _)| item)
    }
}

/// The blocks or records of a chunk, and where each begins.
#[derive(Clone, Debug)]
pub(crate) struct Items<'a> {
    bytes: &'a [u8],
    framing: &'a Framing,
    at: usize,
    /// The interface of the last packet: most often that of the next one, too.
    last: (usize, Option<&'a Interface>),
}

impl<'a> Iterator for Items<'a> {
    type Item = (Item<'a>, usize);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (at, rest) = (self.at, self.bytes.get(self.at..)?);
        let (item, length) = match self.framing {
            Framing::Pcapng(section) => {
                let block = block::next_whole(rest, section.order)?;
                (self.read(&block, section), block.bytes.len())
            }
            Framing::Legacy(legacy) => match legacy.first(rest) {
                Step::Whole(record) => (Item::Record(record, legacy.link), record.bytes.len()),
                Step::Partial | Step::Damaged(_) => return None,
            },
        };
        self.at = at + length;
        Some((item, at))
    }
}

/// A packet as its header tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glimpse<'a> {
    /// Where it begins in the chunk, bytes.
    pub(crate) at: usize,
    /// Its length there, bytes.
    pub(crate) length: usize,
    /// Whether it is a block without options.
    pub(crate) is_bare: bool,
    /// The packet, if there is one with a time.
    pub(crate) captured: Option<Captured<'a>>,
}

impl<'a> Items<'a> {
    /// The next packet; what is none is passed over.
    #[inline]
    pub(crate) fn next_packet(&mut self) -> Option<Glimpse<'a>> {
        self.next_packet_past(&mut |_, _| ())
    }

    /// The next packet; what is none is told of, with the place where it begins.
    #[inline]
    pub(crate) fn next_packet_past(
        &mut self,
        other: &mut impl FnMut(&'a [u8], usize),
    ) -> Option<Glimpse<'a>> {
        loop {
            if let Framing::Pcapng(section) = self.framing
                && let Some(glimpse) = self.enhanced(section)
            {
                return Some(glimpse);
            }
            let (item, at) = self.next()?;
            if let Item::Other(bytes) = item {
                other(bytes, at);
            } else {
                let is_bare = matches!(item, Item::Block(packet, _) if packet.options().is_empty());
                let (length, captured) = (item.bytes().len(), item.captured());
                return Some(Glimpse { at, length, is_bare, captured });
            }
        }
    }

    /// The next block, if it is an enhanced packet block with nothing odd about it: the short way to
    /// what [`next`](Iterator::next) says.
    #[inline]
    fn enhanced(&mut self, section: &'a Section) -> Option<Glimpse<'a>> {
        let at = self.at;
        let rest = self.bytes.get(at..)?;
        let header: &[u8; packet::DATA] = rest.first_chunk()?;
        let word = |at: usize| {
            section.order.u32([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (length, id, captured) = (word(4) as usize, word(8) as usize, word(20) as usize);
        let end = packet::DATA + captured.next_multiple_of(4) + 4;
        if word(0) != ENHANCED_PACKET || captured > MAX_BLOCK as usize || end > length {
            return None;
        }
        let block = rest.get(..length)?;
        if self.last.0 != id {
            self.last = (id, section.interfaces.get(id));
        }
        let interface = self.last.1?;
        let units = u64::from(word(12)) << 32 | u64::from(word(16));
        self.at = at + length;
        let captured = Captured {
            link: interface.link,
            data: &block[packet::DATA..packet::DATA + captured],
            time_ns: interface.clock.nanoseconds(units),
            interface: Some(interface),
        };
        Some(Glimpse { at, length, is_bare: end == length, captured: Some(captured) })
    }

    #[inline]
    fn read(&mut self, block: &Block<'a>, section: &'a Section) -> Item<'a> {
        match block.kind {
            ENHANCED_PACKET | OBSOLETE_PACKET => {
                let Some(packet) = PacketBlock::new(block, section.order) else {
                    return Item::Malformed(block.bytes);
                };
                let id = packet.interface();
                if self.last.0 != id {
                    self.last = (id, section.interfaces.get(id));
                }
                self.last.1.map_or(Item::Malformed(block.bytes), |interface| {
                    Item::Block(packet, interface)
                })
            }
            SIMPLE_PACKET => Item::Simple(block.bytes),
            _ => Item::Other(block.bytes),
        }
    }
}
