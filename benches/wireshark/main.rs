//! `wireshark/*`: what the plugin adds to tshark's dissection of an enriched capture, in turn with
//! tshark without it, everything printed to /dev/null. Prints ratios of CPU time with their spread:
//! tshark has one thread, and what else the machine does matters less than for the time by the clock.
//!
//! `cargo bench --profile dev -p joiner --bench wireshark [-- PACKETS ROUNDS]`: it is tshark that is
//! measured, so that ours need not be optimized.

use std::path::Path;
use std::process::Command;

mod traffic;

/// Packets of a capture, unless told otherwise: some seconds of work.
const PACKETS: usize = 200_000;
/// Turns, after one that is not counted.
const ROUNDS: usize = 5;

/// A way to read the capture.
struct Way {
    name: &'static str,
    has_plugin: bool,
    args: &'static [&'static str],
}

const WAYS: &[Way] = &[
    Way { name: "without the plugin", has_plugin: false, args: &["-Y", "tcp.port == 1"] },
    Way {
        name: "without it, frame.comment contains \"comm=x\"",
        has_plugin: false,
        args: &["-Y", "frame.comment contains \"comm=x\""],
    },
    Way { name: "with it, nothing of it wanted", has_plugin: true, args: &["-Y", "tcp.port == 1"] },
    Way {
        name: "with it, ebpf.comm == \"x\"",
        has_plugin: true,
        args: &["-Y", "ebpf.comm == \"x\""],
    },
    Way {
        name: "with it, the profile's columns and colours",
        has_plugin: true,
        args: &["-C", "ebpf", "--color", "-Y", "ebpf || !ebpf"],
    },
    Way {
        name: "without it, usual columns and colours",
        has_plugin: false,
        args: &["--color", "-Y", "tcp || !tcp"],
    },
];

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let packets = numbers.next().unwrap_or(PACKETS);
    let rounds = numbers.next().unwrap_or(ROUNDS);
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("wireshark: no tshark here, nothing measured");
        return;
    }
    for shape in traffic::SHAPES {
        let folder = tempfile::tempdir().expect("folder");
        let bytes = traffic::write(folder.path(), shape, packets);
        enrich(folder.path());
        println!("wireshark/{}: {packets} packets, {} MB", shape.name, bytes / 1_000_000);
        print_table(&measure(folder.path(), rounds), packets);
    }
}

fn enrich(folder: &Path) {
    let args = ["capture.pcapng", "events.parquet", "-o", "enriched.pcapng", "--quiet"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"));
    let status = command.current_dir(folder).args(args).status().expect("ebpfjoin starts");
    assert!(status.success(), "{status}");
    let profile = folder.join("config/profiles/ebpf");
    std::fs::create_dir_all(&profile).expect("folder");
    for file in std::fs::read_dir(sources().join("profile")).expect("the profile") {
        let path = file.expect("an entry").path();
        std::fs::copy(&path, profile.join(path.file_name().expect("a file"))).expect("copied");
    }
}

fn sources() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wireshark")
}

/// A shell that tells how long the processor was busy with a command.
const TIMED: &str = "\"$@\" >/dev/null 2>&1; status=$?; times; exit $status";

/// Seconds of CPU of every way in every round, less what its start takes; the ways take turns.
fn measure(folder: &Path, rounds: usize) -> Vec<Vec<f64>> {
    let mut times = vec![vec![]; WAYS.len()];
    for round in 0..=rounds {
        for (way, times) in WAYS.iter().zip(&mut times) {
            let all = run(folder, way, &[]);
            let start = run(folder, way, &["-c", "1"]);
            if round > 0 {
                times.push((all - start).max(0.001));
            }
        }
    }
    times
}

/// Seconds of CPU of one run.
fn run(folder: &Path, way: &Way, extra: &[&str]) -> f64 {
    let mut command = Command::new("sh");
    command.args(["-c", TIMED, "sh", "tshark", "-n", "-r", "enriched.pcapng"]);
    command.current_dir(folder).args(way.args).args(extra);
    if way.has_plugin {
        let plugin = sources().join("ebpf.lua");
        command.arg("-X").arg(format!("lua_script:{}", plugin.display()));
    }
    command.env("WIRESHARK_CONFIG_DIR", folder.join("config"));
    let output = command.output().expect("a shell starts");
    assert!(output.status.success(), "{}: {}", way.name, output.status);
    seconds(&String::from_utf8_lossy(&output.stdout))
}

/// What `times` says of a shell's children, in its second line: `0m1.234s 0m0.056s`.
fn seconds(times: &str) -> f64 {
    let children = times.lines().nth(1).expect("a line of the children");
    let one = |text: &str| -> Option<f64> {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    };
    children.split_whitespace().map(|text| one(text).expect("minutes and seconds")).sum()
}

/// Median of each way, and how many times as long as the first one it takes, round by round.
fn print_table(times: &[Vec<f64>], packets: usize) {
    println!("  {:<46}{:>8}{:>10}   CPU / without (min-max)", "", "seconds", "us/packet");
    for (way, own) in WAYS.iter().zip(times) {
        let ratios = sorted(own.iter().zip(&times[0]).map(|(a, b)| a / b));
        let seconds = sorted(own.iter().copied());
        let median = seconds[seconds.len() / 2];
        println!(
            "  {:<46}{median:>8.2}{:>10.1}   {:.2} ({:.2}-{:.2})",
            way.name,
            median * 1e6 / packets as f64,
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1],
        );
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
