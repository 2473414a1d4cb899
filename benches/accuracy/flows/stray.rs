//! Packets that no process of the machine sends or receives.

use std::net::SocketAddr;

use schema::Proto;

use crate::place::{ETH0, HOST_ADDR, v4};
use crate::tcp::{ACK, RST, SYN};
use crate::world::{End, MICRO, MILLI, Packet, World};

fn packet(ns: i64, src: SocketAddr, dst: SocketAddr, flags: u8, scene: &'static str) -> Packet {
    Packet {
        ns,
        interface: ETH0,
        proto: Proto::TCP,
        src,
        dst,
        flags,
        seq: 1,
        ack: 0,
        length: 0,
        ends: [End::Nobody; 2],
        behind: [None; 2],
        scene,
    }
}

/// Between two machines elsewhere.
pub(super) fn foreign(world: &mut World, start_ns: i64) {
    let port = world.random.range(40_000, 40_100) as u16;
    let client = SocketAddr::new(v4(203, 0, 113, 1), port);
    let server = SocketAddr::new(v4(198, 51, 100, 1), 443);
    for n in 0..4 {
        let (src, dst) = if n % 2 == 0 { (client, server) } else { (server, client) };
        world.packets.push(packet(start_ns + n * MILLI, src, dst, ACK, "foreign"));
    }
}

/// To a port where nobody listens.
pub(super) fn nobody(world: &mut World, start_ns: i64) {
    let port = world.random.range(40_000, 40_100) as u16;
    let client = SocketAddr::new(v4(203, 0, 113, 8), port);
    let server = SocketAddr::new(HOST_ADDR, 9);
    world.packets.push(packet(start_ns, client, server, SYN, "nobody"));
    let reset = packet(start_ns + 20 * MICRO, server, client, RST | ACK, "nobody");
    world.packets.push(Packet { ack: 2, ..reset });
}
