//! `docs/queries.md` as a test: every query in it is taken from the page and run by the engine it is
//! for, on recordings of an incident that the tests make up, and on the table of packets that
//! `ebpfjoin` makes of a capture of it. What the page says of the answer, what
//! DuckDB says, what polars says, and what the incident's own facts say must be one table.

mod answers;
mod capture;
mod document;
mod engine;
mod rows;
mod table;
mod world;

use self::document::Document;
use self::table::Table;
use self::world::World;

/// What the facts say to each question of the page, in its order.
fn answers(document: &Document) -> Vec<Table> {
    let world = World::new();
    let titles: Vec<_> = document.questions.iter().map(|question| &question.title).collect();
    let known: Vec<_> = answers::ALL.iter().map(|(title, _)| title).collect();
    assert_eq!(titles, known, "the page has other questions than the test");
    answers::ALL.iter().map(|(_, answer)| answer(&world)).collect()
}

#[test]
fn the_page_says_what_happened() {
    let document = Document::read();
    let mut wrong = String::new();
    for (question, answer) in document.questions.iter().zip(answers(&document)) {
        if question.answer != answer {
            wrong += &format!("\n## {}\n\nthe facts say\n\n{answer}", question.title);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn both_engines_say_what_happened() {
    let document = Document::read();
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new();
    rows::write(&world, folder.path());
    capture::write(&world, folder.path());
    let Some(told) = engine::run(&document, folder.path()) else { return };
    let answers = answers(&document);
    let mut wrong = String::new();
    for (engine, (tables, error)) in told {
        for ((question, answer), told) in document.questions.iter().zip(&answers).zip(&tables) {
            if answer != told {
                let title = &question.title;
                wrong +=
                    &format!("\n## {title}\n\nthe facts say\n\n{answer}\n{engine} says\n\n{told}");
            }
        }
        if let Some(error) = error {
            let title = document.questions.get(tables.len()).map(|question| &question.title);
            wrong += &format!("\n{engine} fails at {title:?}: {error}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// `docs/queries-rust.md`, built by `make queries-rust`, which says where the program is.
#[test]
fn rust_says_what_happened() {
    let Some(program) = std::env::var_os("EBPF_QUERIES_RUST") else {
        eprintln!("docs/queries-rust.md not run: it takes minutes to build (make queries-rust)");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new();
    rows::write(&world, folder.path());
    capture::write(&world, folder.path());
    let told = engine::run_rust(program.as_ref(), folder.path());
    let mut wrong = String::new();
    for (title, told) in &told {
        let (_, answer) =
            answers::ALL.iter().find(|(known, _)| known == title).expect("a question");
        let answer = answer(&world);
        if *told != answer {
            wrong += &format!("\n## {title}\n\nthe facts say\n\n{answer}\nRust says\n\n{told}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(told.len(), 10);
}

#[test]
fn the_index_names_every_question() {
    let document = Document::read();
    let titles: Vec<_> = document.questions.iter().map(|question| question.title.clone()).collect();
    assert_eq!(document.index, titles);
}

#[test]
fn every_answer_tells_something() {
    for answer in answers(&Document::read()) {
        assert!(answer.rows.len() > 1, "one row can be right by chance\n{answer}");
    }
}

/// What was really recorded has more nulls and fewer answers; both engines must take it alike.
#[test]
fn both_engines_say_the_same_of_a_real_recording() {
    let document = Document::read();
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let copy = |from: &str, to: &str| {
        std::fs::copy(fixtures.join(from), folder.path().join(to)).expect("copied");
    };
    copy("loopback.parquet", "ev-web-1.parquet");
    copy("loopback.pcapng", "trace.pcapng");
    capture::join(folder.path());
    let Some([(_, sql), (_, polars)]) = engine::run(&document, folder.path()) else { return };
    assert_eq!((&sql.1, &polars.1), (&None, &None));
    let mut told = 0;
    for ((question, mut sql), mut polars) in document.questions.iter().zip(sql.0).zip(polars.0) {
        // Among equals either order is right.
        sql.rows.sort();
        polars.rows.sort();
        assert_eq!(sql, polars, "{}", question.title);
        told += usize::from(!sql.rows.is_empty());
    }
    assert!(told > 10, "{told} questions have an answer");
}
