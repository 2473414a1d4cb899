//! What the first pass notes of a capture beside its packets: its sections, and the descriptions of
//! its interfaces.

use std::ops::Range;

use schema::annotation::option::ByteOrder;

use super::names::NAME_RESOLUTION;
use super::native::{self, PROCESS};
use crate::block::{INTERFACE, SECTION};

/// Bytes of descriptions and names that are kept. A real description has about a hundred; those of a
/// damaged file stay as they are.
const MAX_BYTES: usize = 16 << 20;

/// An interface description block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Where it begins in the file, bytes.
    pub position: u64,
    /// The byte order of its section.
    pub order: ByteOrder,
    /// The boot id of the host that captured, where the section header tells.
    pub boot_id: Option<Box<str>>,
    /// All of it.
    pub bytes: Box<[u8]>,
}

/// What a capture has beside its packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// How many sections it has; none, if it is a legacy file.
    pub sections: u64,
    /// Where its first section header ends in the file, bytes, and that section's byte order.
    pub begin: Option<(u64, ByteOrder)>,
    /// Whether it has process blocks of somebody else: of macOS.
    pub has_processes: bool,
    /// Process blocks as an earlier run has written them, by where they stand in the file, bytes.
    own_processes: Vec<Range<u64>>,
    /// Whether some of these stand before the first section header.
    has_leading: bool,
    /// Whether an interface of the section at hand was described.
    has_interface: bool,
    /// Whether some of its packets have options, which may be an older annotation.
    pub has_options: bool,
    /// Name resolution blocks of its first section, or of before it where this is only a part: after
    /// how many section headers they stand, and all of each.
    names: Vec<(u64, Box<[u8]>)>,
    /// Its interfaces.
    pub descriptions: Vec<Described>,
    /// Bytes of these.
    kept: usize,
}

impl Outline {
    /// Takes note of `bytes`, a block at `position` that is no packet.
    pub fn note(&mut self, bytes: &[u8], order: ByteOrder, boot_id: Option<&str>, position: u64) {
        let Some(kind) = bytes.first_chunk() else { return };
        match order.u32(*kind) {
            SECTION => {
                self.sections += 1;
                self.has_interface = false;
                self.begin = self.begin.or(Some((position + bytes.len() as u64, order)));
            }
            INTERFACE => {
                self.has_interface = true;
                if self.kept + bytes.len() <= MAX_BYTES {
                    self.kept += bytes.len();
                    let (bytes, boot_id) = (bytes.into(), boot_id.map(Box::from));
                    self.descriptions.push(Described { position, order, boot_id, bytes });
                }
            }
            // macOS describes the interface of a packet before its process.
            PROCESS if !self.has_interface && native::is_own(bytes, order) => {
                self.own_processes.push(position..position + bytes.len() as u64);
                self.has_leading |= self.sections == 0;
            }
            NAME_RESOLUTION if self.sections <= 1 && self.kept + bytes.len() <= MAX_BYTES => {
                self.kept += bytes.len();
                self.names.push((self.sections, bytes.into()));
            }
            PROCESS => self.has_processes = true,
            _ => {}
        }
    }

    /// Whether `block`, a name resolution block, is in the first section.
    #[must_use]
    pub fn has_names(&self, block: &[u8]) -> bool {
        self.names.iter().any(|(_, names)| **names == *block)
    }

    /// Process blocks of an earlier run. Where there are others', too, nobody can tell whose a packet
    /// refers to: then there are none.
    #[must_use]
    pub fn own_processes(&self) -> &[Range<u64>] {
        if self.has_processes { &[] } else { &self.own_processes }
    }

    /// Adds what was noted in the part that follows.
    pub fn append(&mut self, mut next: Self) {
        let before = self.sections;
        self.sections += next.sections;
        next.names.retain_mut(|(sections, names)| {
            *sections += before;
            next.kept -= if *sections > 1 { names.len() } else { 0 };
            *sections <= 1
        });
        self.begin = self.begin.or(next.begin);
        self.has_processes |= next.has_processes | (self.has_interface && next.has_leading);
        self.has_leading |= before == 0 && next.has_leading;
        self.has_interface = next.has_interface | (self.has_interface && next.sections == 0);
        self.own_processes.append(&mut next.own_processes);
        self.has_options |= next.has_options;
        if self.kept + next.kept <= MAX_BYTES {
            self.kept += next.kept;
            self.names.append(&mut next.names);
            self.descriptions.append(&mut next.descriptions);
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::annotation::option::append;

    use super::*;
    use crate::extra::append_block;

    fn noted(blocks: &[&[u8]]) -> Outline {
        let mut outline = Outline::default();
        for bytes in blocks {
            outline.note(bytes, ByteOrder::Little, None, 0);
        }
        outline
    }

    #[test]
    fn names_of_the_first_section_are_kept_however_it_is_cut() {
        let section = &SECTION.to_le_bytes()[..];
        let names = |which: u8| [&NAME_RESOLUTION.to_le_bytes()[..], &[which; 4]].concat();
        let [a, b, c, d] = [1, 2, 3, 4].map(names);
        let chunks = [noted(&[section, &a]), noted(&[&b]), noted(&[section, &c]), noted(&[&d])];
        for cut in 0..=chunks.len() {
            let mut all = Outline::default();
            for part in [&chunks[..cut], &chunks[cut..]] {
                let mut piece = Outline::default();
                part.iter().for_each(|chunk| piece.append(chunk.clone()));
                all.append(piece);
            }
            let has = [&a, &b, &c, &d].map(|block| all.has_names(block));
            assert_eq!(has, [true, true, false, false], "{cut}");
            assert_eq!((all.kept, all.sections), (16, 2), "{cut}");
        }
    }

    #[test]
    fn process_blocks_are_ours_if_they_say_no_more_and_precede_the_interfaces() {
        let section = &SECTION.to_le_bytes()[..];
        let interface = &INTERFACE.to_le_bytes()[..];
        let block = |options: &[(u16, &[u8])]| {
            let mut body = vec![1, 2, 3, 4];
            for (code, value) in options {
                append(*code, value, ByteOrder::Little, &mut body);
            }
            let mut out = vec![];
            append_block(PROCESS, &body, ByteOrder::Little, &mut out);
            out
        };
        let [bare, named] = [block(&[]), block(&[(2, b"curl"), (0, &[])])];
        let told = block(&[(2, b"curl"), (4, &[7; 16]), (0, &[])]);
        for (chunks, own) in [
            (&[&[section, &bare, &named, interface][..], &[interface]][..], 2),
            (&[&[section, &bare], &[&named, interface], &[section, &named]], 3),
            (&[&[section, &bare, &told, interface]], 0),
            (&[&[section, interface, &named]], 0),
            (&[&[section, &bare, interface], &[&named]], 0),
            (&[&[section, interface], &[&named], &[section, interface]], 0),
        ] {
            for cut in 0..=chunks.len() {
                let mut all = Outline::default();
                for part in [&chunks[..cut], &chunks[cut..]] {
                    let mut piece = Outline::default();
                    part.iter().for_each(|chunk| piece.append(noted(chunk)));
                    all.append(piece);
                }
                assert_eq!(all.own_processes().len(), own, "{chunks:?}, {cut}");
                assert_eq!(all.has_processes, own == 0, "{chunks:?}, {cut}");
            }
        }
        let mut big = Outline::default();
        let mut bytes = vec![];
        append_block(PROCESS, &[1, 2, 3, 4], ByteOrder::Big, &mut bytes);
        big.note(&bytes, ByteOrder::Big, None, 0);
        assert!(big.has_processes);
    }
}
