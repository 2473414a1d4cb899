//! Text of processes, containers and files, made safe to look at: nothing in it may be invisible, or
//! reorder what stands beside it. The page never takes text for markup; that is the page's part.

use serde_json::Value;

/// Characters of one text on the page; names are shorter, arguments may be 4,096.
const MAX_CHARS: usize = 200;

/// `text`, with every character that can't be seen as `\u{202e}`, and not too long.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_CHARS));
    for (n, ch) in text.chars().enumerate() {
        if n == MAX_CHARS {
            out.push('…');
            break;
        }
        if is_invisible(ch) {
            out.extend(ch.escape_unicode());
        } else {
            out.push(ch);
        }
    }
    out
}

/// Control characters, marks that reorder a line, spaces without width, other separators of lines:
/// the categories Cc, Cf, Zl and Zp as far as fonts show nothing for them.
#[must_use]
pub fn is_invisible(ch: char) -> bool {
    matches!(ch,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    ) || ch.is_control()
}

/// Makes every text in `value` visible, keys included, but for those under `filter`: they are
/// written so from the beginning, and are whole or not there.
pub fn make_visible(value: &mut Value) {
    match value {
        Value::String(text) => *text = visible(text),
        Value::Array(values) => values.iter_mut().for_each(make_visible),
        Value::Object(map) => {
            let entries = std::mem::take(map).into_iter().map(|(key, mut value)| {
                if key != "filter" {
                    make_visible(&mut value);
                }
                (visible(&key), value)
            });
            *map = entries.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `value` as it may stand in a `<script>` element: no text in it can end that, or begin a comment.
#[must_use]
pub fn island(value: &Value) -> String {
    let mut out = String::new();
    for ch in value.to_string().chars() {
        match ch {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(ch)));
            }
            _ => out.push(ch),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_spelled_out() {
        assert_eq!(visible("a\u{202e}gpj.exe"), "a\\u{202e}gpj.exe");
        assert_eq!(visible("\u{1b}[31m\n\0"), "\\u{1b}[31m\\u{a}\\u{0}");
        assert_eq!(visible("größe 日本 🦀"), "größe 日本 🦀");
        assert_eq!(visible(&"x".repeat(4096)).chars().count(), MAX_CHARS + 1);
    }

    #[test]
    fn keys_are_text_too() {
        let mut value = json!({ "con\ntrack": ["\u{200b}"], "filter": "\u{200b}" });
        make_visible(&mut value);
        assert_eq!(value, json!({ "con\\u{a}track": ["\\u{200b}"], "filter": "\u{200b}" }));
    }

    proptest! {
        #[test]
        fn nothing_ends_the_island_and_everything_reads_back(text in any::<String>()) {
            for text in [text.clone(), format!("</script><!--<script>{text}\u{2028}")] {
                let value = json!({ text.clone(): text });
                let island = island(&value);
                let has_markup = island.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
                prop_assert!(!has_markup);
                prop_assert_eq!(serde_json::from_str::<Value>(&island).expect("JSON"), value);
            }
        }
    }
}
