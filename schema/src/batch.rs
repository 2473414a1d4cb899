//! Events to Arrow record batches.

use arrow_array::builder::{
    BooleanBuilder, Int64Builder, StringBuilder, StringDictionaryBuilder,
    TimestampNanosecondBuilder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};

use crate::columns::{Event, arrow_schema, for_each_column};
pub use crate::writer::EventWriter;

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
