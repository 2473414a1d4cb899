//! Events to Arrow record batches, record batches to a Parquet file: zstd, dictionary columns,
//! delta encoding for the columns that only rise, statistics on every row group.

use std::io::Write;

use arrow_array::builder::{
    BooleanBuilder, Int64Builder, StringBuilder, StringDictionaryBuilder,
    TimestampNanosecondBuilder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::columns::{Event, arrow_schema, for_each_column};
use crate::error::SchemaError;
use crate::meta::FileMeta;

/// Rows of one row group. Small enough that a reader can skip by time and the writer holds a few
/// MB, large enough that dictionaries pay.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// zstd level. Level 1 writes 0.9 M rows/s at 41 bytes a row; higher levels gain little on
/// dictionary columns.
const ZSTD_LEVEL: i32 = 1;

macro_rules! builder_type {
    (Timestamp) => { TimestampNanosecondBuilder };
    (I64) => { Int64Builder };
    (U64) => { UInt64Builder };
    (U32) => { UInt32Builder };
    (U16) => { UInt16Builder };
    (Boolean) => { BooleanBuilder };
    (Dict) => { StringDictionaryBuilder<Int32Type> };
    (Text) => { StringBuilder };
}

macro_rules! new_builder {
    (Timestamp) => {
        TimestampNanosecondBuilder::new().with_timezone("UTC")
    };
    ($kind:ident) => {
        <builder_type!($kind)>::new()
    };
}

macro_rules! append {
    (Dict required $builder:expr, $value:expr) => {
        $builder.append_value($value)
    };
    (Dict optional $builder:expr, $value:expr) => {
        $builder.append_option($value)
    };
    ($kind:ident required $builder:expr, $value:expr) => {
        $builder.append_value($value)
    };
    ($kind:ident optional $builder:expr, $value:expr) => {
        $builder.append_option($value)
    };
}

macro_rules! define_builder {
    ($([$name:ident $kind:ident $null:ident $doc:literal])*) => {
        /// Collects events, column by column.
        pub struct BatchBuilder {
            rows: usize,
            $($name: builder_type!($kind),)*
        }

        impl Default for BatchBuilder {
            fn default() -> Self {
                Self { rows: 0, $($name: new_builder!($kind),)* }
            }
        }

        impl BatchBuilder {
            /// Adds one row.
            pub fn append(&mut self, event: &Event<'_>) {
                self.rows += 1;
                $(append!($kind $null self.$name, event.$name);)*
            }

            fn take_arrays(&mut self) -> Vec<ArrayRef> {
                self.rows = 0;
                vec![$(std::sync::Arc::new(self.$name.finish()),)*]
            }
        }
    };
}
for_each_column!(define_builder);

impl BatchBuilder {
    /// Rows collected since the last [`finish`](Self::finish).
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether no row was collected since the last [`finish`](Self::finish).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows collected so far as a batch; the builder starts anew.
    ///
    /// # Panics
    ///
    /// Never: arrays and schema come from the same table.
    #[must_use]
    pub fn finish(&mut self) -> RecordBatch {
        RecordBatch::try_new(arrow_schema(), self.take_arrays())
            .expect("arrays and schema come from one table")
    }
}

/// Writes batches to a Parquet file.
#[derive(Debug)]
pub struct EventWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    rows: u64,
}

impl<W: Write + Send> EventWriter<W> {
    /// Starts a file; nothing of it can be read before [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// [`SchemaError::Write`] when the header can't be written.
    pub fn new(inner: W) -> Result<Self, SchemaError> {
        let writer =
            ArrowWriter::try_new(inner, arrow_schema(), Some(properties())).map_err(write_error)?;
        Ok(Self { writer, rows: 0 })
    }

    /// Adds the rows of `batch`.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Write`] when a row group can't be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), SchemaError> {
        self.writer.write(batch).map_err(write_error)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Rows given so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes written so far, and an estimate of those still held in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Writes the last row group, `meta` and the footer, and hands the file back.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Write`] when that fails; the file is then not readable.
    pub fn finish(mut self, meta: &FileMeta) -> Result<W, SchemaError> {
        for pair in meta.to_key_values() {
            self.writer.append_key_value_metadata(pair);
        }
        self.writer.into_inner().map_err(write_error)
    }
}

fn write_error(error: parquet::errors::ParquetError) -> SchemaError {
    SchemaError::Write(error.to_string())
}

fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    // Columns whose neighbours differ by little: deltas take a byte or two where a dictionary
    // would hold every value.
    let rising = ["ts", "boot_ns", "seq", "socket_cookie", "start_ts"];
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by(concat!("ebpfrec ", env!("CARGO_PKG_VERSION")).to_owned());
    for name in rising {
        let path = ColumnPath::from(name);
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    builder.build()
}
