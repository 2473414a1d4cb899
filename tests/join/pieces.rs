//! Captures that are longer than what is worked on at a time. However they are cut, the same comes
//! out: by any number of threads out of a file, and by one after the other out of a stream.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::blocks::{read, read_legacy, stripped};
use crate::scene::{Order, begin, datagrams, described, packet_ns, pcap, pcapng, put, scene};
use crate::tools::ebpfjoin;

/// A small generator of numbers (xorshift).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Bytes of a capture, a few times those of a piece.
const LENGTH: usize = 3 << 20;

/// Packets of the scene with a long payload each, in which there are blocks of a capture, too.
fn long_packets() -> Vec<Vec<u8>> {
    let nested = pcapng(false, &[]);
    let other = pcap(false, true);
    let packets = datagrams().into_iter().zip([&nested, &other].into_iter().cycle());
    packets
        .map(|(mut packet, capture)| {
            packet.extend(capture);
            let total = u16::try_from(packet.len()).expect("short").to_be_bytes();
            packet[2..4].copy_from_slice(&total);
            packet
        })
        .collect()
}

/// A capture with interfaces and sections in the midst of it.
fn capture(random: &mut Random) -> Vec<u8> {
    let packets = long_packets();
    let mut file = vec![];
    let mut order = Order { big: random.below(2) == 1 };
    let mut interfaces = 0;
    while file.len() < LENGTH {
        match random.below(900) {
            _ if interfaces == 0 => {
                file.extend(begin(&order));
                file.extend(described(&order, "eth0"));
                interfaces = 1;
            }
            0 => {
                order = Order { big: random.below(2) == 1 };
                interfaces = 0;
            }
            1..6 => {
                file.extend(described(&order, &format!("eth{interfaces}")));
                interfaces += 1;
            }
            // Of somebody else's, and long enough to lie across pieces.
            6..9 => file.extend(order.block(0x0bad, &vec![0x5a; random.below(200_000) & !3])),
            n => {
                let mut packet = order.packet(packet_ns(n), &packets[n % packets.len()], &[]);
                packet[8..12].copy_from_slice(&order.u32(random.below(interfaces) as u32));
                file.extend(packet);
            }
        }
    }
    file
}

/// What a join says and writes.
fn joined(folder: &Path, input: &str, threads: &str) -> (Option<Vec<u8>>, Value, String) {
    let args = ["ev.parquet", "-o", "out.pcapng", "--json", "--threads", threads];
    let output = ebpfjoin(folder, &[&[input], &args[..]].concat());
    let mut summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if let Some(summary) = summary.as_object_mut() {
        // What differs by the run.
        for key in ["capture", "elapsed_s", "packets_per_s"] {
            summary.remove(key);
        }
    }
    let file = fs::read(folder.join("out.pcapng")).ok();
    let _ = fs::remove_file(folder.join("out.pcapng"));
    let said = String::from_utf8_lossy(&output.stderr).replace(input, "CAPTURE");
    (file, summary, said)
}

/// Joins `input` in every way; what came out.
fn check(input: &[u8], about: &str) -> (Vec<u8>, Value) {
    use std::io::Write as _;
    let folder = scene();
    put(&folder, "in.pcapng", input);
    let compressed = fs::File::create(folder.path().join("in.lz4")).expect("created");
    let compression = Some(joiner::source::Compression::Lz4);
    let mut writer =
        joiner::source::compression::Writer::new(compressed, compression).expect("memory");
    writer.write_all(input).expect("written");
    writer.finish().expect("finished");

    let want = joined(folder.path(), "in.lz4", "1");
    for (name, threads) in
        [("in.lz4", "3"), ("in.pcapng", "1"), ("in.pcapng", "2"), ("in.pcapng", "5")]
    {
        let got = joined(folder.path(), name, threads);
        assert_eq!((&got.1, &got.2), (&want.1, &want.2), "{about}, {name}, {threads} threads");
        assert!(got.0 == want.0, "{about}, {name}, {threads} threads: the outputs differ");
    }
    (want.0.expect("an output"), want.1)
}

#[test]
fn sections_and_interfaces_may_begin_anywhere() {
    for seed in 1..5 {
        let file = capture(&mut Random::new(seed));
        let (output, summary) = check(&file, &format!("seed {seed}"));
        assert_eq!(summary["damage"], Value::Null, "seed {seed}");
        let want = read(&file);
        assert!(stripped(read(&output)) == want, "seed {seed}");
        assert!(summary["source"]["named"].as_u64() > Some(500), "seed {seed}");
    }
}

#[test]
fn damage_in_the_midst_is_told_at_the_same_byte() {
    for seed in 11..17 {
        let mut random = Random::new(seed);
        let mut file = capture(&mut random);
        let at = random.below(file.len());
        if seed % 2 == 0 {
            file.truncate(at);
        } else {
            file[at..].iter_mut().take(5000).for_each(|byte| *byte = 0xff);
        }
        let (output, summary) = check(&file, &format!("seed {seed}"));
        let end = summary["damage"]["offset"].as_u64().map_or(file.len(), |at| at as usize);
        assert!(end <= at || seed % 2 == 1);
        assert!(stripped(read(&output)) == read(&file[..end]), "seed {seed}");
    }
}

#[test]
fn legacy_captures_may_be_cut_anywhere() {
    for (big, nano) in [(false, false), (true, true)] {
        let order = Order { big };
        let mut file = pcap(big, nano)[..24].to_vec();
        let packets = long_packets();
        let mut random = Random(7);
        while file.len() < LENGTH {
            let n = random.below(packets.len());
            let data = &packets[n][..packets[n].len().min(40 + random.below(3000))];
            let ns = packet_ns(n);
            let fraction = ns % 1_000_000_000 / if nano { 1 } else { 1000 };
            let words = [
                (ns / 1_000_000_000) as u32,
                fraction as u32,
                u32::try_from(data.len()).expect("short"),
                u32::try_from(packets[n].len()).expect("short"),
            ];
            file.extend(words.map(|word| order.u32(word)).concat());
            file.extend(data);
        }
        for cut in [0, 1, 700_001] {
            let file = &file[..file.len() - cut];
            let (output, _) = check(file, &format!("{big}, less {cut}"));
            assert!(stripped(read(&output)).split_off(2) == read_legacy(file));
        }
    }
}
