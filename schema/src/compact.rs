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

use std::collections::HashMap;

use crate::columns::{COLUMNS, ColumnType, Event, for_each_column};
use crate::error::SchemaError;
use crate::rows::{EventBatch, TextColumn};

const COUNT: usize = COLUMNS.len();
const MASK: usize = COUNT.div_ceil(8);

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

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a number, LEB128.
pub fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// The columns as a journal names them: name and type, in order.
#[must_use]
pub fn layout() -> Vec<(String, String)> {
    COLUMNS.iter().map(|column| (column.name.to_owned(), format!("{:?}", column.kind))).collect()
}

/// Reads rows that an [`Encoder`] of this or of another minor version has written.
#[derive(Debug)]
pub struct Decoder {
    /// What was written, in order: type, and our column of that name.
    columns: Vec<(Stored, Option<usize>)>,
    last: Vec<u64>,
    texts: Vec<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Number,
    Dict,
    Text,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Null,
    Number(u64),
    /// Position among the texts.
    Dict(usize),
    Text(&'a str),
}

impl Decoder {
    /// For rows of this [`layout`].
    #[must_use]
    pub fn new(layout: &[(String, String)]) -> Self {
        let columns = layout.iter().map(|(name, kind)| {
            let stored = match kind.as_str() {
                "Dict" => Stored::Dict,
                "Text" => Stored::Text,
                _ => Stored::Number,
            };
            let own = COLUMNS.iter().position(|column| column.name == name);
            (stored, own.filter(|&own| stored_as(COLUMNS[own].kind) == stored))
        });
        let columns: Vec<_> = columns.collect();
        Self { last: vec![0; columns.len()], columns, texts: vec![] }
    }

    /// Reads the rows in `bytes`, and hands each to `row`.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Damaged`] if they don't make sense; nothing can be read after that.
    pub fn decode(
        &mut self,
        mut bytes: &[u8],
        mut row: impl FnMut(&Event<'_>),
    ) -> Result<(), SchemaError> {
        while !bytes.is_empty() {
            let values = self
                .read_row(&mut bytes)
                .ok_or_else(|| SchemaError::Damaged("a row of the journal is cut".to_owned()))?;
            row(&self.event(&values));
        }
        Ok(())
    }

    fn read_row<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<[Value<'a>; COUNT]> {
        let (mask, rest) = bytes.split_at_checked(self.columns.len().div_ceil(8))?;
        *bytes = rest;
        let mut values = [Value::Null; COUNT];
        for (index, &(stored, own)) in self.columns.iter().enumerate() {
            if mask[index / 8] & (1 << (index % 8)) == 0 {
                continue;
            }
            let value = match stored {
                Stored::Number => {
                    let zigzag = read_varint(bytes)?;
                    let difference = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
                    self.last[index] = self.last[index].wrapping_add(difference);
                    Value::Number(self.last[index])
                }
                Stored::Text => Value::Text(read_text(bytes)?),
                Stored::Dict => {
                    let number = usize::try_from(read_varint(bytes)?).ok()?;
                    if number == self.texts.len() {
                        self.texts.push(read_text(bytes)?.into());
                    }
                    self.texts.get(number)?;
                    Value::Dict(number)
                }
            };
            if let Some(own) = own {
                values[own] = value;
            }
        }
        Some(values)
    }
}

macro_rules! define_event {
    ($([$name:ident $kind:ident $null:ident $doc:literal])*) => {
        impl Decoder {
            fn event<'a>(&'a self, values: &[Value<'a>; COUNT]) -> Event<'a> {
                let mut values = values.iter();
                Event {
                    $($name: field!($null self.value::<field_of!($kind)>(values.next())),)*
                }
            }
        }
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

macro_rules! field_of {
    (Timestamp) => {
        i64
    };
    (I64) => {
        i64
    };
    (U64) => {
        u64
    };
    (U32) => {
        u32
    };
    (U16) => {
        u16
    };
    (Boolean) => {
        bool
    };
    (Dict) => {
        &str
    };
    (Text) => {
        &str
    };
}
for_each_column!(define_event);

impl Decoder {
    fn value<'a, T: FromValue<'a>>(&'a self, value: Option<&Value<'a>>) -> Option<T> {
        match *value? {
            Value::Null => None,
            Value::Number(number) => T::from_number(number),
            Value::Dict(number) => T::from_text(self.texts.get(number)?),
            Value::Text(text) => T::from_text(text),
        }
    }
}

trait FromValue<'a>: Sized {
    fn from_number(_: u64) -> Option<Self> {
        None
    }
    fn from_text(_: &'a str) -> Option<Self> {
        None
    }
}

impl FromValue<'_> for i64 {
    fn from_number(number: u64) -> Option<Self> {
        Some(number.cast_signed())
    }
}

impl FromValue<'_> for u64 {
    fn from_number(number: u64) -> Option<Self> {
        Some(number)
    }
}

impl FromValue<'_> for u32 {
    fn from_number(number: u64) -> Option<Self> {
        number.try_into().ok()
    }
}

impl FromValue<'_> for u16 {
    fn from_number(number: u64) -> Option<Self> {
        number.try_into().ok()
    }
}

impl FromValue<'_> for bool {
    fn from_number(number: u64) -> Option<Self> {
        Some(number != 0)
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn from_text(text: &'a str) -> Option<Self> {
        Some(text)
    }
}

fn stored_as(kind: ColumnType) -> Stored {
    match kind {
        ColumnType::Dict => Stored::Dict,
        ColumnType::Text => Stored::Text,
        _ => Stored::Number,
    }
}

fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(read_varint(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

/// Takes a number of at most 64 bits, LEB128, off the front of `bytes`; `None` if it is cut.
pub fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;

    fn events() -> Vec<Event<'static>> {
        let first = Event {
            ts: 1_700_000_000_000_000_000,
            boot_ns: 5,
            host: "h",
            kind: "tcp_connect",
            source: "probe",
            local_addr: Some("10.0.0.1"),
            local_port: Some(65_535),
            mac: Some("02:00:00:00:00:01"),
            v6only: Some(true),
            netns: Some(u64::MAX),
            mono_offset_ns: Some(i64::MIN),
            cmdline: Some(""),
            ..Event::default()
        };
        let second = Event {
            ts: first.ts - 1,
            seq: 1,
            host: "hö",
            v6only: Some(false),
            cmdline: Some("h"),
            mono_offset_ns: None,
            ..first
        };
        vec![first, second, Event { seq: 2, ..first }, Event { kind: "lost", ..Event::default() }]
    }

    fn batch(events: &[Event<'_>]) -> EventBatch {
        let mut builder = BatchBuilder::default();
        events.iter().for_each(|event| builder.append(event));
        builder.finish().into()
    }

    /// What `bytes` decode to, shown; decoded piece by piece.
    fn decode(layout: &[(String, String)], pieces: &[Vec<u8>]) -> Result<Vec<String>, SchemaError> {
        let mut decoder = Decoder::new(layout);
        let mut rows = vec![];
        for piece in pieces {
            decoder.decode(piece, |event| rows.push(format!("{event:?}")))?;
        }
        Ok(rows)
    }

    #[test]
    fn rows_read_back_batch_by_batch() {
        let events = events();
        let mut encoder = Encoder::default();
        let pieces = events.chunks(3).map(|events| {
            let mut out = vec![];
            encoder.encode(&batch(events), &mut out).expect("encoded");
            out
        });
        let pieces: Vec<_> = pieces.collect();
        let rows = decode(&layout(), &pieces).expect("decoded");
        let want: Vec<_> = events.iter().map(|event| format!("{event:?}")).collect();
        assert_eq!(rows, want);
        // A row like the one before it is little more than its mask.
        let mut again = vec![];
        encoder.encode(&batch(&[events[3]]), &mut again).expect("encoded");
        assert!(again.len() < 2 * MASK, "{} bytes", again.len());
    }

    #[test]
    fn columns_of_another_version_are_left_out_or_null() {
        let mut out = vec![];
        Encoder::default().encode(&batch(&events()[..1]), &mut out).expect("encoded");
        let mut other = layout();
        for (name, kind) in &mut other {
            match name.as_str() {
                "local_port" => "gone".clone_into(name),
                // Read as it was written, not as we would have.
                "mac" => "local_addr".clone_into(name),
                "local_addr" => "renamed".clone_into(name),
                _ => assert!(!kind.is_empty()),
            }
        }
        let rows = decode(&other, &[out]).expect("decoded");
        let want = Event { local_port: None, mac: None, local_addr: None, ..events()[0] };
        assert_eq!(rows, [format!("{want:?}")]);
    }

    #[test]
    fn cut_rows_are_an_error() {
        let mut out = vec![];
        Encoder::default().encode(&batch(&events()[..1]), &mut out).expect("encoded");
        for length in 1..out.len() {
            assert!(decode(&layout(), &[out[..length].to_vec()]).is_err(), "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(0_u8.., 0..400)) {
            let _ = decode(&layout(), &[bytes]);
        }
    }
}
