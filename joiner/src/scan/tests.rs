use proptest::prelude::*;

use super::*;
use crate::block::{ENHANCED_PACKET, INTERFACE, SECTION};
use crate::chunk::{Captured, Chunk, Item};

fn block(kind: u32, body: &[u8], big: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let length = word(u32::try_from(body.len() + 12).expect("short"));
    [&word(kind)[..], &length, body, &length].concat()
}

fn section(big: bool) -> Vec<u8> {
    let mut body = Vec::new();
    let (magic, major) = (0x1a2b_3c4d_u32, 1_u16);
    if big {
        body.extend(magic.to_be_bytes());
        body.extend(major.to_be_bytes());
    } else {
        body.extend(magic.to_le_bytes());
        body.extend(major.to_le_bytes());
    }
    body.extend([0; 2]);
    body.extend([0xff; 8]);
    block(SECTION, &body, big)
}

fn interface(link: u8, big: bool) -> Vec<u8> {
    let body = if big { [0, link, 0, 0, 0, 0, 0, 0] } else { [link, 0, 0, 0, 0, 0, 0, 0] };
    block(INTERFACE, &body, big)
}

/// A packet of `length` bytes on interface `id`, `time` units after 1970.
fn packet(id: u32, time: u32, length: u32, big: bool) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [id, 0, time, length, length] {
        body.extend(if big { word.to_be_bytes() } else { word.to_le_bytes() });
    }
    body.resize(body.len() + (length.next_multiple_of(4)) as usize, 0xaa);
    block(ENHANCED_PACKET, &body, big)
}

/// The short way to the packets of a chunk must lead to what the long one does.
fn compare_ways(chunk: &Chunk<'_>) {
    let mut short = chunk.places();
    for (item, at) in chunk.places().filter(|(item, _)| item.is_packet()) {
        let glimpse = short.next_packet().expect("a packet");
        let is_bare = matches!(item, Item::Block(packet, _) if packet.options().is_empty());
        assert_eq!((glimpse.at, glimpse.length), (at, item.bytes().len()));
        assert_eq!(glimpse.is_bare, is_bare);
        let what =
            |captured: Captured<'_>| (captured.link, captured.data.to_vec(), captured.time_ns);
        assert_eq!(glimpse.captured.map(what), item.captured().map(what));
    }
    assert!(short.next_packet().is_none());
}

type Scanned = (Vec<(u16, i64)>, Option<Damage>);

/// Link type and time of every packet, and what could not be read.
fn scan(bytes: &[u8]) -> Result<Scanned, ScanError> {
    let mut scanner = Scanner::new(bytes)?;
    let mut piece = Piece::default();
    let (mut packets, mut joined) = (vec![], vec![]);
    while scanner.next_piece(&mut piece)? {
        piece.chunks().for_each(|chunk| compare_ways(&chunk));
        for item in piece.chunks().flat_map(|chunk| chunk.items()) {
            match item {
                Item::Block(packet, interface) => {
                    let time_ns = interface.clock.nanoseconds(packet.timestamp());
                    packets.push((interface.link.0, time_ns));
                }
                Item::Record(record, link) => packets.push((link.0, record.time_ns)),
                Item::Simple(_) | Item::Malformed(_) | Item::Other(_) => {}
            }
            joined.extend_from_slice(item.bytes());
        }
    }
    if matches!(scanner.framing(), Framing::Pcapng(_)) {
        let whole = scanner.damage().map_or(bytes.len(), |damage| damage.offset as usize);
        assert!(joined == bytes[..whole], "every byte before the damage is in some item");
    }
    Ok((packets, scanner.damage().cloned()))
}

#[test]
fn sections_of_both_byte_orders_are_read_each_with_its_interfaces() {
    let file = [
        section(false),
        interface(1, false),
        section(true),
        interface(101, true),
        packet(0, 5, 6, true),
        interface(0, true),
        packet(1, 6, 7, true),
        section(false),
        interface(113, false),
        packet(0, 7, 8, false),
        packet(9, 8, 8, false),
    ]
    .concat();
    let (packets, damage) = scan(&file).expect("a capture");
    assert_eq!(packets, [(101, 5000), (0, 6000), (113, 7000)]);
    assert_eq!(damage, None);
}

#[test]
fn packets_between_thousands_of_interfaces_each_find_their_own() {
    let mut file = section(false);
    for number in 0..5000 {
        file.extend(interface((number % 200) as u8, false));
        file.extend(packet(number, number, 4, false));
        // Described only later.
        file.extend(packet(number + 1, 0, 4, false));
    }
    let (packets, damage) = scan(&file).expect("a capture");
    let want = (0..5000).map(|number| ((number % 200) as u16, i64::from(number) * 1000));
    assert!(packets.into_iter().eq(want));
    assert_eq!(damage, None);
}

#[test]
fn a_capture_larger_than_many_buffers_is_read_whole() {
    let mut file = [section(false), interface(1, false)].concat();
    for time in 0..4000 {
        file.extend(packet(0, time, 1000 + time % 7, false));
    }
    let (packets, damage) = scan(&file).expect("a capture");
    assert!(packets.iter().map(|&(_, time)| time / 1000).eq(0..4000));
    assert_eq!(damage, None);
}

#[test]
fn a_block_larger_than_a_buffer_is_read_whole() {
    let file = [section(false), interface(1, false), packet(0, 1, 5 << 20, false)].concat();
    assert_eq!(scan(&file).expect("a capture").0, [(1, 1000)]);
}

#[test]
fn what_is_no_capture_is_refused() {
    let message = |bytes: &[u8]| scan(bytes).expect_err("no capture").to_string();
    assert!(message(b"").starts_with("the file is empty"));
    for bytes in [&b"PAR1"[..], b"\n", &SECTION.to_le_bytes(), &[0; 100]] {
        assert_eq!(
            message(bytes),
            "not a capture: neither pcapng nor pcap; give a file of tcpdump, dumpcap or Wireshark"
        );
    }
}

#[test]
fn damage_is_told_with_its_place() {
    let good = [section(false), interface(1, false), packet(0, 1, 8, false)].concat();
    let bad = [&good[..], &[6, 0, 0, 0, 13, 0, 0, 0]].concat();
    let (packets, damage) = scan(&bad).expect("a capture");
    assert_eq!(packets.len(), 1);
    let damage = damage.expect("damage");
    assert_eq!((damage.offset, damage.packets), (good.len() as u64, 1));
    assert_eq!(damage.what, "a block that claims 13 bytes");
}

#[test]
fn a_cut_capture_gives_what_is_whole_wherever_it_is_cut() {
    let file =
        [section(false), interface(1, false), packet(0, 1, 8, false), packet(0, 2, 5, false)];
    let file = file.concat();
    let edges = [28, 48, 88];
    for length in 28..file.len() {
        let (_, damage) = scan(&file[..length]).expect("a capture");
        let last = edges.iter().rev().find(|edge| **edge <= length).expect("an edge");
        let cut = (length != *last).then_some(*last as u64);
        assert_eq!(damage.map(|damage| damage.offset), cut, "cut at {length}");
    }
}

proptest! {
    #[test]
    fn damaged_captures_end(at in 0..200_usize, value in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut file = [section(false), interface(1, false), packet(0, 1, 8, false)].concat();
        file.extend(packet(0, 2, 60, false));
        file.extend(rest);
        let at = at % file.len();
        file[at] = value;
        let _ = scan(&file);
    }
}
