//! Tables that look like others and are not: bare ones, texts that are missing, times and settings that mislead.

use anyhow::Result;
use once_tests::postgres::Client;
use once_tests::promo::{call, refused, text, texts};
use once_tests::{Db, json};

use super::{EXPECTED, SUM, adopt, athlete, figures, install, is_adopted, legacy};

/// The barest of tables: no checksum, no tags, no time of receipt, no hashes.
#[test]
fn a_table_with_nothing_but_texts_is_adopted() -> Result<()> {
    for kit_first in [false, true] {
        let db = Db::new("bare")?;
        let mut client = db.client()?;
        client.batch_execute(SUM)?;
        let [a, b] = ['A', 'B'].map(athlete);
        client.batch_execute(&format!(
            "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), raw_text text NOT NULL, athlete_id uuid, created_at timestamptz);
             CREATE TABLE workouts (workout_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), import_id uuid, athlete_id uuid, workout_date date, session_title text);
             INSERT INTO imports SELECT pg_temp.i(n), raw, athlete::uuid, at::timestamptz FROM (VALUES
               (1, 'x', '{a}', '2024-01-02'), (2, 'x', '{a}', '2024-01-01'), (3, 'x', '{b}', '2024-01-03'), (4, 'y', NULL, '2024-01-04'), (5, ' y', NULL, '2024-01-05')
             ) AS v (n, raw, athlete, at);
             INSERT INTO workouts SELECT pg_temp.w(n), pg_temp.i(n), '{a}', '2024-01-01', 'Legs' FROM generate_series(1, 2) n"
        ))?;
        let rows = "SELECT concat_ws('|', import_id, raw_text, athlete_id, created_at) FROM imports ORDER BY 1";
        let before = texts(&mut client, rows)?;
        if kit_first {
            install(&mut client)?;
        }
        let told = adopt(&mut client, "'imports'")?;
        let done = adopt(&mut client, "'imports', false")?;
        assert_eq!((figures(&told), figures(&done)), ([5, 5, 0, 2, 1, 1], [5, 5, 0, 2, 1, 1]), "{told}\n{done}");
        if !kit_first {
            install(&mut client)?;
        }
        assert_eq!(texts(&mut client, rows)?, before);
        let archived = "SELECT pg_temp.n(import_id)::text FROM imports WHERE tags = '{duplicate_archived}' ORDER BY 1";
        assert_eq!(texts(&mut client, archived)?, ["1", "5"]);
        assert_eq!(text(&mut client, "SELECT count(*)::text FROM v_workouts_without_hash")?, "1");
        // No time of receipt is made up for what was there.
        assert_eq!(text(&mut client, "SELECT count(received_at)::text FROM imports")?, "0");
        let import =
            "SELECT concat(is_duplicate, pg_temp.n(import_id)) FROM once.import_raw_text_idempotent($1, 'x', 's')";
        assert_eq!(client.query_one(import, &[&a])?.try_get::<_, String>(0)?, "t2");
    }
    Ok(())
}

/// The barest of tables again: what a dry run does not see yet, because the columns are not there, it must tell all the same.
#[test]
fn a_dry_run_tells_of_columns_and_keys_that_are_still_to_come() -> Result<()> {
    let db = Db::new("to_come")?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), raw_text text NOT NULL, athlete_id uuid);
         CREATE TABLE workouts (workout_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), import_id uuid, athlete_id uuid, workout_date date)",
    )?;
    let mut told = adopt(&mut client, "'imports'")?;
    let columns = "SELECT concat(attrelid::regclass, '.', attname) FROM pg_attribute WHERE attrelid IN ('imports'::regclass, 'workouts'::regclass) AND attnum > 0 ORDER BY 1";
    let before = texts(&mut client, columns)?;
    let done = adopt(&mut client, "'imports', false")?;
    told["dry_run"] = json!(false);
    assert_eq!(told, done);
    // All that was added is named.
    let added = texts(&mut client, columns)?.len() - before.len();
    assert_eq!(done["columns_added"].as_array().map(Vec::len), Some(added), "{done}");
    Ok(())
}

/// Workouts whose time of creation nobody knows are two of a day as well.
#[test]
fn workouts_without_a_time_of_creation_are_shown_as_potential_duplicates() -> Result<()> {
    let db = Db::new("timeless")?;
    let mut client = db.client()?;
    client.batch_execute(SUM)?;
    client.batch_execute(&format!(
        "CREATE TABLE workouts (workout_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid NOT NULL, workout_date date NOT NULL, session_title text);
         INSERT INTO workouts SELECT pg_temp.w(n), '{}', '2024-01-01', 'Legs' FROM generate_series(1, 2) n",
        athlete('A')
    ))?;
    install(&mut client)?;
    let pairs = "SELECT concat_ws(' ', pg_temp.n(least(workout_id, other_workout_id)), pg_temp.n(greatest(workout_id, other_workout_id)), reasons) FROM v_potential_duplicate_workouts";
    assert_eq!(texts(&mut client, pairs)?, ["1 2 {\"same title\"}"]);
    Ok(())
}

/// What was there is older than what comes now, though nobody knows its time.
#[test]
fn an_import_of_unknown_time_is_the_oldest() -> Result<()> {
    let db = Db::new("unknown_time")?;
    let mut client = db.client()?;
    client.batch_execute(SUM)?;
    client.batch_execute(
        "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), raw_text text NOT NULL, athlete_id uuid); INSERT INTO imports VALUES (pg_temp.i(4), 'y')",
    )?;
    install(&mut client)?;
    adopt(&mut client, "'imports', false")?;
    client.execute("SELECT once.import_raw_text_idempotent($1, 'y', 's')", &[&athlete('Z')])?;
    let oldest = "SELECT import_id = pg_temp.i(4) FROM once.check_import_duplicate(pg_temp.sum('y'))";
    assert!(client.query_one(oldest, &[])?.try_get::<_, bool>(0)?);
    Ok(())
}

/// A well-formed checksum from before is kept, whatever it was of: here of the text as it was sent, with its line break at
/// the end. Who knows better sets it to NULL first, and has it computed.
#[test]
fn a_well_formed_checksum_is_kept_unless_it_is_set_to_null_first() -> Result<()> {
    let a = athlete('A');
    for (first, expected, again) in [
        ("", ["1 t{}", "2 t{}"], "2t"),
        (
            "UPDATE imports SET checksum_sha256 = NULL",
            ["1 fwhitespace/1{}", "2 twhitespace/1{duplicate_archived}"],
            "1t",
        ),
    ] {
        let db = Db::new("raw_sums")?;
        let mut client = db.client()?;
        client.batch_execute(SUM)?;
        client.batch_execute(&format!(
            "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text, checksum_sha256 text, received_at timestamptz);
             INSERT INTO imports VALUES (pg_temp.i(1), '{a}', E'Squat  5x5\n', encode(sha256(E'Squat  5x5\n'), 'hex'), '2024-01-01'),
               (pg_temp.i(2), '{a}', 'Squat 5x5', encode(sha256('Squat 5x5'), 'hex'), '2024-01-02');
             {first}"
        ))?;
        adopt(&mut client, "'imports', false")?;
        let rows = "SELECT concat(pg_temp.n(import_id), ' ', checksum_sha256 = encode(sha256(convert_to(raw_text, 'UTF8')), 'hex'), normalizer_version, tags) FROM imports ORDER BY 1";
        assert_eq!(texts(&mut client, rows)?, expected, "{first}");
        install(&mut client)?;
        let import = "SELECT concat(pg_temp.n(import_id), is_duplicate) FROM once.import_raw_text_idempotent($1, E'Squat  5x5\n', 's')";
        assert_eq!(client.query_one(import, &[&a])?.try_get::<_, String>(0)?, again, "{first}");
    }
    Ok(())
}

/// Settings of a session that have crept into many a catalog query.
#[test]
fn the_session_s_settings_make_no_difference() -> Result<()> {
    let (_db, mut client) = legacy("settings")?;
    client.batch_execute(
        "SET quote_all_identifiers = on; SET search_path = ''; SET DateStyle = 'German, DMY'; SET TimeZone = 'Asia/Tokyo'; SET standard_conforming_strings = off;
         SET bytea_output = 'escape'; SET array_nulls = off; SET transform_null_equals = on; SET row_security = off; SET enable_seqscan = off; SET enable_hashjoin = off",
    )?;
    install(&mut client)?;
    let done = adopt(&mut client, "'public.imports', false")?;
    assert_eq!(figures(&done), EXPECTED, "{done}");
    for settings in ["", "RESET ALL"] {
        client.batch_execute(settings)?;
        let again = adopt(&mut client, "'public.imports', false")?;
        assert_eq!(again["constraints_added"], json!([]), "{settings}: {again}");
        let import = "SELECT is_duplicate FROM once.import_raw_text_idempotent(NULL, 'Squat 5x5', 's')";
        call(&mut client, "install_kit('workouts', 'public')", &[])?;
        assert!(client.query_one(import, &[])?.try_get::<_, bool>(0)?, "{settings}");
    }
    is_adopted(&mut client)
}

/// What the session's clock says must not decide which of two imports is the older one: on the night when clocks go
/// forward, 02:30 does not exist in New York, and would be read as 03:30.
#[test]
fn the_oldest_is_the_same_in_every_time_zone() -> Result<()> {
    for zone in ["UTC", "America/New_York"] {
        let db = Db::new("zones")?;
        let mut client = db.client()?;
        client.batch_execute(SUM)?;
        client.batch_execute(&format!(
            "SET TimeZone = '{zone}'; CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), raw_text text, athlete_id uuid, received_at timestamp);
             INSERT INTO imports VALUES (pg_temp.i(1), 'x', NULL, '2024-03-10 02:30'), (pg_temp.i(2), 'x', NULL, '2024-03-10 03:10')"
        ))?;
        adopt(&mut client, "'imports', false")?;
        let kept = "SELECT pg_temp.n(import_id)::text FROM imports WHERE tags = '{}'";
        assert_eq!(texts(&mut client, kept)?, ["1"], "{zone}");
    }
    Ok(())
}

/// Workouts that repeat each other with the import's malformed checksum are two before, and one with a hash after.
#[test]
fn workouts_that_repeat_a_malformed_hash_are_sorted_out() -> Result<()> {
    let (_db, mut client) = legacy("malformed")?;
    client.batch_execute(
        "INSERT INTO workouts (workout_id, import_id, athlete_id, workout_date, content_hash_ref, created_at)
         SELECT pg_temp.w(11), import_id, athlete_id, workout_date, content_hash_ref, '2024-01-03 11:00' FROM workouts WHERE workout_id = pg_temp.w(3)",
    )?;
    let mut told = adopt(&mut client, "'imports'")?;
    let done = adopt(&mut client, "'imports', false")?;
    is_adopted_but(&mut client, "11")?;
    assert_eq!(figures(&done), [13, 11, 3, 5, 4, 5], "{done}");
    told["dry_run"] = json!(false);
    assert_eq!(told, done);
    Ok(())
}

fn is_adopted_but(client: &mut Client, without_hash: &str) -> Result<()> {
    let left = "SELECT pg_temp.n(workout_id)::text FROM workouts WHERE content_hash_ref IS NULL ORDER BY workout_id";
    assert_eq!(texts(client, left)?, ["1", "4", "5", "8", without_hash]);
    let key = "SELECT count(*)::text FROM pg_index WHERE indrelid = 'workouts'::regclass AND indisunique AND NOT indisprimary";
    assert_eq!(text(client, key)?, "1");
    Ok(())
}

/// Imports whose text is kept elsewhere, or was lost: nobody knows that they are one, so they are refused, by a dry run
/// too; and the hint helps.
#[test]
fn imports_without_a_text_are_not_taken_for_one() -> Result<()> {
    let db = Db::new("textless")?;
    let mut client = db.client()?;
    client.batch_execute(SUM)?;
    client.batch_execute(&format!(
        "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text, source_ref text, received_at timestamptz);
         INSERT INTO imports SELECT pg_temp.i(n), '{}', NULL, 's3://' || n, timestamptz '2024-01-01' + n * interval '1 day' FROM generate_series(1, 2) n",
        athlete('A')
    ))?;
    let rows = "SELECT concat(ctid, xmin, to_json(i)) FROM imports i ORDER BY 1";
    let before = texts(&mut client, rows)?;
    let mut hint = String::new();
    for dry_run in ["true", "false"] {
        let error = refused(&mut client, &format!("SELECT once.adopt_imports('imports', {dry_run})"), &[])?;
        assert_eq!(error.code().code(), "23502", "{error:?}");
        assert!(error.message().contains("raw_text") && error.detail().is_some_and(|detail| detail.contains('2')));
        hint = error.hint().unwrap_or_default().to_owned();
    }
    assert_eq!(texts(&mut client, rows)?, before);
    let update = hint.find("UPDATE").map(|start| &hint[start..]);
    client.batch_execute(update.ok_or_else(|| anyhow::anyhow!("no statement in {hint}"))?)?;
    assert_eq!(figures(&adopt(&mut client, "'imports', false")?), [2, 2, 0, 0, 0, 0]);
    Ok(())
}

/// Where no time tells which row is the older one, the answer says what did.
#[test]
fn what_decided_on_the_oldest_is_told() -> Result<()> {
    for (column, oldest_by) in [
        ("created_at timestamptz, received_at date", json!(["received_at", "created_at", "import_id"])),
        ("created_at timestamp", json!(["created_at", "import_id"])),
        ("created_at text", json!(["import_id"])),
    ] {
        let db = Db::new("oldest_by")?;
        let mut client = db.client()?;
        client.batch_execute(SUM)?;
        client.batch_execute(&format!(
            "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), raw_text text, athlete_id uuid, {column});
             INSERT INTO imports SELECT pg_temp.i(n), 'x' FROM generate_series(1, 2) n"
        ))?;
        for dry_run in ["true", "false"] {
            let answer = adopt(&mut client, &format!("'imports', {dry_run}"))?;
            assert_eq!(answer["oldest_by"], oldest_by, "{column}, dry run {dry_run}");
        }
        assert_eq!(texts(&mut client, "SELECT pg_temp.n(import_id)::text FROM imports WHERE tags = '{}'")?, ["1"]);
    }
    Ok(())
}
