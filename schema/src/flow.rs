//! Endpoints, five-tuples and the canonical key of a flow. IPv4 addresses are held as IPv4-mapped
//! IPv6, so that a packet's `10.0.0.1` and a dual-stack socket's `::ffff:10.0.0.1` are one value.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const MAPPED_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// A transport protocol, by its IP protocol number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proto(pub u8);

impl Proto {
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);

    /// The name the event file uses, where it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ICMP => "icmp",
            Self::TCP => "tcp",
            Self::UDP => "udp",
            Self::ICMPV6 => "icmp6",
            Self::SCTP => "sctp",
            _ => return None,
        })
    }

    /// The protocol the event file calls `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ICMP, Self::TCP, Self::UDP, Self::ICMPV6, Self::SCTP]
            .into_iter()
            .find(|proto| proto.name() == Some(name))
    }
}

impl fmt::Debug for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "proto{}", self.0),
        }
    }
}

/// An address and a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Network byte order; IPv4 as IPv4-mapped.
    addr: [u8; 16],
    port: u16,
}

impl Endpoint {
    /// An IPv4 endpoint; `addr` in network byte order.
    #[must_use]
    pub const fn v4(addr: [u8; 4], port: u16) -> Self {
        let [a, b, c, d] = addr;
        let addr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
        Self { addr, port }
    }

    /// An IPv6 (or IPv4-mapped) endpoint; `addr` in network byte order.
    #[must_use]
    pub const fn v6(addr: [u8; 16], port: u16) -> Self {
        Self { addr, port }
    }

    /// An endpoint of either family.
    #[must_use]
    pub fn new(addr: IpAddr, port: u16) -> Self {
        match addr {
            IpAddr::V4(addr) => Self::v4(addr.octets(), port),
            IpAddr::V6(addr) => Self::v6(addr.octets(), port),
        }
    }

    /// The address; IPv4-mapped ones come out as IPv4.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.addr).to_canonical()
    }

    /// The 16 bytes of the address in network byte order, IPv4 as IPv4-mapped.
    #[must_use]
    pub const fn mapped(self) -> [u8; 16] {
        self.addr
    }

    /// The port in host byte order.
    #[must_use]
    pub const fn port(self) -> u16 {
        self.port
    }

    /// Whether the address is an IPv4 one.
    #[must_use]
    pub fn is_v4(self) -> bool {
        self.addr[..12] == MAPPED_PREFIX
    }

    /// Whether the address is a wildcard: `0.0.0.0` or `::`.
    #[must_use]
    pub fn is_unspecified(self) -> bool {
        self.ip().is_unspecified()
    }

    /// Whether the address never leaves its network namespace: `127.0.0.0/8` or `::1`.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        self.ip().is_loopback()
    }

    /// The address bytes as they stand in a packet: 4 or 16 of them.
    pub(crate) fn octets(&self) -> &[u8] {
        if self.is_v4() { &self.addr[12..] } else { &self.addr }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip(), addr.port())
    }
}

impl From<(Ipv4Addr, u16)> for Endpoint {
    fn from((addr, port): (Ipv4Addr, u16)) -> Self {
        Self::v4(addr.octets(), port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip(), self.port).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A transport tuple with its direction: who sends to whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTuple {
    /// The transport protocol.
    pub proto: Proto,
    /// The sending end (or the local one, where there is no packet).
    pub src: Endpoint,
    /// The receiving end (or the remote one).
    pub dst: Endpoint,
}

impl FiveTuple {
    /// A tuple from its parts.
    #[must_use]
    pub const fn new(proto: Proto, src: Endpoint, dst: Endpoint) -> Self {
        Self { proto, src, dst }
    }

    /// The same tuple seen from the other end.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { proto: self.proto, src: self.dst, dst: self.src }
    }

    /// The flow this tuple belongs to, and which way of it this is.
    #[must_use]
    pub fn canonical(self) -> (FlowKey, Way) {
        let Self { proto, src, dst } = self;
        // As the derived order has it; asked for every packet, and faster than byte by byte.
        let order = |end: Endpoint| (u128::from_be_bytes(end.addr), end.port);
        if order(src) <= order(dst) {
            (FlowKey { proto, low: src, high: dst }, Way::Up)
        } else {
            (FlowKey { proto, low: dst, high: src }, Way::Down)
        }
    }
}

impl fmt::Display for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} > {}", self.proto, self.src, self.dst)
    }
}

impl fmt::Debug for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which way of a flow: named by the order of its endpoints, which no packet can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the lower endpoint to the higher one.
    Up,
    /// From the higher endpoint to the lower one.
    Down,
}

/// A five-tuple without direction: both ways of a conversation have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The transport protocol.
    pub proto: Proto,
    /// The endpoint that sorts first, by address bytes and then port.
    pub low: Endpoint,
    /// The endpoint that sorts last.
    pub high: Endpoint,
}

impl FlowKey {
    /// The tuple of packets that go `way`.
    #[must_use]
    pub const fn tuple(self, way: Way) -> FiveTuple {
        let Self { proto, low, high } = self;
        match way {
            Way::Up => FiveTuple { proto, src: low, dst: high },
            Way::Down => FiveTuple { proto, src: high, dst: low },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint() -> impl Strategy<Value = Endpoint> {
        prop_oneof![
            (any::<[u8; 4]>(), any::<u16>()).prop_map(|(addr, port)| Endpoint::v4(addr, port)),
            (any::<[u8; 16]>(), any::<u16>()).prop_map(|(addr, port)| Endpoint::v6(addr, port)),
        ]
    }

    proptest! {
        #[test]
        fn both_ways_have_one_key(src in endpoint(), dst in endpoint(), proto in any::<u8>()) {
            let tuple = FiveTuple::new(Proto(proto), src, dst);
            let (key, way) = tuple.canonical();
            let (reverse_key, reverse_way) = tuple.reversed().canonical();
            prop_assert_eq!(key, reverse_key);
            prop_assert_eq!(way == reverse_way, src == dst);
            prop_assert_eq!(key.tuple(way), tuple);
        }

        #[test]
        fn an_endpoint_survives_its_text(end in endpoint()) {
            let parsed: SocketAddr = end.to_string().parse().expect("text of an endpoint");
            prop_assert_eq!(Endpoint::from(parsed), end);
        }
    }

    #[test]
    fn mapped_and_plain_ipv4_are_one_endpoint() {
        let plain = Endpoint::new("10.0.0.7".parse().expect("v4"), 80);
        let mapped = Endpoint::new("::ffff:10.0.0.7".parse().expect("v6"), 80);
        assert_eq!(plain, mapped);
        assert!(plain.is_v4());
        assert_eq!(mapped.to_string(), "10.0.0.7:80");
    }

    #[test]
    fn both_wildcards_are_unspecified() {
        assert!(Endpoint::v4([0; 4], 1).is_unspecified());
        assert!(Endpoint::v6([0; 16], 1).is_unspecified());
        assert!(!Endpoint::v4([127, 0, 0, 1], 1).is_unspecified());
        assert!(Endpoint::v4([127, 9, 0, 1], 1).is_loopback());
    }

    #[test]
    fn protocol_names_read_back() {
        for number in 0..=u8::MAX {
            if let Some(name) = Proto(number).name() {
                assert_eq!(Proto::from_name(name), Some(Proto(number)));
            }
        }
        assert_eq!(Proto(200).to_string(), "proto200");
    }
}
