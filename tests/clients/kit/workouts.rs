//! The kit `workouts`: its tables, views and keys, and that they are the users' own.

use anyhow::{Context, Result};
use once_tests::Db;
use once_tests::promo::{self, A, B, call, refused, refused_well, text, texts};
use once_tests::workouts::{commit, counts, drafted, import, install};
use once_tests::{Uuid, json};

use super::CATALOG;

/// Besides what `CATALOG` says: rules (a view's own), comments, triggers and indexes, each with who wrote it last.
const MORE: &str = "
    SELECT concat('v ', c.relname, pg_get_viewdef(c.oid), c.reloptions) FROM pg_class c WHERE relkind = 'v' AND oid > 16383
    UNION ALL SELECT concat('d ', objoid, objsubid, description) FROM pg_description WHERE objoid > 16383
    UNION ALL SELECT concat('i ', indexrelid, pg_get_indexdef(indexrelid)) FROM pg_index WHERE indexrelid > 16383
    UNION ALL SELECT concat('t ', oid, tgname) FROM pg_trigger WHERE oid > 16383
    UNION ALL SELECT concat('x ', oid, pg_get_expr(adbin, adrelid)) FROM pg_attrdef WHERE oid > 16383 ORDER BY 1";

#[test]
fn installing_twice_is_installing_once() -> Result<()> {
    let (_db, mut client) = install("twice")?;
    let (taken, draft) = drafted(&mut client, Some(A), "Squat 5x5")?;
    let committed = commit(&mut client, draft, r#"{"workout_date": "2024-01-01"}"#)?;
    // What its owner has made of it stays.
    client.batch_execute(
        "REVOKE SELECT ON v_duplicate_imports FROM PUBLIC; COMMENT ON VIEW v_duplicate_imports IS 'ours'; COMMENT ON TABLE imports IS 'ours';
         ALTER TABLE imports ADD COLUMN extra text DEFAULT 'e'; DROP INDEX workouts_import_id_idx",
    )?;
    // Jobs and staging are of bulk kits.
    assert_eq!(
        text(&mut client, "SELECT count(*)::text FROM pg_class WHERE relname IN ('import_jobs', 'stagings')")?,
        "0"
    );
    let catalog = &CATALOG[..CATALOG.find("UNION ALL SELECT concat('s '").context("no stagings")?];
    let before = [texts(&mut client, catalog)?, texts(&mut client, MORE)?].concat();
    let again = call(&mut client, "install_kit('workouts', 'public')", &[])?;
    assert_eq!((&again["created"], &again["target"]), (&json!([]), &json!("imports")), "{again}");
    assert_eq!(again["adopted"], json!(["public.imports", "public.workout_drafts", "public.workouts"]));
    let after = [texts(&mut client, catalog)?, texts(&mut client, MORE)?].concat();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    assert!(new.is_empty() && gone.is_empty(), "new: {new:#?}, gone: {gone:#?}");
    assert_eq!(import(&mut client, Some(A), "Squat  5x5")?.id, taken.id);
    assert_eq!(commit(&mut client, draft, r#"{"workout_date": "2024-01-01"}"#)?.id, committed.id);
    Ok(())
}

#[test]
fn what_an_installation_creates_is_as_documented() -> Result<()> {
    let db = Db::new("created")?;
    let mut client = db.client()?;
    let answer = call(&mut client, "install_kit('workouts', 'public')", &[])?;
    let tables = json!(["public.imports", "public.workout_drafts", "public.workouts"]);
    assert_eq!(
        answer,
        json!({"kit": "workouts", "schema": "public", "target": "imports", "created": tables, "adopted": []})
    );
    let relations = "SELECT concat(relkind, ' ', relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1";
    let expected = [
        "r imports",
        "r workout_drafts",
        "r workouts",
        "v v_duplicate_imports",
        "v v_imports_without_checksum",
        "v v_potential_duplicate_workouts",
        "v v_workouts_without_hash",
        "v workout_blocks",
        "v workout_items",
        "v workout_sessions",
    ];
    assert_eq!(texts(&mut client, relations)?, expected);
    let silent = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL";
    assert_eq!(texts(&mut client, silent)?, [""; 0]);
    // A view shows nobody what the table under it would not.
    let invokers = "SELECT count(*)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v' AND 'security_invoker=true' = ANY (reloptions)";
    assert_eq!(text(&mut client, invokers)?, "7");
    let listed =
        "SELECT concat_ws('|', name, kind, relation, coalesce(staging, 'NULL'), key, scope) FROM once.target_list";
    assert_eq!(texts(&mut client, listed)?, ["imports|document|public.imports|NULL|{checksum_sha256}|athlete_id"]);
    // Nothing to look at in a new database.
    for view in [
        "v_duplicate_imports",
        "v_imports_without_checksum",
        "v_potential_duplicate_workouts",
        "v_workouts_without_hash",
    ] {
        assert_eq!(text(&mut client, &format!("SELECT count(*)::text FROM {view}"))?, "0");
    }
    Ok(())
}

/// Two installations in two schemas, or in one, know nothing of each other.
#[test]
fn a_second_installation_wants_a_prefix_and_stands_beside_the_first() -> Result<()> {
    let (_db, mut client) = install("second")?;
    client.batch_execute("CREATE SCHEMA club")?;
    assert_eq!(refused_well(&mut client, "SELECT once.install_kit('workouts', 'club')", &[])?, "42710");
    let club = "SELECT relname::text FROM pg_class WHERE relnamespace = 'club'::regnamespace";
    assert_eq!(texts(&mut client, club)?, [""; 0]);
    call(&mut client, "install_kit('workouts', 'club', 'club_')", &[])?;
    call(&mut client, "install_kit('workouts', 'public', 'b_')", &[])?;
    let names = "SELECT concat(name, ' ', relation) FROM once.target_list ORDER BY 1";
    assert_eq!(
        texts(&mut client, names)?,
        ["b_imports public.b_imports", "club_imports club.club_imports", "imports public.imports"]
    );

    let (first, draft) = drafted(&mut client, Some(A), "Squat 5x5")?;
    commit(&mut client, draft, r#"{"workout_date": "2024-01-01"}"#)?;
    let mut seen = vec![first.id];
    for target in ["club_imports", "b_imports"] {
        for again in [false, true] {
            let row = client.query_one(
                "SELECT import_id, is_duplicate FROM once.import_raw_text_idempotent($1, 'Squat 5x5', 's', target => $2)",
                &[&A, &target],
            )?;
            let (id, is_duplicate): (Uuid, bool) = (row.try_get(0)?, row.try_get(1)?);
            assert_eq!((seen.contains(&id), is_duplicate), (again, again), "{target}");
            seen.push(id);
        }
    }
    // A draft is looked for where it is.
    let commit_to = "SELECT once.commit_workout_idempotent($1, '{\"workout_date\": \"2024-01-01\"}', $2)::text";
    assert_eq!(refused_well(&mut client, commit_to, &[&draft, &"club_imports"])?, "P0002");
    client.batch_execute("INSERT INTO club.club_workout_drafts (import_id) SELECT import_id FROM club.club_imports")?;
    client.execute(
        "SELECT once.commit_workout_idempotent(draft_id, '{\"workout_date\": \"2024-01-01\", \"sessions\": [{\"blocks\": [{\"items\": [{\"name\": \"Squat\"}]}]}]}', 'club_imports') FROM club.club_workout_drafts",
        &[],
    )?;
    assert_eq!(counts(&mut client)?, "1 1 1");
    assert_eq!(texts(&mut client, "SELECT exercise FROM club.club_workout_items")?, ["Squat"]);
    assert_eq!(
        texts(&mut client, "SELECT exercise FROM workout_items UNION ALL SELECT exercise FROM b_workout_items")?,
        [""; 0]
    );
    // Its constraints have its own names.
    let shared = "SELECT conname::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace GROUP BY 1 HAVING count(*) > 1";
    assert_eq!(texts(&mut client, shared)?, [""; 0]);
    // And again, under each.
    for arguments in ["'workouts', 'club', 'club_'", "'workouts', 'public', 'b_'", "'workouts', 'public'"] {
        assert_eq!(call(&mut client, &format!("install_kit({arguments})"), &[])?["created"], json!([]), "{arguments}");
    }
    Ok(())
}

/// A schema and a prefix that must be quoted, or are as long as can be.
#[test]
fn names_may_be_long_and_quoted() -> Result<()> {
    let db = Db::new("names")?;
    let mut client = db.client()?;
    let schema = r#"O'Brien's "Gym" \n @prefix@"#;
    client.batch_execute(&format!("CREATE SCHEMA \"{}\"", schema.replace('"', "\"\"")))?;
    let prefix = "abcdefghijklmnopqrstuvw_";
    call(&mut client, "install_kit('workouts', $1, $2)", &[&schema, &prefix])?;
    let import = format!(
        "SELECT is_duplicate::text FROM once.import_raw_text_idempotent(NULL, 'x', 's', target => '{prefix}imports')"
    );
    assert_eq!([text(&mut client, &import)?, text(&mut client, &import)?], ["false", "true"]);
    assert_eq!(call(&mut client, "install_kit('workouts', $1, $2)", &[&schema, &prefix])?["created"], json!([]));
    Ok(())
}

/// The kit's tables and views depend on nothing of the extension, and the extension on nothing of theirs.
#[test]
fn nothing_of_it_depends_on_the_extension() -> Result<()> {
    let (_db, mut client) = install("independent")?;
    // What a recursive look finds below the kit's tables: types, indexes, rules, defaults, constraints, triggers.
    let dependent = "
        WITH RECURSIVE own AS (
          SELECT d.classid, d.objid FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'public'::regnamespace
          UNION SELECT d.classid, d.objid FROM pg_depend d JOIN own ON d.refclassid = own.classid AND d.refobjid = own.objid)
        SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d JOIN own USING (classid, objid)
        WHERE (d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_once'))
           OR EXISTS (SELECT FROM pg_depend e WHERE e.deptype = 'e' AND e.classid = d.refclassid AND e.objid = d.refobjid
                      AND e.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_once'))";
    assert_eq!(texts(&mut client, dependent)?, [""; 0]);
    let (_, draft) = drafted(&mut client, Some(B), "Row 2000")?;
    commit(&mut client, draft, r#"{"workout_date": "2024-01-01", "sessions": [{}]}"#)?;
    client.batch_execute("DROP EXTENSION pg_once")?;
    assert_eq!(counts(&mut client)?, "1 1 1");
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM workout_sessions")?, "1");
    // The keys hold on without it.
    let twice = "INSERT INTO imports (athlete_id, raw_text, checksum_sha256, source) SELECT athlete_id, raw_text, checksum_sha256, source FROM imports RETURNING 1";
    assert_eq!(refused(&mut client, twice, &[])?.code().code(), "23505");
    let plain = "INSERT INTO workouts (athlete_id, workout_date, content_hash_ref, session_title) SELECT athlete_id, workout_date, content_hash_ref, 'again' FROM workouts RETURNING 1";
    assert_eq!(refused(&mut client, plain, &[])?.code().code(), "23505");
    Ok(())
}

/// Both kits, in one schema.
#[test]
fn both_kits_go_into_one_schema() -> Result<()> {
    let (_db, mut client) = promo::install("both")?;
    call(&mut client, "install_kit('workouts', 'public')", &[])?;
    assert_eq!(
        texts(&mut client, "SELECT concat(name, ' ', kind) FROM once.target_list ORDER BY 1")?,
        ["codes bulk", "imports document"]
    );
    // What one takes, the other does not.
    for sql in [
        "SELECT once.mark_duplicates('imports', NULL)",
        "SELECT once.import_document('codes', NULL, 'x', 's')::text",
        "SELECT once.commit_document('codes', 'x', '{}')::text",
    ] {
        assert_eq!(refused_well(&mut client, sql, &[])?, "42809", "{sql}");
    }
    promo::stage(&mut client, A, &["a"])?;
    promo::imported(&promo::import(&mut client, A)?)?;
    import(&mut client, Some(A), "x")?;
    // Documents write no job.
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM once.import_jobs")?, "1");
    Ok(())
}

/// Who lets a kit in needs the right to create in its schema, and nothing more.
#[test]
fn a_role_without_the_right_to_create_installs_nothing() -> Result<()> {
    let db = Db::new("rights")?;
    let (mut client, role) = (db.client()?, db.create_role("coach")?);
    client.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{role}\"; REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE SCHEMA gym AUTHORIZATION \"{role}\""))?;
    let mut session = db.client_as(&role)?;
    let error = refused(&mut session, "SELECT once.install_kit('workouts', 'public')", &[])?;
    assert_eq!(error.code().code(), "42501", "{error:?}");
    call(&mut session, "install_kit('workouts', 'gym')", &[])?;
    assert_eq!(
        text(&mut session, "SELECT is_duplicate::text FROM once.import_raw_text_idempotent(NULL, 'x', 's')")?,
        "false"
    );
    let owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'gym'::regnamespace";
    assert_eq!(texts(&mut session, owners)?, [role]);
    Ok(())
}
