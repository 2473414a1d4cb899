//! Row groups of an event file, each read by itself: one after the other from the file, then decoded
//! wherever there is time. What a row group's statistics say is null throughout is not read at all,
//! which is most columns of most row groups.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::{Mutex, PoisonError};

use bytes::{Buf as _, Bytes, buf::Reader};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::Batches;
use crate::error::SchemaError;

mod page;

/// Rows of one batch: few enough that several batches at once take little memory, and enough that
/// what is done once a batch does not count.
const BATCH_ROWS: usize = 16 * 1024;

/// Values of a dictionary at most: what takes more is none of them, and 128 MiB are not asked for because
/// a damaged file says so.
const MAX_DICTIONARY: i64 = 1 << 24;

/// The row groups of an event file.
#[derive(Debug)]
pub struct Groups {
    file: Mutex<File>,
    footer: ArrowReaderMetadata,
    /// The numbers of the columns to be read.
    columns: Vec<usize>,
}

impl Groups {
    pub(super) fn new<'a>(
        file: File,
        footer: ArrowReaderMetadata,
        names: impl Iterator<Item = &'a str>,
    ) -> Self {
        let names: Vec<&str> = names.collect();
        let all = footer.parquet_schema().columns().iter().enumerate();
        let columns = all.filter(|(_, column)| {
            // Those of the event file have no fields of their own.
            matches!(column.path().parts(), [name] if names.contains(&name.as_str()))
        });
        let columns = columns.map(|(number, _)| number).collect();
        Self { file: Mutex::new(file), footer, columns }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.footer.metadata().num_row_groups()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of row group `number`, in order. Columns that are null throughout are left out,
    /// which reads the same.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Io`], and [`SchemaError::Damaged`] when the row group doesn't fit the footer.
    pub fn batches(&self, number: usize) -> Result<Batches, SchemaError> {
        let damaged = |error: ParquetError| SchemaError::Damaged(error.to_string());
        let group = self.footer.metadata().row_group(number);
        let read = self.columns.iter().copied().filter(|&column| !is_null(group, column));
        let read: Vec<usize> = read.collect();
        let pieces = self.pieces(read.iter().map(|&column| group.column(column)))?;
        let mask = ProjectionMask::leaves(self.footer.parquet_schema(), read);
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(pieces, self.footer.clone());
        let reader = builder
            .with_row_groups(vec![number])
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(damaged)?;
        Ok(Batches { reader })
    }

    /// The bytes of these columns.
    fn pieces<'a>(
        &self,
        columns: impl Iterator<Item = &'a ColumnChunkMetaData>,
    ) -> Result<Pieces, SchemaError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let end = file.metadata()?.len();
        let mut pieces = Pieces { pieces: vec![], end };
        for column in columns {
            let (start, length) = column.byte_range();
            // A damaged footer may claim any length.
            let length = length.min(end.saturating_sub(start));
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
            file.seek(SeekFrom::Start(start))?;
            (&mut *file).take(length).read_to_end(&mut bytes)?;
            let values = page::dictionary_values(&bytes).unwrap_or(0);
            if values > column.num_values().min(MAX_DICTIONARY) {
                let name = column.column_path();
                return Err(SchemaError::Damaged(format!(
                    "the dictionary of column {name} claims {values} values"
                )));
            }
            pieces.pieces.push((start, bytes.into()));
        }
        Ok(pieces)
    }
}

/// Whether the statistics say that a column has no value in this row group.
fn is_null(group: &RowGroupMetaData, column: usize) -> bool {
    let statistics = group.column(column).statistics();
    let nulls = statistics.and_then(|statistics| statistics.null_count_opt());
    nulls.is_some() && nulls == u64::try_from(group.num_rows()).ok()
}

/// Parts of a file that were read.
struct Pieces {
    /// Where each begins.
    pieces: Vec<(u64, Bytes)>,
    end: u64,
}

impl Pieces {
    /// What was read from `start` on.
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let found = self.pieces.iter().find_map(|(begin, bytes)| {
            let skip = usize::try_from(start.checked_sub(*begin)?).ok()?;
            (skip < bytes.len()).then(|| bytes.slice(skip..))
        });
        found.ok_or_else(|| ParquetError::EOF(format!("no column reaches to byte {start}")))
    }
}

impl Length for Pieces {
    fn len(&self) -> u64 {
        self.end
    }
}

impl ChunkReader for Pieces {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let rest = self.from(start)?;
        if rest.len() < length {
            return Err(ParquetError::EOF(format!("a column ends before byte {start} + {length}")));
        }
        Ok(rest.slice(..length))
    }
}
