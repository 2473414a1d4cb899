//! The table of packets says of each packet what tshark and `ebpfjoin show` say.

use std::fs::File;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::scene::{pcap, pcapng, put, scene};
use crate::tools::{ebpfjoin, failure, tshark};

fn table(path: &std::path::Path) -> RecordBatch {
    let file = File::open(path).expect("a table");
    let mut reader =
        ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet");
    let rows = reader.next().expect("rows").expect("rows");
    assert!(reader.next().is_none(), "one batch");
    rows
}

fn text(rows: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = arrow_cast(rows, column);
    let column = column.as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

/// A column of text, however it is kept.
fn arrow_cast(rows: &RecordBatch, column: &str) -> arrow_array::ArrayRef {
    let column = rows.column_by_name(column).expect("a column");
    match column.as_any_dictionary_opt() {
        Some(dictionary) => {
            let values = dictionary.values().as_string::<i32>();
            let keys = dictionary.normalized_keys();
            let value = |row: usize| dictionary.is_valid(row).then(|| values.value(keys[row]));
            let all: arrow_array::StringArray = (0..dictionary.len()).map(value).collect();
            std::sync::Arc::new(all)
        }
        None => column.clone(),
    }
}

#[test]
fn every_packet_has_a_row_that_says_what_the_capture_does() {
    let folder = scene();
    for (name, input) in [("in.pcapng", pcapng(false, &[])), ("in.pcap", pcap(false, true))] {
        put(&folder, name, &input);
        let args = [name, "ev.parquet", "-o", "out.pcapng", "--packets", "rows.parquet", "-q"];
        let output = ebpfjoin(folder.path(), &args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows = table(&folder.path().join("rows.parquet"));
        let shown = ebpfjoin(folder.path(), &["show", "out.pcapng", "--json"]).stdout;
        let shown = String::from_utf8(shown).expect("text");
        let shown: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(rows.num_rows(), shown.len());
        let column = |name: &str| rows.column_by_name(name).expect("a column").clone();
        let (frame, original) = (column("frame"), column("original_len"));
        let times = column("ts");
        let mut names = 0;
        for (row, packet) in shown.iter().enumerate() {
            assert_eq!(frame.as_primitive::<UInt64Type>().value(row), row as u64 + 1);
            for (side, end) in [("src_", &packet["src"]), ("dst_", &packet["dst"])] {
                let of = |column: &str| text(&rows, &format!("{side}{column}"), row);
                let said = |key: &str| end[key].as_str().map(str::to_owned);
                assert_eq!(of("comm"), said("comm"), "{name} {row}");
                assert_eq!(of("match"), said("match"), "{name} {row}");
                assert_eq!(of("none"), said("none"), "{name} {row}");
                assert_eq!(of("exe"), said("exe"), "{name} {row}");
                let pid = column(&format!("{side}pid"));
                let pid = pid.as_primitive::<UInt32Type>();
                let pid = pid.is_valid(row).then(|| u64::from(pid.value(row)));
                assert_eq!(pid, end["pid"].as_u64(), "{name} {row}");
                let cookie = column(&format!("{side}socket_cookie"));
                assert_eq!(cookie.is_valid(row), pid.is_some(), "{name} {row}");
                names += usize::from(pid.is_some());
                if let Some(port) = end["port"].as_u64() {
                    let ports = column(&format!("{side}port"));
                    let ports = ports.as_primitive::<UInt16Type>();
                    assert_eq!(u64::from(ports.value(row)), port, "{name} {row}");
                }
            }
        }
        assert!(names > 0);
        let fields = ["frame.time_epoch", "frame.len"];
        let Some(read) = tshark(&folder.path().join(name), &fields) else { continue };
        for (row, fields) in read.iter().enumerate() {
            let ns = times.as_primitive::<TimestampNanosecondType>().value(row);
            let epoch = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
            assert_eq!(epoch, fields[0], "{name} {row}");
            let original = original.as_primitive::<UInt32Type>().value(row);
            assert_eq!(original.to_string(), fields[1], "{name} {row}");
        }
    }
}

#[test]
fn a_table_has_a_place_of_its_own() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let refused = |packets: &str| {
        let args = ["in.pcapng", "ev.parquet", "-o", "out.pcapng", "--packets", packets];
        failure(&ebpfjoin(folder.path(), &args))
    };
    assert_eq!(
        refused("ev.parquet"),
        "ebpfjoin: ev.parquet: writing ev.parquet would overwrite this event file; give another \
         name with --packets"
    );
    assert_eq!(
        refused("out.pcapng"),
        "ebpfjoin: out.pcapng: writing out.pcapng would overwrite this output; give another name \
         with --packets"
    );
    let said = refused("no/such/folder");
    assert!(said.ends_with("choose another place with --packets"), "{said}");
    assert!(!folder.path().join("out.pcapng").exists());
}
