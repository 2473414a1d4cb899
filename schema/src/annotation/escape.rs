//! The spelling of values: percent-encoding of whatever would end a value, break a line, or play
//! tricks on a terminal. What comes from a process is untrusted, so nothing it says can forge a key.

use std::borrow::Cow;

/// Appends `text` with every space, `%` and control character written as `%XX` of its UTF-8 bytes.
pub fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    // Nearly every name there is.
    if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%') {
        out.push_str(text);
        return;
    }
    for ch in text.chars() {
        if !needs_escape(ch) {
            out.push(ch);
            continue;
        }
        for &byte in ch.encode_utf8(&mut [0; 4]).as_bytes() {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// `text` for people, who may have it from anybody: as [`encode`] has it, but that spaces and `%` stand
/// for themselves. It is not to be read back.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let stands = |ch: char| matches!(ch, ' ' | '%') || !needs_escape(ch);
    if text.chars().all(stands) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for ch in text.chars() {
        if stands(ch) {
            out.push(ch);
        } else {
            encode(ch.encode_utf8(&mut [0; 4]), &mut out);
        }
    }
    Cow::Owned(out)
}

/// Whether `ch` may not stand for itself: white space and control characters of any script, what is not
/// seen at all, and the marks that reorder a line on the screen.
#[must_use]
pub fn needs_escape(ch: char) -> bool {
    match ch {
        '%' => true,
        '!'..='~' => false,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' => {
            true
        }
        '\u{200b}' | '\u{feff}' => true,
        _ => ch.is_control() || ch.is_whitespace(),
    }
}

/// The text that [`encode`] was given. A `%` that begins no escape stands for itself; bytes that
/// are not UTF-8 become U+FFFD.
#[must_use]
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str) -> String {
        let mut out = String::new();
        encode(text, &mut out);
        out
    }

    #[test]
    fn what_would_break_the_line_is_escaped() {
        assert_eq!(encoded("a b\nc%d\u{7f}"), "a%20b%0Ac%25d%7F");
        assert_eq!(encoded("caf\u{e9}=1"), "caf\u{e9}=1");
        assert_eq!(encoded("\u{85}\u{2028}\u{202e}"), "%C2%85%E2%80%A8%E2%80%AE");
        assert_eq!(encoded("\u{61c}\u{200b}\u{feff}"), "%D8%9C%E2%80%8B%EF%BB%BF");
    }

    #[test]
    fn people_read_what_does_no_harm() {
        assert_eq!(printable("a b%20 caf\u{e9}"), "a b%20 caf\u{e9}");
        assert_eq!(printable("a b\u{1b}[2J\n\u{9b}\u{202e}"), "a b%1B[2J%0A%C2%9B%E2%80%AE");
    }

    #[test]
    fn a_lone_percent_stands_for_itself() {
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode("%41%e9"), "A\u{fffd}");
        assert_eq!(decode("%+1"), "%+1");
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "\\PC*|(.|\n){0,40}") {
            let out = encoded(&text);
            prop_assert!(out.chars().all(|ch| !ch.is_control() && !ch.is_whitespace()));
            prop_assert_eq!(decode(&out), text);
        }

        #[test]
        fn decoding_never_panics(text in "[%0-9a-fA-F é\u{fffd}]{0,20}") {
            let _ = decode(&text);
        }
    }
}
