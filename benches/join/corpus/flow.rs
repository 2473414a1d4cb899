//! A flow by its number: who talks with whom. No two have the same ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::process::PROCESSES;
use super::random::mix;

/// First port that clients use, and how many there are.
const PORTS: (u64, u64) = (32_768, 28_000);
/// Numbers of flows there can be: as many as far addresses.
pub(super) const MOST: u64 = 1 << 24;
/// Ports that processes of the host listen on, by the process.
pub(super) const LISTENERS: [(u16, usize); 4] = [(80, 8), (443, 16), (5432, 1), (8080, 3)];

/// Which end is of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A process of the host is the client.
    Out,
    /// A process of the host is the server.
    In,
    /// Both are.
    Both,
}

/// A flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) is_tcp: bool,
    pub(super) kind: Kind,
    /// Client and server.
    pub(super) ends: [SocketAddr; 2],
    /// The processes of both; one of another host means nothing.
    pub(super) processes: [usize; 2],
    /// Whether the recording has it.
    pub(super) is_named: bool,
}

impl Flow {
    /// The flow of this number, where so many of a hundred are recorded. One in four is UDP, one in
    /// four IPv6.
    pub(super) fn new(number: u64, named: u64) -> Self {
        let dice = mix(number ^ 0x5eed_0000_0000_0000);
        let roll = |shift: u32, bound: u64| (dice >> shift & 0xffff) % bound;
        let is_named = mix(number ^ 0x0a11_0000_0000_0000) % 100 < named;
        let is_tcp = roll(0, 4) != 0;
        let is_v6 = roll(8, 4) == 0;
        // A packet of no recorded socket must not be one of a listener.
        let kind = match roll(16, 10) {
            0..=2 if is_tcp && is_named => Kind::In,
            3..=4 if is_tcp && is_named => Kind::Both,
            _ => Kind::Out,
        };
        let port = (PORTS.0 + number % PORTS.1) as u16;
        let (service, listener) = LISTENERS[roll(24, 4) as usize];
        let far = || far_end(number, is_v6, true);
        let ends = match kind {
            Kind::Out if is_tcp => [(near_end(is_v6), port), (far(), service)],
            Kind::Out => [(near_end(is_v6), port), (far(), 53)],
            Kind::In => [(far(), port), (near_end(is_v6), service)],
            Kind::Both => {
                [(near_end(is_v6), port), (own_service(number / PORTS.1, is_v6), service)]
            }
        };
        Self {
            is_tcp,
            kind,
            ends: ends.map(SocketAddr::from),
            processes: [(roll(32, PROCESSES)) as usize, listener],
            is_named,
        }
    }

    /// The ends as the recording has them: those of a flow that is not recorded are others, so that
    /// there are as many events in any case.
    pub(super) fn recorded_ends(&self, number: u64) -> [SocketAddr; 2] {
        let [client, mut server] = self.ends;
        if !self.is_named {
            server.set_ip(far_end(number, server.is_ipv6(), false));
        }
        [client, server]
    }

    /// Whether client and server are processes of the host.
    pub(super) fn is_near(&self) -> [bool; 2] {
        [self.kind != Kind::In, self.kind != Kind::Out]
    }
}

fn near_end(is_v6: bool) -> IpAddr {
    if is_v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()
    } else {
        Ipv4Addr::new(10, 0, 0, 1).into()
    }
}

/// Another address of the same host.
fn own_service(number: u64, is_v6: bool) -> IpAddr {
    let [high, low] = (number as u16).to_be_bytes();
    if is_v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, number as u16 + 1).into()
    } else {
        Ipv4Addr::new(10, 1, high, low).into()
    }
}

/// An address of nobody else; another one for those that only the recording has.
fn far_end(number: u64, is_v6: bool, is_real: bool) -> IpAddr {
    // Multiplied by an odd number, all are different still.
    let mixed = number.wrapping_mul(0x9e37_79b1) % MOST;
    let [.., b, c, d] = mixed.to_be_bytes();
    if is_v6 {
        let prefix = if is_real { 0x2600 } else { 0x2800 };
        let [high, low] = [(mixed >> 16) as u16, mixed as u16];
        Ipv6Addr::new(prefix, 0x1f18, high, 0, 0, 0, low, 0x10).into()
    } else {
        Ipv4Addr::new(if is_real { 93 } else { 151 }, b, c, d).into()
    }
}
