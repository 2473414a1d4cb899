//! What is said, word for word, when a recording cannot begin.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Output},
};

use anyhow::{Result, ensure};

use super::{EBPFREC, copy::copy_program, live::Scenario};

pub(crate) const ALWAYS: &[Scenario] = &[
    ("outputs_that_cannot_be_written_are_named", outputs),
    ("arguments_that_make_no_sense_exit_with_2", usage),
    ("without_privilege_it_says_how_to_get_it", privilege),
];

pub(crate) const LIVE: &[Scenario] =
    &[("an_unknown_interface_lists_the_known_ones", interface), ("a_bad_filter_is_named", filter)];

fn ebpfrec(folder: &Path, args: &[&str]) -> Result<Output> {
    Ok(Command::new(EBPFREC).current_dir(folder).args(args).output()?)
}

/// Runs it and holds its one line and exit code against what is wanted; nothing is left behind.
fn expect(args: &[&str], code: i32, want: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("folder"))?;
    let output = ebpfrec(folder.path(), args)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(said == format!("ebpfrec: {want}\n"), "{said}");
    ensure!(output.status.code() == Some(code), "{}", output.status);
    ensure!(output.stdout.is_empty());
    let left: Vec<_> =
        fs::read_dir(folder.path())?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    ensure!(left == ["folder"], "{left:?}");
    Ok(())
}

fn outputs() -> Result<()> {
    expect(
        &["--events", "folder"],
        1,
        "cannot write folder: it is a folder; give the name of a file in it",
    )?;
    expect(
        &["--events", "new/"],
        1,
        "cannot write new/: it is a folder; give the name of a file in it",
    )?;
    expect(
        &["--events", "none/ev.parquet"],
        1,
        "cannot write none/ev.parquet: there is no folder none; create it first",
    )?;
    expect(
        &["--events", "/dev/null"],
        1,
        "cannot write /dev/null: it is not an ordinary file; give another name",
    )?;
    expect(
        &["--events", "/proc/ev.parquet"],
        1,
        "cannot write /proc/ev.parquet: No such file or directory (os error 2); give a place that \
         can be written to",
    )?;
    expect(
        &["--packets", "none/t.pcapng", "-i", "lo"],
        1,
        "cannot write none/t.pcapng: there is no folder none; create it first",
    )
}

fn usage() -> Result<()> {
    expect(
        &["--events", "x", "--packets", "./x", "-i", "lo"],
        2,
        "--events and --packets both write ./x: give two different files",
    )?;
    for args in [
        &[][..],
        &["--packets", "t"],
        &["--events", "e", "-i", "lo"],
        &["--events", "e", "--duration", "soon"],
        &["--events", "e", "--ring-size", "3M"],
        &["--packets", "t", "-i", "lo", "-s", "0"],
        &["--packets", "t", "-i", "eth0:1"],
        &["--packets", "t", "-i", "container:"],
        &["--packets", "t", "-i", "lo", "--list-interfaces"],
        &["nonsense"],
    ] {
        let folder = tempfile::tempdir()?;
        let output = ebpfrec(folder.path(), args)?;
        ensure!(output.status.code() == Some(2), "{args:?}: {}", output.status);
        ensure!(fs::read_dir(folder.path())?.count() == 0, "{args:?}");
    }
    Ok(())
}

/// As `nobody`, who may run the program but nothing it needs. Only root can become him.
fn privilege() -> Result<()> {
    const NOBODY: u32 = 65_534;
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    let copy = folder.path().join("ebpfrec");
    copy_program(EBPFREC, &copy);
    let run = |args: &[&str]| -> Result<String> {
        let mut command = Command::new(&copy);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.current_dir(folder.path()).args(args).output()?;
        ensure!(output.status.code() == Some(1), "{}", output.status);
        Ok(String::from_utf8(output.stderr)?)
    };
    let need = "ebpfrec: the kernel programs need root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: \
                run it with sudo, or see --help\n";
    let said = run(&["--events", "ev.parquet"])?;
    ensure!(said == need, "{said}");
    let said = run(&["check"])?;
    ensure!(said == need, "{said}");
    let said = run(&["--packets", "t.pcapng", "-i", "lo"])?;
    let need = "ebpfrec: capturing packets needs root, or CAP_NET_RAW: run it with sudo\n";
    ensure!(said == need, "{said}");
    ensure!(fs::read_dir(folder.path())?.count() == 1, "nothing but the program is left");
    Ok(())
}

fn interface() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = ebpfrec(folder.path(), &["--packets", "t", "-i", "no\u{1b}[0m"])?;
    let said = String::from_utf8(output.stderr)?;
    let start = "ebpfrec: there is no interface no\\u{1b}[0m: choose among any, ";
    ensure!(said.starts_with(start) && said.lines().count() == 1, "{said}");
    let (choices, rest) = said[start.len()..].split_once("; ").unwrap_or_default();
    ensure!(rest == "`ebpfrec --list-interfaces` shows all\n", "{said}");
    let listed: Vec<_> = choices.split(", ").collect();
    ensure!(listed.contains(&"lo"), "{said}");
    ensure!(output.status.code() == Some(1));
    ensure!(fs::read_dir(folder.path())?.count() == 0);
    Ok(())
}

fn filter() -> Result<()> {
    expect(
        &["--packets", "t", "-i", "lo", "-f", "tcp prot 80"],
        1,
        "the filter `tcp prot 80` does not fit interface lo: can't parse filter expression: syntax \
         error; see pcap-filter(7)",
    )
}
