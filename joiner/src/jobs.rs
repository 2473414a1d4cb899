//! Several captures in one call: which they are, and where each of them goes.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::SchemaError;

use crate::config::Config;
use crate::destination::STANDARD_OUTPUT;
use crate::events::EventsError;
use crate::given::{Given, has_name_of_capture};
use crate::glob::expand;
use crate::run::RunError;
use crate::scan::ScanError;
use crate::source::Compression;

/// What captures end in, before their compression.
pub(crate) const SUFFIXES: [&str; 3] = ["pcapng", "pcap", "cap"];

/// The joins that `config` asks for: one for each capture that [was given](Given).
///
/// # Errors
///
/// [`RunError`], where several captures have no folder to go to, or two of them the same name.
pub fn jobs(mut config: Config) -> Result<Vec<Config>, RunError> {
    let Given { mut captures, events } =
        Given::sort(&config.sources.capture, &config.sources.events)?;
    config.sources.events = events;
    let to_folder = is_folder(&config.output);
    if let ([_], false) = (&captures[..], to_folder) {
        config.sources.capture = captures.remove(0);
        return Ok(vec![config]);
    }
    if !to_folder {
        let (captures, option) = (captures.len(), "-o");
        return Err(RunError::SeveralCaptures { captures, option, output: config.output });
    }
    for (option, more) in [("--report", &config.report), ("--packets", &config.packets)] {
        if let Some(output) = more.as_ref().filter(|more| !is_folder(more)) {
            let (captures, output) = (captures.len(), output.clone());
            return Err(RunError::SeveralCaptures { captures, option, output });
        }
    }
    let error = |source| RunError::Output { path: config.output.clone(), source };
    fs::create_dir_all(&config.output).map_err(error)?;
    if let Some(report) = &config.report {
        let error = |source| RunError::Report { path: report.clone(), source };
        fs::create_dir_all(report).map_err(error)?;
    }
    if let Some(packets) = &config.packets {
        let error = |source| RunError::Packets { path: packets.clone(), source };
        fs::create_dir_all(packets).map_err(error)?;
    }
    let mut taken = HashMap::new();
    captures
        .into_iter()
        .map(|capture| {
            let output = config.output.join(name_for(&capture, config.compression));
            let page = Path::new(&name_for(&capture, None)).with_extension("html");
            let report = config.report.as_ref().map(|folder| folder.join(&page));
            let rows = page.with_extension("parquet");
            let packets = config.packets.as_ref().map(|folder| folder.join(&rows));
            if let Some(other) = taken.insert(output.clone(), capture.clone()) {
                return Err(RunError::SameName { captures: [other, capture], output });
            }
            let mut job = Config { output, packets, report, ..config.clone() };
            job.sources.capture = capture;
            Ok(job)
        })
        .collect()
}

/// The event files that `given` stands for, patterns taken for all that fit.
///
/// # Errors
///
/// [`RunError::Events`], if nothing fits a pattern.
pub fn expand_events(given: &[PathBuf]) -> Result<Vec<PathBuf>, RunError> {
    let mut all = vec![];
    for path in given {
        let error = |source| EventsError { path: path.clone(), source: SchemaError::Io(source) };
        all.extend(expand(path).map_err(error)?);
    }
    Ok(all)
}

fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.to_str().is_some_and(|path| path.ends_with('/'))
}

/// The name of what becomes of `capture`.
fn name_for(capture: &Path, compression: Option<Compression>) -> String {
    let stem = |path: &Path| path.with_extension("");
    let mut plain = PathBuf::from(capture.file_name().unwrap_or_default());
    if capture == Path::new(STANDARD_OUTPUT) {
        plain = "stdin".into();
    }
    if Compression::of_name(&plain).is_some() {
        plain = stem(&plain);
    }
    if plain.extension().is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix == *known)) {
        plain = stem(&plain);
    }
    let suffix = compression.map(|compression| format!(".{}", compression.suffix()));
    format!("{}.pcapng{}", plain.display(), suffix.unwrap_or_default())
}

/// Adds the captures of a folder, by their names; where there is none, the folder itself to `events`, if
/// it has some.
pub(crate) fn folder_of_captures(
    folder: PathBuf,
    captures: &mut Vec<PathBuf>,
    events: &mut Vec<PathBuf>,
) -> Result<(), RunError> {
    let error = |source| RunError::Capture { path: folder.clone(), source: ScanError::Io(source) };
    let mut all = vec![];
    for entry in fs::read_dir(&folder).map_err(error)? {
        all.push(entry.map_err(error)?.path());
    }
    all.sort();
    let has_events =
        all.iter().any(|path| path.extension().is_some_and(|suffix| suffix == "parquet"));
    let before = captures.len();
    captures.extend(all.into_iter().filter(|path| has_name_of_capture(path)));
    if captures.len() > before {
        return Ok(());
    }
    if has_events {
        events.push(folder);
        return Ok(());
    }
    Err(error(io::Error::other("there is no capture in this folder")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_called_after_their_captures() {
        let name = |capture: &str, compression| name_for(Path::new(capture), compression);
        assert_eq!(name("a/b.pcap", None), "b.pcapng");
        assert_eq!(name("b.pcapng.zst", None), "b.pcapng");
        assert_eq!(name("b.000001.pcapng", Some(Compression::Gzip)), "b.000001.pcapng.gz");
        assert_eq!(name("odd.name", None), "odd.name.pcapng");
    }
}
