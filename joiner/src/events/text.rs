//! Distinct strings, each held once and named by a number.

use foldhash::fast::RandomState;
use indexmap::IndexSet;

/// Number of a string; [`TextId::NONE`] where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct TextId(u32);

impl TextId {
    /// No text.
    pub const NONE: Self = Self(0);
}

/// The strings of all recordings.
#[derive(Debug, Default)]
pub struct Texts {
    set: IndexSet<Box<str>, RandomState>,
}

impl Texts {
    /// The number of `text`, new or old. Past 2^32 distinct strings there is none.
    pub fn intern(&mut self, text: &str) -> TextId {
        let index = match self.set.get_index_of(text) {
            Some(index) => index,
            None => self.set.insert_full(text.into()).0,
        };
        TextId(u32::try_from(index + 1).unwrap_or(0))
    }

    /// The number of `text`, if any row has it.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<TextId> {
        let index = self.set.get_index_of(text)?;
        u32::try_from(index + 1).ok().map(TextId)
    }

    /// The text with number `id`.
    #[must_use]
    pub fn get(&self, id: TextId) -> Option<&str> {
        let index = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.set.get_index(index).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_number() {
        let mut texts = Texts::default();
        let (a, b) = (texts.intern("a"), texts.intern(""));
        assert_eq!(texts.intern("a"), a);
        assert_ne!(a, b);
        assert_eq!(
            (texts.get(a), texts.get(b), texts.get(TextId::NONE)),
            (Some("a"), Some(""), None)
        );
    }
}
