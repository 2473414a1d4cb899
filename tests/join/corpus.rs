//! Captures that others made, read where they lie: each is read to its end or its defect, and comes
//! out with every packet, block and option as it was, by our own comparison and by tshark's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::blocks::{read, read_legacy, stripped};
use crate::scene::scene;
use crate::tools::{corpus, ebpfjoin, tshark};

pub(crate) fn captures() -> Vec<PathBuf> {
    let Some(folder) = corpus() else {
        eprintln!("no conformance test: the captures of others are not beside the project");
        return vec![];
    };
    let entries = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains('~'));
    let mut captures: Vec<_> = entries.filter(named).collect();
    captures.sort();
    assert!(captures.len() > 40, "only {} captures", captures.len());
    captures
}

/// The enriched capture, or the error; `ebpfjoin` must not have panicked.
fn enriched(capture: &Path) -> Result<Vec<u8>, String> {
    let folder = scene();
    let path = capture.to_str().expect("text");
    let output = ebpfjoin(folder.path(), &[path, "ev.parquet", "-o", "out.pcapng", "--quiet"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{path}: {stderr}");
    assert!(!stderr.contains("panicked"), "{path}: {stderr}");
    fs::read(folder.path().join("out.pcapng")).map_err(|_| stderr)
}

/// The second record of this one is damaged, by which tshark takes it for another kind of pcap.
pub(crate) fn is_misread_by_tshark(capture: &Path) -> bool {
    capture.to_string_lossy().ends_with("bug-6875-01~fuzz.pcap")
}

fn is_pcapng(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a])
}

#[test]
fn nothing_but_annotations_is_added() {
    for capture in captures() {
        let input = fs::read(&capture).expect("capture");
        let output = match enriched(&capture) {
            Ok(output) => output,
            Err(error) => {
                // Refused on the first block.
                let name = capture.to_string_lossy();
                assert!(name.contains("shb-option-too-long"), "{error}");
                continue;
            }
        };
        let (want, got) = if is_pcapng(&input) {
            (read(&input), stripped(read(&output)))
        } else {
            (read_legacy(&input), stripped(read(&output)).split_off(2))
        };
        assert_eq!(want, got, "{}", capture.display());
    }
}

#[test]
fn tshark_reads_the_same_packets() {
    let fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.protocols"];
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("out.pcapng");
    for capture in captures() {
        if is_misread_by_tshark(&capture) {
            continue;
        }
        let Ok(output) = enriched(&capture) else { continue };
        fs::write(&path, output).expect("written");
        let Some(before) = tshark(&capture, &fields) else { return };
        let after = tshark(&path, &fields).expect("tshark ran before");
        assert_eq!(before, after, "{}", capture.display());
    }
}
