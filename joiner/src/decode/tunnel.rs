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

/// VXLAN's port.
const VXLAN_PORT: u16 = 4789;
/// The one Linux used before there was one.
const OLD_VXLAN_PORT: u16 = 8472;
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

/// Whether datagrams to `port` may carry packets.
#[inline]
pub(super) fn has_port(port: u16) -> bool {
    matches!(port, VXLAN_PORT | OLD_VXLAN_PORT | GENEVE_PORT | GTP_PORT)
}

/// The packet in a UDP datagram to `port`; `None` if the port is none of a tunnel's, or what comes
/// there is something else.
#[inline]
pub(super) fn in_udp<'a>(port: u16, datagram: &Datagram<'a>) -> Option<&'a [u8]> {
    let payload: fn(&[u8]) -> Result<&[u8], Undecoded> = match port {
        VXLAN_PORT | OLD_VXLAN_PORT => vxlan::payload,
        GENEVE_PORT => geneve::payload,
        GTP_PORT => gtp::payload,
        _ => return None,
    };
    payload(datagram.payload.get(UDP_HEADER..)?).ok()
}
