//! Captures as Wireshark shows them: the installed tshark with our plugin and profile, over captures
//! that `ebpfjoin` has enriched or, for what no recording here has, whose comments are written out.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::scene::{pcap, pcapng_commented, put, scene};
use crate::tools::join;

mod fields;
mod install;
mod profile;

/// The plugin and the profile as they are in the sources.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wireshark")
}

/// A folder with `out.pcapng`: the scene, joined.
fn joined() -> TempDir {
    let folder = scene();
    // Not the pcapng form: Wireshark 4.0 counts the unknown blocks in it as frames.
    put(&folder, "in.pcap", &pcap(false, true));
    join(folder.path(), "in.pcap", &[]);
    folder
}

/// A folder with `out.pcapng`: packets of one connection, in turn by the client and the server, one
/// for each comment.
fn commented(comments: &[Option<&str>]) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    put(&folder, "out.pcapng", &pcapng_commented(comments));
    folder
}

/// What tshark with our plugin says of `out.pcapng`; `None` where there is no tshark. Nobody's
/// settings are read. A plugin that complains fails.
fn tshark(folder: &Path, args: &[&str]) -> Option<String> {
    let profiles = folder.join("config/profiles");
    if !profiles.exists() {
        std::fs::create_dir_all(profiles.join("ebpf")).expect("folder");
        for file in std::fs::read_dir(sources().join("profile")).expect("the profile") {
            let path = file.expect("an entry").path();
            let name = path.file_name().expect("a file");
            std::fs::copy(&path, profiles.join("ebpf").join(name)).expect("copied");
        }
    }
    let mut command = Command::new("tshark");
    command.arg("-X").arg(format!("lua_script:{}", sources().join("ebpf.lua").display()));
    command.current_dir(folder).args(["-n", "-r", "out.pcapng"]).args(args);
    command.env("WIRESHARK_CONFIG_DIR", folder.join("config")).env("TZ", "UTC");
    run(&mut command)
}

/// Standard output of a program that must succeed; `None` where it is not installed.
fn run(command: &mut Command) -> Option<String> {
    let program = command.get_program().display().to_string();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            let required = std::env::var_os("EBPF_REQUIRE_LIVE").is_some_and(|value| value == "1");
            assert!(!required, "{program}: {error}");
            eprintln!("the plugin was not tried: {program}: {error}");
            return None;
        }
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    assert!(!stderr.to_lowercase().contains("lua"), "{command:?}: {stderr}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// Values of `fields`, a row for each packet.
fn rows(folder: &Path, fields: &[&str], extra: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut args = vec!["-T", "fields", "-E", "aggregator=;"];
    fields.iter().for_each(|field| args.extend(["-e", *field]));
    args.extend(extra);
    let text = tshark(folder, &args)?;
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

/// Numbers of the frames that a display filter shows.
fn frames(folder: &Path, filter: &str) -> Option<Vec<u64>> {
    let rows = rows(folder, &["frame.number"], &["-Y", filter])?;
    Some(rows.iter().map(|row| row[0].parse().expect("a number")).collect())
}
