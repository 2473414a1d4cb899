//! A whole join of any capture: packets, foreign blocks and foreign options are what they were, and
//! joining once more changes nothing.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::Parser as _;
use joiner::cli::{Cli, Task};
use joiner::jobs::jobs;
use joiner::run;
use joiner::summary::Summary;

use crate::blocks::{Block, Opt, read, read_legacy};
use crate::{file, place, scene, text};

/// Decompressed inputs that are longer are left alone: they are only slow.
const LONGEST: u64 = 4 << 20;

pub(crate) static EVENTS: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = place("known.parquet");
    scene::write_events(&path, &scene::rows(), &scene::meta());
    path
});

/// The input is a capture.
pub fn check(input: &[u8]) {
    with_events(&file("in.pcapng", input), &EVENTS);
}

/// The same with other events.
pub(crate) fn with_events(capture: &Path, events: &Path) {
    let Some(input) = plain(capture) else { return };
    let Some(summary) = join(capture, events, "out.pcapng") else {
        assert!(!place("out.pcapng").exists(), "it was left behind");
        return;
    };
    let output = taken("out.pcapng");
    assert_eq!(output.len() as u64, summary.bytes_out);
    is_counted(&summary);
    let end = summary.damage.map_or(input.len(), |damage| damage.offset as usize);
    is_the_same(&input[..end], &output);

    join(capture, events, "again.pcapng").expect("it was joined before");
    assert!(taken("again.pcapng") == output, "a second join says something else");

    let enriched = file("enriched.pcapng", &output);
    let again = join(&enriched, events, "again.pcapng").expect("an output is a capture");
    assert_eq!(again.damage, None, "an output is whole");
    assert!(taken("again.pcapng") == output, "joined once more, an output changes");
}

fn join(capture: &Path, events: &Path, output: &str) -> Option<Summary> {
    join_with(capture, events, output, "1")
}

/// By so many threads.
pub(crate) fn join_with(
    capture: &Path,
    events: &Path,
    output: &str,
    threads: &str,
) -> Option<Summary> {
    let output = place(output);
    let args = [text(capture), text(events), "-o", text(&output), "-q", "--threads", threads];
    let cli = Cli::try_parse_from(["ebpfjoin"].iter().chain(&args)).expect("right usage");
    let Ok(Task::Join(config, _)) = cli.into_task() else { panic!("a join") };
    let jobs = match jobs(*config) {
        // It begins as Parquet does.
        Err(run::RunError::NoCapture) => return None,
        jobs => jobs.expect("one capture"),
    };
    let [job] = &jobs[..] else { panic!("one capture") };
    match run::join(job) {
        Ok(summary) => Some(summary),
        Err(run::RunError::Capture { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// A file, which is gone then.
pub(crate) fn taken(name: &str) -> Vec<u8> {
    let bytes = fs::read(place(name)).expect("an output");
    fs::remove_file(place(name)).expect("removed");
    bytes
}

/// What is in a capture, as far as it can be decompressed.
fn plain(capture: &Path) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    // What is cut off or damaged ends there.
    let reader = joiner::source::read_once(capture).ok()?;
    let _ = reader.take(LONGEST + 1).read_to_end(&mut bytes);
    (bytes.len() as u64 <= LONGEST).then_some(bytes)
}

/// Every packet has a name or a reason on both sides.
fn is_counted(summary: &Summary) {
    let json = summary.json();
    for side in ["source", "destination"] {
        let reasons = json[side]["by_reason"].as_object().expect("reasons");
        let unnamed: u64 = reasons.values().filter_map(|count| count.as_u64()).sum();
        let named = json[side]["named"].as_u64().expect("a number");
        assert_eq!(Some(named + unnamed), json["packets"].as_u64(), "{json:#}");
    }
}

fn is_the_same(input: &[u8], output: &[u8]) {
    let is_pcapng = input.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]);
    let want = if is_pcapng { read(input) } else { read_legacy(input) };
    let mut got = read(output);
    if !is_pcapng {
        // Section and interface stand for the file's header.
        assert!(got.len() >= 2);
        got.drain(..2);
    }
    assert_eq!(want.len(), got.len(), "blocks");
    for (want, got) in want.into_iter().zip(got) {
        assert_eq!(stripped(got, &want), stripped(want.clone(), &want));
    }
}

pub(crate) fn is_ours((code, value): &Opt) -> bool {
    *code == 1 && schema::annotation::is_ours(value)
}

/// `block` without what a join may add to `before` or take away from it: our comments, and the
/// sender they name.
fn stripped(block: Block, before: &Block) -> Block {
    let Block::Packet { interface, units, original, data, mut options } = block else {
        return without_length(block);
    };
    let Block::Packet { options: before, .. } = before else { panic!("not a packet: {before:?}") };
    let had_ours = before.iter().any(is_ours);
    let had_process = before.iter().any(|option| option.0 == 8);
    options.retain(|option| !is_ours(option));
    // Where it had a comment of ours, nobody but the joiner can tell whose the process is.
    if had_ours || !had_process {
        options.retain(|option| option.0 != 8);
    }
    Block::Packet { interface, units, original, data, options }
}

/// `block` without the length that a section header tells, which grows with the section.
fn without_length(block: Block) -> Block {
    let Block::Other(mut bytes) = block else { return block };
    if bytes.len() >= 28 && bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        bytes[16..24].fill(0xff);
    }
    Block::Other(bytes)
}
