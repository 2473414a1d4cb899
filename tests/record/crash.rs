//! `kill -9` at any moment: what is older than a second survives, and `ebpfrec recover` brings it
//! back.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use recorder::clock::boot_ns;
use rustix::process::Signal;
use schema::Kind;

use super::{
    EBPFREC,
    live::Scenario,
    program::Program,
    recording::{Finished, Recording, names, read_events},
    roles::BATCH_ROWS,
    rows::EventRow,
};

pub(crate) const ALWAYS: &[Scenario] = &[
    ("a_killed_writer_leaves_every_row_it_took", || writer(0)),
    ("a_writer_killed_between_parts_leaves_every_row_it_took", || writer(100_000)),
    ("what_cannot_be_recovered_is_named", refusals),
];

pub(crate) const ALL: &[Scenario] = &[
    ("what_is_older_than_a_second_survives_a_kill", || storm(&[])),
    ("what_is_older_than_a_second_survives_a_kill_between_parts", || {
        storm(&["--rotate-size", "64K"])
    }),
    ("a_running_recording_is_neither_recovered_nor_written_over", running),
    ("what_a_crash_left_is_not_written_over", left),
    ("a_folder_of_crashed_recordings_is_recovered_whole", folder),
    ("packets_survive_a_kill", packets),
];

/// Rounds of each test that kills; a longer run asks for more.
fn rounds() -> u32 {
    let asked = std::env::var("EBPF_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    asked.unwrap_or(12)
}

/// A time that differs from round to round.
fn some_time(least_ms: u64, most_ms: u64) -> Duration {
    Duration::from_millis(least_ms + boot_ns() / 1000 % (most_ms - least_ms))
}

fn recover(folder: &Path, path: &str) -> Result<Output> {
    Ok(Command::new(EBPFREC).current_dir(folder).args(["recover", path]).output()?)
}

/// Recovers, which must succeed, and returns what was said.
fn recover_well(folder: &Path, path: &str) -> Result<String> {
    let output = recover(folder, path)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Rows of all event files in a folder, in order of the names; all are closed and nothing else is
/// left.
fn all_rows(folder: &Path) -> Result<Vec<EventRow>> {
    let mut rows = vec![];
    for name in names(folder)? {
        ensure!(name.ends_with(".parquet"), "{name} is left");
        rows.extend(read_events(&folder.join(name))?.1);
    }
    Ok(rows)
}

/// Every row has the number after the one before.
fn ensure_gapless(rows: &[EventRow]) -> Result<()> {
    for (want, row) in (0..).zip(rows) {
        ensure!(row.seq == want, "row {want} has seq {}", row.seq);
    }
    Ok(())
}

fn writer(part_bytes: u64) -> Result<()> {
    // Waiting in the queue, being handed over, being written.
    const NOT_YET: u64 = (32 + 2) * BATCH_ROWS;
    for round in 0..rounds() {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("ev.parquet");
        let path = path.to_str().context("a path in UTF-8")?;
        let writer = Program::start(&["event-file", path, &part_bytes.to_string()])?;
        std::thread::sleep(some_time(100, 1500));
        let said = writer.kill()?;
        let sent = said.iter().rev().find_map(|line| line.strip_prefix("sent ")?.parse().ok());
        let sent: u64 = sent.unwrap_or(0);
        if names(folder.path())?.is_empty() {
            continue;
        }
        recover_well(folder.path(), "ev.parquet")?;
        let rows = all_rows(folder.path())?;
        ensure_gapless(&rows).with_context(|| format!("round {round}"))?;
        let least = sent.saturating_sub(NOT_YET);
        ensure!(rows.len() as u64 >= least, "round {round}: {} of {sent} rows", rows.len());
    }
    Ok(())
}

/// A connection by the program that made it: between which two moments, and from which port.
struct Connection {
    before: u64,
    after: u64,
    port: u16,
}

fn storm(args: &[&str]) -> Result<()> {
    let mut checked = 0;
    for round in 0..rounds() {
        let mut program = Program::start(&["tcp-storm"])?;
        let pid = program.pid();
        let _: std::net::SocketAddr = program.value("listening")?;
        let args = [&["--events", "ev.parquet"], args].concat();
        let recording = Recording::start(EBPFREC, &args)?;
        let ready = boot_ns();
        std::thread::sleep(some_time(1100, 2100));
        let killed = boot_ns();
        recording.signal(Signal::KILL)?;
        let finished = recording.wait()?;
        let log = program.rest()?;
        checked += check_storm(&finished, pid, &log, ready, killed)
            .with_context(|| format!("round {round}, killed after {} ns", killed - ready))?;
    }
    ensure!(checked > 100, "{checked} connections were old enough");
    Ok(())
}

/// How many connections were old enough to be there, and were.
fn check_storm(
    finished: &Finished,
    pid: u32,
    log: &[String],
    ready: u64,
    killed: u64,
) -> Result<u32> {
    let folder = finished.path("");
    recover_well(&folder, "ev.parquet")?;
    let rows = all_rows(&folder)?;
    ensure_gapless(&rows)?;
    let mut by_port: HashMap<u16, Vec<&EventRow>> = HashMap::new();
    for row in rows.iter().filter(|row| row.kind == Kind::TcpConnect && row.pid == Some(pid)) {
        by_port.entry(row.local.context("an address")?.port()).or_default().push(row);
    }
    let mut checked = 0;
    for line in log {
        let connection = parse(line)?;
        if connection.before < ready || connection.after + 1_000_000_000 > killed {
            continue;
        }
        let span = connection.before..=connection.after;
        let of_port = by_port.get(&connection.port).into_iter().flatten();
        let found = of_port.filter(|row| span.contains(&row.boot_ns)).count();
        let age = killed - connection.after;
        if found != 1 {
            let port = connection.port;
            let last = rows.iter().map(|row| row.boot_ns).max();
            let behind = last.map(|last| killed.saturating_sub(last));
            bail!(
                "{found} rows of port {port}, {age} ns old; {} in all, the last {behind:?} ns old",
                rows.len()
            );
        }
        checked += 1;
    }
    Ok(checked)
}

fn parse(line: &str) -> Result<Connection> {
    let fields = line.strip_prefix("connection ").context("a connection")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let [before, after, port] = fields[..] else { anyhow::bail!("{line}") };
    Ok(Connection { before: before.parse()?, after: after.parse()?, port: port.parse()? })
}

fn running() -> Result<()> {
    let args = ["--events", "ev.parquet", "--packets", "t.pcapng", "-i", "lo"];
    let recording = Recording::start(EBPFREC, &args)?;
    let folder = recording.folder();
    for name in ["ev.parquet", "t.pcapng"] {
        let output = recover(folder, name)?;
        let said = String::from_utf8(output.stderr)?;
        let want =
            format!("ebpfrec: {name} is still being recorded; stop that recording instead\n");
        ensure!(said == want && output.status.code() == Some(1), "{said}");
    }
    let second = Command::new(EBPFREC).current_dir(folder).args(&args[..2]).output()?;
    let said = String::from_utf8(second.stderr)?;
    let want = "ebpfrec: cannot write ev.parquet: another recording is writing it; give another \
                name\n";
    ensure!(said == want && second.status.code() == Some(1), "{said}");
    let finished = recording.finish()?;
    ensure!(finished.events("ev.parquet")?.0.complete);
    ensure!(finished.names()? == ["ev.parquet", "t.pcapng"], "{:?}", finished.names()?);
    Ok(())
}

/// A recording that was killed, with what it left.
fn crashed(args: &[&str]) -> Result<Finished> {
    let recording = Recording::start(EBPFREC, args)?;
    // Its first rows are on the disk.
    let journal = recording.folder().join(format!("{}.journal", args[1]));
    let begun = fs::metadata(&journal)?.len();
    while fs::metadata(&journal)?.len() == begun {
        std::thread::sleep(Duration::from_millis(10));
    }
    recording.signal(Signal::KILL)?;
    recording.wait()
}

fn left() -> Result<()> {
    let args = ["--events", "ev.parquet"];
    let finished = crashed(&args)?;
    let folder = finished.path("");
    let second = Command::new(EBPFREC).current_dir(&folder).args(args).output()?;
    let said = String::from_utf8(second.stderr)?;
    let want = "ebpfrec: cannot write ev.parquet: a recording to it was cut off; get what it left \
                with `ebpfrec recover ev.parquet`, or give another name\n";
    ensure!(said == want && second.status.code() == Some(1), "{said}");
    // Not over a file that is there, either.
    fs::write(folder.join("ev.parquet"), "somebody else's")?;
    let said = String::from_utf8(recover(&folder, "ev.parquet")?.stderr)?;
    let want = "ebpfrec: cannot recover ev.parquet: there is a file of that name already; move it \
                away and recover again\n";
    ensure!(said == want, "{said}");
    ensure!(fs::read(folder.join("ev.parquet"))? == b"somebody else's");
    fs::remove_file(folder.join("ev.parquet"))?;
    let said = recover_well(&folder, "ev.parquet")?;
    let (meta, rows) = finished.events("ev.parquet")?;
    let count = said.strip_prefix("ev.parquet  ").and_then(|rest| rest.split_once(" rows, "));
    let (count, _) = count.with_context(|| said.clone())?;
    ensure!(count.replace(',', "") == rows.len().to_string(), "{said}");
    ensure!(said.ends_with(&format!(", cut off at {}, lost nothing\n", meta.end)), "{said}");
    ensure!(!meta.complete && !meta.hooks.is_empty() && !meta.recording.is_empty(), "{meta:?}");
    let last = rows.iter().map(|row| row.ts).max().context("no rows")?;
    ensure!(meta.end == recorder::clock::rfc3339(last), "{}", meta.end);
    // There is nothing left, and the place is free again.
    let again = String::from_utf8(recover(&folder, "ev.parquet")?.stderr)?;
    ensure!(again.starts_with("ebpfrec: nothing to recover at ev.parquet: "), "{again}");
    Ok(())
}

fn folder() -> Result<()> {
    let target = tempfile::tempdir()?;
    for name in ["a.parquet", "b.parquet", "c.parquet"] {
        let finished = crashed(&["--events", name])?;
        for file in finished.names()? {
            fs::copy(finished.path(&file), target.path().join(file))?;
        }
    }
    // One of them without its journal: nothing but its start was in the other file.
    fs::remove_file(target.path().join("b.parquet.journal"))?;
    // And one without the other file.
    fs::remove_file(target.path().join("c.parquet.partial"))?;
    let said = recover_well(target.path(), ".")?;
    ensure!(said.lines().count() == 3, "{said}");
    ensure!(said.contains("b.parquet  nothing was recorded yet: no file\n"), "{said}");
    ensure!(names(target.path())? == ["a.parquet", "c.parquet"], "{said}");
    ensure!(!all_rows(target.path())?.is_empty());
    Ok(())
}

fn packets() -> Result<()> {
    let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let filter = format!("udp port {}", server.local_addr()?.port());
    let args =
        ["--events", "ev.parquet", "--packets", "t.pcapng", "-i", "lo", "-f", filter.as_str()];
    let recording = Recording::start(EBPFREC, &args)?;
    let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..50 {
        client.send_to(&[1; 100], server.local_addr()?)?;
    }
    let partial = recording.folder().join("t.pcapng.partial");
    // Each is 100 bytes and its headers.
    while fs::metadata(&partial)?.len() < 50 * 142 {
        std::thread::sleep(Duration::from_millis(10));
    }
    recording.signal(Signal::KILL)?;
    let finished = recording.wait()?;
    // What the crash wrote last may be half a block.
    let mut bytes = fs::read(partial_of(&finished))?;
    bytes.extend(6_u32.to_ne_bytes());
    bytes.extend(200_u32.to_ne_bytes());
    fs::write(partial_of(&finished), bytes)?;
    let elsewhere = tempfile::tempdir()?;
    let path = finished.path("ev.parquet");
    let said = recover_well(elsewhere.path(), path.to_str().context("a path in UTF-8")?)?;
    ensure!(said.lines().count() == 2, "{said}");
    ensure!(said.contains("t.pcapng  50 packets, ") && said.contains("8 B of half"), "{said}");
    ensure!(finished.names()? == ["ev.parquet", "t.pcapng"], "{:?}", finished.names()?);
    let file = fs::File::open(finished.path("t.pcapng"))?;
    let mut reader = pcap_file::pcapng::PcapNgReader::new(file)?;
    let mut count = 0;
    while let Some(block) = reader.next_block() {
        count += u32::from(matches!(block?, pcap_file::pcapng::Block::EnhancedPacket(_)));
    }
    ensure!(count == 50, "{count} packets");
    Ok(())
}

fn partial_of(finished: &Finished) -> PathBuf {
    finished.path("t.pcapng.partial")
}

fn refusals() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let said = |path: &str| -> Result<String> {
        let output = recover(folder.path(), path)?;
        ensure!(output.status.code() == Some(1) && output.stdout.is_empty());
        Ok(String::from_utf8(output.stderr)?)
    };
    let nothing = "ebpfrec: nothing to recover at .: there is no recording that was cut off; give \
                   the name that was given to --events or --packets, or its folder\n";
    ensure!(said(".")? == nothing, "{}", said(".")?);
    fs::write(folder.path().join("x.partial"), "a text of somebody else")?;
    let foreign = "ebpfrec: cannot recover x: what is in x.partial is not of ebpfrec; move it \
                   away\n";
    ensure!(said("x")? == foreign, "{}", said("x")?);
    fs::write(folder.path().join("y.parquet.partial"), "PAR1 and nothing that makes sense")?;
    let unreadable = "ebpfrec: cannot recover y.parquet: nothing of it can be read; it is left as \
                      it is\n";
    ensure!(said("y.parquet")? == unreadable, "{}", said("y.parquet")?);
    ensure!(names(folder.path())? == ["x.partial", "y.parquet.partial"]);
    Ok(())
}
