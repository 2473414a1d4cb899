//! What a recording may do, and that nothing of it stays: held against what the kernel says of the
//! process, its programs and its links.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{loaded_links, loaded_programs};
use rustix::{
    fs::{XattrFlags, setxattr},
    process::{Signal, geteuid},
};
use schema::Kind;

use super::{
    EBPFREC,
    copy::copy_program,
    live::Scenario,
    program::{PATIENCE, Program},
    recording::Recording,
    rows::of_kind,
};

pub(crate) const ALL: &[Scenario] = &[
    ("every_thread_has_given_up_what_it_does_not_need", capabilities),
    ("without_root_the_documented_capabilities_suffice", without_root),
    ("nothing_stays_in_the_kernel_after_a_clean_end", || nothing_stays(Signal::TERM)),
    ("nothing_stays_in_the_kernel_after_a_kill", || nothing_stays(Signal::KILL)),
    ("nothing_stays_in_the_kernel_after_a_start_that_failed", nothing_stays_of_a_failed_start),
];

// Numbers of capabilities (include/uapi/linux/capability.h).
const CHOWN: u32 = 0;
const DAC_OVERRIDE: u32 = 1;
const DAC_READ_SEARCH: u32 = 2;
const FOWNER: u32 = 3;
const NET_BROADCAST: u32 = 11;
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const SYS_NICE: u32 = 23;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// What a thread of this name may keep; `None` for a thread nobody thought of.
fn allowed(thread: &str) -> Option<&'static [u32]> {
    const FILES: &[u32] = &[CHOWN, DAC_OVERRIDE, FOWNER];
    const NAMESPACES: &[u32] = &[DAC_READ_SEARCH, SYS_PTRACE, SYS_ADMIN, NET_ADMIN];
    match thread {
        "ebpfrec" | "finish-part" | "packet-file" => Some(FILES),
        "event-file" => Some(&[CHOWN, DAC_OVERRIDE, FOWNER, SYS_NICE]),
        "events" => Some(&[DAC_READ_SEARCH, SYS_PTRACE, SYS_NICE, BPF]),
        "sockets" | "snapshot" | "interfaces" | "conntrack" => Some(NAMESPACES),
        "containers" => Some(&[DAC_OVERRIDE]),
        "capture-0" => Some(&[]),
        _ => None,
    }
}

fn mask(capabilities: &[u32]) -> u64 {
    capabilities.iter().fold(0, |mask, capability| mask | 1 << capability)
}

/// Looks again and again until `look` has nothing more to object to.
fn settle(mut look: impl FnMut() -> Result<Option<String>>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while let Some(objection) = look()? {
        ensure!(Instant::now() < until, "{objection}");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn capabilities() -> Result<()> {
    ensure!(geteuid().is_root(), "only root has something to give up");
    let args = ["--events", "ev.parquet", "--packets", "t.pcapng", "-i", "lo"];
    let recording = Recording::start(EBPFREC, &args)?;
    let tasks = format!("/proc/{}/task", recording.pid());
    // The last thread may not have come to it yet.
    settle(|| check_threads(Path::new(&tasks)))?;
    recording.finish()?;
    Ok(())
}

/// What is wrong with the threads' privileges, if anything is.
fn check_threads(tasks: &Path) -> Result<Option<String>> {
    let mut seen = BTreeSet::new();
    for task in fs::read_dir(tasks)? {
        let task = task?.path();
        let (Ok(comm), Ok(status)) =
            (fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("status")))
        else {
            // It is gone.
            continue;
        };
        let name = comm.trim_end().to_owned();
        let Some(allowed) = allowed(&name) else {
            return Ok(Some(format!("a thread called {name}: what may it do?")));
        };
        let field = |key: &str| -> Result<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(key));
            let value = value.with_context(|| format!("no {key} in {status}"))?;
            Ok(u64::from_str_radix(value.trim(), 16)?)
        };
        let want = mask(allowed);
        for (key, want) in [
            ("CapEff:", want),
            ("CapPrm:", want),
            ("CapBnd:", want),
            ("CapInh:", 0),
            ("CapAmb:", 0),
        ] {
            let found = field(key)?;
            if found != want {
                return Ok(Some(format!("{name} has {key} {found:x}, not {want:x}")));
            }
        }
        if field("NoNewPrivs:")? != 1 {
            return Ok(Some(format!("{name} may get new privileges")));
        }
        seen.insert(name);
    }
    let missing =
        ["ebpfrec", "events", "event-file", "packet-file", "sockets", "conntrack", "capture-0"]
            .into_iter()
            .find(|&name| !seen.contains(name));
    Ok(missing.map(|name| format!("no thread called {name}")))
}

/// What docs/recording.md tells users without root to give the program.
const DOCUMENTED: &[u32] = &[
    BPF,
    PERFMON,
    NET_ADMIN,
    NET_RAW,
    NET_BROADCAST,
    SYS_ADMIN,
    SYS_PTRACE,
    SYS_NICE,
    DAC_READ_SEARCH,
];

/// As `nobody`, with a program that has these capabilities, as setcap(8) would give them.
fn without_root() -> Result<()> {
    const NOBODY: u32 = 65_534;
    ensure!(geteuid().is_root(), "only root can become somebody else");
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    let copy = folder.path().join("ebpfrec");
    copy_program(EBPFREC, &copy);
    give(&copy, mask(DOCUMENTED))?;

    let mut command = Command::new(&copy);
    command.uid(NOBODY).gid(NOBODY);
    let args = ["--events", "ev.parquet", "--packets", "t.pcapng", "-i", "lo"];
    let recording = Recording::start_command(folder, command, &args)?;
    let mut server = Program::start(&["tcp-server", "127.0.0.1:0"])?;
    server.value::<u64>("start")?;
    let address: String = server.value("listening")?;
    let mut client = Program::start(&["tcp-client", &address, "1"])?;
    client.value::<u64>("start")?;
    let local: std::net::SocketAddr = client.value("local")?;
    let pid = client.pid();
    client.finish()?;
    server.finish()?;
    let finished = recording.finish()?;

    let (meta, rows) = finished.events("ev.parquet")?;
    // What is missing for want of a privilege is missing here, and not for root.
    let output = Command::new(EBPFREC).args(["check", "--json"]).output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let hooks: serde_json::Value = serde_json::from_str(&meta.hooks)?;
    for hook in report["hooks"].as_array().context("a list")? {
        let name = hook["name"].as_str().context("a name")?;
        let attached = hooks[name] == "attached";
        ensure!(hook["attached"] == attached, "{name}: {}", hooks[name]);
    }
    let connects = of_kind(&rows, Kind::TcpConnect);
    let connect = connects.iter().find(|row| row.local == Some(local)).context("no connect")?;
    ensure!(connect.pid == Some(pid) && connect.exe.is_some(), "{connect:#?}");
    ensure!(fs::metadata(finished.path("t.pcapng"))?.len() > 500, "no packets");
    Ok(())
}

/// Gives a program capabilities, permitted and effective, as `struct vfs_cap_data` says them
/// (include/uapi/linux/capability.h): revision and flag, then permitted and inheritable, lower
/// and upper half each.
fn give(program: &Path, capabilities: u64) -> Result<()> {
    const REVISION_2: u32 = 0x0200_0000;
    const EFFECTIVE: u32 = 1;
    let (low, high) = (capabilities as u32, (capabilities >> 32) as u32);
    let value: Vec<u8> =
        [REVISION_2 | EFFECTIVE, low, 0, high, 0].into_iter().flat_map(u32::to_le_bytes).collect();
    setxattr(program, c"security.capability", &value, XattrFlags::empty())
        .context("the temporary folder's filesystem has no capabilities")
}

/// Ids of the programs and links a process has file descriptors of.
fn held_by(pid: &str) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (mut programs, mut links) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for line in text.lines() {
            let id = |key| line.strip_prefix(key).and_then(|id| id.trim().parse::<u32>().ok());
            programs.extend(id("prog_id:"));
            links.extend(id("link_id:"));
        }
    }
    (programs, links)
}

fn program_ids() -> Result<BTreeSet<u32>> {
    // One that goes away meanwhile is passed over.
    Ok(loaded_programs().filter_map(|program| Some(program.ok()?.id())).collect())
}

fn link_ids() -> Result<BTreeSet<u32>> {
    Ok(loaded_links().filter_map(|link| Some(link.ok()?.id())).collect())
}

/// Mounts of the kinds the recorder looks for. Other tests mount others.
fn mounts() -> Result<Vec<String>> {
    let all = fs::read_to_string("/proc/self/mounts")?;
    let ours = |line: &&str| {
        line.split(' ').nth(2).is_some_and(|kind| ["cgroup2", "tracefs", "bpf"].contains(&kind))
    };
    Ok(all.lines().filter(ours).map(str::to_owned).collect())
}

fn nothing_stays(signal: Signal) -> Result<()> {
    let mounts_before = mounts()?;
    let recording = Recording::start(EBPFREC, &["--events", "ev.parquet"])?;
    let (programs, links) = held_by(&recording.pid().to_string());
    ensure!(programs.len() >= 5 && links.len() >= 5, "{programs:?} {links:?}");
    ensure!(programs.is_subset(&program_ids()?) && links.is_subset(&link_ids()?));
    recording.signal(signal)?;
    recording.wait()?;
    // The kernel takes them away when nobody can be running them any more.
    settle(|| {
        let programs: Vec<_> = program_ids()?.intersection(&programs).copied().collect();
        let links: Vec<_> = link_ids()?.intersection(&links).copied().collect();
        let left = !programs.is_empty() || !links.is_empty();
        Ok(left.then(|| format!("programs {programs:?} and links {links:?} are still there")))
    })?;
    ensure!(mounts()? == mounts_before, "{:?}", mounts()?);
    Ok(())
}

fn nothing_stays_of_a_failed_start() -> Result<()> {
    let before = program_ids()?;
    let mounts_before = mounts()?;
    let folder = tempfile::tempdir()?;
    // Too few file descriptors: some programs are attached, others not.
    for most in 8..24 {
        let script = format!("ulimit -n {most}; exec \"$0\" --events ev.parquet");
        let output = Command::new("sh")
            .args(["-c", &script, EBPFREC])
            .current_dir(folder.path())
            .output()?;
        ensure!(!output.status.success(), "{most} file descriptors are enough");
    }
    ensure!(fs::read_dir(folder.path())?.count() == 0, "nothing is left in the folder either");
    // Other tests' recordings hold theirs.
    settle(|| {
        let mut left = program_ids()?;
        left.retain(|id| !before.contains(id));
        for process in fs::read_dir("/proc")?.flatten() {
            let (held, _) = held_by(&process.file_name().to_string_lossy());
            left.retain(|id| !held.contains(id));
        }
        Ok((!left.is_empty()).then(|| format!("nobody holds the programs {left:?}")))
    })?;
    ensure!(mounts()? == mounts_before, "{:?}", mounts()?);
    Ok(())
}
