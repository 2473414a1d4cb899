//! Whole programs, each of which reads a capture and writes it, and what running one takes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::inputs::Inputs;

/// GNU time: it waits for one child and tells what the kernel counted of it. No safe function of
/// ours does.
const TIME: &str = "/usr/bin/time";

/// A program and its arguments.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// Program and arguments; `{capture}`, `{events}` and `{out}` stand for files.
    words: &'static [&'static str],
}

/// Its name stands for the program under test.
const JOIN: &str = "ebpfjoin";

/// The first one is what the others are compared with.
pub(crate) const TOOLS: &[Tool] = &[
    Tool {
        name: "ebpfjoin --threads 2",
        words: &[JOIN, "{capture}", "{events}", "-q", "--threads", "2", "-o", "/dev/null"],
    },
    Tool {
        name: "ebpfjoin --threads 1",
        words: &[JOIN, "{capture}", "{events}", "-q", "--threads", "1", "-o", "/dev/null"],
    },
    Tool { name: "cat", words: &["cat", "{capture}"] },
    Tool { name: "editcap", words: &["editcap", "{capture}", "/dev/null"] },
    Tool { name: "tcpdump -r -w", words: &["tcpdump", "-r", "{capture}", "-w", "/dev/null"] },
    Tool {
        name: "ebpfjoin, to a file",
        words: &[JOIN, "{capture}", "{events}", "-q", "--threads", "2", "-o", "{out}"],
    },
    Tool { name: "editcap, to a file", words: &["editcap", "{capture}", "{out}"] },
];

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    /// Seconds of processors, its own and the kernel's for it.
    pub(crate) cpu: f64,
    /// Most resident memory, bytes.
    pub(crate) peak: f64,
}

impl Tool {
    /// Runs it.
    pub(crate) fn run(&self, inputs: &Inputs) -> Result<Usage> {
        let out = inputs.scratch("out.pcapng");
        // To write over a file takes longer than to write a new one.
        if out.exists() {
            std::fs::remove_file(&out)?;
        }
        let (capture, events) = (inputs.capture(), inputs.events());
        let words = self.words.iter().map(|&word| match word {
            "{capture}" => capture.as_os_str(),
            "{events}" => events.as_os_str(),
            "{out}" => out.as_os_str(),
            JOIN => env!("CARGO_BIN_EXE_ebpfjoin").as_ref(),
            word => word.as_ref(),
        });
        measure(words, &inputs.scratch("usage"))
    }
}

/// Runs a command; its output goes to /dev/null.
pub(crate) fn measure(
    words: impl Iterator<Item = impl AsRef<std::ffi::OsStr>>,
    file: &Path,
) -> Result<Usage> {
    let mut command = Command::new(TIME);
    command.args(["-f", "%U %S %M", "-o"]).arg(file).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begin = Instant::now();
    let output = command.output().with_context(|| format!("{TIME}: apt-get install time"))?;
    let seconds = begin.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {} {said}", output.status);
    let text = std::fs::read_to_string(file)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [user, system, peak] = numbers[..] else {
        anyhow::bail!("{TIME} said `{text}`; install GNU time");
    };
    Ok(Usage { seconds, cpu: user + system, peak: peak * 1024.0 })
}

/// A run of `ebpfjoin` that is not measured.
pub(crate) fn join(inputs: &Inputs, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"));
    command.arg(inputs.capture()).arg(inputs.events()).args(args);
    command.stdin(Stdio::null());
    command
}
