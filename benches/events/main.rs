//! `events/*`: how long it takes from many rows of events to a matcher that decides, and what memory
//! that needs: the whole `ebpfjoin` process on a capture of one packet, and its stages one by one, each
//! time in a process of its own.
//!
//! `cargo bench -p joiner --bench events [-- ROWS ROUNDS [FOLDER]]`; files are kept in FOLDER, and used
//! again if they are there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use joiner::attribute::{Matcher, Windows};
use joiner::events::load;
use joiner::index::Index;

mod process;
mod world;

/// Rows of the event file, unless told otherwise.
const ROWS: u64 = 10_000_000;
/// Turns, unless told otherwise.
const ROUNDS: usize = 5;
/// What this program is called by itself with, to measure stages.
const STAGES: &str = "--stages";
/// Between two looks at a process's memory: its peak is read shortly before it ends.
const LOOK: Duration = Duration::from_millis(1);

const NAMES: [&str; 4] = ["read, lives", "index", "matcher", "in all"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [first, path] = &args[..]
        && first == STAGES
    {
        return stages(Path::new(path));
    }
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse::<u64>().ok());
    let rows = number(0).unwrap_or(ROWS);
    let rounds = number(1).and_then(|rounds| usize::try_from(rounds).ok()).unwrap_or(ROUNDS);
    let temporary = tempfile::tempdir().expect("folder");
    let folder = args.get(2).map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let events = folder.join(format!("events-{rows}.parquet"));
    if !events.exists() {
        let partial = events.with_extension("partial");
        let (rows, sockets) = world::write(&partial, rows);
        fs::rename(&partial, &events).expect("renamed");
        println!("written: {rows} rows of {sockets} sockets");
    }
    let capture = folder.join("capture.pcap");
    fs::write(&capture, one_packet()).expect("capture");
    let length = fs::metadata(&events).expect("events").len();
    println!("events/{rows}: {:.1} bytes a row in the file", length as f64 / rows as f64);

    let (mut whole, mut parts) = (vec![], vec![]);
    for _ in 0..rounds {
        let mut join = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"));
        join.args([&capture, &events]).args(["-o", "/dev/null", "--quiet"]);
        let (took, peak, _) = run(join);
        whole.push((took, peak));
        let mut own = Command::new(std::env::current_exe().expect("own path"));
        own.arg(STAGES).arg(&events);
        let (_, _, told) = run(own);
        parts.push(told.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<f64>>());
    }
    let mega = rows as f64 / 1e6;
    println!("  {:<28}{:>9}{:>9}{:>9}", "", "median", "min", "max");
    let seconds = |&(took, _): &(Duration, u64)| took.as_secs_f64();
    print("ebpfjoin, seconds", whole.iter().map(seconds));
    print("  million rows a second", whole.iter().map(|of| mega / seconds(of)));
    print("  peak memory, MB", whole.iter().map(|&(_, peak)| peak as f64 / 1e6));
    print("  bytes a row", whole.iter().map(|&(_, peak)| peak as f64 / rows as f64));
    for (at, name) in NAMES.iter().enumerate() {
        print(&format!("{name}, seconds"), parts.iter().map(|parts| parts[at]));
    }
    print("memory once ready, MB", parts.iter().map(|parts| parts[NAMES.len()] / 1e6));
}

/// Seconds of each stage, the sum, and the memory that is resident at the end, on one line.
fn stages(path: &Path) {
    let begin = Instant::now();
    let recordings = load(&[path]).expect("events");
    let loaded = begin.elapsed();
    let index = Index::new(&recordings).into();
    let indexed = begin.elapsed();
    let matcher = Matcher::new(recordings, index, vec![], &[], Windows::default());
    let ready = begin.elapsed();
    let resident = status("self", "VmRSS:").unwrap_or_default();
    drop(matcher);
    for took in [loaded, indexed - loaded, ready - indexed, ready] {
        print!("{} ", took.as_secs_f64());
    }
    println!("{resident}");
}

/// How long a command takes, the most memory it has resident, bytes, and what it prints.
fn run(mut command: Command) -> (Duration, u64, String) {
    let begin = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
    let mut peak = 0;
    let (status, took) = loop {
        peak = status(&child.id().to_string(), "VmHWM:").unwrap_or(peak);
        if let Some(status) = child.try_wait().expect("a child") {
            break (status, begin.elapsed());
        }
        std::thread::sleep(LOOK);
    };
    assert!(status.success(), "{command:?}: {status}");
    let mut told = String::new();
    let mut stdout = child.stdout.take().expect("piped");
    std::io::Read::read_to_string(&mut stdout, &mut told).expect("text");
    (took, peak, told)
}

/// A figure of a process's status, bytes.
fn status(process: &str, figure: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix(figure))?;
    Some(kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn print(name: &str, values: impl Iterator<Item = f64>) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (median, last) = (values[values.len() / 2], values[values.len() - 1]);
    println!("  {name:<28}{median:>9.2}{:>9.2}{last:>9.2}", values[0]);
}

/// A capture: a SYN of somebody nobody knows.
fn one_packet() -> Vec<u8> {
    let header: [u32; 6] = [0xa1b2_3c4d, 0x0004_0002, 0, 0, u32::from(u16::MAX), 1];
    let seconds = (world::START_NS / 1_000_000_000) as u32;
    let record = [seconds, 0, 54, 54];
    let mut bytes: Vec<u8> = header.into_iter().chain(record).flat_map(u32::to_le_bytes).collect();
    bytes.extend([0; 12]);
    bytes.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2, 0x99, 0x99, 0, 80, 0, 0, 0, 1]);
    bytes.extend([0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
    bytes
}
