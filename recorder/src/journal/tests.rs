use schema::batch::BatchBuilder;

use super::*;

fn batch(seqs: std::ops::Range<u64>) -> EventBatch {
    let mut builder = BatchBuilder::default();
    for seq in seqs {
        builder.append(&Event { seq, host: "h", kind: "clock", ..Event::default() });
    }
    builder.finish().into()
}

fn begin(path: &Path) -> Journal {
    let mut journal = Journal::create(path).expect("created");
    let meta = FileMeta { host: "h".into(), ..FileMeta::default() };
    journal.begin(&meta, Some(Path::new("/t.pcapng"))).expect("header");
    journal
}

/// `seq` of every row, and the rest.
fn read_all(path: &Path) -> (Vec<u64>, Contents) {
    let file = File::open(beside(path, JOURNAL)).expect("journal");
    let mut seqs = vec![];
    let contents = read(&file, |event| seqs.push(event.seq)).expect("readable");
    (seqs, contents)
}

#[test]
fn what_was_appended_is_there() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("ev.parquet");
    let mut journal = begin(&path);
    let mut lost = [0; STAGES];
    assert_eq!(journal.append(&batch(0..3), lost).expect("appended"), Room::Enough);
    lost[LossStage::Channel as usize] = 300;
    journal.append(&batch(3..5), lost).expect("appended");
    let (seqs, contents) = read_all(&path);
    assert_eq!(seqs, [0, 1, 2, 3, 4]);
    assert_eq!(contents.meta.expect("header").host, "h");
    assert_eq!(contents.packets.as_deref(), Some(Path::new("/t.pcapng")));
    assert!(contents.lost.contains(&("channel".to_owned(), 300)));
    journal.remove().expect("removed");
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
}

#[test]
fn rows_of_before_a_restart_don_t_come_back() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("ev.parquet");
    let mut journal = begin(&path);
    for first in [0, 10, 20, 30] {
        journal.append(&batch(first..first + 10), [0; STAGES]).expect("appended");
    }
    let grown = fs::metadata(beside(&path, JOURNAL)).expect("journal").len();
    journal.restart();
    // Until they are written over, the old rows are there: they may not be in a row group yet.
    assert_eq!(read_all(&path).0.len(), 40);
    // As long as the frame it takes the place of.
    journal.append(&batch(40..50), [0; STAGES]).expect("appended");
    assert_eq!(read_all(&path).0, Vec::from_iter(40..50));
    assert_eq!(fs::metadata(beside(&path, JOURNAL)).expect("journal").len(), grown);
}

#[test]
fn cut_anywhere_or_damaged_it_gives_what_is_whole() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("ev.parquet");
    let mut journal = begin(&path);
    let mut ends = vec![];
    for first in [0, 10] {
        journal.append(&batch(first..first + 10), [0; STAGES]).expect("appended");
        ends.push(usize::try_from(journal.bytes()).expect("small"));
    }
    drop(journal);
    let name = beside(&path, JOURNAL);
    let bytes = fs::read(&name).expect("journal");
    for length in (0..=bytes.len()).step_by(3) {
        fs::write(&name, &bytes[..length]).expect("cut");
        let whole = ends.iter().filter(|&&end| end <= length).count();
        assert_eq!(read_all(&path).0.len(), 10 * whole, "cut at {length}");
    }
    for position in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x40;
        fs::write(&name, &damaged).expect("damaged");
        let whole = ends.iter().filter(|&&end| end <= position).count();
        assert_eq!(read_all(&path).0.len(), 10 * whole, "damaged at {position}");
    }
}

#[test]
fn a_journal_of_a_newer_recorder_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("ev.parquet");
    drop(begin(&path));
    let name = beside(&path, JOURNAL);
    let mut bytes = fs::read(&name).expect("journal");
    let version = b"\"ebpfrec.schema_version\",\"";
    let at = bytes.windows(version.len()).position(|window| window == version).expect("version");
    bytes[at + version.len()] = b'9';
    let checksum = crc32fast::hash(&bytes[8..]).to_le_bytes();
    bytes[4..8].copy_from_slice(&checksum);
    fs::write(&name, bytes).expect("written");
    let error = read(&File::open(&name).expect("journal"), |_| {}).expect_err("newer");
    assert!(matches!(error, SchemaError::NewerVersion { .. }), "{error}");
}

#[test]
fn a_recording_that_never_began_leaves_no_journal() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("ev.parquet");
    drop(Journal::create(&path).expect("created"));
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
    drop(begin(&path));
    let error = Journal::create(&path).expect_err("left").to_string();
    assert!(error.contains("ebpfrec recover"), "{error}");
}
