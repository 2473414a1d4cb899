//! The five-tuples of a packet, layer by layer: as tshark prints them, and as the joiner decodes them.

use joiner::chunk::{Item, Piece};
use joiner::decode::{LinkType, Undecoded, decode, decode_within};
use joiner::scan::Scanner;

/// One layer's tuple: protocol, addresses, ports.
pub(crate) type Tuple = (String, String, String, String, String);

/// What is asked of tshark, in this order.
pub(crate) const FIELDS: [&str; 11] = [
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

/// Where the two may differ, by what tshark calls the layers, and why. Whatever else differs is a
/// mistake of ours.
pub(crate) const EXCEPTIONS: [(&str, &str); 1] = [
    // RFC 3173: hardly a network has it, and no recording could name what is in it.
    (":ipcomp:", "tshark decompresses what is in IPComp"),
];

/// The tuples of a packet by tshark, outermost first. It prints a field's values in the order of
/// their layers.
pub(crate) fn theirs(row: &[String]) -> Vec<Tuple> {
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
pub(crate) fn ours(link: LinkType, data: &[u8]) -> Result<Vec<Tuple>, Undecoded> {
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

/// Where tshark's rows about the packets of `capture` differ from what we decode; how many tuples
/// were compared, and how many of these are in others.
pub(crate) fn compare(capture: &[u8], rows: &[Vec<String>]) -> (Vec<String>, usize, usize) {
    let (mut wrong, mut compared, mut nested) = (vec![], 0, 0);
    let mut scanner = Scanner::new(capture).expect("a capture");
    let mut piece = Piece::default();
    let mut rows = rows.iter();
    while scanner.next_piece(&mut piece).expect("read") {
        for item in piece.chunks().flat_map(|chunk| chunk.items()) {
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
            let (ours, theirs) = (ours(link, data), theirs(row));
            let tuples = ours.clone().unwrap_or_default();
            compared += tuples.len();
            nested += tuples.len().saturating_sub(1);
            if tuples != theirs && !EXCEPTIONS.iter().any(|(layer, _)| row[0].contains(layer)) {
                wrong.push(format!("{}: {ours:?}, tshark: {theirs:?}", row[0]));
            }
        }
    }
    (wrong, compared, nested)
}
