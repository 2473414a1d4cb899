//! Texts made from a key, remembered for the keys seen lately. An address is on many rows, and
//! every flow on three to five of them: making the text anew each time took a quarter of all time.

use std::hash::{BuildHasher as _, Hash, RandomState};

/// Texts remembered: more than there are short connections under way at a time on a busy host. A
/// power of two.
const SLOTS: usize = 1024;

/// Key to text; a newer key takes the place of an older one.
#[derive(Debug)]
pub(super) struct Memo<K> {
    /// Empty before the first use, so that making one costs nothing.
    slots: Vec<Option<(K, String)>>,
    hasher: RandomState,
}

impl<K> Default for Memo<K> {
    fn default() -> Self {
        Self { slots: vec![], hasher: RandomState::new() }
    }
}

impl<K: Copy + Eq + Hash> Memo<K> {
    /// The text of `key`, which `write` appends to an empty string where it is not remembered.
    pub(super) fn get(&mut self, key: K, write: impl FnOnce(&mut String)) -> &str {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        // The remainder fits.
        let place = (self.hasher.hash_one(key) % SLOTS as u64) as usize;
        let slot = &mut self.slots[place];
        let known = slot.as_ref().is_some_and(|(of, _)| *of == key);
        let (of, text) = slot.get_or_insert_with(|| (key, String::new()));
        if !known {
            *of = key;
            text.clear();
            write(text);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_own_text_and_a_known_one_is_not_made_again() {
        let mut memo = Memo::default();
        // Many more keys than slots.
        for key in 0..10_000_u32 {
            let write = |text: &mut String| text.push_str(&key.to_string());
            assert_eq!(memo.get(key, write), key.to_string());
            assert_eq!(memo.get(key, |_| unreachable!("it was just made")), key.to_string());
        }
        assert_eq!(memo.get(7, |text| text.push('7')), "7");
    }
}
