//! Who may do what with documents: no grants, an importer's grants, row-level security, and paths that lead astray.

use anyhow::Result;
use once_tests::postgres::Client;
use once_tests::promo::{A, B, advised, refused, refused_well, text, texts};
use once_tests::workouts::{commit, counts, drafted, import, install};
use once_tests::{Db, Uuid, sqlstate};

/// The kit, and a role that may import.
fn with_importer(label: &str) -> Result<(Db, Client, Client, String)> {
    let (db, mut owner) = install(label)?;
    let role = db.create_role("coach")?;
    owner.execute("SELECT once.grant_import_access('imports', $1)", &[&role])?;
    let session = db.client_as(&role)?;
    Ok((db, owner, session, role))
}

#[test]
fn a_role_without_grants_is_told_what_it_lacks() -> Result<()> {
    let (db, mut owner) = install("without")?;
    let (_, draft) = drafted(&mut owner, Some(A), "text")?;
    let role = db.create_role("nobody")?;
    owner.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{role}\""))?;
    let mut session = db.client_as(&role)?;
    let before = counts(&mut owner)?;
    for function in [
        "import_raw_text_idempotent(NULL, 'text', 's')".to_owned(),
        "import_document('imports', NULL, 'text', 's')".into(),
        format!("commit_workout_idempotent('{draft}', '{{\"workout_date\": \"2026-11-21\"}}')"),
        "check_import_duplicate('x')".into(),
        "check_workout_duplicate(gen_random_uuid(), '2026-11-21', 'x')".into(),
        "drop_target('imports')".into(),
    ] {
        assert_eq!(refused_well(&mut session, &format!("SELECT once.{function}"), &[])?, "42501", "{function}");
    }
    assert_eq!(counts(&mut owner)?, before);
    // The hint is the statement that helps.
    let error = refused(&mut session, "SELECT once.import_raw_text_idempotent(NULL, 'text', 's')", &[])?;
    owner.batch_execute(&advised(&error)?)?;
    assert!(!import(&mut session, None, "text")?.is_duplicate);
    // Who may use the tables but not their schema hears it with a way out, too.
    owner.batch_execute(&format!(
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC; REVOKE USAGE ON SCHEMA public FROM \"{role}\""
    ))?;
    let error = refused(&mut session, "SELECT once.import_raw_text_idempotent(NULL, 'text', 's')", &[])?;
    assert_eq!(error.code().code(), "42501");
    assert!(error.hint().is_some(), "{error:?}");
    Ok(())
}

#[test]
fn who_may_not_create_tables_is_told_so() -> Result<()> {
    let db = Db::new("kitless")?;
    let role = db.create_role("nobody")?;
    db.psql(&format!("GRANT USAGE ON SCHEMA once TO \"{role}\""))?;
    let install = "SELECT once.install_kit('workouts', 'public')";
    assert_eq!(refused_well(&mut db.client_as(&role)?, install, &[])?, "42501");
    Ok(())
}

#[test]
fn an_importer_takes_in_and_commits_and_no_more() -> Result<()> {
    let (_db, mut owner, mut session, _) = with_importer("importer")?;
    let (first, draft) = drafted(&mut session, Some(A), "text")?;
    assert_eq!(import(&mut session, Some(A), "text")?.id, first.id);
    let workout = commit(&mut session, draft, r#"{"workout_date": "2026-11-21", "sessions": [{}]}"#)?;
    assert!(!workout.is_duplicate);
    for sql in [
        "SELECT workout_id::text FROM workout_sessions".to_owned(),
        "SELECT import_id::text FROM once.check_import_duplicate(once.document_checksum('text'))".into(),
        format!(
            "SELECT workout_id::text FROM once.check_workout_duplicate('{A}', '2026-11-21', once.document_checksum('text'))"
        ),
    ] {
        assert_eq!(texts(&mut session, &sql)?.len(), 1, "{sql}");
    }
    for sql in [
        "UPDATE imports SET raw_text = ''",
        "DELETE FROM imports",
        "TRUNCATE imports, workouts, workout_drafts",
        "UPDATE workouts SET status = ''",
        "DELETE FROM workouts",
        "UPDATE once.targets SET spec = '{}'",
        "SELECT once.drop_target('imports')",
        "SELECT once.adopt_imports('imports', dry_run => false)",
        "DROP INDEX imports_checksum_sha256_athlete_id_key",
    ] {
        assert_eq!(refused(&mut session, sql, &[])?.code().code(), "42501", "{sql}");
    }
    assert_eq!(counts(&mut owner)?, "1 1 1");
    // A right that is taken away is gone for the open session.
    owner.batch_execute("REVOKE INSERT ON imports FROM PUBLIC; DO $$ DECLARE r name; BEGIN FOR r IN SELECT DISTINCT grantee FROM information_schema.role_table_grants WHERE table_name = 'imports' AND grantee LIKE 'coach%' LOOP EXECUTE format('REVOKE INSERT ON imports FROM %I', r); END LOOP; END $$")?;
    let sql = "SELECT once.import_raw_text_idempotent(NULL, 'text', 's')";
    assert_eq!(refused_well(&mut session, sql, &[])?, "42501");
    Ok(())
}

/// Imports, drafts and workouts of the athlete that the session is about.
const POLICIES: &str = "
    ALTER TABLE imports ENABLE ROW LEVEL SECURITY; ALTER TABLE workouts ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON imports USING (athlete_id = nullif(current_setting('app.athlete', true), '')::uuid);
    CREATE POLICY own ON workouts USING (athlete_id = nullif(current_setting('app.athlete', true), '')::uuid)";

fn act_for(session: &mut Client, athlete: Uuid) -> Result<()> {
    session.execute("SELECT set_config('app.athlete', $1, false)", &[&athlete.to_string()])?;
    Ok(())
}

#[test]
fn tenants_know_nothing_of_each_other() -> Result<()> {
    let (_db, mut owner, mut session, role) = with_importer("tenants")?;
    owner.batch_execute(POLICIES)?;
    let (theirs, their_draft) = drafted(&mut owner, Some(B), "secret plan")?;
    commit(&mut owner, their_draft, r#"{"workout_date": "2026-11-21"}"#)?;
    import(&mut owner, None, "secret plan")?;
    act_for(&mut session, A)?;
    // The same answers for what another has as for what nobody has.
    let mut answers = Vec::new();
    for content in ["secret plan", "never seen"] {
        let found =
            format!("SELECT \"exists\"::text FROM once.check_import_duplicate(once.document_checksum('{content}'))");
        let workout = format!(
            "SELECT \"exists\"::text FROM once.check_workout_duplicate('{B}', '2026-11-21', once.document_checksum('{content}'))"
        );
        let mine = import(&mut session, Some(A), content)?;
        let import = |athlete: &str| format!("SELECT once.import_raw_text_idempotent({athlete}, '{content}', 's')");
        let (of_b, of_none) =
            (refused(&mut session, &import(&format!("'{B}'")), &[])?, refused(&mut session, &import("NULL"), &[])?);
        answers.push((
            mine.is_duplicate,
            text(&mut session, &found)?,
            text(&mut session, &workout)?,
            (of_b.code().clone(), of_b.message().to_owned()),
            (of_none.code().clone(), of_none.message().to_owned()),
        ));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!((answers[0].0, answers[0].3.0.code(), answers[0].4.0.code()), (false, "42501", "42501"));
    // Their draft looks as if it did not exist.
    let sql = format!("SELECT once.commit_workout_idempotent('{their_draft}', '{{\"workout_date\": \"2026-11-22\"}}')");
    assert_eq!(refused_well(&mut session, &sql, &[])?, "P0002");
    let (_, mine) = drafted(&mut session, Some(A), "secret plan")?;
    assert!(!commit(&mut session, mine, r#"{"workout_date": "2026-11-21"}"#)?.is_duplicate);
    // The plans that the session keeps are not another tenant's.
    act_for(&mut session, B)?;
    let again = import(&mut session, Some(B), "secret  plan")?;
    assert_eq!((again.id, again.is_duplicate), (theirs.id, true));
    assert_eq!(counts(&mut owner)?, "4 2 2");
    // Nor are they those of the role that the session had before.
    assert!(import(&mut owner, None, "secret plan")?.is_duplicate);
    owner.batch_execute(&format!("SET ROLE \"{role}\""))?;
    act_for(&mut owner, A)?;
    for (athlete, told) in [(Some(B), Some("42501")), (None, Some("42501")), (Some(A), None)] {
        let answer = import(&mut owner, athlete, "secret plan");
        assert_eq!(answer.err().as_ref().and_then(sqlstate), told, "{athlete:?}");
    }
    Ok(())
}

/// A policy that hides a row of the very owner: the unique index still knows it, and the importer is told in time.
#[test]
fn a_hidden_row_in_the_way_is_told_clearly() -> Result<()> {
    let (_db, mut owner, mut session, _) = with_importer("hidden")?;
    let (_, first) = drafted(&mut owner, Some(A), "text")?;
    commit(&mut owner, first, r#"{"workout_date": "2026-11-21"}"#)?;
    owner.batch_execute(
        "ALTER TABLE imports ENABLE ROW LEVEL SECURITY; CREATE POLICY all_but ON imports USING (source <> 'coach') WITH CHECK (true)",
    )?;
    let sql = format!("SELECT once.import_raw_text_idempotent('{A}', 'text', 'other')");
    assert_eq!(refused_well(&mut session, &sql, &[])?, "42501");
    let (_, other) = {
        owner.batch_execute("DROP POLICY all_but ON imports; ALTER TABLE imports DISABLE ROW LEVEL SECURITY")?;
        drafted(&mut session, Some(A), "text")?
    };
    owner.batch_execute(
        "ALTER TABLE workouts ENABLE ROW LEVEL SECURITY; CREATE POLICY all_but ON workouts USING (session_title IS NOT NULL) WITH CHECK (true)",
    )?;
    let sql = format!(
        "SELECT once.commit_workout_idempotent('{other}', '{{\"workout_date\": \"2026-11-21\", \"title\": \"t\"}}')"
    );
    assert_eq!(refused_well(&mut session, &sql, &[])?, "42501");
    assert_eq!(counts(&mut owner)?, "1 2 1");
    Ok(())
}

/// Objects of our names, and operators on our types, where the caller's path looks first.
#[test]
fn no_path_leads_astray() -> Result<()> {
    let (db, mut owner, mut session, role) = with_importer("path")?;
    owner.batch_execute(&format!("CREATE SCHEMA evil AUTHORIZATION \"{role}\""))?;
    session.batch_execute(
        r#"CREATE TABLE evil.seen (what text);
           CREATE TABLE evil.imports (LIKE public.imports INCLUDING ALL); CREATE TABLE evil.targets (name text);
           CREATE TABLE evil.workouts (LIKE public.workouts INCLUDING ALL);
           CREATE FUNCTION evil.yes(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.seen VALUES (current_user); RETURN true; END';
           CREATE FUNCTION evil.yes(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.seen VALUES (current_user); RETURN true; END';
           CREATE FUNCTION evil.contains(text[], text[]) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.seen VALUES (current_user); RETURN true; END';
           CREATE FUNCTION evil.to_char(timestamp, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.seen VALUES (current_user); RETURN 1; END';
           CREATE FUNCTION evil.jsonb_typeof(jsonb) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.seen VALUES (current_user); RETURN 1; END';
           CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.seen VALUES (current_user); RETURN NULL; END';
           CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.yes);
           CREATE OPERATOR evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = evil.yes);
           CREATE OPERATOR evil.@> (LEFTARG = text[], RIGHTARG = text[], FUNCTION = evil.contains);
           CREATE DOMAIN evil.uuid AS text; CREATE DOMAIN evil.date AS text;
           GRANT ALL ON SCHEMA evil TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC"#,
    )?;
    for mut victim in [db.client()?, session] {
        victim.batch_execute(
            "SET search_path = evil, public, pg_catalog;
             CREATE TEMP TABLE imports (LIKE public.imports INCLUDING ALL); CREATE TEMP TABLE targets (name text)",
        )?;
        let (first, draft) = drafted(&mut victim, Some(A), "one text")?;
        let again = import(&mut victim, Some(A), "one text")?;
        assert_eq!(again.id, first.id);
        assert_ne!(import(&mut victim, Some(A), "another text")?.id, first.id);
        commit(&mut victim, draft, r#"{"workout_date": "2026-11-21"}"#)?;
        assert!(commit(&mut victim, draft, r#"{"workout_date": "2026-11-21"}"#)?.is_duplicate);
        for question in [
            format!("check_import_duplicate('{}', '{A}')", first.checksum),
            format!("check_workout_duplicate('{A}', '2026-11-21', '{}')", first.checksum),
        ] {
            let sql = format!("SELECT \"exists\"::pg_catalog.text FROM once.{question}");
            assert_eq!(text(&mut victim, &sql)?, "true");
        }
    }
    let stray = "SELECT concat_ws(' ', (SELECT count(*) FROM evil.seen), (SELECT count(*) FROM evil.imports), (SELECT count(*) FROM evil.workouts))";
    assert_eq!(text(&mut owner, stray)?, "0 0 0");
    assert_eq!(counts(&mut owner)?, "2 2 1");
    Ok(())
}

#[test]
fn nothing_is_written_where_nothing_may_be() -> Result<()> {
    let (_db, mut client) = install("read_only")?;
    let (_, draft) = drafted(&mut client, Some(A), "text")?;
    client.batch_execute("SET default_transaction_read_only = on")?;
    for error in [
        import(&mut client, Some(A), "new").err(),
        commit(&mut client, draft, r#"{"workout_date": "2026-11-21"}"#).err(),
    ] {
        assert_eq!(error.as_ref().and_then(sqlstate), Some("25006"));
    }
    assert_eq!(counts(&mut client)?, "1 1 0");
    Ok(())
}
