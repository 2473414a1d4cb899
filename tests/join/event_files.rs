//! Event files that others wrote, rewrote or damaged: what can't be used says what it is, word for word.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schema::batch::BatchBuilder;

use crate::errors::{JOIN, error, ready};
use crate::scene::{meta, rows, write_events};
use crate::tools::ebpfjoin;

/// A Parquet file with one column of numbers.
fn write_table(path: &Path, version: Option<&str>) {
    let numbers: ArrayRef = Arc::new(UInt32Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("ts", numbers)]).expect("batch");
    let file = File::create(path).expect("created");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("writer");
    writer.write(&batch).expect("rows");
    if let Some(version) = version {
        let key = "ebpfrec.schema_version".to_owned();
        writer.append_key_value_metadata(KeyValue::new(key, version.to_owned()));
    }
    writer.close().expect("footer");
}

/// The scene's events without one of the columns, as other programs write Parquet.
fn write_without(path: &Path, column: &str) {
    write_foreign(path, Some(column), Compression::UNCOMPRESSED);
}

fn write_foreign(path: &Path, without: Option<&str>, compression: Compression) {
    let mut builder = BatchBuilder::default();
    rows().iter().for_each(|row| builder.append(row));
    let mut batch = builder.finish();
    if let Some(column) = without {
        let at = batch.schema().index_of(column).expect("a column");
        batch.remove_column(at);
    }
    let file = File::create(path).expect("created");
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("writer");
    writer.write(&batch).expect("rows");
    meta().to_key_values().into_iter().for_each(|pair| writer.append_key_value_metadata(pair));
    writer.close().expect("footer");
}

#[test]
fn event_files_that_are_none_are_told_for_what_they_are() {
    let folder = ready();
    let events = folder.path().join("ev.parquet");
    for (version, said) in [
        (
            None,
            "a Parquet file, but not one of ebpfrec (no `ebpfrec.schema_version` in its \
             metadata); give the file that `ebpfrec --events` wrote",
        ),
        (Some("one"), "schema version `one` is not MAJOR.MINOR; the file is damaged, record again"),
        (
            Some("2.0"),
            "schema version 2.0 is newer than this program understands (1.x); update ebpfjoin",
        ),
        (
            Some("1.0"),
            "column `boot_ns` is missing; the file is damaged or was rewritten, use the original",
        ),
    ] {
        write_table(&events, version);
        assert_eq!(error(&folder, &[]), format!("ebpfjoin: ev.parquet: {said}"));
    }
    // Without these nothing can be named, and nobody would be told to have had a socket.
    for column in
        ["proto", "local_addr", "local_port", "remote_addr", "remote_port", "socket_cookie", "pid"]
    {
        write_without(&events, column);
        assert_eq!(
            error(&folder, &[]),
            format!(
                "ebpfjoin: ev.parquet: column `{column}` is missing; the file is damaged or was \
                 rewritten, use the original"
            )
        );
    }
    write_without(&events, "cmdline");
    assert!(ebpfjoin(folder.path(), &JOIN).status.success());
    fs::remove_file(folder.path().join("out.pcapng")).expect("removed");
    // The rows themselves, not what tells where they are.
    write_events(&events, &rows(), &meta());
    let mut damaged = fs::read(&events).expect("events");
    damaged[4..400].fill(0xff);
    fs::write(&events, damaged).expect("written");
    let said = error(&folder, &[]);
    assert!(said.starts_with("ebpfjoin: ev.parquet: damaged event file: "), "{said}");
    assert!(said.ends_with("; use what `ebpfrec recover` makes of it, or record again"), "{said}");
}

#[test]
fn event_files_may_be_compressed_as_others_do_it() {
    let folder = ready();
    let events = folder.path().join("ev.parquet");
    let join = || {
        let output = ebpfjoin(folder.path(), &[&JOIN[..], &["-q"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let joined = folder.path().join("out.pcapng");
        let bytes = fs::read(&joined).expect("output");
        fs::remove_file(joined).expect("removed");
        bytes
    };
    let want = join();
    for compression in [
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ] {
        write_foreign(&events, None, compression);
        assert!(join() == want, "{compression}");
    }
    // The footer says behind each column's path how it is compressed, twice the number of the way.
    write_foreign(&events, None, Compression::SNAPPY);
    let snappy = fs::read(&events).expect("events");
    for (way, name) in [(4, "brotli"), (3, "lzo")] {
        let mut other = snappy.clone();
        let says = b"\x04comm\x15\x02\x16";
        let at = other.windows(says.len()).position(|bytes| bytes == says).expect("a footer");
        other[at + 6] = 2 * way;
        fs::write(&events, other).expect("written");
        let want = "which this program does not read; write it again with zstd";
        let want = format!("ebpfjoin: ev.parquet: compressed with {name}, {want}");
        assert_eq!(error(&folder, &[]), want);
    }
}
