//! A folder with the parts of a recording is the recording.

use std::fs;
use std::path::Path;

use schema::meta::FileMeta;
use schema::{Event, Kind};
use serde_json::Value;

use crate::scene::{meta, pcapng, put, rows, scene, write_events};
use crate::tools::{ebpfjoin, failure};

/// Where the recording was cut: between connect and accept, between these and the closes.
const CUTS: [&str; 4] = [
    "2023-11-14T22:13:20.000000000Z",
    "2023-11-14T22:13:21.002450000Z",
    "2023-11-14T22:13:21.500000000Z",
    "2023-11-14T22:14:20.000000000Z",
];

fn part(number: u32) -> FileMeta {
    let end = number as usize;
    FileMeta {
        recording: "r".into(),
        part: number,
        start: CUTS[end - 1].into(),
        end: CUTS[end].into(),
        ..meta()
    }
}

/// The scene in three parts. The last begins with the sockets that are open, as the recorder
/// writes them.
fn write_parts(folder: &Path) {
    let [connect, accept, established, client_close, server_close] = rows();
    let again = |row: Event<'static>, seq| Event {
        kind: Kind::Socket.as_str(),
        ts: connect.ts + 500_000_000,
        seq,
        ..row
    };
    let numbered = |row: Event<'static>, seq| Event { seq, ..row };
    fs::create_dir(folder).expect("folder");
    let write = |name: &str, rows: &[Event<'_>], meta: &FileMeta| {
        write_events(&folder.join(name), rows, meta);
    };
    // Names need not sort as parts do.
    write("z.parquet", &[numbered(connect, 0)], &part(1));
    write("y.parquet", &[numbered(accept, 1), numbered(established, 2)], &part(2));
    let last =
        [again(connect, 3), again(accept, 4), numbered(client_close, 5), numbered(server_close, 6)];
    write("x.parquet", &last, &part(3));
}

fn join(folder: &Path, events: &str) -> (Vec<u8>, Value) {
    let output = ebpfjoin(folder, &["in.pcapng", events, "-o", "out.pcapng", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = fs::read(folder.join("out.pcapng")).expect("output");
    (file, serde_json::from_slice(&output.stdout).expect("a summary"))
}

#[test]
fn parts_name_the_same_packets_as_the_whole() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let (whole, _) = join(folder.path(), "ev.parquet");
    write_parts(&folder.path().join("parts"));
    put(&folder, "parts/w.parquet.partial", b"being written");
    let (in_parts, summary) = join(folder.path(), "parts");
    assert_eq!(in_parts, whole);
    let [recording] = &summary["recordings"].as_array().expect("recordings")[..] else {
        panic!("{summary:#}");
    };
    assert_eq!((&recording["parts"], &recording["rows"]), (&3.into(), &7.into()));
    assert_eq!((&recording["missing_parts"], &recording["missing_rows"]), (&0.into(), &0.into()));
    assert_eq!(summary["unfinished"].as_array().expect("a list").len(), 1);
}

#[test]
fn a_missing_part_is_no_loss_and_ends_the_lives_before_it() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let parts = folder.path().join("parts");
    write_parts(&parts);
    fs::remove_file(parts.join("y.parquet")).expect("removed");
    let (_, summary) = join(folder.path(), "parts");
    let recording = &summary["recordings"][0];
    assert_eq!((&recording["missing_parts"], &recording["missing_rows"]), (&1.into(), &0.into()));
}

#[test]
fn a_gap_that_nothing_accounts_for_is_a_loss() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let mut rows = rows().to_vec();
    rows[3].seq += 10;
    rows[4].seq += 10;
    write_events(&folder.path().join("ev.parquet"), &rows, &meta());
    let (_, summary) = join(folder.path(), "ev.parquet");
    assert_eq!(summary["recordings"][0]["missing_rows"], 10);
    // The recorder had no room for them, and said so.
    let told = FileMeta { lost: r#"{"channel": 10}"#.into(), ..meta() };
    write_events(&folder.path().join("ev.parquet"), &rows, &told);
    let (_, summary) = join(folder.path(), "ev.parquet");
    assert_eq!(summary["recordings"][0]["missing_rows"], 0);
    assert_eq!(summary["recordings"][0]["lost"]["channel"], 10);
}

#[test]
fn what_is_given_twice_is_read_once() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let at = |name: &str| folder.path().join(name);
    write_parts(&at("parts"));
    let (once, summary) = join(folder.path(), "parts");
    assert_eq!(summary["twice"], serde_json::json!([]));
    // A part of the folder, and a copy of another one, cut off at its end.
    let [.., last] = rows();
    write_events(&at("copy.parquet"), &[last], &FileMeta { complete: false, ..part(3) });
    // Without a number it is known by its place alone.
    fs::create_dir(at("old")).expect("folder");
    write_events(&at("old/ev.parquet"), &rows(), &meta());
    #[cfg(unix)]
    std::os::unix::fs::symlink("old/ev.parquet", at("link.parquet")).expect("link");
    #[cfg(not(unix))]
    fs::copy(at("old/ev.parquet"), at("link.parquet")).expect("copy");
    for (args, rows, twice) in [
        (&["parts", "parts/z.parquet", "copy.parquet"][..], 7, 2),
        (&["copy.parquet", "parts"], 7, 1),
        (&["ev.parquet", "./ev.parquet"], 5, 1),
        (&["old", "link.parquet"], 5, 1),
    ] {
        let args = [&["in.pcapng"], args, &["-o", "out.pcapng"]].concat();
        let output = ebpfjoin(folder.path(), &[&args[..], &["--json"]].concat());
        assert!(output.status.success(), "{args:?}");
        let summary: Value = serde_json::from_slice(&output.stdout).expect("a summary");
        let recordings = summary["recordings"].as_array().expect("recordings");
        assert_eq!((recordings.len(), &recordings[0]["rows"]), (1, &rows.into()), "{args:?}");
        assert_eq!(summary["twice"].as_array().expect("a list").len(), twice, "{args:?}");
        if rows == 7 {
            assert!(fs::read(at("out.pcapng")).expect("output") == once, "{args:?}");
        }
        let told = ebpfjoin(folder.path(), &args).stderr;
        let told = String::from_utf8(told).expect("text");
        assert_eq!(told.matches(" is given twice; read once\n").count(), twice, "{told}");
    }
}

#[test]
fn folders_without_what_is_wanted_are_refused() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    fs::create_dir(folder.path().join("empty")).expect("folder");
    let refuse = |args: &[&str]| failure(&ebpfjoin(folder.path(), args));
    assert_eq!(
        refuse(&["in.pcapng", "empty", "-o", "out.pcapng"]),
        "ebpfjoin: empty: cannot read the event file: there is no event file in this folder; give \
         the one that `ebpfrec` wrote to"
    );
    assert_eq!(
        refuse(&["empty", "ev.parquet", "-o", "out.pcapng"]),
        "ebpfjoin: empty: cannot read: there is no capture in this folder"
    );
    let parts = folder.path().join("parts");
    write_parts(&parts);
    let error = refuse(&["in.pcapng", "parts", "-o", "parts/x.parquet"]);
    assert!(error.contains("would overwrite this event file"), "{error}");
}
