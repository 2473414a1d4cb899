//! Several captures in one call: which they are, and where each of them goes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use schema::SchemaError;

use crate::config::Config;
use crate::destination::STANDARD_OUTPUT;
use crate::events::EventsError;
use crate::glob::expand;
use crate::run::RunError;
use crate::source::Compression;

/// What event files begin with (Parquet).
const EVENTS: &[u8] = b"PAR1";
/// What captures end in, before their compression.
const SUFFIXES: [&str; 3] = ["pcapng", "pcap", "cap"];

/// The joins that `config` asks for: one for each capture. Of what stands behind the first capture,
/// files that are no event files are captures, too; a folder in its place stands for every capture
/// in it, and a [pattern](crate::glob) for every file that fits.
///
/// # Errors
///
/// [`RunError`], where several captures have no folder to go to, or two of them the same name.
pub fn jobs(mut config: Config) -> Result<Vec<Config>, RunError> {
    let mut captures = vec![];
    let first = std::mem::take(&mut config.sources.capture);
    for path in expand(&first).map_err(|source| capture_error(&first, source))? {
        if !path.is_dir() {
            captures.push(path);
            continue;
        }
        let found = captures_in(&path).map_err(|source| capture_error(&path, source))?;
        if found.is_empty() {
            let source = io::Error::other("there is no capture in this folder");
            return Err(capture_error(&path, source));
        }
        captures.extend(found);
    }
    let (more, events) = expand_events(&config.sources.events)?
        .into_iter()
        .partition(|path| path.is_file() && !is_events(path));
    captures.extend::<Vec<PathBuf>>(more);
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

fn capture_error(path: &Path, source: io::Error) -> RunError {
    RunError::Capture { path: path.to_owned(), source: source.into() }
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

fn is_events(path: &Path) -> bool {
    let mut magic = vec![];
    // What can't be opened is said where it is read.
    let file = File::open(path);
    let read = file.and_then(|file| file.take(EVENTS.len() as u64).read_to_end(&mut magic));
    read.is_err() || magic == EVENTS || path.extension().is_some_and(|suffix| suffix == "parquet")
}

/// Files of a folder that are captures by their names.
fn captures_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let plain = match Compression::of_name(&path) {
            Some(_) => path.with_extension(""),
            None => path.clone(),
        };
        let suffix = plain.extension();
        if suffix.is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix == *known)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
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
