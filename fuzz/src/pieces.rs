//! Captures of several pieces: an input again and again, joined out of a file by two threads and out
//! of a stream by one. Both must come to the same.

use std::io::Write as _;

use joiner::block::legacy::{HEADER, Legacy};
use joiner::source::Compression;
use joiner::source::compression::Writer;

use crate::file;
use crate::join::{EVENTS, join_with, taken};

/// Bytes of a capture: some pieces.
const LENGTH: usize = 1 << 20;

/// The input is a capture.
pub fn check(input: &[u8]) {
    if input.is_empty() || Compression::of(input).is_some() {
        return;
    }
    // All but the header of a legacy file can stand there again.
    let header = if Legacy::parse(input).is_some() { HEADER } else { 0 };
    let (mut capture, rest) = (input.to_vec(), &input[header..]);
    while !rest.is_empty() && capture.len() < LENGTH {
        capture.extend_from_slice(rest);
    }
    let mut compressed = vec![];
    let mut writer = Writer::new(&mut compressed, Some(Compression::Lz4)).expect("memory");
    writer.write_all(&capture).expect("written");
    writer.finish().expect("finished");
    let stream = join_with(&file("in.lz4", &compressed), &EVENTS, "stream.pcapng", "1");
    let pieces = join_with(&file("in.pcapng", &capture), &EVENTS, "pieces.pcapng", "2");
    match (stream, pieces) {
        (None, None) => {}
        (Some(stream), Some(pieces)) => {
            assert_eq!(stream.damage, pieces.damage);
            assert_eq!(stream.counts, pieces.counts);
            assert!(taken("stream.pcapng") == taken("pieces.pcapng"), "the outputs differ");
        }
        (stream, pieces) => panic!("stream: {stream:?}, pieces: {pieces:?}"),
    }
}
