//! Values reach the table exactly, whatever the session's settings, the types and the names.

use anyhow::Result;
use once_tests::rows::{ingest, ingest_rows, outcomes, tables, target};
use once_tests::{Value, json};

const TABLE: &str = r#"
CREATE EXTENSION citext;
CREATE TYPE colour AS ENUM ('red', 'blue');
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE kinds (id bigserial PRIMARY KEY, mail citext UNIQUE, n40 numeric, price numeric(12, 2), tz timestamptz, ts timestamp,
    t3 timestamp(3), d date, j jsonb, js json, nums numeric[], col colour, pct percent, code char(5), v varchar(3), b bytea,
    iv interval, f float8, x text)"#;

/// Settings of a session that must not tell.
const HOSTILE: &str = "SET TimeZone = 'America/St_Johns'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard';
    SET extra_float_digits = -15; SET standard_conforming_strings = off; SET bytea_output = 'escape'; SET array_nulls = off;
    SET search_path = ''";

#[test]
fn every_digit_zone_and_level_whatever_the_session_says() -> Result<()> {
    let (_db, mut client) = tables("exact_values", TABLE)?;
    target(
        &mut client,
        "kinds",
        r#"{"match": [["mail"]], "timezone": "Asia/Kuala_Lumpur", "merge": {"nums": "overwrite"}}"#,
    )?;
    let deep = format!("{}1.10{}", "[".repeat(1000), "]".repeat(1000));
    let rows = format!(
        r#"[{{"mail": "Ann@x.my", "n40": 1234567890123456789012345678901234567890.1234567890, "price": "10.50",
             "tz": "2026-03-05 10:00", "ts": "2026-03-05T10:00:00Z", "t3": "2026-03-05T10:00:00.123", "d": "2026-03-05", "j": {deep},
             "js": {{"k": {deep}}}, "nums": [1.10, null, 12345678901234567890.5], "col": "blue", "pct": 100, "code": "ab", "v": "äöü",
             "b": "\\x00ff27", "iv": "-1 day 02:03", "f": 0.1234567890123456, "x": "'); DROP TABLE kinds; -- \\ $$ \" \t é 🎈"}}]"#
    );
    client.batch_execute(HOSTILE)?;
    for outcome in ["inserted", "unchanged"] {
        let told = ingest_rows(&mut client, "kinds", &rows)?;
        assert_eq!(outcomes(&told), outcome, "{told:?}");
    }
    client.batch_execute("RESET ALL; SET TimeZone = 'UTC'")?;
    let sql = "SELECT concat_ws('|', n40, price, tz, ts, t3, d, nums, col, pct, code, v, b, iv, f, x) FROM kinds";
    let there: String = client.query_one(sql, &[])?.get(0);
    let expected = "1234567890123456789012345678901234567890.1234567890|10.50|2026-03-05 02:00:00+00|2026-03-05 18:00:00|\
                    2026-03-05 10:00:00.123|2026-03-05|{1.10,NULL,12345678901234567890.5}|blue|100|ab   |äöü|\\x00ff27|-1 days +02:03:00|\
                    0.1234567890123456|'); DROP TABLE kinds; -- \\ $$ \" \t é 🎈";
    assert_eq!(there, expected);
    let same = "SELECT j = $1::text::jsonb AND js::jsonb = jsonb_build_object('k', $1::text::jsonb) FROM kinds";
    assert!(client.query_one(same, &[&deep])?.get::<_, bool>(0));
    // The key has no case.
    let told =
        ingest_rows(&mut client, "kinds", r#"[{"mail": "ANN@X.MY", "x": "new"}, {"mail": "ann@x.my", "v": "w"}]"#)?;
    assert_eq!(outcomes(&told), "updated duplicate");
    Ok(())
}

#[test]
fn what_would_be_cut_or_rounded_costs_its_row_and_no_other() -> Result<()> {
    let (_db, mut client) = tables("exact_refused", TABLE)?;
    target(&mut client, "kinds", r#"{"match": [["mail"]]}"#)?;
    let faulty = [
        r#""price": 10.505"#,
        r#""price": "1,000""#,
        r#""price": 1e11"#,
        r#""t3": "2026-01-01T00:00:00.1234""#,
        r#""d": "01/02/2026""#,
        r#""d": "2026-02-30""#,
        r#""d": "now""#,
        r#""col": "green""#,
        r#""pct": 101"#,
        r#""code": "sixsix""#,
        r#""v": "long""#,
        r#""b": "\\xzz""#,
        r#""f": 1e400"#,
        r#""n40": true"#,
        r#""price": {"a": 1}"#,
        r#""nums": ["x"]"#,
    ];
    let mut rows: Vec<String> = faulty.iter().enumerate().map(|(n, f)| format!(r#"{{"mail": "{n}", {f}}}"#)).collect();
    rows.push(r#"{"mail": "good"}"#.into());
    let told = ingest_rows(&mut client, "kinds", &format!("[{}]", rows.join(",")))?;
    for (told, faulty) in told.iter().zip(faulty) {
        let column = faulty.split('"').nth(1).unwrap_or_default();
        let reason = told.reason.as_deref().unwrap_or_default();
        assert!(told.outcome == "rejected" && reason.starts_with(column), "{faulty}: {told:?}");
    }
    assert_eq!(told[faulty.len()].outcome, "inserted");
    Ok(())
}

/// Within domains and arrays too.
#[test]
fn domains_and_arrays_neither_round_nor_cut_nor_lose_a_zone() -> Result<()> {
    let sql = "CREATE DOMAIN money2 AS numeric(12, 2); CREATE DOMAIN short AS varchar(3); CREATE DOMAIN local AS timestamp;
        CREATE TABLE held (id bigserial PRIMARY KEY, ref text UNIQUE, m money2, ma numeric(12, 2)[], s short, va varchar(3)[], bits bit(3),
            t local, ta timestamp[], da date[]);
        INSERT INTO held (ref) VALUES ('old'), ('other')";
    let (_db, mut client) = tables("exact_held", sql)?;
    target(&mut client, "held", r#"{"match": [["ref"]]}"#)?;
    let mut wrong = Vec::new();
    for faulty in [
        r#""m": 10.505"#,
        r#""ma": [10.505]"#,
        r#""s": "long""#,
        r#""va": ["long"]"#,
        r#""bits": "1011""#,
        r#""da": ["01/02/2026"]"#,
    ] {
        let rows = format!(r#"[{{"ref": "old", {faulty}}}, {{"ref": "other"}}]"#);
        let told = ingest_rows(&mut client, "held", &rows).map(|told| outcomes(&told)).map_err(|e| e.to_string());
        if told.as_deref() != Ok("rejected unchanged") {
            wrong.push(format!("{faulty}: {told:?}"));
        }
    }
    let time = "2026-01-01T10:00:00+08:00";
    for zoned in [format!(r#"{{"ref": "t", "t": "{time}"}}"#), format!(r#"{{"ref": "t", "ta": ["{time}"]}}"#)] {
        let told = outcomes(&ingest_rows(&mut client, "held", &format!("[{zoned}]"))?);
        if told != "rejected" {
            wrong.push(format!("{zoned}: {told}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn columns_that_are_called_as_the_statements_call_theirs() -> Result<()> {
    let sql = r#"CREATE TABLE named (id bigserial PRIMARY KEY, k text UNIQUE, n int, s text, t text, g int, "id id" text, "given s" text, "time of t" text)"#;
    let (_db, mut client) = tables("exact_named", sql)?;
    target(
        &mut client,
        "named",
        r#"{"match": [["k"]], "merge": {"s": "overwrite", "t": {"newest": "n"}, "g": "greatest"}}"#,
    )?;
    let rows = r#"[{"k": "a", "n": 1, "s": "s", "t": "t", "g": 1, "id id": "i", "given s": "g", "time of t": "m"}, {"k": "a", "n": 2, "t": "u", "g": 3}]"#;
    assert_eq!(outcomes(&ingest_rows(&mut client, "named", rows)?), "inserted duplicate");
    let told = ingest_rows(
        &mut client,
        "named",
        r#"[{"k": "a", "n": 3, "s": null, "t": "v", "id id": "j", "given s": "h", "time of t": "n"}]"#,
    )?;
    assert_eq!(outcomes(&told), "updated");
    let there: String = client.query_one("SELECT row_to_json(named)::text FROM named", &[])?.get(0);
    assert_eq!(there, r#"{"id":1,"k":"a","n":3,"s":null,"t":"v","g":3,"id id":"j","given s":"h","time of t":"n"}"#);
    Ok(())
}

#[test]
fn names_of_any_kind() -> Result<()> {
    let long = |end: &str| format!("{}{end}", "x".repeat(63 - end.len()));
    let (table, key) = ("we\"ird. \\'täble", "kéy\\'");
    let (first, second) = (long("a"), long("b"));
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let sql = format!(
        "CREATE TABLE {} (id bigserial PRIMARY KEY, {} text UNIQUE, {} text, {} text, \"\"\"; --\" text)",
        quoted(table),
        quoted(key),
        quoted(&first),
        quoted(&second)
    );
    let (_db, mut client) = tables("exact_names", &sql)?;
    let spec = json!({"match": [[key]], "merge": {first.as_str(): "overwrite", second.as_str(): "overwrite"}});
    target(&mut client, table, &spec.to_string())?;
    client.batch_execute("SET standard_conforming_strings = off")?;
    for (a, b, outcome) in [("1", Some("2"), "inserted"), ("3", None, "updated"), ("3", None, "unchanged")] {
        let rows = json!([{key: "\\'k", first.as_str(): a, second.as_str(): b, "\"; --": "z"}]);
        let answer = ingest(&mut client, table, &rows.to_string(), None, false)?;
        assert_eq!(answer[outcome], json!(1), "{answer}");
    }
    let there: Value = client.query_one(&format!("SELECT to_jsonb(t) FROM {} t", quoted(table)), &[])?.get(0);
    assert_eq!(there, json!({"id": 1, key: "\\'k", first.as_str(): "3", second.as_str(): null, "\"; --": "z"}));
    Ok(())
}
