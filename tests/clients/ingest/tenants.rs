//! Tenants that know nothing of each other, callers with few rights, and tables of other kinds.

use anyhow::Result;
use once_tests::rows::{ingest_rows, outcomes, tables, target};
use once_tests::{json, sqlstate};

const TABLE: &str =
    "CREATE TABLE people (id bigserial PRIMARY KEY, org uuid NOT NULL, phone text, name text, UNIQUE (org, phone))";
const A: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const B: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

#[test]
fn the_same_phone_of_two_tenants_is_two_people() -> Result<()> {
    let (_db, mut client) = tables("tenants", TABLE)?;
    target(&mut client, "people", r#"{"match": [["phone"]], "scope": "org"}"#)?;
    let rows = json!([{"org": A, "phone": "1", "name": "a"}, {"org": B, "phone": "1", "name": "b"}, {"phone": "1", "name": "c"},
        {"org": A.to_uppercase(), "phone": "1", "name": "d"}, {"org": "x", "phone": "1"}]);
    let told = ingest_rows(&mut client, "people", &rows.to_string())?;
    assert_eq!(outcomes(&told), "inserted inserted rejected duplicate rejected");
    let there: String = client.query_one("SELECT string_agg(name, '' ORDER BY org) FROM people", &[])?.get(0);
    assert_eq!(there, "db");
    Ok(())
}

#[test]
fn who_has_no_rights_is_told_what_to_ask_for() -> Result<()> {
    let (db, mut client) = tables("tenants_rights", TABLE)?;
    target(&mut client, "people", r#"{"match": [["phone"]], "scope": "org"}"#)?;
    let role = db.create_role("ingester")?;
    client.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{role}\""))?;
    let mut other = db.client_as(&role)?;
    let rows = json!([{"org": A, "phone": "1"}]).to_string();
    let error = ingest_rows(&mut other, "people", &rows).expect_err("it has no rights");
    assert_eq!(sqlstate(&error), Some("42501"));
    let hint = error.as_db_error().and_then(|e| e.hint()).unwrap_or_default();
    assert!(hint.contains("grant_import_access"), "{hint}");
    client.execute("SELECT once.grant_import_access('people', $1)", &[&role])?;
    assert_eq!(outcomes(&ingest_rows(&mut other, "people", &rows)?), "inserted");
    assert_eq!(outcomes(&ingest_rows(&mut other, "people", &rows)?), "unchanged");
    Ok(())
}

#[test]
fn what_policies_hide_or_forbid() -> Result<()> {
    let (db, mut client) = tables("tenants_policies", TABLE)?;
    target(&mut client, "people", r#"{"match": [["phone"]], "scope": "org"}"#)?;
    let role = db.create_role("clerk")?;
    client.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA once TO \"{role}\"; INSERT INTO people (org, phone, name) VALUES ('{A}', '1', 'mine'), ('{A}', '2', 'locked'), ('{B}', '1', 'theirs');
         ALTER TABLE people ENABLE ROW LEVEL SECURITY;
         CREATE POLICY s ON people FOR SELECT USING (org = '{A}'); CREATE POLICY i ON people FOR INSERT WITH CHECK (org = '{A}');
         CREATE POLICY u ON people FOR UPDATE USING (org = '{A}' AND name <> 'locked')"
    ))?;
    client.execute("SELECT once.grant_import_access('people', $1)", &[&role])?;
    let mut clerk = db.client_as(&role)?;
    let rows = json!([{"org": A, "phone": "1", "name": "new"}, {"org": A, "phone": "3"}]).to_string();
    assert_eq!(outcomes(&ingest_rows(&mut clerk, "people", &rows)?), "updated inserted");
    // Trying again would not help: not 40001.
    for row in [json!({"org": A, "phone": "2", "name": "new"}), json!({"org": B, "phone": "1", "name": "new"})] {
        match ingest_rows(&mut clerk, "people", &json!([row]).to_string()) {
            Ok(told) => assert_eq!(outcomes(&told), "rejected", "{row}"),
            Err(error) => assert_eq!(sqlstate(&error), Some("42501"), "{row}: {error:?}"),
        }
    }
    let names: String =
        client.query_one("SELECT string_agg(coalesce(name, '-'), ' ' ORDER BY org, phone) FROM people", &[])?.get(0);
    assert_eq!(names, "new locked - theirs");
    Ok(())
}

#[test]
fn partitions_and_tables_without_a_primary_key() -> Result<()> {
    let sql = "CREATE TABLE sales (day date NOT NULL, no text NOT NULL, total numeric, UNIQUE (day, no)) PARTITION BY RANGE (day);
        CREATE TABLE sales_2026 PARTITION OF sales FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')";
    let (_db, mut client) = tables("partitions", sql)?;
    target(&mut client, "sales", r#"{"match": [["day", "no"]], "merge": {"total": "overwrite"}}"#)?;
    let rows = r#"[{"day": "2026-01-01", "no": "1", "total": 1}, {"day": "2030-01-01", "no": "1"}, {"day": "2026-01-01", "no": "1", "total": null}]"#;
    assert_eq!(outcomes(&ingest_rows(&mut client, "sales", rows)?), "inserted rejected duplicate");
    let told = ingest_rows(&mut client, "sales", r#"[{"day": "2026-01-01", "no": "1", "total": 5}]"#)?;
    assert_eq!((outcomes(&told).as_str(), told[0].changed.as_slice()), ("updated", ["total".to_string()].as_slice()));
    Ok(())
}
