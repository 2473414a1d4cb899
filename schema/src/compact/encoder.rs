//! Rows to bytes.

use std::collections::HashMap;

use super::{
    COUNT,
    varint::{write_text, write_varint},
};
use crate::columns::for_each_column;
use crate::error::SchemaError;
use crate::rows::{EventBatch, TextColumn};

/// Bytes that say which columns of a row have a value.
pub(super) const MASK: usize = COUNT.div_ceil(8);

/// No number of a text yet.
const NEW: u32 = u32::MAX;

/// Writes rows.
#[derive(Debug)]
pub struct Encoder {
    last: [u64; COUNT],
    texts: HashMap<Box<str>, u32>,
    /// Of the present batch: per column, the number of each text of its dictionary.
    numbers: Vec<Vec<u32>>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { last: [0; COUNT], texts: HashMap::new(), numbers: vec![vec![]; COUNT] }
    }
}

macro_rules! encode {
    (Timestamp $self:ident $column:expr, $index:ident $row:ident $out:ident) => {
        $column.get($row).map(|value| $self.number($index, value.cast_unsigned(), $out)).is_some()
    };
    (I64 $self:ident $column:expr, $index:ident $row:ident $out:ident) => {
        $column.get($row).map(|value| $self.number($index, value.cast_unsigned(), $out)).is_some()
    };
    (Dict $self:ident $column:expr, $index:ident $row:ident $out:ident) => {
        $self.dict($index, &$column, $row, $out).is_some()
    };
    (Text $self:ident $column:expr, $index:ident $row:ident $out:ident) => {
        $column.get($row).map(|text| write_text(text, $out)).is_some()
    };
    ($kind:ident $self:ident $column:expr, $index:ident $row:ident $out:ident) => {
        $column.get($row).map(|value| $self.number($index, u64::from(value), $out)).is_some()
    };
}

macro_rules! define_encode {
    ($([$name:ident $kind:ident $null:ident $doc:literal])*) => {
        impl Encoder {
            /// Appends the rows of `batch` to `out`. They can be read only after all that this
            /// encoder has written before.
            ///
            /// # Errors
            ///
            /// [`SchemaError::ColumnType`] if `batch` is not of the event file's schema.
            pub fn encode(
                &mut self,
                batch: &EventBatch,
                out: &mut Vec<u8>,
            ) -> Result<(), SchemaError> {
                let columns = batch.columns()?;
                let texts: [usize; COUNT] = [$(keys!($kind columns.$name),)*];
                for (numbers, keys) in self.numbers.iter_mut().zip(texts) {
                    numbers.clear();
                    numbers.resize(keys, NEW);
                }
                for row in 0..batch.len() {
                    let at = out.len();
                    out.resize(at + MASK, 0);
                    let mut next = 0;
                    $(
                        let index = next;
                        if encode!($kind self columns.$name, index row out) {
                            out[at + index / 8] |= 1 << (index % 8);
                        }
                        next += 1;
                    )*
                    debug_assert_eq!(next, COUNT);
                }
                Ok(())
            }
        }
    };
}

macro_rules! keys {
    (Dict $column:expr) => {
        $column.keys()
    };
    ($kind:ident $column:expr) => {
        0
    };
}
for_each_column!(define_encode);

impl Encoder {
    fn number(&mut self, column: usize, value: u64, out: &mut Vec<u8>) {
        let difference = value.wrapping_sub(self.last[column]).cast_signed();
        self.last[column] = value;
        write_varint(((difference << 1) ^ (difference >> 63)).cast_unsigned(), out);
    }

    fn dict(
        &mut self,
        column: usize,
        values: &TextColumn<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let key = values.key(row);
        if let Some(&number) = key.and_then(|key| self.numbers[column].get(key))
            && number != NEW
        {
            write_varint(number.into(), out);
            return Some(());
        }
        let text = values.get(row)?;
        let next = u32::try_from(self.texts.len()).unwrap_or(NEW);
        let number = match self.texts.get(text) {
            Some(&number) => number,
            None => {
                self.texts.insert(text.into(), next);
                next
            }
        };
        write_varint(number.into(), out);
        if number == next {
            write_text(text, out);
        }
        if let Some(slot) = key.and_then(|key| self.numbers[column].get_mut(key)) {
            *slot = number;
        }
        Some(())
    }
}
