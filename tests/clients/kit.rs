//! Installing kits: once, twice, beside another, and over what was there before them.

use anyhow::{Context, Result};
use once_tests::Db;
use once_tests::files::{File, load};
use once_tests::postgres::Client;
use once_tests::promo::{self, A, B, call, copy, imported, refused, refused_well, text, texts};
use once_tests::{Uuid, json};

#[path = "kit/clinic.rs"]
mod clinic;
#[path = "kit/workouts.rs"]
mod workouts;

/// All that an installation leaves in the catalogs: a second one must change none of it.
const CATALOG: &str = "
    SELECT concat('r ', oid, oid::regclass, relfilenode, relacl, relrowsecurity) FROM pg_class WHERE oid > 16383 AND relkind <> 't'
    UNION ALL SELECT concat('a ', attrelid::regclass, attnum, attname, atttypid, attnotnull) FROM pg_attribute WHERE attrelid > 16383 AND attnum > 0
    UNION ALL SELECT concat('c ', oid, conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE oid > 16383
    UNION ALL SELECT concat('p ', oid, polname) FROM pg_policy
    UNION ALL SELECT concat('t ', t.xmin, t::text) FROM once.targets t
    UNION ALL SELECT concat('s ', t.xmin, t::text) FROM once.stagings t
    UNION ALL SELECT concat('f ', t.xmin, t::text) FROM once.staged_files t
    UNION ALL SELECT concat('k ', t.xmin, t::text) FROM once.staging_checks t
    UNION ALL SELECT concat('i ', t.xmin, t::text) FROM once.import_images t
    UNION ALL SELECT concat('j ', t.xmin, t::text) FROM once.import_rejects t ORDER BY 1";

#[test]
fn installing_twice_is_installing_once() -> Result<()> {
    let (_db, mut client) = promo::install("twice")?;
    load(&mut client, &File::new("a.csv", [(A, "a")]))?;
    let job = imported(&promo::import(&mut client, A)?)?;
    let before = texts(&mut client, CATALOG)?;
    let again = call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    assert_eq!((&again["created"], again["adopted"].as_array().map(Vec::len)), (&json!([]), Some(3)));
    assert_eq!(texts(&mut client, CATALOG)?, before);
    assert_eq!(call(&mut client, "verify_import_job($1)", &[&job])?["verified"], true);
    Ok(())
}

#[test]
fn a_second_installation_wants_a_prefix_and_stands_beside_the_first() -> Result<()> {
    let (_db, mut client) = promo::install("second")?;
    client.batch_execute("CREATE SCHEMA shop2")?;
    let unprefixed = "SELECT once.install_kit('promo_codes', 'shop2')";
    assert_eq!(refused_well(&mut client, unprefixed, &[])?, "42710");
    let tables = "SELECT relname::text FROM pg_class WHERE relnamespace = 'shop2'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1";
    assert_eq!(texts(&mut client, tables)?, [""; 0]);

    call(&mut client, "install_kit('promo_codes', 'shop2', 'shop2_')", &[])?;
    let expected = ["shop2_codes", "shop2_codes_check_temp", "shop2_codes_import_jobs", "shop2_merchant_members"];
    assert_eq!(texts(&mut client, tables)?, expected);
    // The same codes of the same merchant in both: one is no duplicate of the other.
    promo::stage(&mut client, A, &["a", "b"])?;
    let staging = "shop2.shop2_codes_check_temp (merchant_id, code)";
    copy(&mut client, staging, &["a", "b", "c"].map(|code| vec![Some(A.to_string()), Some(code.to_owned())]))?;
    let first = imported(&promo::import(&mut client, A)?)?;
    let marked = call(&mut client, "mark_duplicates_in_temp($1, 100, 'shop2_codes')", &[&A])?;
    assert_eq!((&marked["total_rows"], &marked["clean_count"]), (&json!(3), &json!(3)));
    let second = "insert_clean_codes_to_production($1, p_target => 'shop2_codes')";
    let second = imported(&call(&mut client, second, &[&A])?)?;
    for (view, job, rows) in [("codes_import_jobs", first, "2"), ("shop2.shop2_codes_import_jobs", second, "3")] {
        let shown = format!("SELECT concat(id, ' ', codes_inserted) FROM {view}");
        assert_eq!(texts(&mut client, &shown)?, [format!("{job} {rows}")]);
    }
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&first])?["codes_deleted"], 2);
    assert_eq!(texts(&mut client, "SELECT code FROM shop2.shop2_codes ORDER BY 1")?, ["a", "b", "c"]);
    Ok(())
}

/// Where every row lies, and by which transaction it was written.
fn rows_of(client: &mut Client, columns: &str) -> Result<Vec<String>> {
    texts(client, &format!("SELECT concat_ws('|', ctid, xmin, {columns}) FROM codes ORDER BY ctid"))
}

#[test]
fn an_existing_table_is_adopted_and_its_rows_are_not_touched() -> Result<()> {
    let db = Db::new("adopted")?;
    let mut client = db.client()?;
    client.batch_execute(&format!(
        "CREATE TABLE codes (id serial PRIMARY KEY, code text NOT NULL, merchant_id uuid NOT NULL, points numeric, notes text, UNIQUE (code, merchant_id));
         INSERT INTO codes (code, merchant_id, points, notes) SELECT 'OLD' || n, '{A}', n, 'kept' FROM generate_series(1, 500) n"
    ))?;
    let columns = "id, code, merchant_id, points, notes";
    let before = rows_of(&mut client, columns)?;
    let filenode = text(&mut client, "SELECT pg_relation_filenode('codes')::text")?;
    let installed = call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    let lengths = ["adopted", "created"].map(|list| installed[list].as_array().map(Vec::len));
    assert_eq!(lengths, [Some(1), Some(2)], "{installed}");
    assert_eq!(rows_of(&mut client, columns)?, before);
    assert_eq!(text(&mut client, "SELECT pg_relation_filenode('codes')::text")?, filenode);

    promo::stage(&mut client, A, &["OLD7", "NEW", "NEW"])?;
    let job = imported(&promo::import(&mut client, A)?)?;
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes WHERE NOT claimed")?, "501");
    call(&mut client, "rollback_import_job($1)", &[&job])?;
    assert_eq!(rows_of(&mut client, columns)?, before);
    Ok(())
}

/// The staging table that the kit creates beside an adopted table has that table's types.
#[test]
fn an_existing_table_with_types_of_its_own_is_adopted() -> Result<()> {
    let db = Db::new("types")?;
    let mut client = db.client()?;
    client.batch_execute("CREATE TABLE codes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), merchant_id uuid NOT NULL, code varchar(64) NOT NULL, points integer, price double precision, UNIQUE (merchant_id, code))")?;
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    promo::stage(&mut client, A, &["a", "b", "a"])?;
    imported(&promo::import(&mut client, A)?)?;
    assert_eq!(promo::codes(&mut client, A)?, ["a", "b"]);
    Ok(())
}

#[test]
fn jobs_from_before_keep_their_ids_and_can_be_undone() -> Result<()> {
    let db = Db::new("old_jobs")?;
    let mut client = db.client()?;
    let job = |n: u128| Uuid::from_u128(0x1d_0000_0000_0000 + n);
    let (done, undone, failed) = (job(1), job(2), job(3));
    client.batch_execute(&format!(
        "CREATE TABLE codes_import_jobs (id uuid PRIMARY KEY, merchant_id uuid NOT NULL, status text NOT NULL, total_codes_to_insert integer,
           codes_inserted integer, validation_passed boolean, validation_errors jsonb, created_at timestamptz DEFAULT now(), created_by uuid,
           completed_at timestamptz, rolled_back_at timestamptz, error_message text, source_info jsonb);
         CREATE TABLE codes (id bigserial PRIMARY KEY, merchant_id uuid NOT NULL, code text NOT NULL, claimed boolean DEFAULT false,
           import_job_id uuid REFERENCES codes_import_jobs (id), UNIQUE (merchant_id, code));
         INSERT INTO codes_import_jobs VALUES
           ('{done}', '{A}', 'completed', 3, 3, true, NULL, '2024-01-02 03:04:05+00', '{B}', '2024-01-02 03:05:00+00', NULL, NULL, '{{\"n\": 12345678901234567890}}'),
           ('{undone}', '{A}', 'rolled_back', 9, 9, true, NULL, '2024-01-03 00:00:00+00', NULL, '2024-01-03 00:01:00+00', '2024-01-04 00:00:00+00', NULL, NULL),
           ('{failed}', '{B}', 'failed', 5, 0, false, '[1]', '2024-01-04 00:00:00+00', NULL, NULL, NULL, 'no', NULL);
         INSERT INTO codes (merchant_id, code, import_job_id) SELECT '{A}', c, '{done}' FROM unnest(ARRAY['x', 'y', 'z']) c;
         INSERT INTO codes (merchant_id, code) VALUES ('{A}', 'own')"
    ))?;
    let shown = "SELECT concat_ws('|', id, merchant_id, status, total_codes_to_insert, codes_inserted, validation_passed, validation_errors,
                        extract(epoch FROM created_at), created_by, completed_at, rolled_back_at, error_message, source_info)
                 FROM codes_import_jobs WHERE id = ANY (ARRAY(SELECT id FROM known)) ORDER BY id";
    client.batch_execute("CREATE TEMP TABLE known AS SELECT id FROM codes_import_jobs")?;
    // Where nobody was recorded, whoever adopts the jobs answers for them.
    let me = text(&mut client, "SELECT current_user::text")?;
    let before = texts(&mut client, &shown.replace("created_by,", &format!("coalesce(created_by::text, '{me}'),")))?;
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    assert_eq!(texts(&mut client, shown)?, before);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes_import_jobs_before_once")?, "3");

    assert_eq!(call(&mut client, "verify_import_job($1)", &[&done])?["verified"], true);
    for job in [undone, failed] {
        assert_eq!(refused_well(&mut client, "SELECT once.rollback_import_job($1)", &[&job])?, "55000");
    }
    // A new import goes beside them, and each is undone by itself.
    promo::stage(&mut client, A, &["x", "new"])?;
    let new = imported(&promo::import(&mut client, A)?)?;
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&done])?["codes_deleted"], 3);
    assert_eq!(promo::codes(&mut client, A)?, ["new", "own"]);
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&new])?["codes_deleted"], 1);
    // Installing again takes nothing over twice.
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes_import_jobs")?, "4");
    Ok(())
}

#[test]
fn what_a_kit_can_not_be_installed_with_is_refused() -> Result<()> {
    let db = Db::new("refused")?;
    let mut client = db.client()?;
    for (arguments, code) in [
        ("'coupons', 'public'", "42704"),
        ("'promo_codes', 'nowhere'", "3F000"),
        ("'workouts', 'nowhere'", "3F000"),
        ("'workouts', 'public', 'once_scratch_'", "22023"),
        ("'promo_codes', 'public', 'Shop_'", "22023"),
        ("'promo_codes', 'public', '2_'", "22023"),
        ("'promo_codes', 'public', 'a''b'", "22023"),
        ("'promo_codes', 'public', 'abcdefghijklmnopqrstuvwxy'", "22023"),
    ] {
        let sql = format!("SELECT once.install_kit({arguments})");
        assert_eq!(refused_well(&mut client, &sql, &[])?, code, "{arguments}");
    }
    // A table whose key nothing keeps unique, or that has no key at all, and states that are unknown.
    client.batch_execute("CREATE TABLE codes (id bigint, merchant_id uuid, code text)")?;
    let install = "SELECT once.install_kit('promo_codes', 'public')";
    assert_eq!(refused_well(&mut client, install, &[])?, "42P10");
    client.batch_execute("ALTER TABLE codes DROP COLUMN merchant_id, DROP COLUMN code")?;
    assert_eq!(refused_well(&mut client, install, &[])?, "42703");
    client.batch_execute(
        "DROP TABLE codes; CREATE TABLE codes_import_jobs (id uuid, status text);
         INSERT INTO codes_import_jobs VALUES (gen_random_uuid(), 'half done')",
    )?;
    assert_eq!(refused_well(&mut client, install, &[])?, "22023");
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM once.targets")?, "0");
    Ok(())
}

/// Whose only argument is a value, which is NULL in many rows.
const NULL_FOR_NULL: [&str; 8] = [
    "once.normalize_code(text)",
    "once.normalize_digits(text)",
    "once.normalize_email(text)",
    "once.normalize_email_lower(text)",
    "once.normalize_lower(text)",
    "once.normalize_unprefixed(text)",
    "once.normalize_upper(text)",
    "once.normalize_whitespace(text)",
];

/// A strict function would answer NULL with a silent NULL.
#[test]
fn every_function_refuses_null_at_the_door() -> Result<()> {
    let (_db, mut client) = promo::install("nulls")?;
    call(&mut client, "install_kit('workouts', 'public')", &[])?;
    let functions = client.query(
        "SELECT p.oid::regprocedure::text, format('%I.%I(%s)', n.nspname, p.proname,
                  (SELECT string_agg('NULL::' || t::regtype, ', ') FROM unnest(p.proargtypes) t)), p.proisstrict
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = 'once' AND p.prorettype <> 'trigger'::regtype ORDER BY 1",
        &[],
    )?;
    assert!(functions.len() >= 33, "{}", functions.len());
    for function in functions {
        let (name, all_null): (&str, &str) = (function.try_get(0)?, function.try_get(1)?);
        assert!(!function.try_get::<_, bool>(2)?, "{name} is strict");
        if NULL_FOR_NULL.contains(&name) {
            let row = client.query_one(&format!("SELECT {all_null}"), &[])?;
            assert_eq!(row.try_get::<_, Option<&str>>(0)?, None, "{name}");
            continue;
        }
        let error = refused(&mut client, &format!("SELECT * FROM {all_null}"), &[])?;
        assert_eq!(error.code().code(), "22004", "{name}: {error:?}");
        assert!(error.hint().is_some() && error.message().contains("must not be NULL"), "{name}: {error:?}");
    }
    Ok(())
}

/// One NULL among good arguments, which any caller may get wrong by itself.
#[test]
fn each_argument_that_must_be_there_is_named() -> Result<()> {
    let (_db, mut client) = promo::install("named")?;
    for kit in ["workouts", "clinic"] {
        call(&mut client, "install_kit($1, 'public')", &[&kit]).context(kit)?;
    }
    for (call, argument) in [
        ("mark_duplicates_in_temp(NULL)", "merchant_id"),
        ("mark_duplicates_in_temp(gen_random_uuid(), NULL)", "chunk_size"),
        ("mark_duplicates_in_temp(gen_random_uuid(), 1, NULL)", "target"),
        ("validate_clean_codes_for_insert(NULL)", "merchant_id"),
        ("insert_clean_codes_to_production(NULL)", "merchant_id"),
        ("get_duplicate_report(NULL)", "merchant_id"),
        ("clear_temp_data(NULL)", "merchant_id"),
        ("clear_temp_data(gen_random_uuid(), NULL)", "target"),
        ("rollback_import_job(NULL)", "p_job_id"),
        ("rollback_import_job(gen_random_uuid(), NULL)", "p_keep_protected"),
        ("verify_import_job(NULL)", "p_job_id"),
        ("create_target('x', NULL, '{}')", "relation"),
        ("create_target('x', 'codes', NULL)", "spec"),
        ("install_kit('promo_codes', NULL)", "schema"),
        ("install_kit('promo_codes', 'public', NULL)", "prefix"),
        ("grant_import_access('codes', NULL)", "role"),
        ("begin_file('codes', NULL)", "sha256"),
        ("end_file('codes', repeat('0', 64), NULL, '{}')", "name"),
        ("end_file('codes', repeat('0', 64), 'f', NULL)", "rows"),
        ("end_file('codes', repeat('0', 64), 'f', '{}', NULL)", "rejects"),
        ("end_file('codes', repeat('0', 64), 'f', '{}', '[]', NULL)", "again"),
        ("staging_status('codes', NULL)", "merchant_id"),
        ("recover_staging('codes', NULL)", "files"),
        ("import_document(NULL, NULL, 'x', 's')", "target"),
        ("import_document('imports', NULL, NULL, 's')", "content"),
        ("import_document('imports', NULL, 'x', NULL)", "source"),
        ("import_raw_text_idempotent(NULL, NULL, 's')", "raw_text"),
        ("import_raw_text_idempotent(NULL, 'x', NULL)", "source"),
        ("import_raw_text_idempotent(NULL, 'x', 's', target => NULL)", "target"),
        ("commit_document(NULL, 'x', '{}')", "target"),
        ("commit_document('imports', NULL, '{}')", "draft"),
        ("commit_document('imports', gen_random_uuid()::text, NULL)", "parsed"),
        ("commit_workout_idempotent(NULL, '{}')", "draft_id"),
        ("commit_workout_idempotent(gen_random_uuid(), NULL)", "parsed_workout"),
        ("commit_workout_idempotent(gen_random_uuid(), '{}', NULL)", "target"),
        ("check_import_duplicate(NULL)", "checksum"),
        ("check_import_duplicate('x', target => NULL)", "target"),
        ("check_workout_duplicate(NULL, '2024-01-01', 'x')", "athlete_id"),
        ("check_workout_duplicate(gen_random_uuid(), NULL, 'x')", "workout_date"),
        ("check_workout_duplicate(gen_random_uuid(), '2024-01-01', NULL)", "content_hash"),
        ("check_workout_duplicate(gen_random_uuid(), '2024-01-01', 'x', NULL)", "target"),
        ("document_checksum('x', NULL)", "normalizer"),
        ("normalize_phone('x', NULL)", "region"),
        ("ingest(NULL, '[]')", "target"),
        ("ingest('patients', NULL)", "rows"),
        ("ingest('patients', '[]', NULL, NULL)", "dry_run"),
        ("ingest_rows(NULL, '[]')", "target"),
        ("ingest_rows('patients', NULL)", "rows"),
        ("ingest_rows('patients', '[]', NULL, NULL)", "dry_run"),
        ("replay_rejects(NULL)", "job"),
        ("prune_import_images(NULL)", "older_than"),
        ("ingest_mail(NULL, '[]')", "mailbox_id"),
        ("ingest_mail(gen_random_uuid(), NULL)", "messages"),
        ("ingest_mail(gen_random_uuid(), '[]', NULL, NULL)", "target"),
        ("mail_attachment_exists(NULL, '1')", "message_id"),
        ("mail_attachment_exists(gen_random_uuid(), NULL)", "provider_attachment_id"),
        ("store_mail_attachment(NULL, '1', 'x', 'y', 'z')", "message_id"),
        ("store_mail_attachment(gen_random_uuid(), NULL, 'x', 'y', 'z')", "provider_attachment_id"),
        ("store_mail_attachment(gen_random_uuid(), '1', 'x', 'y', NULL)", "content"),
        ("mail_storage_path(NULL, gen_random_uuid(), repeat('a', 64), 'x')", "org_id"),
        ("mail_storage_path(gen_random_uuid(), NULL, repeat('a', 64), 'x')", "mailbox_id"),
        ("mail_storage_path(gen_random_uuid(), gen_random_uuid(), NULL, 'x')", "sha256"),
        ("mail_storage_path(gen_random_uuid(), gen_random_uuid(), repeat('a', 64), NULL)", "filename"),
        ("verify_mail_idempotency(NULL)", "mailbox_id"),
        ("append_ledger_event(NULL, 'x')", "org_id"),
        ("append_ledger_event(gen_random_uuid(), NULL)", "event_type"),
        ("append_ledger_event(gen_random_uuid(), 'x', payload => NULL)", "payload"),
        ("verify_ledger(NULL)", "org_id"),
        ("grant_mail_access(NULL, 'reader')", "role"),
        ("grant_mail_access('postgres', NULL)", "kind"),
        ("adopt_imports(NULL)", "relation"),
        ("adopt_imports('imports', NULL)", "dry_run"),
    ] {
        let error = refused(&mut client, &format!("SELECT once.{call}"), &[])?;
        let message = error.message();
        assert!(error.code().code() == "22004" && message.contains(argument), "{call}: {message}");
    }
    Ok(())
}

/// What the extension consists of, so that nothing comes or goes unnoticed; and that each explains itself.
#[test]
fn the_inventory_is_as_documented() -> Result<()> {
    let db = Db::new("inventory")?;
    let mut client = db.client()?;
    let expected = INVENTORY.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    let members = client.query(
        "SELECT m, obj_description(objid, classid::regclass::name)
         FROM pg_depend, LATERAL (SELECT CASE classid WHEN 'pg_proc'::regclass THEN objid::regprocedure::text ELSE objid::regclass::text END) AS m (m)
         WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid IN ('pg_proc'::regclass, 'pg_class'::regclass)
           AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_once') ORDER BY m COLLATE \"C\"",
        &[],
    )?;
    let found = members.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    assert_eq!(found, expected);
    for row in &members {
        let comment: Option<&str> = row.try_get(1)?;
        assert!(comment.is_some_and(|comment| comment.len() > 20), "{} has no comment", row.get::<_, &str>(0));
    }
    // What a kit and the first target create is the user's own, no member of the extension.
    for kit in ["promo_codes", "workouts", "clinic"] {
        call(&mut client, "install_kit($1, 'public')", &[&kit]).context(kit)?;
    }
    let again = texts(
        &mut client,
        "SELECT objid::text FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid = 'pg_class'::regclass",
    )?;
    assert_eq!(again.len(), found.iter().filter(|name| !name.contains('(')).count());
    Ok(())
}

const INVENTORY: &str = "
    once.adopt_imports(regclass,boolean,bigint)
    once.append_ledger_event(uuid,text,text,text,text,text,jsonb,text)
    once.begin_file(text,text,text)
    once.check_import_duplicate(text,uuid,text)
    once.check_workout_duplicate(uuid,date,text,text)
    once.clear_staging(text,text)
    once.clear_temp_data(uuid,text)
    once.commit_document(text,text,jsonb)
    once.commit_workout_idempotent(uuid,jsonb,text)
    once.create_feed(text,text,jsonb)
    once.create_target(text,regclass,jsonb)
    once.document_checksum(text,text)
    once.drop_feed(text)
    once.drop_target(text)
    once.duplicate_report(text,text)
    once.duplicate_report_query(text,text,text[])
    once.end_file(text,text,text,jsonb,jsonb,boolean)
    once.get_duplicate_report(uuid,text)
    once.grant_import_access(text,text)
    once.grant_mail_access(text,text,text)
    once.import_document(text,text,text,text,text,text[])
    once.import_leads(text,jsonb)
    once.import_progress
    once.import_raw_text_idempotent(uuid,text,text,text,text[],text)
    once.ingest(text,jsonb,jsonb,boolean)
    once.ingest_mail(uuid,jsonb,jsonb,text)
    once.ingest_rows(text,jsonb,jsonb,boolean)
    once.insert_clean(text,text,jsonb)
    once.insert_clean_codes_to_production(uuid,jsonb,text)
    once.install_kit(text,text,text)
    once.mail_attachment_exists(uuid,text,text)
    once.mail_storage_path(uuid,uuid,text,text)
    once.mark_duplicates(text,text,bigint)
    once.mark_duplicates_in_temp(uuid,bigint,text)
    once.normalize_code(text)
    once.normalize_digits(text)
    once.normalize_email(text)
    once.normalize_email_lower(text)
    once.normalize_lower(text)
    once.normalize_phone(text,text)
    once.normalize_unprefixed(text)
    once.normalize_upper(text)
    once.normalize_whitespace(text)
    once.prune_import_images(interval)
    once.recover_staging(text,text[],text)
    once.replay_rejects(uuid)
    once.rollback_import_job(uuid,boolean)
    once.run_feed(text,jsonb)
    once.schedule_feed(text,text)
    once.staging_status(text,text)
    once.store_mail_attachment(uuid,text,text,text,bytea,text)
    once.target_list
    once.targets
    once.targets_guard()
    once.unschedule_feed(text)
    once.validate_clean_codes_for_insert(uuid,text)
    once.validate_staged(text,text)
    once.verify_import_job(uuid)
    once.verify_ledger(uuid,text,text)
    once.verify_mail_idempotency(uuid,text)
";
