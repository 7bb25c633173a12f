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

/// Both wrong at once: none may take the other's flag, whether their numbers are near each other or not.
#[test]
fn two_wrong_rows_of_one_number_are_refused() -> Result<()> {
    let (_db, mut client) = promo::install("both_wrong")?;
    client.batch_execute("SET maintenance_work_mem = '1MB'")?;
    produce(&mut client, A, &["old"])?;
    let rows = "INSERT INTO codes_check_temp (merchant_id, code, row_number, existing_dup)
                VALUES ($1, 'old', 7, false), ($1, 'new', 7, true)";
    client.execute(rows, &[&A])?;
    for far in [None, Some(10_000_000_i64)] {
        if far.is_some() {
            let row = "INSERT INTO codes_check_temp (merchant_id, code, row_number) VALUES ($1, 'far', $2)";
            client.execute(row, &[&A, &far])?;
        }
        let error = refused(&mut client, "SELECT once.mark_duplicates_in_temp($1)", &[&A])?;
        assert_eq!(error.code().code(), "23505", "{far:?}: {error:?}");
    }
    Ok(())
}

#[test]
fn the_highest_and_the_lowest_numbers_are_marked() -> Result<()> {
    let (_db, mut client) = promo::install("extremes")?;
    for numbers in [[i64::MAX - 1, i64::MAX], [i64::MIN, i64::MIN + 1], [i64::MIN, i64::MAX]] {
        client.execute("DELETE FROM codes_check_temp", &[])?;
        for number in numbers {
            let row = "INSERT INTO codes_check_temp (merchant_id, code, row_number) VALUES ($1, 'x', $2)";
            client.execute(row, &[&A, &number])?;
        }
        assert_eq!(mark(&mut client, A)?, figures(2, 1, 0, 1), "{numbers:?}");
        let kept = "SELECT row_number::text FROM codes_check_temp WHERE NOT internal_dup";
        assert_eq!(text(&mut client, kept)?, numbers[0].to_string());
    }
    Ok(())
}

/// All hashes are the same then, and two of them enough.
#[test]
fn a_key_that_is_staged_more_often_than_memory_holds() -> Result<()> {
    let (_db, mut client) = promo::install("one_key")?;
    client.batch_execute("SET maintenance_work_mem = '1MB'")?;
    let rows = "INSERT INTO codes_check_temp (merchant_id, code) SELECT $1, 'same' FROM generate_series(1, 300000)";
    client.execute(rows, &[&A])?;
    let mut marked = figures(300_000, 299_999, 0, 1);
    marked["chunks_processed"] = json!(3);
    assert_eq!(mark(&mut client, A)?, marked);
    Ok(())
}

/// Marking ends, and what it could not flag is not inserted twice.
#[test]
fn flags_that_a_trigger_keeps_as_they_are() -> Result<()> {
    for (name, result) in [("stuck_null", "NULL"), ("stuck_old", "OLD")] {
        let (_db, mut client) = promo::install(name)?;
        client.batch_execute(&format!(
            "SET maintenance_work_mem = '1MB';
             CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN {result}; END';
             CREATE TRIGGER keep BEFORE UPDATE ON codes_check_temp FOR EACH ROW EXECUTE FUNCTION keep()"
        ))?;
        // Far from each other, so that not all fit at once.
        let rows = "INSERT INTO codes_check_temp (merchant_id, code, row_number)
                    SELECT $1, 'C' || n % 20000, n::bigint * 1000003 FROM generate_series(1, 40000) n";
        client.execute(rows, &[&A])?;
        assert_eq!(mark(&mut client, A)?, figures(40_000, 0, 0, 40_000), "{name}");
        let answer = insert(&mut client, A)?;
        assert_eq!((&answer["success"], &answer["sqlstate"]), (&json!(false), &json!("23505")), "{name}: {answer}");
        assert_eq!(codes(&mut client, A)?, [""; 0]);
    }
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
