//! What can't be adopted, and that nothing is done then.

use anyhow::{Context, Result};
use once_tests::Db;
use once_tests::promo::{call, refused, refused_well, text, texts};

use super::{SUM, adopt, athlete, figures, install, legacy, unchanged, whole_state};

#[test]
fn arguments_are_checked() -> Result<()> {
    let (_db, mut client) = legacy("arguments")?;
    client.batch_execute("CREATE VIEW v AS SELECT * FROM imports; CREATE TEMP TABLE gone AS SELECT * FROM imports")?;
    let before = whole_state(&mut client)?;
    for (arguments, code) in [
        ("NULL", "22004"),
        ("'imports', NULL", "22004"),
        ("'imports', false, 0", "22023"),
        ("'imports', false, -5", "22023"),
        ("'v', false", "42809"),
        ("'gone', false", "42809"),
    ] {
        let sql = format!("SELECT once.adopt_imports({arguments})");
        assert_eq!(refused_well(&mut client, &sql, &[]).context(sql)?, code, "{arguments}");
    }
    client.batch_execute(
        "CREATE SCHEMA other; CREATE TABLE other.imports (athlete_id uuid, raw_text text);
         CREATE TABLE other.tagged (import_id uuid PRIMARY KEY, athlete_id uuid, raw_text text, tags text)",
    )?;
    for (arguments, code) in
        [("'other.imports', false", "42703"), ("'other.tagged', false", "42804"), ("'workout_drafts', false", "42703")]
    {
        let sql = format!("SELECT once.adopt_imports({arguments})");
        assert_eq!(refused_well(&mut client, &sql, &[]).context(sql)?, code, "{arguments}");
    }
    client.batch_execute("DROP SCHEMA other CASCADE")?;
    unchanged(&mut client, &before)?;
    Ok(())
}

#[test]
fn only_the_owner_of_all_tables_adopts() -> Result<()> {
    let (db, mut client) = legacy("owners")?;
    let owner = db.create_role("owner")?;
    client.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA once TO \"{owner}\"; GRANT ALL ON ALL TABLES IN SCHEMA public TO \"{owner}\"; GRANT CREATE ON SCHEMA public TO \"{owner}\""
    ))?;
    let mut session = db.client_as(&owner)?;
    let before = whole_state(&mut client)?;
    for dry_run in ["true", "false"] {
        let sql = format!("SELECT once.adopt_imports('imports', {dry_run})");
        assert_eq!(refused_well(&mut session, &sql, &[])?, "42501");
    }
    unchanged(&mut client, &before)?;
    client.batch_execute(&format!("ALTER TABLE imports OWNER TO \"{owner}\""))?;
    let before = whole_state(&mut client)?;
    assert_eq!(refused_well(&mut session, "SELECT once.adopt_imports('imports', false)", &[])?, "42501");
    unchanged(&mut client, &before)?;
    // Who owns them needs no superuser.
    client.batch_execute(&format!(
        "ALTER TABLE workouts OWNER TO \"{owner}\"; ALTER TABLE workout_drafts OWNER TO \"{owner}\""
    ))?;
    call(&mut session, "install_kit('workouts', 'public')", &[])?;
    let done = adopt(&mut session, "'imports', false")?;
    assert_eq!(figures(&done), super::EXPECTED, "{done}");
    super::is_adopted(&mut client)
}

/// A table without its key can't be a kit's; it says so, and leaves nothing behind.
#[test]
fn a_kit_over_tables_that_lack_what_it_can_not_add_creates_nothing() -> Result<()> {
    let mut wrong = Vec::new();
    for (ddl, code) in [
        ("CREATE TABLE imports (athlete_id uuid, raw_text text)", "42703"),
        ("CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid)", "42703"),
        ("CREATE TABLE imports (import_id uuid PRIMARY KEY, athlete_id uuid, raw_text text)", "42804"),
        (
            "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid, raw_text bytea)",
            "42804",
        ),
        (
            "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text, tags varchar[])",
            "42804",
        ),
        ("CREATE TABLE workouts (workout_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid)", "42703"),
        (
            "CREATE TABLE workouts (workout_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id text, workout_date date)",
            "42804",
        ),
        ("CREATE TABLE workout_drafts (draft_id uuid PRIMARY KEY DEFAULT gen_random_uuid())", "42703"),
        ("CREATE VIEW imports AS SELECT 1 AS import_id", "42809"),
        // Whose rows they are, nobody else can say.
        ("CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), raw_text text)", "42703"),
        ("CREATE TABLE imports (import_id uuid DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text)", "42P10"),
    ] {
        let db = Db::new("lacking")?;
        let mut client = db.client()?;
        client.batch_execute(ddl)?;
        let state = "SELECT concat_ws(' ', attrelid::regclass, attname, atttypid) FROM pg_attribute WHERE attrelid > 16383 AND attnum > 0 ORDER BY 1";
        let before = texts(&mut client, state)?;
        let error = refused(&mut client, "SELECT once.install_kit('workouts', 'public')", &[])?;
        assert_eq!(texts(&mut client, state)?, before, "{ddl}");
        assert_eq!(text(&mut client, "SELECT count(*)::text FROM once.targets")?, "0");
        if error.code().code() != code || error.detail().is_none() || error.hint().is_none() {
            wrong.push(format!("{ddl}: {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// A checksum column that is too short for a SHA-256 says so before anything is computed, and so does a dry run.
#[test]
fn a_column_that_is_too_short_for_a_checksum_is_named() -> Result<()> {
    let mut wrong = Vec::new();
    for column in ["varchar(32)", "char(32)", "bytea"] {
        let db = Db::new("short")?;
        let mut client = db.client()?;
        client.batch_execute(&format!(
            "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text, checksum_sha256 {column});
             INSERT INTO imports (raw_text) VALUES ('x')"
        ))?;
        for dry_run in ["true", "false"] {
            let sql = format!("SELECT once.adopt_imports('imports', {dry_run})");
            let refusal = refused_well(&mut client, &sql, &[]);
            if !refusal.as_ref().is_ok_and(|code| code == "42804") {
                wrong.push(format!("{column}, dry run {dry_run}: {refusal:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// What the database fills by itself can't be adopted, and a time must be one.
#[test]
fn columns_that_can_not_be_written_are_named() -> Result<()> {
    for (table, column) in [
        ("imports", "checksum_sha256 text GENERATED ALWAYS AS (md5(raw_text)) STORED"),
        ("imports", "normalizer_version text GENERATED ALWAYS AS ('v1') STORED"),
        ("imports", "tags text[] GENERATED ALWAYS AS ('{}') STORED"),
        ("imports", "received_at text"),
        ("workouts", "content_hash_ref text GENERATED ALWAYS AS (md5(session_title)) STORED"),
        ("workouts", "content_hash_ref varchar(32)"),
    ] {
        let db = Db::new("generated")?;
        let mut client = db.client()?;
        client.batch_execute(&format!(
            "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text);
             CREATE TABLE workouts (workout_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), import_id uuid, athlete_id uuid, workout_date date, session_title text);
             ALTER TABLE {table} ADD COLUMN {column}"
        ))?;
        for dry_run in ["true", "false"] {
            let sql = format!("SELECT once.adopt_imports('imports', {dry_run})");
            assert_eq!(refused_well(&mut client, &sql, &[]).context(column)?, "42804", "{column}");
        }
    }
    Ok(())
}

/// A malformed checksum goes from the workouts too, before they get the good one: not where a hash must be there.
#[test]
fn a_hash_of_workouts_that_can_not_be_let_go_is_named() -> Result<()> {
    let (_db, mut client) = legacy("not_null_hash")?;
    client.batch_execute(
        "UPDATE workouts SET content_hash_ref = workout_id WHERE content_hash_ref IS NULL; ALTER TABLE workouts ALTER content_hash_ref SET NOT NULL",
    )?;
    for dry_run in ["true", "false"] {
        let error = refused(&mut client, &format!("SELECT once.adopt_imports('imports', {dry_run})"), &[])?;
        assert_eq!(error.code().code(), "42804", "{error:?}");
        if dry_run == "false" {
            client.batch_execute(error.hint().context("no hint")?)?;
        }
    }
    adopt(&mut client, "'imports', false")?;
    assert_eq!(
        text(&mut client, "SELECT count(*)::text FROM workouts WHERE content_hash_ref = pg_temp.sum('Squat 5x5')")?,
        "1"
    );
    Ok(())
}

/// Where ids are no ids, archiving one row would archive its namesakes, too: the one that is to stay among them.
#[test]
fn rows_that_share_an_id_are_never_all_archived() -> Result<()> {
    let db = Db::new("same_id")?;
    let mut client = db.client()?;
    client.batch_execute(SUM)?;
    client.batch_execute(&format!(
        "CREATE TABLE imports (import_id uuid DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text, received_at timestamptz);
         INSERT INTO imports VALUES (pg_temp.i(1), '{0}', 'x', '2024-01-01'), (pg_temp.i(1), '{0}', 'x', '2024-01-02')",
        athlete('A')
    ))?;
    let rows = "SELECT concat(ctid, xmin, to_json(i)) FROM imports i ORDER BY ctid";
    let before = texts(&mut client, rows)?;
    match once_tests::promo::refused(&mut client, "SELECT once.adopt_imports('imports', false)", &[]) {
        Ok(error) => {
            assert!(error.detail().is_some() && error.hint().is_some(), "{error:?}");
            assert_eq!(texts(&mut client, rows)?, before);
        }
        Err(_) => {
            let live = "SELECT count(*)::text FROM imports WHERE NOT tags @> '{duplicate_archived}'";
            assert_eq!(text(&mut client, live)?, "1");
        }
    }
    Ok(())
}

/// NULL for an id is an id that is missing, and no bug of ours.
#[test]
fn rows_without_an_id_are_refused_with_a_reason() -> Result<()> {
    let db = Db::new("no_id")?;
    let mut client = db.client()?;
    client.batch_execute("CREATE TABLE imports (import_id uuid UNIQUE DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text); INSERT INTO imports VALUES (NULL, NULL, 'x'), (gen_random_uuid(), NULL, 'y')")?;
    for dry_run in ["true", "false"] {
        assert_eq!(
            refused_well(&mut client, &format!("SELECT once.adopt_imports('imports', {dry_run})"), &[])?,
            "42804"
        );
    }
    Ok(())
}

/// The owner too may be one to whom row-level security applies: rows that he does not see he can't adopt.
#[test]
fn rows_that_are_hidden_are_not_passed_over() -> Result<()> {
    let (db, mut client) = legacy("hidden")?;
    let owner = db.create_role("owner")?;
    client.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA once TO \"{owner}\"; GRANT CREATE ON SCHEMA public TO \"{owner}\"; ALTER TABLE imports OWNER TO \"{owner}\"; ALTER TABLE workouts OWNER TO \"{owner}\";
         ALTER TABLE workout_drafts OWNER TO \"{owner}\"; ALTER TABLE imports ENABLE ROW LEVEL SECURITY; ALTER TABLE imports FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON imports USING (athlete_id = '{}')",
        athlete('A')
    ))?;
    let mut session = db.client_as(&owner)?;
    let mut wrong = Vec::new();
    for dry_run in ["true", "false"] {
        match session.query_one(&format!("SELECT once.adopt_imports('imports', {dry_run})::text"), &[]) {
            Err(error) if once_tests::sqlstate(&error) == Some("42501") => {}
            other => wrong.push(format!("dry run {dry_run}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// A view of one's own under the name of one of the kit's is not replaced without a word.
#[test]
fn a_view_of_ones_own_is_not_replaced() -> Result<()> {
    let (_db, mut client) = legacy("own_view")?;
    client.batch_execute(
        "CREATE VIEW v_workouts_without_hash AS SELECT workout_id, athlete_id, workout_date, session_title, import_id, created_at FROM workouts WHERE false",
    )?;
    let definition = "SELECT pg_get_viewdef('v_workouts_without_hash')";
    let before = text(&mut client, definition)?;
    let outcome = install(&mut client);
    assert_eq!(text(&mut client, definition)?, before, "{outcome:?}");
    outcome?;
    Ok(())
}

/// Nor is a table in the way of the views that the kit has besides.
#[test]
fn a_table_with_the_name_of_a_view_is_no_obstacle() -> Result<()> {
    let (_db, mut client) = legacy("own_sessions")?;
    client.batch_execute("CREATE TABLE workout_sessions (id int); INSERT INTO workout_sessions VALUES (7)")?;
    install(&mut client)?;
    assert_eq!(texts(&mut client, "SELECT id::text FROM workout_sessions")?, ["7"]);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM workout_items")?, "0");
    Ok(())
}
