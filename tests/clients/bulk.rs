//! The bulk path on the promo-code kit, a rule a test.

#[path = "bulk/insert.rs"]
mod insert;
#[path = "bulk/keys.rs"]
mod keys;
#[path = "bulk/numbers.rs"]
mod numbers;
#[path = "bulk/traps.rs"]
mod traps;
#[path = "bulk/undo.rs"]
mod undo;
#[path = "bulk/validate.rs"]
mod validate;

use std::collections::{BTreeMap, HashMap};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use once_tests::promo::{self, A, B, call, imported, mark, produce, refused_well, stage, texts};
use once_tests::{Uuid, Value, json};

/// Staged rows as they lie in the table: a row that was written, even with the same values, differs.
const ROWS: &str =
    "SELECT concat_ws(' ', row_number, code, internal_dup, existing_dup, ctid, xmin) FROM codes_check_temp
                    ORDER BY merchant_id, row_number";

fn figures(total: i64, internal: i64, database: i64, clean: i64) -> Value {
    json!({
        "success": true,
        "total_rows": total,
        "internal_duplicates": internal,
        "database_duplicates": database,
        "clean_count": clean,
        "chunks_processed": i64::from(total > 0),
    })
}

#[test]
fn marking_counts_both_kinds_and_again_changes_nothing() -> Result<()> {
    let (_db, mut client) = promo::install("mark")?;
    produce(&mut client, A, &["p", "q"])?;
    stage(&mut client, A, &["a", "p", "a", "p", "b", "p", "a", "q"])?;
    // internal: 2 of a, 2 of p; database: 3 of p, 1 of q; both: 2 of p; clean: a, b
    let expected = figures(8, 4, 4, 2);
    assert_eq!(mark(&mut client, A)?, expected);
    let marked = texts(&mut client, ROWS)?;
    assert_eq!(mark(&mut client, A)?, expected);
    assert_eq!(texts(&mut client, ROWS)?, marked);
    Ok(())
}

#[test]
fn marking_leaves_other_merchants_untouched() -> Result<()> {
    let (_db, mut client) = promo::install("others")?;
    produce(&mut client, B, &["x", "y"])?;
    stage(&mut client, B, &["x", "z", "z"])?;
    client.execute("UPDATE codes_check_temp SET existing_dup = true WHERE code = 'z'", &[])?;
    let others = texts(&mut client, ROWS)?;
    stage(&mut client, A, &["x", "y", "z", "z"])?;
    // What production holds of B is no duplicate of A's.
    assert_eq!(mark(&mut client, A)?, figures(4, 1, 0, 3));
    client.execute("DELETE FROM codes_check_temp WHERE merchant_id = $1", &[&A])?;
    assert_eq!(texts(&mut client, ROWS)?, others);
    Ok(())
}

#[test]
fn flags_go_back_when_their_cause_has_gone() -> Result<()> {
    let (_db, mut client) = promo::install("flags")?;
    stage(&mut client, A, &["a", "b", "c", "c", "c"])?;
    let at_first = figures(5, 2, 0, 3);
    assert_eq!(mark(&mut client, A)?, at_first);
    let job = imported(&promo::insert(&mut client, A)?)?;
    assert_eq!(mark(&mut client, A)?, figures(5, 2, 5, 0));
    client.execute("DELETE FROM codes WHERE code = 'a'", &[])?;
    assert_eq!(mark(&mut client, A)?, figures(5, 2, 4, 1));
    call(&mut client, "rollback_import_job($1)", &[&job])?;
    assert_eq!(mark(&mut client, A)?, at_first);
    // The lowest row of c goes: the next one takes its place.
    client.execute("DELETE FROM codes_check_temp WHERE row_number = 3", &[])?;
    assert_eq!(mark(&mut client, A)?, figures(4, 1, 0, 3));
    let clean = "SELECT row_number::text FROM codes_check_temp WHERE NOT internal_dup ORDER BY row_number";
    assert_eq!(texts(&mut client, clean)?, ["1", "2", "4"]);
    Ok(())
}

#[test]
fn the_report_names_what_each_row_duplicates() -> Result<()> {
    let (_db, mut client) = promo::install("report")?;
    produce(&mut client, A, &["p", "q"])?;
    produce(&mut client, B, &["a"])?;
    let staged = ["a", "p", "a", "b", "p", "a", "q"];
    stage(&mut client, A, &staged)?;
    stage(&mut client, B, &["not in A's report"])?;
    mark(&mut client, A)?;

    let mut ids = HashMap::new();
    for row in client.query("SELECT code, id::text FROM codes WHERE merchant_id = $1", &[&A])? {
        ids.insert(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
    }
    let mut first: BTreeMap<&str, i64> = BTreeMap::new();
    let rows = client.query(
        "SELECT row_number, code, status, duplicates_row, duplicates_id, merchant_id FROM once.get_duplicate_report($1)",
        &[&A],
    )?;
    assert_eq!(rows.len(), staged.len());
    for (row, (number, code)) in rows.iter().zip((1_i64..).zip(staged)) {
        let internal = first.get(code).copied();
        first.entry(code).or_insert(number);
        let existing = ids.get(code).cloned();
        let status = match (internal, &existing) {
            (None, None) => "CLEAN",
            (Some(_), None) => "INTERNAL_DUPLICATE",
            (None, Some(_)) => "DATABASE_DUPLICATE",
            (Some(_), Some(_)) => "BOTH_DUPLICATE",
        };
        assert_eq!((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), (number, code, status));
        assert_eq!(row.try_get::<_, Option<i64>>(3)?, internal, "{code}");
        assert_eq!(row.try_get::<_, Option<String>>(4)?, existing, "{code}");
        assert_eq!(row.try_get::<_, Uuid>(5)?, A);
    }
    Ok(())
}

#[test]
fn clearing_counts_and_may_find_nothing() -> Result<()> {
    let (_db, mut client) = promo::install("clear")?;
    let clear = "clear_temp_data($1)";
    let cleared = |rows: i64| json!({"success": true, "rows_deleted": rows, "rows_remaining": 0});
    assert_eq!(call(&mut client, clear, &[&A])?, cleared(0));
    stage(&mut client, A, &["a", "b", "b"])?;
    stage(&mut client, B, &["a"])?;
    assert_eq!(call(&mut client, clear, &[&A])?, cleared(3));
    assert_eq!(call(&mut client, clear, &[&A])?, cleared(0));
    assert_eq!(texts(&mut client, "SELECT merchant_id::text FROM codes_check_temp")?, [B.to_string()]);
    Ok(())
}

#[test]
fn bad_arguments_are_refused_with_the_next_step() -> Result<()> {
    let (_db, mut client) = promo::install("arguments")?;
    produce(&mut client, B, &["known"])?;
    stage(&mut client, B, &["staged"])?;
    let before = texts(&mut client, ROWS)?;
    for (sql, code) in [
        // An unknown merchant: nothing staged, nothing in production, no jobs.
        (format!("mark_duplicates_in_temp('{A}')"), "P0002"),
        (format!("validate_clean_codes_for_insert('{A}')"), "P0002"),
        (format!("insert_clean_codes_to_production('{A}')"), "P0002"),
        (format!("get_duplicate_report('{A}')"), "P0002"),
        (format!("rollback_import_job('{A}')"), "P0002"),
        (format!("verify_import_job('{A}')"), "P0002"),
        (format!("mark_duplicates_in_temp('{B}', 0)"), "22023"),
        (format!("mark_duplicates_in_temp('{B}', -1)"), "22023"),
        (format!("mark_duplicates_in_temp('{B}', 1, 'nothing')"), "42704"),
        (format!("validate_clean_codes_for_insert('{B}', 'nothing')"), "42704"),
        (format!("insert_clean_codes_to_production('{B}', NULL, 'nothing')"), "42704"),
        (format!("get_duplicate_report('{B}', 'nothing')"), "42704"),
        (format!("clear_temp_data('{B}', 'nothing')"), "42704"),
        ("grant_import_access('codes', 'no such role')".into(), "42704"),
        ("mark_duplicates('codes', NULL)".into(), "22004"),
    ] {
        let found = refused_well(&mut client, &format!("SELECT once.{sql}"), &[])?;
        assert_eq!(found, code, "{sql}");
    }
    // Known by its production alone.
    call(&mut client, "clear_temp_data($1)", &[&B])?;
    assert_eq!(mark(&mut client, B)?, figures(0, 0, 0, 0));
    assert_eq!(
        (before.len(), promo::text(&mut client, "SELECT count(*)::text FROM once.import_jobs")?),
        (1, "0".into())
    );
    Ok(())
}

#[test]
fn nothing_depends_on_the_settings_of_a_session() -> Result<()> {
    same_answers(&[
        "SET search_path = ''; SET standard_conforming_strings = off; SET backslash_quote = off",
        "SET TimeZone = 'Pacific/Chatham'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'",
        "SET extra_float_digits = -15; SET bytea_output = 'escape'; SET xmloption = document; SET row_security = off",
        "SET jit = off; SET enable_hashjoin = off; SET enable_nestloop = off; SET enable_indexscan = off; SET enable_sort = off",
    ])
}

/// Which makes `format_type` and `quote_ident` quote what they otherwise do not.
#[test]
fn nothing_depends_on_quote_all_identifiers() -> Result<()> {
    same_answers(&["SET quote_all_identifiers = on"])
}

/// The whole journey gives the same with each of the settings as with none.
fn same_answers(settings: &[&'static str]) -> Result<()> {
    let (db, mut client) = promo::install("settings")?;
    let code = r"back\slash 'quoted' 01/02/2024";
    let mut plain = None;
    for settings in [""].iter().chain(settings) {
        let mut session = db.client()?;
        session.batch_execute(settings)?;
        let mut answers = Vec::new();
        stage(&mut session, A, &["old", code, code, "zwölf"])?;
        answers.push(mark(&mut session, A).context(*settings)?);
        answers.push(call(&mut session, "validate_clean_codes_for_insert($1)", &[&A])?);
        for row in session.query("SELECT code, status FROM once.get_duplicate_report($1)", &[&A])? {
            answers.push(json!([row.try_get::<_, &str>(0)?, row.try_get::<_, &str>(1)?]));
        }
        let job = imported(&promo::insert(&mut session, A)?)?;
        // Read by a session without any settings, undone by the one with them.
        answers.push(without_id(call(&mut client, "verify_import_job($1)", &[&job])?));
        assert_eq!(promo::codes(&mut client, A)?, [code, "old", "zwölf"], "{settings}");
        answers.push(without_id(call(&mut session, "rollback_import_job($1)", &[&job])?));
        answers.push(call(&mut session, "clear_temp_data($1)", &[&A])?);
        assert_eq!(answers, *plain.get_or_insert_with(|| answers.clone()), "{settings}");
    }
    Ok(())
}

fn without_id(mut answer: Value) -> Value {
    answer["job_id"].take();
    answer
}

#[test]
fn progress_is_seen_from_another_session() -> Result<()> {
    let (db, mut watcher) = promo::install("progress")?;
    // So many that the watcher has its turn on a busy machine, too.
    let total = 100_000_i64;
    let codes: Vec<String> = (0..total).map(|n| format!("P{n}")).collect();
    produce(&mut watcher, A, &codes)?;
    stage(&mut watcher, A, &codes)?;
    let mut worker = db.client()?;
    let pid: i32 = worker.query_one("SELECT pg_backend_pid()", &[])?.try_get(0)?;
    let marking =
        thread::spawn(move || -> Result<Value> { call(&mut worker, "mark_duplicates_in_temp($1, 4)", &[&A]) });

    let mut seen: Vec<i64> = Vec::new();
    while !marking.is_finished() {
        let rows =
            watcher.query("SELECT pid, relation, phase, rows_done, rows_total FROM once.import_progress", &[])?;
        for row in rows.iter().filter(|row| row.get::<_, &str>(2).starts_with("marking")) {
            assert_eq!((row.try_get(0)?, row.try_get(1)?, row.try_get(4)?), (pid, "public.codes", total));
            let done = row.try_get(3)?;
            // Nothing done is what the next phase begins with, too.
            if done > 0 && seen.last() != Some(&done) {
                seen.push(done);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    let marked = marking.join().map_err(|_| anyhow::anyhow!("the worker panicked"))??;
    assert_eq!(marked["chunks_processed"], total / 4);
    // Grew before our eyes, step by step, within the total, and is gone at the end.
    assert!(seen.len() >= 3 && seen.is_sorted() && seen.iter().all(|done| *done <= total), "{seen:?}");
    assert_eq!(texts(&mut watcher, "SELECT phase FROM once.import_progress")?, [""; 0]);
    Ok(())
}
