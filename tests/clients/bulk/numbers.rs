//! Marking by row_number: many at once, and numbers that somebody gave himself.

use anyhow::{Context, Result};
use once_tests::json;
use once_tests::promo::{self, A, call, codes, insert, mark, produce, refused, stage, text};

use super::figures;

/// With a megabyte, some 65,000 keys are compared at once; and 10,000 rows corrected, where their numbers are not near each
/// other, as they are where the database gives them.
#[test]
fn more_rows_are_wrong_than_memory_holds() -> Result<()> {
    for (name, apart) in [("many_near", 1_i64), ("many_far", 10_000_019)] {
        let (_db, mut client) = promo::install(name)?;
        client.batch_execute("SET maintenance_work_mem = '1MB'; SET work_mem = '64kB'")?;
        let half: Vec<String> = (0..60_000).map(|n| format!("W{n}")).collect();
        produce(&mut client, A, &half)?;
        stage(&mut client, A, &half)?;
        stage(&mut client, A, &half)?;
        let from_0 = format!("UPDATE codes_check_temp SET row_number = (row_number - 1) * {apart}");
        client.execute(&from_0, &[])?;
        let marked = |internal, database, clean| {
            let mut figures = figures(120_000, internal, database, clean);
            figures["chunks_processed"] = json!(2);
            figures
        };
        assert_eq!(mark(&mut client, A)?, marked(60_000, 120_000, 0), "{name}");
        let first = format!("row_number < {}", 60_000 * apart);
        let wrong = format!("SELECT count(*)::text FROM codes_check_temp WHERE internal_dup = ({first})");
        assert_eq!(text(&mut client, &wrong)?, "0", "{name}");
        client.execute("DELETE FROM codes", &[])?;
        client.execute(&format!("DELETE FROM codes_check_temp WHERE {first}"), &[])?;
        let mut unmarked = marked(0, 0, 60_000);
        unmarked["total_rows"] = json!(60_000);
        unmarked["chunks_processed"] = json!(1);
        assert_eq!(mark(&mut client, A)?, unmarked, "{name}");
        assert_eq!(insert(&mut client, A)?["codes_inserted"], 60_000, "{name}");
    }
    Ok(())
}

/// A row would else be flagged for another's sake, and lost.
#[test]
fn flags_by_a_number_that_two_rows_have_are_refused() -> Result<()> {
    let (_db, mut client) = promo::install("same_number")?;
    produce(&mut client, A, &["old"])?;
    let rows = "INSERT INTO codes_check_temp (merchant_id, code, row_number) VALUES ($1, 'old', 7), ($1, 'new', 7)";
    client.execute(rows, &[&A])?;
    let error = refused(&mut client, "SELECT once.mark_duplicates_in_temp($1)", &[&A])?;
    assert_eq!(error.code().code(), "23505", "{error:?}");
    let flagged = "SELECT count(*)::text FROM codes_check_temp WHERE internal_dup OR existing_dup";
    assert_eq!(text(&mut client, flagged)?, "0");
    // The hint is of use.
    let hint = error.hint().context("no hint")?;
    let statement = hint.split_once("UPDATE").context("no statement in the hint")?.1;
    client.execute(&format!("UPDATE{statement}"), &[])?;
    assert_eq!(mark(&mut client, A)?, figures(2, 0, 1, 1));
    assert_eq!(insert(&mut client, A)?["codes_inserted"], 1);
    assert_eq!(codes(&mut client, A)?, ["new", "old"]);
    Ok(())
}

/// Both wrong at once: none may take the other's flag.
#[test]
fn two_wrong_rows_of_one_number_are_refused() -> Result<()> {
    let (_db, mut client) = promo::install("both_wrong")?;
    produce(&mut client, A, &["old"])?;
    let rows = "INSERT INTO codes_check_temp (merchant_id, code, row_number, existing_dup)
                VALUES ($1, 'old', 7, false), ($1, 'new', 7, true)";
    client.execute(rows, &[&A])?;
    let error = refused(&mut client, "SELECT once.mark_duplicates_in_temp($1)", &[&A])?;
    assert_eq!(error.code().code(), "23505", "{error:?}");
    Ok(())
}

/// Nothing tells which of them stays, so none is marked; the target's unique index refuses both.
#[test]
fn a_key_twice_under_one_number_is_not_inserted() -> Result<()> {
    let (_db, mut client) = promo::install("twin")?;
    let rows = "INSERT INTO codes_check_temp (merchant_id, code, row_number) VALUES ($1, 'twin', 7), ($1, 'twin', 7)";
    client.execute(rows, &[&A])?;
    mark(&mut client, A)?;
    let answer = insert(&mut client, A)?;
    assert_eq!((&answer["success"], &answer["sqlstate"]), (&json!(false), &json!("23505")), "{answer}");
    assert!(
        answer["message"].as_str().is_some_and(|m| m.contains("row_number, 7")) && answer["hint"].is_string(),
        "{answer}"
    );
    assert_eq!(codes(&mut client, A)?, [""; 0]);
    let status = call(&mut client, "verify_import_job($1::text::uuid)", &[&answer["job_id"].as_str()])?;
    assert_eq!((&status["status"], &status["actual_count"]), (&json!("failed"), &json!(0)));
    Ok(())
}
