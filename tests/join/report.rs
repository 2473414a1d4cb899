//! The page of `--report`: its numbers are those of the summary, a real browser draws it, its filters
//! show what its rows tell of, and no name of a process does harm.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use schema::meta::FileMeta;
use schema::{Event, Kind};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::scene::{datagrams, ip, meta, pcapng, pcapng_of, put, rows, scene, write_events};
use crate::tools::{ebpfjoin, failure, join};

/// A process's name that is markup, ends scripts and strings, and turns the line around.
const HOSTILE: &str =
    "</script><script>harm=1</script><img src=x onerror=harm=1>\"'\\\u{202e}\u{2028}\u{7}";

fn page(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("report.html")).expect("the page")
}

/// What the page carries.
fn data(folder: &TempDir) -> Value {
    let page = page(folder);
    let (_, rest) =
        page.split_once("<script id=\"data\" type=\"application/json\">").expect("data");
    let (island, _) = rest.split_once("</script>").expect("an end");
    serde_json::from_str(island).expect("JSON")
}

fn joined(folder: &TempDir, extra: &[&str]) -> (Value, Value) {
    put(folder, "in.pcapng", &pcapng(false, &[]));
    let args = [&["--report", "report.html"], extra].concat();
    (join(folder.path(), "in.pcapng", &args), data(folder))
}

/// A scene whose client has this name.
fn scene_of(comm: &'static str) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let refused = Event {
        kind: Kind::TcpConnectFail.as_str(),
        ts: rows()[0].ts + 3_000_000_000,
        seq: 6,
        socket_cookie: Some(33),
        remote_port: Some(81),
        local_port: Some(40001),
        error: Some("ECONNREFUSED"),
        ..rows()[0]
    };
    let rename = |row: Event<'static>| match row.comm {
        Some("curl") => {
            Event { comm: Some(comm), cmdline: Some(comm), container_name: Some(comm), ..row }
        }
        _ => row,
    };
    let rows: Vec<_> = rows().into_iter().chain([refused]).map(rename).collect();
    write_events(&folder.path().join("ev.parquet"), &rows, &meta());
    folder
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number: {value}"))
}

fn sum(values: &Value) -> u64 {
    values.as_array().expect("a list").iter().map(number).sum()
}

/// Packets of all rows of a table, there and back, those without a row of their own included.
fn packets(table: &Value) -> u64 {
    let rows = table["rows"].as_array().expect("rows");
    let all = rows.iter().chain([&table["others"]]);
    all.map(|row| number(&row["out"][0]) + number(&row["back"][0])).sum()
}

/// That all numbers of a page fit those of the summary, and each other.
fn check_numbers(summary: &Value, data: &Value) {
    let told = |key: &str| (summary[key].clone(), data["summary"][key].clone());
    for key in ["packets", "source", "destination", "recordings", "clocks", "damage", "annotated"] {
        let (summary, page) = told(key);
        assert_eq!(summary, page, "{key}");
    }
    for (side, key) in [("source", "src"), ("destination", "dst")] {
        let outcomes = data["outcomes"].as_array().expect("rows");
        let by = |named: bool| -> Value {
            let rows = outcomes.iter().filter(|row| row["named"] == named && row[key] != 0);
            rows.map(|row| (row["name"].as_str().expect("text"), row[key].clone())).collect()
        };
        assert_eq!(by(true), summary[side]["by_match"]);
        assert_eq!(by(false), summary[side]["by_reason"]);
        let series: u64 = outcomes.iter().map(|row| sum(&row[format!("{key}_series")])).sum();
        assert_eq!(series + number(&data["time"]["untimed"]), number(&summary["packets"]));
    }
    let timed = sum(&data["time"]["packets"]);
    assert_eq!(timed + number(&data["time"]["untimed"]), number(&summary["packets"]));
    assert_eq!(packets(&data["pairs"]) + number(&data["pairs"]["endless"][0]), timed);
    let named = [&summary["source"], &summary["destination"]].map(|side| number(&side["named"]));
    assert_eq!(packets(&data["processes"]), named[0] + named[1]);
}

#[test]
fn the_numbers_are_those_of_the_summary_for_any_number_of_threads() {
    let folder = scene();
    let mut input = pcapng(false, &[]);
    let first = input.windows(4).position(|w| w == [6, 0, 0, 0]).expect("a packet");
    let tail = input[first..].to_vec();
    for _ in 0..8000 {
        input.extend_from_slice(&tail);
    }
    put(&folder, "in.pcapng", &input);
    let run = |threads: &str| {
        let args = ["--report", "report.html", "--threads", threads];
        let summary = join(folder.path(), "in.pcapng", &args);
        let mut data = data(&folder);
        check_numbers(&summary, &data);
        for key in ["elapsed_s", "packets_per_s"] {
            data["summary"][key] = Value::Null;
        }
        data
    };
    let one = run("1");
    assert_eq!(sum(&one["time"]["packets"]), 8 * 8001);
    for threads in ["2", "5"] {
        assert_eq!(one, run(threads), "{threads} threads");
    }
}

#[test]
fn the_page_tells_who_talked_and_what_failed() {
    let folder = scene_of("curl");
    let (_, data) = joined(&folder, &[]);
    let pair = &data["pairs"]["rows"][0];
    assert_eq!(pair["client"]["comm"], "curl");
    assert_eq!(pair["server"]["pod"], "default/web-0");
    assert_eq!((&pair["proto"], &pair["port"]), (&json!("tcp"), &json!(80)));
    // Four segments there and two back; each 40 bytes of headers, one "GET /" and one "hello".
    assert_eq!((&pair["out"], &pair["back"]), (&json!([4, 165]), &json!([2, 85])));
    let connections = &data["connections"];
    assert_eq!(connections["latency"]["max"], 310);
    assert_eq!(connections["slowest"]["rows"][0]["latency_us"], 310);
    let failing = &connections["failing"]["rows"][0];
    assert_eq!(
        (&failing["error"], &failing["remote"]),
        (&json!("ECONNREFUSED"), &json!("10.0.0.2:81"))
    );
    let counts = ["outgoing", "incoming", "failed"].map(|key| number(&connections[key]));
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn a_browser_draws_it_without_a_word_and_sorts_by_click_and_key() {
    let folder = scene();
    let (summary, _) = joined(&folder, &[]);
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&folder.path().join("report.html"));
    let cells = browser.eval(
        "[...document.querySelectorAll('#outcomes tbody tr')].map((row) => \
         [...row.cells].slice(0, 3).map((cell) => cell.innerText.trim().split(/\\s/)[0]))",
    );
    for row in cells.as_array().expect("rows") {
        let name = row[0].as_str().expect("text");
        for (side, cell) in [("source", &row[1]), ("destination", &row[2])] {
            let named = &summary[side]["by_match"][name];
            let count = named.as_u64().or(summary[side]["by_reason"][name].as_u64());
            assert_eq!(*cell, count.unwrap_or(0).to_string(), "{name} {side}");
        }
    }
    assert_eq!(cells.as_array().map(Vec::len), Some(4), "exact, early, no-socket, remote");

    let shown = "[...document.querySelectorAll('#processes-table tbody td:first-child .name')]\
        .map((cell) => cell.textContent)";
    let sorted = "document.querySelector('#processes-table th').ariaSort";
    let button = "document.querySelector('#processes-table th button')";
    browser.eval(&format!("{button}.click()"));
    assert_eq!(browser.eval(sorted), "ascending");
    assert_eq!(browser.eval(shown), json!(["curl", "nginx"]));
    browser.eval(&format!("{button}.focus()"));
    browser.press("Enter");
    assert_eq!(browser.eval(sorted), "descending");
    assert_eq!(browser.eval(shown), json!(["nginx", "curl"]));

    browser.eval("document.querySelector('#named .plot').focus()");
    browser.press("ArrowRight");
    let told = browser.eval("document.getElementById('tip').innerText");
    assert!(told.as_str().is_some_and(|text| text.contains("1 packet")), "{told}");
    browser.press("Enter");
    // The clipboard takes its time.
    let copied = browser.eval(
        "new Promise((done) => { const look = () => { \
         const toast = document.getElementById('toast'); \
         if (toast) done(toast.textContent); else requestAnimationFrame(look); }; look(); })",
    );
    assert_eq!(
        copied,
        "Copied: frame.time_epoch >= 1700000001.000 && frame.time_epoch < 1700000001.001"
    );
    // On a telephone only the tables move sideways.
    let screen = json!({ "width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": false });
    browser.call("Emulation.setDeviceMetricsOverride", screen);
    assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true);
    assert_eq!(browser.problems(), [""; 0]);
}

#[test]
fn a_hostile_name_is_shown_and_does_nothing() {
    let folder = scene_of(HOSTILE);
    let (summary, data) = joined(&folder, &[]);
    check_numbers(&summary, &data);
    assert_eq!(page(&folder).matches("</script>").count(), 2, "the island's and the script's");
    assert!(!page(&folder).contains(['\u{202e}', '\u{2028}', '\u{7}']));
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&folder.path().join("report.html"));
    assert_eq!(browser.eval("typeof harm"), "undefined");
    assert_eq!(browser.eval("document.querySelectorAll('img, script').length"), 2);
    let name = browser.eval("document.querySelector('#failing .name').textContent");
    let visible = HOSTILE.replace('\u{202e}', "\\u{202e}").replace('\u{2028}', "\\u{2028}");
    assert_eq!(name, visible.replace('\u{7}', "\\u{7}"));
    // Whatever got in by another way would not run, either.
    browser.eval("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"harm=1\">')");
    let blocked = browser.problems();
    assert!(!blocked.is_empty(), "the policy has something to say");
    assert_eq!(browser.eval("typeof harm"), "undefined");
}

/// Frames that a display filter shows; `None` where there is no tshark.
fn frames(folder: &Path, filter: &str) -> Option<BTreeSet<u64>> {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wireshark/ebpf.lua");
    let output = Command::new("tshark")
        .current_dir(folder)
        .args(["-n", "-r", "out.pcapng", "-T", "fields", "-e", "frame.number", "-Y", filter])
        .arg("-X")
        .arg(format!("lua_script:{}", plugin.display()))
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            let required = std::env::var_os("EBPF_REQUIRE_LIVE").is_some_and(|value| value == "1");
            assert!(!required, "tshark: {error}");
            eprintln!("filters not tried in tshark: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{filter}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    Some(text.lines().map(|line| line.parse().expect("a number")).collect())
}

#[test]
fn the_filter_of_a_row_shows_its_packets() {
    for comm in ["curl", HOSTILE] {
        let folder = scene_of(comm);
        let (_, data) = joined(&folder, &["--detail", "full"]);
        let mut seen = BTreeSet::new();
        for row in data["pairs"]["rows"].as_array().expect("rows") {
            let filter = row["filter"].as_str().expect("a filter");
            let Some(shown) = frames(folder.path(), filter) else { return };
            let packets = number(&row["out"][0]) + number(&row["back"][0]);
            assert_eq!(shown.len() as u64, packets, "{filter}");
            seen.extend(shown);
        }
        assert_eq!(seen.len(), datagrams().len(), "every packet has its pair");
        for row in data["processes"]["rows"].as_array().expect("rows") {
            let filter = row["filter"].as_str().expect("a filter");
            // Nobody here talks to itself.
            let packets = number(&row["out"][0]) + number(&row["back"][0]);
            let shown = frames(folder.path(), filter).expect("tshark ran before");
            assert_eq!(shown.len() as u64, packets, "{filter}");
        }
        for row in data["series"]["program"]["shown"].as_array().expect("rows") {
            let filter = row["filter"].as_str().expect("a filter");
            let shown = frames(folder.path(), filter).expect("tshark ran before");
            assert_eq!(shown.len(), 6, "{filter}");
        }
        for row in data["outcomes"].as_array().expect("rows") {
            let filter = row["filter"].as_str().expect("a filter");
            let shown = frames(folder.path(), filter).expect("tshark ran before");
            let most = number(&row["src"]).max(number(&row["dst"]));
            let both = number(&row["src"]) + number(&row["dst"]);
            assert!((most..=both).contains(&(shown.len() as u64)), "{filter}: {shown:?}");
        }
        let slowest = &data["connections"]["slowest"]["rows"][0]["filter"];
        let shown = frames(folder.path(), slowest.as_str().expect("a filter"));
        assert_eq!(shown.expect("tshark ran before").len(), 6);
    }
}

#[test]
fn a_capture_of_a_port_scan_makes_no_larger_page() {
    let folder = scene();
    let scan = (0..150_000_u32).map(|n| {
        let [_, a, b, c] = n.to_be_bytes();
        ip(17, ([10, 0, 0, 1], 40000), ([100, a, b, c], 53), &[0x9c, 0x40, 0, 53, 0, 8, 0, 0])
    });
    put(&folder, "in.pcapng", &pcapng_of(&scan.collect::<Vec<_>>(), false, &[]));
    let summary = join(folder.path(), "in.pcapng", &["--report", "report.html"]);
    let data = data(&folder);
    check_numbers(&summary, &data);
    assert_eq!(data["pairs"]["others"]["rows"], 150_000 - 200);
    assert!(data["time"]["packets"].as_array().is_some_and(|all| all.len() <= 240));
    assert!(page(&folder).len() < 300_000, "{} bytes", page(&folder).len());
}

#[test]
fn the_page_takes_no_other_files_place() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let fail = |report: &str| {
        let args = ["in.pcapng", "ev.parquet", "-o", "out.pcapng", "--report", report];
        failure(&ebpfjoin(folder.path(), &args))
    };
    assert_eq!(
        fail("ev.parquet"),
        "ebpfjoin: ev.parquet: writing ev.parquet would overwrite this event file; give another \
         name with --report"
    );
    assert_eq!(
        fail("./out.pcapng"),
        "ebpfjoin: out.pcapng: writing ./out.pcapng would overwrite this output; give another \
         name with --report"
    );
    let error = fail("not there/report.html");
    assert!(error.ends_with("; choose another place with --report"), "{error}");
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["ev.parquet", "in.pcapng"], "nothing is left behind");
}

#[test]
fn several_captures_have_a_page_each() {
    let folder = scene();
    put(&folder, "a.pcapng", &pcapng(false, &[]));
    put(&folder, "b.pcapng", &pcapng(true, &[]));
    let run = |report: &str| {
        let inputs = ["a.pcapng", "ev.parquet", "b.pcapng"];
        ebpfjoin(folder.path(), &[&inputs[..], &["-o", "out/", "--report", report]].concat())
    };
    assert_eq!(
        failure(&run("page.html")),
        "ebpfjoin: 2 captures can't be written to one file: give a folder with --report page.html/"
    );
    assert!(run("pages/").status.success());
    for name in ["a.html", "b.html"] {
        assert!(folder.path().join("pages").join(name).is_file(), "{name}");
    }
}

#[test]
fn a_loss_is_told_and_shown_where_it_was() {
    let folder = tempfile::tempdir().expect("folder");
    let [.., last] = rows();
    let lost = Event {
        kind: Kind::Lost.as_str(),
        seq: 6,
        ts: rows()[0].ts + 3_500_000,
        error: Some("ring"),
        count: Some(1234),
        ..Event { socket_cookie: None, pid: None, ..last }
    };
    let rows: Vec<_> = rows().into_iter().chain([lost]).collect();
    let hooks = r#"{"sock_ops":"attached","cgroup/sock_release":"not permitted"}"#.to_owned();
    let meta = FileMeta { complete: false, hooks, ..meta() };
    write_events(&folder.path().join("ev.parquet"), &rows, &meta);
    let (summary, data) = joined(&folder, &[]);
    check_numbers(&summary, &data);
    let recording = &data["recordings"]["rows"][0];
    assert_eq!(recording["lost"], json!({ "ring": 1234 }));
    assert_eq!(recording["missing"], json!([["cgroup/sock_release", "not permitted"]]));
    assert_eq!((&recording["attached"], &recording["complete"]), (&json!(1), &json!(false)));
    // The row tells of the second before it; what was captured of that begins 100 µs after its first
    // event, in buckets of a millisecond.
    assert_eq!(data["losses"], json!([[1_700_000_001_000.0, 1_700_000_001_004.0]]));
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&folder.path().join("report.html"));
    let told = browser.eval("document.getElementById('complete').innerText");
    for part in ["no clean end", "1,234 (ring)", "1 hook of 2 not in place", "not permitted"] {
        assert!(told.as_str().is_some_and(|text| text.contains(part)), "{part}: {told}");
    }
}
