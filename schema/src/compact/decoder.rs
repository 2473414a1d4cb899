//! Bytes to rows.

use super::{
    COUNT,
    value::FromValue,
    varint::{read_text, read_varint},
};
use crate::columns::{COLUMNS, ColumnType, Event, for_each_column};
use crate::error::SchemaError;

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

fn stored_as(kind: ColumnType) -> Stored {
    match kind {
        ColumnType::Dict => Stored::Dict,
        ColumnType::Text => Stored::Text,
        _ => Stored::Number,
    }
}
