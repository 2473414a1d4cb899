//! Connections through docker-proxy: two sockets of one process, and who is behind each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schema::{Kind, Proto};

use super::translated::INSIDE;
use crate::place::{
    DOCKER0, ETH0, GATEWAY, HOST_ADDR, LO, LOOPBACK, ROOT, WEB, WEB_ADDR, WEB_ETH0, v4,
};
use crate::tcp::{Connection, Sock, Tap};
use crate::world::{Behind, Evidence, Extra, MICRO, MILLI, SECOND, World};

const PORTS: [u16; 2] = [8443, 9443];

pub(super) fn listen(world: &mut World) {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    for (owner, port) in world.cast.proxies.into_iter().zip(PORTS) {
        world.listen(ROOT, SocketAddr::new(any, port), Proto::TCP, owner);
    }
}

/// It was seen to move data from one socket to the other.
pub(super) fn by_rows(world: &mut World, start_ns: i64) {
    proxied(world, start_ns, 0);
}

/// Only what each socket carried tells; health checks all carry the same.
pub(super) fn by_bytes(world: &mut World, start_ns: i64) {
    proxied(world, start_ns, 1);
}

fn proxied(world: &mut World, start_ns: i64, which: usize) {
    let start_ns = start_ns.max(0);
    let (proxy, port) = (world.cast.proxies[which], PORTS[which]);
    let scene = ["proxied", "proxied, bytes"][which];
    let is_check = world.random.percent(30);
    let size = |world: &mut World| world.random.range(100, 100_000) as u64;
    let bytes = if is_check { [80, 200] } else { [size(world), size(world)] };
    let lasts_ns = world.random.range(MILLI, 5 * SECOND);
    // The front: a process of the host, or a client elsewhere.
    let is_local = world.random.percent(60);
    let (address, front_addr, interface, rtt_ns) = if is_local {
        (LOOPBACK, LOOPBACK, LO, 100 * MICRO)
    } else {
        (v4(203, 0, 113, 7), HOST_ADDR, ETH0, 10 * MILLI)
    };
    let front = SocketAddr::new(front_addr, port);
    let netns = if is_local { ROOT } else { 0 };
    let front_key = (netns, address, front, Proto::TCP);
    let client = SocketAddr::new(address, world.port(front_key, start_ns));
    let user = world.random.pick(&world.cast.clients);
    let there = Sock { netns: ROOT, local: client, remote: front, opener: user, user };
    let taken = Sock { netns: ROOT, local: front, remote: client, opener: proxy, user: proxy };
    let front_done = world.connect(&Connection {
        scene,
        start_ns,
        rtt_ns,
        client: is_local.then_some(there),
        server: Some(taken),
        taps: vec![Tap { interface, client, server: front, rows: [None; 2] }],
        bytes,
        lasts_ns,
    });
    // The back, made once the front is there.
    let accepted = world.rows.iter().rev().find(|row| {
        row.kind == Kind::TcpAccept && row.life.is_some() && row.life == front_done.server
    });
    let accepted_ns = accepted.map_or(start_ns + 2 * rtt_ns, |row| row.ts);
    let back_ns = accepted_ns + 1500 * MICRO;
    let inside = SocketAddr::new(WEB_ADDR, INSIDE);
    let back_key = (ROOT, GATEWAY, inside, Proto::TCP);
    let back = SocketAddr::new(GATEWAY, world.port(back_key, back_ns));
    let (opener, cast) = (world.cast.web[0], world.cast.web.clone());
    let worker = world.random.pick(&cast[1..]);
    let made = Sock { netns: ROOT, local: back, remote: inside, opener: proxy, user: proxy };
    let web = Sock { netns: WEB, local: inside, remote: back, opener, user: worker };
    let tap = |interface| Tap { interface, client: back, server: inside, rows: [None; 2] };
    let back_done = world.connect(&Connection {
        scene,
        start_ns: back_ns,
        rtt_ns: 80 * MICRO,
        client: Some(made),
        server: Some(web),
        taps: vec![tap(DOCKER0), tap(WEB_ETH0)],
        bytes,
        lasts_ns,
    });
    let legs = (front_done.server, back_done.client, back_done.server);
    if let (Some(front_life), Some(back_life), Some(web_life)) = legs {
        let evidence = if which == 0 {
            Evidence::Row(world.row_with(back_ns + MILLI, Kind::Forward, front_life, |row| {
                row.extra = Extra::Peer(back_life);
            }))
        } else {
            Evidence::Bytes(front_life, back_life)
        };
        front_done.set_behind(world, front_life, Behind { far: web_life, evidence });
        if let Some(client_life) = front_done.client {
            back_done.set_behind(world, back_life, Behind { far: client_life, evidence });
        }
    }
    world.release(front_key, client.port(), front_done.free_ns);
    world.release(back_key, back.port(), back_done.free_ns);
}
