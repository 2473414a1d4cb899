//! Entries as the kernel writes them, and what is read.

use proptest::prelude::*;

use super::*;
use crate::netlink::{messages, push_attribute, request};

/// The kernel marks attributes that hold others (`NLA_F_NESTED`).
const NESTED: u16 = 0x8000;

/// One way of a connection: addresses of one family, protocol, ports.
pub(in crate::conntrack) struct Way<'a> {
    pub(in crate::conntrack) src: &'a [u8],
    pub(in crate::conntrack) dst: &'a [u8],
    pub(in crate::conntrack) proto: u8,
    pub(in crate::conntrack) ports: (u16, u16),
}

fn push_nested(out: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    push_attribute(out, kind | NESTED, payload);
}

fn tuple(way: &Way<'_>) -> Vec<u8> {
    let (src, dst) = if way.src.len() == 4 { (V4_SRC, V4_DST) } else { (V6_SRC, V6_DST) };
    let mut ip = vec![];
    push_attribute(&mut ip, src, way.src);
    push_attribute(&mut ip, dst, way.dst);
    let mut proto = vec![];
    push_attribute(&mut proto, PROTO_NUM, &[way.proto]);
    let id = match way.proto {
        1 => Some(ICMP_ID),
        58 => Some(ICMPV6_ID),
        _ => None,
    };
    match id {
        Some(id) => {
            push_attribute(&mut proto, id, &way.ports.0.to_be_bytes());
            push_attribute(&mut proto, id + 1, &[8]);
            push_attribute(&mut proto, id + 2, &[0]);
        }
        None => {
            push_attribute(&mut proto, SRC_PORT, &way.ports.0.to_be_bytes());
            push_attribute(&mut proto, DST_PORT, &way.ports.1.to_be_bytes());
        }
    }
    let mut tuple = vec![];
    push_nested(&mut tuple, TUPLE_IP, &ip);
    push_nested(&mut tuple, TUPLE_PROTO, &proto);
    tuple
}

/// A message as the kernel puts it together (ctnetlink_conntrack_event, net/netfilter).
pub(in crate::conntrack) fn entry(ended: bool, ways: &[Way<'_>; 2], zone: Option<u16>) -> Vec<u8> {
    let family = if ways[0].src.len() == 4 { 2 } else { 10 };
    let mut body = vec![family, 0, 0, 0];
    push_nested(&mut body, TUPLE_ORIG, &tuple(&ways[0]));
    push_nested(&mut body, TUPLE_REPLY, &tuple(&ways[1]));
    if let Some(zone) = zone {
        push_attribute(&mut body, ZONE, &zone.to_be_bytes());
    }
    push_attribute(&mut body, ID, &7_u32.to_be_bytes());
    push_attribute(&mut body, 3, &0x1a8_u32.to_be_bytes());
    request(if ended { DELETE } else { NEW }, 0, &body)
}

fn parse(bytes: &[u8]) -> Option<Entry> {
    messages(bytes).find_map(parse_entry)
}

const CLIENT: &[u8] = &[10, 99, 0, 2];
const HOST: &[u8] = &[10, 99, 0, 1];
const SERVER: &[u8] = &[172, 17, 0, 2];

/// To a published port.
pub(in crate::conntrack) fn published() -> [Way<'static>; 2] {
    [
        Way { src: CLIENT, dst: HOST, proto: 6, ports: (50_001, 4443) },
        Way { src: SERVER, dst: CLIENT, proto: 6, ports: (8080, 50_001) },
    ]
}

/// The same without a translation.
pub(in crate::conntrack) fn plain() -> [Way<'static>; 2] {
    [
        Way { src: CLIENT, dst: HOST, proto: 6, ports: (50_001, 4443) },
        Way { src: HOST, dst: CLIENT, proto: 6, ports: (4443, 50_001) },
    ]
}

#[test]
fn a_published_port_is_sent_on_to_the_server() {
    let found = parse(&entry(false, &published(), None)).expect("an entry");
    assert!(found.translates() && !found.ended);
    let Translation { original, onward, id, zone } = found.translation;
    assert_eq!((original.proto, id, zone), (Proto::TCP, 7, 0));
    assert_eq!(original.src.to_string(), "10.99.0.2:50001");
    assert_eq!(original.dst.to_string(), "10.99.0.1:4443");
    assert_eq!(onward.src, original.src);
    assert_eq!(onward.dst.to_string(), "172.17.0.2:8080");
    assert_eq!((found.told_at, found.began_at), (None, None));
    let end = parse(&entry(true, &published(), Some(9))).expect("an entry");
    assert!(end.ended && end.translation == Translation { zone: 9, ..found.translation });
}

#[test]
fn a_reply_that_is_the_exact_reverse_translates_nothing() {
    assert!(!parse(&entry(false, &plain(), None)).expect("an entry").translates());
    // Nor does anything else that no socket uses: its name is not in the file's vocabulary.
    let gre = published().map(|way| Way { proto: 47, ..way });
    assert!(!parse(&entry(false, &gre, None)).expect("an entry").translates());
}

#[test]
fn ipv6_and_icmp_are_read_as_well() {
    let (inside, outside, far) = ([0xfd; 16], [0xfe; 16], [0x20; 16]);
    let ways = [
        Way { src: &inside, dst: &far, proto: 17, ports: (40_000, 53) },
        Way { src: &far, dst: &outside, proto: 17, ports: (53, 41_000) },
    ];
    let found = parse(&entry(false, &ways, None)).expect("an entry").translation;
    assert_eq!(found.onward.src, Endpoint::v6(outside, 41_000));
    assert_eq!(found.onward.dst, found.original.dst);
    let ways = [
        Way { src: CLIENT, dst: SERVER, proto: 1, ports: (5, 0) },
        Way { src: SERVER, dst: HOST, proto: 1, ports: (6, 0) },
    ];
    let found = parse(&entry(false, &ways, None)).expect("an entry");
    assert!(found.translates());
    let Translation { original, onward, .. } = found.translation;
    assert_eq!((original.src.to_string(), onward.src.to_string()).1, "10.99.0.1:6");
    assert_eq!((original.src.port(), original.dst.port()), (5, 5));
    // An echo through no translation has one id both ways.
    let ways = [
        Way { src: CLIENT, dst: SERVER, proto: 1, ports: (5, 0) },
        Way { src: SERVER, dst: CLIENT, proto: 1, ports: (5, 0) },
    ];
    assert!(!parse(&entry(false, &ways, None)).expect("an entry").translates());
}

#[test]
fn times_are_read_where_the_kernel_tells_them() {
    let mut body = entry(false, &published(), None).split_off(16);
    let mut stamps = vec![];
    push_attribute(&mut stamps, TIMESTAMP_START, &5_u64.to_be_bytes());
    push_nested(&mut body, TIMESTAMP, &stamps);
    push_attribute(&mut body, TIMESTAMP_EVENT, &6_u64.to_be_bytes());
    let found = parse(&request(NEW, 0, &body)).expect("an entry");
    assert_eq!((found.began_at, found.told_at), (Some(5), Some(6)));
}

#[test]
fn the_number_of_entries_is_read() {
    let mut body = ANY_FAMILY.to_vec();
    push_attribute(&mut body, STATS_ENTRIES, &7_u32.to_be_bytes());
    let answer = request(GET_STATS, 0, &body);
    assert_eq!(messages(&answer).find_map(parse_count), Some(7));
    assert_eq!(messages(&request(NEW, 0, &body)).find_map(parse_count), None);
}

#[test]
fn cut_input_is_refused_or_means_the_same() {
    let whole = entry(false, &published(), None);
    let full = parse(&whole).expect("an entry");
    let body = &whole[16..];
    for length in 0..=body.len() {
        let cut = parse_entry(Message { kind: NEW, payload: &body[..length] });
        if let Some(cut) = cut {
            let Translation { original, onward, .. } = cut.translation;
            assert_eq!((original, onward), (full.translation.original, full.translation.onward));
        }
    }
    assert_eq!(parse_entry(Message { kind: GET, payload: body }), None);
}

#[test]
fn attributes_that_are_too_short_are_refused() {
    for kind in [ID, ZONE] {
        let mut body = entry(false, &published(), None).split_off(16);
        push_attribute(&mut body, kind, &[1]);
        assert_eq!(parse(&request(NEW, 0, &body)), None, "{kind}");
    }
    let three = Way { src: &CLIENT[..3], dst: HOST, proto: 6, ports: (1, 2) };
    let [_, reply] = published();
    assert_eq!(parse(&entry(false, &[three, reply], None)), None);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in [NEW, DELETE] {
            let _ = parse_entry(Message { kind, payload: &bytes });
        }
        let _ = parse_count(Message { kind: GET_STATS, payload: &bytes });
    }

    #[test]
    fn a_changed_byte_is_survived(at in 0_usize..200, to in any::<u8>()) {
        let mut bytes = entry(false, &published(), Some(3));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        let _ = parse(&bytes);
    }
}
