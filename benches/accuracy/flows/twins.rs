//! Two namespaces with the same addresses: only where a packet was captured tells them apart.

use std::net::SocketAddr;

use schema::Proto;

use crate::place::{LOOPBACK, TWIN_ADDR, TWIN_ETH0, TWIN_LO, TWIN_VETH, TWINS, v4};
use crate::tcp::{Connection, Sock, Tap};
use crate::world::{MICRO, MILLI, SECOND, World};

const PORT: u16 = 8080;

pub(super) fn listen(world: &mut World) {
    for (twin, netns) in TWINS.into_iter().enumerate() {
        let owner = world.cast.twins[twin][0];
        world.listen(netns, SocketAddr::new(LOOPBACK, PORT), Proto::TCP, owner);
    }
}

/// Of one of the two: to a server elsewhere, or within.
pub(super) fn connection(world: &mut World, start_ns: i64) {
    let twin = world.random.below(2);
    let netns = TWINS[twin];
    let is_within = world.random.percent(40);
    let (address, server) = if is_within {
        (LOOPBACK, SocketAddr::new(LOOPBACK, PORT))
    } else {
        (TWIN_ADDR, SocketAddr::new(v4(10, 99, 0, 1), 443))
    };
    let key = (netns, address, server, Proto::TCP);
    let port = world.port(key, start_ns);
    let client = SocketAddr::new(address, port);
    let cast = world.cast.twins[twin].clone();
    let opener = world.random.pick(&cast[1..]);
    let (master, user) = (cast[0], world.random.pick(&cast[1..]));
    let inside = Sock { netns, local: server, remote: client, opener: master, user };
    let interfaces =
        if is_within { vec![TWIN_LO[twin]] } else { vec![TWIN_ETH0[twin], TWIN_VETH[twin]] };
    let tap = |interface| Tap { interface, client, server, rows: [None; 2] };
    let rtt_ns = world.random.range(20 * MICRO, MILLI);
    let lasts_ns = world.random.range(MILLI, 10 * SECOND);
    let done = world.connect(&Connection {
        scene: "twins",
        start_ns,
        rtt_ns,
        client: Some(Sock { netns, local: client, remote: server, opener, user: opener }),
        server: is_within.then_some(inside),
        taps: interfaces.into_iter().map(tap).collect(),
        bytes: [300, 4000],
        lasts_ns,
    });
    world.release(key, port, done.free_ns);
}
