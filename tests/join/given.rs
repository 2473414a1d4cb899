//! Captures and event files are told from each other by what is in them.

use std::fs;

use crate::bad_input::refused;
use crate::errors::{JOIN, ready};
use crate::scene::{pcapng, put};
use crate::tools::ebpfjoin;

#[test]
fn what_is_given_is_known_by_its_content() {
    let folder = ready();
    put(&folder, "empty", b"");
    put(&folder, "text", b"something else altogether");
    put(&folder, "other.pcapng", &pcapng(false, &[]));
    let neither = "neither a capture nor an event file; give a capture of tcpdump, dumpcap or \
                   Wireshark, and what `ebpfrec --events` wrote";
    let no_events =
        "no event file is given, only captures; give what `ebpfrec --events` wrote, too";
    for (args, said) in [
        (&["in.pcapng", "empty"][..], &*format!("empty: {neither}")),
        (&["in.pcapng", "text"], &format!("text: {neither}")),
        (&["in.pcapng", "ev.parquet", "text"], &format!("text: {neither}")),
        (&["in.pcapng", "other.pcapng"], no_events),
        (
            &["ev.parquet", "ev.parquet"],
            "no capture is given, only event files; give one of tcpdump, dumpcap or Wireshark, too",
        ),
    ] {
        let said = format!("ebpfjoin: {said}");
        assert_eq!(refused(&folder, &[args, &["-o", "out.pcapng"]].concat()), said, "{args:?}");
    }
    assert_eq!(
        refused(&folder, &["in.pcapng", "other.pcapng", "ev.parquet", "-o", "-"]),
        "ebpfjoin: 2 captures can't be written to standard output: give a folder with -o DIR/"
    );
    // The other way round nothing is in doubt.
    let run = |args: &[&str]| {
        let output = ebpfjoin(folder.path(), args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run(&[&JOIN[..], &["-q"]].concat());
    run(&["ev.parquet", "in.pcapng", "-o", "turned.pcapng", "-q"]);
    fs::create_dir(folder.path().join("events")).expect("folder");
    fs::copy(folder.path().join("ev.parquet"), folder.path().join("events/ev.parquet"))
        .expect("copied");
    run(&["events", "in.pcapng", "-o", "folder.pcapng", "-q"]);
    let read = |name: &str| fs::read(folder.path().join(name)).expect("output");
    assert!(read("turned.pcapng") == read("out.pcapng"));
    assert!(read("folder.pcapng") == read("out.pcapng"));
    assert_eq!(
        run(&["explain", "ev.parquet", "in.pcapng", "--frame", "1"]),
        run(&["explain", "in.pcapng", "ev.parquet", "--frame", "1"])
    );
}
