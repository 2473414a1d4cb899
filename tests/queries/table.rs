//! A table of text, as Markdown has it.

use std::fmt;

/// Header and rows; a null is an empty cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows; the names of its columns by spaces.
    pub(crate) fn new(header: &str) -> Self {
        Self { header: header.split_whitespace().map(str::to_owned).collect(), rows: vec![] }
    }

    /// Adds a row.
    pub(crate) fn push<const N: usize>(&mut self, row: [&dyn fmt::Display; N]) {
        assert_eq!(N, self.header.len(), "{:?}", self.header);
        self.rows.push(row.iter().map(ToString::to_string).collect());
    }

    /// Reads lines of the form `| a | b |`, the second of which is the rule.
    pub(crate) fn parse(lines: &[&str]) -> Self {
        let cells = |line: &&str| {
            let line = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'));
            let line = line.expect("a row of a table").replace("\\|", "\u{0}");
            line.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
        };
        let mut rows: Vec<Vec<String>> = lines.iter().map(cells).collect();
        assert!(rows.len() > 1, "a table has a header and a rule: {lines:?}");
        let header = rows.remove(0);
        rows.remove(0);
        Self { header, rows }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |cells: &[String]| {
            let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            writeln!(f, "| {} |", cells.join(" | "))
        };
        line(&self.header)?;
        line(&vec!["---".to_owned(); self.header.len()])?;
        self.rows.iter().try_for_each(|row| line(row))
    }
}
