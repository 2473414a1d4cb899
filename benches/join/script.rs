//! What people do today: tshark's fields, a join by DuckDB, comments by editcap. One turn of it
//! takes so long that there is no second one.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::corpus::Shape;
use crate::inputs::Inputs;
use crate::report::Spread;
use crate::tool::{TOOLS, measure};

/// Packets, unless told otherwise.
pub(crate) const PACKETS: u64 = 200_000;
/// The tools that the pipeline is compared with.
const BESIDE: [&str; 2] = ["ebpfjoin --threads 2", "ebpfjoin, to a file"];

/// Measures it; says so if DuckDB is missing.
pub(crate) fn run(shape: &Shape, inputs: &Inputs, rounds: usize) -> Result<()> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../queries/bin/python");
    if !python.exists() {
        println!("  not measured: no DuckDB (scripts/setup.sh test installs it)");
        return Ok(());
    }
    let out = inputs.scratch("script.pcapng");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/join/script.py");
    let words = [python, script, inputs.capture(), inputs.events(), out.clone()];
    let took = measure(words.iter(), &inputs.scratch("usage"))?;
    // It carries over all that it read, and its comments.
    ensure!(out.metadata()?.len() > inputs.truth.bytes, "the pipeline lost packets");
    println!(
        "  {:<21}{:>9.2} s, {:.2} CPU s, {:.0} MB",
        "tshark+DuckDB+editcap",
        took.seconds,
        took.cpu,
        took.peak / 1e6
    );
    for tool in TOOLS.iter().filter(|tool| BESIDE.contains(&tool.name)) {
        let mut turns = vec![];
        for round in 0..=rounds {
            let turn = tool.run(inputs)?;
            if round > 0 {
                turns.push(turn.seconds);
            }
        }
        let own = Spread::of(turns.iter().copied());
        let ratio = Spread::of(turns.iter().map(|seconds| took.seconds / seconds));
        println!(
            "  {:<21}{:>9.3} s; the pipeline takes {} times as long",
            tool.name,
            own.median,
            ratio.text(0)
        );
    }
    println!("  {} packets of {}", inputs.truth.packets, shape.name);
    Ok(())
}
