//! `ebpfjoin wireshark`: puts the plugin and the profile where the installed Wireshark looks, says
//! where, and takes away again what it put there. [`folders`] knows where that is, [`record`] what was
//! put there, [`install`] what may be done about it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub mod folders;
pub mod install;
pub mod record;

pub use self::folders::Folders;

/// Name of the profile: what is typed behind `wireshark -C`.
pub const PROFILE: &str = "ebpf";

/// The plugin's file name.
const PLUGIN: &str = "ebpf.lua";

/// The profile's files. Wireshark writes `recent` anew whenever it ends.
const PROFILE_FILES: [(&str, &str); 4] = [
    ("colorfilters", include_str!("../../wireshark/profile/colorfilters")),
    ("dfilter_buttons", include_str!("../../wireshark/profile/dfilter_buttons")),
    ("preferences", include_str!("../../wireshark/profile/preferences")),
    (install::REWRITTEN, include_str!("../../wireshark/profile/recent")),
];

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put everything in its place.
    Install,
    /// Take away what was put there.
    Uninstall,
    /// Say where it would be, or is.
    Where,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct WiresharkConfig {
    /// What to do.
    pub action: Action,
    /// The `tshark` or `wireshark` to do it for; the installed one if not given.
    pub program: Option<PathBuf>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WiresharkError {
    /// There is no Wireshark.
    #[error("no tshark or wireshark found; install Wireshark, or name its tshark with --program")]
    NotInstalled,
    /// The program does not start.
    #[error("cannot run {}: {source}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program does not tell its folders.
    #[error(
        "{} does not tell its folders (-G folders); is it a tshark or wireshark of 3.0 or later?",
        program.display()
    )]
    NoFolders {
        /// The program.
        program: PathBuf,
    },
    /// A file of somebody else's is where ours belongs.
    #[error(
        "{} is there and was not put there by ebpfjoin; move it away and run this again",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried: read, write, remove.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Standard output can't be written.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Does what was asked for, and prints what was done.
///
/// # Errors
///
/// [`WiresharkError`]; where a file of somebody else's is in the way, nothing was changed.
pub fn run(config: &WiresharkConfig, out: &mut impl Write) -> Result<(), WiresharkError> {
    let folders = Folders::ask(config.program.as_deref())?;
    writeln!(out, "{}", folders.version)?;
    match config.action {
        Action::Install => {
            for (path, fate) in install::install(&folders, &files(&folders))? {
                writeln!(out, "  {fate:<9} {}", path.display())?;
            }
            if folders.for_all {
                writeln!(
                    out,
                    "You are root: the plugin is for every user of this machine, the profile for root."
                )?;
            }
            writeln!(out, "Look at a capture with: wireshark -C {PROFILE} enriched.pcapng")?;
        }
        Action::Uninstall => {
            let gone = install::uninstall(&folders)?;
            if gone.is_empty() {
                writeln!(out, "  nothing of ebpfjoin's is installed")?;
            }
            for (path, fate) in gone {
                writeln!(out, "  {fate:<9} {}", path.display())?;
            }
        }
        Action::Where => {
            for (path, content) in files(&folders) {
                let state = install::state(&path, content)?;
                writeln!(out, "  {state:<9} {}", path.display())?;
            }
        }
    }
    Ok(())
}

/// Every file, where it belongs.
fn files(folders: &Folders) -> Vec<(PathBuf, &'static str)> {
    let profile = folders.configuration.join("profiles").join(PROFILE);
    let plugin = (folders.plugins.join(PLUGIN), include_str!("../../wireshark/ebpf.lua"));
    let of_profile = PROFILE_FILES.map(|(name, content)| (profile.join(name), content));
    [plugin].into_iter().chain(of_profile).collect()
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WiresharkError {
    let path = path.to_owned();
    move |source| WiresharkError::File { what, path, source }
}
