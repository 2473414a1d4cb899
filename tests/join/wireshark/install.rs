//! `ebpfjoin wireshark`: for somebody without privileges, for root, and for layouts of other
//! versions, which a script tells of in place of tshark.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{joined, run};
use crate::copy::copy_program;
use crate::tools::failure;

/// What `-G folders` says, by version; @ stands for a home.
const LAYOUTS: [(&str, &str); 4] = [
    (
        "TShark (Wireshark) 4.0.17 (Git v4.0.17 packaged as 4.0.17-0+deb12u3).",
        "Personal configuration:\t@/.config/wireshark\n\
         Personal Plugins:    \t@/.local/lib/wireshark/plugins/4.0\n\
         Global Plugins:      \t@/usr/lib/wireshark/plugins/4.0\n\
         Personal Lua Plugins:\t@/.local/lib/wireshark/plugins\n\
         Global Lua Plugins:  \t@/usr/lib/wireshark/plugins\n",
    ),
    (
        "TShark (Wireshark) 4.4.18.",
        "Personal configuration:\t@/.config/wireshark\n\
         Personal Plugins:    \t@/.local/lib/wireshark/plugins/4.4\n\
         Global Plugins:      \t@/usr/lib/wireshark/plugins/4.4\n\
         Personal Lua Plugins:\t@/.local/lib/wireshark/plugins\n\
         Global Lua Plugins:  \t@/usr/lib/wireshark/plugins\n",
    ),
    (
        "TShark (Wireshark) 4.6.9.",
        "Temp:                \t/tmp\n\
         Personal configuration:\t@/.config/wireshark\n\
         Personal Plugins:    \t@/.local/lib/wireshark/plugins/4.6\n\
         Global Plugins:      \t@/usr/lib/wireshark/plugins/4.6\n\
         Personal Lua Plugins:\t@/.local/lib/wireshark/plugins\n\
         Global Lua Plugins:  \t@/usr/lib/wireshark/plugins\n\
         Personal Extcap path:\t@/.local/lib/wireshark/extcap\n",
    ),
    (
        "TShark 3.2.3 (Git v3.2.3 packaged as 3.2.3-1).",
        "Personal configuration:\t@/.config/wireshark\n\
         Personal Plugins:\t@/.local/lib/wireshark/plugins\n\
         Global Plugins:\t@/usr/lib/wireshark/plugins\n",
    ),
];

/// A home, with `ebpfjoin` in it where others may run it, too.
struct Home {
    folder: TempDir,
    /// Run as nobody; by whoever runs the tests otherwise.
    as_nobody: bool,
}

impl Home {
    fn new(as_nobody: bool) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        copy_program(env!("CARGO_BIN_EXE_ebpfjoin"), &folder.path().join("ebpfjoin"));
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("folder");
        for path in [folder.path(), &home] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("permissions");
        }
        Self { folder, as_nobody }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        use std::os::unix::process::CommandExt as _;
        const NOBODY: u32 = 65_534;
        let mut command = Command::new(program);
        command.current_dir(self.path()).env("HOME", self.path()).env("TZ", "UTC");
        command.env_remove("XDG_CONFIG_HOME").env_remove("WIRESHARK_CONFIG_DIR");
        if self.as_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn ebpfjoin(&self, args: &[&str], program: Option<&Path>) -> Output {
        let mut command = self.command(self.folder.path().join("ebpfjoin"));
        command.arg("wireshark").args(args);
        if let Some(program) = program {
            command.arg("--program").arg(program);
        }
        command.output().expect("ebpfjoin starts")
    }

    /// What a run that must succeed prints.
    fn said(&self, args: &[&str], program: Option<&Path>) -> String {
        let output = self.ebpfjoin(args, program);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A script that says what a tshark of this version says.
    fn stand_in(&self, version: &str, folders: &str) -> PathBuf {
        let path = self.folder.path().join("tshark");
        let folders = folders.replace('@', &self.path().display().to_string());
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = -G ]; then cat <<'E'\n{folders}E\nelse echo '{version}'; fi\n"
        );
        fs::write(&path, script).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
        path
    }

    /// Everything in the home, files and folders.
    fn tree(&self) -> Vec<PathBuf> {
        let (mut found, mut open) = (vec![], vec![self.path()]);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                found.push(path.strip_prefix(self.path()).expect("below").to_owned());
            }
        }
        found.sort();
        found
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn every_layout_is_filled_and_emptied() {
    for (version, folders) in LAYOUTS {
        let home = Home::new(false);
        let tshark = home.stand_in(version, folders);
        let said = home.said(&["--install"], Some(&tshark));
        let lua = if is_root() { "usr/lib" } else { ".local/lib" };
        let plugin = home.path().join(lua).join("wireshark/plugins/ebpf.lua");
        assert!(plugin.is_file(), "{said}");
        assert!(said.contains(&format!("  installed {}\n", plugin.display())), "{said}");
        assert!(home.path().join(".config/wireshark/profiles/ebpf/preferences").is_file());
        assert_eq!(said.contains("You are root"), is_root(), "{said}");
        let said = home.said(&["--where"], Some(&tshark));
        assert_eq!(said.matches("  installed ").count(), 5, "{said}");
        home.said(&["--uninstall"], Some(&tshark));
        assert!(home.tree().is_empty(), "{version}: {:?}", home.tree());
        let said = home.said(&["--where"], Some(&tshark));
        assert_eq!(said.matches("  absent ").count(), 5, "{said}");
    }
}

#[test]
fn somebody_elses_plugin_is_refused_and_their_changes_are_kept() {
    let home = Home::new(false);
    let (version, folders) = LAYOUTS[0];
    let tshark = home.stand_in(version, folders);
    let profile = home.path().join(".config/wireshark/profiles/ebpf");
    fs::create_dir_all(&profile).expect("folder");
    fs::write(profile.join("colorfilters"), "theirs").expect("written");
    let before = home.tree();
    let output = home.ebpfjoin(&["--install"], Some(&tshark));
    assert_eq!(
        failure(&output),
        format!(
            "ebpfjoin: {} is there and was not put there by ebpfjoin; move it away and run this \
             again",
            profile.join("colorfilters").display()
        )
    );
    assert_eq!(home.tree(), before);
    fs::remove_file(profile.join("colorfilters")).expect("moved away");
    home.said(&["--install"], Some(&tshark));
    // As Wireshark does when settings are changed, or when it ends.
    fs::write(profile.join("preferences"), "mine").expect("changed");
    fs::write(profile.join("recent"), "widths").expect("written");
    let said = home.said(&["--uninstall"], Some(&tshark));
    assert!(said.contains(&format!("  kept      {}\n", profile.join("preferences").display())));
    let left = ["preferences", "recent"].map(|name| profile.join(name).is_file());
    assert_eq!(left, [true, true]);
    assert!(!profile.join("colorfilters").exists());
}

#[test]
fn without_wireshark_it_says_what_to_do() {
    let home = Home::new(false);
    let mut command = home.command(home.folder.path().join("ebpfjoin"));
    let output = command.args(["wireshark", "--where"]).env("PATH", "/nowhere").output();
    assert_eq!(
        failure(&output.expect("ebpfjoin starts")),
        "ebpfjoin: no tshark or wireshark found; install Wireshark, or name its tshark with --program"
    );
    let other = home.stand_in("a shark", "");
    assert_eq!(
        failure(&home.ebpfjoin(&["--where"], Some(&other))),
        format!(
            "ebpfjoin: {} does not tell its folders (-G folders); is it a tshark or wireshark of \
             3.0 or later?",
            other.display()
        )
    );
}

/// Fields and columns of an enriched capture as whoever installed the plugin sees them; `None`
/// without tshark.
fn seen(home: &Home, capture: &Path) -> Option<String> {
    let copy = home.path().join("seen.pcapng");
    fs::copy(capture, &copy).expect("copied");
    let mut command = home.command("tshark");
    command.args(["-n", "-C", "ebpf", "-r", "seen.pcapng", "-Y", "ebpf.dst.comm == \"nginx\""]);
    let text = run(&mut command);
    fs::remove_file(copy).expect("removed");
    text
}

#[test]
fn a_user_sees_names_once_it_is_installed() {
    if !is_root() {
        eprintln!("not run as nobody: only root can become somebody else");
        assert!(std::env::var_os("EBPF_REQUIRE_LIVE").is_none_or(|v| v != "1"), "needs root");
        return;
    }
    let capture = joined();
    for configuration in [None, Some("XDG_CONFIG_HOME"), Some("WIRESHARK_CONFIG_DIR")] {
        let home = Home::new(true);
        let program = configuration.map(|variable| {
            // What sets the variable for Wireshark sets it for `ebpfjoin`'s question, too.
            let path = home.folder.path().join("tshark");
            let script = format!("#!/bin/sh\n{variable}=$HOME/elsewhere exec tshark \"$@\"\n");
            fs::write(&path, script).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
            path
        });
        let said = home.said(&["--install"], program.as_deref());
        assert!(said.contains(".local/lib/wireshark/plugins/ebpf.lua"), "{said}");
        assert_eq!(home.path().join("elsewhere").is_dir(), configuration.is_some(), "{said}");
        if configuration.is_none() {
            let Some(text) = seen(&home, &capture.path().join("out.pcapng")) else { return };
            assert_eq!(text.matches("nginx[77]").count(), 4, "{text}");
        }
        home.said(&["--uninstall"], program.as_deref());
        assert!(home.tree().is_empty(), "{:?}", home.tree());
    }
}

#[test]
fn root_sees_names_too_once_it_is_installed() {
    let home = Home::new(false);
    let Some(folders) = run(home.command("tshark").args(["-G", "folders"])) else { return };
    let line = folders.lines().find(|line| line.starts_with("Global Lua Plugins:"));
    let global = line.and_then(|line| line.split_once(':')).expect("a folder").1.trim();
    if !is_root() {
        eprintln!("not run as root: {global} belongs to root");
        assert!(std::env::var_os("EBPF_REQUIRE_LIVE").is_none_or(|v| v != "1"), "needs root");
        return;
    }
    let capture = joined();
    fs::copy(capture.path().join("out.pcapng"), home.path().join("out.pcapng")).expect("copied");
    // In a view of the file system of its own: everybody's folder stays as it is.
    let script = "mount -t tmpfs none \"$1\" && \"$2\" wireshark --install >&2 && \
                  tshark -n -C ebpf -r out.pcapng -c 1 && \
                  \"$2\" wireshark --uninstall >&2 && ls \"$1\"";
    let ebpfjoin = home.folder.path().join("ebpfjoin");
    let mut command = home.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", global]);
    let text = command.arg(ebpfjoin).output().expect("unshare starts");
    assert!(text.status.success(), "{}", String::from_utf8_lossy(&text.stderr));
    let text = String::from_utf8(text.stdout).expect("text");
    assert_eq!(text.lines().count(), 1, "the folder is empty again: {text}");
    assert!(text.contains("curl[4242]") && text.contains("nginx[77]"), "{text}");
}
