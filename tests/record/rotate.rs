//! Files that follow one another: each is whole, nothing is lost or doubled between them.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use pcap_file::pcapng::{Block, PcapNgReader};
use rustix::process::Signal;
use schema::{Kind, meta::FileMeta};

use super::{
    EBPFREC,
    live::Scenario,
    program::Program,
    recording::{Recording, names, read_events},
    rows::EventRow,
};

pub(crate) const ALL: &[Scenario] = &[
    ("parts_by_size_hold_every_row_once", by_size),
    ("parts_by_time_can_be_read_while_recording", by_time),
    ("only_as_many_parts_stay_as_asked_for", keep),
    ("every_part_tells_of_the_sockets_that_are_open", open_sockets),
    ("packets_are_cut_between_two_packets", packets),
    ("a_recording_goes_on_behind_parts_that_a_crash_left", after_a_crash),
    ("parts_have_one_recording_at_a_time", second),
];

/// Every part in `folder`, which holds nothing else.
fn parts(folder: &Path) -> Result<Vec<(FileMeta, Vec<EventRow>)>> {
    let names = names(folder)?;
    ensure!(names.iter().all(|name| name.ends_with(".parquet")), "{names:?}");
    names.iter().map(|name| read_events(&folder.join(name))).collect()
}

/// Opens and closes sockets, two rows each, until `done`.
fn work_until(done: impl Fn() -> Result<bool>) -> Result<()> {
    for round in 0..2_000_000 {
        drop(UdpSocket::bind("127.0.0.1:0")?);
        if round % 64 == 0 {
            if done()? {
                return Ok(());
            }
            // Tiny parts keep the disk busy: no more than it takes.
            std::thread::sleep(Duration::from_millis(4));
        }
    }
    anyhow::bail!("two million sockets were not enough")
}

/// The parts of one recording fit together: times and numbers go on, and each begins with what
/// must be known to read it alone.
fn ensure_fit(parts: &[(FileMeta, Vec<EventRow>)]) -> Result<()> {
    let (mut next_seq, mut missing, mut told) = (0, 0, 0);
    for (number, (meta, rows)) in (1..).zip(parts) {
        ensure!(meta.part == number && meta.complete, "{meta:?}");
        ensure!(!meta.recording.is_empty() && meta.recording == parts[0].0.recording);
        for row in rows {
            ensure!(row.seq >= next_seq, "part {number} has {} for {next_seq}", row.seq);
            missing += row.seq - next_seq;
            next_seq = row.seq + 1;
        }
        if number > 1 {
            ensure!(meta.start == parts[number as usize - 2].0.end, "{meta:?}");
            ensure!(rows[0].kind == Kind::Clock, "{:?}", rows[0]);
            ensure!(rows[1].kind == Kind::Interface, "{:?}", rows[1]);
            let interface = |row: &&EventRow| row.kind == Kind::Interface;
            ensure!(rows.iter().filter(interface).any(|row| row.ifname.as_deref() == Some("lo")));
        }
        let lost: serde_json::Value = serde_json::from_str(&meta.lost)?;
        let total: serde_json::Value = serde_json::from_str(&meta.lost_total)?;
        told += lost["channel"].as_u64().context("losses of the channel")?;
        ensure!(total["channel"] == told, "{meta:?}");
    }
    // On a machine that cannot keep up, rows are lost, and counted.
    ensure!(missing == told, "{missing} rows are missing, {told} are said to be lost");
    Ok(())
}

fn by_size() -> Result<()> {
    let args = ["--events", "ev.parquet", "--rotate-size", "64K"];
    let recording = Recording::start(EBPFREC, &args)?;
    let third = recording.folder().join("ev.000003.parquet");
    work_until(|| Ok(third.exists()))?;
    let finished = recording.finish()?;
    let parts = parts(&finished.path(""))?;
    ensure!(parts.len() >= 3);
    ensure_fit(&parts)?;
    ensure!(finished.stderr.contains(&format!(", {} parts\n", parts.len())), "{}", finished.stderr);
    // An explicit bind and its close: every socket has both, in whatever part.
    let rows = || parts.iter().flat_map(|(_, rows)| rows);
    let own = || rows().filter(|row| row.pid == Some(std::process::id()));
    let binds = own().filter(|row| row.kind == Kind::UdpBind).count();
    ensure!(binds > 100, "{binds} sockets");
    for name in finished.names()? {
        let meta = fs::metadata(finished.path(&name))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777;
        ensure!(mode == 0o600, "{name} has mode {mode:o}");
    }
    Ok(())
}

fn by_time() -> Result<()> {
    let args = ["--events", "ev.parquet", "--rotate-time", "300ms"];
    let recording = Recording::start(EBPFREC, &args)?;
    let second = recording.folder().join("ev.000002.parquet");
    while !second.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for name in ["ev.000001.parquet", "ev.000002.parquet"] {
        let (meta, rows) = read_events(&recording.folder().join(name))?;
        ensure!(meta.complete && !rows.is_empty(), "{name}: {meta:?}");
    }
    let finished = recording.finish()?;
    ensure_fit(&parts(&finished.path(""))?)
}

fn keep() -> Result<()> {
    let args = ["--events", "ev.parquet", "--rotate-time", "200ms", "--keep", "2"];
    let recording = Recording::start(EBPFREC, &args)?;
    let fifth = recording.folder().join("ev.000005.parquet");
    while !fifth.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let finished = recording.finish()?;
    let names = finished.names()?;
    ensure!(names.len() == 2, "{names:?}");
    let (first, second) = (finished.events(&names[0])?, finished.events(&names[1])?);
    ensure!(first.0.part + 1 == second.0.part && first.0.part >= 4, "{names:?}");
    ensure!(first.1.last().map(|row| row.seq + 1) == second.1.first().map(|row| row.seq));
    Ok(())
}

fn open_sockets() -> Result<()> {
    let older = Program::start(&["tcp-holder", "127.0.0.1:0"])?;
    let args = ["--events", "ev.parquet", "--rotate-time", "700ms"];
    let recording = Recording::start(EBPFREC, &args)?;
    let newer = Program::start(&["tcp-holder", "[::1]:0"])?;
    let holders = [older, newer].map(|mut holder| -> Result<_> {
        let listening: SocketAddr = holder.value("listening")?;
        let local: SocketAddr = holder.value("local")?;
        Ok((holder, listening, local))
    });
    let holders = holders.into_iter().collect::<Result<Vec<_>>>()?;
    // They are listed as soon as there is time for it: on a busy machine one part may be too short.
    for number in 2..40 {
        let part = recording.folder().join(format!("ev.{number:06}.parquet"));
        while !part.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (_, rows) = read_events(&part)?;
        let told = |holder: &Program, own: SocketAddr, remote: Option<SocketAddr>| {
            let about = |row: &&EventRow| (row.local, row.remote) == (Some(own), remote);
            let row = rows.iter().filter(about).find(|row| row.pid == Some(holder.pid()));
            row.filter(|row| row.kind == Kind::Socket && row.source == "snapshot")
        };
        let all = holders.iter().flat_map(|(holder, listening, local)| {
            let ends = [(*listening, None), (*listening, Some(*local)), (*local, Some(*listening))];
            ends.map(|(own, remote)| told(holder, own, remote))
        });
        let Some(all) = all.collect::<Option<Vec<_>>>() else { continue };
        // Nobody saw who opened the older one's connections; the newer one's keep what was seen.
        let directions: Vec<_> = all.iter().map(|row| row.direction.as_deref()).collect();
        let want = [None, Some("in"), None, None, Some("in"), Some("out")];
        ensure!(directions == want, "{directions:?}");
        recording.finish()?;
        return Ok(());
    }
    anyhow::bail!("no part tells of all sockets")
}

fn packets() -> Result<()> {
    const DATAGRAMS: u32 = 3000;
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let filter = format!("udp port {}", server.local_addr()?.port());
    let args = ["--packets", "t.pcapng", "-i", "lo", "-f", filter.as_str(), "--rotate-size", "64K"];
    let recording = Recording::start(EBPFREC, &args)?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    for number in 0..DATAGRAMS {
        client.send_to(&number.to_be_bytes(), server.local_addr()?)?;
    }
    let finished = recording.finish()?;
    let names = finished.names()?;
    ensure!(names.len() > 2 && names[0] == "t.000001.pcapng", "{names:?}");
    let (mut next, mut delivered) = (0, 0);
    for name in &names {
        let mut reader = PcapNgReader::new(fs::File::open(finished.path(name))?)?;
        let (mut interfaces, mut own) = (0, 0);
        let mut of_part = None;
        while let Some(block) = reader.next_block() {
            match block? {
                Block::InterfaceDescription(_) => interfaces += 1,
                Block::EnhancedPacket(packet) => {
                    let payload = packet.data.last_chunk::<4>().context("a payload")?;
                    ensure!(u32::from_be_bytes(*payload) == next, "{name}: packet {next}");
                    next += 1;
                    own += 1;
                }
                Block::InterfaceStatistics(statistics) => {
                    use pcap_file::pcapng::blocks::interface_statistics as isb;
                    let delivered = |option: &_| match option {
                        isb::InterfaceStatisticsOption::IsbUsrDeliv(count) => Some(*count),
                        _ => None,
                    };
                    of_part = statistics.options.iter().find_map(delivered);
                }
                _ => {}
            }
        }
        ensure!(interfaces == 1 && of_part == Some(own), "{name}: {of_part:?} of {own} packets");
        delivered += own;
    }
    ensure!(next == DATAGRAMS && delivered == u64::from(DATAGRAMS), "{next} packets");
    Ok(())
}

fn after_a_crash() -> Result<()> {
    let args = ["--events", "ev.parquet", "--rotate-size", "64K"];
    let recording = Recording::start(EBPFREC, &args)?;
    let second = recording.folder().join("ev.000002.parquet");
    work_until(|| Ok(second.exists()))?;
    // The part that is cut off may have begun only just: until its first rows are on the disk.
    std::thread::sleep(Duration::from_secs(2));
    recording.signal(Signal::KILL)?;
    let crashed = recording.wait()?;
    let left = crashed.names()?;
    let partial = left.iter().find(|name| name.ends_with(".partial")).context("nothing is left")?;
    let cut = partial.trim_end_matches(".partial").to_owned();
    let output = Command::new(EBPFREC)
        .current_dir(crashed.path(""))
        .args(args)
        .args(["--duration", "300ms"])
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{said}");
    ensure!(
        said.starts_with(&format!("ebpfrec: recovered ./{cut}  "))
            || said.starts_with(&format!("ebpfrec: recovered {cut}  ")),
        "{said}"
    );
    let all = parts(&crashed.path(""))?;
    let incomplete: Vec<_> = all.iter().filter(|(meta, _)| !meta.complete).collect();
    ensure!(incomplete.len() == 1, "{said}");
    // With what other tests do the new recording may have several parts, too.
    let crashed = &incomplete[0].0.recording;
    let new = all.iter().find(|(meta, _)| meta.recording != *crashed);
    let (first, rows) = new.context("no new recording")?;
    ensure!(first.part == 1 && rows[0].seq == 0, "part {}", first.part);
    Ok(())
}

fn second() -> Result<()> {
    let args = ["--events", "ev.parquet", "--rotate-time", "1h"];
    let recording = Recording::start(EBPFREC, &args)?;
    let output = Command::new(EBPFREC).current_dir(recording.folder()).args(args).output()?;
    let said = String::from_utf8(output.stderr)?;
    let want = "another recording is writing it; give another name\n";
    ensure!(said.ends_with(want) && output.status.code() == Some(1), "{said}");
    let finished = recording.finish()?;
    ensure!(finished.names()? == ["ev.000001.parquet"], "{:?}", finished.names()?);
    Ok(())
}
