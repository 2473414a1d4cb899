//! Makes a module of docs/queries-rust.md: what it opens with as it stands, and each query as a
//! function.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const PAGE: &str = "../../../docs/queries-rust.md";

fn main() {
    println!("cargo::rerun-if-changed={PAGE}");
    let page = fs::read_to_string(PAGE).expect("the page");
    let (opening, questions) = page.split_once("\n## ").expect("questions");
    // What the page says is needed is what it is built with.
    let (_, features) = opening.split_once("default-features = false").expect("a dependency");
    let (features, _) = features.split_once('}').expect("its end");
    let manifest = fs::read_to_string("Cargo.toml").expect("the manifest");
    assert!(manifest.contains(features), "the page names other features than Cargo.toml");
    let mut code = block(opening).to_owned();
    let mut all = String::new();
    for (n, section) in questions.split("\n## ").enumerate() {
        let (title, text) = section.split_once('\n').expect("a title");
        let body = block(text);
        let arguments = "events: LazyFrame, sockets: LazyFrame, packets: LazyFrame";
        write!(
            code,
            "\nfn question_{n}({arguments}) -> PolarsResult<LazyFrame> {{\nOk({{\n{body}}})\n}}\n"
        )
        .expect("text");
        write!(all, "({title:?}, question_{n}), ").expect("text");
    }
    writeln!(code, "pub const ALL: &[(&str, Question)] = &[{all}];").expect("text");
    let folder = env::var_os("OUT_DIR").expect("cargo");
    fs::write(Path::new(&folder).join("page.rs"), code).expect("written");
}

/// The one block of Rust in `text`.
fn block(text: &str) -> &str {
    let (_, rest) = text.split_once("```rust\n").expect("a block");
    let (block, rest) = rest.split_once("```").expect("its end");
    assert!(!rest.contains("```rust"), "one block");
    block
}
