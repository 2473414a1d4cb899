//! A packet file: everything up to the last whole block (draft-ietf-opsawg-pcapng).
//!
//! ```text
//! block: u32 type │ u32 length of the whole block │ body │ u32 length again
//! ```

use std::{
    io::{self, BufReader, Read},
    path::Path,
};

use super::{PCAPNG, RecoverError, Recovered, What, failed, refuse, remove_empty};
use crate::output::PartialFile;

/// Type of an enhanced packet block.
const ENHANCED_PACKET: u32 = 6;
/// Bytes of a block around its body.
const AROUND: u64 = 12;
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

pub(super) fn recover(path: &Path, mut left: PartialFile) -> Result<Recovered, RecoverError> {
    if path.exists() {
        return Err(RecoverError::Exists { path: path.to_owned() });
    }
    let length = left.contents().metadata().map_err(|error| failed(path, error))?.len();
    let (packets, end) = count(left.contents(), length).map_err(|error| failed(path, error))?;
    if end == 0 {
        return remove_empty(path);
    }
    left.cut(end).map_err(|error| failed(path, error))?;
    let bytes = left.finish_new().map_err(|error| refuse(path, error))?;
    let what = What::Packets { packets, cut: length - end };
    Ok(Recovered { path: path.to_owned(), bytes, complete: false, what })
}

/// Packets, and where the last whole block ends.
fn count(file: impl Read, length: u64) -> io::Result<(u64, u64)> {
    // In the byte order of this machine, as we write it.
    let word = |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes);
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
    let (mut packets, mut end) = (0, 0);
    let mut head = [0; 8];
    while length - end >= AROUND {
        reader.read_exact(&mut head)?;
        let (kind, size) = (&head[..4], &head[4..]);
        let (Some(kind), Some(size)) = (kind.first_chunk(), size.first_chunk()) else { break };
        let size_of_block = u64::from(word(size));
        let fits = (AROUND..=length - end).contains(&size_of_block) && size_of_block % 4 == 0;
        if !fits || (end == 0 && *kind != PCAPNG) {
            break;
        }
        let body = size_of_block - AROUND;
        if io::copy(&mut (&mut reader).take(body), &mut io::sink())? < body {
            break;
        }
        let mut again = [0; 4];
        reader.read_exact(&mut again)?;
        if again != *size {
            break;
        }
        packets += u64::from(word(kind) == ENHANCED_PACKET);
        end += size_of_block;
    }
    Ok((packets, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: usize) -> Vec<u8> {
        let length = u32::try_from(body + 12).expect("small").to_ne_bytes();
        [&kind.to_ne_bytes()[..], &length, &vec![7; body], &length].concat()
    }

    #[test]
    fn the_last_whole_block_is_found_wherever_it_is_cut() {
        let blocks =
            [block(u32::from_ne_bytes(PCAPNG), 16), block(6, 60), block(5, 8), block(6, 4)];
        let bytes = blocks.concat();
        for length in 0..=bytes.len() {
            let (mut end, mut packets) = (0, 0);
            for block in &blocks {
                if end + block.len() > length {
                    break;
                }
                end += block.len();
                packets += u64::from(block[..4] == 6_u32.to_ne_bytes());
            }
            let found = count(&bytes[..length], length as u64).expect("memory can be read");
            assert_eq!(found, (packets, end as u64), "cut at {length}");
        }
    }

    #[test]
    fn what_follows_damage_is_left_out() {
        let header = block(u32::from_ne_bytes(PCAPNG), 16);
        for bad in [[0_u8; 16], [0xff; 16]] {
            let bytes = [&header[..], &bad].concat();
            let found = count(&bytes[..], bytes.len() as u64).expect("memory can be read");
            assert_eq!(found, (0, header.len() as u64));
        }
        assert_eq!(count(&[1; 40][..], 40).expect("memory can be read"), (0, 0));
    }
}
