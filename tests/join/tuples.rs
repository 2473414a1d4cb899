//! The tuples that we see in a packet are those that tshark sees, layer by layer, in all captures
//! that others made.

use std::fs;

use joiner::chunk::{Item, Scanner};
use joiner::decode::{LinkType, Undecoded, decode, decode_within};
use joiner::input::Pool;

use crate::corpus::{captures, is_misread_by_tshark};
use crate::tools::{corpus, tshark};

/// One layer's tuple: protocol, addresses, ports.
type Tuple = (String, String, String, String, String);

/// What is asked of tshark, in this order.
const FIELDS: [&str; 11] = [
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "sctp.srcport",
    "sctp.dstport",
];

/// The tuples of a packet by tshark, outermost first. It prints a field's values in the order of
/// their layers.
fn theirs(row: &[String]) -> Vec<Tuple> {
    let mut used = [0; FIELDS.len()];
    let mut next = |field: usize| {
        let value = row[field].split(';').nth(used[field]).unwrap_or_default().to_owned();
        used[field] += 1;
        value
    };
    let mut addresses = (String::new(), String::new());
    let mut tuples = vec![];
    for layer in row[0].split(':') {
        let ports = match layer {
            "ip" => {
                addresses = (next(1), next(2));
                continue;
            }
            "ipv6" => {
                addresses = (next(3), next(4));
                continue;
            }
            "tcp" => (next(5), next(6)),
            "udp" | "udplite" => (next(7), next(8)),
            "sctp" => (next(9), next(10)),
            _ => continue,
        };
        // Where the ports were cut off, tshark names the layer all the same.
        if !ports.0.is_empty() {
            let (src, dst) = addresses.clone();
            tuples.push((layer.to_owned(), src, dst, ports.0, ports.1));
        }
    }
    tuples
}

/// The tuples of a packet by us, outermost first.
fn ours(link: LinkType, data: &[u8]) -> Result<Vec<Tuple>, Undecoded> {
    let innermost = decode(link, data)?;
    let outer = (0..innermost.around).map(|around| decode_within(link, data, around));
    let all = outer.chain([Ok(innermost)]);
    all.map(|packet| {
        let tuple = packet?.tuple;
        let proto = match tuple.proto.0 {
            6 => "tcp",
            17 => "udp",
            132 => "sctp",
            136 => "udplite",
            other => panic!("protocol {other}"),
        };
        let [src, dst] =
            [tuple.src, tuple.dst].map(|end| (end.ip().to_string(), end.port().to_string()));
        Ok((proto.to_owned(), src.0, dst.0, src.1, dst.1))
    })
    .collect()
}

/// Whether the two may differ on a packet; whatever else differs is a mistake of ours. tshark
/// decompresses what is in IPComp (RFC 3173), which no recording and hardly a network has.
fn is_exempt(protocols: &str) -> bool {
    protocols.contains(":ipcomp:")
}

#[test]
fn tuples_of_every_layer_are_those_of_tshark() {
    let (mut compared, mut nested) = (0, 0);
    let mut wrong = vec![];
    for capture in captures() {
        let file = fs::File::open(&capture).expect("capture");
        let Ok(mut scanner) = Scanner::new(file, Pool::default()) else { continue };
        if is_misread_by_tshark(&capture) {
            continue;
        }
        let Some(rows) = tshark(&capture, &FIELDS) else { return };
        let mut rows = rows.into_iter();
        while let Some(chunk) = scanner.next_chunk().expect("read") {
            for item in chunk.items() {
                let (link, data) = match item {
                    Item::Block(packet, interface) => (interface.link, packet.data()),
                    Item::Record(record, link) => (link, record.data),
                    Item::Simple(_) | Item::Malformed(_) => {
                        rows.next();
                        continue;
                    }
                    Item::Other(_) => continue,
                };
                let Some(row) = rows.next() else { break };
                let (ours, theirs) = (ours(link, data), theirs(&row));
                let tuples = ours.clone().unwrap_or_default();
                compared += tuples.len();
                nested += tuples.len().saturating_sub(1);
                if tuples != theirs && !is_exempt(&row[0]) {
                    let name = capture.file_name().unwrap_or_default();
                    wrong.push(format!("{name:?}, {}: {ours:?}, tshark: {theirs:?}", row[0]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} packets:\n{}", wrong.len(), wrong.join("\n"));
    if corpus().is_some() {
        assert!(compared > 1500, "only {compared} tuples were compared");
        assert!(nested > 8, "only {nested} packets with ports are in others");
    }
}
