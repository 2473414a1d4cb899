//! The short way to the tuple of a plain packet: TCP without SYN or RST, or UDP, straight in IP, straight on
//! a common link. That is nearly every packet of nearly every capture, and of these the tuple is all
//! that has to be known. What is any different is left to [`decode`](super::decode), which says of
//! these the same.

use super::tunnel;
use super::{LinkType, Tcp};
use schema::{Endpoint, FiveTuple, Proto};

/// The tuple of a plain packet, from who sent it to who received it, as five words: addresses as
/// IPv4-mapped IPv6, then ports and protocol. Two are equal if and only if the tuples are.
#[derive(Clone, Copy, Debug, Eq, Default)]
pub struct PlainTuple([u64; 5]);

/// The upper half of an IPv4-mapped address's lower half.
const MAPPED: u64 = 0xffff << 32;

const TCP: u8 = Proto::TCP.0;
const UDP: u8 = Proto::UDP.0;

impl PlainTuple {
    #[inline]
    fn new(src: [u64; 2], dst: [u64; 2], ports: u32, proto: u8) -> Self {
        Self([src[0], src[1], dst[0], dst[1], u64::from(ports) << 8 | u64::from(proto)])
    }

    /// The tuple of packets the other way.
    #[inline]
    #[must_use]
    pub fn reversed(&self) -> Self {
        let [s0, s1, d0, d1, rest] = self.0;
        let (src, dst, proto) = (rest >> 24, rest >> 8 & 0xffff, rest & 0xff);
        Self([d0, d1, s0, s1, dst << 24 | src << 8 | proto])
    }

    /// The same in the usual form.
    #[must_use]
    pub fn tuple(&self) -> FiveTuple {
        let [s0, s1, d0, d1, rest] = self.0;
        let address =
            |high: u64, low: u64| (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        let [.., s_high, s_low, d_high, d_low, proto] = rest.to_be_bytes();
        let src = Endpoint::v6(address(s0, s1), u16::from_be_bytes([s_high, s_low]));
        let dst = Endpoint::v6(address(d0, d1), u16::from_be_bytes([d_high, d_low]));
        FiveTuple::new(Proto(proto), src, dst)
    }

    /// A number that different tuples rarely share, but for its lowest bit the same both ways: what is
    /// known of either is looked for side by side. The same in every run.
    #[inline]
    #[must_use]
    pub fn hash(&self) -> u64 {
        let [s0, s1, d0, d1, rest] = self.0;
        let end = |high: u64, low: u64, port: u64| {
            fold(low ^ 0x9e37_79b9_7f4a_7c15, high ^ port.rotate_left(41) ^ 0xd1b5_4a32_d192_ed03)
        };
        let src = end(s0, s1, rest >> 24);
        let dst = end(d0, d1, rest >> 8 & 0xffff);
        let both = fold(src.wrapping_add(dst) ^ 0xbf58_476d_1ce4_e5b9, (src ^ dst) ^ (rest & 0xff));
        both & !1 | u64::from(src < dst)
    }
}

impl PartialEq for PlainTuple {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // All words at once: the usual way is a call.
        let pairs = self.0.iter().zip(&other.0);
        pairs.fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

/// Both halves of the product, one on the other.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "its halves")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// The tuple of the packet `bytes`, captured on a link of type `link`, if it is plain.
#[cfg(test)]
pub(crate) fn plain(link: LinkType, bytes: &[u8]) -> Option<PlainTuple> {
    glance(link, bytes).filter(Glance::is_plain).map(|glance| glance.tuple)
}

/// What is seen of a packet at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Its tuple.
    pub tuple: PlainTuple,
    /// The control bits of TCP; none of UDP.
    pub flags: u8,
}

impl Glance {
    /// Whether it is plain: no handshake, and no reset.
    #[inline]
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.flags & (Tcp::SYN | Tcp::RST) == 0
    }

    /// Whether it tells of the beginning of a connection, or of its end.
    #[inline]
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.flags & (Tcp::SYN | Tcp::RST | Tcp::FIN) != 0
    }
}

/// The tuple of a packet that is plain but for its control bits, and these.
#[inline]
#[must_use]
pub fn glance(link: LinkType, bytes: &[u8]) -> Option<Glance> {
    let (ethertype, packet) = match link {
        LinkType::ETHERNET => {
            let (header, rest) = bytes.split_first_chunk::<14>()?;
            ([header[12], header[13]], rest)
        }
        LinkType::LINUX_SLL => {
            let (header, rest) = bytes.split_first_chunk::<16>()?;
            ([header[14], header[15]], rest)
        }
        LinkType::LINUX_SLL2 => {
            let (header, rest) = bytes.split_first_chunk::<20>()?;
            ([header[0], header[1]], rest)
        }
        LinkType::RAW => match bytes.first()? >> 4 {
            4 => ([0x08, 0x00], bytes),
            _ => ([0x86, 0xdd], bytes),
        },
        _ => return None,
    };
    match ethertype {
        [0x08, 0x00] => plain_v4(packet),
        [0x86, 0xdd] => plain_v6(packet),
        _ => None,
    }
}

#[inline]
fn plain_v4(bytes: &[u8]) -> Option<Glance> {
    let (header, rest) = bytes.split_first_chunk::<20>()?;
    let [version, _, l0, l1, _, _, f0, f1, _, proto, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
        *header;
    // Neither options nor fragments.
    if version != 0x45 || (f0 & 0x3f) | f1 != 0 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([l0, l1])).checked_sub(20)?;
    let (ports, flags) = plain_ports(proto, length, rest)?;
    let src = u64::from(u32::from_be_bytes([s0, s1, s2, s3])) | MAPPED;
    let dst = u64::from(u32::from_be_bytes([d0, d1, d2, d3])) | MAPPED;
    Some(Glance { tuple: PlainTuple::new([0, src], [0, dst], ports, proto), flags })
}

#[inline]
fn plain_v6(bytes: &[u8]) -> Option<Glance> {
    let (header, rest) = bytes.split_first_chunk::<40>()?;
    let [version, _, _, _, l0, l1, proto, ..] = *header;
    if version >> 4 != 6 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let (ports, flags) = plain_ports(proto, length, rest)?;
    let word = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let (src, dst) = ([word(8), word(16)], [word(24), word(32)]);
    Some(Glance { tuple: PlainTuple::new(src, dst, ports, proto), flags })
}

/// Both ports of a segment or datagram of `length` bytes that begins with `bytes`, and its
/// control bits.
#[inline]
fn plain_ports(proto: u8, length: usize, bytes: &[u8]) -> Option<(u32, u8)> {
    match proto {
        // As far as the flags.
        TCP if length >= 14 => {
            let header = bytes.first_chunk::<14>()?;
            let ports = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
            Some((ports, header[13]))
        }
        UDP if length >= 4 => {
            let ports = u32::from_be_bytes(*bytes.first_chunk()?);
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is the receiver's")]
            let receiver = ports as u16;
            (!tunnel::has_port(receiver)).then_some((ports, 0))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Origin, Packet, decode};

    /// Whether decisions about packets like this one may hold for others: no handshake and no reset, whose
    /// numbers tell whose they are, no fragment, no error, nothing in a tunnel.
    fn is_plain(packet: &Packet) -> bool {
        let says_little = match packet.tuple.proto {
            Proto::TCP => packet.tcp.is_some_and(|tcp| tcp.flags & (Tcp::SYN | Tcp::RST) == 0),
            proto => proto == Proto::UDP,
        };
        says_little
            && packet.origin == Origin::Own
            && packet.around == 0
            && packet.first_of.is_none()
    }

    /// A packet that is plain but for what `change` makes of it.
    fn frame(
        link: LinkType,
        is_v6: bool,
        proto: u8,
        change: &[(usize, u8)],
        cut: usize,
    ) -> Vec<u8> {
        let mut frame = match link {
            LinkType::ETHERNET => vec![1; 12],
            LinkType::LINUX_SLL => vec![0; 14],
            _ => vec![],
        };
        let ethertype = if is_v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
        match link {
            LinkType::RAW => {}
            LinkType::LINUX_SLL2 => {
                frame.extend(ethertype);
                frame.extend([0; 18]);
            }
            _ => frame.extend(ethertype),
        }
        if is_v6 {
            frame.extend([0x60, 0, 0, 0, 0, 24, proto, 64]);
            frame.extend((0..32).map(|byte| byte * 7 + 1));
        } else {
            frame.extend([0x45, 0, 0, 44, 0, 9, 0x40, 0, 64, proto, 0, 0]);
            frame.extend([10, 0, 0, 1, 93, 184, 216, 34]);
        }
        frame
            .extend([0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
        frame.extend([7; 4]);
        for &(at, value) in change {
            let length = frame.len();
            frame[at % length] = value;
        }
        frame.truncate(frame.len().saturating_sub(cut));
        frame
    }

    const LINKS: [LinkType; 4] =
        [LinkType::ETHERNET, LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::RAW];

    #[test]
    fn a_plain_packet_of_every_kind_goes_the_short_way() {
        for link in LINKS {
            for (is_v6, proto) in [(false, TCP), (false, UDP), (true, TCP), (true, UDP)] {
                let frame = frame(link, is_v6, proto, &[], 0);
                let long = decode(link, &frame).expect("decoded");
                let short = plain(link, &frame).map(|tuple| tuple.tuple());
                assert_eq!(short, Some(long.tuple), "{link:?} {is_v6} {proto}");
                let back = plain(link, &frame).map(|tuple| tuple.reversed().tuple());
                assert_eq!(back, Some(long.tuple.reversed()));
            }
        }
    }

    #[test]
    fn handshakes_and_tunnels_go_the_long_way() {
        let is_plain = |proto, change: &[(usize, u8)]| {
            plain(LinkType::RAW, &frame(LinkType::RAW, false, proto, change, 0)).is_some()
        };
        assert!(!is_plain(TCP, &[(33, Tcp::SYN)]) && !is_plain(TCP, &[(33, Tcp::SYN | Tcp::ACK)]));
        assert!(!is_plain(TCP, &[(33, Tcp::RST | Tcp::ACK)]));
        let [high, low] = 4789_u16.to_be_bytes();
        assert!(!is_plain(UDP, &[(22, high), (23, low)]));
        assert!(is_plain(TCP, &[(22, high), (23, low)]));
    }

    proptest! {
        #[test]
        fn the_short_way_leads_where_the_long_one_does(
            link in prop::sample::select(LINKS.to_vec()),
            is_v6 in any::<bool>(),
            proto in prop_oneof![Just(TCP), Just(UDP), any::<u8>()],
            change in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
            cut in prop_oneof![Just(0_usize), 0..70_usize],
        ) {
            let frame = frame(link, is_v6, proto, &change, cut);
            if let Some(short) = plain(link, &frame) {
                let long = decode(link, &frame).expect("the long way leads somewhere");
                prop_assert!(is_plain(&long), "{:?}", long);
                prop_assert_eq!(short.tuple(), long.tuple);
                prop_assert_eq!(long.first_of, None);
            }
            if let Some(glance) = glance(link, &frame) {
                let long = decode(link, &frame).expect("the long way leads somewhere");
                prop_assert_eq!(glance.tuple.tuple(), long.tuple);
                prop_assert_eq!(glance.is_plain(), is_plain(&long));
            }
        }

        #[test]
        fn any_bytes_may_be_looked_at(link in 0..300_u16, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(short) = plain(LinkType(link), &bytes) {
                prop_assert_eq!(decode(LinkType(link), &bytes).map(|packet| packet.tuple), Ok(short.tuple()));
            }
        }
    }
}
