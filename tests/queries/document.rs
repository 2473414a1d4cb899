//! `docs/queries.md`, taken apart: how a file is opened, then questions, each with its query for
//! either engine and the answer.

use std::path::Path;

use crate::table::Table;

/// The page.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// What comes before every query.
    pub(crate) setup: Code,
    /// The questions the index names.
    pub(crate) index: Vec<String>,
    /// The questions, in order.
    pub(crate) questions: Vec<Question>,
}

/// The same for both engines.
#[derive(Debug, Default)]
pub(crate) struct Code {
    pub(crate) sql: String,
    pub(crate) python: String,
}

/// One question.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) title: String,
    pub(crate) code: Code,
    pub(crate) answer: Table,
}

impl Document {
    /// Reads the page; whatever is not of the expected form is a failure, so that no query can be
    /// left out by a slip.
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/queries.md");
        let text = std::fs::read_to_string(path).expect("docs/queries.md");
        let (opening, questions) = text.split_once("\n## ").expect("questions");
        let mut document = Self { setup: code(opening), ..Self::default() };
        let index = opening.lines().filter_map(|line| {
            let (title, anchor) = line.strip_prefix("- [")?.split_once("](#")?;
            assert_eq!(anchor, format!("{})", anchor_of(title)), "{title}");
            Some(title.to_owned())
        });
        document.index = index.collect();
        for section in questions.split("\n## ") {
            let (title, text) = section.split_once('\n').expect("a title");
            let code = code(text);
            assert!(!code.sql.is_empty() && !code.python.is_empty(), "{title}: one engine only");
            let table: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
            let answer = Table::parse(&table);
            document.questions.push(Question { title: title.to_owned(), code, answer });
        }
        document
    }
}

/// Blocks of code by their language; several of one language follow each other.
fn code(text: &str) -> Code {
    let mut code = Code::default();
    let mut blocks = text.split("\n```");
    blocks.next();
    while let (Some(block), Some(_)) = (blocks.next(), blocks.next()) {
        let (language, block) = block.split_once('\n').expect("code");
        let all = match language {
            "sql" => &mut code.sql,
            "python" => &mut code.python,
            other => panic!("a block that nobody runs: {other}"),
        };
        all.push_str(block);
        all.push('\n');
    }
    code
}

/// What the title of a section is called in links.
fn anchor_of(title: &str) -> String {
    let kept = title.chars().filter(|&c| c.is_alphanumeric() || c == ' ' || c == '-');
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
