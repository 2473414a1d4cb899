//! Connections whose addresses the kernel translates on their way. The row that tells comes up to
//! 20 ms late, its end up to a minute.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schema::{Kind, Proto};

use crate::place::{
    API, API_ADDR, API_ETH0, DOCKER0, ETH0, HOST_ADDR, ROOT, WEB, WEB_ADDR, WEB_ETH0, v4,
};
use crate::tcp::{Connection, Sock, Tap};
use crate::world::{Extra, MILLI, Row, RowId, SECOND, World};

/// Where the web server listens in its container, and where that is published.
pub(super) const INSIDE: u16 = 80;
const PUBLISHED: u16 = 8080;

pub(super) fn listen(world: &mut World) {
    let owner = world.cast.web[0];
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    world.listen(WEB, SocketAddr::new(any, INSIDE), Proto::TCP, owner);
}

/// Takes note of a translation of a connection that begins at `syn_ns`.
fn translate(
    world: &mut World,
    syn_ns: i64,
    original: [SocketAddr; 2],
    onward: [SocketAddr; 2],
) -> RowId {
    let [local, remote] = original;
    let id = world.random.next() as u32;
    world.rows.push(Row {
        ts: syn_ns + world.random.range(0, 20 * MILLI),
        kind: Kind::Nat,
        proto: Proto::TCP,
        life: None,
        who: None,
        direction: None,
        netns: ROOT,
        local,
        remote: Some(remote),
        extra: Extra::Onward { src: onward[0], dst: onward[1], id },
    });
    RowId(world.rows.len() - 1)
}

/// The translation was over at `end_ns`.
fn end(world: &mut World, row: RowId, end_ns: i64) {
    let ts = end_ns + world.random.range(0, 60 * SECOND);
    let row = Row { ts, kind: Kind::NatEnd, ..world.rows[row.0].clone() };
    world.rows.push(row);
}

/// A container's process talks to a server elsewhere, by the host's address.
pub(super) fn masqueraded(world: &mut World, start_ns: i64) {
    let (netns, address, interface, cast) = if world.random.percent(50) {
        (WEB, WEB_ADDR, WEB_ETH0, world.cast.web.clone())
    } else {
        (API, API_ADDR, API_ETH0, world.cast.api.clone())
    };
    let server = SocketAddr::new(v4(198, 51, 100, 9), 443);
    let start_ns = start_ns.max(0);
    let inner_key = (netns, address, server, Proto::TCP);
    let inner = SocketAddr::new(address, world.port(inner_key, start_ns));
    let outer_key = (ROOT, HOST_ADDR, server, Proto::TCP);
    let outer = SocketAddr::new(HOST_ADDR, world.port(outer_key, start_ns));
    let row = translate(world, start_ns, [inner, server], [outer, server]);
    let opener = world.random.pick(&cast);
    let rtt_ns = world.random.range(MILLI, 40 * MILLI);
    let lasts_ns = world.random.range(MILLI, 10 * SECOND);
    let within = |interface| Tap { interface, client: inner, server, rows: [None; 2] };
    let outside = Tap { interface: ETH0, client: outer, server, rows: [Some(row), None] };
    let done = world.connect(&Connection {
        scene: "masqueraded",
        start_ns,
        rtt_ns,
        client: Some(Sock { netns, local: inner, remote: server, opener, user: opener }),
        server: None,
        taps: vec![within(interface), within(DOCKER0), outside],
        bytes: [300, 4000],
        lasts_ns,
    });
    end(world, row, done.end_ns);
    world.release(inner_key, inner.port(), done.free_ns);
    world.release(outer_key, outer.port(), done.free_ns);
}

/// A client elsewhere talks to a container, by a port of the host's.
pub(super) fn published(world: &mut World, start_ns: i64) {
    let start_ns = start_ns.max(0);
    let public = SocketAddr::new(HOST_ADDR, PUBLISHED);
    let inside = SocketAddr::new(WEB_ADDR, INSIDE);
    let address = v4(203, 0, 113, world.random.range(1, 4) as u8);
    let key = (0, address, public, Proto::TCP);
    let client = SocketAddr::new(address, world.port(key, start_ns));
    let row = translate(world, start_ns, [client, public], [client, inside]);
    let (opener, cast) = (world.cast.web[0], world.cast.web.clone());
    let user = world.random.pick(&cast[1..]);
    let rtt_ns = world.random.range(MILLI, 40 * MILLI);
    let lasts_ns = world.random.range(MILLI, 10 * SECOND);
    let within = |interface| Tap { interface, client, server: inside, rows: [None; 2] };
    let outside = Tap { interface: ETH0, client, server: public, rows: [None, Some(row)] };
    let done = world.connect(&Connection {
        scene: "published",
        start_ns,
        rtt_ns,
        client: None,
        server: Some(Sock { netns: WEB, local: inside, remote: client, opener, user }),
        taps: vec![outside, within(DOCKER0), within(WEB_ETH0)],
        bytes: [300, 4000],
        lasts_ns,
    });
    end(world, row, done.end_ns);
    world.release(key, client.port(), done.free_ns);
}
