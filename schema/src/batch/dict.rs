//! A column of text with few distinct values, built row by row. Arrow's own builder hashes every
//! text of every row; here a text that was seen lately is found by comparing it with the one it
//! most likely is. Rows repeat a handful of processes, each with a dozen texts, some of them long.

use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder as _, Int32Builder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, StringArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher as _;

/// Texts remembered as seen lately; a power of two.
const RECENT: usize = 64;

/// Collects the texts of a column.
#[derive(Debug)]
pub(super) struct DictBuilder {
    keys: Int32Builder,
    bytes: String,
    /// Where each distinct text ends in `bytes`; the first entry is where the first one begins.
    ends: Vec<i32>,
    /// Keys by text.
    table: HashTable<i32>,
    hasher: DefaultHashBuilder,
    /// Keys by [`slot_of`]; one past the last key if there is none.
    recent: [i32; RECENT],
}

impl Default for DictBuilder {
    fn default() -> Self {
        Self {
            keys: Int32Builder::new(),
            bytes: String::new(),
            ends: vec![0],
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            recent: [i32::MAX; RECENT],
        }
    }
}

impl DictBuilder {
    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds so many rows without a value.
    pub(super) fn append_nulls(&mut self, count: usize) {
        self.keys.append_nulls(count);
    }

    /// Adds a row.
    pub(super) fn append_value(&mut self, text: &str) {
        let slot = slot_of(text.as_bytes());
        let recent = self.recent[slot];
        let key = if text_at(&self.bytes, &self.ends, recent) == Some(text) {
            recent
        } else {
            self.key(text)
        };
        self.recent[slot] = key;
        self.keys.append_value(key);
    }

    /// The column; the builder starts anew.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let bytes = std::mem::take(&mut self.bytes).into_bytes();
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        self.table.clear();
        self.recent = [i32::MAX; RECENT];
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let values = StringArray::new(offsets, bytes.into(), None);
        let keys = self.keys.finish();
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
    }

    fn key(&mut self, text: &str) -> i32 {
        let Self { bytes, ends, table, hasher, .. } = self;
        let hash = hasher.hash_one(text);
        if let Some(&key) = table.find(hash, |&key| text_at(bytes, ends, key) == Some(text)) {
            return key;
        }
        bytes.push_str(text);
        // A batch has at most some thousand rows of at most some KiB.
        let key = i32::try_from(ends.len() - 1).expect("fewer texts than rows");
        ends.push(i32::try_from(bytes.len()).expect("less than 2 GiB of text"));
        let rehash = |&key: &i32| hasher.hash_one(text_at(bytes, ends, key).unwrap_or_default());
        table.insert_unique(hash, key, rehash);
        key
    }
}

fn text_at<'a>(bytes: &'a str, ends: &[i32], key: i32) -> Option<&'a str> {
    let key = usize::try_from(key).ok()?;
    let [start, end] = ends.get(key..key.checked_add(2)?)? else { return None };
    bytes.get(usize::try_from(*start).ok()?..usize::try_from(*end).ok()?)
}

/// Where a text is remembered: by what differs between texts of a column and costs nothing.
fn slot_of(text: &[u8]) -> usize {
    let at = |place: usize| usize::from(text.get(place).copied().unwrap_or(0));
    let last = text.len().saturating_sub(1);
    (text.len() ^ at(last) ^ at(last / 2) << 3 ^ at(last.saturating_sub(1)) << 1) % RECENT
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array as _, cast::AsArray as _};
    use proptest::prelude::*;

    use super::*;

    fn read(array: &ArrayRef) -> Vec<Option<String>> {
        let array = array.as_dictionary::<Int32Type>();
        let values = array.downcast_dict::<StringArray>().expect("text");
        values.into_iter().map(|text| text.map(str::to_owned)).collect()
    }

    proptest! {
        /// Few letters, so that texts come again and slots are shared.
        #[test]
        fn every_row_reads_back(batches in prop::collection::vec(
            prop::collection::vec(prop::option::of("[ab]{0,4}|é{1,3}"), 0..300), 1..4))
        {
            let mut builder = DictBuilder::default();
            for rows in batches {
                for row in &rows {
                    match row {
                        Some(text) => builder.append_value(text),
                        None => builder.append_nulls(1),
                    }
                }
                prop_assert_eq!(builder.len(), rows.len());
                let array = builder.finish();
                prop_assert_eq!(read(&array), rows.clone());
                let mut distinct: Vec<_> = rows.iter().flatten().collect();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(array.as_dictionary::<Int32Type>().values().len(), distinct.len());
            }
        }
    }
}
