//! The packet decoder: any bytes on any link are decoded or refused, and a packet that the snap
//! length cut says nothing else than the whole one does.

use joiner::decode::{LinkType, Packet, Undecoded, decode, decode_within, interface_index};

/// Longest packet whose every beginning is decoded, bytes.
const CUT: usize = 200;

/// The first two bytes are the link type.
pub fn check(input: &[u8]) {
    let [l0, l1, bytes @ ..] = input else { return };
    let link = LinkType(u16::from_le_bytes([*l0, *l1]));
    let _ = interface_index(link, bytes);
    let whole = decode(link, bytes);
    let Ok(innermost) = whole else {
        let is_right = |cut: Result<Packet, Undecoded>| {
            whole != Err(Undecoded::NotIp)
                || matches!(cut, Err(Undecoded::NotIp | Undecoded::Truncated))
        };
        cut(link, bytes, is_right);
        return;
    };
    let layers: Vec<_> = (0..=innermost.around).map(|n| decode_within(link, bytes, n)).collect();
    for (around, layer) in (0..).zip(&layers) {
        assert_eq!(layer.map(|layer| layer.around), Ok(around), "{layers:?}");
    }
    assert_eq!(layers.last(), Some(&whole));
    cut(link, bytes, |cut| match cut {
        Ok(cut) => layers.iter().flatten().any(|layer| layer.tuple == cut.tuple),
        Err(undecoded) => undecoded == Undecoded::Truncated,
    });
}

/// `is_right` of whatever the snap length could have left of a packet.
fn cut(link: LinkType, bytes: &[u8], is_right: impl Fn(Result<Packet, Undecoded>) -> bool) {
    for length in 0..bytes.len().min(CUT) {
        let cut = decode(link, &bytes[..length]);
        assert!(is_right(cut), "cut at {length}: {cut:?}");
    }
}
