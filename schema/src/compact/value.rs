//! What was stored, as the type that a column has.

/// A column's type. `None` where something else was stored, or more than it can hold.
pub(super) trait FromValue<'a>: Sized {
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
