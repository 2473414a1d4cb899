//! A disk that fills up: the recording stops by itself, and what was written is whole.

use std::{net::UdpSocket, path::PathBuf};

use anyhow::{Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use super::{EBPFREC, live::Scenario, recording::Recording};

pub(crate) const ALL: &[Scenario] = &[
    ("a_full_disk_leaves_a_whole_event_file", events),
    ("a_full_disk_leaves_a_whole_packet_file", packets),
    ("no_room_at_all_is_said_at_the_start", no_room),
    ("room_for_one_file_of_two_leaves_neither", no_room_for_both),
];

/// A small filesystem in memory, taken away at the end.
struct SmallDisk {
    mounted: PathBuf,
    _folder: TempDir,
}

impl SmallDisk {
    fn new(options: &std::ffi::CStr) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mounted = folder.path().join("disk");
        std::fs::create_dir(&mounted)?;
        mount("tmpfs", &mounted, "tmpfs", MountFlags::empty(), options)?;
        Ok(Self { mounted, _folder: folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A mount that stays behind is in a temporary folder, and says so itself.
        let _ = unmount(&self.mounted, UnmountFlags::DETACH);
    }
}

const FULL: &str = "ebpfrec: the disk is full: stopped, and what was recorded is whole; free some \
                    space and record again\n";

fn events() -> Result<()> {
    let disk = SmallDisk::new(c"size=6m")?;
    let folder = tempfile::tempdir_in(&disk.mounted)?;
    let recording = Recording::start_in(folder, EBPFREC, &["--events", "ev.parquet", "--json"])?;
    // A socket's bind and close are two rows; a full disk comes after some ten thousand.
    for _ in 0..2_000_000 {
        drop(UdpSocket::bind("127.0.0.1:0")?);
        if recording.folder().join("ev.parquet").exists() {
            break;
        }
    }
    let finished = recording.wait()?;
    ensure!(finished.status.code() == Some(1), "{}", finished.status);
    ensure!(finished.stderr.ends_with(FULL), "{}", finished.stderr);
    let (meta, rows) = finished.events("ev.parquet")?;
    ensure!(!meta.complete);
    let lost: serde_json::Value = serde_json::from_str(&meta.lost)?;
    ensure!(lost["disk"].as_u64() > Some(0), "{lost}");
    // Other tests' rows may be most of them.
    ensure!(rows.len() > 1000, "{} rows", rows.len());
    let summary: serde_json::Value = serde_json::from_str(&finished.stdout)?;
    ensure!(summary["complete"] == false && summary["events"]["rows"] == rows.len());
    let by_kind = summary["events"]["by_kind"].as_object().into_iter().flatten();
    let counted: u64 = by_kind.filter_map(|(_, count)| count.as_u64()).sum();
    ensure!(usize::try_from(counted)? == rows.len(), "{summary}");
    Ok(())
}

fn packets() -> Result<()> {
    let disk = SmallDisk::new(c"size=3m")?;
    let folder = tempfile::tempdir_in(&disk.mounted)?;
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let filter = format!("udp port {}", server.local_addr()?.port());
    let args = ["--packets", "t.pcapng", "-i", "lo", "-f", &filter];
    let recording = Recording::start_in(folder, EBPFREC, &args)?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..2_000_000 {
        client.send_to(&[0; 1000], server.local_addr()?)?;
        if recording.folder().join("t.pcapng").exists() {
            break;
        }
    }
    let finished = recording.wait()?;
    ensure!(finished.status.code() == Some(1), "{}", finished.status);
    ensure!(finished.stderr.ends_with(FULL), "{}", finished.stderr);
    ensure!(finished.stderr.contains("for want of disk space"), "{}", finished.stderr);
    let mut reader =
        pcap_file::pcapng::PcapNgReader::new(std::fs::File::open(finished.path("t.pcapng"))?)?;
    let (mut packets, mut statistics) = (0, 0);
    while let Some(block) = reader.next_block() {
        match block? {
            pcap_file::pcapng::Block::EnhancedPacket(_) => packets += 1,
            pcap_file::pcapng::Block::InterfaceStatistics(_) => statistics += 1,
            _ => {}
        }
    }
    ensure!(packets > 100 && statistics == 1, "{packets} packets");
    Ok(())
}

fn no_room() -> Result<()> {
    let disk = SmallDisk::new(c"size=64k")?;
    let path = disk.mounted.join("ev.parquet");
    let output = std::process::Command::new(EBPFREC).arg("--events").arg(&path).output()?;
    let said = String::from_utf8(output.stderr)?;
    let want = format!(
        "ebpfrec: cannot write {}: the disk is full; free some space or give another place\n",
        path.display()
    );
    // Before that, perhaps, what this kernel can't give.
    ensure!(said.ends_with(&want) && output.status.code() == Some(1), "{said}");
    ensure!(std::fs::read_dir(&disk.mounted)?.count() == 0, "nothing is left");
    Ok(())
}

fn no_room_for_both() -> Result<()> {
    // A journal and an event file take three MiB to begin with, and then there are packets.
    let disk = SmallDisk::new(c"size=3200k")?;
    let (events, packets) = (disk.mounted.join("ev.parquet"), disk.mounted.join("t.pcapng"));
    let mut command = std::process::Command::new(EBPFREC);
    command.arg("--events").arg(&events).arg("--packets").arg(&packets).args(["-i", "lo"]);
    let output = command.args(["--duration", "1s"]).output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(said.contains("the disk is full") && output.status.code() == Some(1), "{said}");
    let left: Vec<_> = std::fs::read_dir(&disk.mounted)?.flatten().collect();
    ensure!(left.is_empty(), "{left:?}: {said}");
    Ok(())
}
