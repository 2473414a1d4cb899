//! The page around the data: one file that needs no network and runs no script but its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::text::island;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// One script, in the order in which its pieces need each other.
const SCRIPT: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("page/dom.js"),
    include_str!("page/format.js"),
    include_str!("page/chart.js"),
    include_str!("page/flows.js"),
    include_str!("page/table.js"),
    include_str!("page/page.js"),
    "})();\n",
);

/// The page that shows `data`.
#[must_use]
pub fn page(data: &Value) -> String {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let parts = [("policy", &policy[..]), ("style", STYLE), ("script", SCRIPT)];
    let mut out = String::with_capacity(HTML.len() + STYLE.len() + SCRIPT.len());
    // Data come last, and nothing is looked for in them.
    let mut rest = HTML;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else { break };
        match parts.iter().find(|(part, _)| *part == name) {
            Some((_, text)) => out.push_str(text),
            None => out.push_str(&island(data)),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What a Content Security Policy calls an inline element by.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_part_has_its_place_once() {
        let page = page(&json!({ "hostile": "{{script}}</script>" }));
        assert_eq!(page.matches("\"use strict\";\n(() => {").count(), 1);
        assert_eq!(page.matches("default-src 'none'").count(), 1);
        assert!(page.contains(r#"{"hostile":"{{script}}\u003c/script\u003e"}"#));
        assert!(page.ends_with("</html>\n"));
    }

    #[test]
    fn no_part_can_end_its_element() {
        assert!(!SCRIPT.contains("</script") && !SCRIPT.contains("<!--"));
        assert!(!STYLE.contains("</style"));
        for part in [HTML, STYLE, SCRIPT] {
            // Of the network only the namespace of SVG has the looks.
            let text = part.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"));
        }
    }
}
