//! ICMP (RFC 792) and ICMPv6 (RFC 4443) errors: they carry the beginning of the packet they are about.
//!
//! ```text
//! 0 type   1 code   2 checksum   4 depends on the type   8 the packet, from its IP header on
//! ```

use schema::{Endpoint, Proto};

use super::ip::{self, Datagram};
use super::{Origin, Packet, Tcp, Undecoded, transport};

/// Destination unreachable, source quench, redirect, time exceeded, parameter problem.
const V4_ERRORS: [u8; 5] = [3, 4, 5, 11, 12];
/// Destination unreachable, packet too big, time exceeded, parameter problem.
const V6_ERRORS: [u8; 4] = [1, 2, 3, 4];

/// The packet that an error is about. Whatever else comes by ICMP has no ports.
pub(super) fn parse(datagram: &Datagram<'_>) -> Result<Packet, Undecoded> {
    let (&[kind, ..], inner) =
        datagram.payload.split_first_chunk::<8>().ok_or(Undecoded::Truncated)?;
    let is_error = match datagram.proto {
        Proto::ICMP => V4_ERRORS.contains(&kind),
        _ => V6_ERRORS.contains(&kind),
    };
    if !is_error {
        return Err(Undecoded::NoTransport);
    }
    let inner = ip::parse(inner).map_err(of_inner)?;
    let ports = transport::parse(inner.proto, inner.payload).map_err(of_inner)?;
    let is_tcp = inner.proto == Proto::TCP;
    // Mostly eight bytes are all there is: ports and number, no flags.
    let tcp = is_tcp.then(|| ports.tcp.unwrap_or(Tcp { flags: 0, seq: 0, ack: 0 }));
    let tcp = tcp.map(|tcp| Tcp { flags: tcp.flags & !Tcp::SYN, ..tcp });
    Ok(Packet {
        tuple: inner.tuple(ports.src, ports.dst),
        tcp,
        origin: Origin::Error { reporter: Endpoint::v6(datagram.src, 0) },
        first_of: None,
        around: 0,
    })
}

/// What can't be understood of it is no fault of the packet that carries it.
fn of_inner(undecoded: Undecoded) -> Undecoded {
    match undecoded {
        Undecoded::Truncated => Undecoded::Truncated,
        _ => Undecoded::NoTransport,
    }
}
