//! Any table works: users' own tables as targets, and what registering one refuses.

use anyhow::{Context, Result};
use once_tests::postgres::Client;
use once_tests::promo::{call, copy, imported, refused_well, text, texts};
use once_tests::{Db, Value, json};

/// A user's own table, with names that must be quoted.
const GIFT_CARDS: &str = r#"
    CREATE SCHEMA shop;
    CREATE TABLE shop."Gift Cards" (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Shop" integer NOT NULL, "Series" varchar(8) NOT NULL,
        "Card No" bigint NOT NULL, "Value" numeric(10, 2) NOT NULL CHECK ("Value" > 0), note text, used boolean NOT NULL DEFAULT false,
        "Job" uuid, UNIQUE ("Card No", "Shop", "Series"));
    CREATE INDEX ON shop."Gift Cards" ("Job")"#;
const SPEC: &str =
    r#"{"key": ["Series", "Card No"], "scope": "Shop", "job_column": "Job", "protect": "used", "required": ["note"]}"#;
const CREATE: &str = r#"create_target('cards', 'shop."Gift Cards"', $1::text::jsonb)"#;

fn gift_cards(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    client.batch_execute(GIFT_CARDS)?;
    call(&mut client, CREATE, &[&SPEC])?;
    Ok((db, client))
}

fn fields<const N: usize>(answer: &Value, names: [&str; N]) -> [i64; N] {
    names.map(|name| answer[name].as_i64().unwrap_or(-1))
}

const FIGURES: [&str; 4] = ["total_rows", "internal_duplicates", "database_duplicates", "clean_count"];

#[test]
fn the_whole_journey_on_a_table_of_ones_own() -> Result<()> {
    let (_db, mut client) = gift_cards("cards")?;
    client.batch_execute(
        r#"INSERT INTO shop."Gift Cards" ("Shop", "Series", "Card No", "Value") VALUES (7, 'A', 1, 5), (8, 'A', 2, 5)"#,
    )?;
    let staging = r#"shop."Gift Cards_staging" ("Shop", "Series", "Card No", "Value", note)"#;
    let row = |shop, series, number, note| vec![Some(shop), Some(series), Some(number), Some("9.90"), note];
    let note = Some("n");
    let rows = [
        row("7", "A", "1", note),
        row("7", "A", "2", note),
        row("7", "B", "2", Some(" ")),
        row("7", "A", "2", note),
        row("8", "A", "9", note),
    ];
    copy(&mut client, staging, &rows)?;

    let marked = call(&mut client, "mark_duplicates('cards', '7', 2)", &[])?;
    assert_eq!(fields(&marked, FIGURES), [4, 1, 1, 2]);
    assert_eq!(marked["chunks_processed"], 2);
    let verdict = call(&mut client, "validate_staged('cards', '7')", &[])?;
    let error = json!([{"row": 3, "column": "note", "value": " ", "reason": "note is empty or blank"}]);
    assert_eq!((&verdict["valid"], &verdict["errors"]), (&json!(false), &error));
    assert_eq!(call(&mut client, "insert_clean('cards', '7')", &[])?["success"], false);
    client.execute(r#"UPDATE shop."Gift Cards_staging" SET note = 'n' WHERE row_number = 3"#, &[])?;

    let report = "SELECT concat_ws('|', row_number, staged ->> 'Series', status, duplicates_row, duplicates_id)
                  FROM once.duplicate_report('cards', '7')";
    let expected = ["1|A|DATABASE_DUPLICATE|1", "2|A|CLEAN", "3|B|CLEAN", "4|A|INTERNAL_DUPLICATE|2"];
    assert_eq!(texts(&mut client, report)?, expected);

    let job = imported(&call(&mut client, r#"insert_clean('cards', '7', '{"file": "x"}')"#, &[])?)?;
    let cards = r#"SELECT concat_ws('|', "Shop", "Series", "Card No", "Value", "Job" IS NOT NULL) FROM shop."Gift Cards" ORDER BY 1"#;
    let original = ["7|A|1|5.00|f", "8|A|2|5.00|f"];
    assert_eq!(texts(&mut client, cards)?, ["7|A|1|5.00|f", "7|A|2|9.90|t", "7|B|2|9.90|t", "8|A|2|5.00|f"]);
    assert_eq!(call(&mut client, "verify_import_job($1)", &[&job])?["verified"], true);
    client.execute(r#"UPDATE shop."Gift Cards" SET used = true WHERE "Series" = 'B'"#, &[])?;
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&job])?["success"], false);
    client.execute(r#"UPDATE shop."Gift Cards" SET used = false"#, &[])?;
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&job])?["codes_deleted"], 2);
    assert_eq!(texts(&mut client, cards)?, original);
    let cleared = call(&mut client, "clear_staging('cards', '7')", &[])?;
    assert_eq!(fields(&cleared, ["rows_deleted", "rows_remaining"]), [4, 0]);
    assert_eq!(text(&mut client, r#"SELECT count(*)::text FROM shop."Gift Cards_staging""#)?, "1");
    Ok(())
}

#[test]
fn a_table_may_have_no_scope() -> Result<()> {
    let db = Db::new("unscoped")?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE words (word text PRIMARY KEY, import_job_id uuid); INSERT INTO words VALUES ('old')",
    )?;
    call(&mut client, r#"create_target('words', 'words', '{"key": ["word"], "staging": "incoming"}')"#, &[])?;
    copy(&mut client, "incoming (word)", &["a", "old", "a", "b"].map(|word| vec![Some(word)]))?;
    assert_eq!(fields(&call(&mut client, "mark_duplicates('words', NULL)", &[])?, FIGURES), [4, 1, 1, 2]);
    assert_eq!(refused_well(&mut client, "SELECT once.mark_duplicates('words', 'x')", &[])?, "22023");
    let job = imported(&call(&mut client, "insert_clean('words', NULL)", &[])?)?;
    assert_eq!(texts(&mut client, "SELECT word FROM words ORDER BY 1")?, ["a", "b", "old"]);
    assert_eq!(call(&mut client, "verify_import_job($1)", &[&job])?["verified"], true);
    let statuses = "SELECT status FROM once.duplicate_report('words', NULL)";
    let expected = ["CLEAN", "DATABASE_DUPLICATE", "INTERNAL_DUPLICATE", "CLEAN"];
    assert_eq!(texts(&mut client, statuses)?, expected);
    call(&mut client, "rollback_import_job($1)", &[&job])?;
    assert_eq!(texts(&mut client, "SELECT word FROM words")?, ["old"]);
    assert_eq!(call(&mut client, "clear_staging('words', NULL)", &[])?["rows_deleted"], 4);
    Ok(())
}

/// Equality is that of the key's own index: what it takes for one key is one key for marking and inserting too.
#[test]
fn keys_are_equal_when_their_index_says_so() -> Result<()> {
    let db = Db::new("equality")?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;
         CREATE TABLE cased (k ext.citext PRIMARY KEY, import_job_id uuid); INSERT INTO cased VALUES ('ABC')",
    )?;
    let mut tables = vec!["cased"];
    if text(&mut client, "SELECT (count(*) > 0)::text FROM pg_collation WHERE collname = 'und-x-icu'")? == "true" {
        client.batch_execute(
            "CREATE COLLATION ext.ignoring_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             CREATE TABLE collated (k text COLLATE ext.ignoring_case PRIMARY KEY, import_job_id uuid);
             CREATE TABLE indexed (k text NOT NULL, import_job_id uuid);
             CREATE UNIQUE INDEX ON indexed (k COLLATE ext.ignoring_case);
             INSERT INTO collated VALUES ('ABC'); INSERT INTO indexed VALUES ('ABC')",
        )?;
        tables.extend(["collated", "indexed"]);
    }
    for table in tables {
        call(&mut client, r#"create_target($1, $1::text::regclass, '{"key": ["k"]}')"#, &[&table])?;
        copy(&mut client, &format!("{table}_staging (k)"), &["abc", "x", "X", "y", "aBc"].map(|k| vec![Some(k)]))?;
        let marked = call(&mut client, "mark_duplicates($1, NULL)", &[&table]).context(table)?;
        // abc twice and ABC in production; X is x again.
        assert_eq!(fields(&marked, FIGURES), [5, 2, 2, 2], "{table}");
        imported(&call(&mut client, "insert_clean($1, NULL)", &[&table])?)?;
        let found = format!("SELECT k::text COLLATE \"C\" FROM {table} ORDER BY 1");
        assert_eq!(texts(&mut client, &found)?, ["ABC", "x", "y"], "{table}");
    }
    Ok(())
}

#[test]
fn registering_twice_changes_nothing_and_otherwise_is_refused() -> Result<()> {
    let (_db, mut client) = gift_cards("twice")?;
    let registered = "SELECT concat(xmin, ' ', t::text) FROM once.targets t";
    let before = texts(&mut client, registered)?;
    assert_eq!(call(&mut client, CREATE, &[&SPEC])?["created"], false);
    assert_eq!(texts(&mut client, registered)?, before);
    let other = SPEC.replace(r#""note""#, "");
    assert_eq!(refused_well(&mut client, &format!("SELECT once.{CREATE}"), &[&other])?, "42710");
    assert_eq!(texts(&mut client, registered)?, before);
    Ok(())
}

/// What files call a column is part of the spec: shown to whoever reads files, and kept with the job.
#[test]
fn a_target_says_what_files_call_its_columns() -> Result<()> {
    let (_db, mut client) = gift_cards("aliases")?;
    let shown = "SELECT aliases::text FROM once.target_list";
    assert_eq!(text(&mut client, shown)?, "{}");
    client.batch_execute("SELECT once.drop_target('cards')")?;
    let aliases = r#"{"Laden \"A\"": "Shop", "card number": "Card No", "card_no": "Card No", "VALUE": "Value"}"#;
    let spec = SPEC.replacen('{', &format!(r#"{{"aliases": {aliases}, "#), 1);
    assert_eq!(call(&mut client, CREATE, &[&spec])?["created"], true);
    let same = "SELECT (aliases = $1::text::jsonb) FROM once.target_list";
    assert!(client.query_one(same, &[&aliases])?.try_get::<_, bool>(0)?, "{}", text(&mut client, shown)?);
    assert_eq!(call(&mut client, CREATE, &[&spec])?["created"], false);
    // Other names, another spec.
    let other = spec.replace("card_no", "cardno");
    for other in [other.as_str(), SPEC] {
        assert_eq!(refused_well(&mut client, &format!("SELECT once.{CREATE}"), &[&other])?, "42710", "{other}");
    }

    let staging = r#"shop."Gift Cards_staging" ("Shop", "Series", "Card No", "Value", note)"#;
    copy(&mut client, staging, &[["7", "A", "1", "1", "n"].map(Some).to_vec()])?;
    call(&mut client, "mark_duplicates('cards', '7')", &[])?;
    let job = imported(&call(&mut client, "insert_clean('cards', '7')", &[])?)?;
    client.batch_execute("SELECT once.drop_target('cards')")?;
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&job])?["codes_deleted"], 1);
    Ok(())
}

#[test]
fn a_job_outlives_its_target() -> Result<()> {
    let (_db, mut client) = gift_cards("dropped")?;
    let staging = r#"shop."Gift Cards_staging" ("Shop", "Series", "Card No", "Value", note)"#;
    let rows = ["1", "2"].map(|number| vec![Some("7"), Some("A"), Some(number), Some("1"), Some("n")]);
    copy(&mut client, staging, &rows)?;
    call(&mut client, "mark_duplicates('cards', '7')", &[])?;
    let job = imported(&call(&mut client, "insert_clean('cards', '7')", &[])?)?;
    client.batch_execute(r#"SELECT once.drop_target('cards'); DROP TABLE shop."Gift Cards_staging""#)?;
    assert_eq!(refused_well(&mut client, "SELECT once.mark_duplicates('cards', '7')", &[])?, "42704");
    assert_eq!(call(&mut client, "verify_import_job($1)", &[&job])?["verified"], true);
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&job])?["codes_deleted"], 2);
    assert_eq!(text(&mut client, r#"SELECT count(*)::text FROM shop."Gift Cards""#)?, "0");
    Ok(())
}

/// A scope is locked and recorded as text: a type whose text depends on who reads it, or of which equal values
/// have several texts, would send a rollback to the wrong scope.
#[test]
fn a_scope_is_of_a_type_with_one_text_a_value() -> Result<()> {
    let db = Db::new("scopes")?;
    let mut client = db.client()?;
    client.batch_execute("CREATE EXTENSION citext")?;
    for (number, column) in
        ["date", "timestamptz", "interval", "numeric", "float8", "bytea", "citext"].iter().enumerate()
    {
        client.batch_execute(&format!(
            "CREATE TABLE t{number} (s {column}, k text, import_job_id uuid, UNIQUE (s, k))"
        ))?;
        let create = format!(r#"SELECT once.create_target('x', 't{number}', '{{"key": ["k"], "scope": "s"}}')"#);
        assert_eq!(refused_well(&mut client, &create, &[])?, "42804", "{column}");
    }
    Ok(())
}

#[path = "targets/changed.rs"]
mod changed;
#[path = "targets/refused.rs"]
mod refusals;
#[path = "targets/rows.rs"]
mod rows;
