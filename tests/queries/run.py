"""Runs the code of docs/queries.md in the folder of the fixture: JSON in, JSON out.

In: {"sql": {"setup": ..., "queries": [...]}, "polars": {...}}.
Out: for each engine {"tables": [...], "error": ...}; a table is its header and rows, every cell as
text; after an error nothing more is run.
"""

import ast
import json
import sys
from datetime import datetime, timezone

import duckdb
import polars as pl


def moment(nanoseconds):
    """UTC to the microsecond, as far as DuckDB reckons, without trailing zeros."""
    if nanoseconds is None:
        return None
    seconds, rest = divmod(int(nanoseconds) // 1000, 1_000_000)
    text = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{rest:06}".rstrip("0").rstrip(".")


def run_sql(setup, queries):
    connection = duckdb.connect()
    connection.execute(setup)
    for query in queries:
        relation = connection.sql(query)
        times = ["TIMESTAMP" in str(kind) for kind in relation.types]
        # Not through Python's own times, which want a package for time zones.
        cells = [
            f'epoch_ns("{name}")' if is_time else f'"{name}"::VARCHAR'
            for name, is_time in zip(relation.columns, times)
        ]
        rows = relation.project(", ".join(cells)).fetchall()
        shown = [[moment(c) if t else c for c, t in zip(row, times)] for row in rows]
        yield [relation.columns, *shown]


def run_polars(setup, queries):
    for query in queries:
        names = {}
        exec(setup, names)
        # What stands last is an expression, as one would type it.
        code = ast.parse(query)
        last = ast.Expression(code.body.pop().value)
        exec(compile(code, "docs/queries.md", "exec"), names)
        frame = eval(compile(last, "docs/queries.md", "eval"), names)
        columns = []
        for column in frame.iter_columns():
            if column.dtype.is_temporal():
                columns.append([moment(value) for value in column.dt.timestamp("ns")])
            else:
                columns.append(column.cast(pl.String).to_list())
        yield [frame.columns, *map(list, zip(*columns))]


def attempt(run, code):
    """Tables until the first error, which is told."""
    tables = []
    try:
        tables.extend(run(code["setup"], code["queries"]))
    except Exception as error:
        return {"tables": tables, "error": f"{type(error).__name__}: {error}"}
    return {"tables": tables, "error": None}


code = json.load(sys.stdin)
told = {"sql": attempt(run_sql, code["sql"]), "polars": attempt(run_polars, code["polars"])}
json.dump(told, sys.stdout)
