//! What must hold on any machine: every packet is there, unchanged and in its place; names are as
//! many as there are to be found; what gets no annotation stays byte-identical.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::inputs::Inputs;
use crate::tool::join;

/// Bytes compared at a time.
const PIECE: usize = 1 << 20;
/// Type of an enhanced packet block.
const ENHANCED: u32 = 6;

/// Joins the files in several ways. What it finds is an error, not a figure.
pub(crate) fn check(inputs: &Inputs) -> Result<()> {
    let truth = &inputs.truth;
    let path = inputs.scratch("checked.pcapng");
    let mut command = join(inputs, &["--json", "--threads", "2", "-o"]);
    let output = command.arg(&path).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    let named = [&summary["source"]["named"], &summary["destination"]["named"]];
    ensure!(summary["packets"] == truth.packets, "{} packets", summary["packets"]);
    ensure!(
        *named[0] == truth.named[0] && *named[1] == truth.named[1],
        "{named:?} named sources and destinations, where there are {:?}",
        truth.named
    );
    let found = compare_blocks(&inputs.capture(), &path)?;
    ensure!(found.packets == truth.packets, "{} packets in the output", found.packets);
    ensure!(
        found.grown == truth.annotated,
        "{} packets have an annotation, where {} must",
        found.grown,
        truth.annotated
    );
    println!(
        "  {} flows, {} event rows, frames of {:.0} bytes; named: {} sources, {} destinations; \
         {:.1} bytes more a packet",
        truth.flows,
        truth.rows,
        truth.wire_bytes as f64 / truth.packets as f64,
        truth.named[0],
        truth.named[1],
        summary["growth_per_packet"].as_f64().context("no growth")?
    );
    compare_with_output(&path, inputs, &["--threads", "1"])?;
    std::fs::remove_file(&path)?;
    compare_with_output(&inputs.capture(), inputs, &["--detail", "none", "--no-pid-option"])
}

/// Joins to standard output, which must be the same as the file.
fn compare_with_output(path: &Path, inputs: &Inputs, args: &[&str]) -> Result<()> {
    let mut command = join(inputs, args);
    let mut child = command.args(["-q", "-o", "-"]).stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().context("no standard output")?;
    let mut file = File::open(path)?;
    let (mut left, mut right) = (vec![], vec![]);
    let mut at = 0;
    let difference = loop {
        left.clear();
        right.clear();
        (&mut file).take(PIECE as u64).read_to_end(&mut left)?;
        (&mut output).take(PIECE as u64).read_to_end(&mut right)?;
        if left != right {
            break Some(at);
        }
        if left.is_empty() {
            break None;
        }
        at += left.len();
    };
    drop(output);
    let status = child.wait()?;
    ensure!(difference.is_none(), "{args:?}: another output within 1 MiB after byte {at}");
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// What the blocks of an output are like.
#[derive(Debug, Default)]
struct Found {
    packets: u64,
    /// Those that are longer than they were.
    grown: u64,
}

/// Compares a capture of one section with what became of it, block by block.
fn compare_blocks(before: &Path, after: &Path) -> Result<Found> {
    let [mut before, mut after] = [before, after]
        .map(|path| File::open(path).map(|file| BufReader::with_capacity(PIECE, file)));
    let (before, after) = (before.as_mut(), after.as_mut());
    let (Ok(before), Ok(after)) = (before, after) else { anyhow::bail!("a file is missing") };
    let (mut left, mut right) = (vec![], vec![]);
    let mut found = Found::default();
    let mut number = 0_u64;
    loop {
        let more = [read_block(before, &mut left)?, read_block(after, &mut right)?];
        number += 1;
        ensure!(more[0] == more[1], "one file ends before block {number}");
        if !more[0] {
            return Ok(found);
        }
        let is_packet = left.starts_with(&ENHANCED.to_le_bytes());
        found.packets += u64::from(is_packet);
        if left == right {
            continue;
        }
        // Of a packet without options, all but both lengths of the block must be there still.
        let kept = left.len() - 4;
        let is_same = is_packet
            && right.len() > left.len()
            && left[..4] == right[..4]
            && left[8..kept] == right[8..kept];
        ensure!(is_same, "block {number} is not what it was");
        found.grown += 1;
    }
}

/// The next block with all its bytes; whether there was one.
fn read_block(file: &mut impl Read, block: &mut Vec<u8>) -> Result<bool> {
    block.clear();
    file.take(8).read_to_end(block)?;
    if block.is_empty() {
        return Ok(false);
    }
    let length = block.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let length = length.context("a cut block")?;
    file.take(u64::from(length).saturating_sub(8)).read_to_end(block)?;
    ensure!(block.len() == length as usize, "a cut block");
    Ok(true)
}
