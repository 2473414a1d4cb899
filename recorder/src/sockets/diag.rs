//! Messages of sock_diag(7): what is asked, and what comes back.
//!
//! ```text
//! inet_diag_req_v2 (56)  0 family u8  1 protocol u8  2 extensions u8  3 -  4 states u32  8 sockid
//! inet_diag_msg    (72)  0 family u8  1 state u8  2 timer u8  3 retransmits u8  4 sockid
//!                       52 expires u32  56 rqueue u32  60 wqueue u32  64 uid u32  68 inode u32
//!                       72 attributes
//! inet_diag_sockid (48)  0 source port (network)  2 destination port  4 source[16]
//!                       20 destination[16]  36 interface u32  40 cookie u32 low, u32 high
//! ```

use schema::{Endpoint, Proto};

use crate::netlink::{self, DUMP, Message, attributes};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `AF_INET`.
pub(super) const AF_INET: u8 = 2;
/// `AF_INET6`.
pub(super) const AF_INET6: u8 = 10;
/// Both families, for a dump of all.
pub(super) const FAMILIES: [u8; 2] = [AF_INET, AF_INET6];

/// Multicast groups, as bits, of the broadcasts about UDP sockets that are destroyed:
/// `SKNLGRP_INET_UDP_DESTROY` (2) and `SKNLGRP_INET6_UDP_DESTROY` (4).
pub(super) const UDP_DESTROY_GROUPS: u32 = 1 << (2 - 1) | 1 << (4 - 1);

/// `INET_DIAG_SKV6ONLY`: sent unasked for listeners and unconnected sockets of IPv6.
const V6_ONLY: u16 = 11;

/// `TCP_LISTEN`.
const LISTEN: u8 = 10;
/// TCP states of sockets that a process may hold, as bits: all but the embryonic `TCP_SYN_RECV` and
/// `TCP_NEW_SYN_RECV`, and `TCP_TIME_WAIT` and `TCP_CLOSE`, which are of no process any more.
const HELD_TCP_STATES: u32 =
    1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11;

/// A socket, as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiagSocket {
    /// The kernel's id of the socket.
    pub cookie: u64,
    /// This end. Port 0: neither bound nor used yet.
    pub local: Endpoint,
    /// The other end, if there is one.
    pub remote: Option<Endpoint>,
    /// Whether it listens for TCP connections.
    pub listens: bool,
    /// Inode of the socket, as in `/proc/PID/fd`; 0 if no process holds it.
    pub inode: u32,
    /// Whether it takes IPv6 only, where the kernel says so.
    pub v6only: Option<bool>,
}

impl DiagSocket {
    /// Both ends, if it is connected and still has a port.
    #[must_use]
    pub fn ends(&self) -> Option<(Endpoint, Endpoint)> {
        let whole = self.local.port() != 0 && !self.local.is_unspecified();
        self.remote.filter(|_| whole).map(|remote| (self.local, remote))
    }
}

/// Asks for all sockets of a family and protocol that processes may hold.
pub(super) fn dump_request(family: u8, proto: Proto) -> Vec<u8> {
    let mut body = [0; 56];
    body[..2].copy_from_slice(&[family, proto.0]);
    let states = if proto == Proto::TCP { HELD_TCP_STATES } else { u32::MAX };
    body[4..8].copy_from_slice(&states.to_ne_bytes());
    netlink::request(BY_FAMILY, DUMP, &body)
}

/// Reads the description of a socket.
pub(super) fn parse_socket(message: Message<'_>) -> Option<DiagSocket> {
    if message.kind != BY_FAMILY {
        return None;
    }
    let ([family, state, _, _], rest) = message.payload.split_first_chunk::<4>()?;
    let (id, rest) = rest.split_first_chunk::<48>()?;
    let (source_port, id) = id.split_first_chunk::<2>()?;
    let (destination_port, id) = id.split_first_chunk::<2>()?;
    let (source, id) = id.split_first_chunk::<16>()?;
    let (destination, id) = id.split_first_chunk::<16>()?;
    let (_interface, id) = id.split_first_chunk::<4>()?;
    let (low, high) = id.split_first_chunk::<4>()?;
    let high = high.first_chunk::<4>()?;
    // Expiry, both queues and the user come before the inode.
    let (_, rest) = rest.split_first_chunk::<16>()?;
    let (inode, rest) = rest.split_first_chunk::<4>()?;
    let endpoint = |addr: &[u8; 16], port: &[u8; 2]| {
        let port = u16::from_be_bytes(*port);
        match *family {
            AF_INET => Some(Endpoint::v4(*addr.first_chunk::<4>()?, port)),
            AF_INET6 => Some(Endpoint::v6(*addr, port)),
            _ => None,
        }
    };
    let v6only = attributes(rest).find(|&(kind, _)| kind == V6_ONLY);
    Some(DiagSocket {
        cookie: u64::from(u32::from_ne_bytes(*low)) | u64::from(u32::from_ne_bytes(*high)) << 32,
        local: endpoint(source, source_port)?,
        remote: endpoint(destination, destination_port).filter(|remote| remote.port() != 0),
        listens: *state == LISTEN,
        inode: u32::from_ne_bytes(*inode),
        v6only: v6only.and_then(|(_, payload)| payload.first()).map(|&only| only != 0),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(family: u8, local: &[u8], remote: &[u8], ports: (u16, u16)) -> Vec<u8> {
        let mut body = vec![family, 1, 0, 0];
        body.extend(ports.0.to_be_bytes());
        body.extend(ports.1.to_be_bytes());
        for addr in [local, remote] {
            let mut padded = addr.to_vec();
            padded.resize(16, 0);
            body.extend(padded);
        }
        body.extend(0_u32.to_ne_bytes());
        body.extend(0x1234_u32.to_ne_bytes());
        body.extend(1_u32.to_ne_bytes());
        body.resize(68, 0);
        body.extend(77_u32.to_ne_bytes());
        body
    }

    fn parse(payload: &[u8]) -> Option<DiagSocket> {
        parse_socket(Message { kind: BY_FAMILY, payload })
    }

    #[test]
    fn both_families_and_a_mapped_address() {
        let v4 = message(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 53], (4000, 53));
        let socket = parse(&v4).expect("a socket");
        assert_eq!((socket.cookie, socket.inode), (0x1_0000_1234, 77));
        assert_eq!(socket.local.to_string(), "10.0.0.1:4000");
        assert_eq!(socket.remote.expect("connected").to_string(), "10.0.0.53:53");
        let mapped = Endpoint::v4([10, 0, 0, 1], 0).mapped();
        let other = Endpoint::v4([10, 0, 0, 53], 0).mapped();
        let v6 = message(AF_INET6, &mapped, &other, (4000, 53));
        assert_eq!(parse(&v6).map(|found| found.local), Some(socket.local));
        let mut loopback = [0; 16];
        loopback[15] = 1;
        let v6 = message(AF_INET6, &loopback, &loopback, (1, 2));
        let (_, remote) = parse(&v6).and_then(|found| found.ends()).expect("connected");
        assert_eq!(remote.to_string(), "[::1]:2");
    }

    #[test]
    fn what_is_not_connected_has_no_ends() {
        let ends = |message: &[u8]| parse(message).expect("a socket").ends();
        assert_eq!(ends(&message(AF_INET, &[10, 0, 0, 1], &[0; 4], (53, 0))), None);
        assert_eq!(ends(&message(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 2], (0, 53))), None);
        assert_eq!(parse(&message(1, &[10, 0, 0, 1], &[10, 0, 0, 2], (1, 2))), None);
        let other_kind = message(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 2], (1, 2));
        assert_eq!(parse_socket(Message { kind: 3, payload: &other_kind }), None);
    }

    #[test]
    fn a_listener_says_whether_it_takes_ipv6_only() {
        let mut listener = message(AF_INET6, &[0; 16], &[0; 16], (443, 0));
        listener[1] = LISTEN;
        let plain = parse(&listener).expect("a socket");
        assert!(plain.listens && plain.local.to_string() == "[::]:443");
        assert_eq!((plain.remote, plain.v6only), (None, None));
        for (value, want) in [(0, false), (1, true)] {
            let mut listener = listener.clone();
            netlink::push_attribute(&mut listener, 8, &[9]);
            netlink::push_attribute(&mut listener, V6_ONLY, &[value]);
            assert_eq!(parse(&listener).and_then(|found| found.v6only), Some(want));
        }
    }

    #[test]
    fn cut_input_is_refused() {
        let whole = message(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 53], (4000, 53));
        for length in 0..72 {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        assert!(parse(&whole).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }
    }
}
