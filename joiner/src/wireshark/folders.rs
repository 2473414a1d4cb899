//! Where a Wireshark looks for plugins and profiles. It is asked (`-G folders`) and not guessed: the
//! places differ between versions, systems and packages, and by the environment.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::WiresharkError;

/// Asked in this order. Both tell the same; the second is not everywhere.
const PROGRAMS: [&str; 2] = ["tshark", "wireshark"];

/// Where the programs are if they are not in the search path: macOS and Windows.
const ELSEWHERE: [&str; 2] = [
    "/Applications/Wireshark.app/Contents/MacOS/tshark",
    "C:\\Program Files\\Wireshark\\tshark.exe",
];

/// The folders of one installed Wireshark, for whoever runs this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// What it calls itself: `TShark (Wireshark) 4.0.17`.
    pub version: String,
    /// Where its configuration is, and the profiles in it.
    pub configuration: PathBuf,
    /// Where a Lua plugin is found by whoever runs this.
    pub plugins: PathBuf,
    /// Whether that is everybody's: root's own plugins are not read by Wireshark 4.4 and later.
    pub for_all: bool,
}

impl Folders {
    /// Asks `program`, or the one that is installed.
    ///
    /// # Errors
    ///
    /// There is none, it can't be run, or doesn't tell.
    pub fn ask(program: Option<&Path>) -> Result<Self, WiresharkError> {
        let Some(program) = program else {
            let known = PROGRAMS.iter().chain(&ELSEWHERE).map(Path::new);
            for program in known {
                match Self::ask(Some(program)) {
                    Err(WiresharkError::Program { source, .. })
                        if source.kind() == io::ErrorKind::NotFound => {}
                    other => return other,
                }
            }
            return Err(WiresharkError::NotInstalled);
        };
        let said = |args: &[&str]| -> Result<String, WiresharkError> {
            let output = Command::new(program).args(args).output().map_err(|source| {
                WiresharkError::Program { program: program.to_owned(), source }
            })?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let folders = said(&["-G", "folders"])?;
        let version = said(&["--version"])?;
        Self::parse(&folders, &version, is_root())
            .ok_or_else(|| WiresharkError::NoFolders { program: program.to_owned() })
    }

    /// From lines of a title, a colon, white space and a path.
    fn parse(folders: &str, version: &str, is_root: bool) -> Option<Self> {
        let titled = |title: &str| {
            let mut lines = folders.lines().filter_map(|line| line.split_once(':'));
            let (_, path) = lines.find(|(found, _)| found.trim().eq_ignore_ascii_case(title))?;
            Some(PathBuf::from(path.trim())).filter(|path| !path.as_os_str().is_empty())
        };
        // Before 3.6 there was one folder for Lua and others.
        let plugins = if is_root {
            titled("Global Lua Plugins").or_else(|| titled("Global Plugins"))
        } else {
            titled("Personal Lua Plugins").or_else(|| titled("Personal Plugins"))
        };
        let name = version.lines().next().unwrap_or_default();
        Some(Self {
            version: name.split(" (Git").next().unwrap_or(name).trim_end_matches('.').to_owned(),
            configuration: titled("Personal configuration")?,
            plugins: plugins?,
            for_all: is_root,
        })
    }
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN_12: &str = "\
Temp:                	/tmp
Personal configuration:	/home/ana/.config/wireshark
Global configuration:	/usr/share/wireshark
System:              	/etc
Program:             	/usr/bin
Personal Plugins:    	/home/ana/.local/lib/wireshark/plugins/4.0
Global Plugins:      	/usr/lib/x86_64-linux-gnu/wireshark/plugins/4.0
Personal Lua Plugins:	/home/ana/.local/lib/wireshark/plugins
Global Lua Plugins:  	/usr/lib/x86_64-linux-gnu/wireshark/plugins
Extcap path:         	/usr/lib/x86_64-linux-gnu/wireshark/extcap
";

    #[test]
    fn plugins_of_a_user_are_personal_and_those_of_root_everybodys() {
        let version =
            "TShark (Wireshark) 4.0.17 (Git v4.0.17 packaged as 4.0.17-0+deb12u3).\n\nmore";
        let ana = Folders::parse(DEBIAN_12, version, false).expect("folders");
        assert_eq!(ana.version, "TShark (Wireshark) 4.0.17");
        assert_eq!(ana.configuration, PathBuf::from("/home/ana/.config/wireshark"));
        assert_eq!(ana.plugins, PathBuf::from("/home/ana/.local/lib/wireshark/plugins"));
        let root = Folders::parse(DEBIAN_12, "TShark (Wireshark) 4.6.9.", true).expect("folders");
        assert_eq!(root.version, "TShark (Wireshark) 4.6.9");
        assert_eq!(root.plugins, PathBuf::from("/usr/lib/x86_64-linux-gnu/wireshark/plugins"));
        assert!(root.for_all && !ana.for_all);
    }

    #[test]
    fn paths_may_have_spaces_and_colons() {
        let windows = "Personal configuration:\tC:\\Users\\Ana B\\AppData\\Roaming\\Wireshark\\\n\
                       Personal Lua Plugins:\tC:\\Users\\Ana B\\AppData\\Roaming\\Wireshark\\plugins\n";
        let folders = Folders::parse(windows, "", false).expect("folders");
        let plugins = "C:\\Users\\Ana B\\AppData\\Roaming\\Wireshark\\plugins";
        assert_eq!(folders.plugins, PathBuf::from(plugins));
    }

    #[test]
    fn what_tells_no_folders_is_no_wireshark() {
        assert_eq!(Folders::parse("a shark\n", "", false), None);
        assert_eq!(Folders::parse("Personal configuration:\t\n", "", false), None);
    }
}
