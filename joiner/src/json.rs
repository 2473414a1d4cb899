//! JSON that may be printed on a terminal: the library escapes what JSON asks for, which is not all that
//! does harm there.

use std::borrow::Cow;
use std::fmt::Write as _;

use schema::annotation::escape::needs_escape;

/// `json`, in which what would steer a terminal, or is not seen there, is written as `\\uXXXX`.
#[must_use]
pub fn printable(json: &str) -> Cow<'_, str> {
    // All that makes JSON of it, and escapes of its own, are of ASCII; none of the others stands outside
    // of a string.
    let stands = |ch: char| matches!(ch, '\n' | ' '..='~') || !needs_escape(ch);
    if json.chars().all(stands) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    for ch in json.chars() {
        if stands(ch) {
            out.push(ch);
            continue;
        }
        for unit in ch.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_printed_reads_back_and_steers_nothing() {
        let harm = "\u{7f}\u{80}\u{9b}\u{9f}\u{61c}\u{200b}\u{200e}\u{200f}\u{202a}\u{202e}\
                    \u{2066}\u{2069}\u{feff}\u{1b}\n";
        let value = json!({ (harm): [harm, 1, "caf\u{e9} \u{1f600} \\ \" \\u0041"] });
        for text in [value.to_string(), format!("{value:#}")] {
            let printed = printable(&text);
            assert!(!printed.chars().any(|ch| harm.replace('\n', "").contains(ch)), "{printed}");
            assert!(printed.contains("caf\u{e9} \u{1f600}"), "{printed}");
            assert!(printed.contains(r"\u007f\u0080\u009b"), "{printed}");
            let read: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
            assert_eq!(read, value);
        }
    }
}
