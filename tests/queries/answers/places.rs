//! Answers about processes, ports and addresses.

use std::cmp::Reverse;
use std::net::Ipv4Addr;

use super::{cell, distinct, group, shown, time};
use crate::table::Table;
use crate::world::{Process, Role, SECOND_NS, START_NS, Socket, World};

pub(super) fn listeners(world: &World) -> Table {
    let open = world.sockets.iter().filter(|s| s.role == Role::Bound && s.closed().is_none());
    let mut rows: Vec<_> = open.map(|socket| (world.owner(socket), socket)).collect();
    rows.sort_by_key(|(process, socket)| (process.host, socket.local.1, process.pid));
    let mut table = Table::new("host proto local_addr local_port comm pid container_name");
    for (process, socket) in rows {
        let Process { host, comm, pid, container, .. } = process;
        let (address, port) = &socket.local;
        let name = cell(container.map(|container| container.name));
        table.push([host, &socket.proto, address, port, comm, pid, &name]);
    }
    table
}

pub(super) fn port_9000(world: &World) -> Table {
    let mut sockets: Vec<_> = world.sockets.iter().filter(|s| s.local.1 == 9000).collect();
    sockets.sort_by_key(|socket| socket.opened);
    let mut table = Table::new("host local_addr comm pid exe opened closed");
    for socket in sockets {
        let Process { host, comm, pid, exe, .. } = world.owner(socket);
        let closed = cell(socket.closed().map(time));
        table.push([host, &socket.local.0, comm, pid, exe, &time(socket.opened), &closed]);
    }
    table
}

pub(super) fn short_lives(world: &World) -> Table {
    let mut table = Table::new("host comm pid started lived_ms sockets peers");
    for (who, process) in world.processes.iter().enumerate() {
        let Process { host, comm, pid, start, exit, .. } = process;
        let Some(lived) = exit.map(|exit| exit - start).filter(|&lived| lived < SECOND_NS) else {
            continue;
        };
        let mut sockets: Vec<_> = world.sockets.iter().filter(|s| s.owner == who).collect();
        sockets.sort_by_key(|socket| socket.opened);
        let peers: Vec<_> = sockets.iter().map(|socket| socket.peer().0).collect();
        let lived_ms = lived / 1_000_000;
        table.push([host, comm, pid, &time(*start), &lived_ms, &sockets.len(), &peers.join(" ")]);
    }
    table
}

pub(super) fn askers(world: &World) -> Table {
    let mut asked = vec![];
    for socket in &world.sockets {
        if socket.role == Role::Opened && socket.peer().1 == 53 {
            asked.push((socket, socket.peer().0, None));
        }
        let sent = socket.datagrams.iter().filter(|of| of.sent && of.peer.1 == 53);
        asked.extend(sent.map(|of| (socket, of.peer.0.clone(), Some(of.count))));
    }
    let groups = group(asked, |(socket, server, _)| {
        let process = world.owner(socket);
        let pod = process.container.and_then(|container| container.pod).map(|(_, name)| name);
        (process.host, process.comm, cell(pod), server.clone())
    });
    let mut rows: Vec<_> = groups
        .into_iter()
        .map(|(key, all)| {
            let sockets = distinct(all.iter().map(|(socket, ..)| socket.cookie));
            let datagrams = all.iter().map(|(_, _, count)| *count).sum::<Option<u64>>();
            (key, sockets, datagrams)
        })
        .collect();
    rows.sort_by_key(|&(_, sockets, datagrams)| Reverse((sockets, datagrams)));
    let mut table = Table::new("host comm pod_name server sockets datagrams");
    for ((host, comm, pod, server), sockets, datagrams) in rows {
        table.push([&host, &comm, &pod, &server, &sockets, &cell(datagrams)]);
    }
    table
}

pub(super) fn behind_proxy(world: &World) -> Table {
    let mut table = Table::new("opened remote_addr remote_port proxy comm pid container_name");
    for forward in world.forwards.iter().take(5) {
        let proxy = &world.processes[forward.who];
        let find = |cookie| {
            let is = |socket: &&Socket| world.host(socket) == proxy.host && socket.cookie == cookie;
            world.sockets.iter().find(is).expect("a socket")
        };
        let (front, back) = (find(forward.front), find(forward.back));
        let is_far = |socket: &&Socket| socket.remote.as_ref() == Some(&back.local);
        let far = world.owner(world.sockets.iter().find(is_far).expect("a far end"));
        let (address, port) = front.peer();
        let container = cell(far.container.map(|container| container.name));
        let opened = time(front.opened);
        table.push([&opened, &address, &port, &proxy.comm, &far.comm, &far.pid, &container]);
    }
    table
}

pub(super) fn translations(world: &World) -> Table {
    let groups = group(&world.nats, |nat| {
        let ([src, dst], [new_src, new_dst]) = (&nat.original, &nat.onward);
        (nat.host, dst.clone(), new_dst.clone(), src.0 != new_src.0)
    });
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|(_, nats)| Reverse(nats.len()));
    let mut table = Table::new(
        "host remote_addr remote_port nat_dst_addr nat_dst_port masqueraded connections clients",
    );
    for ((host, dst, new, masqueraded), nats) in rows {
        let clients = distinct(nats.iter().map(|nat| &nat.original[0].0));
        table.push([&host, &dst.0, &dst.1, &new.0, &new.1, &masqueraded, &nats.len(), &clients]);
    }
    table
}

pub(super) fn workers(world: &World) -> Table {
    let mut taken = vec![];
    for socket in &world.sockets {
        let Some(listener) = socket.listener else { continue };
        taken.push((listener, socket.owner, false));
        taken.extend(socket.handed.map(|(_, to)| (listener, to, true)));
    }
    let mut rows: Vec<_> = group(taken, |&key| key).into_iter().collect();
    rows.sort_by_key(|((listener, worker, _), _)| {
        let (listener, worker) = (&world.processes[*listener], &world.processes[*worker]);
        (listener.host, listener.pid, worker.pid)
    });
    let mut table = Table::new("host comm listener worker user later connections");
    for ((listener, worker, later), taken) in rows {
        let (listener, worker) = (&world.processes[listener], &world.processes[worker]);
        let Process { host, comm, pid, .. } = listener;
        table.push([host, comm, pid, &worker.pid, &worker.user, &later, &taken.len()]);
    }
    table
}

pub(super) fn outside(world: &World) -> Table {
    let is_ours = |address: &str| {
        let address: Ipv4Addr = address.parse().expect("only IPv4 is asked");
        address.is_private() || address.is_loopback() || address.is_link_local()
    };
    let opened = world.sockets.iter().filter(|s| s.role == Role::Opened && s.opened > START_NS);
    let outside = opened.filter(|socket| !is_ours(&socket.peer().0));
    let groups = group(outside, |socket| {
        let process = world.owner(socket);
        (
            shown(process.comm),
            process.host,
            process.user,
            shown(&process.cmdline),
            process.parent,
            socket.peer(),
        )
    });
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|(_, sockets)| Reverse(sockets.len()));
    let mut table =
        Table::new("host comm user remote_addr remote_port cmdline parent_exe connects");
    for ((comm, host, user, cmdline, parent, (address, port)), sockets) in rows {
        table.push([&host, &comm, &user, &address, &port, &cmdline, &parent, &sockets.len()]);
    }
    table
}
