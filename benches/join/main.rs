//! `join/*`: the whole `ebpfjoin` process beside `cat` and plain rewrites of the same file by the
//! usual tools, in turn, all writing to /dev/null and, for information, to a file; beside the
//! pipeline of scripts that people use today; and its memory by the size of the capture. Prints
//! ratios with their spread: one machine's seconds say little, and these machines are noisy. What
//! must hold on any machine is checked and fails; times never do.
//!
//! `cargo bench -p joiner --bench join [-- CASE... [--packets N] [--rounds N] [--keep FOLDER]]`
//! `cargo bench -p joiner --bench join -- --write SHAPE FOLDER [--packets N]`

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

mod check;
mod corpus;
mod inputs;
mod report;
mod script;
mod settings;
mod tool;

use self::corpus::{SHAPES, Truth};
use self::inputs::Inputs;
use self::report::Spread;
use self::settings::Settings;
use self::tool::{TOOLS, Usage};

/// Captures whose memory is compared: so many times as long, in as many flows.
const STRETCHES: [u64; 3] = [1, 4, 16];
/// The first of them is so much smaller than the shape's own.
const SMALLER: u64 = 8;
/// What the memory of the longest may be above that of the shortest, bytes: 64 MiB.
const SLACK: f64 = 67_108_864.0;

fn main() -> ExitCode {
    match Settings::parse(std::env::args().skip(1)).and_then(|settings| run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("join: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<()> {
    if let Some((shape, folder)) = &settings.write {
        let truth = inputs::write(&settings.size(shape), folder)?;
        print_title(shape.name, &truth);
        return Ok(());
    }
    let mut per_packet = vec![];
    for shape in SHAPES.iter().filter(|shape| settings.has(shape.name)) {
        let shape = settings.size(shape);
        let inputs = Inputs::of(&shape, shape.name, settings.keep.as_deref())?;
        print_title(shape.name, &inputs.truth);
        check::check(&inputs).with_context(|| format!("join/{}", shape.name))?;
        let usages = measure(&inputs, settings.rounds)?;
        report::print(&inputs.truth, &usages);
        let seconds = Spread::of(usages[0].iter().map(|usage| usage.seconds)).median;
        per_packet.push((shape.name, seconds / shape.packets as f64));
    }
    print_flows(&per_packet);
    if settings.has("script") {
        let imix = SHAPES[0].with_packets(script::PACKETS);
        let inputs = Inputs::of(&imix, imix.name, settings.keep.as_deref())?;
        print_title("script", &inputs.truth);
        script::run(&imix, &inputs, settings.rounds)?;
    }
    if settings.has("memory") {
        memory(settings)?;
    }
    Ok(())
}

fn print_title(name: &str, truth: &Truth) {
    let (packets, size) = (truth.packets, truth.bytes / 1_000_000);
    println!("join/{name}: {packets} packets, {size} MB, {} event rows", truth.rows);
}

/// What each tool took in every round, the tools taking turns; the first round warms up.
fn measure(inputs: &Inputs, rounds: usize) -> Result<Vec<Vec<Usage>>> {
    let mut usages = vec![vec![]; TOOLS.len()];
    for round in 0..=rounds {
        for (tool, usages) in TOOLS.iter().zip(&mut usages) {
            let usage = tool.run(inputs).context(tool.name)?;
            if round > 0 {
                usages.push(usage);
            }
        }
    }
    Ok(usages)
}

/// How much longer a packet takes where there are very many flows.
fn print_flows(per_packet: &[(&str, f64)]) {
    let of = |name| per_packet.iter().find(|(shape, _)| *shape == name).map(|(_, seconds)| seconds);
    if let (Some(many), Some(few)) = (of("flows"), of("small")) {
        println!("join/flows: {:.2} times the time of join/small, a packet", many / few);
    }
}

/// The most memory that captures of several lengths take, of as many flows.
fn memory(settings: &Settings) -> Result<()> {
    let imix = settings.size(&SHAPES[0]);
    let first = imix.with_packets((imix.packets / SMALLER).max(1));
    let mut peaks = vec![];
    for times in STRETCHES {
        let shape = first.stretched(times);
        let inputs = Inputs::of(&shape, "memory", settings.keep.as_deref())?;
        print_title("memory", &inputs.truth);
        let peak = TOOLS[0].run(&inputs)?.peak;
        println!("  {} flows, at most {:.1} MB resident", inputs.truth.flows, peak / 1e6);
        peaks.push(peak);
    }
    let growth = peaks[peaks.len() - 1] - peaks[0];
    println!("  {:+.1} MB from the shortest to the longest", growth / 1e6);
    ensure!(growth <= SLACK, "memory grows with the capture");
    Ok(())
}
