//! Events to Arrow record batches.

mod dict;

use arrow_array::builder::{
    ArrayBuilder as _, BooleanBuilder, Int64Builder, StringBuilder, TimestampNanosecondBuilder,
    UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};

use self::dict::DictBuilder;
use crate::columns::{Event, arrow_schema, for_each_column};
pub use crate::writer::EventWriter;

macro_rules! builder_type {
    (Timestamp) => {
        TimestampNanosecondBuilder
    };
    (I64) => {
        Int64Builder
    };
    (U64) => {
        UInt64Builder
    };
    (U32) => {
        UInt32Builder
    };
    (U16) => {
        UInt16Builder
    };
    (Boolean) => {
        BooleanBuilder
    };
    (Dict) => {
        DictBuilder
    };
    (Text) => {
        StringBuilder
    };
}

macro_rules! new_builder {
    (Timestamp) => {
        TimestampNanosecondBuilder::new().with_timezone("UTC")
    };
    ($kind:ident) => {
        <builder_type!($kind)>::default()
    };
}

/// Most columns are null in most rows: nulls are added once a value follows, many at a time.
macro_rules! append {
    (required $builder:expr, $value:expr, $row:expr) => {
        $builder.append_value($value)
    };
    (optional $builder:expr, $value:expr, $row:expr) => {
        if let Some(value) = $value {
            pad!($builder, $row);
            $builder.append_value(value);
        }
    };
}

macro_rules! pad {
    ($builder:expr, $rows:expr) => {
        let missing = $rows - $builder.len();
        if missing > 0 {
            $builder.append_nulls(missing);
        }
    };
}

macro_rules! finish {
    (Dict $builder:expr) => {
        $builder.finish()
    };
    ($kind:ident $builder:expr) => {
        std::sync::Arc::new($builder.finish())
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
                $(append!($null self.$name, event.$name, self.rows);)*
                self.rows += 1;
            }

            fn take_arrays(&mut self) -> Vec<ArrayRef> {
                let rows = std::mem::take(&mut self.rows);
                $(pad!(self.$name, rows);)*
                vec![$(finish!($kind self.$name),)*]
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
