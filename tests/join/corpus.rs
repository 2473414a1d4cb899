//! Captures that others made, read where they lie: each is read to its end or to its defect, comes
//! out with every packet, block and option as it was, by our own comparison and by tshark's, and has
//! in every packet the five-tuples that tshark finds.
//!
//! All files are joined once and shown to tshark twice, before and after; the tests look at what
//! came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::blocks::{read, read_legacy, stripped};
use crate::scene::scene;
use crate::tools::{capinfos, corpus, ebpfjoin, tshark};
use crate::tuples;

/// Programs at a time: the build machine has two processors.
const THREADS: usize = 2;

/// What is wrong with a file, by the column `features` of the index, and how `ebpfjoin` says so.
const DEFECTS: [(&str, &str); 2] = [
    // Its first block's lengths differ.
    ("ERR:trailer-len", "damaged from its first byte on: a block whose two lengths differ"),
    (
        "ERR:trunc",
        "damaged at byte 228, after 1 packet: a packet that claims 1409179648 captured bytes",
    ),
];

/// Files of which tshark says nothing, or something else than what is in them, and why.
const NOT_TSHARK: [(&str, &str); 3] = [
    ("shb-option-too-long.pcapng", "damaged in its first block"),
    ("pcapng-invalid-vers-1.pcapng", "a section of version 0.1, which both copy or refuse unread"),
    // Read as what it says to be, its second record is damaged.
    (
        "bug-6875-01~fuzz.pcap",
        "taken for Kuznetzov's format by its second record, which is damaged",
    ),
];

/// What tshark is asked of every packet beside its tuples.
const FIELDS: [&str; 8] = [
    "frame.number",
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "frame.interface_id",
    "frame.interface_name",
    "ip.id",
    "tcp.seq_raw",
];

/// A file, and what became of it.
struct Checked {
    /// Its line of the index.
    line: String,
    name: String,
    input: Vec<u8>,
    /// How `ebpfjoin` ended, and what it said.
    code: Option<i32>,
    said: String,
    /// Its summary, if there is an output.
    summary: serde_json::Value,
    output: Option<Vec<u8>>,
    /// tshark's rows of both files.
    rows: Option<[Vec<Vec<String>>; 2]>,
    /// What capinfos says of both files.
    infos: Option<[Vec<String>; 2]>,
}

static ALL: LazyLock<Vec<Checked>> = LazyLock::new(|| {
    let Some(folder) = corpus() else {
        eprintln!("no conformance test: the captures of others are not beside the project");
        return vec![];
    };
    let index = fs::read_to_string(folder.join("INDEX.tsv")).expect("an index");
    let files: Vec<_> = index.lines().skip(1).map(|line| (line, find(&folder, line))).collect();
    assert!(files.len() > 40, "only {} captures", files.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = vec![];
        while let Some((line, path)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(check(line, path));
        }
        done
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
});

/// The file of a line of the index: its name is the path, less some folders, with other separators.
fn find(folder: &Path, line: &str) -> PathBuf {
    let path = line.split('\t').next().expect("a path");
    // One was decompressed.
    let path: Vec<_> = path.trim_end_matches(".gz").split('/').collect();
    let entries = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry"));
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_it = |name: &String| {
        let mut rest = path.iter();
        name.split('~').all(|part| rest.any(|folder| *folder == part)) && rest.len() == 0
    };
    let fitting: Vec<_> = names.filter(is_it).collect();
    let [name] = &fitting[..] else { panic!("{path:?} is {fitting:?}") };
    folder.join(name)
}

fn check(line: &str, path: &Path) -> Checked {
    let folder = scene();
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let args = [path.to_str().expect("text"), "ev.parquet", "-o", "out.pcapng", "--json"];
    let joined = ebpfjoin(folder.path(), &args);
    let output = folder.path().join("out.pcapng");
    let fields = [&tuples::FIELDS[..], &FIELDS].concat();
    let is_shown = output.exists() && !NOT_TSHARK.iter().any(|(file, _)| name.ends_with(file));
    let about = ["-T", "-r", "-M", "-B", "-c", "-d", "-a", "-e", "-o", "-S", "-E"];
    let both =
        |show: &dyn Fn(&Path) -> Option<Vec<Vec<String>>>| Some([show(path)?, show(&output)?]);
    Checked {
        line: line.to_owned(),
        input: plain(path),
        code: joined.status.code(),
        said: String::from_utf8_lossy(&joined.stderr).into_owned(),
        summary: serde_json::from_slice(&joined.stdout).unwrap_or_default(),
        rows: is_shown.then(|| both(&|file| tshark(file, &fields))).flatten(),
        infos: is_shown
            .then(|| Some([capinfos(path, &about)?, capinfos(&output, &about)?]))
            .flatten(),
        output: fs::read(output).ok(),
        name,
    }
}

/// A capture, decompressed.
fn plain(path: &Path) -> Vec<u8> {
    let mut bytes = vec![];
    let mut reader = joiner::source::read_once(path).expect("a capture");
    std::io::Read::read_to_end(&mut reader, &mut bytes).expect("whole");
    bytes
}

impl Checked {
    fn column(&self, nth: usize) -> &str {
        self.line.split('\t').nth(nth).unwrap_or_default()
    }

    /// What is wrong with it, and how that is said.
    fn defect(&self) -> Option<&'static str> {
        let features = self.column(6);
        let known = DEFECTS.iter().find(|(defect, _)| features.contains(defect));
        assert_eq!(known.is_some(), features.contains("ERR:"), "{}", self.line);
        known.map(|(_, said)| *said)
    }
}

#[test]
fn every_file_is_read_to_its_end_or_its_defect() {
    for file in &*ALL {
        let Checked { name, said, code, summary, input, .. } = file;
        assert!(!said.contains("panicked"), "{name}: {said}");
        if let Some(defect) = file.defect() {
            assert_eq!(*code, Some(1), "{name}: {said}");
            assert!(said.contains(defect), "{name}: {said}");
            continue;
        }
        assert_eq!(*code, Some(0), "{name}: {said}");
        assert_eq!(summary["damage"], serde_json::Value::Null, "{name}");
        let packets: u64 = file.column(5).parse().expect("a number of packets");
        assert_eq!(summary["packets"], packets, "{name}");
        let header = if is_pcapng(input) { 0 } else { 24 };
        assert_eq!(summary["bytes_in"], input.len() - header, "{name}");
    }
}

fn is_pcapng(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a])
}

#[test]
fn nothing_but_annotations_is_added() {
    for Checked { input, output, name, .. } in &*ALL {
        let Some(output) = output else {
            assert!(name.ends_with("shb-option-too-long.pcapng"), "{name} has no output");
            continue;
        };
        let (want, got) = if is_pcapng(input) {
            (read(input), stripped(read(output)))
        } else {
            (read_legacy(input), stripped(read(output)).split_off(2))
        };
        assert_eq!(want, got, "{name}");
    }
}

/// A packet of a legacy file, said to be of the first interface.
fn with_interface(row: &[String]) -> Vec<String> {
    let names = [&tuples::FIELDS[..], &FIELDS].concat();
    let told = |name: &&str, value: &String| match *name {
        "frame.interface_id" if value.is_empty() => "0".to_owned(),
        "frame.interface_name" if value.is_empty() => "unknown".to_owned(),
        _ => value.clone(),
    };
    // Behind the fields stands the encapsulation.
    names.iter().chain(&[""]).zip(row).map(|(name, value)| told(name, value)).collect()
}

#[test]
fn tshark_and_capinfos_find_the_same_packets_before_and_after() {
    let mut packets = 0;
    for Checked { rows, infos, name, input, .. } in &*ALL {
        let Some([before, after]) = rows else { continue };
        // Packets of a legacy file are of no interface before.
        let before: Vec<_> = if is_pcapng(input) {
            before.clone()
        } else {
            before.iter().map(|row| with_interface(row)).collect()
        };
        assert_eq!(&before, after, "{name}");
        packets += before.len();
        let [before, after] = infos.as_ref().expect("both programs are there");
        assert_eq!(before, after, "{name}");
    }
    let has_tshark = ALL.iter().any(|file| file.rows.is_some());
    assert!(!has_tshark || packets > 6000, "only {packets} packets were compared");
}

#[test]
fn tuples_of_every_layer_are_those_of_tshark() {
    let mut all = (0, 0);
    let mut wrong = vec![];
    for Checked { rows, input, name, .. } in &*ALL {
        let Some([before, _]) = rows else { continue };
        let (differing, compared, nested) = tuples::compare(input, before);
        wrong.extend(differing.into_iter().map(|what| format!("{name}, {what}")));
        all = (all.0 + compared, all.1 + nested);
    }
    assert!(wrong.is_empty(), "{} packets:\n{}", wrong.len(), wrong.join("\n"));
    if ALL.iter().any(|file| file.rows.is_some()) {
        assert!(all.0 > 1500, "only {} tuples were compared", all.0);
        assert!(all.1 > 8, "only {} packets with ports are in others", all.1);
    }
}
