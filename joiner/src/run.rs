//! One join from beginning to end: event files, first pass, second pass, summary.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::attribute::Matcher;
use crate::chunk::ScanError;
use crate::config::Config;
use crate::destination::Destination;
use crate::events::{self, EventFiles, EventsError};
use crate::index::Index;
use crate::pipeline::{Pipeline, PipelineError};
use crate::summary::Summary;
use crate::syn::SynTable;

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
        "{}: writing {} would overwrite this {input}; give another name with -o",
        path.display(), output.display()
    )]
    WouldDestroy {
        /// What it is.
        input: &'static str,
        /// The input.
        path: PathBuf,
        /// The output.
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
    /// A pass failed.
    #[error(transparent)]
    Pipeline(PipelineError),
}

/// Runs the join that `config` describes.
///
/// # Errors
///
/// [`RunError`]; the output then does not exist under its final name. A capture that is damaged
/// part way is no error: [`Summary::damage`] tells.
pub fn join(config: &Config) -> Result<Summary, RunError> {
    let begin = Instant::now();
    let path = &config.capture;
    let capture_error = |source: ScanError| RunError::Capture { path: path.clone(), source };
    let open = || open_twice(path).map_err(|error| capture_error(error.into()));
    let pass_error = |error: PipelineError| match error {
        PipelineError::Scan(source) => capture_error(source),
        other => RunError::Pipeline(other),
    };
    let capture = open()?;
    let bytes_in = capture.metadata().map_err(|error| capture_error(error.into()))?.len();
    let events = EventFiles::find(&config.events)?;
    protect_inputs(config, &events)?;
    let output_error = |source: io::Error| RunError::Output { path: config.output.clone(), source };
    let destination = Destination::create(&config.output).map_err(output_error)?;

    let recordings = events::load(&events.paths)?;
    let infos = recordings.infos.clone();
    let index = Arc::new(Index::new(&recordings));
    let pipeline = Pipeline::new(config.threads).map_err(RunError::Pipeline)?;
    let bar = progress_bar(config, bytes_in);

    bar.set_message("looking for connections");
    let syns = pipeline.survey(capture, &index, |bytes| bar.inc(bytes)).map_err(pass_error)?;
    let syns = SynTable::from_unordered(syns);
    let matcher = Arc::new(Matcher::new(recordings, index, syns, config.windows));

    bar.set_message("naming packets");
    let mode = (config.detail, config.style);
    let totals = pipeline
        .enrich(open()?, destination.file(), &matcher, mode, |bytes| bar.inc(bytes))
        .map_err(pass_error)?;
    destination.finish().map_err(output_error)?;
    bar.finish_and_clear();
    Ok(Summary {
        capture: path.clone(),
        output: config.output.clone(),
        recordings: infos,
        unfinished: events.unfinished,
        counts: totals.counts,
        annotated: totals.annotated,
        cut_options: totals.cut_options,
        growth: totals.growth,
        bytes_in,
        bytes_out: totals.bytes_out,
        elapsed: begin.elapsed(),
        damage: totals.damage,
    })
}

/// Both passes read the capture from its beginning, which a pipe does not allow; without a writer
/// opening one would wait for ever.
fn open_twice(path: &Path) -> io::Result<File> {
    let found = fs::metadata(path)?;
    if found.is_file() {
        return File::open(path);
    }
    if found.is_dir() {
        return Err(io::Error::other(
            "it is a folder; give one of its captures, or put them together first: \
             mergecap -a -w all.pcapng FILES",
        ));
    }
    Err(io::Error::other("it is read twice, and this is no ordinary file; save it to one first"))
}

/// An output that takes the place of an input would end with neither.
fn protect_inputs(config: &Config, events: &EventFiles) -> Result<(), RunError> {
    let capture = ("capture", &config.capture);
    let inputs = events.paths.iter().map(|events| ("event file", events));
    for (input, path) in std::iter::once(capture).chain(inputs) {
        if Destination::would_destroy(&config.output, path) {
            let (path, output) = (path.clone(), config.output.clone());
            return Err(RunError::WouldDestroy { input, path, output });
        }
    }
    Ok(())
}

/// Shown on a terminal only; counts both passes.
fn progress_bar(config: &Config, bytes: u64) -> ProgressBar {
    if !config.progress {
        return ProgressBar::hidden();
    }
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(bytes * 2);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
