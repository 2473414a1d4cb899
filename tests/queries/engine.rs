//! The engines themselves, which `scripts/setup.sh test` puts into the target folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::answers::time;
use crate::document::{Code, Document};
use crate::table::Table;

/// What an engine says: tables, and the error that ended them.
type Told = (Vec<Table>, Option<String>);

/// Runs all queries in `folder`, by both engines. `None` (and one line why) where they are not
/// installed, unless they are required.
pub(crate) fn run(document: &Document, folder: &Path) -> Option<[(&'static str, Told); 2]> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../queries/bin/python");
    if !python.exists() {
        let required = std::env::var_os("EBPF_REQUIRE_LIVE").is_some_and(|value| value == "1");
        assert!(!required, "no DuckDB and polars; run scripts/setup.sh test");
        eprintln!(
            "docs/queries.md not run: no DuckDB and polars (scripts/setup.sh test installs them)"
        );
        return None;
    }
    let of = |pick: fn(&Code) -> &String| {
        let queries: Vec<_> = document.questions.iter().map(|one| pick(&one.code)).collect();
        json!({ "setup": pick(&document.setup), "queries": queries })
    };
    let code = json!({ "sql": of(|code| &code.sql), "polars": of(|code| &code.python) });
    let told = run_python(&python, folder, &code);
    Some([("DuckDB", tables(&told["sql"])), ("polars", tables(&told["polars"]))])
}

fn run_python(python: &Path, folder: &Path, code: &Value) -> Value {
    let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/queries/run.py");
    let mut child = Command::new(python)
        .arg(script.canonicalize().expect("the script"))
        .current_dir(folder)
        // Nobody's time zone must matter.
        .env("TZ", "America/St_Johns")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(code.to_string().as_bytes()).expect("python reads");
    drop(input);
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What the program made of `docs/queries-rust.md` says, by question.
pub(crate) fn run_rust(program: &Path, folder: &Path) -> Vec<(String, Table)> {
    let output = Command::new(program).current_dir(folder).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let table = |told: &Value| {
        let times: Vec<_> = told["times"].as_array().expect("times").iter().collect();
        let cells = |row: &Value| {
            let shown = |(cell, &is_time): (String, &&Value)| match cell.parse() {
                Ok(ns) if is_time == &Value::Bool(true) => time(ns),
                _ => cell,
            };
            self::cells(row).into_iter().zip(&times).map(shown).collect()
        };
        let rows = told["rows"].as_array().expect("rows").iter().map(cells).collect();
        Table { header: self::cells(&told["header"]), rows }
    };
    let all = told.as_object().expect("tables").iter();
    all.map(|(title, told)| (title.clone(), table(told))).collect()
}

/// A row as text; a null is an empty cell.
fn cells(row: &Value) -> Vec<String> {
    let row = row.as_array().expect("a row").iter();
    row.map(|cell| cell.as_str().unwrap_or_default().to_owned()).collect()
}

fn tables(told: &Value) -> Told {
    let table = |table: &Value| {
        let mut rows: Vec<Vec<String>> =
            table.as_array().expect("rows").iter().map(cells).collect();
        Table { header: rows.remove(0), rows }
    };
    let tables = told["tables"].as_array().expect("tables").iter().map(table).collect();
    (tables, told["error"].as_str().map(str::to_owned))
}
