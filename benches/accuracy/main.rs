//! `accuracy`: how many ends of packets get the right name. A seeded workload, whose truth is known
//! to the generator alone, goes through the real `ebpfjoin`; beside it two simple matchers join the
//! same. Fails if `ebpfjoin` names one end wrongly.
//!
//! `cargo bench -p joiner --bench accuracy [-- FLOWS SEEDS [--markdown] [--keep FOLDER]]`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod files;
mod flows;
mod join;
mod matchers;
mod place;
mod process;
mod random;
mod recording;
mod report;
mod score;
mod tcp;
mod truth;
mod world;

use self::recording::Recording;
use self::report::{Mistake, Run};
use self::score::Outcome;
use self::truth::Judge;
use self::world::{CAPTURE_NS, World};

/// Flows of a workload, unless told otherwise: tens of thousands of tuples used again.
const FLOWS: usize = 20_000;
/// Workloads, with the seeds from one on.
const SEEDS: u64 = 5;
/// Mistakes told of each outcome: enough to look into, by `ebpfjoin explain`.
const TOLD: usize = 5;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let keep = args.iter().position(|arg| arg == "--keep").map(|at| {
        let folder = args.remove(at + 1);
        args.remove(at);
        PathBuf::from(folder)
    });
    let markdown = args.iter().any(|arg| arg == "--markdown");
    let mut numbers = args.iter().filter_map(|arg| arg.parse::<u64>().ok());
    let flows = numbers.next().map_or(FLOWS, |flows| flows as usize);
    let seeds = numbers.next().unwrap_or(SEEDS);
    let mut runs = vec![];
    for seed in 1..=seeds {
        let run = match &keep {
            Some(folder) => {
                let folder = folder.join(format!("seed-{seed}"));
                std::fs::create_dir_all(&folder).expect("folder");
                run(seed, flows, &folder)
            }
            None => run(seed, flows, tempfile::tempdir().expect("folder").path()),
        };
        report::print_progress(seed, &run);
        runs.push(run);
    }
    if markdown {
        report::print_markdown(flows, &runs);
    } else {
        report::print_tables(&runs);
    }
    if runs.iter().all(|run| run.joined.total.wrong + run.behind.total.wrong == 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One workload, joined three times.
fn run(seed: u64, flows: usize, folder: &Path) -> Run {
    let mut world = World::new(seed);
    flows::play(&mut world, flows);
    let recording = Recording::of(&mut world);
    let mut packets: Vec<_> = std::mem::take(&mut world.packets);
    packets.retain(|packet| (CAPTURE_NS.0..CAPTURE_NS.1).contains(&packet.ns));
    packets.sort_by_key(|packet| packet.ns);
    world.packets = packets;
    std::fs::create_dir_all(folder).expect("folder");
    files::write_events(&folder.join("events.parquet"), &world, &recording);
    files::write_capture(&folder.join("capture.pcapng"), &world.packets);
    let said = join::join(folder);
    assert_eq!(said.len(), world.packets.len(), "every packet is there");
    let judge = Judge::new(&world, &recording);
    let others = [matchers::last_event, matchers::slots]
        .map(|matcher| matcher(&world, &recording, &world.packets));
    let mut run = Run::default();
    run.packets = said.len();
    run.rows = recording.rows.len();
    for (n, (packet, said)) in world.packets.iter().zip(&said).enumerate() {
        for side in 0..2 {
            let truth = judge.end(packet, side);
            let end = &said.ends[side];
            let outcome = run.joined.add(packet.scene, &end.how, end.who.as_ref(), &truth);
            run.note(Mistake {
                frame: n + 1,
                side,
                scene: packet.scene,
                outcome,
                said: end.clone(),
                truth: truth.clone(),
            });
            for (score, names) in run.others.iter_mut().zip(&others) {
                score.add(packet.scene, "", names[n][side].as_ref(), &truth);
            }
            behind(&mut run, &judge, (n, packet, side), said);
        }
    }
    run
}

/// Who is behind a proxy, if this end is one and named.
fn behind(
    run: &mut Run,
    judge: &Judge<'_>,
    (n, packet, side): (usize, &world::Packet, usize),
    said: &join::Annotated,
) {
    let truth = match packet.behind[side] {
        Some(behind) => judge.behind(packet, behind),
        None => truth::Truth::default(),
    };
    let told = said.behind[side].clone();
    if (truth.who.is_none() && told.is_none()) || said.ends[side].who.is_none() {
        return;
    }
    let told = told.unwrap_or(join::Said { who: None, how: "nothing said".to_owned() });
    let outcome = run.behind.add(packet.scene, &told.how, told.who.as_ref(), &truth);
    run.note(Mistake { frame: n + 1, side, scene: packet.scene, outcome, said: told, truth });
}

/// Whether an outcome is worth a look.
fn is_mistake(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Wrong | Outcome::Missed | Outcome::Guessed)
}
