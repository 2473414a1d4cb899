//! Inputs to begin with: the fixtures, and what the tests make up.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use joiner::source::Compression;
use joiner::source::compression::Writer;

use crate::{frames, place, scene};

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)).expect("there")
}

/// Link types and packets.
pub fn frames() -> Vec<Vec<u8>> {
    let frames = frames::frames().into_iter();
    frames.map(|frame| [&frame.link.to_le_bytes()[..], &frame.bytes].concat()).collect()
}

/// Captures in all formats.
pub fn captures() -> Vec<Vec<u8>> {
    let foreign = [(1, b"a comment of somebody's".to_vec()), (8, vec![9; 8]), (2, vec![0; 4])];
    let own = [(8, vec![7; 8]), (1, b"ebpf src.pid=117901063 src.comm=x dst.none=remote".to_vec())];
    let mut all = vec![fixture("loopback.pcapng"), frames::pcapng(&frames::frames())];
    for big in [false, true] {
        all.push(scene::pcapng(big, &[]));
        all.push(scene::pcapng(big, &foreign));
        all.push(scene::pcapng(big, &own));
        all.push(scene::pcap(big, false));
        all.push(scene::pcap(big, true));
    }
    // Sections in both byte orders.
    all.push([scene::pcapng(true, &own), scene::pcapng(false, &foreign)].concat());
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Lz4] {
        let mut bytes = vec![];
        let mut writer = Writer::new(&mut bytes, Some(compression)).expect("memory");
        writer.write_all(&scene::pcapng(false, &[])).expect("written");
        writer.finish().expect("finished");
        all.push(bytes);
    }
    all
}

/// Event files.
pub fn events() -> Vec<Vec<u8>> {
    let path = place("seed.parquet");
    scene::write_events(&path, &scene::rows(), &scene::meta());
    vec![fs::read(path).expect("written"), fixture("loopback.parquet")]
}

/// Choices of rows.
pub fn rows() -> Vec<Vec<u8>> {
    let mut seed = 1_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    [60, 200, 1000, 3000].map(|length| (0..length).map(|_| next()).collect()).to_vec()
}
