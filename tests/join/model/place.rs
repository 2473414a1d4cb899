//! Where traffic goes: namespaces, their interfaces and addresses, and the ways between two ends with
//! every interface a packet is seen on, by which addresses.
//!
//! ```text
//!   far 192.0.2.9 ── eth0 10.0.0.1 │ ns 1 │ lo │ docker0 172.17.0.1 ┬ veth2 ── eth0 172.17.0.2 │ ns 2
//!                                                                   └ veth3 ── eth0 172.17.0.3 │ ns 3
//! ```
//!
//! In a world of twins ns 3 has the address of ns 2, each behind a veth of its own.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::rng::Rng;
use super::world::{Interface, Row};

pub(super) const FAR: [u8; 4] = [192, 0, 2, 9];
pub(super) const HOST: [u8; 4] = [10, 0, 0, 1];
pub(super) const BRIDGE: [u8; 4] = [172, 17, 0, 1];
pub(super) const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

pub(super) fn end(ip: [u8; 4], port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(ip), port)
}

/// The addresses of one end of a connection and of the other, at one place.
pub(super) type Ends = (SocketAddrV4, SocketAddrV4);

/// The way from a client to a server.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// Namespace and ends as the client's socket has them; none if the client is far.
    pub(super) client: Option<(u64, Ends)>,
    /// The same of the server, its own end first.
    pub(super) server: Option<(u64, Ends)>,
    /// Interfaces from the client to the server, and the packet's ends there.
    pub(super) views: Vec<(usize, Ends)>,
    /// The translation: original and onward.
    pub(super) nat: Option<(Ends, Ends)>,
}

/// Indices into [`interfaces`].
const ETH: usize = 0;
const LO: usize = 1;
const DOCKER: usize = 2;
/// The host's end of the veth of namespace 2; that of 3 is two further.
const VETH: usize = 3;

/// All interfaces. `by_index` is a capture on all interfaces of namespace 1 at once, which tells
/// them by their index; others tell the namespace, or the name alone.
pub(super) fn interfaces(rng: &mut Rng) -> Vec<Interface> {
    let by_index = rng.percent(30);
    let telling = rng.percent(60);
    let all = [
        ("eth0", 1, 2, None),
        ("lo", 1, 1, None),
        ("docker0", 1, 3, None),
        ("veth2", 1, 12, Some(2)),
        ("eth0", 2, 2, Some(1)),
        ("veth3", 1, 13, Some(3)),
        ("eth0", 3, 2, Some(1)),
    ];
    let named = |name: &str, ns: u64, index: u32| {
        // A name that several namespaces have says nothing without the namespace.
        if by_index && ns == 1 {
            format!("index={index} ns=1")
        } else if telling || name == "eth0" {
            format!("if={name} ns={ns}")
        } else {
            format!("if={name}")
        }
    };
    let all = all.map(|(name, ns, index, beyond)| Interface {
        name,
        ns,
        index,
        beyond,
        named: named(name, ns, index),
    });
    all.into()
}

/// The address of a namespace's container.
pub(super) fn inside(ns: u64, twins: bool) -> [u8; 4] {
    [172, 17, 0, if ns == 3 && !twins { 3 } else { 2 }]
}

/// The recording's rows of the interfaces.
pub(super) fn rows(interfaces: &[Interface], at: i64, twins: bool) -> Vec<Row> {
    let rows = interfaces.iter().map(|interface| {
        let address = match (interface.name, interface.ns) {
            ("eth0", 1) => Some(HOST),
            ("lo", _) => Some(LOOPBACK),
            ("docker0", _) => Some(BRIDGE),
            ("eth0", ns) => Some(inside(ns, twins)),
            _ => None,
        };
        let mut more = format!("if={} index={}", interface.name, interface.index);
        if let Some(beyond) = interface.beyond {
            more += &format!(" beyond={beyond}");
        }
        let local = address.map(|address| end(address, 0));
        Row { ns: interface.ns, local, more, ..Row::new(at, "interface") }
    });
    rows.collect()
}

fn inner(ns: u64) -> [usize; 2] {
    let veth = VETH + if ns == 3 { 2 } else { 0 };
    [veth, veth + 1]
}

fn views(places: &[usize], ends: Ends) -> Vec<(usize, Ends)> {
    places.iter().map(|&place| (place, ends)).collect()
}

/// A process of the host talks to itself.
pub(super) fn loopback(port: u16) -> Path {
    let ends = (end(LOOPBACK, port), end(LOOPBACK, 80));
    let server = Some((1, (ends.1, ends.0)));
    Path { client: Some((1, ends)), server, views: views(&[LO], ends), nat: None }
}

/// From the host to far away.
pub(super) fn out(port: u16) -> Path {
    let ends = (end(HOST, port), end(FAR, 443));
    Path { client: Some((1, ends)), server: None, views: views(&[ETH], ends), nat: None }
}

/// From far away to the host.
pub(super) fn incoming(port: u16) -> Path {
    let ends = (end(FAR, port), end(HOST, 80));
    let server = Some((1, (ends.1, ends.0)));
    Path { client: None, server, views: views(&[ETH], ends), nat: None }
}

/// From the host to a container.
pub(super) fn to_container(port: u16, ns: u64) -> Path {
    let ends = (end(BRIDGE, port), end(inside(ns, false), 8080));
    let [veth, eth] = inner(ns);
    Path {
        client: Some((1, ends)),
        server: Some((ns, (ends.1, ends.0))),
        views: views(&[DOCKER, veth, eth], ends),
        nat: None,
    }
}

/// From far away to a port of the host that is a container's.
pub(super) fn published(port: u16, ns: u64) -> Path {
    let ends = (end(FAR, port), end(HOST, 4443));
    let onward = (ends.0, end(inside(ns, false), 8080));
    let [veth, eth] = inner(ns);
    let mut views = views(&[DOCKER, veth, eth], onward);
    views.insert(0, (ETH, ends));
    let server = Some((ns, (onward.1, onward.0)));
    Path { client: None, server, views, nat: Some((ends, onward)) }
}

/// From a container to far away, by the host's address and a port of its choice.
pub(super) fn masqueraded(port: u16, ns: u64, as_port: u16) -> Path {
    let ends = (end(inside(ns, false), port), end(FAR, 443));
    let onward = (end(HOST, as_port), ends.1);
    let [veth, eth] = inner(ns);
    let mut views = views(&[eth, veth, DOCKER], ends);
    views.push((ETH, onward));
    Path { client: Some((ns, ends)), server: None, views, nat: Some((ends, onward)) }
}

/// From the host's loopback address to a published port: both ends change at once.
pub(super) fn both_changed(port: u16, ns: u64) -> Path {
    let ends = (end(LOOPBACK, port), end(LOOPBACK, 4443));
    let onward = (end(BRIDGE, port), end(inside(ns, false), 8080));
    let [veth, eth] = inner(ns);
    Path {
        client: Some((1, ends)),
        server: Some((ns, (onward.1, onward.0))),
        views: views(&[DOCKER, veth, eth], onward),
        nat: Some((ends, onward)),
    }
}

/// From one of two containers that have the same address; the host's own interface shows both.
pub(super) fn twin(port: u16, ns: u64) -> Path {
    let ends = (end(inside(ns, true), port), end(FAR, 443));
    let [veth, eth] = inner(ns);
    Path {
        client: Some((ns, ends)),
        server: None,
        views: views(&[eth, veth, ETH], ends),
        nat: None,
    }
}
