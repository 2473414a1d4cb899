//! Everything a pcapng or pcap file can be: sections of either byte order, clocks of any unit, every
//! kind of packet block, blocks of others. What is in it comes out, and the packets have the names
//! that they have in the simplest file.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::blocks::{Block, read, read_legacy, stripped};
use crate::scene::{Order, datagrams, packet_ns, pcapng, put, scene};
use crate::tools::{ebpfjoin, join, tshark};

const FIELDS: [&str; 6] = [
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "frame.interface_id",
    "ip.src",
    "tcp.dstport",
];

const ORDERS: [Order; 2] = [Order { big: false }, Order { big: true }];

/// A section header and an interface of raw IP packets with these options.
fn begin(order: &Order, options: &[crate::blocks::Opt]) -> Vec<u8> {
    let mut header = order.u32(0x1a2b_3c4d);
    header.extend(order.u16(1));
    header.extend(order.u16(0));
    header.extend([0xff; 8]);
    [order.block(0x0a0d_0d0a, &header), interface(order, options)].concat()
}

fn interface(order: &Order, options: &[crate::blocks::Opt]) -> Vec<u8> {
    let mut body = order.u16(101);
    body.extend(order.u16(0));
    body.extend(order.u32(0));
    body.extend(order.options(options));
    order.block(1, &body)
}

/// Who is at both ends of every packet, by the enriched capture.
fn names(folder: &Path) -> Vec<[Value; 4]> {
    let output = ebpfjoin(folder, &["show", "out.pcapng", "--json"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let packets = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let ends = |packet: Value| {
        let of = |end: &str, key: &str| packet[end][key].clone();
        [of("src", "comm"), of("src", "match"), of("dst", "comm"), of("dst", "match")]
    };
    packets.map(ends).collect()
}

/// Joins `input`, which must come out with nothing but comments added; the names in it.
fn check(input: &[u8], about: &str) -> Vec<[Value; 4]> {
    let folder = scene();
    put(&folder, "in.pcapng", input);
    join(folder.path(), "in.pcapng", &[]);
    let output = fs::read(folder.path().join("out.pcapng")).expect("output");
    assert_eq!(stripped(read(&output)), read(input), "{about}");
    if let Some(before) = tshark(&folder.path().join("in.pcapng"), &FIELDS) {
        let after = tshark(&folder.path().join("out.pcapng"), &FIELDS);
        assert_eq!(after, Some(before), "{about}");
    }
    names(folder.path())
}

/// The names in the simplest file.
fn usual() -> Vec<[Value; 4]> {
    let names = check(&pcapng(false, &[]), "the simplest file");
    assert_eq!(names[4][..2], ["nginx", "exact"]);
    names
}

#[test]
fn times_in_any_units_mean_the_same() {
    let usual = usual();
    // Code of the resolution, and how many there are in a second.
    let clocks: [(u8, u128); 7] = [
        (6, 1_000_000),
        (9, 1_000_000_000),
        (7, 10_000_000),
        (11, 100_000_000_000),
        (0x80 | 20, 1 << 20),
        (0x80 | 30, 1 << 30),
        (0x80 | 33, 1 << 33),
    ];
    // A section for each, one file for all.
    let (mut file, mut sections) = (vec![], vec![]);
    for order in &ORDERS {
        for (resolution, units) in clocks {
            // The packets' times are told from there on, which an old one can be before.
            for offset in [None, Some(1_600_000_000_i64), Some(-3600)] {
                let offset_ns = i128::from(offset.unwrap_or(0)) * 1_000_000_000;
                let time = |n| {
                    let ns = u128::try_from(i128::from(packet_ns(n)) - offset_ns).expect("later");
                    // Rounded up, so that no time is before its true one.
                    (ns * units).div_ceil(1_000_000_000)
                };
                if time(datagrams().len()) > u64::MAX.into() {
                    continue;
                }
                let mut options = vec![(9, vec![resolution])];
                let bytes = if order.big { i64::to_be_bytes } else { i64::to_le_bytes };
                options.extend(offset.map(|offset| (14, bytes(offset).to_vec())));
                file.extend(begin(order, &options));
                for (n, data) in datagrams().iter().enumerate() {
                    let time = u64::try_from(time(n)).expect("64 bits");
                    file.extend(order.packet(time, data, &[]));
                }
                sections.push(format!("{resolution:#x} {offset:?} big: {}", order.big));
            }
        }
    }
    let told = check(&file, "clocks");
    assert_eq!(told.len(), usual.len() * sections.len());
    assert!(sections.len() > 35, "{sections:?}");
    for (names, section) in told.chunks(usual.len()).zip(sections) {
        assert_eq!(names, usual, "{section}");
    }
}

#[test]
fn sections_of_either_byte_order_follow_each_other() {
    let usual = usual();
    let [little, big] = [false, true].map(|big| pcapng(big, &[]));
    // Interfaces count from 0 in every section, and one may have other times and no packets at all.
    let other = [begin(&ORDERS[1], &[(9, vec![3])]), interface(&ORDERS[1], &[])].concat();
    for parts in [[&little, &big, &little], [&big, &other, &big], [&other, &little, &other]] {
        let file = parts.map(|part| &part[..]).concat();
        let told = check(&file, "sections");
        let times = told.len() / usual.len();
        assert!(times > 0 && told.len().is_multiple_of(usual.len()));
        for (n, names) in told.iter().enumerate() {
            // Reasons stand on the first packet of a flow alone; `show` repeats them.
            assert_eq!(names, &usual[n % usual.len()], "{n}");
        }
    }
}

#[test]
fn obsolete_packet_blocks_are_named_and_keep_their_drops() {
    for order in &ORDERS {
        let mut file = begin(order, &[(9, vec![9])]);
        for (n, data) in datagrams().iter().enumerate() {
            let ns = packet_ns(n);
            let length = order.u32(u32::try_from(data.len()).expect("short"));
            // Interface, and packets that were dropped before this one.
            let mut body = [order.u16(0), order.u16(7)].concat();
            body.extend(order.u32((ns >> 32) as u32));
            body.extend(order.u32((ns & 0xffff_ffff) as u32));
            body.extend([length.clone(), length].concat());
            body.extend(data);
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend(order.options(&[(2, order.u32(1))]));
            file.extend(order.block(2, &body));
        }
        assert_eq!(check(&file, "obsolete"), usual(), "big: {}", order.big);
        let folder = scene();
        put(&folder, "in.pcapng", &file);
        join(folder.path(), "in.pcapng", &[]);
        let output = fs::read(folder.path().join("out.pcapng")).expect("output");
        let at = begin(order, &[(9, vec![9])]).len();
        assert_eq!(output[at..at + 4], order.u32(2)[..], "still an obsolete block");
        assert_eq!(output[at + 8..at + 12], [order.u16(0), order.u16(7)].concat()[..]);
    }
}

#[test]
fn simple_packet_blocks_are_copied_and_say_no_time() {
    let folder = scene();
    for order in &ORDERS {
        let mut file = begin(order, &[]);
        for data in datagrams() {
            let mut body = order.u32(u32::try_from(data.len()).expect("short"));
            body.extend(&data);
            body.resize(body.len().next_multiple_of(4), 0);
            file.extend(order.block(3, &body));
        }
        put(&folder, "in.pcapng", &file);
        let summary = join(folder.path(), "in.pcapng", &[]);
        assert!(fs::read(folder.path().join("out.pcapng")).expect("output") == file);
        for side in ["source", "destination"] {
            assert_eq!(summary[side]["by_reason"], serde_json::json!({"no-time": 8}));
        }
        // Their length is all that they say of themselves.
        let shown = ebpfjoin(folder.path(), &["show", "out.pcapng", "--json"]).stdout;
        let shown = String::from_utf8(shown).expect("text");
        let lengths = shown.lines().map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["length"].as_u64()
        });
        assert!(lengths.eq(datagrams().iter().map(|data| Some(data.len() as u64))), "{shown}");
    }
}

#[test]
fn blocks_of_others_are_copied_wherever_they_stand() {
    for order in &ORDERS {
        let mut file = begin(order, &[(9, vec![9])]);
        // Name resolution, statistics, journal, secrets, custom ones, Darwin's processes, reserved
        // numbers; each with contents that are not what they should be.
        let kinds = [4, 5, 9, 10, 0x0bad, 0x0000_0bad, 0x4000_0bad, 0x8000_0001, 0xffff_ffff];
        for (n, data) in datagrams().iter().enumerate() {
            for (kind, length) in kinds.into_iter().zip([0, 4, 8, 12, 400]) {
                file.extend(order.block(kind, &vec![0x5a; length]));
            }
            file.extend(order.packet(packet_ns(n), data, &[]));
        }
        file.extend(order.block(5, &[0; 8]));
        let folder = scene();
        put(&folder, "in.pcapng", &file);
        join(folder.path(), "in.pcapng", &[]);
        let output = fs::read(folder.path().join("out.pcapng")).expect("output");
        assert_eq!(stripped(read(&output)), read(&file), "big: {}", order.big);
        assert_eq!(names(folder.path()), usual());
    }
}

#[test]
fn packets_of_interfaces_that_nobody_described_are_copied_and_counted() {
    let order = &ORDERS[0];
    let folder = scene();
    let mut file = begin(order, &[(9, vec![9])]);
    let known = order.packet(packet_ns(0), &datagrams()[0], &[]);
    let mut unknown = known.clone();
    unknown[8] = 1;
    file.extend([unknown, known].concat());
    put(&folder, "in.pcapng", &file);
    let summary = join(folder.path(), "in.pcapng", &[]);
    let output = fs::read(folder.path().join("out.pcapng")).expect("output");
    assert_eq!(stripped(read(&output)), read(&file));
    assert_eq!(summary["packets"], 2);
    assert_eq!(summary["source"]["by_reason"], serde_json::json!({"malformed": 1}));
    assert_eq!(summary["source"]["named"], 1);
}

#[test]
fn an_end_of_options_that_claims_a_length_keeps_no_packet_from_its_name() {
    for order in &ORDERS {
        let mut file = begin(order, &[(9, vec![9])]);
        for (n, data) in datagrams().iter().enumerate() {
            let mut packet = order.packet(packet_ns(n), data, &[(1, b"theirs".to_vec())]);
            // The length of the last option, before that of the block.
            let at = packet.len() - 6;
            packet[at..at + 2].copy_from_slice(&order.u16(64));
            file.extend(packet);
        }
        // tshark takes the file for damaged.
        let folder = scene();
        put(&folder, "in.pcapng", &file);
        join(folder.path(), "in.pcapng", &[]);
        let output = fs::read(folder.path().join("out.pcapng")).expect("output");
        assert_eq!(stripped(read(&output)), read(&file), "big: {}", order.big);
        assert_eq!(names(folder.path()), usual());
    }
}

/// Kuznetzov's format: interface, protocol and direction behind the usual header of a packet.
#[test]
fn the_modified_legacy_format_is_read_in_both_byte_orders() {
    for order in &ORDERS {
        let mut file = order.u32(0xa1b2_cd34);
        file.extend([order.u16(2), order.u16(4)].concat());
        file.extend([0, 0, 65_535, 101].map(|word| order.u32(word)).concat());
        for (n, data) in datagrams().iter().enumerate() {
            let us = packet_ns(n) / 1000;
            let length = u32::try_from(data.len()).expect("short");
            let words = [(us / 1_000_000) as u32, (us % 1_000_000) as u32, length, length, 2];
            file.extend(words.map(|word| order.u32(word)).concat());
            file.extend([order.u16(0x0800), vec![0, 0]].concat());
            file.extend(data);
        }
        let folder = scene();
        put(&folder, "in.pcap", &file);
        join(folder.path(), "in.pcap", &[]);
        let output = fs::read(folder.path().join("out.pcapng")).expect("output");
        let blocks = stripped(read(&output)).split_off(2);
        assert_eq!(blocks, read_legacy(&file), "big: {}", order.big);
        assert!(matches!(&blocks[0], Block::Packet { data, .. } if *data == datagrams()[0]));
        assert_eq!(names(folder.path()), usual());
        let fields = ["frame.time_epoch", "frame.len", "ip.src", "tcp.dstport"];
        let Some(before) = tshark(&folder.path().join("in.pcap"), &fields) else { continue };
        assert_eq!(tshark(&folder.path().join("out.pcapng"), &fields), Some(before));
    }
}
