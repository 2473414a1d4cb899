//! Text from elsewhere (file names, process names, what a library said), made safe to print on a
//! terminal line.

use std::{borrow::Cow, fmt, path::Path};

/// Shows text with control characters escaped.
#[derive(Clone, Debug)]
pub struct Printable<'a>(Cow<'a, str>);

impl<'a> Printable<'a> {
    /// Any text.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// A path; bytes that are not UTF-8 show as U+FFFD.
    #[must_use]
    pub fn path(path: &'a Path) -> Self {
        Self(path.to_string_lossy())
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            if char.is_control() {
                write!(f, "{}", char.escape_default())?;
            } else {
                fmt::Write::write_char(f, char)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        assert_eq!(Printable::text("a\u{1b}[31m\nü\u{9b}").to_string(), r"a\u{1b}[31m\nü\u{9b}");
    }
}
