//! Small random worlds, joined by the real program and judged twice: no name may be wrong by what the
//! generator knows (whatever the capture or the recording lacks), and every verdict must be one that
//! the reference allows, which was written from the design and not from the joiner.
//!
//! `EBPF_MODEL_WORLDS` tells how many worlds to try, `EBPF_MODEL_SEED` the first of them.

mod draft;
mod generate;
mod lives;
mod place;
mod reference;
mod rng;
mod settle;
mod special;
mod syns;
mod tcp;
mod udp;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use lives::Told;
use world::World;

use crate::spec::Spec;

/// How many worlds are tried when nobody says otherwise.
const WORLDS: u64 = 300;

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}

/// What is wrong with what the program says of a world.
fn judge(world: &World) -> Vec<String> {
    let text = world.text();
    let told = Told::new(world);
    let spec = Spec::new(&text);
    let said = spec.told();
    assert_eq!(said.len(), world.packets.len(), "seed {}", world.seed);
    let mut wrong = vec![];
    for (frame, (packet, said)) in (1..).zip(world.packets.iter().zip(&said)) {
        let (src, dst) = said.split_once(" | ").expect("two ends");
        for (side, said) in [src, dst].into_iter().enumerate() {
            let of = ["source", "destination"][side];
            let truth = &packet.truth[side];
            let place = format!("seed {} packet {frame} {of}: `{said}`", world.seed);
            if let Some((name, _)) = said.split_once(' ')
                && !truth.iter().any(|right| right == name)
            {
                wrong.push(format!("WRONG {place}, it was {truth:?}"));
                continue;
            }
            let allowed = reference::allowed(&told, packet, side);
            if !allowed.contains(said) {
                wrong.push(format!("UNLIKE {place}, allowed {allowed:?}, it was {truth:?}"));
            }
        }
    }
    if !wrong.is_empty() && std::env::var_os("EBPF_MODEL_SHOW").is_some() {
        wrong.push(text);
        for line in wrong.clone() {
            let frame = line.split(" packet ").nth(1).and_then(|rest| rest.split(' ').next());
            if let Some(frame) = frame.and_then(|frame| frame.parse().ok()) {
                wrong.push(spec.explain(frame));
            }
        }
    }
    wrong
}

#[test]
fn no_name_is_wrong_and_every_verdict_is_one_the_design_allows() {
    let worlds = setting("EBPF_MODEL_WORLDS", WORLDS);
    let first = setting("EBPF_MODEL_SEED", 1);
    let next = AtomicU64::new(0);
    let work = || {
        let mut wrong = vec![];
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= worlds {
                return wrong;
            }
            wrong.extend(judge(&generate::world(first + n)));
        }
    };
    let wrong: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("judged")).collect()
    });
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}
