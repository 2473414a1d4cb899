//! Two simple ways to join the same events with the same packets, for comparison.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use schema::Proto;

use crate::process::Name;
use crate::recording::Recording;
use crate::world::{Packet, Row, World};

/// A local end and its peer.
type Key = (Proto, SocketAddr, Option<SocketAddr>);

/// What each end of a packet is looked up by.
fn keys(packet: &Packet) -> [Key; 2] {
    let Packet { proto, src, dst, .. } = *packet;
    [(proto, src, Some(dst)), (proto, dst, Some(src))]
}

fn named(world: &World, row: &Row) -> Option<(Key, Name)> {
    row.life?;
    Some(((row.proto, row.local, row.remote), world.name(row.who?, row.ts)))
}

/// The last event of a tuple names all its packets, whenever they were.
pub(crate) fn last_event(
    world: &World,
    recording: &Recording,
    packets: &[Packet],
) -> Vec<[Option<Name>; 2]> {
    let last: HashMap<Key, Name> =
        recording.rows.iter().filter_map(|row| named(world, row)).collect();
    packets.iter().map(|packet| keys(packet).map(|key| last.get(&key).cloned())).collect()
}

/// Places of the cache.
const SLOTS: usize = 256;

/// Events and packets in order of time; an event overwrites its place, and a packet takes what is
/// there.
pub(crate) fn slots(
    world: &World,
    recording: &Recording,
    packets: &[Packet],
) -> Vec<[Option<Name>; 2]> {
    let mut cache: Vec<Option<Name>> = vec![None; SLOTS];
    let mut rows = recording.rows.iter().peekable();
    let mut out = Vec::with_capacity(packets.len());
    for packet in packets {
        while let Some(row) = rows.next_if(|row| row.ts <= packet.ns) {
            if let Some((key, name)) = named(world, row) {
                cache[slot(key)] = Some(name);
            }
        }
        out.push(keys(packet).map(|key| cache[slot(key)].clone()));
    }
    out
}

fn slot(key: Key) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % SLOTS as u64) as usize
}
