//! The scenes that make up a workload, and how often each is played.

use crate::random::Random;
use crate::world::{LENGTH_NS, SECOND, World};

mod datagrams;
mod incoming;
mod outgoing;
mod proxied;
mod stray;
mod translated;
mod twins;

/// A scene, which begins at a given time.
type Scene = fn(&mut World, i64);

/// How many of a hundred flows are such.
const SCENES: &[(usize, Scene)] = &[
    (16, outgoing::remote),
    (3, outgoing::refused),
    (12, outgoing::local),
    (14, incoming::workers),
    (3, incoming::half_open),
    (4, incoming::shared_port),
    (8, twins::connection),
    (5, translated::masqueraded),
    (5, translated::published),
    (5, proxied::by_rows),
    (4, proxied::by_bytes),
    (6, datagrams::connected),
    (4, datagrams::unconnected),
    (3, datagrams::to_listener),
    (3, datagrams::answered),
    (2, datagrams::shared_port),
    (2, stray::foreign),
    (1, stray::nobody),
];

/// Plays `flows` scenes, from before the recording until after it.
pub(crate) fn play(world: &mut World, flows: usize) {
    incoming::listen(world);
    datagrams::listen(world);
    twins::listen(world);
    translated::listen(world);
    proxied::listen(world);
    let mut starts: Vec<i64> = (0..flows).map(|_| start(&mut world.random)).collect();
    starts.sort_unstable();
    let total = SCENES.iter().map(|(weight, _)| weight).sum();
    for start_ns in starts {
        let mut at = world.random.below(total);
        let scene = SCENES.iter().find(|(weight, _)| {
            let is_it = at < *weight;
            at = at.saturating_sub(*weight);
            is_it
        });
        if let Some((_, scene)) = scene {
            scene(world, start_ns);
        }
    }
}

fn start(random: &mut Random) -> i64 {
    random.range(-60 * SECOND, LENGTH_NS + 5 * SECOND)
}
