//! Scenarios as text: what was recorded, what was captured, and who must be named on each packet.
//! They are written as real files, and joined by the real program.
//!
//! ```text
//! 1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80      a row: seconds, kind, process#socket, ends
//! 1.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = curl exact | remote
//!                                                         a packet, and what its two ends must say
//! ```
//!
//! A process that was called otherwise before has `of=FORMER_NAME`. Further lines: `host NAME` begins another machine's recording; `recorded FROM TO` tells from when
//! to when one was (0 to 100 otherwise); `args …` are options of `ebpfjoin`; `captured-on BOOT_ID`
//! is what `ebpfrec` writes into the capture. `//` begins a comment.

mod packet;
mod row;

use std::collections::BTreeMap;
use std::fs;

use schema::meta::FileMeta;
use serde_json::Value;
use tempfile::TempDir;

use crate::scene::write_events;
use crate::tools::ebpfjoin;

/// How often packets come again, where they are to be known from those before: more than are looked
/// up at the same time.
const ROUNDS: usize = 40;

/// 2023-11-14 22:13:20 UTC; all times of a scenario count from here.
const START_NS: i64 = 1_700_000_000_000_000_000;

/// Nanoseconds since 1970 of a time in seconds.
fn ns(seconds: &str) -> i64 {
    let seconds: f64 = seconds.parse().unwrap_or_else(|_| panic!("a time: {seconds}"));
    #[expect(clippy::cast_possible_truncation, reason = "a scenario takes minutes")]
    let ns = (seconds * 1e9).round() as i64;
    START_NS + ns
}

/// The pids of the processes, by name, in the order of their appearance.
#[derive(Default)]
struct Pids<'a>(BTreeMap<&'a str, u32>);

impl<'a> Pids<'a> {
    fn of(&mut self, name: &'a str) -> u32 {
        let next = 1001 + u32::try_from(self.0.len()).expect("few");
        *self.0.entry(name).or_insert(next)
    }
}

/// `key=value` among the words of a line.
fn value<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn number<T: std::str::FromStr>(words: &[&str], key: &str) -> Option<T> {
    value(words, key).map(|text| text.parse().unwrap_or_else(|_| panic!("{key}={text}")))
}

/// One machine's recording.
struct Recording<'a> {
    host: &'a str,
    recorded: (i64, i64),
    rows: Vec<schema::Event<'a>>,
}

impl<'a> Recording<'a> {
    fn new(host: &'a str) -> Self {
        Self { host, recorded: (START_NS, START_NS + 100_000_000_000), rows: vec![] }
    }

    fn write(&mut self, folder: &TempDir) {
        // Rows stand in the order of their events, and are numbered.
        self.rows.sort_by_key(|row| row.boot_ns);
        for (seq, row) in (1..).zip(&mut self.rows) {
            row.seq = seq;
        }
        let time = |ns: i64| {
            let since = std::time::Duration::from_nanos(u64::try_from(ns).expect("after 1970"));
            humantime::format_rfc3339_nanos(std::time::UNIX_EPOCH + since).to_string()
        };
        let meta = FileMeta {
            host: self.host.into(),
            boot_id: format!("boot-{}", self.host),
            start: time(self.recorded.0),
            end: time(self.recorded.1),
            complete: true,
            ..FileMeta::default()
        };
        write_events(&folder.path().join(format!("{}.parquet", self.host)), &self.rows, &meta);
    }
}

/// A scenario's files, and what it expects.
pub(crate) struct Spec {
    folder: TempDir,
    args: Vec<String>,
    /// Line and expectation of every packet.
    expected: Vec<(String, String)>,
}

impl Spec {
    /// Writes the files of a scenario.
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut pids = Pids::default();
        let mut recordings = vec![Recording::new("h")];
        let mut capture = packet::Capture::default();
        let mut args = vec![];
        let mut expected = vec![];
        for line in text.lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            let (line, expectation) = line.split_once(" = ").unwrap_or((line, ""));
            let words: Vec<_> = line.split_whitespace().collect();
            let recording = recordings.last_mut().expect("at least one");
            match words[..] {
                [] => {}
                ["host", name] if recording.rows.is_empty() => *recording = Recording::new(name),
                ["host", name] => recordings.push(Recording::new(name)),
                ["recorded", from, to] => recording.recorded = (ns(from), ns(to)),
                ["args", ..] => args.extend(words[1..].iter().map(|&word| word.to_owned())),
                ["captured-on", boot_id] => capture.boot_id = Some(boot_id.to_owned()),
                ["file", name, ..] => {
                    let lines = words[2..].join("\n");
                    fs::write(folder.path().join(name), lines).expect("written");
                }
                [time, "pkt", ..] => {
                    capture.add(ns(time), &words[2..]);
                    expected.push((line.to_owned(), expectation.trim().to_owned()));
                }
                [time, kind, ..] => {
                    let row = row::parse(recording.host, ns(time), kind, &words[2..], &mut pids);
                    recording.rows.push(row);
                }
                _ => panic!("not understood: {line}"),
            }
        }
        for recording in &mut recordings {
            recording.write(&folder);
            args.push(format!("{}.parquet", recording.host));
        }
        fs::write(folder.path().join("in.pcapng"), capture.bytes(1)).expect("written");
        fs::write(folder.path().join("again.pcapng"), capture.bytes(ROUNDS)).expect("written");
        Self { folder, args, expected }
    }

    fn run(&self, args: &[&str]) -> String {
        let output = ebpfjoin(self.folder.path(), args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Joins the files; returns what both ends of every packet say.
    pub(crate) fn told(&self) -> Vec<String> {
        let own: Vec<_> = self.args.iter().map(String::as_str).collect();
        self.run(&[&["in.pcapng"][..], &own, &["-o", "out.pcapng", "--detail", "full"]].concat());
        let shown = self.run(&["show", "out.pcapng", "--json"]);
        let told = shown.lines().map(|line| {
            let packet: Value = serde_json::from_str(line).expect("JSON");
            format!("{} | {}", end(&packet["src"]), end(&packet["dst"]))
        });
        told.collect()
    }

    /// What is known of a packet from others of its flow must be what is found for it by itself, as it
    /// is where the packets become a table.
    pub(crate) fn check_memory(&self) {
        let own: Vec<_> = self.args.iter().map(String::as_str).collect();
        let join = |output: &str, more: &[&str]| {
            self.run(&[&["again.pcapng"][..], &own, &["-o", output], more].concat());
            fs::read(self.folder.path().join(output)).expect("output")
        };
        let each = join("each.pcapng", &["--packets", "packets.parquet"]);
        assert!(join("known.pcapng", &[]) == each, "the memory says something else");
    }

    /// Joins the files, and compares what every packet says.
    pub(crate) fn check(&self) {
        self.check_memory();
        let told = self.told();
        let mut wrong = String::new();
        for (frame, ((line, want), told)) in (1..).zip(self.expected.iter().zip(&told)) {
            if want != told {
                wrong += &format!("\n{frame}: {line}\n  want {want}\n  told {told}\n");
                wrong += &self.explain(frame);
            }
        }
        assert_eq!(self.expected.len(), told.len(), "{told:?}");
        assert!(wrong.is_empty(), "{wrong}");
    }

    /// What `ebpfjoin explain` says of a packet.
    pub(crate) fn explain(&self, frame: usize) -> String {
        let own: Vec<_> = self.args.iter().map(String::as_str).collect();
        let frame = frame.to_string();
        self.run(&[&["explain", "in.pcapng"][..], &own, &["--frame", &frame]].concat())
    }

    /// What a join prints for people.
    pub(crate) fn summary(&self) -> String {
        let own: Vec<_> = self.args.iter().map(String::as_str).collect();
        let args = [&["in.pcapng"][..], &own, &["-o", "out.pcapng"]].concat();
        let output = ebpfjoin(self.folder.path(), &args);
        assert!(output.status.success());
        String::from_utf8(output.stderr).expect("text")
    }
}

/// Writes the files of a scenario, joins them, and compares what every packet says.
pub(crate) fn check(text: &str) {
    Spec::new(text).check();
}

/// One end of a packet: `NAME[@CONTAINER] MATCH`, or its reason; with `via NAME` or `via @CONTAINER REASON`.
fn end(end: &Value) -> String {
    let name = |of: &Value| {
        let comm = of["comm"].as_str().unwrap_or_default();
        let container = of["container_name"].as_str().map(|name| format!("@{name}"));
        format!("{comm}{}", container.unwrap_or_default())
    };
    let mut text = match end["match"].as_str() {
        Some(found) => format!("{} {found}", name(end)),
        None => end["none"].as_str().unwrap_or("nothing").to_owned(),
    };
    if !end["via"].is_null() {
        text += &format!(" via {}", name(&end["via"]));
        if let Some(reason) = end["via"]["none"].as_str() {
            text += &format!(" {reason}");
        }
    }
    text
}
