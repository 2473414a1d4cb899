//! Running programs, and reading what they say.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `ebpfjoin` in `folder`.
pub(crate) fn ebpfjoin(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ebpfjoin"))
        .current_dir(folder)
        .args(args)
        .output()
        .expect("ebpfjoin starts")
}

/// Runs `ebpfjoin` in `folder` with so much memory and time at most: MiB of addresses, and seconds of a
/// processor.
#[cfg(target_os = "linux")]
pub(crate) fn ebpfjoin_within(folder: &Path, [memory, time]: [u32; 2], args: &[&str]) -> Output {
    let limits = format!("ulimit -v {} && ulimit -t {time} && exec \"$0\" \"$@\"", memory << 10);
    Command::new("sh")
        .current_dir(folder)
        .args(["-c", &limits, env!("CARGO_BIN_EXE_ebpfjoin")])
        .args(args)
        .output()
        .expect("ebpfjoin starts")
}

/// Standard error of a run that must have failed with exit code 1.
pub(crate) fn failure(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    stderr.trim_end().to_owned()
}

/// Runs a join that must succeed; its summary.
pub(crate) fn join(folder: &Path, capture: &str, extra: &[&str]) -> serde_json::Value {
    let args = [&[capture, "ev.parquet", "-o", "out.pcapng", "--json"], extra].concat();
    let output = ebpfjoin(folder, &args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What tshark prints for `fields` of every packet, a row each; `None` where it is not installed.
pub(crate) fn tshark(capture: &Path, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    // All occurrences of a field, with a separator that no field has.
    command.arg("-r").arg(capture).args(["-n", "-T", "fields", "-E", "aggregator=;"]);
    // A fragment is what it is, not the last piece of a whole.
    command.args(["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]);
    // Names and clocks of the machine must not matter.
    command.env("TZ", "UTC");
    for field in fields.iter().chain(&["frame.encap_type"]) {
        command.args(["-e", field]);
    }
    let text = wireshark(&mut command)?;
    let rows = text.lines().map(|line| line.split('\t').map(str::to_owned).collect());
    // Some blocks that are no packets become rows, too; only packets are of an interface or, in a
    // legacy file, of an encapsulation.
    let is_packet =
        |row: &Vec<String>| row.last().is_some_and(|encapsulation| !encapsulation.is_empty());
    Some(rows.filter(is_packet).collect())
}

/// What `capinfos` says of a capture as tab-separated values, without its name.
pub(crate) fn capinfos(capture: &Path, args: &[&str]) -> Option<Vec<String>> {
    let text = wireshark(Command::new("capinfos").args(args).arg(capture).env("TZ", "UTC"))?;
    Some(text.trim_end().split('\t').skip(1).map(str::to_owned).collect())
}

/// What a program of Wireshark's prints; `None` (and one line why) where it is not installed,
/// unless it is required.
pub(crate) fn wireshark(command: &mut Command) -> Option<String> {
    match command.output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            let required = std::env::var_os("EBPF_REQUIRE_LIVE").is_some_and(|value| value == "1");
            let program = command.get_program().display();
            assert!(!required, "{program}: {error}");
            eprintln!("not compared with {program}: {error}");
            None
        }
    }
}

/// The folder of captures of others that lies beside the project, if it is there.
pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    folder.is_dir().then_some(folder)
}
