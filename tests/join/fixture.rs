//! The recording that lies in `fixtures/`: joined, it must say what its text twin says.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tools::ebpfjoin;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

#[test]
fn the_recorded_fixture_says_what_its_text_twin_says() {
    let folder = tempfile::tempdir().expect("folder");
    let [capture, events] = ["loopback.pcapng", "loopback.parquet"].map(fixture);
    let args = [&capture, &events].map(|path| path.to_str().expect("text"));
    let args = [args[0], args[1], "-o", "out.pcapng", "--json"];
    let output = ebpfjoin(folder.path(), &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(summary["recordings"][0]["complete"], true);
    let shown = ebpfjoin(folder.path(), &["show", "out.pcapng"]);
    let shown = String::from_utf8(shown.stdout).expect("text");
    let twin = fs::read_to_string(fixture("loopback.txt")).expect("the twin");
    let (_, twin) = twin.split_once("\n\n").expect("an introduction");
    assert_eq!(shown, twin);
}
