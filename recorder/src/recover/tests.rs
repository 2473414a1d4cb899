use std::{fs, fs::File};

use schema::{
    Event,
    batch::{BatchBuilder, EventWriter},
    meta::FileMeta,
    rows::EventBatch,
};

use super::*;
use crate::{journal::Journal, loss::STAGES};

fn batch(seqs: std::ops::Range<u64>) -> EventBatch {
    let mut builder = BatchBuilder::default();
    for seq in seqs {
        let ts = seq.cast_signed() + 1_700_000_000_000_000_000;
        builder.append(&Event { ts, seq, host: "h", kind: "clock", ..Event::default() });
    }
    builder.finish().into()
}

fn meta() -> FileMeta {
    FileMeta { host: "h".into(), recording: "r".into(), ..FileMeta::default() }
}

/// Row groups with 0..10 and 10..20 in the partial file, 10..25 in the journal: as after a kill
/// between the row group and the journal's new beginning.
fn leave(path: &Path) {
    let mut left = PartialFile::create(path).expect("created");
    let mut writer = EventWriter::new(&mut left).expect("writer");
    writer.set_meta(meta());
    for seqs in [0..10, 10..20] {
        writer.write(batch(seqs).record_batch()).expect("rows");
        writer.cut().expect("row group");
    }
    drop(writer);
    let mut journal = Journal::create(path).expect("created");
    journal.begin(&meta(), None).expect("header");
    let mut lost = [0; STAGES];
    journal.append(&batch(10..20), lost).expect("rows");
    lost[0] = 7;
    journal.append(&batch(20..25), lost).expect("rows");
}

fn seqs(path: &Path) -> Vec<u64> {
    let file = schema::rows::EventFile::open(File::open(path).expect("file")).expect("Parquet");
    let mut seqs = vec![];
    for batch in file.batches(&["seq"]).expect("batches") {
        let batch = batch.expect("rows");
        let columns = batch.columns().expect("columns");
        seqs.extend((0..batch.len()).filter_map(|row| columns.seq.get(row)));
    }
    seqs
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("ev.parquet");
    (folder, path)
}

fn count_files(folder: &tempfile::TempDir) -> usize {
    fs::read_dir(folder.path()).expect("folder").count()
}

#[test]
fn a_row_that_is_in_both_files_comes_once() {
    let (folder, path) = folder();
    leave(&path);
    let (recovered, _) = recover(&path).expect("recovered");
    assert_eq!(seqs(&path), Vec::from_iter(0..25));
    assert_eq!(
        recovered.line(),
        format!(
            "{}  25 rows, {}, cut off at 2023-11-14T22:13:20.000000024Z, lost 7 ring\n",
            path.display(),
            format_bytes(recovered.bytes)
        )
    );
    assert_eq!(count_files(&folder), 1);
}

#[test]
fn either_file_alone_gives_what_it_has() {
    let (_folder, path) = folder();
    leave(&path);
    fs::remove_file(beside(&path, JOURNAL)).expect("removed");
    recover(&path).expect("recovered");
    assert_eq!(seqs(&path), Vec::from_iter(0..20));
    let (_folder, path) = folder();
    leave(&path);
    fs::remove_file(beside(&path, PARTIAL)).expect("removed");
    recover(&path).expect("recovered");
    assert_eq!(seqs(&path), Vec::from_iter(10..25));
}

#[test]
fn cut_anywhere_the_rest_is_recovered() {
    let (source, path) = folder();
    leave(&path);
    for ending in [PARTIAL, JOURNAL] {
        let whole = fs::read(beside(&path, ending)).expect("left");
        for length in (0..whole.len()).step_by(whole.len() / 40) {
            let (_folder, copy) = folder();
            for ending in [PARTIAL, JOURNAL] {
                fs::copy(beside(&path, ending), beside(&copy, ending)).expect("copied");
            }
            fs::write(beside(&copy, ending), &whole[..length]).expect("cut");
            recover(&copy).expect("recovered");
            let seqs = seqs(&copy);
            // What the cut took off the partial file is lost; the order never is.
            assert!(seqs.is_sorted() && seqs.len() >= 15, "{ending} cut at {length}: {seqs:?}");
        }
    }
    drop(source);
}

#[test]
fn a_finished_file_only_gets_its_name() {
    let (folder, path) = folder();
    let left = PartialFile::create(&path).expect("created");
    let mut writer = EventWriter::new(left).expect("writer");
    writer.write(batch(0..3).record_batch()).expect("rows");
    let whole = FileMeta { end: "e".into(), complete: true, ..meta() };
    drop(writer.finish(&whole).expect("finished"));
    let mut journal = Journal::create(&path).expect("created");
    journal.begin(&meta(), None).expect("header");
    let again = fs::read(beside(&path, JOURNAL)).expect("journal");
    drop(journal);
    let (recovered, _) = recover(&path).expect("recovered");
    assert!(recovered.complete && seqs(&path) == [0, 1, 2]);
    assert_eq!(count_files(&folder), 1);
    // Killed one step later: the name is there, and so is the journal.
    fs::write(beside(&path, JOURNAL), again).expect("journal");
    let (recovered, _) = recover(&path).expect("recovered");
    assert!(recovered.complete && seqs(&path) == [0, 1, 2]);
    assert_eq!(count_files(&folder), 1);
}

#[test]
fn what_had_not_begun_is_taken_away() {
    let (folder, path) = folder();
    fs::write(beside(&path, PARTIAL), "").expect("written");
    fs::write(beside(&path, JOURNAL), "").expect("written");
    let (recovered, _) = recover(&path).expect("looked at");
    assert!(matches!(recovered.what, What::Nothing));
    assert_eq!(count_files(&folder), 0);
}
