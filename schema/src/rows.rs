//! A Parquet file to typed rows. Column access is lazy: a reader names the columns it needs, gets
//! batches, and reads fields by row; text comes with its dictionary key, so that a distinct value
//! need be looked at only once.

use std::fs::File;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Int32Type, Int64Type, TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array as _, ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, PrimitiveArray,
    RecordBatch, StringArray,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;

use crate::columns::{COLUMNS, Column, Event, for_each_column};
use crate::error::SchemaError;
use crate::meta::FileMeta;

mod groups;

pub use self::groups::Groups;

/// Rows of one batch: its columns fit the second-level cache.
const BATCH_ROWS: usize = 8192;

/// An event file, opened and found to be one this program understands.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    footer: ArrowReaderMetadata,
    meta: FileMeta,
}

impl EventFile {
    /// Checks footer, metadata, version and required columns.
    ///
    /// # Errors
    ///
    /// Every kind of [`SchemaError`] but the writing one.
    pub fn open(file: File) -> Result<Self, SchemaError> {
        let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let footer = footer.map_err(open_error)?;
        let pairs = footer.metadata().file_metadata().key_value_metadata();
        let meta = FileMeta::from_key_values(pairs.map_or(&[], Vec::as_slice))?;
        // The library takes these for granted.
        for chunk in footer.metadata().row_groups().iter().flat_map(|group| group.columns()) {
            let dictionary = chunk.dictionary_page_offset().unwrap_or(0);
            let least = chunk.data_page_offset().min(dictionary).min(chunk.compressed_size());
            if least < 0 {
                return Err(SchemaError::Damaged("a column begins before the file".to_owned()));
            }
            if let Some(codec) = not_built_in(chunk.compression()) {
                return Err(SchemaError::Compression { codec });
            }
        }
        for column in COLUMNS.iter().filter(|column| !column.nullable) {
            if footer.schema().index_of(column.name).is_err() {
                return Err(SchemaError::MissingColumn { column: column.name });
            }
        }
        Ok(Self { file, footer, meta })
    }

    /// Checks that columns are there which a reader can do nothing without, though rows may leave them
    /// out.
    ///
    /// # Errors
    ///
    /// [`SchemaError::MissingColumn`].
    pub fn require(&self, names: &[&'static str]) -> Result<(), SchemaError> {
        match names.iter().find(|name| self.footer.schema().index_of(name).is_err()) {
            Some(column) => Err(SchemaError::MissingColumn { column }),
            None => Ok(()),
        }
    }

    /// The metadata of the recording.
    #[must_use]
    pub fn meta(&self) -> &FileMeta {
        &self.meta
    }

    /// Number of rows, by the footer.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.footer.metadata().file_metadata().num_rows().try_into().unwrap_or(0)
    }

    /// Reads the columns `names` (all, if empty) in file order. Columns that the file lacks read
    /// as null; those that this program doesn't know are skipped.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Damaged`] when the row groups don't fit the footer.
    pub fn batches(self, names: &[&str]) -> Result<Batches, SchemaError> {
        let mask = ProjectionMask::columns(self.footer.parquet_schema(), wanted(names));
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file, self.footer)
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| SchemaError::Damaged(error.to_string()))?;
        Ok(Batches { reader })
    }

    /// Reads the same one row group at a time, in any order, from several threads.
    #[must_use]
    pub fn groups(self, names: &[&str]) -> Groups {
        Groups::new(self.file, self.footer, wanted(names))
    }
}

/// The columns of `names` that there are; all, if empty.
fn wanted<'a>(names: &'a [&str]) -> impl Iterator<Item = &'static str> + 'a {
    let all = COLUMNS.iter().map(|column| column.name);
    all.filter(move |name| names.is_empty() || names.contains(name))
}

/// The name of a compression that the library is built without.
fn not_built_in(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::BROTLI(_) => Some("brotli"),
        Compression::LZO => Some("lzo"),
        _ => None,
    }
}

fn open_error(error: ParquetError) -> SchemaError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(error) => SchemaError::Io(*error),
            Err(other) => SchemaError::NotParquet { detail: other.to_string() },
        },
        ParquetError::General(detail) | ParquetError::EOF(detail) => {
            SchemaError::NotParquet { detail }
        }
        other => SchemaError::NotParquet { detail: other.to_string() },
    }
}

/// The batches of a file, in order.
pub struct Batches {
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches {
    type Item = Result<EventBatch, SchemaError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(match batch {
            Ok(batch) => Ok(EventBatch { batch }),
            Err(error) => Err(SchemaError::Damaged(error.to_string())),
        })
    }
}

/// Some rows of an event file.
#[derive(Debug)]
pub struct EventBatch {
    batch: RecordBatch,
}

impl From<RecordBatch> for EventBatch {
    /// Of the event file's schema; another one shows when its columns are asked for.
    fn from(batch: RecordBatch) -> Self {
        Self { batch }
    }
}

impl EventBatch {
    /// As Arrow sees it.
    #[must_use]
    pub fn record_batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Rows in this batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A column of numbers or times; one that the file lacks reads as null.
#[derive(Debug)]
pub struct NumberColumn<'a, T: ArrowPrimitiveType>(Option<&'a PrimitiveArray<T>>);

impl<T: ArrowPrimitiveType> NumberColumn<'_, T> {
    /// The value in `row`, `None` if it is null.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> Option<T::Native> {
        self.0.filter(|array| array.is_valid(row)).map(|array| array.value(row))
    }
}

/// A column of booleans; one that the file lacks reads as null.
#[derive(Clone, Copy, Debug)]
pub struct BooleanColumn<'a>(Option<&'a BooleanArray>);

impl BooleanColumn<'_> {
    /// The value in `row`, `None` if it is null.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<bool> {
        self.0.filter(|array| array.is_valid(row)).map(|array| array.value(row))
    }
}

/// A column of text, stored plain or as a dictionary; one that the file lacks reads as null.
#[derive(Clone, Copy, Debug)]
pub enum TextColumn<'a> {
    /// Not in the file.
    Absent,
    /// Stored plain.
    Plain(&'a StringArray),
    /// Stored as keys into a table of values.
    Dict {
        /// The keys.
        array: &'a DictionaryArray<Int32Type>,
        /// The values.
        values: &'a StringArray,
    },
}

impl<'a> TextColumn<'a> {
    /// The text in `row`, `None` if it is null.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        match *self {
            Self::Absent => None,
            Self::Plain(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Dict { array, values } => {
                let key = array.key(row)?;
                values.is_valid(key).then(|| values.value(key))
            }
        }
    }

    /// The key of the text in `row`, the same for the same text within one batch; `None` if it is
    /// null or not stored as a dictionary.
    #[inline]
    #[must_use]
    pub fn key(&self, row: usize) -> Option<usize> {
        match self {
            Self::Dict { array, .. } => array.key(row),
            _ => None,
        }
    }

    /// One more than the highest [`key`](Self::key); 0 if there are none.
    #[must_use]
    pub fn keys(&self) -> usize {
        match self {
            Self::Dict { values, .. } => values.len(),
            _ => 0,
        }
    }
}

macro_rules! column_type {
    (Timestamp) => { NumberColumn<'a, TimestampNanosecondType> };
    (I64) => { NumberColumn<'a, Int64Type> };
    (U64) => { NumberColumn<'a, UInt64Type> };
    (U32) => { NumberColumn<'a, UInt32Type> };
    (U16) => { NumberColumn<'a, UInt16Type> };
    (Boolean) => { BooleanColumn<'a> };
    (Dict) => { TextColumn<'a> };
    (Text) => { TextColumn<'a> };
}

macro_rules! view {
    (Boolean $array:expr) => {
        $array.map_or(Some(BooleanColumn(None)), |array| {
            array.as_boolean_opt().map(|array| BooleanColumn(Some(array)))
        })
    };
    (Dict $array:expr) => {
        view_text($array)
    };
    (Text $array:expr) => {
        view_text($array)
    };
    ($kind:ident $array:expr) => {
        $array.map_or(Some(NumberColumn(None)), |array| {
            array.as_primitive_opt().map(|array| NumberColumn(Some(array)))
        })
    };
}

macro_rules! field {
    (required $value:expr) => {
        $value.unwrap_or_default()
    };
    (optional $value:expr) => {
        $value
    };
}

macro_rules! define_columns {
    ($([$name:ident $kind:ident $null:ident $doc:literal])*) => {
        /// Typed access to every column of a batch.
        #[derive(Debug)]
        pub struct Columns<'a> {
            $(#[doc = $doc] pub $name: column_type!($kind),)*
        }

        impl EventBatch {
            /// Typed access to the columns.
            ///
            /// # Errors
            ///
            /// [`SchemaError::ColumnType`] if a column has another type than the contract says.
            pub fn columns(&self) -> Result<Columns<'_>, SchemaError> {
                Ok(Columns {
                    $($name: {
                        let array = self.batch.column_by_name(stringify!($name));
                        view!($kind array).ok_or_else(|| column_error(stringify!($name), array))?
                    },)*
                })
            }
        }

        impl<'a> Columns<'a> {
            /// All of one row. A required field that was not read is zero or empty.
            #[must_use]
            pub fn event(&self, row: usize) -> Event<'a> {
                Event { $($name: field!($null self.$name.get(row)),)* }
            }
        }
    };
}
for_each_column!(define_columns);

fn view_text(array: Option<&ArrayRef>) -> Option<TextColumn<'_>> {
    let Some(array) = array else { return Some(TextColumn::Absent) };
    if let Some(plain) = array.as_string_opt::<i32>() {
        return Some(TextColumn::Plain(plain));
    }
    let array = array.as_dictionary_opt::<Int32Type>()?;
    let values = array.values().as_string_opt::<i32>()?;
    Some(TextColumn::Dict { array, values })
}

fn column_error(name: &'static str, array: Option<&ArrayRef>) -> SchemaError {
    let expected = COLUMNS.iter().find(|column| column.name == name);
    SchemaError::ColumnType {
        column: name,
        found: array.map_or_else(String::new, |array| array.data_type().to_string()),
        expected: expected
            .map_or_else(String::new, |column: &Column| column.kind.arrow().to_string()),
    }
}
