//! One join from beginning to end: event files, first pass, second pass, summary.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::config::{Config, Detail};
use crate::destination::{Destination, STANDARD_OUTPUT};
use crate::events::{EventFiles, EventsError};
use crate::extra::edits::{Extras, Unfit};
use crate::lengths::Lengths;
use crate::nat_table::NatTableError;
use crate::packets::PacketTable;
use crate::pipeline::{Mode, Pipeline, PipelineError};
use crate::prepare::Prepared;
use crate::report;
use crate::report::collect::Collector;
use crate::report::groups::Groups;
use crate::report::scale::Width;
use crate::scan::{Damage, ScanError};
use crate::source::Source;
use crate::source::compression::Writer;
use crate::summary::Summary;

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An event file can't be used.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// The capture can't be opened or is none.
    #[error("{}: {source}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ScanError,
    },
    /// An input would be overwritten.
    #[error(
        "{}: writing {} would overwrite this {input}; give another name with {option}",
        path.display(), output.display()
    )]
    WouldDestroy {
        /// What it is.
        input: &'static str,
        /// The option that names the output.
        option: &'static str,
        /// The input.
        path: PathBuf,
        /// The output.
        output: PathBuf,
    },
    /// A file that is of no use.
    #[error(
        "{}: neither a capture nor an event file; give a capture of tcpdump, dumpcap or Wireshark, and \
         what `ebpfrec --events` wrote", path.display()
    )]
    Neither {
        /// The file.
        path: PathBuf,
    },
    /// There are event files alone.
    #[error(
        "no capture is given, only event files; give one of tcpdump, dumpcap or Wireshark, too"
    )]
    NoCapture,
    /// There are captures alone.
    #[error("no event file is given, only captures; give what `ebpfrec --events` wrote, too")]
    NoEvents,
    /// A packet can't be of several captures.
    #[error("{captures} captures are given; give the one that has the packet")]
    OnePacket {
        /// How many there are.
        captures: usize,
    },
    /// Several captures can't become one.
    #[error("{}", several(*captures, option, output))]
    SeveralCaptures {
        /// How many there are.
        captures: usize,
        /// The option that names the output.
        option: &'static str,
        /// What was given.
        output: PathBuf,
    },
    /// Two captures have one name.
    #[error(
        "{} and {} would both become {}; join one of them by itself",
        captures[0].display(), captures[1].display(), output.display()
    )]
    SameName {
        /// The captures.
        captures: [PathBuf; 2],
        /// What they would become.
        output: PathBuf,
    },
    /// The output can't be created or renamed.
    #[error("cannot write {}: {source}; choose another place with -o", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The table of packets can't be created, written or renamed.
    #[error("cannot write {}: {source}; choose another place with --packets", path.display())]
    Packets {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The report can't be created, written or renamed.
    #[error("cannot write {}: {source}; choose another place with --report", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The user's table can't be used.
    #[error(transparent)]
    NatTable(#[from] NatTableError),
    /// The host that is said to have captured has no recording.
    #[error("no recording is of host {name}; --capture-host takes one of: {}", known.join(", "))]
    UnknownHost {
        /// What was given.
        name: String,
        /// The hosts that have one.
        known: Vec<String>,
    },
    /// What `--native` asks for can't be written.
    #[error("{}: {why}", path.display())]
    Native {
        /// The capture.
        path: PathBuf,
        /// Why not.
        why: Unfit,
    },
    /// The capture has no such packet.
    #[error("there are only {packets} packets in {}{}", path.display(), until(damage.as_ref()))]
    NoFrame {
        /// The capture.
        path: PathBuf,
        /// How many it has.
        packets: u64,
        /// Where it could not be read further.
        damage: Option<Damage>,
    },
    /// What is to be printed can't be.
    #[error("cannot print: {0}")]
    Print(#[source] io::Error),
    /// A pass failed.
    #[error(transparent)]
    Pipeline(PipelineError),
}

/// Runs the join that `config` describes.
///
/// # Errors
///
/// [`RunError`]; the output then does not exist under its final name, unless only the report could
/// not be written. A capture that is damaged part way is no error: [`Summary::damage`] tells.
pub fn join(config: &Config) -> Result<Summary, RunError> {
    let begin = Instant::now();
    let sources = &config.sources;
    let events = EventFiles::find(&sources.events)?;
    protect_inputs(config, &events)?;
    let output_error = |source: io::Error| RunError::Output { path: config.output.clone(), source };
    let destination = Destination::create(&config.output).map_err(output_error)?;
    let capture = sources.open(destination.folder())?;
    let page = config.report.as_deref().map(Destination::create).transpose();
    let page = page.map_err(|source| report_error(config, source))?;
    let rows = config.packets.as_deref().map(Destination::create).transpose();
    let rows = rows.map_err(|source| packets_error(config, source))?;
    let table = rows.as_ref().map(|rows| PacketTable::new(rows.file().try_clone()?)).transpose();
    let mut table = table.map_err(|source| packets_error(config, source))?;
    let pipeline = Pipeline::new(config.threads);
    let bar = progress_bar(config, &capture);

    bar.set_message("looking for connections");
    let prepared = sources.prepare(&capture, &events, &pipeline, |bytes| bar.inc(bytes))?;
    let Prepared { examiner, layout, clocks, captured_on, outline, span } = prepared;
    let place = (captured_on, span);
    let extras = Extras::new(config.style, &outline, examiner.matcher.recordings(), place)
        .map_err(|why| RunError::Native { path: sources.capture.clone(), why })?;

    bar.set_message("naming packets");
    let (first_ns, last_ns) = span.unwrap_or_default();
    let collector = page.is_some().then(|| {
        let groups = Groups::new(examiner.matcher.recordings());
        Collector { width: Width::covering(first_ns, last_ns), groups }
    });
    let mode = Mode {
        detail: config.detail,
        style: config.style,
        extras: &extras,
        report: collector.as_ref(),
        lengths: match config.compression {
            None if destination.is_kept() => Lengths::Corrected(destination.file()),
            _ if config.detail != Detail::None || outline.has_options || extras.changes() => {
                Lengths::Dropped
            }
            _ => Lengths::Kept,
        },
    };
    let mut output = Writer::new(destination.file(), config.compression).map_err(output_error)?;
    let capture = (&capture, &layout);
    let totals = pipeline
        .enrich(capture, &mut output, &examiner, mode, table.as_mut(), |bytes| bar.inc(bytes))
        .map_err(|error| sources.pass_error(error))?;
    output.finish().map_err(PipelineError::Write).map_err(RunError::Pipeline)?;
    if let Some(table) = table {
        table.finish().map_err(|source| packets_error(config, source))?;
    }
    destination.finish().map_err(output_error)?;
    if let Some(rows) = rows {
        rows.finish().map_err(|source| packets_error(config, source))?;
    }
    bar.finish_and_clear();
    let recordings = examiner.matcher.recordings();
    let clocks = clocks.into_iter().map(|clock| (recordings.host(clock.host).name.clone(), clock));
    let summary = Summary {
        capture: sources.capture.clone(),
        output: config.output.clone(),
        recordings: recordings.infos.clone(),
        unfinished: events.unfinished.clone(),
        twice: events.twice.clone(),
        clocks: clocks.collect(),
        captured_on: captured_on.map(|host| recordings.host(host).name.clone()),
        counts: totals.counts,
        annotated: totals.annotated,
        cut_options: totals.cut_options,
        growth: totals.growth,
        bytes_in: totals.bytes_in,
        bytes_out: totals.bytes_out,
        elapsed: begin.elapsed(),
        damage: totals.damage,
    };
    if let (Some(page), Some(collector), Some(traffic)) = (page, collector, totals.traffic) {
        let found = (&traffic, &collector.groups);
        report::write(page, &summary, recordings, found, &events.paths)
            .map_err(|source| report_error(config, source))?;
    }
    Ok(summary)
}

/// What there may be more of.
fn until(damage: Option<&Damage>) -> String {
    damage.map_or_else(String::new, |Damage { offset, what, .. }| {
        format!(" before it is damaged at byte {offset}: {what}; what follows can't be read")
    })
}

fn several(captures: usize, option: &str, output: &Path) -> String {
    if output == Path::new(STANDARD_OUTPUT) {
        return format!(
            "{captures} captures can't be written to standard output: give a folder with {option} DIR/"
        );
    }
    let folder = output.display();
    format!(
        "{captures} captures can't be written to one file: give a folder with {option} {folder}/"
    )
}

fn packets_error(config: &Config, source: io::Error) -> RunError {
    RunError::Packets { path: config.packets.clone().unwrap_or_default(), source }
}

fn report_error(config: &Config, source: io::Error) -> RunError {
    RunError::Report { path: config.report.clone().unwrap_or_default(), source }
}

/// An output that takes the place of an input would end with neither.
fn protect_inputs(config: &Config, events: &EventFiles) -> Result<(), RunError> {
    let capture = ("capture", &config.sources.capture);
    let table = config.sources.nat.as_ref().map(|table| ("table", table));
    let inputs = events.paths.iter().map(|events| ("event file", events));
    for (input, path) in std::iter::once(capture).chain(inputs).chain(table) {
        let outputs = [
            ("-o", Some(&config.output)),
            ("--report", config.report.as_ref()),
            ("--packets", config.packets.as_ref()),
        ];
        for (option, output) in outputs {
            let Some(output) = output else { continue };
            if Destination::would_destroy(output, path) {
                let (path, output) = (path.clone(), output.clone());
                return Err(RunError::WouldDestroy { input, option, path, output });
            }
        }
    }
    let more = [("--report", &config.report), ("--packets", &config.packets)];
    let is_device = |path: &Path| fs::metadata(path).is_ok_and(|found| !found.is_file());
    let mut taken = vec![&config.output];
    for (option, output) in more {
        let Some(output) = output.as_ref().filter(|output| !is_device(output)) else { continue };
        let place = Destination::place(output);
        if let Some(path) = taken.iter().find(|path| Destination::place(path) == place) {
            let (path, output) = ((*path).clone(), output.clone());
            return Err(RunError::WouldDestroy { input: "output", option, path, output });
        }
        taken.push(output);
    }
    Ok(())
}

/// Shown on a terminal only; counts both passes.
fn progress_bar(config: &Config, capture: &Source) -> ProgressBar {
    if !config.progress {
        return ProgressBar::hidden();
    }
    let known = capture.stored_length().filter(|_| !capture.is_compressed());
    let (template, bar) = match known {
        Some(bytes) => (
            "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            ProgressBar::new(bytes * 2),
        ),
        // How much there will be nobody knows.
        None => ("{spinner} {msg} {bytes} {bytes_per_sec}", ProgressBar::new_spinner()),
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
