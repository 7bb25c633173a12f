//! Tables and targets that change under open sessions, which keep targets and plans: no session writes by what was,
//! each says what is wrong as a new one would, and works again when it is put right.

use std::thread;

use anyhow::{Result, anyhow};
use once_tests::Db;
use once_tests::postgres::Client;
use once_tests::promo::{A, call, refused, refused_well, text, texts};
use once_tests::wait::{pid, until_blocked};
use once_tests::workouts::{commit, drafted, import, install, take};

const IMPORT: &str = "SELECT once.import_raw_text_idempotent(NULL, 'text', 's')";
const KEY: &str = "imports_checksum_sha256_athlete_id_key";

#[test]
fn what_is_broken_is_told_by_an_open_session_as_by_a_new_one() -> Result<()> {
    let (db, mut owner) = install("broken")?;
    let mut open = db.client()?;
    let (_, draft) = drafted(&mut open, Some(A), "before")?;
    let parsed = "'{\"workout_date\": \"2026-11-21\"}'";
    let commit = format!("SELECT once.commit_workout_idempotent('{draft}', {parsed})");
    open.batch_execute(&commit)?;
    open.batch_execute(IMPORT)?;
    let draft_key = |what| {
        format!(
            "SELECT {what} FROM pg_constraint WHERE conrelid = 'workouts'::regclass AND contype = 'u' AND conname LIKE '%draft%'"
        )
    };
    let (draft_key, draft_key_is) =
        (text(&mut owner, &draft_key("conname::text"))?, text(&mut owner, &draft_key("pg_get_constraintdef(oid)"))?);
    let named = |sql: &str| {
        sql.replace("{key}", KEY).replace("{draft_key}", &draft_key).replace("{draft_key_is}", &draft_key_is)
    };
    let mut wrong = Vec::new();
    for (harm, remedy, statement) in [
        (
            "DROP INDEX {key}",
            "CREATE UNIQUE INDEX {key} ON imports (checksum_sha256, athlete_id) NULLS NOT DISTINCT WHERE NOT (tags @> ARRAY['duplicate_archived'::text])",
            IMPORT,
        ),
        ("ALTER TABLE imports RENAME TO moved", "ALTER TABLE moved RENAME TO imports", IMPORT),
        ("ALTER TABLE imports RENAME source TO origin", "ALTER TABLE imports RENAME origin TO source", IMPORT),
        (
            "ALTER TABLE imports RENAME checksum_sha256 TO sum",
            "ALTER TABLE imports RENAME sum TO checksum_sha256",
            IMPORT,
        ),
        ("ALTER TABLE imports SET SCHEMA once", "ALTER TABLE once.imports SET SCHEMA public", IMPORT),
        ("ALTER TABLE workouts RENAME TO moved", "ALTER TABLE moved RENAME TO workouts", &commit),
        ("ALTER TABLE workout_drafts RENAME TO moved", "ALTER TABLE moved RENAME TO workout_drafts", &commit),
        (
            "ALTER TABLE workouts RENAME parsed_workout TO parsed",
            "ALTER TABLE workouts RENAME parsed TO parsed_workout",
            &commit,
        ),
        (
            "ALTER TABLE workouts DROP CONSTRAINT {draft_key}",
            "ALTER TABLE workouts ADD CONSTRAINT {draft_key} {draft_key_is}",
            &commit,
        ),
        ("SELECT once.drop_target('imports')", "SELECT once.install_kit('workouts', 'public')", IMPORT),
    ] {
        owner.batch_execute(&named(harm))?;
        let (here, there) = (refused(&mut open, statement, &[])?, refused(&mut db.client()?, statement, &[])?);
        if (here.code(), here.message(), here.hint().is_some()) != (there.code(), there.message(), true) {
            wrong.push(format!("{harm}: {here:?} where a new session says {}", there.message()));
        }
        owner.batch_execute(&named(remedy))?;
        for client in [&mut open, &mut db.client()?] {
            if let Err(error) = client.batch_execute(statement) {
                wrong.push(format!("{remedy}: {error:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        text(&mut owner, "SELECT concat_ws(' ', (SELECT count(*) FROM imports), (SELECT count(*) FROM workouts))")?,
        "2 1"
    );
    Ok(())
}

/// An unknown athlete is one, and that rests on the index: where it is lost, an open session must notice.
#[test]
fn a_key_that_takes_nulls_for_different_doubles_nothing() -> Result<()> {
    let (db, mut owner) = install("nulls")?;
    let mut open = db.client()?;
    open.batch_execute(IMPORT)?;
    owner.batch_execute(&format!(
        "DROP INDEX {KEY}; CREATE UNIQUE INDEX {KEY} ON imports (checksum_sha256, athlete_id) WHERE NOT (tags @> ARRAY['duplicate_archived'::text])"
    ))?;
    assert_eq!(refused_well(&mut db.client()?, IMPORT, &[])?, "42P10");
    let answer = open.batch_execute(IMPORT);
    assert_eq!(text(&mut owner, "SELECT count(*)::text FROM imports")?, "1", "{answer:?}");
    Ok(())
}

fn letters(normalizer: &str) -> String {
    format!(
        r#"SELECT once.create_target('letters', 'letters', '{{"kind": "document", "normalizer": "{normalizer}"}}')"#
    )
}

const LETTERS: &str = "CREATE TABLE letters (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, content text, checksum_sha256 text UNIQUE,
    normalizer_version text, source text, source_ref text, tags text[] NOT NULL DEFAULT '{}', received_at timestamptz DEFAULT now())";

#[test]
fn another_normalizer_takes_effect_in_every_open_session() -> Result<()> {
    let db = Db::new("normalizer")?;
    let (mut owner, mut open) = (db.client()?, db.client()?);
    owner.batch_execute(&format!("{LETTERS}; {}", letters("exact")))?;
    let take = |client: &mut Client, content| take(client, "letters", None, content);
    for client in [&mut owner, &mut open] {
        take(client, "a  b")?;
    }
    assert!(!take(&mut open, "a b")?.is_duplicate);
    owner.batch_execute(&format!("SELECT once.drop_target('letters'); {}", letters("whitespace")))?;
    for client in [&mut owner, &mut open] {
        assert!(take(client, " a   b ")?.is_duplicate);
    }
    // And a registration that is undone leaves no trace.
    owner.batch_execute(&format!("BEGIN; SELECT once.drop_target('letters'); {}", letters("exact")))?;
    assert!(!take(&mut owner, "a   b")?.is_duplicate);
    owner.batch_execute("ROLLBACK")?;
    for client in [&mut owner, &mut open] {
        assert!(take(client, "a   b")?.is_duplicate);
    }
    assert_eq!(texts(&mut owner, "SELECT content FROM letters ORDER BY id")?, ["a  b", "a b"]);
    Ok(())
}

#[test]
fn a_table_that_is_made_anew_is_another_table() -> Result<()> {
    let db = Db::new("anew")?;
    let (mut owner, mut open) = (db.client()?, db.client()?);
    owner.batch_execute(&format!("{LETTERS}; {}", letters("exact")))?;
    assert!(!take(&mut open, "letters", None, "a")?.is_duplicate);
    owner.batch_execute(&format!("DROP TABLE letters; {LETTERS}"))?;
    assert!(!take(&mut open, "letters", None, "a")?.is_duplicate);
    assert!(take(&mut open, "letters", None, "a")?.is_duplicate);
    let sql = "SELECT once.import_document('letters', NULL, 'b', 's')";
    // A view, and then another's table, under the name: neither is written to.
    owner.batch_execute("ALTER TABLE letters RENAME TO real; CREATE VIEW letters AS SELECT * FROM real")?;
    assert_eq!(refused_well(&mut open, sql, &[])?, "42809");
    owner.batch_execute("DROP VIEW letters")?;
    assert_eq!(refused_well(&mut open, sql, &[])?, "42P01");
    let registrar = db.create_role("registrar")?;
    let mallory = db.create_role("mallory")?;
    owner.batch_execute(&format!(
        r#"SELECT once.drop_target('letters'); GRANT USAGE ON SCHEMA once TO "{registrar}"; GRANT CREATE ON SCHEMA public TO "{mallory}";
           ALTER TABLE real RENAME TO letters; ALTER TABLE letters OWNER TO "{registrar}"; SET ROLE "{registrar}"; {}; RESET ROLE"#,
        letters("exact")
    ))?;
    assert!(take(&mut open, "letters", None, "a")?.is_duplicate);
    owner.batch_execute(&format!(
        r#"DROP TABLE letters; SET ROLE "{mallory}"; {LETTERS}; GRANT ALL ON letters TO PUBLIC; RESET ROLE"#
    ))?;
    assert_eq!(refused_well(&mut open, sql, &[])?, "42501");
    assert_eq!(text(&mut owner, "SELECT count(*)::text FROM letters")?, "0");
    owner.batch_execute(&format!("ALTER TABLE letters OWNER TO \"{registrar}\""))?;
    assert!(!take(&mut open, "letters", None, "b")?.is_duplicate);
    owner.batch_execute(&format!(
        r#"DROP TABLE letters; DELETE FROM once.targets; DROP OWNED BY "{registrar}", "{mallory}"; DROP ROLE "{registrar}", "{mallory}""#
    ))?;
    Ok(())
}

/// Others' tables are swapped in while an import waits for the table's lock: whose table it is must be asked of the one
/// that is written to.
#[test]
fn a_table_that_is_swapped_during_the_wait_is_looked_at() -> Result<()> {
    let db = Db::new("swapped")?;
    let (mut owner, mut open, mut watcher) = (db.client()?, db.client()?, db.client()?);
    let (registrar, mallory) = (db.create_role("registrar")?, db.create_role("mallory")?);
    owner.batch_execute(&format!(
        r#"GRANT USAGE ON SCHEMA once TO "{registrar}"; GRANT CREATE ON SCHEMA public TO "{mallory}", "{registrar}";
           SET ROLE "{registrar}"; {LETTERS}; {}; RESET ROLE"#,
        letters("exact")
    ))?;
    take(&mut open, "letters", None, "a")?;
    owner.batch_execute(&format!(
        r#"BEGIN; ALTER TABLE letters RENAME TO old; SET LOCAL ROLE "{mallory}"; {LETTERS}; GRANT ALL ON letters TO PUBLIC"#
    ))?;
    let waiter = pid(&mut open)?;
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(move || take(&mut open, "letters", None, "b"));
        until_blocked(&mut watcher, waiter)?;
        owner.batch_execute("COMMIT")?;
        waiting.join().map_err(|_| anyhow!("the import panicked"))
    })?;
    owner.batch_execute("RESET ROLE")?;
    let stolen = text(&mut owner, "SELECT count(*)::text FROM letters")?;
    owner.batch_execute(&format!(
        r#"DROP TABLE letters, old; DELETE FROM once.targets; DROP OWNED BY "{registrar}", "{mallory}"; DROP ROLE "{registrar}", "{mallory}""#
    ))?;
    assert_eq!(stolen, "0", "{answer:?}");
    Ok(())
}

/// Plans that a session made of a small table serve a large one; and an extension that was made anew is found.
#[test]
fn a_session_outlives_growth_and_the_extension_itself() -> Result<()> {
    let (db, mut owner) = install("outlives")?;
    let mut open = db.client()?;
    let first = import(&mut open, Some(A), "first")?;
    owner.batch_execute(
        "SELECT count(*) FROM generate_series(1, 5000) n, LATERAL once.import_raw_text_idempotent(NULL, 'text ' || n, 's')",
    )?;
    for client in [&mut open, &mut owner] {
        assert_eq!(import(client, Some(A), "first")?.id, first.id);
        let new = format!("new {}", pid(client)?);
        assert!(import(client, None, "text 77")?.is_duplicate && !import(client, Some(A), &new)?.is_duplicate);
    }
    owner.batch_execute("DROP EXTENSION pg_once; CREATE SCHEMA zamm; CREATE EXTENSION pg_once SCHEMA zamm")?;
    let sql = "SELECT is_duplicate::text FROM zamm.import_raw_text_idempotent(NULL, 'text 77', 's')";
    for client in [&mut open, &mut owner] {
        assert_eq!(refused_well(client, sql, &[])?, "42704");
    }
    owner.batch_execute("SELECT zamm.install_kit('workouts', 'public')")?;
    for client in [&mut open, &mut owner] {
        assert_eq!(text(client, sql)?, "true");
    }
    Ok(())
}

/// A session that failed in every way goes on as if nothing had been.
#[test]
fn a_session_works_after_its_errors() -> Result<()> {
    let (_db, mut client) = install("errors")?;
    let (first, draft) = drafted(&mut client, Some(A), "text")?;
    for _ in 0..3 {
        for sql in [
            "SELECT once.import_document('imports', 'me', 't', 's')",
            "SELECT once.import_raw_text_idempotent(NULL, ' ', 's')",
            "SELECT once.commit_workout_idempotent(gen_random_uuid(), '{\"workout_date\": \"2026-02-30\"}')",
            "SELECT once.import_raw_text_idempotent(NULL, 't', 's') FROM (SELECT 1/0) x(y) WHERE y = 1",
        ] {
            refused(&mut client, sql, &[])?;
        }
        assert_eq!(import(&mut client, Some(A), "text")?.id, first.id);
        commit(&mut client, draft, r#"{"workout_date": "2026-11-21"}"#)?;
    }
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM imports")?, "1");
    let _ = call(&mut client, "install_kit('workouts', 'public')", &[])?;
    Ok(())
}
