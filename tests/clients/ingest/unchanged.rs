//! A row that changes nothing costs nothing: no version, no trigger, no lock.

use anyhow::Result;
use once_tests::rows::{ingest_rows, outcomes, tables, target};

const TABLE: &str = "
CREATE TABLE people (id bigserial PRIMARY KEY, phone text UNIQUE, name text, paid numeric, seen timestamptz, tags text[],
    more jsonb, note json, ratio float8, born date);
CREATE TABLE fired (op text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.fired VALUES (tg_op || tg_when || tg_level); RETURN new; END $$;
CREATE TRIGGER r BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER a AFTER INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION note();";

const ROWS: &str = r#"[
    {"phone": "1", "name": "Ann", "paid": 1.50, "seen": "2026-01-01T08:00:00+08:00", "tags": ["b", "a"],
     "more": {"b": 1, "a": [1.10]}, "note": {"b": 1, "a": 2}, "ratio": 0.1, "born": "2000-02-29"},
    {"phone": "2", "name": "Bob"}]"#;
/// The same said in other words.
const AGAIN: &str = r#"[
    {"phone": "1", "name": "Ann", "paid": 1.5000, "seen": "2026-01-01 00:00:00Z", "tags": ["a"], "more": {"a": [1.1], "b": 1.0},
     "note": {"a": 2, "b": 1}, "ratio": 1e-1, "born": "2000-02-29"},
    {"phone": "1", "name": null}, {"phone": "2", "paid": "  "}]"#;

#[test]
fn no_version_no_trigger_and_no_lock() -> Result<()> {
    let (db, mut client) = tables("unchanged", TABLE)?;
    target(&mut client, "people", r#"{"match": [["phone"]], "merge": {"tags": "union", "more": "union"}}"#)?;
    assert_eq!(outcomes(&ingest_rows(&mut client, "people", ROWS)?), "inserted inserted");
    client.batch_execute("TRUNCATE fired")?;
    let versions = "SELECT string_agg(ctid::text || xmin::text, ' ' ORDER BY id) FROM people";
    let before: String = client.query_one(versions, &[])?.get(0);
    // Who waits for this lock waits for ever.
    let mut other = db.client()?;
    other.batch_execute("BEGIN; SELECT FROM people FOR UPDATE")?;
    client.batch_execute("SET lock_timeout = '10s'")?;
    let told = ingest_rows(&mut client, "people", AGAIN)?;
    assert_eq!(outcomes(&told), "unchanged duplicate unchanged");
    other.batch_execute("ROLLBACK")?;
    // One that changes something, beside one that does not.
    let told = ingest_rows(&mut client, "people", r#"[{"phone": "1"}, {"phone": "2", "name": "Bo"}]"#)?;
    assert_eq!(outcomes(&told), "unchanged updated");
    assert_eq!(told[1].changed, ["name"]);
    let after: String = client.query_one(versions, &[])?.get(0);
    assert_eq!(before.split(' ').next(), after.split(' ').next());
    let fired: Vec<String> = client.query("SELECT op FROM fired", &[])?.iter().map(|row| row.get(0)).collect();
    assert_eq!(fired, ["UPDATEBEFOREROW", "UPDATEAFTERROW"]);
    Ok(())
}
