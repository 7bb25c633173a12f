//! Keys, views, triggers and other tables that hang on what is adopted.

use anyhow::Result;
use once_tests::Db;
use once_tests::promo::{refused, refused_well, text, texts};

use super::{SUM, adopt, athlete, figures, install, legacy};
use once_tests::json;
use once_tests::postgres::Client;

/// Imports with a good checksum or none, and whatever keys the test adds: 1 and 3 are A's with one content, 2 is B's.
fn imports(label: &str, ddl: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    client.batch_execute(SUM)?;
    let [a, b] = ['A', 'B'].map(athlete);
    client.batch_execute(&format!(
        "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text, checksum_sha256 text,
           source text, tags text[], received_at timestamptz);
         {ddl};
         INSERT INTO imports (import_id, athlete_id, raw_text, checksum_sha256, received_at) VALUES
           (pg_temp.i(1), '{a}', 'x', pg_temp.sum('x'), '2024-01-01'), (pg_temp.i(2), '{b}', 'x', NULL, '2024-01-02'),
           (pg_temp.i(3), '{a}', 'x ', NULL, '2024-01-03')"
    ))?;
    Ok((db, client))
}

/// The unique keys on imports, but for its primary key.
const KEYS: &str = "SELECT regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') FROM pg_index
                    WHERE indrelid = 'imports'::regclass AND indisunique AND NOT indisprimary ORDER BY 1";
const KEY: &str =
    "btree (checksum_sha256, athlete_id) NULLS NOT DISTINCT WHERE (NOT (tags @> ARRAY['duplicate_archived'::text]))";
const ARCHIVED: &str = "SELECT pg_temp.n(import_id)::text FROM imports WHERE tags = '{duplicate_archived}' ORDER BY 1";

#[test]
fn a_global_key_is_replaced_whatever_its_form() -> Result<()> {
    for (ddl, replaced) in [
        ("ALTER TABLE imports ADD UNIQUE (checksum_sha256)", json!(["imports_checksum_sha256_key"])),
        ("CREATE UNIQUE INDEX \"Old Key\" ON imports (checksum_sha256)", json!(["Old Key"])),
        (
            "CREATE UNIQUE INDEX partly ON imports (checksum_sha256) WHERE checksum_sha256 IS NOT NULL",
            json!(["partly"]),
        ),
        ("CREATE UNIQUE INDEX more ON imports (checksum_sha256) INCLUDE (source)", json!(["more"])),
        (
            "ALTER TABLE imports ADD CONSTRAINT late UNIQUE (checksum_sha256) DEFERRABLE INITIALLY DEFERRED",
            json!(["late"]),
        ),
        (
            "ALTER TABLE imports ADD UNIQUE (checksum_sha256); CREATE UNIQUE INDEX other ON imports (checksum_sha256)",
            json!(["imports_checksum_sha256_key", "other"]),
        ),
    ] {
        let (_db, mut client) = imports("global", ddl)?;
        let told = adopt(&mut client, "'imports'")?;
        assert_eq!(told["keys_replaced"], replaced, "{ddl}");
        let done = adopt(&mut client, "'imports', false")?;
        assert_eq!((&done["keys_replaced"], figures(&done)), (&replaced, [3, 2, 0, 1, 0, 0]), "{ddl}");
        assert_eq!(
            (texts(&mut client, KEYS)?, texts(&mut client, ARCHIVED)?),
            (vec![KEY.into()], vec!["3".into()]),
            "{ddl}"
        );
    }
    Ok(())
}

/// An expression's key keeps another athlete out just as well.
#[test]
fn a_global_key_on_the_checksum_in_lower_case_is_replaced_too() -> Result<()> {
    let (_db, mut client) = imports("lower", "CREATE UNIQUE INDEX lowered ON imports (lower(checksum_sha256))")?;
    adopt(&mut client, "'imports', false")?;
    assert_eq!(texts(&mut client, KEYS)?, [KEY]);
    Ok(())
}

/// Other unique keys are none of its business, even where they contain the checksum.
#[test]
fn other_keys_stay() -> Result<()> {
    let ddl = "CREATE UNIQUE INDEX a ON imports (checksum_sha256, received_at); CREATE UNIQUE INDEX b ON imports (source_ref, import_id)";
    let (_db, mut client) = imports("others", &format!("ALTER TABLE imports ADD source_ref text; {ddl}"))?;
    adopt(&mut client, "'imports', false")?;
    let expected = [KEY, "btree (checksum_sha256, received_at)", "btree (source_ref, import_id)"];
    assert_eq!(texts(&mut client, KEYS)?, expected);
    Ok(())
}

/// A database that had the right idea: unique per athlete. But a checksum is missing here and there, and what it is
/// computed to is there already.
#[test]
fn a_key_per_athlete_does_not_stand_in_the_way() -> Result<()> {
    for ddl in [
        "ALTER TABLE imports ADD UNIQUE (athlete_id, checksum_sha256)",
        "CREATE UNIQUE INDEX ON imports (athlete_id, checksum_sha256) WHERE checksum_sha256 IS NOT NULL",
        "ALTER TABLE imports ADD UNIQUE NULLS NOT DISTINCT (checksum_sha256, athlete_id)",
    ] {
        let (_db, mut client) = imports("per_athlete", ddl)?;
        let done = adopt(&mut client, "'imports', false")?;
        assert_eq!(figures(&done), [3, 2, 0, 1, 0, 0], "{ddl}");
        assert_eq!(texts(&mut client, ARCHIVED)?, ["3"], "{ddl}");
        assert!(texts(&mut client, KEYS)?.contains(&KEY.into()), "{ddl}");
        // An archived row may repeat another, whatever keys are left.
        install(&mut client)?;
        client.batch_execute(
            "INSERT INTO imports (athlete_id, raw_text, checksum_sha256, tags) SELECT athlete_id, raw_text, checksum_sha256, '{duplicate_archived}' FROM imports",
        )?;
    }
    Ok(())
}

/// Nor where what repeats was archived by an earlier call, or by someone else, so that this call archives nothing.
#[test]
fn a_key_per_athlete_does_not_stand_in_the_way_of_a_later_call() -> Result<()> {
    let key = "ALTER TABLE imports ADD UNIQUE (athlete_id, checksum_sha256)";
    for portion in [1, 2] {
        let (_db, mut client) = imports("portions_of_keyed", key)?;
        for call in 0.. {
            assert!(call < 20, "never complete");
            if adopt(&mut client, &format!("'imports', false, {portion}"))?["complete"] == true {
                break;
            }
        }
        assert_eq!(texts(&mut client, ARCHIVED)?, ["3"], "{portion}");
        assert_eq!(
            text(&mut client, "SELECT count(*)::text FROM imports WHERE checksum_sha256 = pg_temp.sum('x')")?,
            "3"
        );
    }
    let (_db, mut client) = imports("archived_before", key)?;
    client.batch_execute("UPDATE imports SET tags = '{duplicate_archived}' WHERE import_id = pg_temp.i(3)")?;
    let done = adopt(&mut client, "'imports', false")?;
    assert_eq!(figures(&done), [3, 2, 0, 0, 0, 0], "{done}");
    Ok(())
}

/// A foreign key on the global key: it can't be replaced without taking the other table's key along, which nobody asked for.
#[test]
fn a_foreign_key_on_the_global_key_is_refused_and_nothing_is_changed() -> Result<()> {
    let (_db, mut client) = imports(
        "referred",
        "ALTER TABLE imports ADD CONSTRAINT global UNIQUE (checksum_sha256);
         CREATE TABLE notes (checksum text REFERENCES imports (checksum_sha256) ON UPDATE CASCADE ON DELETE CASCADE, note text)",
    )?;
    client.batch_execute("INSERT INTO notes VALUES (pg_temp.sum('x'), 'n')")?;
    let state = "SELECT concat(ctid, xmin, to_json(t)) FROM imports t UNION ALL SELECT concat(oid, conname) FROM pg_constraint WHERE oid > 16383 UNION ALL SELECT to_json(n)::text FROM notes n ORDER BY 1";
    let before = texts(&mut client, state)?;
    let error = refused(&mut client, "SELECT once.adopt_imports('imports', false)", &[])?;
    assert_eq!(error.code().code(), "2BP01", "{error:?}");
    assert!(error.detail().is_some_and(|detail| detail.contains("notes")) && error.hint().is_some(), "{error:?}");
    assert_eq!(texts(&mut client, state)?, before);
    // The foreign key is let go, and it goes.
    client.batch_execute("ALTER TABLE notes DROP CONSTRAINT notes_checksum_fkey")?;
    adopt(&mut client, "'imports', false")?;
    assert_eq!(text(&mut client, "SELECT note FROM notes")?, "n");
    Ok(())
}

/// An index is dropped, and not a constraint that happens to have its name.
#[test]
fn a_constraint_with_the_name_of_the_key_is_left_alone() -> Result<()> {
    let ddl = "CREATE UNIQUE INDEX twins ON imports (checksum_sha256); ALTER TABLE imports ADD CONSTRAINT twins CHECK (raw_text <> 'forbidden')";
    let (_db, mut client) = imports("namesake", ddl)?;
    adopt(&mut client, "'imports', false")?;
    assert_eq!(texts(&mut client, KEYS)?, [KEY]);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM pg_constraint WHERE conname = 'twins'")?, "1");
    Ok(())
}

/// What a user's own view, trigger and log make of it.
#[test]
fn views_and_triggers_of_the_users_go_on() -> Result<()> {
    let (_db, mut client) = legacy("hung")?;
    client.batch_execute(
        "CREATE VIEW mine AS SELECT import_id, raw_text, checksum_sha256, tags FROM imports WHERE tags IS NOT NULL;
         CREATE MATERIALIZED VIEW counted AS SELECT athlete_id, count(*) FROM imports GROUP BY 1;
         CREATE TABLE log (op text, id uuid);
         CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (TG_OP, OLD.import_id); RETURN NULL; END';
         CREATE TRIGGER logged AFTER UPDATE OR DELETE ON imports FOR EACH ROW EXECUTE FUNCTION logged()",
    )?;
    adopt(&mut client, "'imports', false")?;
    super::is_adopted(&mut client)?;
    assert_eq!(text(&mut client, "SELECT string_agg(DISTINCT op, ',') FROM log")?, "UPDATE");
    // Rows that needed nothing were not written: of 13, 8 alone (5 has NULL tags).
    assert_eq!(
        text(
            &mut client,
            "SELECT string_agg(pg_temp.n(i.import_id)::text, ',') FROM imports i WHERE NOT EXISTS (SELECT FROM log WHERE id = i.import_id)"
        )?,
        "8"
    );
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM mine")?, "13");
    Ok(())
}

/// A trigger that is checked at the end of the transaction only: its events wait while the constraints are added.
#[test]
fn a_deferred_trigger_is_no_obstacle() -> Result<()> {
    let (_db, mut client) = legacy("deferred")?;
    client.batch_execute(
        "CREATE TABLE log (op text);
         CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (TG_OP); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER logged AFTER UPDATE ON imports DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION logged()",
    )?;
    adopt(&mut client, "'imports', false")?;
    super::is_adopted(&mut client)
}

/// Nor are the events of a migration that wrote before it adopts, whoever has to be asked about them.
#[test]
fn what_a_migration_has_left_pending_is_no_obstacle() -> Result<()> {
    let (_db, mut client) = legacy("pending")?;
    client.batch_execute(
        "ALTER TABLE workouts ALTER CONSTRAINT workouts_import_id_fkey DEFERRABLE INITIALLY DEFERRED;
         BEGIN; UPDATE workouts SET import_id = import_id WHERE import_id = pg_temp.i(1); UPDATE workouts SET import_id = pg_temp.i(3) WHERE import_id = pg_temp.i(3);
         INSERT INTO workouts (workout_id, import_id, athlete_id, workout_date) SELECT pg_temp.w(99), import_id, athlete_id, '2030-01-01' FROM imports WHERE import_id = pg_temp.i(3);
         SELECT once.adopt_imports('imports', false); DELETE FROM workouts WHERE workout_id = pg_temp.w(99); COMMIT",
    )?;
    super::is_adopted(&mut client)
}

/// A trigger that quietly keeps rows from being changed must not make it look done.
#[test]
fn a_trigger_that_swallows_changes_is_noticed() -> Result<()> {
    let (_db, mut client) = legacy("swallowed")?;
    client.batch_execute(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER swallow BEFORE UPDATE ON imports FOR EACH ROW EXECUTE FUNCTION swallow()",
    )?;
    // In portions too: else they would never end.
    for arguments in ["'imports', false", "'imports', false, 3"] {
        assert_eq!(refused_well(&mut client, &format!("SELECT once.adopt_imports({arguments})"), &[])?, "09000");
    }
    Ok(())
}

/// Another table of the same shape, such as a copy from last year, beside a kit: its imports are not those that the
/// kit's workouts came from, although the ids are the same.
#[test]
fn the_workouts_of_other_imports_are_not_touched() -> Result<()> {
    let (_db, mut client) = legacy("beside")?;
    install(&mut client)?;
    client.batch_execute(
        "CREATE TABLE imports_2023 (LIKE imports INCLUDING DEFAULTS); ALTER TABLE imports_2023 ADD PRIMARY KEY (import_id);
         INSERT INTO imports_2023 SELECT * FROM imports; UPDATE imports_2023 SET raw_text = 'quite another text'",
    )?;
    let workouts = "SELECT concat(ctid, xmin, to_json(w)) FROM workouts w ORDER BY ctid";
    let before = texts(&mut client, workouts)?;
    adopt(&mut client, "'imports_2023', false")?;
    assert_eq!(texts(&mut client, workouts)?, before);
    Ok(())
}

/// Workouts that repeat each other with a good hash are a person's to decide on. Until then imports go on, and commits
/// are told why they can't; afterwards another call adds the key.
#[test]
fn workouts_that_repeat_a_good_hash_are_left_alone() -> Result<()> {
    let (_db, mut client) = legacy("repeated")?;
    client.batch_execute(
        "INSERT INTO workouts (workout_id, import_id, athlete_id, workout_date, content_hash_ref) SELECT pg_temp.w(12), import_id, athlete_id, workout_date, content_hash_ref FROM workouts WHERE workout_id = pg_temp.w(7)",
    )?;
    install(&mut client)?;
    let done = adopt(&mut client, "'imports', false")?;
    assert_eq!(figures(&done), super::EXPECTED, "{done}");
    let same = "SELECT count(*)::text FROM workouts WHERE content_hash_ref = pg_temp.sum('Bench') AND workout_date = '2024-02-02'";
    assert_eq!(text(&mut client, same)?, "2");
    let shown = "SELECT concat_ws(' ', pg_temp.n(workout_id), pg_temp.n(other_workout_id), reasons) FROM v_potential_duplicate_workouts WHERE 'same hash' = ANY (reasons)";
    assert_eq!(texts(&mut client, shown)?, ["7 12 {\"same hash\",\"same import\"}"]);
    assert_eq!(
        text(&mut client, "SELECT is_duplicate::text FROM once.import_raw_text_idempotent(NULL, 'Squat 5x5', 's')")?,
        "true"
    );
    let commit = "SELECT is_duplicate::text FROM once.commit_workout_idempotent(pg_temp.i(8), '{\"workout_date\": \"2024-02-02\"}')";
    assert_eq!(refused(&mut client, commit, &[])?.code().code(), "42P10");
    client.batch_execute("UPDATE workouts SET content_hash_ref = NULL WHERE workout_id = pg_temp.w(12)")?;
    let done = adopt(&mut client, "'imports', false")?;
    assert_eq!((done["constraints_added"].as_array().map(Vec::len), figures(&done)[4]), (Some(1), 0), "{done}");
    assert_eq!(text(&mut client, commit)?, "true");
    Ok(())
}

/// Workouts with keys of their own on the hash and less than what tells workouts apart: they would keep another athlete's
/// workout of the same content, or another day's, from being filled.
#[test]
fn a_global_key_on_the_hash_of_workouts_is_replaced() -> Result<()> {
    let (_db, mut client) = legacy("hash_key")?;
    client.batch_execute(
        "ALTER TABLE workouts ADD UNIQUE (content_hash_ref), ADD UNIQUE (content_hash_ref, athlete_id), ADD UNIQUE (content_hash_ref, session_title)",
    )?;
    let mut told = adopt(&mut client, "'imports'")?;
    let done = adopt(&mut client, "'imports', false")?;
    let replaced =
        json!(["legacy_checksum_key", "workouts_content_hash_ref_athlete_id_key", "workouts_content_hash_ref_key"]);
    assert_eq!((&done["keys_replaced"], figures(&done)), (&replaced, super::EXPECTED), "{done}");
    told["dry_run"] = json!(false);
    assert_eq!(told, done);
    super::is_adopted(&mut client)
}

/// A table that was keyed by the checksum itself.
#[test]
fn a_primary_key_on_the_checksum_is_replaced() -> Result<()> {
    let db = Db::new("primary")?;
    let mut client = db.client()?;
    client.batch_execute(SUM)?;
    let [a, b] = ['A', 'B'].map(athlete);
    client.batch_execute(&format!(
        "CREATE TABLE imports (import_id uuid NOT NULL UNIQUE, athlete_id uuid, raw_text text, checksum_sha256 text PRIMARY KEY);
         INSERT INTO imports VALUES (pg_temp.i(1), '{a}', 'x', pg_temp.sum('x')), (pg_temp.i(2), '{b}', 'x', md5('x'))"
    ))?;
    let done = adopt(&mut client, "'imports', false")?;
    assert_eq!((&done["keys_replaced"], figures(&done)), (&json!(["imports_pkey"]), [2, 1, 1, 0, 0, 0]), "{done}");
    assert_eq!(texts(&mut client, KEYS)?, [KEY, "btree (import_id)"]);
    Ok(())
}

#[test]
fn a_default_of_ones_own_stays() -> Result<()> {
    let (_db, mut client) = imports("default", "ALTER TABLE imports ALTER tags SET DEFAULT '{new}'")?;
    adopt(&mut client, "'imports', false")?;
    let default = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute a ON a.attrelid = adrelid AND attnum = adnum WHERE adrelid = 'imports'::regclass AND attname = 'tags'";
    assert_eq!(text(&mut client, default)?, "'{new}'::text[]");
    Ok(())
}
