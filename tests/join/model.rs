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
use world::{Packet, World};

use crate::spec::Spec;

/// How many worlds are tried when nobody says otherwise: half a minute of an idle core.
const WORLDS: u64 = 300;

/// How many of a hundred ends that are some recorded process's have a name at least, over many worlds:
/// captures that miss packets, recordings that lose rows and begin late are among them.
const NAMED: u64 = 80;

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}

/// What the judge found.
#[derive(Default)]
struct Judged {
    /// Ends with a wrong name, or with what the reference doesn't allow.
    wrong: Vec<String>,
    /// Ends that are a process's, and that have a name.
    processes: u64,
    named: u64,
    /// Names that are wrong because the design wants them.
    demanded: u64,
}

impl Judged {
    fn append(&mut self, mut other: Self) {
        self.wrong.append(&mut other.wrong);
        self.processes += other.processes;
        self.named += other.named;
        self.demanded += other.demanded;
    }
}

/// Joins a world, and looks at what the program says of it.
fn judge(world: &World) -> Judged {
    let text = world.text();
    let told = Told::new(world);
    let spec = Spec::new(&text);
    let said = spec.told();
    assert_eq!(said.len(), world.packets.len(), "seed {}", world.seed);
    if world.seed.is_multiple_of(4) {
        spec.check_memory();
    }
    let mut judged = Judged::default();
    for (frame, (packet, said)) in (1..).zip(world.packets.iter().zip(&said)) {
        let before = judged.wrong.len();
        let (src, dst) = said.split_once(" | ").expect("two ends");
        for (side, said) in [src, dst].into_iter().enumerate() {
            judge_end(&mut judged, &told, (frame, packet, side), said);
        }
        if judged.wrong.len() > before && std::env::var_os("EBPF_MODEL_SHOW").is_some() {
            judged.wrong.push(spec.explain(frame));
        }
    }
    if !judged.wrong.is_empty() && std::env::var_os("EBPF_MODEL_SHOW").is_some() {
        judged.wrong.push(text);
    }
    judged
}

fn judge_end(
    judged: &mut Judged,
    told: &Told<'_>,
    (frame, packet, side): (usize, &Packet, usize),
    said: &str,
) {
    let truth = &packet.truth[side];
    let world = told.world;
    let allowed = || reference::allowed(told, packet, side);
    let of = ["source", "destination"][side];
    let place = format!("seed {} packet {frame} {of}: `{said}`", world.seed);
    let name = said.split_once(' ').map(|(name, _)| name);
    judged.processes += u64::from(!truth.is_empty());
    judged.named += u64::from(!truth.is_empty() && name.is_some());
    if name.is_some_and(|name| !truth.iter().any(|right| right == name)) {
        // "A life still open at the end goes on for `--after`", and one that was there at the start goes
        // "back to its own SYN": what took its place since then, or had it before, and was not seen to
        // begin or to end, no file can tell. The design wants the name all the same.
        let (start, end) = world.recorded;
        if !(start..=end).contains(&packet.at) && allowed().contains(said) {
            judged.demanded += 1;
        } else {
            judged.wrong.push(format!("WRONG {place}, it was {truth:?}"));
        }
        return;
    }
    let allowed = allowed();
    if !allowed.contains(said) {
        judged.wrong.push(format!("UNLIKE {place}, allowed {allowed:?}, it was {truth:?}"));
    }
}

#[test]
fn no_name_is_wrong_and_every_verdict_is_one_the_design_allows() {
    let worlds = setting("EBPF_MODEL_WORLDS", WORLDS);
    let first = setting("EBPF_MODEL_SEED", 1);
    let next = AtomicU64::new(0);
    let work = || {
        let mut judged = Judged::default();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= worlds {
                return judged;
            }
            judged.append(judge(&generate::world(first + n)));
        }
    };
    let mut judged = Judged::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| judged.append(worker.join().expect("judged")));
    });
    let Judged { wrong, processes, named, demanded } = judged;
    println!("{named} of {processes} ends of processes named, {demanded} wrongly as is wanted");
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
    // Nobody is ever wrong who never says a name.
    assert!(worlds < WORLDS || named * 100 >= processes * NAMED, "{named} of {processes} named");
    assert!(demanded * 1000 <= named, "{demanded} of {named} wrong");
}
