//! Nothing that is printed steers a terminal, whatever files, hosts and processes are called.

use std::fs;

use schema::meta::FileMeta;

use crate::bad_input::refused;
use crate::errors::ready;
use crate::scene::{meta, rows, write_events};
use crate::tools::ebpfjoin;

#[test]
fn what_files_and_hosts_are_called_steers_no_terminal() {
    let folder = ready();
    let evil = FileMeta { host: "web\u{1b}[2J\u{202e}-1".into(), ..meta() };
    write_events(&folder.path().join("evil.parquet"), &rows(), &evil);
    let args = ["in.pcapng", "evil.parquet", "-o", "x", "--capture-host", "db-1"];
    assert_eq!(
        refused(&folder, &args),
        "ebpfjoin: no recording is of host db-1; --capture-host takes one of: \
         web%1B[2J%E2%80%AE-1"
    );
    // As a capture, an event file and an output; a space is one.
    let name = "a \u{1b}c\n\u{9b}";
    let shown = "a %1Bc%0A%C2%9B";
    let not_there = "No such file or directory (os error 2)";
    for (args, said) in [
        (&[name, "ev.parquet", "-o", "x"][..], format!("{shown}: cannot read: {not_there}")),
        (
            &["in.pcapng", name, "-o", "x"],
            format!("{shown}: cannot read the event file: {not_there}"),
        ),
        (&["show", name], format!("{shown}: cannot read: {not_there}")),
    ] {
        assert_eq!(refused(&folder, args), format!("ebpfjoin: {said}"));
    }
    // And in what is printed of a join.
    let events = format!("{name}.parquet");
    fs::copy(folder.path().join("evil.parquet"), folder.path().join(&events)).expect("copied");
    let output = ebpfjoin(folder.path(), &["in.pcapng", &events, "-o", "out.pcapng"]);
    let table = String::from_utf8(output.stderr).expect("text");
    assert!(table.contains(&format!("{shown}.parquet: host web%1B[2J%E2%80%AE-1, ")), "{table}");
    let output = ebpfjoin(folder.path(), &["in.pcapng", &events, "-o", "out.pcapng", "--json"]);
    let json = String::from_utf8(output.stdout).expect("text");
    assert!(json.contains(r"web\u001b[2J\u202e-1") && json.contains(r"\u009b"), "{json}");
    let output = ebpfjoin(folder.path(), &["show", "out.pcapng", "--json"]);
    let json = String::from_utf8(output.stdout).expect("text");
    assert!(json.contains(r"web\u001b[2J\u202e-1") && !json.contains('\u{202e}'), "{json}");
}
