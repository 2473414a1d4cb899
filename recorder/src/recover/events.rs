//! An event file: the row groups that are in the partial file, then the rows that only the journal
//! has, then a footer.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use schema::{
    Event, SchemaError,
    batch::{BatchBuilder, EventWriter},
    meta::FileMeta,
    rows::EventFile,
    segment::Chain,
};
use serde_json::{Map, Value};

use super::{RecoverError, Recovered, What, failed, refuse, remove, remove_empty};
use crate::{
    clock::rfc3339,
    journal::{self, Contents, JOURNAL},
    output::{PartialFile, create_beside, open_left},
};

/// Rows collected before they go into the row group.
const BATCH_ROWS: usize = 8192;

pub(super) fn recover(
    path: &Path,
    left: Option<PartialFile>,
) -> Result<(Recovered, Option<PathBuf>), RecoverError> {
    let journal = open_left(path, JOURNAL).map_err(|error| refuse(path, error))?;
    if path.exists() {
        let finished = left.is_none().then(|| journal.as_ref().map(|it| is_of(it, path)));
        if finished.flatten() != Some(true) {
            return Err(RecoverError::Exists { path: path.to_owned() });
        }
        // Killed between the last two steps.
        remove(path, JOURNAL)?;
        let file = File::open(path).map_err(|error| failed(path, error))?;
        return Ok((describe(path, file)?, None));
    }
    // The journal alone is enough to go by.
    let left = match left {
        Some(left) => left,
        None => {
            create_beside(path, crate::output::PARTIAL).map_err(|error| refuse(path, error))?;
            let left = PartialFile::left(path).map_err(|error| refuse(path, error))?;
            left.ok_or_else(|| failed(path, std::io::ErrorKind::NotFound.into()))?
        }
    };
    let chain = guard(|| Chain::find(&mut left.contents()));
    let chain = chain.map_err(|error| explain(path, error))?;
    if chain.is_finished() {
        left.finish_new().map_err(|error| refuse(path, error))?;
        remove(path, JOURNAL)?;
        let file = File::open(path).map_err(|error| failed(path, error))?;
        return Ok((describe(path, file)?, None));
    }
    let Some(known) = read_journal(path, journal.as_ref(), &chain)? else {
        return Ok((remove_empty(path)?, None));
    };
    let packets = known.packets.clone();
    let recovered = write(path, left, chain, journal.as_ref(), known)?;
    remove(path, JOURNAL)?;
    Ok((recovered, packets))
}

/// What is known of the recording beside its rows.
struct Known {
    meta: FileMeta,
    packets: Option<PathBuf>,
    lost: Map<String, Value>,
}

/// `None` if the recording had not begun.
fn read_journal(
    path: &Path,
    journal: Option<&File>,
    chain: &Chain,
) -> Result<Option<Known>, RecoverError> {
    let contents = match journal {
        Some(journal) => guard(|| journal::read(journal, |_| {})),
        None => Ok(Contents::default()),
    };
    let contents = contents.map_err(|error| explain(path, error))?;
    let in_segments = chain.meta().map(|meta| parse(&meta.lost)).unwrap_or_default();
    let Some(meta) = chain.meta().cloned().or(contents.meta) else { return Ok(None) };
    let mut lost = in_segments;
    for (stage, count) in contents.lost {
        let before = lost.get(&stage).and_then(Value::as_u64).unwrap_or(0);
        lost.insert(stage, count.max(before).into());
    }
    Ok(Some(Known { meta, packets: contents.packets, lost }))
}

fn parse(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap_or_default()
}

fn write(
    path: &Path,
    mut left: PartialFile,
    chain: Chain,
    journal: Option<&File>,
    known: Known,
) -> Result<Recovered, RecoverError> {
    let (end, damaged, last_seq) = (chain.end(), chain.unreadable(), chain.last_seq());
    left.cut(end).map_err(|error| failed(path, error))?;
    let mut last_ns = chain.last_ts();
    let mut writer = EventWriter::resume(left, chain);
    let mut builder = BatchBuilder::default();
    let mut outcome = Ok(());
    let mut take = |event: &Event<'_>| {
        // A row group may have taken it just before the end.
        if outcome.is_err() || last_seq.is_some_and(|last| event.seq <= last) {
            return;
        }
        last_ns = last_ns.max(Some(event.ts));
        builder.append(event);
        if builder.len() >= BATCH_ROWS {
            outcome = writer.write(&builder.finish()).map(|_| ());
        }
    };
    if let Some(journal) = journal {
        let read = journal::read(journal, &mut take);
        read.map_err(|error| explain(path, error))?;
    }
    outcome.map_err(|error| explain(path, error))?;
    writer.write(&builder.finish()).map_err(|error| explain(path, error))?;
    let meta = FileMeta {
        end: last_ns.map(rfc3339).unwrap_or_default(),
        lost: Value::Object(known.lost.clone()).to_string(),
        complete: false,
        ..known.meta
    };
    let rows = writer.rows();
    let file = writer.finish(&meta).map_err(|error| explain(path, error))?;
    let bytes = file.finish_new().map_err(|error| refuse(path, error))?;
    let what = What::Events { rows, end: meta.end, lost: known.lost, damaged };
    Ok(Recovered { path: path.to_owned(), bytes, complete: false, what })
}

/// Of a file that is whole.
fn describe(path: &Path, file: File) -> Result<Recovered, RecoverError> {
    let bytes = file.metadata().map_err(|error| failed(path, error))?.len();
    let file = guard(|| EventFile::open(file)).map_err(|error| explain(path, error))?;
    let meta = file.meta();
    let (end, lost) = (meta.end.clone(), parse(&meta.lost));
    let what = What::Events { rows: file.rows(), end, lost, damaged: 0 };
    Ok(Recovered { path: path.to_owned(), bytes, complete: meta.complete, what })
}

/// Whether `journal` is that of the finished file `path`.
fn is_of(journal: &File, path: &Path) -> bool {
    let of_journal = journal::read(journal, |_| {}).ok().and_then(|contents| contents.meta);
    let file = File::open(path).map_err(SchemaError::from);
    let of_file = guard(|| Ok(EventFile::open(file?)?.meta().clone())).ok();
    of_journal.zip(of_file).is_some_and(|(journal, file)| {
        !journal.recording.is_empty()
            && (journal.recording, journal.part) == (file.recording, file.part)
    })
}

/// Runs `read` and turns a panic into an error: the Parquet library checks most of what a damaged
/// file can claim, not all.
fn guard<T>(read: impl FnOnce() -> Result<T, SchemaError>) -> Result<T, SchemaError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(SchemaError::Damaged("the Parquet reader gave up on its contents".to_owned()))
    })
}

fn explain(path: &Path, error: SchemaError) -> RecoverError {
    let own = || path.to_owned();
    match error {
        SchemaError::Io(source) => failed(path, source),
        source @ (SchemaError::NewerVersion { .. } | SchemaError::BadVersion { .. }) => {
            RecoverError::Version { path: own(), source }
        }
        SchemaError::Foreign { .. } => RecoverError::Foreign { path: own() },
        other => RecoverError::Failed { path: own(), source: other.into() },
    }
}
