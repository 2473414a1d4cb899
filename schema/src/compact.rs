//! Rows in few bytes, one after the other, for a journal that is written four times a second and
//! thrown away a moment later: numbers as differences to the row before, repeated text as its
//! number. Arrow's own stream format would put every batch's dictionaries and the padded buffers
//! of all columns down again, which for ten rows is some kilobytes.
//!
//! ```text
//! row:    ⌈columns / 8⌉ bytes, a bit per column that has a value, lowest first; the values
//! number: difference to the last value of the column, zigzag, LEB128
//! Dict:   number of the text, LEB128; a number that is new is followed by the text
//! Text:   length, LEB128; bytes
//! ```

use crate::columns::COLUMNS;

mod decoder;
mod encoder;
#[cfg(test)]
mod tests;
mod value;
mod varint;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use varint::{read_varint, write_varint};

const COUNT: usize = COLUMNS.len();

/// The columns as a journal names them: name and type, in order.
#[must_use]
pub fn layout() -> Vec<(String, String)> {
    COLUMNS.iter().map(|column| (column.name.to_owned(), format!("{:?}", column.kind))).collect()
}
