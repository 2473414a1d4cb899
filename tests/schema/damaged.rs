//! Files that are not what they should be get an error that says what to do, and never a panic.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use schema::SchemaError;
use schema::batch::{BatchBuilder, EventWriter};
use schema::meta::FileMeta;
use schema::rows::EventFile;
use schema::{Event, Kind};

fn file_with(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("temporary file");
    file.write_all(bytes).expect("write");
    file.rewind().expect("rewind");
    file
}

fn sample() -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for seq in 0..500 {
        builder.append(&Event { seq, kind: Kind::TcpConnect.as_str(), ..Event::default() });
    }
    let mut writer = EventWriter::new(Vec::new()).expect("writer");
    writer.write(&builder.finish()).expect("batch");
    writer.finish(&FileMeta::default()).expect("footer")
}

/// Rows that could be read before the end or the first error.
fn read_all(bytes: &[u8]) -> Result<usize, SchemaError> {
    let mut rows = 0;
    for batch in EventFile::open(file_with(bytes))?.batches(&[])? {
        let batch = batch?;
        let columns = batch.columns()?;
        rows += (0..batch.len()).filter(|&row| columns.event(row).kind == "tcp_connect").count();
    }
    Ok(rows)
}

fn foreign(columns: Vec<(&str, ArrayRef)>, version: Option<&str>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("batch");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("writer");
    writer.write(&batch).expect("batch");
    if let Some(version) = version {
        let key = "ebpfrec.schema_version".to_owned();
        writer.append_key_value_metadata(KeyValue::new(key, version.to_owned()));
    }
    writer.into_inner().expect("footer")
}

fn message(bytes: &[u8]) -> String {
    read_all(bytes).expect_err("damaged").to_string()
}

#[test]
fn the_sample_itself_is_whole() {
    assert_eq!(read_all(&sample()).expect("whole"), 500);
}

#[test]
fn text_and_nothing_are_not_parquet() {
    for bytes in [&b""[..], b"hello", b"PAR1", &[0; 4096]] {
        let message = message(bytes);
        assert!(
            message.starts_with("not a Parquet file, or cut off before its end ("),
            "{message}"
        );
        assert!(message.ends_with("give the file that `ebpfrec --events` wrote"), "{message}");
    }
}

#[test]
fn a_cut_file_is_an_error_wherever_it_is_cut() {
    let whole = sample();
    for length in (0..whole.len()).step_by(37) {
        assert!(read_all(&whole[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn parquet_of_something_else_is_refused_by_name() {
    let numbers: ArrayRef = Arc::new(UInt32Array::from(vec![1, 2]));
    let message = message(&foreign(vec![("a", numbers)], None));
    assert_eq!(
        message,
        "a Parquet file, but not one of ebpfrec (no `ebpfrec.schema_version` in its metadata); \
         give the file that `ebpfrec --events` wrote"
    );
}

#[test]
fn a_missing_or_retyped_column_is_named() {
    let numbers = || -> ArrayRef { Arc::new(UInt32Array::from(vec![1])) };
    let text = || -> ArrayRef { Arc::new(StringArray::from(vec!["x"])) };
    let message_of = |columns| message(&foreign(columns, Some("1.0")));
    assert_eq!(
        message_of(vec![("ts", numbers())]),
        "column `boot_ns` is missing; the file is damaged or was rewritten, use the original"
    );
    let columns = ["ts", "boot_ns", "host", "kind", "seq", "source"];
    let retyped = columns.into_iter().map(|name| (name, text())).collect();
    assert_eq!(
        message_of(retyped),
        "column `ts` has type Utf8, not Timestamp(ns, \"UTC\"); the file was rewritten, use the \
         original"
    );
}

#[test]
fn a_newer_major_version_is_refused_before_anything_is_read() {
    let numbers: ArrayRef = Arc::new(UInt32Array::from(vec![1]));
    let message = message(&foreign(vec![("whatever", numbers)], Some("2.3")));
    assert_eq!(
        message,
        "schema version 2.3 is newer than this program understands (1.x); update ebpfjoin"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_not_called_a_wrong_format() {
    let folder = File::open(std::env::temp_dir()).expect("a folder can be opened");
    let error = EventFile::open(folder).expect_err("not a file");
    assert!(error.to_string().contains("event file") || error.to_string().contains("Parquet"));
    let mut left = Vec::new();
    file_with(b"x").read_to_end(&mut left).expect("the helper rewinds");
    assert_eq!(left, b"x");
}
