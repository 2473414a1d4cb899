//! `join/*`: the whole `ebpfjoin` process beside a plain rewrite of the same file by the usual
//! tools, in turn, all writing to /dev/null. Prints ratios with their spread: one machine's seconds
//! say little, and these machines are noisy.
//!
//! `cargo bench -p joiner --bench join [-- PACKETS ROUNDS]`

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

mod traffic;

/// Packets of a capture, unless told otherwise: half a second of work.
const PACKETS: usize = 1_000_000;
/// Turns, after one that is not counted.
const ROUNDS: usize = 7;

/// A whole command that reads a capture and writes it to /dev/null.
struct Tool {
    name: &'static str,
    command: fn(&Path) -> Command,
}

const TOOLS: &[Tool] = &[
    Tool { name: "ebpfjoin", command: |folder| join(folder, &[]) },
    Tool { name: "ebpfjoin --threads 1", command: |folder| join(folder, &["--threads", "1"]) },
    Tool { name: "ebpfjoin --report", command: |folder| join(folder, &["--report", "/dev/null"]) },
    Tool {
        name: "editcap",
        command: |folder| command("editcap", folder, &["capture.pcapng", "/dev/null"]),
    },
    Tool {
        name: "tcpdump -r -w",
        command: |folder| command("tcpdump", folder, &["-r", "capture.pcapng", "-w", "/dev/null"]),
    },
];

fn join(folder: &Path, extra: &[&str]) -> Command {
    let args = ["capture.pcapng", "events.parquet", "-o", "/dev/null", "--quiet"];
    let mut command = command(env!("CARGO_BIN_EXE_ebpfjoin"), folder, &args);
    command.args(extra);
    command
}

fn command(program: &str, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let packets = numbers.next().unwrap_or(PACKETS);
    let rounds = numbers.next().unwrap_or(ROUNDS);
    for shape in traffic::SHAPES {
        let folder = tempfile::tempdir().expect("folder");
        let bytes = traffic::write(folder.path(), shape, packets);
        println!("join/{}: {packets} packets, {} MB", shape.name, bytes / 1_000_000);
        print_growth(folder.path());
        let times = measure(folder.path(), rounds);
        print_table(&times, packets);
    }
}

/// Seconds of every tool in every round, the tools taking turns.
fn measure(folder: &Path, rounds: usize) -> Vec<Vec<Duration>> {
    let mut times = vec![vec![]; TOOLS.len()];
    for round in 0..=rounds {
        for (tool, times) in TOOLS.iter().zip(&mut times) {
            let begin = Instant::now();
            let status = (tool.command)(folder).status();
            let took = begin.elapsed();
            match status {
                Ok(status) if status.success() => {}
                other => panic!("{}: {other:?}", tool.name),
            }
            if round > 0 {
                times.push(took);
            }
        }
    }
    times
}

/// Median of each tool, and how many times the first one fits into it, round by round.
fn print_table(times: &[Vec<Duration>], packets: usize) {
    println!("  {:<22}{:>10}{:>10}   time / ebpfjoin's (min-max)", "", "seconds", "Mpkt/s");
    for (tool, own) in TOOLS.iter().zip(times) {
        let ratios =
            sorted(own.iter().zip(&times[0]).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()));
        let seconds = sorted(own.iter().map(Duration::as_secs_f64));
        let median = seconds[seconds.len() / 2];
        println!(
            "  {:<22}{median:>10.3}{:>10.2}   {:.2} ({:.2}-{:.2})",
            tool.name,
            packets as f64 / 1e6 / median,
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

/// What the summary says, which also proves that the packets are named.
fn print_growth(folder: &Path) {
    let output = join(folder, &["--json"]).stdout(Stdio::piped()).output().expect("ebpfjoin");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let (packets, named) = (&summary["packets"], &summary["source"]["named"]);
    let dst = &summary["destination"]["named"];
    println!(
        "  named: {named} sources and {dst} destinations of {packets}; {:.1} bytes a packet",
        summary["growth_per_packet"].as_f64().unwrap_or_default()
    );
}
