//! The kit `workouts` in a dump, without the extension, and in another schema: a text is one import wherever it comes back.

use anyhow::{Context, Result};
use once_tests::postgres::Client;
use once_tests::promo::{A, B, call, refused, text, texts};
use once_tests::workouts::{self, Outcome, counts, drafted, import};
use once_tests::{Db, Uuid};

use super::{connect, dump, restore};

/// A workout with what JSON in a program would lose: digits, depth, and signs that a dump must quote.
const PARSED: &str = r#"{"workout_date": "2024-01-01", "title": "Legs \\ \"day\"", "load": 12345678901234567890.123456789, "sessions": [{"title": "s", "blocks": [{"type": "main",
  "items": [{"exercise": "Squat", "prescription": {"reps": 5}, "performed": {"reps": [5, 4.50]}}]}]}]}"#;

/// A text with what COPY must quote.
const TEXT: &str = "Squat\t5x5\\n\r\n  \"heavy\"\u{a0}é\n";

/// What happened before the dump.
struct Past {
    of_a: Uuid,
    of_nobody: Uuid,
    draft: Uuid,
    workout: Outcome,
}

/// An import of A's with a workout, the same of nobody's, and an archived row from before there was a key.
fn live(client: &mut Client, extension: &str) -> Result<Past> {
    let (of_a, draft) = drafted(client, Some(A), TEXT)?;
    let of_nobody = import(client, None, TEXT)?.id;
    let workout = workouts::commit(client, draft, PARSED)?;
    client.batch_execute(&format!(
        "INSERT INTO imports (athlete_id, raw_text, checksum_sha256, source, tags) SELECT athlete_id, raw_text, checksum_sha256, source, '{{duplicate_archived}}' FROM imports;
         CREATE SCHEMA \"Post\"; CREATE TABLE \"Post\".\"Letters\" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, content text, checksum_sha256 text, normalizer_version text, source text,
           source_ref text, tags text[] NOT NULL DEFAULT '{{}}', received_at timestamptz DEFAULT now(), UNIQUE (checksum_sha256));
         SELECT {extension}.create_target('letters', '\"Post\".\"Letters\"', '{{\"kind\": \"document\", \"normalizer\": \"exact\"}}');
         SELECT {extension}.import_document('letters', NULL, 'Dear', 's')"
    ))?;
    Ok(Past { of_a: of_a.id, of_nobody, draft, workout })
}

/// That everything goes on from where it was, with the extension in this schema.
fn goes_on(client: &mut Client, extension: &str, past: &Past) -> Result<()> {
    let sql = |call: &str| call.replace("once.", &format!("{extension}."));
    let registered = sql(
        "SELECT concat_ws('|', name, kind, relation, coalesce(staging, 'NULL'), registered_by = current_user) FROM once.target_list ORDER BY 1",
    );
    let expected = ["imports|document|public.imports|NULL|t", "letters|document|\"Post\".\"Letters\"|NULL|t"];
    assert_eq!(texts(client, &registered)?, expected);
    assert_eq!(counts(client)?, "4 1 1");
    for (athlete, is_there) in [(Some(A), Some(past.of_a)), (None, Some(past.of_nobody)), (Some(B), None)] {
        let row = client.query_one(
            &sql("SELECT import_id, is_duplicate FROM once.import_raw_text_idempotent($1, $2, 's')"),
            &[&athlete, &TEXT],
        )?;
        let (id, is_duplicate): (Uuid, bool) = (row.try_get(0)?, row.try_get(1)?);
        assert_eq!((is_duplicate, is_duplicate.then_some(id)), (is_there.is_some(), is_there), "{athlete:?}");
    }
    let raw = "SELECT bool_and(raw_text = $1)::text FROM imports";
    assert_eq!(client.query_one(raw, &[&TEXT])?.try_get::<_, String>(0)?, "true");
    let row = client.query_one(
        &sql("SELECT workout_id::text, is_duplicate FROM once.commit_workout_idempotent($1, $2::text::jsonb)"),
        &[&past.draft, &PARSED],
    )?;
    assert_eq!((row.try_get::<_, String>(0)?, row.try_get::<_, bool>(1)?), (past.workout.id.clone(), true));
    let kept = "SELECT (parsed_workout::text = ($1::text::jsonb)::text)::text FROM workouts";
    assert_eq!(client.query_one(kept, &[&PARSED])?.try_get::<_, String>(0)?, "true");
    let items = "SELECT concat_ws('|', exercise, prescription, performed) FROM workout_items";
    assert_eq!(texts(client, items)?, [r#"Squat|{"reps": 5}|{"reps": [5, 4.50]}"#]);
    assert_eq!(
        text(
            client,
            &sql("SELECT concat(document_id, is_duplicate) FROM once.import_document('letters', NULL, 'Dear', 's')")
        )?,
        "1t"
    );
    // The key: an unknown athlete counts as one, archived rows don't count.
    let again = "INSERT INTO imports (athlete_id, raw_text, checksum_sha256, source, tags) SELECT athlete_id, raw_text, checksum_sha256, source, $1::text::text[] FROM imports WHERE import_id = $2 RETURNING 1";
    for id in [past.of_a, past.of_nobody] {
        assert_eq!(refused(client, again, &[&"{}", &id])?.code().code(), "23505");
        client.query(again, &[&"{duplicate_archived}", &id])?;
        client.execute("DELETE FROM imports WHERE ctid = (SELECT max(ctid) FROM imports WHERE tags <> '{}')", &[])?;
    }
    let done = client
        .query_one(&sql("SELECT once.adopt_imports('imports', false)"), &[])?
        .try_get::<_, once_tests::Value>(0)?;
    assert_eq!(
        (&done["constraints_added"], &done["duplicates_archived"]),
        (&once_tests::json!([]), &once_tests::json!(0)),
        "{done}"
    );
    Ok(())
}

#[test]
fn a_dump_brings_imports_and_workouts_back() -> Result<()> {
    let (db, mut client) = workouts::install("dumped_texts")?;
    let past = live(&mut client, "once")?;
    let whole = dump(&db, db.name(), "postgres", &[])?;
    let restored = Db::bare("restored_texts")?;
    restore(&restored, restored.name(), "postgres", &whole)?;
    assert_eq!(dump(&restored, restored.name(), "postgres", &[])?, whole);
    goes_on(&mut restored.client()?, "once", &past)?;

    // Into a database whose extension is in another schema: nothing of the users' names the first one.
    let moved = Db::bare("moved_texts")?;
    let elsewhere = whole.replace("SCHEMA once", "SCHEMA zamm").replace("once.targets", "zamm.targets");
    let named: Vec<&str> = elsewhere.lines().filter(|line| line.replace("pg_once", "").contains("once.")).collect();
    assert!(named.is_empty(), "{named:#?}");
    restore(&moved, moved.name(), "postgres", &elsewhere)?;
    goes_on(&mut moved.client()?, "zamm", &past)?;
    goes_on(&mut client, "once", &past)
}

/// Data before its keys, as a parallel restore brings them, and only the data into a schema that is there.
#[test]
fn the_parts_of_a_dump_come_together() -> Result<()> {
    let (db, mut client) = workouts::install("parts")?;
    let past = live(&mut client, "once")?;
    let restored = Db::bare("put_together")?;
    for section in ["pre-data", "data", "post-data"] {
        let part = dump(&db, db.name(), "postgres", &[&format!("--section={section}")])?;
        restore(&restored, restored.name(), "postgres", &part).context(section)?;
    }
    goes_on(&mut restored.client()?, "once", &past)
}

#[test]
fn dropping_the_extension_leaves_all_of_it_and_another_schema_takes_it_up() -> Result<()> {
    let (_db, mut client) = workouts::install("dropped_texts")?;
    let past = live(&mut client, "once")?;
    // The session has used everything, and keeps what it knows.
    goes_on(&mut client, "once", &past)?;
    client.batch_execute("DELETE FROM imports WHERE athlete_id = 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb'")?;
    let rows = "SELECT concat(ctid, xmin, to_json(i)) FROM imports i UNION ALL SELECT concat(ctid, xmin, to_json(w)) FROM workouts w UNION ALL SELECT to_json(i)::text FROM workout_items i ORDER BY 1";
    let before = texts(&mut client, rows)?;
    for schema in ["zamm", "\"My Schema\"", "once"] {
        client.batch_execute(&format!("DROP EXTENSION pg_once; CREATE SCHEMA IF NOT EXISTS {schema}"))?;
        assert_eq!(texts(&mut client, rows)?, before);
        let views = "SELECT (SELECT count(*) FROM v_duplicate_imports) || ' ' || (SELECT count(*) FROM v_potential_duplicate_workouts)";
        assert_eq!(text(&mut client, views)?, "0 0");
        client.batch_execute(&format!(
            "CREATE EXTENSION pg_once SCHEMA {schema}; SELECT {schema}.install_kit('workouts', 'public');
             SELECT {schema}.create_target('letters', '\"Post\".\"Letters\"', '{{\"kind\": \"document\", \"normalizer\": \"exact\"}}')"
        ))?;
        assert_eq!(texts(&mut client, rows)?, before);
        goes_on(&mut client, schema, &past).context(schema)?;
        client.batch_execute("DELETE FROM imports WHERE athlete_id = 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb'")?;
    }
    Ok(())
}

/// Who owns a database, and is no superuser, dumps and restores it.
#[test]
fn the_owner_of_a_database_needs_no_superuser() -> Result<()> {
    let db = Db::on_own_cluster("owned_texts", &[])?;
    let owner = db.create_role("owner")?;
    db.psql(&format!("CREATE DATABASE mine OWNER \"{owner}\"; CREATE DATABASE moved OWNER \"{owner}\""))?;
    let mut client = connect(&db, "mine", &owner)?;
    client.batch_execute("CREATE SCHEMA once; CREATE EXTENSION pg_once SCHEMA once")?;
    call(&mut client, "install_kit('workouts', 'public')", &[])?;
    let past = live(&mut client, "once")?;
    let whole = dump(&db, "mine", &owner, &[])?;
    restore(&db, "moved", &owner, &whole)?;
    goes_on(&mut connect(&db, "moved", &owner)?, "once", &past)?;
    goes_on(&mut client, "once", &past)
}
