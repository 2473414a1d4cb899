//! Connections that processes of the machine take.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schema::Proto;

use crate::place::{ETH0, HOST_ADDR, LOOPBACK, ROOT, v4};
use crate::process::ProcessId;
use crate::tcp::{ACK, Connection, SYN, Sock, Tap};
use crate::world::{End, LifeId, MILLI, Packet, SECOND, World};

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const HTTPS: u16 = 443;
const SHARED: u16 = 7000;

pub(super) fn listen(world: &mut World) {
    let (nginx, postgres) = (world.cast.nginx[0], world.cast.postgres[0]);
    let sharing = world.cast.sharing;
    let any = |port| SocketAddr::new(ANY, port);
    world.listen(ROOT, any(HTTPS), Proto::TCP, nginx);
    world.listen(ROOT, SocketAddr::new(LOOPBACK, 5432), Proto::TCP, postgres);
    world.listen(ROOT, SocketAddr::new(HOST_ADDR, 5432), Proto::TCP, postgres);
    for owner in sharing {
        world.listen(ROOT, any(SHARED), Proto::TCP, owner);
    }
}

fn listener_of(world: &World, port: u16) -> LifeId {
    world.listeners[&(ROOT, SocketAddr::new(ANY, port), Proto::TCP)]
}

fn client(world: &mut World) -> IpAddr {
    v4(203, 0, 113, world.random.range(1, 6) as u8)
}

fn take(world: &mut World, start_ns: i64, scene: &'static str, port: u16, who: [ProcessId; 2]) {
    let [opener, user] = who;
    let server = SocketAddr::new(HOST_ADDR, port);
    let address = client(world);
    let key = (0, address, server, Proto::TCP);
    let far_port = world.port(key, start_ns);
    let client = SocketAddr::new(address, far_port);
    let rtt_ns = world.random.range(MILLI, 40 * MILLI);
    let lasts_ns = world.random.range(MILLI, 20 * SECOND);
    let sock = Sock { netns: ROOT, local: server, remote: client, opener, user };
    let done = world.connect(&Connection {
        scene,
        start_ns,
        rtt_ns,
        client: None,
        server: Some(sock),
        taps: vec![Tap { interface: ETH0, client, server, rows: [None; 2] }],
        bytes: [300, 4000],
        lasts_ns,
    });
    world.release(key, far_port, done.free_ns);
}

/// A listening process hands connections to its workers.
pub(super) fn workers(world: &mut World, start_ns: i64) {
    let master = world.cast.nginx[0];
    let user = world.random.pick(&world.cast.nginx[1..]);
    take(world, start_ns, "incoming", HTTPS, [master, user]);
}

/// Two processes take connections on one port; a few of those come to nothing.
pub(super) fn shared_port(world: &mut World, start_ns: i64) {
    let owner = world.random.pick(&world.cast.sharing);
    if world.random.percent(30) {
        // Either may have been chosen: nothing tells.
        let listener = End::Untold(listener_of(world, SHARED));
        knock(world, start_ns, "shared port", SHARED, listener);
    } else {
        take(world, start_ns, "shared port", SHARED, [owner, owner]);
    }
}

/// A client that never completes the handshake.
pub(super) fn half_open(world: &mut World, start_ns: i64) {
    let listener = End::Socket(listener_of(world, HTTPS), None);
    knock(world, start_ns, "half open", HTTPS, listener);
}

/// A SYN and two SYN-ACKs.
fn knock(world: &mut World, start_ns: i64, scene: &'static str, port: u16, listener: End) {
    let server = SocketAddr::new(HOST_ADDR, port);
    let address = client(world);
    let key = (0, address, server, Proto::TCP);
    let far_port = world.port(key, start_ns);
    let client = SocketAddr::new(address, far_port);
    let [seq, answer] = [world.random.next() as u32, world.random.next() as u32];
    let syn = Packet {
        ns: start_ns,
        interface: ETH0,
        proto: Proto::TCP,
        src: client,
        dst: server,
        flags: SYN,
        seq,
        ack: 0,
        length: 0,
        ends: [End::Nobody, listener],
        behind: [None; 2],
        scene,
    };
    let syn_ack = |ns| Packet {
        ns,
        src: server,
        dst: client,
        flags: SYN | ACK,
        seq: answer,
        ack: seq.wrapping_add(1),
        ends: [listener, End::Nobody],
        ..syn.clone()
    };
    let again_ns = start_ns + SECOND;
    world.packets.extend([syn_ack(start_ns + 20_000), syn_ack(again_ns)]);
    world.packets.push(syn);
    world.release(key, far_port, again_ns + SECOND);
}
