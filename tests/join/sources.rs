//! Captures from anywhere: pipes, compressed files, several at once.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::scene::{pcap, pcapng, put, scene};
use crate::tools::{ebpfjoin, failure, join, tshark};

/// What comes through `standard input`, joined; the enriched capture from standard output.
fn piped(folder: &std::path::Path, input: &[u8], args: &[&str]) -> std::process::Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"))
        .current_dir(folder)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ebpfjoin starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    // What is damaged may not be read to its end.
    let _ = writer.join().expect("the writer ends");
    output
}

/// A filter of the system, such as gzip.
fn filtered(program: &str, input: &[u8]) -> Option<Vec<u8>> {
    let child =
        Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("not compared with {program}: it is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("written");
    Some(output.stdout)
}

#[test]
fn a_pipe_in_and_a_pipe_out_give_what_files_do() {
    let folder = scene();
    for input in [pcapng(false, &[]), pcapng(true, &[]), pcap(false, false)] {
        put(&folder, "in", &input);
        join(folder.path(), "in", &[]);
        let want = fs::read(folder.path().join("out.pcapng")).expect("output");
        fs::remove_file(folder.path().join("out.pcapng")).expect("removed");
        let output = piped(folder.path(), &input, &["-", "ev.parquet", "-o", "-", "--quiet"]);
        assert!(output.status.success() && output.stdout == want);
        let output = piped(folder.path(), &input, &["-", "ev.parquet", "-o", "out.pcapng", "-q"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(fs::read(folder.path().join("out.pcapng")).expect("output") == want);
    }
    // Nothing of what was kept stays.
    let names = fs::read_dir(folder.path()).expect("folder").count();
    assert_eq!(names, 3, "in, ev.parquet, out.pcapng");
}

#[test]
fn a_named_pipe_is_read_to_its_end() {
    let folder = scene();
    let input = pcapng(false, &[]);
    put(&folder, "in.pcapng", &input);
    join(folder.path(), "in.pcapng", &[]);
    let want = fs::read(folder.path().join("out.pcapng")).expect("output");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let writer = std::thread::spawn(move || fs::write(pipe, input));
    join(folder.path(), "pipe", &[]);
    writer.join().expect("no panic").expect("written");
    assert!(fs::read(folder.path().join("out.pcapng")).expect("output") == want);
}

#[test]
fn compressed_captures_are_read_by_their_content_and_written_by_name_or_option() {
    let folder = scene();
    let input = pcapng(false, &[]);
    put(&folder, "in.pcapng", &input);
    join(folder.path(), "in.pcapng", &[]);
    let want = fs::read(folder.path().join("out.pcapng")).expect("output");
    let fields = ["frame.time_epoch", "frame.len", "ip.src", "frame.comment"];
    let read = tshark(&folder.path().join("out.pcapng"), &fields);
    for (name, compression) in [("o.gz", "gzip"), ("o.zst", "zstd"), ("o.lz4", "lz4")] {
        let run = |args: &[&str]| {
            let output = ebpfjoin(folder.path(), &[args, &["--quiet"]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run(&["in.pcapng", "ev.parquet", "-o", name]);
        run(&["in.pcapng", "ev.parquet", "-o", "other", "--compress", compression]);
        let stored = fs::read(folder.path().join(name)).expect("output");
        assert!(stored == fs::read(folder.path().join("other")).expect("output"));
        // Wireshark's reading of it.
        assert_eq!(tshark(&folder.path().join(name), &fields), read, "{name}");
        // Ours, as input: what was enriched is enriched again to the same.
        run(&["other", "ev.parquet", "-o", "again.pcapng"]);
        assert!(fs::read(folder.path().join("again.pcapng")).expect("output") == want, "{name}");
        let shown = ebpfjoin(folder.path(), &["show", name]);
        assert!(shown.stdout == ebpfjoin(folder.path(), &["show", "out.pcapng"]).stdout);
    }
    for program in ["gzip", "zstd", "lz4"] {
        let Some(stored) = filtered(program, &input) else { continue };
        put(&folder, "in.compressed", &stored);
        join(folder.path(), "in.compressed", &[]);
        assert!(fs::read(folder.path().join("out.pcapng")).expect("output") == want, "{program}");
        let output = piped(folder.path(), &stored, &["-", "ev.parquet", "-o", "-", "-q"]);
        assert!(output.stdout == want, "{program}");
    }
}

#[test]
fn of_compressed_data_that_are_cut_what_is_whole_is_enriched() {
    let folder = scene();
    // More than one piece, and nothing that could be compressed.
    let mut input = pcapng(false, &[]);
    let mut seed = 1_u32;
    for _ in 0..4000 {
        let mut body = vec![0x99, 0, 0, 0];
        body.extend((0..255).flat_map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_le_bytes()
        }));
        let length = u32::try_from(body.len() + 12).expect("short").to_le_bytes();
        input.extend([&0x0bad_u32.to_le_bytes()[..], &length, &body, &length].concat());
    }
    let Some(stored) = filtered("gzip", &input) else { return };
    put(&folder, "cut.gz", &stored[..stored.len() / 2]);
    let output = ebpfjoin(folder.path(), &["cut.gz", "ev.parquet", "-o", "out.pcapng", "-q"]);
    let said = failure(&output);
    assert!(said.contains("cut.gz: damaged at byte "), "{said}");
    assert!(
        said.ends_with("the gzip data are cut off; everything before it was dealt with"),
        "{said}"
    );
    let written = fs::read(folder.path().join("out.pcapng")).expect("output").len();
    assert!(written > input.len() / 3, "{written} of {}", input.len());
    put(&folder, "bad.zst", &[0x28, 0xb5, 0x2f, 0xfd, 9, 9, 9, 9, 9, 9]);
    let output = ebpfjoin(folder.path(), &["bad.zst", "ev.parquet", "-o", "no.pcapng"]);
    assert!(failure(&output).contains("bad.zst: damaged from its first byte on: the zstd data"));
    assert!(!folder.path().join("no.pcapng").exists());
}

#[test]
fn several_captures_go_to_a_folder() {
    let folder = scene();
    put(&folder, "a.pcapng", &pcapng(false, &[]));
    put(&folder, "b.pcap", &pcap(false, false));
    let output = ebpfjoin(folder.path(), &["a.pcapng", "b.pcap", "ev.parquet", "-o", "out/"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (input, name) in [("a.pcapng", "a.pcapng"), ("b.pcap", "b.pcapng")] {
        join(folder.path(), input, &[]);
        let want = fs::read(folder.path().join("out.pcapng")).expect("output");
        assert!(fs::read(folder.path().join("out").join(name)).expect("output") == want);
    }
    // A folder of captures, too.
    fs::create_dir(folder.path().join("all")).expect("folder");
    for name in ["a.pcapng", "b.pcap"] {
        fs::rename(folder.path().join(name), folder.path().join("all").join(name)).expect("moved");
    }
    let output = ebpfjoin(folder.path(), &["all", "ev.parquet", "-o", "other/", "--quiet"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let count = fs::read_dir(folder.path().join("other")).expect("folder").count();
    assert_eq!(count, 2);
    // One that fails does not keep the others.
    put(&folder, "bad.pcap", b"nothing of the kind");
    let args = ["bad.pcap", "all/a.pcapng", "ev.parquet", "-o", "third/", "--quiet"];
    let said = failure(&ebpfjoin(folder.path(), &args));
    assert!(said.starts_with("ebpfjoin: bad.pcap: not a capture"), "{said}");
    assert!(folder.path().join("third/a.pcapng").exists());
    let said = failure(&ebpfjoin(folder.path(), &["all", "ev.parquet", "-o", "one.pcapng"]));
    assert_eq!(
        said,
        "ebpfjoin: 2 captures can't be written to one file: give a folder with -o one.pcapng/"
    );
}

#[test]
fn quoted_patterns_stand_for_what_fits() {
    let folder = scene();
    put(&folder, "a.000001.pcapng", &pcapng(false, &[]));
    put(&folder, "a.000002.pcapng", &pcapng(true, &[]));
    fs::create_dir(folder.path().join("events")).expect("folder");
    for name in ["one.parquet", "two.parquet"] {
        fs::copy(folder.path().join("ev.parquet"), folder.path().join("events").join(name))
            .expect("copied");
    }
    join(folder.path(), "a.000001.pcapng", &[]);
    let want = fs::read(folder.path().join("out.pcapng")).expect("output");
    let run = |args: &[&str]| {
        let output = ebpfjoin(folder.path(), args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    };
    let summary = run(&["a.*1.pcapng", "ev*/one.parq?et", "-o", "out.pcapng", "--json"]);
    assert!(fs::read(folder.path().join("out.pcapng")).expect("output") == want);
    let summary: serde_json::Value = serde_json::from_slice(&summary.stdout).expect("JSON");
    assert_eq!(summary["capture"], "a.000001.pcapng");
    run(&["a.0000[0-9][0-9].pcapng", "events/*.parquet", "-o", "all/", "-q"]);
    assert_eq!(fs::read_dir(folder.path().join("all")).expect("folder").count(), 2);
    // Captures may stand among the events by a pattern, too.
    run(&["a.000001.pcapng", "a.*2.pcapng", "ev.parquet", "-o", "both/", "-q"]);
    assert_eq!(fs::read_dir(folder.path().join("both")).expect("folder").count(), 2);
    run(&["explain", "a.000001.pcapng", "e?.parquet", "--frame", "1"]);
    for (args, said) in [
        (["b.*.pcapng", "ev.parquet"], "b.*.pcapng: cannot read: no file fits this pattern"),
        (
            ["a.000001.pcapng", "*.arrow"],
            "*.arrow: cannot read the event file: no file fits this pattern",
        ),
    ] {
        let output = ebpfjoin(folder.path(), &[&args[..], &["-o", "out.pcapng"]].concat());
        let want = format!("ebpfjoin: {said}; is it in the right folder?");
        assert_eq!(failure(&output), want);
    }
}

#[test]
fn show_takes_what_fits_either_end() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    join(folder.path(), "in.pcapng", &[]);
    let lines = |args: &[&str]| -> Vec<serde_json::Value> {
        let output = ebpfjoin(folder.path(), &[&["show", "out.pcapng", "--json"], args].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let all = lines(&[]);
    let either = |fits: &dyn Fn(&serde_json::Value) -> bool| -> Vec<serde_json::Value> {
        all.iter().filter(|packet| fits(&packet["src"]) || fits(&packet["dst"])).cloned().collect()
    };
    let named = all.iter().flat_map(|packet| [&packet["src"], &packet["dst"]]);
    let first = named.clone().find(|end| end["pid"].is_number()).expect("a name");
    let (pid, comm) = (first["pid"].to_string(), first["comm"].as_str().expect("a name"));
    let of_pid = either(&|end| end["pid"] == first["pid"]);
    assert!(!of_pid.is_empty() && of_pid.len() < all.len());
    assert_eq!(lines(&["--pid", &pid]), of_pid);
    assert_eq!(lines(&["--comm", comm]), either(&|end| end["comm"] == comm));
    assert_eq!(lines(&["--match", "exact"]), either(&|end| end["match"] == "exact"));
    assert_eq!(lines(&["--reason", "remote"]), either(&|end| end["none"] == "remote"));
    assert!(lines(&["--pid", "4000000000"]).is_empty());
    assert_eq!(lines(&["--pid", &pid, "--pid", "7"]), of_pid);
    assert_eq!(lines(&["--pid", &pid, "-n", "1"]), of_pid[..1]);
    let port = all.iter().find_map(|packet| packet["src"]["port"].as_u64());
    let port = port.expect("a port");
    let of_port = either(&|end| end["port"] == port);
    assert_eq!(lines(&["--port", &port.to_string()]), of_port);
    // What one process did to an end that is not its own.
    let both = |options: &[&str], fits: &dyn Fn(&serde_json::Value, &serde_json::Value) -> bool| {
        let of_both: Vec<_> = all
            .iter()
            .filter(|packet| {
                let (src, dst) = (&packet["src"], &packet["dst"]);
                fits(src, dst) || fits(dst, src)
            })
            .cloned()
            .collect();
        assert!(!of_both.is_empty() && of_both.len() < all.len(), "{options:?}");
        assert_eq!(lines(options), of_both, "{options:?}");
    };
    both(&["--comm", "curl", "--port", "80"], &|a, b| a["comm"] == "curl" && b["port"] == 80);
    both(&["--container", "web", "--pid", "4242"], &|a, b| {
        a["container_name"] == "web" && b["pid"] == 4242
    });
    both(&["--reason", "remote", "--reason", "no-socket", "--host", "8.8.8.8"], &|a, b| {
        a["none"] == "no-socket" && b["addr"] == "8.8.8.8"
    });
    assert!(lines(&["--comm", "curl", "--host", "8.8.8.8"]).is_empty());
    for bad in [["--match", "roughly"], ["--reason", "none"], ["--port", "70000"]] {
        let output = ebpfjoin(folder.path(), &[&["show", "out.pcapng"], &bad[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
    }
}
