//! What the database refuses costs its row, and no other.

use anyhow::Result;
use once_tests::rows::{Told, ingest, ingest_rows, outcomes, tables, target};
use once_tests::{json, sqlstate};

fn reasons(told: &[Told]) -> String {
    told.iter().filter_map(|told| told.reason.as_deref()).collect::<Vec<_>>().join("\n")
}

const TABLES: &str = "
CREATE TABLE doctors (id bigserial PRIMARY KEY, name text UNIQUE CHECK (name <> 'bad'), room text);
CREATE TABLE visits (id bigserial PRIMARY KEY, no text UNIQUE, mail text UNIQUE, doctor_id bigint REFERENCES doctors, price int CHECK (price > 0));
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF new.price = 13 THEN RAISE EXCEPTION 'unlucky' USING ERRCODE = 'ZZ001'; END IF;
    IF new.price = 99 THEN RETURN NULL; END IF;
    RETURN new; END $$;
CREATE TRIGGER guard BEFORE INSERT ON visits FOR EACH ROW EXECUTE FUNCTION guard();
INSERT INTO visits (no, mail, price) VALUES ('old', 'old@x', 1);
INSERT INTO doctors (name, room) VALUES ('Tan', '1');";
const SPEC: &str = r#"{"match": [["no"]],
    "references": {"doctor_id": {"target": "doctors", "by": {"name": "doctor"}, "missing": "create"}}}"#;

#[test]
fn by_constraints_of_the_table() -> Result<()> {
    let (_db, mut client) = tables("refused_constraints", TABLES)?;
    target(&mut client, "doctors", r#"{"match": [["name"]]}"#)?;
    target(&mut client, "visits", SPEC)?;
    let rows = r#"[{"no": "a", "price": -1}, {"no": "b", "mail": "old@x"}, {"no": "c", "doctor_id": 4711}, {"no": "d", "mail": "d@x"},
        {"no": "e", "mail": "d@x"}, {"no": "old", "price": -5}, {"no": "f", "price": 2, "doctor": "Tan"}]"#;
    let told = ingest_rows(&mut client, "visits", rows)?;
    assert_eq!(outcomes(&told), "rejected rejected rejected inserted rejected rejected inserted");
    let all = reasons(&told);
    for name in ["visits_price_check", "visits_mail_key", "visits_doctor_id_fkey"] {
        assert!(all.contains(name), "{all}");
    }
    let sql = "SELECT count(*) FROM visits WHERE (no, price) IN (('old', 1), ('f', 2)) OR no = 'd'";
    assert_eq!(client.query_one(sql, &[])?.get::<_, i64>(0), 3);
    Ok(())
}

/// One by one, a row that is refused says nothing about the next one of the same key. What a later row makes good within
/// one call is not seen.
#[test]
fn the_next_row_of_the_same_key_is_taken() -> Result<()> {
    let (_db, mut client) = tables("refused_next", TABLES)?;
    target(&mut client, "doctors", r#"{"match": [["name"]]}"#)?;
    target(&mut client, "visits", SPEC)?;
    let rows =
        r#"[{"no": "a", "price": 5}, {"no": "a", "price": -1}, {"no": "old", "price": -1}, {"no": "old", "price": 7}]"#;
    let told = ingest_rows(&mut client, "visits", rows)?;
    let there: String = client.query_one("SELECT string_agg(no || price, ' ' ORDER BY no) FROM visits", &[])?.get(0);
    assert_eq!((outcomes(&told).as_str(), there.as_str()), ("inserted rejected updated duplicate", "a5 old7"));
    Ok(())
}

#[test]
fn keys_that_change_hands_within_a_call() -> Result<()> {
    let sql = "CREATE TABLE held (id bigserial PRIMARY KEY, a text UNIQUE, b text UNIQUE); INSERT INTO held (a, b) VALUES ('A', '1'), ('B', '2')";
    let (_db, mut client) = tables("refused_hands", sql)?;
    target(&mut client, "held", r#"{"match": [["a"], ["b"]]}"#)?;
    let told =
        ingest_rows(&mut client, "held", r#"[{"a": "A", "b": "3"}, {"a": "B", "b": "1"}, {"a": "A", "b": "2"}]"#)?;
    let there: String = client.query_one("SELECT string_agg(a || b, ' ' ORDER BY a) FROM held", &[])?.get(0);
    assert_eq!((outcomes(&told).as_str(), there.as_str()), ("updated updated duplicate", "A2 B1"));
    Ok(())
}

/// The key that is also the primary key: as another key's record gets it, or not at all; nothing is lost.
#[test]
fn a_primary_key_that_a_row_would_change() -> Result<()> {
    let sql = "CREATE TABLE held (a text PRIMARY KEY, b text UNIQUE); INSERT INTO held VALUES ('1', 'x')";
    let (_db, mut client) = tables("refused_primary", sql)?;
    target(&mut client, "held", r#"{"match": [["b"], ["a"]]}"#)?;
    let told = ingest_rows(&mut client, "held", r#"[{"a": "2", "b": "x"}, {"a": "2"}]"#)?;
    let found: i64 = client.query_one("SELECT count(*) FROM held WHERE a = '2'", &[])?.get(0);
    assert_eq!(found, 1, "{told:?}");
    Ok(())
}

#[test]
fn by_a_trigger_that_raises() -> Result<()> {
    let (_db, mut client) = tables("refused_raise", TABLES)?;
    target(&mut client, "doctors", r#"{"match": [["name"]]}"#)?;
    target(&mut client, "visits", SPEC)?;
    let sql = "CREATE OR REPLACE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF new.price = 13 THEN RAISE 'unlucky'; END IF; RETURN new; END $$";
    client.batch_execute(sql)?;
    let told = ingest_rows(&mut client, "visits", r#"[{"no": "a", "price": 13}, {"no": "b", "price": 1}]"#)?;
    assert_eq!(outcomes(&told), "rejected inserted");
    assert_eq!(reasons(&told), "unlucky");
    Ok(())
}

#[test]
fn by_a_trigger_that_drops_the_row() -> Result<()> {
    let (_db, mut client) = tables("refused_drop", TABLES)?;
    target(&mut client, "doctors", r#"{"match": [["name"]]}"#)?;
    target(&mut client, "visits", SPEC)?;
    let told = ingest_rows(&mut client, "visits", r#"[{"no": "a", "price": 99}, {"no": "b", "price": 1}]"#)?;
    assert_eq!(outcomes(&told), "rejected inserted");
    Ok(())
}

#[test]
fn by_the_table_that_is_referred_to() -> Result<()> {
    let (_db, mut client) = tables("refused_reference", TABLES)?;
    target(&mut client, "doctors", r#"{"match": [["name"]]}"#)?;
    target(&mut client, "visits", SPEC)?;
    let rows = r#"[{"no": "a", "doctor": "Lim"}, {"no": "b", "doctor": "bad"}, {"no": "c", "doctor": "Lim"}, {"no": "d", "doctor": " "}]"#;
    let told = ingest_rows(&mut client, "visits", rows)?;
    assert_eq!(outcomes(&told), "inserted rejected inserted inserted");
    // A doctor is not made for a visit that is refused.
    ingest_rows(&mut client, "visits", r#"[{"no": "e", "doctor": "Nobody", "price": -1}]"#)?;
    let doctors: String = client.query_one("SELECT string_agg(name, ' ' ORDER BY name) FROM doctors", &[])?.get(0);
    assert_eq!(doctors, "Lim Tan");
    Ok(())
}

#[test]
fn references_that_are_unknown_or_several() -> Result<()> {
    let sql = "CREATE TABLE clinics (id bigserial PRIMARY KEY, name text UNIQUE);
        CREATE TABLE doctors (id bigserial PRIMARY KEY, name text UNIQUE, reg text UNIQUE, clinic_id bigint REFERENCES clinics);
        CREATE TABLE visits (id bigserial PRIMARY KEY, no text UNIQUE, doctor_id bigint REFERENCES doctors, clinic_id bigint REFERENCES clinics);
        INSERT INTO doctors (name, reg) VALUES ('Tan', 'R1'), ('Lim', 'R2')";
    let (_db, mut client) = tables("refused_unknown", sql)?;
    target(&mut client, "clinics", r#"{"match": [["name"]]}"#)?;
    target(
        &mut client,
        "doctors",
        r#"{"match": [["name"], ["reg"]], "references": {"clinic_id": {"target": "clinics", "by": {"name": "clinic"}}}}"#,
    )?;
    let spec = r#"{"match": [["no"]], "required": ["doctor_id"], "references": {
        "doctor_id": {"target": "doctors", "by": {"name": "doctor", "reg": "reg"}, "missing": "reject"},
        "clinic_id": {"target": "clinics", "by": {"name": "clinic"}, "missing": "create"}}}"#;
    target(&mut client, "visits", spec)?;
    let rows = r#"[{"no": "a", "doctor": "Tan", "clinic": "C"}, {"no": "b", "doctor": "Who"}, {"no": "c", "doctor": "Tan", "reg": "R2"}, {"no": "d"},
        {"no": "a", "reg": "R2", "clinic": "C", "age": 5}]"#;
    let told = ingest_rows(&mut client, "visits", rows)?;
    assert_eq!(outcomes(&told), "inserted rejected rejected rejected duplicate");
    let answer = ingest(&mut client, "visits", rows, None, true)?;
    // The two rows come to what the last one left.
    assert_eq!((answer["unchanged"].clone(), answer["ignored_fields"].clone()), (json!(1), json!(["age"])));
    let there: String = client.query_one("SELECT d.name || c.name FROM visits v JOIN doctors d ON d.id = doctor_id JOIN clinics c ON c.id = v.clinic_id", &[])?.get(0);
    assert_eq!(there, "LimC");
    Ok(())
}

#[test]
fn all_or_nothing_where_the_spec_says_so() -> Result<()> {
    let (_db, mut client) = tables("refused_abort", TABLES)?;
    target(&mut client, "doctors", r#"{"match": [["name"]]}"#)?;
    target(&mut client, "visits", &SPEC.replacen('{', r#"{"on_error": "abort", "#, 1))?;
    for faulty in [r#"{"no": "b", "price": "x"}"#, r#"{"no": "b", "price": -1}"#] {
        let answer =
            ingest(&mut client, "visits", &format!(r#"[{{"no": "a", "doctor": "New"}}, {faulty}]"#), None, false)?;
        assert_eq!((answer["success"].clone(), answer["inserted"].clone()), (json!(false), json!(0)), "{answer}");
        assert_eq!(answer["errors"][0]["row"], json!(2));
        let sql = "SELECT (SELECT count(*) FROM visits) + (SELECT count(*) FROM doctors)";
        assert_eq!(client.query_one(sql, &[])?.get::<_, i64>(0), 2);
        let status: String = client
            .query_one(
                "SELECT status::text FROM once.import_jobs WHERE id = $1::text::uuid",
                &[&answer["job_id"].as_str()],
            )?
            .get(0);
        assert_eq!(status, "failed");
    }
    Ok(())
}

/// A link's value that its type does not take, and an array that has too many dimensions for a union.
#[test]
fn by_types_of_links_and_unions() -> Result<()> {
    let sql = "CREATE TYPE colour AS ENUM ('red'); CREATE TABLE leads (id bigserial PRIMARY KEY, no text UNIQUE, tags text[]);
        CREATE TABLE lead_colours (lead_id bigint REFERENCES leads, c colour, UNIQUE (lead_id, c)); INSERT INTO leads (no, tags) VALUES ('a', '{x}'), ('b', '{{x,y},{z,w}}')";
    let (_db, mut client) = tables("refused_links", sql)?;
    let spec = r#"{"match": [["no"]], "merge": {"tags": "union"}, "links": [{"table": "lead_colours", "id": "lead_id", "columns": {"c": "cs"}}]}"#;
    target(&mut client, "leads", spec)?;
    let mut wrong = Vec::new();
    for faulty in [
        r#"{"no": "a", "cs": ["red", "green"]}"#,
        r#"{"no": "a", "tags": [["p", "q"], ["r", "s"]]}"#,
        r#"{"no": "b", "tags": ["p"]}"#,
    ] {
        let told = ingest_rows(&mut client, "leads", &format!(r#"[{faulty}, {{"no": "c"}}]"#));
        match told.map(|told| told[1].outcome.clone()).map_err(|error| sqlstate(&error).map(String::from)) {
            Ok(outcome) if outcome != "rejected" => {}
            other => wrong.push(format!("{faulty}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
