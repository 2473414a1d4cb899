//! The real program, and what it says of every packet.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::Name;

/// A name and how it was found, or why there is none.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) who: Option<Name>,
    /// The match, or the reason.
    pub(crate) how: String,
}

/// What is said of one packet.
#[derive(Clone, Debug)]
pub(crate) struct Annotated {
    pub(crate) ends: [Said; 2],
    /// Who is behind each.
    pub(crate) behind: [Option<Said>; 2],
}

fn ebpfjoin(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"));
    command.current_dir(folder).args(args);
    command
}

/// Joins `capture.pcapng` with `events.parquet` and reads the names back, packet by packet.
pub(crate) fn join(folder: &Path) -> Vec<Annotated> {
    let args =
        ["capture.pcapng", "events.parquet", "-o", "out.pcapng", "--detail", "full", "--quiet"];
    let status = ebpfjoin(folder, &args).status().expect("ebpfjoin");
    assert!(status.success(), "ebpfjoin: {status}");
    let mut show = ebpfjoin(folder, &["show", "out.pcapng", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ebpfjoin show");
    let lines = BufReader::new(show.stdout.take().expect("piped")).lines();
    let packets = lines.map(|line| {
        let packet: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let ends = ["src", "dst"].map(|side| &packet[side]);
        Annotated { ends: ends.map(said), behind: ends.map(|end| end.get("via").map(said)) }
    });
    let packets = packets.collect();
    assert!(show.wait().expect("ebpfjoin show").success(), "ebpfjoin show");
    packets
}

fn said(end: &Value) -> Said {
    let pid = end["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let who = pid.map(|pid| Name { pid, comm: end["comm"].as_str().unwrap_or_default().into() });
    let how = end["match"].as_str().or(end["none"].as_str()).unwrap_or("nothing said");
    Said { who, how: how.to_owned() }
}
