//! Messages of sock_diag(7): what is asked, and what comes back.
//!
//! ```text
//! inet_diag_req_v2 (56)  0 family u8  1 protocol u8  2 extensions u8  3 -  4 states u32  8 sockid
//! inet_diag_msg    (72)  0 family u8  1 state u8  2 timer u8  3 retransmits u8  4 sockid  52 …
//! inet_diag_sockid (48)  0 source port (network)  2 destination port  4 source[16]
//!                       20 destination[16]  36 interface u32  40 cookie u32 low, u32 high
//! ```

use schema::Endpoint;

use crate::netlink::{self, DUMP, Message};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `IPPROTO_UDP`.
const UDP: u8 = 17;
/// `AF_INET`.
const AF_INET: u8 = 2;
/// `AF_INET6`.
const AF_INET6: u8 = 10;
/// Both families, for a dump of all.
pub(super) const FAMILIES: [u8; 2] = [AF_INET, AF_INET6];

/// Multicast groups, as bits, of the broadcasts about UDP sockets that are destroyed:
/// `SKNLGRP_INET_UDP_DESTROY` (2) and `SKNLGRP_INET6_UDP_DESTROY` (4).
pub(super) const UDP_DESTROY_GROUPS: u32 = 1 << (2 - 1) | 1 << (4 - 1);

/// A connected UDP socket, as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiagSocket {
    /// The kernel's id of the socket.
    pub cookie: u64,
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
}

/// Asks for all UDP sockets of a family.
pub(super) fn udp_dump(family: u8) -> Vec<u8> {
    let mut body = [0; 56];
    body[..2].copy_from_slice(&[family, UDP]);
    // Sockets in every state.
    body[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    netlink::request(BY_FAMILY, DUMP, &body)
}

/// Reads the description of a socket; `None` if it has no peer, or no port yet or any more.
pub(super) fn parse_socket(message: Message<'_>) -> Option<DiagSocket> {
    if message.kind != BY_FAMILY {
        return None;
    }
    let ([family, _, _, _], rest) = message.payload.split_first_chunk::<4>()?;
    let (id, _) = rest.split_first_chunk::<48>()?;
    let (source_port, id) = id.split_first_chunk::<2>()?;
    let (destination_port, id) = id.split_first_chunk::<2>()?;
    let (source, id) = id.split_first_chunk::<16>()?;
    let (destination, id) = id.split_first_chunk::<16>()?;
    let (_interface, id) = id.split_first_chunk::<4>()?;
    let (low, high) = id.split_first_chunk::<4>()?;
    let high = high.first_chunk::<4>()?;
    let endpoint = |addr: &[u8; 16], port: &[u8; 2]| {
        let port = u16::from_be_bytes(*port);
        match *family {
            AF_INET => Some(Endpoint::v4(*addr.first_chunk::<4>()?, port)),
            AF_INET6 => Some(Endpoint::v6(*addr, port)),
            _ => None,
        }
    };
    let local = endpoint(source, source_port)?;
    let remote = endpoint(destination, destination_port)?;
    let cookie = u64::from(u32::from_ne_bytes(*low)) | u64::from(u32::from_ne_bytes(*high)) << 32;
    let connected = local.port() != 0 && remote.port() != 0 && !local.is_unspecified();
    connected.then_some(DiagSocket { cookie, local, remote })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(family: u8, local: &[u8], remote: &[u8], ports: (u16, u16)) -> Vec<u8> {
        let mut body = vec![family, 7, 0, 0];
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
        body.resize(72, 0);
        body
    }

    fn parse(payload: &[u8]) -> Option<DiagSocket> {
        parse_socket(Message { kind: BY_FAMILY, payload })
    }

    #[test]
    fn both_families_and_a_mapped_address() {
        let v4 = message(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 53], (4000, 53));
        let socket = parse(&v4).expect("connected");
        assert_eq!(socket.cookie, 0x1_0000_1234);
        assert_eq!(socket.local.to_string(), "10.0.0.1:4000");
        assert_eq!(socket.remote.to_string(), "10.0.0.53:53");
        let mapped = Endpoint::v4([10, 0, 0, 1], 0).mapped();
        let other = Endpoint::v4([10, 0, 0, 53], 0).mapped();
        let v6 = message(AF_INET6, &mapped, &other, (4000, 53));
        assert_eq!(parse(&v6).map(|found| found.local), Some(socket.local));
        let mut loopback = [0; 16];
        loopback[15] = 1;
        let v6 = message(AF_INET6, &loopback, &loopback, (1, 2));
        assert_eq!(parse(&v6).map(|found| found.remote.to_string()).as_deref(), Some("[::1]:2"));
    }

    #[test]
    fn what_is_not_connected_is_passed_over() {
        assert_eq!(parse(&message(AF_INET, &[10, 0, 0, 1], &[0; 4], (53, 0))), None);
        assert_eq!(parse(&message(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 2], (0, 53))), None);
        assert_eq!(parse(&message(1, &[10, 0, 0, 1], &[10, 0, 0, 2], (1, 2))), None);
        let other_kind = message(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 2], (1, 2));
        assert_eq!(parse_socket(Message { kind: 3, payload: &other_kind }), None);
    }

    #[test]
    fn cut_input_is_refused() {
        let whole = message(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 53], (4000, 53));
        for length in 0..52 {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        assert!(parse(&whole[..52]).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }
    }
}
