//! What they do: formulas instead of dice, so that every answer can be worked out again.

use super::cast::{Cast, Process};
use super::{
    Datagrams, End, Fate, Forward, Gap, Interface, Loss, MS_NS, Nat, Role, SECOND_NS, Socket, Step,
    Who, World, at, end,
};

/// Plays everything.
pub(super) fn play(world: &mut World, cast: &Cast) {
    before(world, cast);
    listeners(world, cast);
    database(world, cast);
    orders(world, cast);
    published(world, cast);
    outside(world, cast);
    health_checks(world, cast);
    jobs(world, cast);
    datagrams(world, cast);
    odds(world, cast);
}

fn socket(owner: Who, role: Role, local: End, remote: Option<End>, opened: i64) -> Socket {
    Socket {
        cookie: 0,
        owner,
        listener: None,
        handed: None,
        proto: "tcp",
        role,
        local,
        remote,
        existed: false,
        opened,
        latency_us: None,
        retransmits: vec![],
        datagrams: vec![],
        fate: Fate::Open,
    }
}

/// The other end of an established connection, at `owner`'s.
fn accepted(of: &Socket, owner: Who, listener: Option<Who>) -> Socket {
    let remote = of.remote.clone().expect("a peer");
    let fate = match of.fate {
        Fate::Closed { at, sent, received } => {
            Fate::Closed { at: at + MS_NS, sent: received, received: sent }
        }
        other => other,
    };
    let opened = of.opened + i64::from(of.latency_us.unwrap_or(0)) * 1000;
    let socket = socket(owner, Role::Accepted, remote, Some(of.local.clone()), opened);
    Socket { listener, fate, ..socket }
}

/// Connections to the cache from before the recording; one ends at 3:04.
fn before(world: &mut World, cast: &Cast) {
    for n in 0..3_u16 {
        let mut socket = socket(
            cast.nginx_workers[usize::from(n % 2)],
            Role::Opened,
            end("172.17.0.2", 41_000 + n),
            Some(end("172.17.0.3", 6379)),
            at(0, 0),
        );
        socket.existed = true;
        if n == 0 {
            socket.fate = Fate::Closed { at: at(4, 0), sent: 5_000_000, received: 90_000_000 };
        }
        let mut other = accepted(&socket, cast.redis, None);
        other.existed = true;
        world.add(socket);
        world.add(other);
    }
}

fn listeners(world: &mut World, cast: &Cast) {
    let there = [
        (cast.nginx, "0.0.0.0", 8080),
        (cast.docker_proxy, "0.0.0.0", 4443),
        (cast.redis, "0.0.0.0", 6379),
        (cast.sshd, "::", 22),
        (cast.postgres, "10.0.0.7", 5432),
        (cast.orders[0], "0.0.0.0", 8000),
        (cast.orders[1], "0.0.0.0", 8000),
    ];
    for (who, address, port) in there {
        let socket = socket(who, Role::Bound, end(address, port), None, at(0, 0));
        world.add(Socket { existed: true, ..socket });
    }
    // One port, two programs.
    let legacy = socket(cast.legacy, Role::Bound, end("0.0.0.0", 9000), None, at(0, 0));
    let fate = Fate::Closed { at: at(2, 0), sent: 0, received: 0 };
    world.add(Socket { existed: true, fate, ..legacy });
    world.processes[cast.legacy].exit = Some(at(2, 0));
    let metrics = socket(cast.metrics, Role::Bound, end("10.0.0.5", 9000), None, at(3, 0));
    world.add(metrics);
    // The second orders restarts: nobody listens for 40 seconds.
    let orders = cast.orders[1];
    let is_theirs = |socket: &&mut Socket| socket.owner == orders && socket.role == Role::Bound;
    let fate = Fate::Closed { at: at(6, 0), sent: 0, received: 0 };
    world.sockets.iter_mut().find(is_theirs).expect("listens").fate = fate;
    let again = socket(orders, Role::Bound, end("0.0.0.0", 8000), None, at(6, 40));
    world.add(again);
}

/// 100 connections to the database, one every six seconds; slow, and with segments lost, from 3:05
/// to 3:07. Every 16th stays open.
fn database(world: &mut World, cast: &Cast) {
    for n in 0..100_u16 {
        let opened = at(0, 6 * i64::from(n));
        let bad = (at(5, 0)..at(7, 0)).contains(&opened);
        let pod = usize::from(n % 2);
        let local = end(["10.244.1.5", "10.244.1.6"][pod], 42_000 + n);
        let remote = Some(end("10.0.0.7", 5432));
        let mut client = socket(cast.orders[pod], Role::Opened, local, remote, opened);
        if bad && n % 7 == 0 {
            let at = opened + 3 * SECOND_NS;
            client.retransmits = vec![opened + SECOND_NS];
            client.fate = Fate::Failed { at, errno: "ETIMEDOUT" };
            world.add(client);
            continue;
        }
        let latency = 200 + u32::from(n) * 37 % 100;
        client.latency_us = Some(if bad { latency * 60 } else { latency });
        let again = if bad { i64::from(n % 3) + 2 * i64::from(n % 2) } else { 0 };
        client.retransmits =
            (1..=again).map(|k| opened + k * 40 * MS_NS + i64::from(n) * 1000).collect();
        if n % 16 != 15 {
            let length = 2 + i64::from(n % 5) * 3;
            client.fate = Fate::Closed {
                at: opened + length * SECOND_NS,
                sent: 1000 + u64::from(n),
                received: 20_000 + 10 * u64::from(n),
            };
        }
        let backend = cast.backends[usize::from(n / 2 % 2)];
        let server = accepted(&client, backend, Some(cast.postgres));
        world.add(client);
        world.add(server);
    }
}

/// 60 connections from the web server to both orders, one every ten seconds.
fn orders(world: &mut World, cast: &Cast) {
    for n in 0..60_u16 {
        let opened = at(0, 10 * i64::from(n)) + 500 * MS_NS;
        let pod = usize::from(n / 2 % 2);
        let local = end("172.17.0.2", 43_000 + n);
        let remote = Some(end(["10.244.1.5", "10.244.1.6"][pod], 8000));
        let worker = cast.nginx_workers[usize::from(n % 2)];
        let mut client = socket(worker, Role::Opened, local, remote, opened);
        if pod == 1 && (at(6, 0)..at(6, 40)).contains(&opened) {
            client.fate = Fate::Failed { at: opened + 400_000, errno: "ECONNREFUSED" };
            world.add(client);
            continue;
        }
        client.latency_us = Some(400 + u32::from(n) * 13 % 70);
        client.fate = Fate::Closed {
            at: opened + 150 * MS_NS,
            sent: 600 + u64::from(n % 4),
            received: 4_000,
        };
        let server = accepted(&client, cast.orders[pod], None);
        world.add(client);
        world.add(server);
    }
}

/// 16 connections from outside to the published port, translated to the container.
fn published(world: &mut World, cast: &Cast) {
    for n in 0..16_u16 {
        let client = end(&format!("192.0.2.{}", 10 + n % 5), 50_000 + n);
        let (front, inside) = (end("10.0.0.5", 4443), end("172.17.0.2", 8080));
        let opened = at(0, 35 * i64::from(n)) + 200 * MS_NS;
        let closed = opened + 2 * SECOND_NS;
        let worker = cast.nginx_workers[usize::from(n / 3 % 2)];
        let server = socket(worker, Role::Accepted, inside.clone(), Some(client.clone()), opened);
        let fate = Fate::Closed { at: closed, sent: 30_000 + u64::from(n), received: 900 };
        world.add(Socket { listener: Some(cast.nginx), fate, ..server });
        world.nats.push(Nat {
            host: "web-1",
            from: opened - 100_000,
            to: closed + 10 * SECOND_NS,
            original: [client.clone(), front],
            onward: [client, inside],
        });
    }
}

/// What goes out: masqueraded from the container, directly from the host.
fn outside(world: &mut World, cast: &Cast) {
    for n in 0..6_u16 {
        let opened = at(1, 60 * i64::from(n));
        let (local, remote) = (end("172.17.0.2", 44_000 + n), end("203.0.113.80", 443));
        let worker = cast.nginx_workers[0];
        let client = socket(worker, Role::Opened, local.clone(), Some(remote.clone()), opened);
        let closed = opened + 5 * SECOND_NS;
        world.add(Socket {
            latency_us: Some(18_000 + u32::from(n) * 251),
            fate: Fate::Closed { at: closed, sent: 2_000, received: 70_000 },
            ..client
        });
        world.nats.push(Nat {
            host: "web-1",
            from: opened + 20_000,
            to: closed + 10 * SECOND_NS,
            original: [local, remote.clone()],
            onward: [end("10.0.0.5", 61_000 + n), remote],
        });
    }
    let remote = Some(end("203.0.113.66", 6667));
    let evil = socket(cast.evil, Role::Opened, end("10.0.0.5", 45_999), remote, at(3, 33));
    world.add(Socket { latency_us: Some(31_337), ..evil });
    // A copy of everything, for five minutes.
    let remote = Some(end("10.0.0.7", 873));
    let copy = socket(cast.rsync, Role::Opened, end("10.0.0.5", 45_000), remote, at(1, 0));
    world.add(Socket {
        latency_us: Some(310),
        retransmits: vec![at(5, 11), at(5, 12), at(6, 1)],
        fate: Fate::Closed { at: at(6, 2), sent: 1_200_000_000, received: 40_000 },
        ..copy
    });
}

/// curl every 50 seconds through docker-proxy, and once in vain to the outside; each asks for a
/// name first. It lives for 300 ms, or longer the later it is.
fn health_checks(world: &mut World, cast: &Cast) {
    for n in 0..12_u16 {
        let start = at(0, 50 * i64::from(n)) + 700 * MS_NS;
        let life = 300 * MS_NS + i64::from(n) * 100 * MS_NS;
        world.processes.push(Process {
            host: "web-1",
            // The numbers come again.
            pid: 5000 + u32::from(n % 6),
            start,
            exit: Some(start + life),
            user: "root",
            comm: "curl",
            exe: "/usr/bin/curl",
            cmdline: "curl -fs http://shop.local:4443/health".to_owned(),
            parent: "/usr/sbin/cron",
            container: None,
        });
        let curl = world.processes.len() - 1;
        let ask = start + 2 * MS_NS;
        let remote = Some(end("127.0.0.53", 53));
        let local = end("127.0.0.1", 46_000 + n);
        let resolver = socket(curl, Role::Opened, local, remote, ask);
        let fate = Fate::Closed { at: ask + MS_NS, sent: 0, received: 0 };
        world.add(Socket { proto: "udp", fate, ..resolver });
        let opened = ask + 2 * MS_NS;
        if n == 11 {
            let remote = Some(end("198.18.0.1", 4443));
            let lost = socket(curl, Role::Opened, end("10.0.0.5", 46_100), remote, opened);
            let fate = Fate::Failed { at: opened + 10 * MS_NS, errno: "EHOSTUNREACH" };
            world.add(Socket { fate, ..lost });
            continue;
        }
        let local = end("127.0.0.1", 47_000 + n);
        let remote = Some(end("127.0.0.1", 4443));
        let mut client = socket(curl, Role::Opened, local, remote, opened);
        client.latency_us = Some(60 + u32::from(n));
        client.fate = Fate::Closed { at: opened + 40 * MS_NS, sent: 80, received: 250 };
        let front = accepted(&client, cast.docker_proxy, None);
        let local = end("172.17.0.1", 48_000 + n);
        let remote = Some(end("172.17.0.2", 8080));
        let mut back = socket(cast.docker_proxy, Role::Opened, local, remote, opened + MS_NS);
        back.latency_us = Some(45);
        back.fate = Fate::Closed { at: opened + 41 * MS_NS, sent: 80, received: 250 };
        let worker = cast.nginx_workers[usize::from(n % 3 / 2)];
        let server = accepted(&back, worker, Some(cast.nginx));
        world.add(client);
        let front = world.add(front);
        let back = world.add(back);
        world.add(server);
        let at = opened + 2 * MS_NS;
        world.forwards.push(Forward { at, who: cast.docker_proxy, front, back });
    }
}

/// A container, and another one that takes its name, its address, its number of a
/// process and two of its ports.
fn jobs(world: &mut World, cast: &Cast) {
    for n in 0..5_u16 {
        let run = usize::from(n / 3);
        let opened = at([2, 8][run], 10 * i64::from(n));
        let local = end("172.17.0.4", 49_000 + n % 3);
        let remote = Some(end("172.17.0.3", 6379));
        let job = socket(cast.jobs[run], Role::Opened, local, remote, opened);
        let fate = Fate::Closed { at: opened + 4 * SECOND_NS, sent: 10, received: 70_000 };
        let client = Socket { latency_us: Some(90 + u32::from(n)), fate, ..job };
        let server = accepted(&client, cast.redis, None);
        world.add(client);
        world.add(server);
    }
}

/// Unconnected UDP: figures to db-1, names from orders to coredns, and from there onwards.
fn datagrams(world: &mut World, cast: &Cast) {
    let row = |at: i64, peer: &End, sent: bool, count: u64, size: u64| Datagrams {
        at,
        peer: peer.clone(),
        sent,
        count,
        bytes: count * size,
    };
    let mut figures = socket(cast.telegraf, Role::Bound, end("0.0.0.0", 36_000), None, at(0, 5));
    figures.proto = "udp";
    let statsd = end("10.0.0.7", 8125);
    figures.datagrams =
        (1..30).map(|n| row(at(0, 20 * n), &statsd, true, 10 + n.unsigned_abs() % 4, 64)).collect();
    world.add(figures);
    // One datagram at 3:04, and the socket stays.
    let mut log = socket(cast.metrics, Role::Bound, end("0.0.0.0", 36_514), None, at(3, 1));
    log.proto = "udp";
    log.datagrams = vec![row(at(4, 0), &end("10.0.0.7", 514), true, 1, 200)];
    world.add(log);
    let resolver = end("10.244.1.2", 53);
    let mut names = socket(cast.coredns, Role::Bound, end("::", 53), None, at(0, 0));
    names.proto = "udp";
    names.existed = true;
    let upstream = end("10.0.0.2", 53);
    for (n, &who) in (0..).zip(&cast.orders) {
        let local = end("0.0.0.0", 37_000 + n);
        let mut asks = socket(who, Role::Bound, local.clone(), None, at(0, 1));
        asks.proto = "udp";
        let asker = end(["10.244.1.5", "10.244.1.6"][usize::from(n)], local.1);
        for k in 1..=8 + i64::from(n) {
            let time = at(k, 0) - 30 * SECOND_NS;
            asks.datagrams.push(row(time, &resolver, true, 2 * k.unsigned_abs(), 40));
            asks.datagrams.push(row(time, &resolver, false, 2 * k.unsigned_abs(), 90));
            names.datagrams.push(row(time, &asker, false, 2 * k.unsigned_abs(), 40));
            names.datagrams.push(row(time, &asker, true, 2 * k.unsigned_abs(), 90));
            names.datagrams.push(row(time, &upstream, true, k.unsigned_abs(), 40));
        }
        asks.fate = Fate::Closed { at: at(9, 50), sent: 0, received: 0 };
        world.add(asks);
    }
    world.add(names);
}

/// A session that is handed on, interfaces, losses, and a clock that is set.
fn odds(world: &mut World, cast: &Cast) {
    let remote = Some(end("198.51.100.20", 50_022));
    let session = socket(cast.sshd_session, Role::Accepted, end("10.0.0.5", 22), remote, at(2, 0));
    let handed = Some((at(2, 5), cast.sshd_user));
    world.add(Socket { listener: Some(cast.sshd), handed, ..session });
    let interface = |name, index, address, serves| Interface {
        host: "web-1",
        at: at(0, 0),
        name,
        index,
        address,
        inside: false,
        serves,
        removed: false,
    };
    let gone = interface("veth01ab9c", 9, None, Some("cache"));
    world.interfaces = vec![
        interface("lo", 1, Some("127.0.0.1"), None),
        interface("eth0", 2, Some("10.0.0.5"), None),
        interface("docker0", 3, Some("172.17.0.1"), None),
        interface("veth7353878", 7, None, Some("web")),
        Interface { inside: true, ..interface("lo", 1, Some("127.0.0.1"), Some("web")) },
        Interface { inside: true, ..interface("eth0", 2, Some("172.17.0.2"), Some("web")) },
        gone,
        // The cache's cable is drawn and another one put in.
        Interface { at: at(4, 0), removed: true, ..gone },
        Interface { at: at(4, 1), ..interface("veth88d1f0e", 11, None, Some("cache")) },
        Interface { host: "node-2", ..interface("eth0", 2, Some("10.0.0.12"), None) },
    ];
    let loss = |host, at, stage, count| Loss { host, at, stage, count };
    world.losses = vec![
        loss("web-1", at(6, 10), "ring", 120),
        loss("web-1", at(6, 11), "ring", 35),
        loss("web-1", at(6, 11), "capture", 900),
        loss("node-2", at(8, 0), "channel", 7),
    ];
    world.gaps = vec![Gap { host: "node-2", at: at(8, 20), rows: 42 }];
    world.steps = vec![
        Step { host: "node-2", at: at(2, 0), by_ns: 40 * MS_NS },
        Step { host: "db-1", at: at(9, 0), by_ns: -150 * MS_NS },
    ];
}
