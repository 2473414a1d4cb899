//! Packets within packets: IP in IP (RFC 2003, 2473, 4213), MPLS in IP (RFC 4023), GRE, and over
//! UDP, by its registered ports, VXLAN, Geneve and GTP-U. Each hands on the IP packet inside.

use schema::Proto;

use super::Undecoded;
use super::ip::Datagram;
use super::link::ethernet;

mod geneve;
mod gre;
mod gtp;
mod vxlan;

const IPV4: Proto = Proto(4);
const IPV6: Proto = Proto(41);
const GRE: Proto = Proto(47);
const MPLS: Proto = Proto(137);

/// VXLAN's port, and the one Linux used before there was one.
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
const GENEVE_PORT: u16 = 6081;
const GTP_PORT: u16 = 2152;

/// Length of a UDP header.
const UDP_HEADER: usize = 8;

/// The packet in a datagram of a protocol that has no ports of its own; `None` if it is none of
/// those that carry packets.
pub(super) fn in_ip<'a>(datagram: &Datagram<'a>) -> Option<Result<&'a [u8], Undecoded>> {
    match datagram.proto {
        IPV4 | IPV6 => Some(Ok(datagram.payload)),
        GRE => Some(gre::payload(datagram.payload)),
        MPLS => Some(ethernet::mpls(datagram.payload)),
        _ => None,
    }
}

/// The packet in a UDP datagram to `port`; `None` if the port is none of a tunnel's, or what comes
/// there is something else.
#[inline]
pub(super) fn in_udp<'a>(port: u16, datagram: &Datagram<'a>) -> Option<&'a [u8]> {
    let payload: fn(&[u8]) -> Result<&[u8], Undecoded> = match port {
        port if VXLAN_PORTS.contains(&port) => vxlan::payload,
        GENEVE_PORT => geneve::payload,
        GTP_PORT => gtp::payload,
        _ => return None,
    };
    payload(datagram.payload.get(UDP_HEADER..)?).ok()
}
