//! Processes that are gone before anybody can look at them, programs that follow one another in one
//! process, and arguments nobody should have to trust.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    io::Read as _,
    net::{SocketAddr, TcpListener},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use schema::Kind;

use super::{
    EBPFREC,
    live::Scenario,
    program::PLAY,
    recording::Recording,
    rows::{EventRow, of_kind, only},
};

pub(crate) const ALL: &[Scenario] = &[
    ("processes_that_are_gone_at_once_are_all_named", gone_at_once),
    ("a_connect_that_fails_in_a_hasty_process_is_named", hasty_failure),
    ("a_row_shows_the_program_that_ran_at_the_time", one_after_the_other),
    ("long_arguments_are_bounded_in_a_process_that_is_gone", long_and_gone),
    ("arguments_too_long_for_the_kernels_record_are_looked_up", long_and_alive),
    ("hostile_arguments_are_kept_as_text", hostile),
    ("a_process_is_told_from_its_beginning_to_its_end", whole_life),
];

const EVENTS: &[&str] = &["--events", "ev.parquet"];
/// Processes started one after the other as fast as a shell can.
const STORM: usize = 60;
/// Bytes of a command line in the file at most.
const MAX_CMDLINE: usize = 4096;

/// What a hasty process said of itself.
struct Hasty {
    number: String,
    pid: u32,
    local: SocketAddr,
}

/// Runs `script` with the own executable as `$0` and `addr` as `$1`. Returns the shell's pid, and
/// what the processes said.
fn shell(script: &str, addr: &str) -> Result<(u32, Vec<Hasty>)> {
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe()?)
        .arg(addr)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    shell.stdout.take().context("piped")?.read_to_string(&mut said)?;
    ensure!(shell.wait()?.success(), "{said}");
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let hasty = Hasty {
            number: words.next()?.to_owned(),
            pid: words.next()?.parse().ok()?,
            local: words.next()?.parse().ok()?,
        };
        Some(hasty)
    };
    let hasty = said.lines().map(parse).collect::<Option<Vec<_>>>().context(said.clone())?;
    Ok((shell.id(), hasty))
}

fn own_exe() -> Result<String> {
    let exe = std::env::current_exe()?.canonicalize()?;
    exe.into_os_string().into_string().ok().context("a path in UTF-8")
}

/// The paths by which the shell may be known: as found along `PATH`, or where that leads.
fn is_shell(exe: Option<&str>) -> bool {
    let names = ["/bin/sh", "/usr/bin/sh"].map(PathBuf::from);
    let found: HashSet<PathBuf> = names
        .iter()
        .flat_map(|name| [Some(name.clone()), name.canonicalize().ok()])
        .flatten()
        .collect();
    exe.is_some_and(|exe| found.contains(Path::new(exe)))
}

fn check_hasty(row: &EventRow, exe: &str, cmdline: &str, parent: u32) -> Result<()> {
    ensure!(row.exe.as_deref() == Some(exe), "{row:#?}");
    ensure!(row.cmdline.as_deref() == Some(cmdline), "{row:#?}");
    ensure!(row.ppid == Some(parent) && is_shell(row.parent_exe.as_deref()), "{row:#?}");
    ensure!(row.uid == Some(rustix::process::getuid().as_raw()), "{row:#?}");
    ensure!(row.start_ts.is_some(), "{row:#?}");
    Ok(())
}

fn gone_at_once() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?.to_string();
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let script = format!(
        "i=0; while [ $i -lt {STORM} ]; do \"$0\" {PLAY} tcp-hasty $1 $i; i=$((i+1)); done"
    );
    let (parent, hasty) = shell(&script, &addr)?;
    ensure!(hasty.len() == STORM);
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let exe = own_exe()?;
    let own = std::env::current_exe()?;
    for Hasty { number, pid, local } in hasty {
        let cmdline = format!("{} {PLAY} tcp-hasty {addr} {number}", own.display());
        let connect = only(&rows, Kind::TcpConnect, pid)?;
        ensure!(connect.local == Some(local), "{connect:#?}");
        check_hasty(connect, &exe, &cmdline, parent)?;
        let exec = only(&rows, Kind::Exec, pid)?;
        check_hasty(exec, &exe, &cmdline, parent)?;
        let exit = only(&rows, Kind::Exit, pid)?;
        check_hasty(exit, &exe, &cmdline, parent)?;
        ensure!(exec.boot_ns < connect.boot_ns && connect.boot_ns < exit.boot_ns);
        for row in rows.iter().filter(|row| row.pid == Some(pid)) {
            ensure!(row.start_ts == exec.start_ts, "one process has one start: {row:#?}");
        }
    }
    Ok(())
}

fn hasty_failure() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let free = listener.local_addr()?;
    drop(listener);
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let script = format!("\"$0\" {PLAY} tcp-hasty-refused $1; :");
    let (parent, hasty) = shell(&script, &free.to_string())?;
    let pid = hasty.first().context("nobody")?.pid;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let own = std::env::current_exe()?;
    let cmdline = format!("{} {PLAY} tcp-hasty-refused {free}", own.display());
    let fail = only(&rows, Kind::TcpConnectFail, pid)?;
    ensure!(fail.error.as_deref() == Some("ECONNREFUSED"), "{fail:#?}");
    check_hasty(fail, &own_exe()?, &cmdline, parent)
}

fn one_after_the_other() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?.to_string();
    let recording = Recording::start(EBPFREC, EVENTS)?;
    // The shell, a program that connects and becomes another one, which connects and ends.
    let (pid, hasty) = shell(&format!("exec \"$0\" {PLAY} tcp-chain $1"), &addr)?;
    let [first, second] = &hasty[..] else { anyhow::bail!("not two") };
    ensure!(first.pid == pid && second.pid == pid, "they are one process");
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let own = std::env::current_exe()?.display().to_string();
    let connects: Vec<_> = of_kind(&rows, Kind::TcpConnect);
    let of = |local: SocketAddr| {
        connects.iter().find(|row| row.local == Some(local)).context("a connect is missing")
    };
    let cmdline = |role: &str| Some(format!("{own} {PLAY} {role}"));
    ensure!(of(first.local)?.cmdline == cmdline(&format!("tcp-chain {addr}")));
    ensure!(of(second.local)?.cmdline == cmdline(&format!("tcp-hasty {addr} last")));
    let execs: Vec<_> =
        of_kind(&rows, Kind::Exec).into_iter().filter(|row| row.pid == Some(pid)).collect();
    let [shell, chain, last] = execs[..] else { anyhow::bail!("not three: {execs:#?}") };
    ensure!(is_shell(shell.exe.as_deref()), "{shell:#?}");
    ensure!(chain.cmdline == of(first.local)?.cmdline && last.cmdline == of(second.local)?.cmdline);
    ensure!(shell.start_ts == last.start_ts, "it is one process");
    ensure!(shell.ppid == Some(std::process::id()) && last.ppid == shell.ppid);
    Ok(())
}

/// The `exec` row of a shell that is given these arguments and does nothing; or, if `alive`, waits
/// until the recording is over.
fn exec_row_of(arguments: &[OsString], alive: bool) -> Result<EventRow> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let script = if alive { "read line" } else { ":" };
    let mut child = Command::new("sh")
        .args(["-c", script, "name"])
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()?;
    let pid = child.id();
    if !alive {
        ensure!(child.wait()?.success());
    }
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    drop(child.stdin.take());
    child.wait()?;
    Ok(only(&rows, Kind::Exec, pid)?.clone())
}

fn long_and_gone() -> Result<()> {
    let row = exec_row_of(&[OsString::from("x".repeat(100_000))], false)?;
    let cmdline = row.cmdline.as_deref().context("arguments")?;
    ensure!(cmdline.starts_with("sh -c : name xxxx"), "{cmdline}");
    ensure!(cmdline.ends_with('…'), "{cmdline}");
    ensure!(cmdline.len() > 1500 && cmdline.len() <= MAX_CMDLINE, "{}", cmdline.len());
    Ok(())
}

fn long_and_alive() -> Result<()> {
    let long = "y".repeat(3500);
    let row = exec_row_of(&[OsString::from(&long), OsString::from("the end")], true)?;
    let want = format!("sh -c 'read line' name {long} 'the end'");
    ensure!(row.cmdline.as_deref() == Some(&*want), "{row:#?}");
    Ok(())
}

fn hostile() -> Result<()> {
    let arguments: Vec<OsString> = [&b"a\nb"[..], b"\xff\x1b[31m", b"it's", b""]
        .iter()
        .map(|bytes| OsStr::from_bytes(bytes).to_owned())
        .chain([OsString::from_vec(b"last".to_vec())])
        .collect();
    let row = exec_row_of(&arguments, false)?;
    let want = "sh -c : name 'a\nb' '\u{fffd}\u{1b}[31m' 'it'\\''s' '' last";
    ensure!(row.cmdline.as_deref() == Some(want), "{row:#?}");
    Ok(())
}

fn whole_life() -> Result<()> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut child = Command::new("sh").args(["-c", ":"]).spawn()?;
    let pid = child.id();
    ensure!(child.wait()?.success());
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let own: Vec<_> = rows.iter().filter(|row| row.pid == Some(pid)).collect();
    ensure!(own.iter().map(|row| row.kind).eq([Kind::Exec, Kind::Exit]), "{own:#?}");
    for row in own {
        ensure!(row.source == "probe" && row.ppid == Some(std::process::id()), "{row:#?}");
        ensure!(row.comm.as_deref() == Some("sh") && row.socket_cookie.is_none(), "{row:#?}");
        ensure!(row.parent_exe.as_deref() == Some(&*own_exe()?), "{row:#?}");
    }
    Ok(())
}
