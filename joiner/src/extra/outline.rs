//! What the first pass notes of a capture beside its packets: its sections, and the descriptions of
//! its interfaces.

use schema::annotation::option::ByteOrder;

use super::names::NAME_RESOLUTION;
use super::native::PROCESS;
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
    /// Whether it has process blocks of macOS.
    pub has_processes: bool,
    /// Whether some of its packets have options, which may be an older annotation.
    pub has_options: bool,
    /// Name resolution blocks of its first section.
    pub names: Vec<Box<[u8]>>,
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
                self.begin = self.begin.or(Some((position + bytes.len() as u64, order)));
            }
            INTERFACE if self.kept + bytes.len() <= MAX_BYTES => {
                self.kept += bytes.len();
                let (bytes, boot_id) = (bytes.into(), boot_id.map(Box::from));
                self.descriptions.push(Described { position, order, boot_id, bytes });
            }
            NAME_RESOLUTION if self.sections <= 1 && self.kept + bytes.len() <= MAX_BYTES => {
                self.kept += bytes.len();
                self.names.push(bytes.into());
            }
            PROCESS => self.has_processes = true,
            _ => {}
        }
    }

    /// Adds what was noted in the part that follows.
    pub fn append(&mut self, mut next: Self) {
        self.sections += next.sections;
        if self.sections > 1 {
            next.kept -= next.names.drain(..).map(|names| names.len()).sum::<usize>();
        }
        self.begin = self.begin.or(next.begin);
        self.has_processes |= next.has_processes;
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
    use super::*;

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
        let (mut all, mut late) = (Outline::default(), Outline::default());
        let [first, second, third, fourth] = chunks;
        late.append(third);
        late.append(fourth);
        for part in [first, second, late] {
            all.append(part);
        }
        assert_eq!(all.names, [a.into_boxed_slice(), b.into_boxed_slice()]);
        assert_eq!((all.kept, all.sections), (16, 2));
    }
}
