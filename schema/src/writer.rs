//! Record batches to a Parquet file: zstd, dictionary columns, delta encoding for the columns that
//! only rise, statistics on every row group. A row group goes out in one piece, as a
//! [segment](crate::segment), so that a file without its end can still be finished.

use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, encode_arrow_schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::columns::arrow_schema;
use crate::error::SchemaError;
use crate::meta::FileMeta;
use crate::segment::{Chain, MAGIC, SEGMENT_MAGIC, Segment};

/// Rows of one row group. Small enough that a reader can skip by time and the writer holds a few
/// MB, large enough that dictionaries pay.
pub const ROW_GROUP_ROWS: usize = 32 * 1024;

/// Rows of a data page at most: what a column holds before it is compressed, some 60 columns at
/// once.
const PAGE_ROWS: usize = 4 * 1024;

/// zstd level. Level 1 writes 0.9 M rows/s at 41 bytes a row; higher levels gain little on
/// dictionary columns.
const ZSTD_LEVEL: i32 = 1;

const CREATED_BY: &str = concat!("ebpfrec ", env!("CARGO_PKG_VERSION"));

/// Writes batches to a Parquet file.
#[derive(Debug)]
pub struct EventWriter<W: Write> {
    out: W,
    /// Where `out` is.
    at: u64,
    rows: u64,
    /// The row group that is being filled, as a file in memory.
    group: Option<Box<ArrowWriter<Vec<u8>>>>,
    segments: Vec<Segment>,
    /// Bytes of the footers of all segments: about those of the last one.
    footers: u64,
    meta: FileMeta,
}

impl<W: Write> EventWriter<W> {
    /// Starts a file at the beginning of `out`.
    ///
    /// # Errors
    ///
    /// Never; a file that can't be written to shows when there is something to write.
    pub fn new(out: W) -> Result<Self, SchemaError> {
        Ok(Self::resume(out, Chain::default()))
    }

    /// Goes on behind the segments of `chain`, where `out` must be.
    pub fn resume(out: W, chain: Chain) -> Self {
        let meta = chain.meta().cloned().unwrap_or_default();
        let (at, rows) = (chain.end(), chain.rows());
        let footers = chain.segments.iter().map(|segment| segment.footer_len).sum();
        Self { out, at, rows, group: None, segments: chain.segments, footers, meta }
    }

    /// What the following row groups say of the recording, should the file never be finished.
    pub fn set_meta(&mut self, meta: FileMeta) {
        self.meta = meta;
    }

    /// Adds the rows of `batch`; tells whether they, and all before them, went out.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Write`] when a row group can't be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<bool, SchemaError> {
        if batch.num_rows() == 0 {
            return Ok(false);
        }
        let group = match &mut self.group {
            Some(group) => group,
            none => none.insert(Box::new(new_group().map_err(write_error)?)),
        };
        group.write(batch).map_err(write_error)?;
        self.rows += batch.num_rows() as u64;
        if group.in_progress_rows() < ROW_GROUP_ROWS {
            return Ok(false);
        }
        self.cut()?;
        Ok(true)
    }

    /// Ends the row group: everything written so far goes out.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Write`] when it can't be written.
    pub fn cut(&mut self) -> Result<(), SchemaError> {
        let Some(mut group) = self.group.take() else { return Ok(()) };
        for pair in (FileMeta { end: String::new(), ..self.meta.clone() }).to_key_values() {
            group.append_key_value_metadata(pair);
        }
        let mut bytes = group.into_inner().map_err(write_error)?;
        let footer = footer_of(&bytes).ok_or_else(|| SchemaError::Write("no footer".to_owned()))?;
        let segment = Segment::new(self.at, footer)?;
        if let Some(magic) = bytes.last_chunk_mut() {
            *magic = *SEGMENT_MAGIC;
        }
        self.out.write_all(&bytes)?;
        self.at += bytes.len() as u64;
        self.footers += segment.footer_len;
        self.segments.push(segment);
        Ok(())
    }

    /// Rows given so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Where the next row group goes.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Bytes written so far, and an estimate of those that are to come: the rows still held in
    /// memory, and the footer.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let held = self.group.as_ref().map_or(0, |group| group.in_progress_size());
        self.at + held as u64 + self.footers
    }

    /// Writes the last row group, `meta` and the footer, and hands the file back.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Write`] when that fails; the file is then not readable as it is, its segments
    /// are.
    pub fn finish(mut self, meta: &FileMeta) -> Result<W, SchemaError> {
        self.cut()?;
        let groups = self.segments.iter().map(Segment::row_group);
        let groups = groups.collect::<Result<Vec<_>, _>>().map_err(write_error)?;
        let mut end = vec![];
        if groups.is_empty() {
            end.extend_from_slice(MAGIC);
        }
        write_footer(&mut end, meta, groups).map_err(write_error)?;
        self.out.write_all(&end)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A file of one row group.
fn new_group() -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let options = ArrowWriterOptions::new()
        .with_properties(properties())
        // The footer at the end has it; here it would cost as much as the rest of the footer.
        .with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(Vec::new(), arrow_schema(), options)
}

/// The thrift footer of a Parquet file.
fn footer_of(file: &[u8]) -> Option<&[u8]> {
    let (rest, magic) = file.split_last_chunk::<4>()?;
    let (rest, length) = rest.split_last_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (magic == MAGIC).then(|| rest.get(rest.len().checked_sub(length)?..))?
}

fn write_footer(
    out: &mut Vec<u8>,
    meta: &FileMeta,
    groups: Vec<RowGroupMetaData>,
) -> Result<(), ParquetError> {
    let schema = arrow_schema();
    let columns = Arc::new(ArrowSchemaConverter::new().convert(&schema)?);
    let mut pairs = meta.to_key_values();
    pairs.push(KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&schema)));
    let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
    let created_by = Some(CREATED_BY.to_owned());
    let file = FileMetaData::new(1, rows, created_by, Some(pairs), columns, None);
    let metadata = ParquetMetaData::new(file, groups);
    ParquetMetaDataWriter::new(out, &metadata).finish()
}

fn write_error(error: ParquetError) -> SchemaError {
    SchemaError::Write(error.to_string())
}

fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    // Columns whose neighbours differ by little: deltas take a byte or two where a dictionary
    // would hold every value.
    let rising = ["ts", "boot_ns", "seq", "socket_cookie", "start_ts"];
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        // Row groups are small enough to skip by; an index of their pages would have to be moved
        // with them.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_created_by(CREATED_BY.to_owned());
    for name in rising {
        let path = ColumnPath::from(name);
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    builder.build()
}
