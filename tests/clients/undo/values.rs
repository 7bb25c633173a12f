//! Values come back as they were, to the digit, whatever the sessions' settings.

use anyhow::{Context, Result};
use once_tests::promo::{call, text, texts};

use super::{take, undo, with};

/// Of each type: a value, another one as JSON gives it.
const VALUES: [(&str, &str, &str); 24] = [
    ("numeric", "1.500", "2"),
    ("numeric(20,4)", "12345678901234.5600", "1"),
    ("bigint", "9223372036854775807", "1"),
    ("float8", "0.30000000000000004", "1e300"),
    ("float4", "1.1754944e-38", "1"),
    ("text", "", "\"x\""),
    ("text COLLATE \"C\"", " a\tb ", "\"x\""),
    ("varchar(5)", "a  ", "\"x\""),
    ("char(5)", "a", "\"b\""),
    ("boolean", "f", "true"),
    ("bytea", "\\x00ff5c27", "\"\\\\x01\""),
    ("uuid", "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "\"bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb\""),
    ("date", "0044-03-15 BC", "\"2024-02-29\""),
    ("time", "24:00:00", "\"01:02:03.5\""),
    ("timestamp", "2024-03-31 02:30:00.123456", "\"2024-01-01T00:00:00\""),
    ("timestamptz", "2024-10-27 00:30:00.123456+00", "\"2024-01-01T00:00:00Z\""),
    ("timestamptz[]", "{\"2024-10-27 00:30:00.123456+00\",NULL}", "[\"2024-01-01T00:00:00Z\"]"),
    ("interval", "-1 years -2 mons +3 days -04:05:06.7", "\"1 day\""),
    ("jsonb", "{\"a\": [1.10, 1e2, null], \"b\": \"\\u0007\"}", "{\"c\": 1}"),
    ("json", "{\"a\":  1.10, \"a\": 2}", "{\"c\": 1}"),
    ("text[]", "[0:1]={NULL,\"a,\\\"b\"}", "[\"z\"]"),
    ("numeric[]", "{1.10,2.00}", "[3]"),
    ("mood", "it's ok", "\"sad\""),
    ("inet", "10.0.0.1/8", "\"::1\""),
];

#[test]
fn every_type_gives_its_value_back() -> Result<()> {
    let columns: Vec<String> = (0..VALUES.len()).map(|n| format!("c{n} {}", VALUES[n].0)).collect();
    let ddl = format!(
        "CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE TABLE t (code text PRIMARY KEY, {}); SET TimeZone = 'UTC'",
        columns.join(", ")
    );
    let spec = r#"{"match": [["code"]], "merge": {"*": "overwrite"}, "blank": "keep", "timezone": "Europe/Berlin"}"#;
    let (_db, mut client) = with("types", &ddl, spec)?;
    let mut insert = client.transaction()?;
    let values: Vec<String> = VALUES.iter().map(|(_, value, _)| format!("'{}'", value.replace('\'', "''"))).collect();
    insert.batch_execute(&format!("INSERT INTO t VALUES ('full', {})", values.join(", ")))?;
    insert.batch_execute("INSERT INTO t (code) VALUES ('nulls')")?;
    insert.commit()?;
    let shown: Vec<String> =
        (0..VALUES.len()).map(|n| format!("coalesce(encode(textsend(c{n}::text), 'hex'), 'NULL')")).collect();
    let shown = format!("SELECT unnest(ARRAY[{}]) FROM t ORDER BY code", shown.join(", "));
    let before = texts(&mut client, &shown)?;
    let given: Vec<String> = VALUES.iter().enumerate().map(|(n, (_, _, json))| format!("\"c{n}\": {json}")).collect();
    let nulls: Vec<String> = (0..VALUES.len()).map(|n| format!("\"c{n}\": null")).collect();
    let (given, nulls) = (given.join(", "), nulls.join(", "));
    let clearing = format!(r#"[{{"code": "full", {nulls}}}]"#);
    let writing = format!(r#"[{{"code": "full", {given}}}, {{"code": "nulls", {given}}}, {{"code": "new", {given}}}]"#);
    for rows in [&clearing, &writing] {
        client.batch_execute("SET DateStyle = 'German'; SET extra_float_digits = -10; SET TimeZone = 'Asia/Kolkata'; SET bytea_output = 'escape'; SET IntervalStyle = 'iso_8601'")?;
        let job = take(&mut client, rows)?;
        client.batch_execute("RESET ALL; SET TimeZone = 'America/St_Johns'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'")?;
        let written = if rows == &clearing { 1 } else { 3 };
        assert_eq!(undo(&mut client, job)?, [written, 0, 0], "{rows}");
        client.batch_execute("RESET ALL; SET TimeZone = 'UTC'")?;
        for (n, (now, then)) in texts(&mut client, &shown)?.iter().zip(&before).enumerate() {
            assert_eq!(now, then, "{:?}", VALUES[n % VALUES.len()]);
        }
    }
    Ok(())
}

/// NULL and an empty text are two values: before, written, and changed to since.
#[test]
fn null_is_not_empty() -> Result<()> {
    let spec = r#"{"match": [["code"]], "merge": {"*": "overwrite"}, "blank": "keep"}"#;
    let (_db, mut client) = with("nulls", "CREATE TABLE t (code text PRIMARY KEY, a text)", spec)?;
    let rows = "SELECT concat(code, ' ', coalesce(quote_literal(a), 'NULL')) FROM t ORDER BY code";
    client.batch_execute("INSERT INTO t VALUES ('1', NULL), ('2', ''), ('3', NULL), ('4', '')")?;
    let job = take(
        &mut client,
        r#"[{"code": "1", "a": ""}, {"code": "2", "a": null}, {"code": "3", "a": ""}, {"code": "4", "a": null}, {"code": "5", "a": ""}, {"code": "6"}]"#,
    )?;
    client.batch_execute(
        "UPDATE t SET a = NULL WHERE code IN ('3', '5'); UPDATE t SET a = '' WHERE code IN ('4', '6')",
    )?;
    // 3 and 4 are as before already, by a person's hand; 5 and 6 are a person's now.
    let [reversed, kept, errored] = undo(&mut client, job)?;
    assert_eq!((reversed + kept, errored), (6, 0));
    assert_eq!((reversed, kept), (2, 4));
    assert_eq!(texts(&mut client, rows)?, ["1 NULL", "2 ''", "3 NULL", "4 ''", "5 NULL", "6 ''"]);
    Ok(())
}

/// An argument list of Postgres holds 100: tables have more columns than that.
#[test]
fn a_table_of_many_columns_is_changed_and_undone() -> Result<()> {
    let columns: Vec<String> = (0..300).map(|n| format!("c{n} integer")).collect();
    let ddl = format!("CREATE TABLE t (code text PRIMARY KEY, {})", columns.join(", "));
    let (_db, mut client) = with("wide", &ddl, r#"{"match": [["code"]]}"#)?;
    let row = |code: &str, value: i32| {
        let cells: Vec<String> = (0..300).map(|n| format!("\"c{n}\": {}", n + value)).collect();
        format!(r#"{{"code": "{code}", {}}}"#, cells.join(", "))
    };
    let sum = "SELECT string_agg(concat(code, ' ', c0 + c1 + c299), ',' ORDER BY code) FROM t";
    take(&mut client, &format!("[{}]", row("a", 0)))?;
    let job = take(&mut client, &format!("[{}, {}]", row("a", 1000), row("b", 0)))?;
    assert_eq!(text(&mut client, sum)?, "a 3300,b 300");
    assert_eq!(undo(&mut client, job)?, [2, 0, 0]);
    assert_eq!(text(&mut client, sum)?, "a 300");
    Ok(())
}

/// Users' columns are called what they like: also as the statements call things of their own.
#[test]
fn no_name_of_a_column_is_taken() -> Result<()> {
    for name in [
        "n",
        "k",
        "g",
        "s",
        "t",
        "id id",
        "given a",
        "time of a",
        "before",
        "number",
        "identity",
        "digest",
        "job_id",
        "made",
    ] {
        let spec = format!(r#"{{"match": [["{name}"], ["other"]], "merge": {{"a": "overwrite", "b": "greatest"}}}}"#);
        let ddl = format!(
            r#"CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "{name}" text UNIQUE, other text UNIQUE, a text, b int); INSERT INTO t ("{name}", a) VALUES ('x', '1')"#
        );
        let (_db, mut client) = with("names", &ddl, &spec)?;
        let rows = format!(
            r#"[{{"{name}": "x", "a": "2", "b": 1}}, {{"{name}": "y", "other": "z", "b": 2}}, {{"other": "z", "b": 3}}]"#
        );
        let answer = call(&mut client, "ingest('t', $1::text::jsonb)", &[&rows]).with_context(|| name.to_owned())?;
        assert_eq!(
            (&answer["updated"], &answer["inserted"], &answer["duplicate"]),
            (&1.into(), &1.into(), &1.into()),
            "{name}: {answer}"
        );
        let job = once_tests::promo::imported(&answer)?;
        assert_eq!(undo(&mut client, job)?, [2, 0, 0], "{name}");
        let left = format!(r#"SELECT concat_ws('|', "{name}", a, b) FROM t"#);
        assert_eq!(texts(&mut client, &left)?, ["x|1"], "{name}");
    }
    Ok(())
}
