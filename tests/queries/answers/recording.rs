//! Answers about the machines and the recording itself.

use super::{cell, time};
use crate::table::Table;
use crate::world::{CONTAINERS, HOST_NETNS, Interface, World};

/// Inode of the namespace that an interface is in.
fn netns(interface: &Interface) -> u64 {
    let serves = CONTAINERS.iter().find(|of| Some(of.name) == interface.serves);
    serves.filter(|_| interface.inside).map_or(HOST_NETNS, |container| container.netns)
}

pub(super) fn interfaces(world: &World) -> Table {
    let mut table = Table::new("host netns ifname ifindex local_addr container_name");
    let is_left =
        |index: u32| world.interfaces.iter().all(|other| other.index != index || !other.removed);
    let mut left: Vec<_> = world.interfaces.iter().filter(|of| is_left(of.index)).collect();
    left.sort_by_key(|of| (of.host, netns(of), of.index));
    for of in left {
        table.push([
            &of.host,
            &netns(of),
            &of.name,
            &of.index,
            &cell(of.address),
            &cell(of.serves),
        ]);
    }
    table
}

pub(super) fn losses(world: &World) -> Table {
    let mut rows: Vec<_> =
        world.losses.iter().map(|of| (of.at, of.stage, of.host, of.count)).collect();
    // What is missing shows in the row that follows.
    rows.extend(world.gaps.iter().map(|of| {
        let here = world.sockets.iter().filter(|socket| world.host(socket) == of.host);
        let next = here.map(|socket| socket.opened).filter(|&opened| opened > of.at).min();
        (next.expect("one"), "uncounted", of.host, of.rows)
    }));
    rows.sort_unstable();
    let mut table = Table::new("host ts stage count");
    for (at, stage, host, count) in rows {
        table.push([&host, &time(at), &stage, &count]);
    }
    table
}

pub(super) fn clocks(world: &World) -> Table {
    let mut table = Table::new("host ts moved_ms");
    for step in &world.steps {
        table.push([&step.host, &time(step.at), &(step.by_ns / 1_000_000)]);
    }
    table
}
