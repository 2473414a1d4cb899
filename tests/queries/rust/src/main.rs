//! Runs the queries of docs/queries-rust.md on the files of the folder that it is called in, and
//! prints their tables as JSON: title to header and rows, every cell as text, times as nanoseconds.

use serde_json::{Map, Value, json};

/// Makes a query of events, sockets and packets.
type Question = fn(LazyFrame, LazyFrame, LazyFrame) -> PolarsResult<LazyFrame>;

#[expect(unused_variables, reason = "no question needs all three tables")]
mod page {
    use super::Question;

    include!(concat!(env!("OUT_DIR"), "/page.rs"));

    /// Events, sockets and packets.
    pub fn tables() -> PolarsResult<[LazyFrame; 3]> {
        let events = open("ev*.parquet")?;
        let sockets = sockets(&events);
        Ok([events, sockets, open("packets.parquet")?])
    }
}

use polars::prelude::*;

fn main() -> PolarsResult<()> {
    let mut told = Map::new();
    for (title, question) in page::ALL {
        let [events, sockets, packets] = page::tables()?;
        told.insert((*title).to_owned(), table(&question(events, sockets, packets)?.collect()?)?);
    }
    println!("{}", Value::Object(told));
    Ok(())
}

fn table(frame: &DataFrame) -> PolarsResult<Value> {
    let header: Vec<_> = frame.get_column_names().iter().map(|name| name.to_string()).collect();
    let mut times = vec![];
    let mut columns = vec![];
    for column in frame.columns() {
        times.push(column.dtype().is_temporal());
        let column = if column.dtype().is_temporal() {
            column.cast(&DataType::Int64)?
        } else {
            column.clone()
        };
        columns.push(column.cast(&DataType::String)?);
    }
    let mut rows = vec![];
    for row in 0..frame.height() {
        let cells = columns.iter().map(|column| Ok(json!(column.str()?.get(row))));
        rows.push(cells.collect::<PolarsResult<Value>>()?);
    }
    Ok(json!({ "header": header, "times": times, "rows": rows }))
}
