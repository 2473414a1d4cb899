//! Answers about connections: who opened them to whom, and how they went.

use std::cmp::Reverse;

use super::{cell, distinct, group, shown, time};
use crate::table::Table;
use crate::world::{Container, Fate, Process, Role, SECOND_NS, START_NS, Socket, World, at};

fn pod(process: &Process) -> Option<&'static str> {
    process.container.and_then(|container| container.pod).map(|(_, name)| name)
}

fn container(process: &Process) -> Option<&'static str> {
    process.container.map(|container| container.name)
}

pub(super) fn talked(world: &World) -> Table {
    let (from, to) = (at(5, 0), at(7, 0));
    let mut found = vec![];
    for socket in &world.sockets {
        let mut ports = vec![];
        if let Some((address, port)) = &socket.remote
            && address == "10.0.0.7"
            && socket.overlaps(from, to)
        {
            ports.push(*port);
        }
        let then = socket.datagrams.iter().filter(|of| (from..=to).contains(&of.at));
        ports.extend(then.filter(|of| of.peer.0 == "10.0.0.7").map(|of| of.peer.1));
        ports.dedup();
        found.extend(ports.into_iter().map(|port| (socket, port)));
    }
    let groups = group(found, |(socket, port)| (socket.owner, socket.proto, *port));
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|((who, _, _), sockets)| {
        let process = &world.processes[*who];
        (Reverse(sockets.len()), process.host, process.pid)
    });
    let mut table = Table::new("host comm pid pod_name proto remote_port sockets");
    for ((who, proto, port), sockets) in rows {
        let process = &world.processes[who];
        let Process { host, comm, pid, .. } = process;
        table.push([host, comm, pid, &cell(pod(process)), &proto, &port, &sockets.len()]);
    }
    table
}

pub(super) fn open_then(world: &World) -> Table {
    let moment = at(6, 30);
    let open = world.sockets.iter().filter(|socket| {
        let is_client = socket.proto == "tcp" && socket.role == Role::Opened;
        is_client && socket.opened <= moment && socket.closed().is_none_or(|closed| closed > moment)
    });
    let mut rows: Vec<_> =
        group(open, |socket| (socket.owner, socket.peer())).into_iter().collect();
    rows.sort_by_key(|((who, _), sockets)| {
        let process = &world.processes[*who];
        (Reverse(sockets.len()), process.host, process.pid)
    });
    let mut table = Table::new("host comm pid remote_addr remote_port connections oldest");
    for ((who, (address, port)), sockets) in rows {
        let Process { host, comm, pid, .. } = &world.processes[who];
        let oldest = sockets.iter().map(|socket| socket.opened).min().expect("one");
        table.push([host, &shown(comm), pid, &address, &port, &sockets.len(), &time(oldest)]);
    }
    table
}

pub(super) fn by_container(world: &World) -> Table {
    let connects = world.sockets.iter().filter(|socket| socket.is_connect());
    let inside = connects.filter_map(|socket| {
        let process = world.owner(socket);
        Some((process.container?, process.host, socket))
    });
    let groups = group(inside, |(container, host, _)| (container.id, *host));
    let mut rows: Vec<(Container, &str, Vec<&Socket>)> = vec![];
    for (_, all) in groups {
        rows.push((all[0].0, all[0].1, all.iter().map(|one| one.2).collect()));
    }
    rows.sort_by_key(|(container, _, all)| (Reverse(all.len()), container.pod));
    let mut table = Table::new("host container_name pod_name connects peers");
    for (container, host, all) in rows {
        let pod = cell(container.pod.map(|(_, name)| name));
        let peers = distinct(all.iter().map(|socket| socket.peer().0));
        table.push([&host, &container.name, &pod, &all.len(), &peers]);
    }
    table
}

/// Between the two nearest values, in proportion; rounded.
fn quantile(sorted: &[u32], percent: u64) -> u64 {
    let place = (sorted.len() as u64 - 1) * percent;
    let index = usize::try_from(place / 100).expect("few");
    let low = u64::from(sorted[index]);
    let high = sorted.get(index + 1).map_or(low, |&high| u64::from(high));
    (low * 100 + (high - low) * (place % 100) + 50) / 100
}

pub(super) fn latency(world: &World) -> Table {
    let all = world.sockets.iter().filter_map(|s| Some((world.owner(s).exe, s.latency_us?)));
    let mut rows: Vec<_> = group(all, |(exe, _)| *exe)
        .into_iter()
        .map(|(exe, all)| {
            let mut sorted: Vec<_> = all.into_iter().map(|(_, latency)| latency).collect();
            sorted.sort_unstable();
            let max = sorted[sorted.len() - 1];
            (exe, sorted.len(), quantile(&sorted, 50), quantile(&sorted, 99), max)
        })
        .collect();
    rows.sort_by_key(|row| Reverse(row.3));
    let mut table = Table::new("exe connects p50_us p99_us max_us");
    for (exe, connects, p50, p99, max) in rows {
        table.push([&exe, &connects, &p50, &p99, &max]);
    }
    table
}

pub(super) fn retransmits(world: &World) -> Table {
    let again = world.sockets.iter().filter(|socket| !socket.retransmits.is_empty());
    let groups = group(again, |socket| {
        let process = world.owner(socket);
        (process.host, cell(pod(process)), process.comm, socket.peer().0)
    });
    let mut rows: Vec<_> = groups.into_iter().collect();
    let segments = |sockets: &[&Socket]| sockets.iter().map(|s| s.retransmits.len()).sum::<usize>();
    rows.sort_by_key(|(_, sockets)| Reverse(segments(sockets)));
    let mut table = Table::new("host pod_name comm remote_addr segments connections first last");
    for ((host, pod, comm, address), sockets) in rows {
        let times = || sockets.iter().flat_map(|socket| &socket.retransmits);
        let [first, last] = [times().min(), times().max()].map(|at| time(*at.expect("one")));
        let segments = segments(&sockets);
        table.push([&host, &pod, &comm, &address, &segments, &sockets.len(), &first, &last]);
    }
    table
}

/// When and why a connect failed.
fn failure(socket: &Socket) -> Option<(i64, &'static str)> {
    match socket.fate {
        Fate::Failed { at, errno } => Some((at, errno)),
        _ => None,
    }
}

pub(super) fn failed(world: &World) -> Table {
    let all = world.sockets.iter().filter_map(|socket| Some((failure(socket)?, socket)));
    let groups = group(all, |((_, errno), socket)| {
        let process = world.owner(socket);
        (*errno, process.host, process.comm, socket.peer())
    });
    let mut rows: Vec<_> = groups
        .into_iter()
        .map(|(key, all)| {
            let times = || all.iter().map(|((at, _), _)| *at);
            (key, all.len(), times().min().expect("one"), times().max().expect("one"))
        })
        .collect();
    rows.sort_by_key(|&(_, count, first, _)| (Reverse(count), first));
    let mut table = Table::new("error host comm remote_addr remote_port failed first last");
    for ((errno, host, comm, (address, port)), count, first, last) in rows {
        let (first, last) = (time(first), time(last));
        table.push([&errno, &host, &comm, &address, &port, &count, &first, &last]);
    }
    table
}

pub(super) fn failed_when(world: &World) -> Table {
    let mut table = Table::new("since tried failed");
    for bucket in 0..20 {
        let since = START_NS + bucket * 30 * SECOND_NS;
        let within = |at: i64| (since..since + 30 * SECOND_NS).contains(&at);
        let tried =
            world.sockets.iter().filter(|socket| socket.is_connect() && within(socket.opened));
        let failed = world.sockets.iter().filter_map(failure).filter(|&(at, _)| within(at)).count();
        if failed > 0 {
            table.push([&time(since), &tried.count(), &failed]);
        }
    }
    table
}

pub(super) fn both_ends(world: &World) -> Table {
    let mut pairs = vec![];
    for client in world.sockets.iter().filter(|s| s.proto == "tcp" && s.role == Role::Opened) {
        let servers = world.sockets.iter().filter(|server| {
            let is_server = server.role == Role::Accepted && server.local == client.peer();
            // Ports come again, but not so soon.
            let near = (client.opened..client.opened + SECOND_NS).contains(&server.opened);
            is_server && server.peer() == client.local && near
        });
        pairs.extend(servers.map(|server| (client, server)));
    }
    let groups = group(pairs, |(client, server)| {
        let (client, server) = (world.owner(client), world.owner(server));
        (client.host, client.comm, server.host, server.comm, cell(pod(server)))
    });
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|((_, comm, ..), pairs)| (Reverse(pairs.len()), *comm));
    let mut table = Table::new("host comm peer_host peer_comm peer_pod connections");
    for ((host, comm, peer_host, peer_comm, pod), pairs) in rows {
        table.push([&host, &comm, &peer_host, &peer_comm, &pod, &pairs.len()]);
    }
    table
}

pub(super) fn bytes(world: &World) -> Table {
    let mut sums = vec![(0, 0); world.processes.len()];
    for socket in &world.sockets {
        if let Fate::Closed { sent, received, .. } = socket.fate {
            sums[socket.owner].0 += sent;
            sums[socket.owner].1 += received;
        }
        for datagrams in &socket.datagrams {
            let sum = &mut sums[socket.owner];
            *if datagrams.sent { &mut sum.0 } else { &mut sum.1 } += datagrams.bytes;
        }
    }
    let mut rows: Vec<_> = sums.into_iter().zip(&world.processes).collect();
    rows.sort_by_key(|((sent, received), _)| Reverse(sent + received));
    let mut table = Table::new("host comm pid container_name sent received");
    for ((sent, received), process) in rows.into_iter().take(8) {
        let Process { host, comm, pid, .. } = process;
        table.push([host, comm, pid, &cell(container(process)), &sent, &received]);
    }
    table
}
