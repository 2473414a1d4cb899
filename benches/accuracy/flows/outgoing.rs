//! Connections that a process of the machine opens.

use std::net::SocketAddr;

use schema::{Kind, Proto};

use crate::place::{ETH0, HOST_ADDR, HOST_ADDR6, LO, LOOPBACK, ROOT, v4};
use crate::tcp::{ACK, Connection, RST, SYN, Sock, Tap};
use crate::world::{End, Life, MICRO, MILLI, Packet, SECOND, World};

/// To one of a few servers elsewhere.
pub(super) fn remote(world: &mut World, start_ns: i64) {
    let is_v6 = world.random.percent(15);
    let local = if is_v6 { HOST_ADDR6 } else { HOST_ADDR };
    let server = if is_v6 {
        SocketAddr::new("2001:db8:ff::1".parse().expect("an address"), 443)
    } else {
        SocketAddr::new(v4(198, 51, 100, world.random.range(1, 4) as u8), 443)
    };
    let key = (ROOT, local, server, Proto::TCP);
    let port = world.port(key, start_ns);
    let client = SocketAddr::new(local, port);
    let opener = world.random.pick(&world.cast.clients);
    let sock = Sock { netns: ROOT, local: client, remote: server, opener, user: opener };
    let rtt_ns = world.random.range(MILLI, 40 * MILLI);
    let lasts_ns = world.random.range(MILLI, 20 * SECOND);
    let done = world.connect(&Connection {
        scene: "outgoing",
        start_ns,
        rtt_ns,
        client: Some(sock),
        server: None,
        taps: vec![Tap { interface: ETH0, client, server, rows: [None; 2] }],
        bytes: [300, 4000],
        lasts_ns,
    });
    world.release(key, port, done.free_ns);
}

/// To a port that nobody listens on.
pub(super) fn refused(world: &mut World, start_ns: i64) {
    let server = SocketAddr::new(v4(198, 51, 100, 1), 443);
    let key = (ROOT, HOST_ADDR, server, Proto::TCP);
    let port = world.port(key, start_ns);
    let local = SocketAddr::new(HOST_ADDR, port);
    let owner = world.random.pick(&world.cast.clients);
    let life = world.add_life(Life {
        netns: ROOT,
        proto: Proto::TCP,
        direction: Some("out"),
        local,
        remote: Some(server),
        owners: vec![(i64::MIN, owner)],
        opener: None,
        syn_ns: Some(start_ns),
    });
    world.row(start_ns - 10 * MICRO, Kind::TcpConnect, life);
    let end = End::Socket(life, None);
    let seq = world.random.next() as u32;
    let rtt_ns = world.random.range(MILLI, 40 * MILLI);
    let syn = Packet {
        ns: start_ns,
        interface: ETH0,
        proto: Proto::TCP,
        src: local,
        dst: server,
        flags: SYN,
        seq,
        ack: 0,
        length: 0,
        ends: [end, End::Nobody],
        behind: [None; 2],
        scene: "refused",
    };
    let ends = [End::Nobody, end];
    let (ns, ack) = (start_ns + rtt_ns, seq.wrapping_add(1));
    let reset = Packet { ns, src: server, dst: local, flags: RST | ACK, seq: 0, ack, ends, ..syn };
    world.packets.extend([syn, reset]);
    world.row(ns + 10 * MICRO, Kind::TcpConnectFail, life);
    world.release(key, port, ns + 20 * MICRO);
}

/// From process to process.
pub(super) fn local(world: &mut World, start_ns: i64) {
    let address = world.random.pick(&[LOOPBACK, HOST_ADDR]);
    let server = SocketAddr::new(address, 5432);
    let key = (ROOT, address, server, Proto::TCP);
    let port = world.port(key, start_ns);
    let client = SocketAddr::new(address, port);
    let opener = world.random.pick(&world.cast.clients);
    let master = world.cast.postgres[0];
    let user = world.random.pick(&world.cast.postgres[1..]);
    let rtt_ns = world.random.range(20 * MICRO, 200 * MICRO);
    let lasts_ns = world.random.range(MILLI, 10 * SECOND);
    let netns = ROOT;
    let done = world.connect(&Connection {
        scene: "local",
        start_ns,
        rtt_ns,
        client: Some(Sock { netns, local: client, remote: server, opener, user: opener }),
        server: Some(Sock { netns, local: server, remote: client, opener: master, user }),
        taps: vec![Tap { interface: LO, client, server, rows: [None; 2] }],
        bytes: [300, 4000],
        lasts_ns,
    });
    world.release(key, port, done.free_ns);
}
