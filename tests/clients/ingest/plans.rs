//! Dry runs: the answer of a real one, nothing written, and a job that is bound to it.

use anyhow::Result;
use once_tests::rows::{ingest, ingest_rows, planned_rows, tables, target};
use once_tests::{Value, json};

const TABLES: &str = "
CREATE TABLE doctors (id bigserial PRIMARY KEY, name text UNIQUE);
CREATE TABLE visits (id bigserial PRIMARY KEY, no text UNIQUE, doctor_id bigint REFERENCES doctors, price numeric(12, 2) NOT NULL,
    kind text);
CREATE TABLE visit_tags (visit_id bigint REFERENCES visits, tag text, UNIQUE (visit_id, tag));
INSERT INTO visits (no, price) VALUES ('old', 1), ('same', 2);";
const SPEC: &str = r#"{"match": [["no"]], "links": [{"table": "visit_tags", "id": "visit_id", "columns": {"tag": "tags"}}],
    "references": {"doctor_id": {"target": "doctors", "by": {"name": "doctor"}, "missing": "create"}}}"#;
const ROWS: &str = r#"[{"no": "old", "price": 3, "doctor": "Tan"}, {"no": "same", "price": 2.00}, {"no": "new", "price": 1, "doctor": "Tan"},
    {"no": "new", "kind": "x", "tags": ["a", "b"]}, {"no": "free"}, {"price": 1}, {"no": "p", "price": 1.005}, 7]"#;

#[test]
fn a_dry_run_tells_the_same_and_writes_nothing() -> Result<()> {
    let (_db, mut client) = tables("dry", TABLES)?;
    target(&mut client, "doctors", r#"{"match": [["name"]]}"#)?;
    target(&mut client, "visits", SPEC)?;
    let state = "SELECT (SELECT last_value || is_called::text FROM visits_id_seq), (SELECT last_value || is_called::text FROM doctors_id_seq), \
                 (SELECT count(*) FROM visits) + (SELECT count(*) FROM doctors) + (SELECT count(*) FROM visit_tags)";
    let state = |client: &mut once_tests::postgres::Client| -> Result<(String, String, i64)> {
        let row = client.query_one(state, &[])?;
        Ok((row.get(0), row.get(1), row.get(2)))
    };
    let before = state(&mut client)?;
    let mut transaction = client.transaction()?;
    transaction.batch_execute("SET TRANSACTION READ ONLY")?;
    let planned = planned_rows(&mut transaction, "visits", ROWS)?;
    let plan = ingest(&mut transaction, "visits", ROWS, None, true)?;
    let xid: Option<String> = transaction.query_one("SELECT pg_current_xact_id_if_assigned()::text", &[])?.get(0);
    assert_eq!(xid, None);
    transaction.commit()?;
    assert_eq!(state(&mut client)?, before);

    let told = ingest_rows(&mut client, "visits", ROWS)?;
    let without_job: Vec<_> = told
        .iter()
        .cloned()
        .map(|mut told| {
            told.job = None;
            told
        })
        .collect();
    assert_eq!(planned, without_job);
    let expected = ["updated", "unchanged", "inserted", "duplicate", "rejected", "rejected", "rejected", "rejected"];
    assert_eq!(told.iter().map(|told| told.outcome.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(plan["job_id"], Value::Null);
    let counts = ["total", "inserted", "updated", "unchanged", "duplicate", "rejected"].map(|name| plan[name].as_i64());
    assert_eq!(counts, [8, 1, 1, 1, 1, 4].map(Some));
    Ok(())
}

/// What constraints would refuse is known before.
#[test]
fn a_dry_run_knows_the_constraints() -> Result<()> {
    let sql = "CREATE TABLE doctors (id int PRIMARY KEY); INSERT INTO doctors VALUES (1);
        CREATE TABLE visits (id bigserial PRIMARY KEY, no text UNIQUE, mail text UNIQUE, doctor_id int REFERENCES doctors,
            starts int, ends int, CHECK (starts < ends), level int NOT NULL DEFAULT 5 CHECK (level > 3));
        INSERT INTO visits (no, mail, starts, ends) VALUES ('old', 'old@x', 1, 5)";
    let (_db, mut client) = tables("dry_checks", sql)?;
    target(&mut client, "visits", r#"{"match": [["no"]]}"#)?;
    let rows = r#"[{"no": "a", "starts": 2, "ends": 1}, {"no": "old", "starts": 7}, {"no": "b", "doctor_id": 9}, {"no": "c", "doctor_id": 1},
        {"no": "d", "mail": "old@x"}, {"no": "old", "mail": "old@x"}, {"no": "e", "level": 1}, {"no": "f", "starts": 3}]"#;
    // One row a record, so that none is merged with another.
    for which in [&[0, 1, 2, 3, 4, 6, 7][..], &[5]] {
        let rows: Vec<Value> = serde_json::from_str(rows)?;
        let rows = Value::Array(which.iter().map(|at| rows[*at].clone()).collect()).to_string();
        let mut planned = planned_rows(&mut client, "visits", &rows)?;
        let told = ingest_rows(&mut client, "visits", &rows)?;
        planned.iter_mut().zip(&told).for_each(|(planned, told)| planned.job = told.job);
        assert_eq!(planned, told);
    }
    let there: String = client.query_one("SELECT string_agg(no, ' ' ORDER BY no) FROM visits", &[])?.get(0);
    assert_eq!(there, "c f old");
    Ok(())
}

#[test]
fn a_job_keeps_to_its_plan_or_says_what_differs() -> Result<()> {
    let (_db, mut client) = tables("bound", TABLES)?;
    target(&mut client, "doctors", r#"{"match": [["name"]]}"#)?;
    target(&mut client, "visits", SPEC)?;
    let plan = ingest(&mut client, "visits", ROWS, None, true)?["plan"].clone();
    let bound = json!({"plan": plan, "file": "a.csv"});
    client.execute("DELETE FROM visits WHERE no = 'old'", &[])?;
    let refused = ingest(&mut client, "visits", ROWS, Some(&bound), false)?;
    assert_eq!((refused["success"].clone(), refused["inserted"].clone()), (json!(false), json!(0)));
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains("inserted 2 instead of 1") && message.contains("updated 0 instead of 1"), "{message}");
    let left: i64 = client.query_one("SELECT count(*) FROM visits", &[])?.get(0);
    assert_eq!(left, 1);
    // A value that is another makes another plan, though the counts are the same.
    client.execute("INSERT INTO visits (no, price) VALUES ('old', 1)", &[])?;
    let other = ROWS.replace("\"price\": 3", "\"price\": 4");
    assert_eq!(ingest(&mut client, "visits", &other, Some(&bound), false)?["success"], json!(false));
    let done = ingest(&mut client, "visits", ROWS, Some(&bound), false)?;
    assert_eq!((done["success"].clone(), done["updated"].clone()), (json!(true), json!(1)), "{done}");
    Ok(())
}

/// What no plan can know (here: a trigger that came in between) ends the job, where it is bound to one.
#[test]
fn a_job_that_is_refused_more_than_was_planned_writes_nothing() -> Result<()> {
    let sql = "CREATE TABLE codes (id bigserial PRIMARY KEY, a text UNIQUE, b text, c text, UNIQUE (b, c));
        INSERT INTO codes (a, b, c) VALUES ('x', NULL, '1'), ('y', 'm', '1')";
    let (_db, mut client) = tables("bound_refused", sql)?;
    target(&mut client, "codes", r#"{"match": [["a"], ["b", "c"]]}"#)?;
    // The first row and its record together make a key that another record has.
    let rows = r#"[{"a": "x", "b": "m"}, {"a": "new"}]"#;
    let planned = ingest(&mut client, "codes", rows, None, true)?;
    assert_eq!((planned["rejected"].clone(), planned["inserted"].clone()), (json!(1), json!(1)), "{planned}");
    let rows = r#"[{"a": "x", "c": "2"}, {"a": "new"}]"#;
    let plan = ingest(&mut client, "codes", rows, None, true)?["plan"].clone();
    client.batch_execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'closed'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON codes FOR EACH ROW EXECUTE FUNCTION refuse()",
    )?;
    let done = ingest(&mut client, "codes", rows, Some(&json!({"plan": plan})), false)?;
    assert_eq!((done["success"].clone(), done["sqlstate"].clone()), (json!(false), json!("55000")), "{done}");
    let message = done["message"].as_str().unwrap_or_default();
    assert!(message.contains("row 2 rejected (closed) instead of inserted"), "{message}");
    let left: i64 = client.query_one("SELECT count(*) FROM codes WHERE c = '2' OR a = 'new'", &[])?.get(0);
    assert_eq!(left, 0);
    Ok(())
}
