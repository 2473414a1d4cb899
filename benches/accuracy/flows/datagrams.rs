//! Datagrams: sockets with one peer, with many, bound to one address, to all, by several processes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schema::{Kind, Proto};

use crate::place::{ETH0, HOST_ADDR, LO, ROOT, v4};
use crate::process::ProcessId;
use crate::world::{End, Life, LifeId, MICRO, MILLI, Packet, SECOND, World};

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const DNS: SocketAddr = SocketAddr::new(HOST_ADDR, 53);
const STATSD: u16 = 8125;
const SHARED: u16 = 6000;

pub(super) fn listen(world: &mut World) {
    let (dns, statsd, sharing) = (world.cast.dns, world.cast.statsd, world.cast.sharing);
    world.listen(ROOT, DNS, Proto::UDP, dns);
    world.listen(ROOT, SocketAddr::new(ANY, STATSD), Proto::UDP, statsd);
    for owner in sharing {
        world.listen(ROOT, SocketAddr::new(ANY, SHARED), Proto::UDP, owner);
    }
}

fn listener_of(world: &World, local: SocketAddr) -> LifeId {
    world.listeners[&(ROOT, local, Proto::UDP)]
}

/// Where and how datagrams of one scene go.
#[derive(Clone, Copy)]
struct Path {
    interface: usize,
    scene: &'static str,
}

fn datagram(
    world: &mut World,
    path: Path,
    ns: i64,
    from: (SocketAddr, End),
    to: (SocketAddr, End),
) {
    world.packets.push(Packet {
        ns,
        interface: path.interface,
        proto: Proto::UDP,
        src: from.0,
        dst: to.0,
        flags: 0,
        seq: 0,
        ack: 0,
        length: 30,
        ends: [from.1, to.1],
        behind: [None; 2],
        scene: path.scene,
    });
}

fn life(
    world: &mut World,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    owner: ProcessId,
) -> LifeId {
    world.add_life(Life {
        netns: ROOT,
        proto: Proto::UDP,
        direction: remote.map(|_| "out"),
        local,
        remote,
        owners: vec![(i64::MIN, owner)],
        opener: None,
        syn_ns: None,
    })
}

/// A socket with one peer: a resolver elsewhere, or the host's own.
pub(super) fn connected(world: &mut World, start_ns: i64) {
    let is_local = world.random.percent(30);
    let (scene, interface, far) = if is_local {
        ("connected datagrams", LO, DNS)
    } else {
        ("connected datagrams", ETH0, SocketAddr::new(v4(198, 51, 100, 53), 53))
    };
    let path = Path { interface, scene };
    let far_end = if is_local { End::Socket(listener_of(world, DNS), None) } else { End::Nobody };
    let key = (ROOT, HOST_ADDR, far, Proto::UDP);
    let near = SocketAddr::new(HOST_ADDR, world.port(key, start_ns));
    let owner = world.random.pick(&world.cast.clients);
    let socket = life(world, near, Some(far), owner);
    world.row(start_ns - 30 * MICRO, Kind::UdpConnect, socket);
    let end = End::Socket(socket, None);
    let mut now = start_ns;
    for _ in 0..world.random.range(1, 4) {
        datagram(world, path, now, (near, end), (far, far_end));
        now += world.random.range(50 * MICRO, 30 * MILLI);
        datagram(world, path, now, (far, far_end), (near, end));
        now += world.random.range(MILLI, SECOND);
    }
    world.row(now, Kind::UdpClose, socket);
    let mut free_ns = now;
    if !is_local && world.random.percent(15) {
        // An answer that comes too late finds nobody.
        free_ns += world.random.range(MILLI, 2 * SECOND);
        datagram(world, path, free_ns, (far, End::Nobody), (near, End::Nobody));
    }
    // The next socket's row is written before its first datagram.
    world.release(key, near.port(), free_ns + MILLI);
}

/// A socket that sends to several peers, and reads what they answer.
pub(super) fn unconnected(world: &mut World, start_ns: i64) {
    let path = Path { interface: ETH0, scene: "unconnected datagrams" };
    let peers = [1, 2].map(|n| SocketAddr::new(v4(198, 51, 100, n), 3478));
    let key = (ROOT, HOST_ADDR, SocketAddr::new(ANY, 0), Proto::UDP);
    let port = world.port(key, start_ns);
    let port = 10_000 + port % 10_000;
    let near = SocketAddr::new(HOST_ADDR, port);
    let owner = world.random.pick(&world.cast.clients);
    let socket = life(world, SocketAddr::new(ANY, port), None, owner);
    let end = End::Socket(socket, None);
    let mut now = start_ns;
    for turn in 0..world.random.range(1, 4) {
        for peer in peers {
            if turn == 0 {
                let row = |row: &mut crate::world::Row| row.remote = Some(peer);
                world.row_with(now - 20 * MICRO, Kind::UdpSend, socket, row);
                world.row_with(now + 31 * MILLI, Kind::UdpRecv, socket, row);
            }
            datagram(world, path, now, (near, end), (peer, End::Nobody));
            datagram(world, path, now + 30 * MILLI, (peer, End::Nobody), (near, end));
            now += world.random.range(40 * MILLI, SECOND);
        }
    }
    world.row(now, Kind::UdpClose, socket);
    world.release(key, port - 10_000 + 40_000, now);
}

fn client(world: &mut World) -> SocketAddr {
    let address = v4(203, 0, 113, world.random.range(1, 6) as u8);
    SocketAddr::new(address, world.random.range(30_000, 34_000) as u16)
}

/// Datagrams that a socket bound to every address reads, and never answers.
pub(super) fn to_listener(world: &mut World, start_ns: i64) {
    let path = Path { interface: ETH0, scene: "listener" };
    let end = End::Socket(listener_of(world, SocketAddr::new(ANY, STATSD)), None);
    let from = client(world);
    for n in 0..3 {
        let to = (SocketAddr::new(HOST_ADDR, STATSD), end);
        datagram(world, path, start_ns + n * MILLI, (from, End::Nobody), to);
    }
}

/// Datagrams that a socket bound to one address answers.
pub(super) fn answered(world: &mut World, start_ns: i64) {
    let path = Path { interface: ETH0, scene: "listener" };
    let socket = listener_of(world, DNS);
    let end = End::Socket(socket, None);
    let far = client(world);
    datagram(world, path, start_ns, (far, End::Nobody), (DNS, end));
    let row = |row: &mut crate::world::Row| row.remote = Some(far);
    world.row_with(start_ns + 30 * MICRO, Kind::UdpRecv, socket, row);
    datagram(world, path, start_ns + MILLI, (DNS, end), (far, End::Nobody));
}

/// Two processes share a port: which of them reads is not written.
pub(super) fn shared_port(world: &mut World, start_ns: i64) {
    let path = Path { interface: ETH0, scene: "shared port" };
    let local = SocketAddr::new(ANY, SHARED);
    let end = End::Untold(listener_of(world, local));
    let from = client(world);
    let to = SocketAddr::new(HOST_ADDR, SHARED);
    for n in 0..2 {
        datagram(world, path, start_ns + n * MILLI, (from, End::Nobody), (to, end));
    }
}
