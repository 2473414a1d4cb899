//! Every error that a user can provoke, word for word: what is wrong, with what, and what to do.

use std::fs::{self, File};
use std::process::{Command, Output};

use schema::meta::FileMeta;
use tempfile::TempDir;

use crate::bad_input::refused;
use crate::scene::{meta, pcapng, put, scene, write_events};
use crate::tools::{ebpfjoin, failure};

/// The plainest join there is.
pub(crate) const JOIN: [&str; 4] = ["in.pcapng", "ev.parquet", "-o", "out.pcapng"];

/// A folder with a capture and its events.
pub(crate) fn ready() -> TempDir {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    folder
}

/// The error of [`JOIN`] with these options, which must leave nothing behind.
pub(crate) fn error(folder: &TempDir, extra: &[&str]) -> String {
    refused(folder, &[&JOIN, extra].concat())
}

#[test]
fn captures_that_are_none_are_told_by_every_command() {
    let folder = ready();
    fs::create_dir(folder.path().join("folder")).expect("folder");
    put(&folder, "text", b"something else altogether");
    let whole = pcapng(false, &[]);
    let last = whole.windows(4).rposition(|bytes| bytes == [6, 0, 0, 0]).expect("a packet");
    let (cut_at, left) = (last, 20);
    put(&folder, "cut.pcapng", &whole[..last + left]);
    let not_a_capture = "not a capture: neither pcapng nor pcap; give a file of tcpdump, dumpcap \
                         or Wireshark";
    for (args, said) in [
        (
            &["explain", "folder", "ev.parquet", "--frame", "1"][..],
            "folder: cannot read: it is a folder; give one of its captures",
        ),
        (&["explain", "text", "ev.parquet", "--frame", "1"], &format!("text: {not_a_capture}")),
        (&["show", "text"], &format!("text: {not_a_capture}")),
        (&["show", "no.pcapng"], "no.pcapng: cannot read: No such file or directory (os error 2)"),
        (&["show", "folder"], "folder: cannot read: Is a directory (os error 21)"),
        (
            &["explain", "in.pcapng", "ev.parquet", "--frame", "9"],
            "there are only 8 packets in in.pcapng",
        ),
        (
            &["explain", "cut.pcapng", "ev.parquet", "--frame", "8"],
            &format!(
                "there are only 7 packets in cut.pcapng before it is damaged at byte {cut_at}: cut off, \
                 {left} bytes into a block; what follows can't be read"
            ),
        ),
    ] {
        assert_eq!(refused(&folder, args), format!("ebpfjoin: {said}"), "{args:?}");
    }
}

#[test]
fn a_block_that_cannot_be_is_described() {
    let folder = scene();
    let whole = pcapng(false, &[]);
    let damaged = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        put(&folder, "in.pcapng", &file);
    };
    let nothing = "there is nothing to enrich";
    for (at, bytes, what) in [
        (4, 11_u32, "a block that claims 11 bytes"),
        (4, 0x1000_0000, "a block that claims 268435456 bytes"),
        (24, 0, "a block whose two lengths differ (the first is 28)"),
    ] {
        damaged(at, &bytes.to_le_bytes());
        let said = error(&folder, &[]);
        let want = format!("in.pcapng: damaged from its first byte on: {what}; {nothing}");
        assert_eq!(said, format!("ebpfjoin: {want}"));
    }
    put(&folder, "in.pcapng", &whole[..20]);
    assert_eq!(
        error(&folder, &[]),
        format!(
            "ebpfjoin: in.pcapng: damaged from its first byte on: cut off, 20 bytes into a block; \
             {nothing}"
        )
    );
    // Later on, what came before it counts.
    damaged(28 + 4, &8_u32.to_le_bytes());
    assert_eq!(
        failure(&ebpfjoin(folder.path(), &[&JOIN[..], &["-q"]].concat())),
        "ebpfjoin: in.pcapng: damaged at byte 28, after 0 packets: a block that claims 8 bytes; \
         everything before it was dealt with"
    );
    assert_eq!(fs::read(folder.path().join("out.pcapng")).expect("output"), whole[..28]);
}

#[test]
fn outputs_that_would_take_the_place_of_something_are_refused() {
    let folder = ready();
    put(&folder, "ports.csv", b"proto,addr,port,to_addr,to_port\n");
    for (extra, said) in [
        (
            &["--packets", "in.pcapng"][..],
            "in.pcapng: writing in.pcapng would overwrite this capture; give another name with \
             --packets",
        ),
        (
            &["--report", "ev.parquet"],
            "ev.parquet: writing ev.parquet would overwrite this event file; give another name \
             with --report",
        ),
        (
            &["--nat", "ports.csv", "--report", "ports.csv"],
            "ports.csv: writing ports.csv would overwrite this table; give another name with \
             --report",
        ),
        (
            &["--report", "same", "--packets", "same"],
            "same: writing same would overwrite this output; give another name with --packets",
        ),
        (
            &["--packets", "no/such.parquet"],
            "cannot write no/such.parquet: No such file or directory (os error 2); choose another \
             place with --packets",
        ),
        (
            &["--report", "no/such.html"],
            "cannot write no/such.html: No such file or directory (os error 2); choose another \
             place with --report",
        ),
    ] {
        assert_eq!(error(&folder, extra), format!("ebpfjoin: {said}"), "{extra:?}");
    }
    fs::create_dir(folder.path().join("out.pcapng")).expect("folder");
    fs::create_dir(folder.path().join("out.pcapng/in.pcapng")).expect("folder");
    assert_eq!(
        error(&folder, &[]),
        "ebpfjoin: cannot write out.pcapng/in.pcapng: is a directory; choose another place with -o"
    );
}

#[test]
fn several_captures_need_folders_and_names_of_their_own() {
    let folder = ready();
    fs::create_dir(folder.path().join("more")).expect("folder");
    put(&folder, "more/in.pcap", &pcapng(false, &[]));
    put(&folder, "other.pcapng", &pcapng(false, &[]));
    let refuse = |args: &[&str]| failure(&ebpfjoin(folder.path(), args));
    for (option, name) in [("--report", "r.html"), ("--packets", "p.parquet")] {
        assert_eq!(
            refuse(&["in.pcapng", "other.pcapng", "ev.parquet", "-o", "out/", option, name]),
            format!(
                "ebpfjoin: 2 captures can't be written to one file: give a folder with {option} \
                 {name}/"
            )
        );
    }
    assert_eq!(
        refuse(&["in.pcapng", "more/in.pcap", "ev.parquet", "-o", "out/"]),
        "ebpfjoin: in.pcapng and more/in.pcap would both become out/in.pcapng; join one of them \
         by itself"
    );
}

#[test]
fn options_that_name_what_is_not_there_say_what_is() {
    let folder = ready();
    let other = FileMeta { host: "web-2".into(), boot_id: "c".into(), ..meta() };
    write_events(&folder.path().join("two.parquet"), &[], &other);
    assert_eq!(
        refused(
            &folder,
            &["in.pcapng", "ev.parquet", "two.parquet", "-o", "x", "--capture-host", "db-1"]
        ),
        "ebpfjoin: no recording is of host db-1; --capture-host takes one of: web-1, web-2"
    );
    let lines = "write lines like tcp,203.0.113.7,443,10.0.0.12,8443 below the header \
                 proto,addr,port,to_addr,to_port";
    for (table, what) in [
        ("", "line 1: no header"),
        ("proto,addr,port,to_addr,to_port\n\ntcp,1.2.3.4,80", "line 3: not five fields"),
        (
            "proto,addr,port,to_addr,to_port\nip,1.2.3.4,80,5.6.7.8,80",
            "line 2: not a protocol: tcp, udp or sctp",
        ),
        ("proto,addr,port,to_addr,to_port\ntcp,1.2.3,80,5.6.7.8,80", "line 2: not an address"),
        ("proto,addr,port,to_addr,to_port\ntcp,1.2.3.4,80,5.6.7.8,x", "line 2: not a port"),
    ] {
        put(&folder, "ports.csv", table.as_bytes());
        let want = format!("ebpfjoin: ports.csv: {what}; {lines}");
        assert_eq!(error(&folder, &["--nat", "ports.csv"]), want);
    }
    put(&folder, "ports.csv", &vec![b'\n'; (16 << 20) + 1]);
    assert_eq!(
        error(&folder, &["--nat", "ports.csv"]),
        "ebpfjoin: ports.csv: larger than 16 MiB; is this the right file?"
    );
    put(&folder, "ports.csv", &[0xff; 9]);
    assert_eq!(
        error(&folder, &["--nat", "ports.csv"]),
        "ebpfjoin: ports.csv: stream did not contain valid UTF-8"
    );
    assert_eq!(
        error(&folder, &["--nat", "no.csv"]),
        "ebpfjoin: no.csv: No such file or directory (os error 2)"
    );
}

#[test]
fn values_that_cannot_be_are_wrong_usage() {
    let folder = ready();
    for (extra, said) in [
        (["--clock-offset", "soon"], "not auto, none or a time (-1.5s: write -1s500ms)"),
        (["--clock-offset", "9999999years"], "too long a time"),
        (["--threads", "0"], "0 is not in 1..=256"),
        (["--threads", "257"], "257 is not in 1..=256"),
        (["--before", "5"], "time unit needed"),
        (["--compress", "rar"], "[possible values: gzip, zstd, lz4]"),
        (["--detail", "more"], "[possible values: auto, full, brief, first, none]"),
    ] {
        let output = ebpfjoin(folder.path(), &[&JOIN[..], &extra].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{extra:?}: {stderr}");
        assert!(stderr.contains(said) && stderr.contains(extra[0]), "{extra:?}: {stderr}");
    }
    assert!(!folder.path().join("out.pcapng").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_told() {
    let folder = ready();
    let joined = ebpfjoin(folder.path(), &[&JOIN[..], &["-q"]].concat());
    assert!(joined.status.success());
    for args in [
        &["show", "out.pcapng"][..],
        &["explain", "in.pcapng", "ev.parquet", "--frame", "1"],
        &["completions", "bash"],
        &["in.pcapng", "ev.parquet", "-o", "again.pcapng", "--json"],
    ] {
        let full = File::options().write(true).open("/dev/full").expect("a full device");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"));
        let output = command.current_dir(folder.path()).args(args).stdout(full).output();
        let said = failure(&output.expect("ebpfjoin starts"));
        assert_eq!(
            said, "ebpfjoin: cannot print: No space left on device (os error 28)",
            "{args:?}"
        );
    }
}

/// Runs a shell script in `folder`, `$join` being `ebpfjoin`.
fn shell(folder: &TempDir, program: &[&str], script: &str) -> Output {
    Command::new(program[0])
        .args(&program[1..])
        .arg(script)
        .current_dir(folder.path())
        .env("join", env!("CARGO_BIN_EXE_ebpfjoin"))
        .output()
        .expect("a shell")
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_gets_no_capture() {
    let folder = ready();
    let output = shell(&folder, &["script", "-qec"], "$join in.pcapng ev.parquet -o -");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim_end(),
        "ebpfjoin: cannot write -: standard output is a terminal; choose another place with -o"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_cannot_be_started_are_told() {
    let folder = ready();
    // Every thread has a stack of its own, for which there is no room.
    let script = "ulimit -v 300000; $join in.pcapng ev.parquet -o out.pcapng --threads 256";
    let said = failure(&shell(&folder, &["sh", "-c"], script));
    assert_eq!(
        said,
        "ebpfjoin: cannot start the worker threads: Resource temporarily unavailable (os error \
         11); try --threads 1"
    );
    assert!(!folder.path().join("out.pcapng").exists());
}

/// Runs a script in `folder` with a file system of 64 KiB at `small` and a read-only one at `fixed`;
/// `None` (and one line why) where none can be mounted.
#[cfg(target_os = "linux")]
fn on_small_disk(folder: &TempDir, script: &str) -> Option<Output> {
    for name in ["small", "fixed"] {
        let _ = fs::create_dir(folder.path().join(name));
    }
    let mount = "mount -t tmpfs -o size=64k none small && mount -t tmpfs -o ro none fixed || \
                 exit 99\n";
    let own = ["unshare", "--map-root-user", "--mount", "sh", "-c"];
    let output = shell(folder, &own, &format!("{mount}{script}"));
    if output.status.code() == Some(99) || output.stderr.starts_with(b"unshare:") {
        let said = String::from_utf8_lossy(&output.stderr);
        let required = std::env::var_os("EBPF_REQUIRE_LIVE").is_some_and(|value| value == "1");
        assert!(!required, "no file system of our own: {said}");
        eprintln!("no test of full disks: {said}");
        return None;
    }
    Some(output)
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_under_the_final_name() {
    let folder = ready();
    // 400 times the packets, 130 KB.
    let whole = pcapng(false, &[]);
    let begin = whole.windows(4).position(|bytes| bytes == [6, 0, 0, 0]).expect("a packet");
    let long = [&whole[..begin], &whole[begin..].repeat(400)].concat();
    put(&folder, "long.pcapng", &long);
    let full = "No space left on device (os error 28)";
    let output = "free some space or choose another folder";
    let kept = "what comes through the pipe can't be kept in";
    for (script, said) in [
        (
            "$join long.pcapng ev.parquet -o small/out.pcapng -q",
            format!("cannot write the output: {full}; {output}"),
        ),
        (
            // As little as it is when it is compressed.
            "head -c 64k /dev/zero >small/x; $join in.pcapng ev.parquet -o small/o.gz -q
             status=$?; rm small/x; (exit $status)",
            format!("cannot write the output: {full}; {output}"),
        ),
        (
            "cat long.pcapng | $join - ev.parquet -o small/out.pcapng -q",
            format!(
                "-: cannot read: {kept} small: {full}; free some space there, or choose another \
                 folder with -o"
            ),
        ),
        (
            "cat long.pcapng | TMPDIR=small $join - ev.parquet -o - -q >/dev/null",
            format!(
                "-: cannot read: {kept} small: {full}; free some space there, or set TMPDIR to \
                 another folder"
            ),
        ),
        (
            "cat long.pcapng | TMPDIR=fixed $join - ev.parquet -o /dev/null -q",
            format!(
                "-: cannot read: {kept} fixed: Read-only file system (os error 30); free some \
                 space there, or set TMPDIR to another folder"
            ),
        ),
        (
            "$join in.pcapng ev.parquet -o fixed/out.pcapng -q",
            "cannot write fixed/out.pcapng: Read-only file system (os error 30); choose another \
             place with -o"
                .to_owned(),
        ),
        (
            "$join in.pcapng ev.parquet -o out.pcapng --report fixed/page.html -q",
            "cannot write fixed/page.html: Read-only file system (os error 30); choose another \
             place with --report"
                .to_owned(),
        ),
        (
            "$join in.pcapng ev.parquet -o fixed/new/ -q",
            "cannot write fixed/new/: Read-only file system (os error 30); choose another place \
             with -o"
                .to_owned(),
        ),
    ] {
        // The status of the join, and what it left.
        let script = format!("{script}\necho $? $(ls -A small fixed)");
        let Some(output) = on_small_disk(&folder, &script) else { return };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr.trim_end(), format!("ebpfjoin: {said}"), "{script}");
        let left = String::from_utf8_lossy(&output.stdout);
        assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["1", "fixed:", "small:"]);
        assert!(!folder.path().join("out.pcapng").exists(), "{script}");
    }
}
