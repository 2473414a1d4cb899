//! How a recording begins and ends, and what it says about itself.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use schema::Kind;

use super::{EBPFREC, live::Scenario, recording::Recording, rows::of_kind};

pub(crate) const ALL: &[Scenario] = &[
    ("sigterm_ends_cleanly", || ends_cleanly(Signal::TERM)),
    ("ctrl_c_ends_cleanly", || ends_cleanly(Signal::INT)),
    ("a_duration_ends_cleanly", duration),
    ("a_kill_leaves_no_file_under_the_final_name", kill),
    ("the_file_says_what_it_is", metadata),
    ("what_the_file_says_it_recorded_it_did", whole_until_its_end),
    ("interfaces_are_listed", interfaces),
    ("check_lists_every_hook", check),
    ("quiet_says_nothing_but_that_it_records", quiet),
];

fn ends_cleanly(signal: Signal) -> Result<()> {
    let recording = Recording::start(
        EBPFREC,
        &["--events", "ev.parquet", "--packets", "t.pcapng", "-i", "lo"],
    )?;
    let partial = recording.folder().join("ev.parquet.partial");
    ensure!(partial.exists() && !recording.folder().join("ev.parquet").exists());
    recording.signal(signal)?;
    let finished = recording.wait()?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    ensure!(finished.events("ev.parquet")?.0.complete);
    ensure!(!partial.exists() && !finished.path("t.pcapng.partial").exists());
    for name in ["ev.parquet", "t.pcapng"] {
        let mode = std::fs::metadata(finished.path(name))?.permissions().mode();
        ensure!(mode & 0o777 == 0o600, "{name} has mode {mode:o}");
    }
    ensure!(finished.stderr.contains("\n  lost     nothing\n"), "{}", finished.stderr);
    Ok(())
}

fn duration() -> Result<()> {
    let recording =
        Recording::start(EBPFREC, &["--events", "ev.parquet", "--duration", "300ms", "--json"])?;
    let finished = recording.wait()?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let summary: serde_json::Value = serde_json::from_str(&finished.stdout)?;
    ensure!(summary["complete"] == true, "{summary}");
    ensure!(summary["events"]["by_kind"]["clock"] == 2, "{summary}");
    let rows = finished.events("ev.parquet")?.1.len();
    ensure!(summary["events"]["rows"] == rows, "{summary}");
    ensure!(summary["events"]["bytes"] == std::fs::metadata(finished.path("ev.parquet"))?.len());
    ensure!(summary["lost"]["ring"] == 0, "{summary}");
    Ok(())
}

fn kill() -> Result<()> {
    let recording = Recording::start(EBPFREC, &["--events", "ev.parquet"])?;
    recording.signal(Signal::KILL)?;
    let finished = recording.wait()?;
    ensure!(!finished.status.success());
    ensure!(!finished.path("ev.parquet").exists() && finished.path("ev.parquet.partial").exists());
    Ok(())
}

/// Detaching the hooks takes a second, one after the other: that is not recorded any more, and the file
/// does not say that it is.
fn whole_until_its_end() -> Result<()> {
    let recording = Recording::start(EBPFREC, &["--events", "ev.parquet"])?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let traffic = thread::spawn(move || -> Result<Vec<(SystemTime, u16)>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut connects = vec![];
        while !asked.load(Ordering::Relaxed) {
            let begin = SystemTime::now();
            let client = TcpStream::connect(listener.local_addr()?)?;
            connects.push((begin, client.local_addr()?.port()));
            drop(listener.accept()?);
            thread::sleep(Duration::from_millis(2));
        }
        Ok(connects)
    });
    thread::sleep(Duration::from_millis(500));
    let finished = recording.finish();
    stop.store(true, Ordering::Relaxed);
    let connects = traffic.join().expect("no panic")?;
    let (meta, rows) = finished?.events("ev.parquet")?;
    let (start, end) =
        (humantime::parse_rfc3339(&meta.start)?, humantime::parse_rfc3339(&meta.end)?);
    let pid = Some(std::process::id());
    let recorded = rows.iter().filter(|row| row.kind == Kind::TcpConnect && row.pid == pid);
    let recorded: Vec<_> = recorded.filter_map(|row| row.local.map(|local| local.port())).collect();
    let within = connects.iter().filter(|(begin, _)| *begin >= start && *begin < end);
    let within: Vec<_> = within.collect();
    ensure!(within.len() > 100, "{} connects", within.len());
    for (begin, port) in within {
        ensure!(recorded.contains(port), "{begin:?} is before {end:?}, and not recorded");
    }
    Ok(())
}

fn metadata() -> Result<()> {
    let recording = Recording::start(EBPFREC, &["--events", "ev.parquet"])?;
    let (meta, rows) = recording.finish()?.events("ev.parquet")?;
    let uname = rustix::system::uname();
    ensure!(Some(meta.host.as_str()) == uname.nodename().to_str().ok());
    ensure!(Some(meta.kernel.as_str()) == uname.release().to_str().ok());
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    ensure!(meta.boot_id == boot_id.trim());
    ensure!(meta.version == env!("CARGO_PKG_VERSION"));
    let hooks: serde_json::Value = serde_json::from_str(&meta.hooks)?;
    ensure!(hooks["sock_ops"] == "attached", "{hooks}");
    let lost: serde_json::Value = serde_json::from_str(&meta.lost)?;
    for stage in ["ring", "channel", "capture", "disk"] {
        ensure!(lost[stage] == 0, "{lost}");
    }
    let (start, end) = (parse_time(&meta.start)?, parse_time(&meta.end)?);
    ensure!(start < end, "{} {}", meta.start, meta.end);
    let clocks = of_kind(&rows, Kind::Clock);
    ensure!(clocks.len() >= 2 && clocks[0].ts <= start, "a clock row before the start");
    ensure!(clocks.last().is_some_and(|row| row.ts == end), "and one at the end");
    for row in &clocks {
        ensure!(row.source == "recorder");
        let offset = row.mono_offset_ns.context("an offset")?;
        ensure!(row.ts - i64::try_from(row.boot_ns)? == offset, "{row:#?}");
    }
    ensure!(rows.iter().enumerate().all(|(position, row)| row.seq == position as u64));
    Ok(())
}

/// RFC 3339 in UTC with nine decimals, as nanoseconds since 1970.
fn parse_time(text: &str) -> Result<i64> {
    ensure!(text.len() == "2026-01-01T00:00:00.000000000Z".len(), "{text}");
    let time = humantime::parse_rfc3339(text)?;
    Ok(i64::try_from(time.duration_since(std::time::UNIX_EPOCH)?.as_nanos())?)
}

fn interfaces() -> Result<()> {
    // Other tests add and remove some meanwhile.
    let before = present()?;
    let recording = Recording::start(EBPFREC, &["--events", "ev.parquet"])?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let after = present()?;
    let found = of_kind(&rows, Kind::Interface);
    let loopback = found.iter().find(|row| {
        row.ifname.as_deref() == Some("lo") && row.local_addr.as_deref() == Some("127.0.0.1")
    });
    let loopback = loopback.context("the loopback interface")?;
    ensure!(loopback.source == "snapshot" && loopback.netns.is_some(), "{loopback:#?}");
    for name in before.iter().filter(|name| after.contains(name)) {
        ensure!(found.iter().any(|row| row.ifname.as_ref() == Some(name)), "{name:?}");
    }
    Ok(())
}

/// Interfaces of this namespace, as /sys shows them.
fn present() -> Result<Vec<String>> {
    let mut names = vec![];
    for entry in std::fs::read_dir("/sys/class/net")? {
        let entry = entry?;
        // Some entries are settings, not interfaces.
        if entry.path().join("ifindex").exists() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

fn check() -> Result<()> {
    let output = Command::new(EBPFREC).arg("check").output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success() && text.contains("sock_ops"), "{text}");
    let output = Command::new(EBPFREC).args(["check", "--json"]).output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(report["enough"] == true, "{report}");
    let hooks = report["hooks"].as_array().context("a list")?;
    for hook in hooks {
        let name = hook["name"].as_str().context("a name")?;
        ensure!(text.contains(name) && hook["loses"].is_string(), "{hook}");
    }
    // Whoever reads the output may stop reading; that is not an error.
    let mut child = Command::new(EBPFREC)
        .arg("check")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    ensure!(output.status.success() && output.stderr.is_empty());
    Ok(())
}

fn quiet() -> Result<()> {
    let recording = Recording::start(EBPFREC, &["--events", "ev.parquet", "--quiet"])?;
    let finished = recording.finish()?;
    ensure!(finished.stderr == "ebpfrec: recording\n", "{}", finished.stderr);
    ensure!(finished.stdout.is_empty());
    ensure!(Path::new(&finished.path("ev.parquet")).exists());
    Ok(())
}
