//! Random worlds, small and full of collisions, joined by the real program: every end of every packet
//! must say what the reference by brute force says, and no process that is not truly there may be
//! named.
//!
//! `EBPF_WORLDS=N` asks for more worlds than the usual ones, `EBPF_SEED=N` for others.

mod generate;

use std::sync::atomic::{AtomicU64, Ordering};

use self::generate::World;
use crate::reference::Reference;
use crate::spec::Spec;

const WORLDS: u64 = 500;
const THREADS: usize = 4;

fn asked(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn the_program_agrees_with_brute_force_on_random_worlds() {
    let (first, worlds) = (asked("EBPF_SEED", 1), asked("EBPF_WORLDS", WORLDS));
    let next = AtomicU64::new(first);
    let named = AtomicU64::new(0);
    let packets = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        break;
                    }
                    let (told, of) = compare(seed);
                    named.fetch_add(told, Ordering::Relaxed);
                    packets.fetch_add(of, Ordering::Relaxed);
                }
            });
        }
    });
    let (named, ends) = (named.into_inner(), packets.into_inner() * 2);
    // Worlds in which nobody is ever named would agree as well.
    assert!(named * 4 > ends, "{named} of {ends} ends have a name");
}

/// Compares one world; returns how many ends have a name, of how many packets.
fn compare(seed: u64) -> (u64, u64) {
    let world = World::new(seed);
    let reference = Reference::new(&world.rows, &world.packets);
    let mut text = format!("// world {seed}\n");
    for row in &world.rows {
        text += &format!("{row}\n");
    }
    for (packet, _) in world.packets.iter().zip(&world.truth) {
        text += &format!("{packet} = {}\n", reference.says(packet));
    }
    let spec = Spec::new(&text);
    let told = spec.told();
    if seed.is_multiple_of(4) {
        spec.check_memory();
    }
    let mut wrong = String::new();
    let mut named = 0;
    for (nth, (packet, truth)) in world.packets.iter().zip(&world.truth).enumerate() {
        let want = reference.says(packet);
        if want != told[nth] {
            wrong += &format!("\n{}: {packet}\n  want {want}\n  told {}\n", nth + 1, told[nth]);
            wrong += &spec.explain(nth + 1);
        }
        for (end, truth) in told[nth].split(" | ").zip(truth) {
            let Some((name, _)) = end.split_once(' ') else { continue };
            named += 1;
            if !truth.iter().any(|true_name| true_name == name) {
                wrong += &format!("\n{}: {packet}\n  truly {truth:?}\n  told {end}\n", nth + 1);
                wrong += &spec.explain(nth + 1);
            }
        }
    }
    assert!(wrong.is_empty(), "world {seed}\n{text}\n{wrong}");
    (named, world.packets.len() as u64)
}
