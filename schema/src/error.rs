//! What can be wrong with an event file. Each message says what to do next.

use std::io;

/// Why an event file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The file could not be opened or read.
    #[error("cannot read the event file: {0}")]
    Io(#[from] io::Error),
    /// The file has no Parquet footer.
    #[error(
        "not a Parquet file, or cut off before its end ({detail}); give the file that `ebpfrec --events` wrote"
    )]
    NotParquet {
        /// What the Parquet reader said.
        detail: String,
    },
    /// Parquet, but without our metadata.
    #[error(
        "a Parquet file, but not one of ebpfrec (no `{key}` in its metadata); give the file that `ebpfrec --events` wrote"
    )]
    Foreign {
        /// The metadata key that was looked for.
        key: &'static str,
    },
    /// The version text can't be understood.
    #[error("schema version `{found}` is not MAJOR.MINOR; the file is damaged, record again")]
    BadVersion {
        /// What the file says, escaped.
        found: String,
    },
    /// Written by a later, incompatible recorder.
    #[error(
        "schema version {found} is newer than this program understands ({supported}.x); update ebpfjoin"
    )]
    NewerVersion {
        /// What the file says, escaped.
        found: String,
        /// The major version understood here.
        supported: u32,
    },
    /// A required column is missing.
    #[error("column `{column}` is missing; the file is damaged or was rewritten, use the original")]
    MissingColumn {
        /// Its name.
        column: &'static str,
    },
    /// A column has another type than the contract says.
    #[error(
        "column `{column}` has type {found}, not {expected}; the file was rewritten, use the original"
    )]
    ColumnType {
        /// Its name.
        column: &'static str,
        /// The Arrow type found.
        found: String,
        /// The Arrow type of the contract.
        expected: String,
    },
    /// A column is compressed in a way that is not built in.
    #[error("compressed with {codec}, which this program does not read; write it again with zstd")]
    Compression {
        /// The way.
        codec: &'static str,
    },
    /// The Parquet library failed part way.
    #[error("damaged event file: {0}; use what `ebpfrec recover` makes of it, or record again")]
    Damaged(String),
    /// The file could not be written.
    #[error("cannot write the event file: {0}")]
    Write(String),
}
