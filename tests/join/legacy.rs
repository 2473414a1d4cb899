//! Legacy pcap becomes pcapng: one section, one interface, nanoseconds.

use std::fs;

use crate::blocks::{Block, comments, read, read_legacy, stripped};
use crate::scene::{pcap, put, scene};
use crate::tools::{join, tshark};

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
