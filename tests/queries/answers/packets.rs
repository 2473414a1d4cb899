//! Answers about packets.

use std::cmp::Reverse;

use super::{cell, distinct, group, shown};
use crate::table::Table;
use crate::world::{Fate, Packet, Process, RST, Side, Socket, World};

/// Bytes of Ethernet, IP and TCP before the payload.
const HEADERS: u64 = 54;
/// Bytes of an ARP request.
const ARP: u64 = 42;

fn length(packet: &Packet) -> u64 {
    if packet.ends.is_some() { HEADERS + u64::from(packet.payload) } else { ARP }
}

fn socket(world: &World, side: Side) -> Option<&Socket> {
    match side {
        Side::Of(socket, _) => Some(&world.sockets[socket]),
        Side::Nobody(_) => None,
    }
}

fn process(world: &World, side: Side) -> Option<&Process> {
    socket(world, side).map(|socket| world.owner(socket))
}

fn container(world: &World, side: Side) -> String {
    let container = process(world, side).and_then(|process| process.container);
    cell(container.map(|container| container.name))
}

/// How a name must have been found, by when the socket was open.
fn found(world: &World, at: i64, side: Side) -> Option<String> {
    let Side::Of(socket, translated) = side else { return None };
    let socket = &world.sockets[socket];
    let rule = if at < socket.opened {
        "early"
    } else if socket.closed().is_some_and(|closed| closed < at) {
        "late"
    } else {
        "exact"
    };
    Some(if translated { format!("nat+{rule}") } else { rule.to_owned() })
}

/// Who it is, or else the address.
fn name(world: &World, packet: &Packet, side: usize) -> String {
    let process = process(world, packet.sides[side]).map(|process| shown(process.comm));
    process.or_else(|| Some(packet.ends.as_ref()?[side].0.clone())).unwrap_or_default()
}

pub(super) fn unnamed(world: &World) -> Table {
    let sides = world
        .packets
        .iter()
        .flat_map(|packet| ["sender", "receiver"].into_iter().zip(packet.sides));
    let reasons = sides.filter_map(|(end, side)| match side {
        Side::Nobody(reason) => Some((end, reason)),
        Side::Of(..) => None,
    });
    let mut rows: Vec<_> = group(reasons, |&key| key).into_iter().collect();
    rows.sort_by_key(|&((end, reason), ref all)| (Reverse(all.len()), reason, end));
    let mut table = Table::new("side reason packets");
    for ((end, reason), all) in rows {
        table.push([&end, &reason, &all.len()]);
    }
    table
}

pub(super) fn matches(world: &World) -> Table {
    let found = world.packets.iter().flat_map(|packet| {
        packet.sides.into_iter().filter_map(|side| found(world, packet.at, side))
    });
    let mut rows: Vec<_> = group(found, Clone::clone).into_iter().collect();
    rows.sort_by_key(|(_, all)| Reverse(all.len()));
    let mut table = Table::new("match ends");
    for (found, all) in rows {
        table.push([&found, &all.len()]);
    }
    table
}

pub(super) fn volume(world: &World) -> Table {
    let groups = group(&world.packets, |packet| {
        (packet.interface, name(world, packet, 0), name(world, packet, 1))
    });
    let bytes = |all: &[&Packet]| all.iter().map(|packet| length(packet)).sum::<u64>();
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|((_, sender, _), all)| (Reverse(bytes(all)), sender.clone()));
    let mut table = Table::new("ifname sender receiver packets bytes");
    for ((interface, sender, receiver), all) in rows.into_iter().take(6) {
        table.push([&interface, &sender, &receiver, &all.len(), &bytes(&all)]);
    }
    table
}

pub(super) fn translated(world: &World) -> Table {
    let inwards = world.packets.iter().filter(|p| matches!(p.sides[1], Side::Of(_, true)));
    let groups = group(inwards, |packet| {
        let [src, dst] = packet.ends.clone().expect("TCP");
        let pid = process(world, packet.sides[1]).expect("known").pid;
        (src.0, pid, dst)
    });
    let mut table =
        Table::new("src_addr dst_addr dst_port dst_comm dst_pid dst_container_name packets");
    for ((client, pid, (address, port)), all) in groups {
        let side = all[0].sides[1];
        let comm = process(world, side).expect("known").comm;
        table.push([&client, &address, &port, &comm, &pid, &container(world, side), &all.len()]);
    }
    table
}

pub(super) fn resets(world: &World) -> Table {
    let resets = world.packets.iter().filter(|packet| packet.flags & RST != 0);
    let groups = group(resets, |packet| {
        let [src, dst] = packet.ends.clone().expect("TCP");
        (src, dst.0, cell(process(world, packet.sides[1]).map(|process| process.comm)))
    });
    let mut table = Table::new("src_addr src_port src_none dst_addr dst_comm resets");
    for (((address, port), to, comm), all) in groups {
        let Side::Nobody(reason) = all[0].sides[0] else { panic!("nobody listens there") };
        table.push([&address, &port, &reason, &to, &comm, &all.len()]);
    }
    table
}

pub(super) fn failed(world: &World) -> Table {
    let sent = world.packets.iter().filter_map(|packet| {
        let socket = socket(world, packet.sides[0])?;
        let Fate::Failed { errno, .. } = socket.fate else { return None };
        Some((socket, errno))
    });
    let groups = group(sent, |&(socket, errno)| (errno, world.owner(socket).comm, socket.peer()));
    let mut table = Table::new("error comm remote_addr remote_port connects packets");
    for ((errno, comm, (address, port)), all) in groups {
        let connects = distinct(all.iter().map(|(socket, _)| socket.cookie));
        table.push([&errno, &comm, &address, &port, &connects, &all.len()]);
    }
    table
}
