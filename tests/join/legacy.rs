//! Legacy pcap becomes pcapng: one section, one interface, times in the units they had.

use std::fs;

use crate::blocks::{Block, comments, read, read_legacy, stripped};
use crate::scene::{pcap, put, scene};
use crate::tools::{capinfos, join, tshark};

#[test]
fn every_magic_becomes_one_section_with_the_same_packets() {
    for (big, nano) in [(false, false), (false, true), (true, false), (true, true)] {
        let folder = scene();
        let input = pcap(big, nano);
        put(&folder, "in.pcap", &input);
        join(folder.path(), "in.pcap", &[]);
        let output = fs::read(folder.path().join("out.pcapng")).expect("output");
        let blocks = read(&output);
        assert!(matches!(&blocks[..2], [Block::Other(_), Block::Other(_)]), "section, interface");
        assert_eq!(comments(&blocks).iter().flatten().count(), 7, "{big} {nano}");
        let packets = stripped(blocks).split_off(2);
        assert_eq!(packets, read_legacy(&input), "{big} {nano}");
        let fields = ["frame.time_epoch", "frame.len", "ip.src", "tcp.dstport", "udp.dstport"];
        let Some(before) = tshark(&folder.path().join("in.pcap"), &fields) else { return };
        assert_eq!(tshark(&folder.path().join("out.pcapng"), &fields), Some(before));
    }
}

/// The value of option `code` of the interface block in a little-endian file.
fn interface_option(file: &[u8], code: u16) -> Option<Vec<u8>> {
    let Some(Block::Other(interface)) = read(file).into_iter().nth(1) else { panic!("interface") };
    let mut options = &interface[16..interface.len() - 4];
    while let [c0, c1, l0, l1, rest @ ..] = options {
        let length = usize::from(u16::from_le_bytes([*l0, *l1]));
        if u16::from_le_bytes([*c0, *c1]) == code {
            return Some(rest[..length].to_vec());
        }
        options = &rest[length.next_multiple_of(4)..];
    }
    None
}

#[test]
fn the_interface_says_what_the_file_header_said() {
    let folder = scene();
    let enrich = |input: &[u8]| {
        put(&folder, "in.pcap", input);
        join(folder.path(), "in.pcap", &[]);
        fs::read(folder.path().join("out.pcapng")).expect("output")
    };
    let mut input = pcap(false, false);
    let Some(Block::Other(interface)) = read(&enrich(&input)).into_iter().nth(1) else {
        panic!("interface");
    };
    // Link type raw IP, snap length 65535.
    assert_eq!(interface[8..16], [101, 0, 0, 0, 0xff, 0xff, 0, 0]);
    // Units, and the length of the frame check sequence.
    let options = |file: &[u8]| (interface_option(file, 9), interface_option(file, 13));
    assert_eq!(options(&enrich(&input)), (Some(vec![6]), None));
    assert_eq!(options(&enrich(&pcap(true, true))), (Some(vec![9]), None));
    // Two times 16 bits, and the bit that says so.
    input[23] = 0x24;
    assert_eq!(options(&enrich(&input)), (Some(vec![6]), Some(vec![32])));
}

#[test]
fn capinfos_finds_the_same_packets_in_the_same_order() {
    let folder = scene();
    put(&folder, "in.pcap", &pcap(true, false));
    join(folder.path(), "in.pcap", &[]);
    // Packets, bytes, first and last time, order, snap length, as a table without header.
    let args = ["-T", "-r", "-B", "-c", "-d", "-a", "-e", "-o", "-S"];
    let about = |name: &str| capinfos(&folder.path().join(name), &args);
    let Some(before) = about("in.pcap") else { return };
    assert!(before.contains(&"True".to_owned()), "in order: {before:?}");
    assert_eq!(about("out.pcapng"), Some(before));
}
