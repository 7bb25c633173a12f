//! Inserting: all or nothing, under a job that is kept either way.

use anyhow::Result;
use once_tests::json;
use once_tests::promo::{self, A, B, call, codes, imported, job_of, mark, produce, stage, text, texts};

/// What each cause is made and undone by, and what the failed job says of it.
const CAUSES: [(&str, &str, &str, &str); 3] = [
    (
        // On a column that is not staged, so that only the insert itself can run into it.
        "ALTER TABLE codes ADD CONSTRAINT not_yet CHECK (code <> 'm' OR activated)",
        "ALTER TABLE codes DROP CONSTRAINT not_yet",
        "23514",
        "not_yet",
    ),
    (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF NEW.code = 'm' THEN RAISE EXCEPTION 'not this: %', NEW.code; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON codes FOR EACH ROW EXECUTE FUNCTION refuse()",
        "DROP FUNCTION refuse CASCADE",
        "P0001",
        "not this: m",
    ),
    (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'UE001', MESSAGE = 'quota exceeded'; END $$;
         CREATE TRIGGER refuse AFTER INSERT ON codes FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
        "DROP FUNCTION refuse CASCADE",
        "UE001",
        "quota exceeded",
    ),
];

#[test]
fn a_failure_in_the_middle_is_returned_and_recorded() -> Result<()> {
    let (_db, mut client) = promo::install("failure")?;
    produce(&mut client, A, &["old"])?;
    stage(&mut client, A, &["a", "m", "z"])?;
    mark(&mut client, A)?;
    let before = texts(&mut client, "SELECT concat(ctid, xmin, c.*::text) FROM codes c")?;
    for (cause, remedy, sqlstate, message) in CAUSES {
        client.batch_execute(cause)?;
        let answer = promo::insert(&mut client, A)?;
        assert_eq!(
            (&answer["success"], &answer["sqlstate"], &answer["codes_inserted"]),
            (&json!(false), &json!(sqlstate), &json!(0))
        );
        assert!(answer["message"].as_str().is_some_and(|found| found.contains(message)), "{answer}");
        assert_eq!(texts(&mut client, "SELECT concat(ctid, xmin, c.*::text) FROM codes c")?, before);
        let row = client.query_one(
            "SELECT status, error_code, error_message, rows_written, rows_expected, completed_at IS NOT NULL FROM once.import_jobs WHERE id = $1",
            &[&job_of(&answer)?],
        )?;
        assert_eq!((row.try_get(0)?, row.try_get(1)?, row.try_get(5)?), ("failed", sqlstate, true));
        assert_eq!(Some(row.try_get(2)?), answer["message"].as_str());
        assert_eq!((row.try_get(3)?, row.try_get(4)?), (0_i64, 3_i64));

        // With the cause gone, the next try succeeds.
        client.batch_execute(remedy)?;
        let job = imported(&promo::insert(&mut client, A)?)?;
        assert_eq!(codes(&mut client, A)?, ["a", "m", "old", "z"]);
        call(&mut client, "rollback_import_job($1)", &[&job])?;
        mark(&mut client, A)?;
    }
    Ok(())
}

/// A trigger that quietly keeps a row out would make the job's figures a lie.
#[test]
fn a_row_that_a_trigger_swallows_fails_the_job() -> Result<()> {
    let (_db, mut client) = promo::install("swallowed")?;
    client.batch_execute(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RETURN CASE WHEN NEW.code <> 'm' THEN NEW END; END $$;
         CREATE TRIGGER swallow BEFORE INSERT ON codes FOR EACH ROW EXECUTE FUNCTION swallow()",
    )?;
    stage(&mut client, A, &["a", "m"])?;
    let answer = promo::import(&mut client, A)?;
    assert_eq!((&answer["success"], &answer["codes_inserted"]), (&json!(false), &json!(0)));
    assert_eq!(codes(&mut client, A)?, [""; 0]);
    assert_eq!(texts(&mut client, "SELECT status FROM codes_import_jobs")?, ["failed"]);
    Ok(())
}

#[test]
fn nothing_clean_is_no_import() -> Result<()> {
    let (_db, mut client) = promo::install("nothing")?;
    stage(&mut client, A, &["a", "b", "a"])?;
    imported(&promo::import(&mut client, A)?)?;
    let answer = promo::insert(&mut client, A)?;
    let message = json!("No clean codes to insert");
    assert_eq!((&answer["success"], &answer["message"]), (&json!(false), &message));
    call(&mut client, "clear_temp_data($1)", &[&A])?;
    assert_eq!(promo::import(&mut client, A)?["message"], message);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes_import_jobs WHERE status = 'completed'")?, "1");
    assert_eq!(codes(&mut client, A)?, ["a", "b"]);
    Ok(())
}

#[test]
fn every_row_carries_its_job_and_its_values() -> Result<()> {
    let (_db, mut client) = promo::install("carried")?;
    let (a, b) = (A.to_string(), B.to_string());
    let row = |merchant, code| {
        [Some(merchant), Some(code), Some("S/1"), Some("K"), Some("1.50"), None, Some("B 7"), Some("0")]
    };
    let rows = [row(a.as_str(), "x"), row(&a, "y"), row(&b, "x")].map(Vec::from);
    promo::copy(
        &mut client,
        "codes_check_temp (merchant_id, code, serial, sku, points, sku_name, batch_code, price)",
        &rows,
    )?;
    let mut expected = Vec::new();
    for (merchant, codes) in [(A, vec!["x", "y"]), (B, vec!["x"])] {
        let job = imported(&promo::import(&mut client, merchant)?)?;
        expected.extend(codes.iter().map(|code| format!("{merchant}|{code}|S/1|K|1.50|-|B 7|0|f|{job}")));
    }
    let found = "SELECT concat_ws('|', merchant_id, code, serial, sku, points, coalesce(sku_name, '-'), batch_code, price, claimed, import_job_id)
                 FROM codes ORDER BY merchant_id, code";
    assert_eq!(texts(&mut client, found)?, expected);
    Ok(())
}

#[test]
fn source_info_is_kept_to_the_last_digit() -> Result<()> {
    let (_db, mut client) = promo::install("source_info")?;
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    for source in
        [r#"{"id": 123456789012345678901234567890.12345678900, "file": "a.csv"}"#, deep.as_str(), "null", r#""text""#]
    {
        stage(&mut client, A, &["a"])?;
        mark(&mut client, A)?;
        let insert = "insert_clean_codes_to_production($1, $2::text::jsonb)";
        let job = imported(&call(&mut client, insert, &[&A, &source])?)?;
        let sql = "SELECT source_info::text, source_info = $2::text::jsonb FROM codes_import_jobs WHERE id = $1";
        let row = client.query_one(sql, &[&job, &source])?;
        assert_eq!((row.try_get(0)?, row.try_get(1)?), (source, true));
        call(&mut client, "rollback_import_job($1)", &[&job])?;
        call(&mut client, "clear_temp_data($1)", &[&A])?;
    }
    Ok(())
}

/// Behind PostgREST and Supabase the caller is known by a token; his id is kept with the job.
#[test]
fn the_callers_own_id_is_kept_whatever_the_settings() -> Result<()> {
    let (db, mut client) = promo::install("caller")?;
    let caller = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    for settings in ["SELECT", "SET standard_conforming_strings = off"] {
        let mut session = db.client()?;
        session.batch_execute(settings)?;
        let claims = format!(r#"{{"role": "authenticated", "sub": "{caller}"}}"#);
        session.execute("SELECT set_config('request.jwt.claims', $1, false)", &[&claims])?;
        stage(&mut session, A, &[settings])?;
        let job = imported(&promo::import(&mut session, A)?)?;
        let sql = "SELECT created_by_id::text FROM once.import_jobs WHERE id = $1";
        assert_eq!(client.query_one(sql, &[&job])?.try_get::<_, Option<&str>>(0)?, Some(caller), "{settings}");
    }
    Ok(())
}
