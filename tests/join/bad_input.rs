//! What is not as it should be gets one line that says what to do, and leaves no half-written file.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::blocks::{read, stripped};
use crate::scene::{pcap, pcapng, put, scene};
use crate::tools::{ebpfjoin, failure};

/// The error of a join of `in.pcapng` and `ev.parquet`, which must leave nothing behind.
pub(crate) fn refused(folder: &TempDir, args: &[&str]) -> String {
    let before = list(folder);
    let message = failure(&ebpfjoin(folder.path(), args));
    assert_eq!(list(folder), before, "nothing is left behind");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

/// Names of what is in the folder, in order.
pub(crate) fn list(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("folder");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

const JOIN: &[&str] = &["in.pcapng", "ev.parquet", "-o", "out.pcapng"];

#[test]
fn files_that_are_not_there_are_named() {
    let folder = scene();
    assert_eq!(
        refused(&folder, JOIN),
        "ebpfjoin: in.pcapng: cannot read: No such file or directory (os error 2)"
    );
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    assert_eq!(
        refused(&folder, &["in.pcapng", "no.parquet", "-o", "out.pcapng"]),
        "ebpfjoin: no.parquet: cannot read the event file: No such file or directory (os error 2)"
    );
}

#[test]
fn what_is_no_capture_or_no_recording_is_refused() {
    let folder = scene();
    put(&folder, "in.pcapng", b"not a capture at all, but text");
    assert_eq!(
        refused(&folder, JOIN),
        "ebpfjoin: in.pcapng: not a capture: neither pcapng nor pcap; give a file of tcpdump, \
         dumpcap or Wireshark"
    );
    put(&folder, "in.pcapng", b"");
    assert_eq!(
        refused(&folder, JOIN),
        "ebpfjoin: in.pcapng: the file is empty; was the capture stopped before its first packet \
         was written?"
    );
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    put(&folder, "ev.parquet", b"text");
    let message = refused(&folder, JOIN);
    assert!(
        message.starts_with("ebpfjoin: ev.parquet: not a Parquet file, or cut off"),
        "{message}"
    );
    // The two arguments swapped: each is told for what it is.
    let message = refused(&folder, &["ev.parquet", "in.pcapng", "-o", "out.pcapng"]);
    assert!(message.starts_with("ebpfjoin: "), "{message}");
}

#[test]
fn no_input_is_ever_overwritten() {
    let folder = scene();
    let capture = pcapng(false, &[]);
    for (output, input) in [
        ("./in.pcapng", "in.pcapng: writing ./in.pcapng would overwrite this capture"),
        ("ev.parquet", "ev.parquet: writing ev.parquet would overwrite this event file"),
        ("sub/../in.pcapng", "in.pcapng: writing sub/../in.pcapng would overwrite this capture"),
    ] {
        put(&folder, "in.pcapng", &capture);
        fs::create_dir_all(folder.path().join("sub")).expect("folder");
        assert_eq!(
            refused(&folder, &["in.pcapng", "ev.parquet", "-o", output]),
            format!("ebpfjoin: {input}; give another name with -o")
        );
    }
    assert_eq!(fs::read(folder.path().join("in.pcapng")).expect("still there"), capture);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    assert_eq!(
        refused(&folder, &["in.pcapng", "ev.parquet", "-o", "no/such/out.pcapng"]),
        "ebpfjoin: cannot write no/such/out.pcapng: No such file or directory (os error 2); choose \
         another place with -o"
    );
    // A folder is where it goes by its own name.
    assert_eq!(
        refused(&folder, &["in.pcapng", "ev.parquet", "-o", "."]),
        "ebpfjoin: in.pcapng: writing ./in.pcapng would overwrite this capture; give another name \
         with -o"
    );
}

#[test]
fn a_full_disk_is_told_and_leaves_no_output() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let message = refused(&folder, &["in.pcapng", "ev.parquet", "-o", "/dev/full"]);
    assert_eq!(
        message,
        "ebpfjoin: cannot write the output: No space left on device (os error 28); free some space \
         or choose another folder"
    );
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let join = ["in.pcapng", "ev.parquet", "-o", "/dev/stdout", "--quiet"];
    for args in [&join[..], &["show", "in.pcapng"]] {
        // The first write finds a pipe that nobody reads.
        let (reader, writer) = std::io::pipe().expect("pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"));
        let output = command.current_dir(folder.path()).args(args).stdout(writer).output();
        let output = output.expect("ebpfjoin starts");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        assert!(output.status.success(), "{args:?}");
    }
}

#[test]
fn a_cut_capture_gives_what_is_whole_and_says_where_it_was_cut() {
    let folder = scene();
    let whole = pcapng(false, &[]);
    put(&folder, "in.pcapng", &whole[..whole.len() - 30]);
    let message = failure(&ebpfjoin(folder.path(), &[JOIN, &["--quiet"]].concat()));
    let start = message.strip_prefix("ebpfjoin: in.pcapng: damaged at byte ").expect(&message);
    let (offset, rest) = start.split_once(", ").expect(&message);
    let offset: usize = offset.parse().expect("a number");
    assert!(rest.starts_with("after 7 packets: cut off, "), "{message}");
    assert!(
        rest.ends_with(" bytes into a block; everything before it was dealt with"),
        "{message}"
    );
    let output = fs::read(folder.path().join("out.pcapng")).expect("the output is kept");
    assert_eq!(stripped(read(&output)), read(&whole[..offset]));
}

#[test]
fn a_cut_legacy_capture_is_told_too() {
    let folder = scene();
    let whole = pcap(true, true);
    put(&folder, "in.pcapng", &whole[..whole.len() - 1]);
    let message = failure(&ebpfjoin(folder.path(), &[JOIN, &["--quiet"]].concat()));
    assert!(message.contains("damaged at byte"), "{message}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = scene();
    for args in [&[][..], &["in.pcapng"], &["in.pcapng", "ev.parquet"], &["--no-such-option"]] {
        assert_eq!(ebpfjoin(folder.path(), args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn damaged_event_files_never_panic() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let whole = fs::read(folder.path().join("ev.parquet")).expect("events");
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        put(&folder, "ev.parquet", &damaged);
        let output = ebpfjoin(folder.path(), &[JOIN, &["--quiet"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "byte {at}: {stderr}");
        assert!(!stderr.contains("panicked"), "byte {at}: {stderr}");
    }
}
