//! Many rows: the work grows with them and not with their square, and can be cancelled at any time. The bounds are far from
//! what a slow machine needs, and far below what a product of rows would take.

use std::time::{Duration, Instant};

use anyhow::Result;
use once_tests::rows::{tables, target};
use once_tests::sqlstate;

/// `count` rows, made by the server: the fields of row `i`.
fn rows(fields: &str, count: usize) -> String {
    format!("(SELECT jsonb_agg(jsonb_build_object({fields})) FROM generate_series(1, {count}) AS i)")
}

#[test]
fn keys_whose_columns_may_all_be_null() -> Result<()> {
    let sql = "CREATE TABLE pairs (id bigserial PRIMARY KEY, a text, b text, v int, UNIQUE NULLS NOT DISTINCT (a, b))";
    let (_db, mut client) = tables("large_nulls", sql)?;
    target(&mut client, "pairs", r#"{"match": [["a", "b"]]}"#)?;
    client.batch_execute("SET statement_timeout = '15s'")?;
    for outcome in ["inserted", "unchanged"] {
        let rows = rows("'a', 'a' || i, 'b', CASE WHEN i % 2 = 0 THEN 'b' || i END, 'v', i", 25_000);
        let done: i64 =
            client.query_one(&format!("SELECT (once.ingest('pairs', {rows}) ->> '{outcome}')::bigint"), &[])?.get(0);
        assert_eq!(done, 25_000);
    }
    Ok(())
}

/// A sheet whose every row the database refuses, for a column that was mistaken for another.
#[test]
fn rows_that_are_all_refused() -> Result<()> {
    let sql = "CREATE TABLE priced (id bigserial PRIMARY KEY, no text UNIQUE, price int CHECK (price > 0))";
    let (_db, mut client) = tables("large_refused", sql)?;
    target(&mut client, "priced", r#"{"match": [["no"]]}"#)?;
    client.batch_execute("SET statement_timeout = '15s'")?;
    let rows = rows("'no', i::text, 'price', -i", 30_000);
    let done: i64 =
        client.query_one(&format!("SELECT (once.ingest('priced', {rows}) ->> 'rejected')::bigint"), &[])?.get(0);
    assert_eq!(done, 30_000);
    Ok(())
}

#[test]
fn a_timeout_ends_it_in_every_phase() -> Result<()> {
    let sql = "CREATE TABLE people (id bigserial PRIMARY KEY, phone text UNIQUE, ic text UNIQUE, name text, at timestamptz, tags text[])";
    let (_db, mut client) = tables("large_cancel", sql)?;
    target(
        &mut client,
        "people",
        r#"{"match": [["phone"], ["ic"]], "merge": {"name": {"newest": "at"}, "tags": "union"}}"#,
    )?;
    let fields = "'phone', '60' || i % 20000, 'ic', 'IC' || i % 20000, 'name', i, 'at', '2026-01-01T00:00:00Z', 'tags', jsonb_build_array('a' || i)";
    client.batch_execute(&format!("CREATE TABLE sheet AS SELECT {} AS rows", rows(fields, 40_000)))?;
    for milliseconds in [50, 150, 300, 500, 800, 1200] {
        client.batch_execute(&format!("SET statement_timeout = {milliseconds}"))?;
        let start = Instant::now();
        match client.execute("SELECT once.ingest('people', rows) FROM sheet", &[]) {
            Ok(_) => break,
            Err(error) => assert_eq!(sqlstate(&error), Some("57014"), "{error:?}"),
        }
        assert!(start.elapsed() < Duration::from_millis(milliseconds + 5000));
        let left: i64 = client.query_one("SELECT count(*) FROM people", &[])?.get(0);
        assert_eq!(left, 0);
    }
    Ok(())
}
