//! An own reader of pcapng and pcap, as simple as it can be: what the joiner is compared against.

/// A block of a pcapng file, or a record of a pcap file as the enhanced packet block it must become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Interface, units, captured and original length with the packet, options.
    Packet { interface: u32, units: u64, original: u32, data: Vec<u8>, options: Vec<Opt> },
    /// Anything else, byte for byte.
    Other(Vec<u8>),
}

pub(crate) type Opt = (u16, Vec<u8>);

struct Cursor<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

/// The blocks of a pcapng file, up to its end or its first defect.
pub(crate) fn read(file: &[u8]) -> Vec<Block> {
    let (mut at, mut big, mut blocks) = (0, false, vec![]);
    while let Some(block) = next(&file[at..], &mut big) {
        at += block.len();
        let packet = packet(block, big);
        blocks.push(packet.unwrap_or_else(|| Block::Other(block.to_vec())));
    }
    blocks
}

fn next<'a>(bytes: &'a [u8], big: &mut bool) -> Option<&'a [u8]> {
    if bytes.get(..4)? == [0x0a, 0x0d, 0x0d, 0x0a] {
        *big = match bytes.get(8..12)? {
            [0x1a, 0x2b, 0x3c, 0x4d] => true,
            [0x4d, 0x3c, 0x2b, 0x1a] => false,
            _ => return None,
        };
    }
    let length = Cursor { bytes: bytes.get(4..)?, big: *big }.u32()? as usize;
    let block = bytes.get(..length).filter(|_| length >= 12 && length.is_multiple_of(4))?;
    let again = Cursor { bytes: &block[length - 4..], big: *big }.u32()? as usize;
    (again == length).then_some(block)
}

pub(crate) fn packet(block: &[u8], big: bool) -> Option<Block> {
    let mut cursor = Cursor { bytes: &block[..block.len() - 4], big };
    let kind = cursor.u32()?;
    cursor.u32()?;
    let interface = match kind {
        6 => cursor.u32()?,
        2 => {
            let interface = cursor.u16()?;
            cursor.u16()?;
            interface.into()
        }
        _ => return None,
    };
    let units = u64::from(cursor.u32()?) << 32 | u64::from(cursor.u32()?);
    let (captured, original) = (cursor.u32()? as usize, cursor.u32()?);
    let data = cursor.take(captured)?.to_vec();
    cursor.take(captured.next_multiple_of(4) - captured)?;
    let mut options = vec![];
    while !cursor.bytes.is_empty() {
        let (code, length) = (cursor.u16()?, usize::from(cursor.u16()?));
        if code == 0 {
            break;
        }
        options.push((code, cursor.take(length)?.to_vec()));
        let padding = length.next_multiple_of(4) - length;
        cursor.take(padding.min(cursor.bytes.len()))?;
    }
    Some(Block::Packet { interface, units, original, data, options })
}

/// The packets of a legacy file as they must stand in the output.
pub(crate) fn read_legacy(file: &[u8]) -> Vec<Block> {
    let big = file[0] == 0xa1;
    let nano = file.contains(&0x4d)
        && [file[0], file[3]].contains(&0x4d)
        && file[1..3] != [0xb2, 0xc3]
        && file[1..3] != [0xc3, 0xb2];
    let mut cursor = Cursor { bytes: &file[24..], big };
    let mut blocks = vec![];
    // Kuznetzov's modified format says more of each packet.
    let is_modified = [file[0], file[3]].contains(&0x34);
    while let Some(record) = record(&mut cursor, nano, if is_modified { 8 } else { 0 }) {
        blocks.push(record);
    }
    blocks
}

fn record(cursor: &mut Cursor<'_>, nano: bool, more: usize) -> Option<Block> {
    let (seconds, fraction) = (u64::from(cursor.u32()?), u64::from(cursor.u32()?));
    let (captured, original) = (cursor.u32()? as usize, cursor.u32()?);
    let units = seconds * if nano { 1_000_000_000 } else { 1_000_000 } + fraction;
    cursor.take(more)?;
    let data = cursor.take(captured)?.to_vec();
    Some(Block::Packet { interface: 0, units, original, data, options: vec![] })
}

/// Whether a comment is an annotation: people write of ebpf, too.
fn is_ours(comment: &[u8]) -> bool {
    [&b"ebpf src."[..], b"ebpf dst."].iter().any(|begin| comment.starts_with(begin))
}

/// `blocks` without our annotations.
pub(crate) fn stripped(blocks: Vec<Block>) -> Vec<Block> {
    let strip = |block| match block {
        Block::Packet { interface, units, original, data, mut options } => {
            let ours = |option: &Opt| option.0 == 1 && is_ours(&option.1);
            if options.iter().any(ours) {
                options.retain(|option| !ours(option) && option.0 != 8);
            }
            Block::Packet { interface, units, original, data, options }
        }
        other => other,
    };
    blocks.into_iter().map(strip).collect()
}

/// Our comments, packet by packet; `None` where a packet has none.
pub(crate) fn comments(blocks: &[Block]) -> Vec<Option<String>> {
    let comment = |block: &Block| match block {
        Block::Packet { options, .. } => Some(options.iter().find_map(|(code, value)| {
            let text = String::from_utf8(value.clone()).ok()?;
            (*code == 1 && is_ours(value)).then_some(text)
        })),
        Block::Other(_) => None,
    };
    blocks.iter().filter_map(comment).collect()
}
