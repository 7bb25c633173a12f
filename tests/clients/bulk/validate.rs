//! Validation: nothing unmarked, nothing that came meanwhile, nothing that production would not take.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use once_tests::promo::{self, A, B, call, copy, mark, produce, refused_well, stage, text};
use once_tests::{Value, json};

const VALIDATE: &str = "validate_clean_codes_for_insert($1)";

/// Whatever goes wrong with rows that were never marked, that they were not is what is said, and no job begun.
#[test]
fn unmarked_rows_that_can_not_be_checked() -> Result<()> {
    let (_db, mut client) = promo::install("uncheckable")?;
    client.batch_execute("ALTER TABLE codes ADD CHECK (100 / points > 1)")?;
    stage(&mut client, A, &["a"])?;
    mark(&mut client, A)?;
    client.execute("INSERT INTO codes_check_temp (merchant_id, code, points) VALUES ($1, 'zero', 0)", &[&A])?;
    let insert = "SELECT once.insert_clean_codes_to_production($1)";
    assert_eq!(refused_well(&mut client, insert, &[&A])?, "55000");
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes_import_jobs")?, "0");
    mark(&mut client, A)?;
    assert_eq!(call(&mut client, "insert_clean_codes_to_production($1)", &[&A])?["sqlstate"], "22012");
    Ok(())
}

#[test]
fn what_is_staged_must_have_been_marked() -> Result<()> {
    let (_db, mut client) = promo::install("unmarked")?;
    let changes = [
        // Never marked at all.
        "SELECT",
        // More rows than were marked.
        "INSERT INTO codes_check_temp (merchant_id, code) VALUES ($1, 'more')",
        // Fewer.
        "DELETE FROM codes_check_temp WHERE merchant_id = $1 AND code = 'b'",
        // As many, and the highest number as before: a row went, and one committed that had drawn its number earlier.
        "WITH gone AS (DELETE FROM codes_check_temp WHERE merchant_id = $1 AND code = 'c')
         INSERT INTO codes_check_temp (merchant_id, code, row_number) VALUES ($1, 'late', 500)",
    ];
    stage(&mut client, A, &["a", "b", "c"])?;
    client.execute("INSERT INTO codes_check_temp (merchant_id, code, row_number) VALUES ($1, 'last', 1000)", &[&A])?;
    for change in changes {
        match change {
            "SELECT" => 0,
            change => client.execute(change, &[&A])?,
        };
        for function in ["validate_clean_codes_for_insert", "insert_clean_codes_to_production", "get_duplicate_report"]
        {
            let code = refused_well(&mut client, &format!("SELECT once.{function}($1)"), &[&A])?;
            assert_eq!(code, "55000", "{function} after {change}");
        }
        mark(&mut client, A)?;
        assert_eq!(call(&mut client, VALIDATE, &[&A])?["valid"], true, "{change}");
    }
    // Another merchant's rows are no concern of this one's.
    stage(&mut client, B, &["b"])?;
    assert_eq!(call(&mut client, VALIDATE, &[&A])?["valid"], true);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM once.import_jobs")?, "0");
    Ok(())
}

/// Emptying the table by hand sets its numbers back: other rows come under the numbers of those that were marked.
#[test]
fn rows_staged_anew_under_the_same_numbers_are_unmarked() -> Result<()> {
    let (_db, mut client) = promo::install("renumbered")?;
    stage(&mut client, A, &["a", "b"])?;
    mark(&mut client, A)?;
    client.batch_execute("TRUNCATE codes_check_temp RESTART IDENTITY")?;
    stage(&mut client, A, &["new", "new"])?;
    let validate = "SELECT once.validate_clean_codes_for_insert($1)";
    assert_eq!(refused_well(&mut client, validate, &[&A])?, "55000");
    Ok(())
}

#[test]
fn codes_that_came_since_are_found_and_left_out() -> Result<()> {
    let (_db, mut client) = promo::install("arrived")?;
    produce(&mut client, A, &["old"])?;
    stage(&mut client, A, &["old", "a", "b", "b", "c", "d"])?;
    mark(&mut client, A)?;
    produce(&mut client, A, &["a", "b"])?;
    produce(&mut client, B, &["c"])?;
    let expected = |arrived: i64| {
        json!({"valid": true, "total_clean_codes": 2, "validation_errors": 0, "errors": [], "error_totals": {},
               "new_db_duplicates_found": arrived})
    };
    // The second b is an internal duplicate already, so two clean rows turn out to be in production.
    assert_eq!(call(&mut client, VALIDATE, &[&A])?, expected(2));
    assert_eq!(call(&mut client, VALIDATE, &[&A])?, expected(0));
    produce(&mut client, A, &["d"])?;
    let answer = promo::insert(&mut client, A)?;
    assert_eq!((&answer["success"], &answer["codes_inserted"]), (&json!(true), &json!(1)));
    assert_eq!(promo::codes(&mut client, A)?, ["a", "b", "c", "d", "old"]);
    Ok(())
}

/// A faulty row: merchant, code, points, price, and what is wrong with it.
type Faulty<'a> = (Option<&'a str>, Option<&'a str>, &'a str, &'a str, Option<(&'a str, &'a str)>);

#[test]
fn faulty_rows_are_named_with_row_column_value_and_reason() -> Result<()> {
    let (_db, mut client) = promo::install("faulty")?;
    let merchant = A.to_string();
    let of = Some(merchant.as_str());
    let blank = Some(("code", "code is empty or blank"));
    let points = Some(("points", "violates check constraint \"codes_points_check\""));
    let price = Some(("price", "violates check constraint \"codes_price_check\""));
    let faulty: [Faulty; 14] = [
        (of, Some("good"), "0", "0", None),
        (of, None, "1", "1", blank),
        (of, Some(""), "1", "1", blank),
        (of, Some("   "), "1", "1", blank),
        (of, Some("\t\r\n"), "1", "1", blank),
        (of, Some("\u{a0}\u{2003}\u{feff}"), "1", "1", blank),
        (None, Some("whose?"), "1", "1", Some(("merchant_id", "merchant_id is NULL"))),
        (of, Some("p1"), "-0.01", "1", points),
        (of, Some("p2"), "NaN", "1", points),
        (of, Some("p3"), "Infinity", "1", points),
        (of, Some("q1"), "1", "-5", price),
        (of, Some("q2"), "1", "NaN", price),
        (of, Some("q3"), "1", "-Infinity", price),
        (of, Some(" \u{a0}good"), "1e100", "0.00000001", None),
    ];
    let rows: Vec<_> =
        faulty.iter().map(|(m, code, points, price, _)| vec![*m, *code, Some(*points), Some(*price)]).collect();
    copy(&mut client, "codes_check_temp (merchant_id, code, points, price)", &rows)?;
    let mut expected = Vec::new();
    let mut totals: BTreeMap<&str, i64> = BTreeMap::new();
    for (row, (_, code, points, price, fault)) in (1..).zip(faulty) {
        let Some((column, reason)) = fault else { continue };
        let value = match column {
            "code" => json!(code),
            "merchant_id" => Value::Null,
            "points" => json!(points),
            _ => json!(price),
        };
        expected.push(json!({"row": row, "column": column, "value": value, "reason": reason}));
        *totals.entry(reason).or_default() += 1;
    }

    mark(&mut client, A)?;
    let mut verdict = call(&mut client, VALIDATE, &[&A])?;
    let errors = verdict["errors"].as_array_mut().context("no errors")?;
    errors.sort_by_key(|error| error["row"].as_i64());
    assert_eq!(*errors, expected);
    assert_eq!(verdict["error_totals"], json!(totals));
    assert_eq!((&verdict["valid"], &verdict["validation_errors"]), (&json!(false), &json!(12)));

    // The import is refused as a whole, and its job keeps what was wrong.
    let answer = promo::insert(&mut client, A)?;
    assert_eq!(answer["success"], false, "{answer}");
    let job = promo::job_of(&answer)?;
    let sql =
        "SELECT status, validation_passed, validation_errors, codes_inserted FROM codes_import_jobs WHERE id = $1";
    let row = client.query_one(sql, &[&job])?;
    assert_eq!((row.try_get(0)?, row.try_get(1)?, row.try_get(3)?), ("failed", false, 0_i64));
    let kept: Value = row.try_get(2)?;
    assert_eq!(kept.as_array().map(Vec::len), Some(12));
    assert_eq!(promo::codes(&mut client, A)?, [""; 0]);
    Ok(())
}

/// One kind of fault by itself, as files mostly have it.
#[test]
fn a_fault_of_a_single_kind_is_named() -> Result<()> {
    let (_db, mut client) = promo::install("single")?;
    stage(&mut client, A, &["good", " "])?;
    mark(&mut client, A)?;
    let verdict = call(&mut client, VALIDATE, &[&A])?;
    let error = json!([{"row": 2, "column": "code", "value": " ", "reason": "code is empty or blank"}]);
    assert_eq!((&verdict["errors"], &verdict["validation_errors"]), (&error, &json!(1)));
    let answer = promo::insert(&mut client, A)?;
    assert_eq!((&answer["success"], &answer["errors"]), (&json!(false), &error));
    Ok(())
}

#[test]
fn a_hundred_faults_are_named_and_all_are_counted() -> Result<()> {
    let (_db, mut client) = promo::install("capped")?;
    let merchant = A.to_string();
    // From row 1 in turn: a blank code, negative points, and both at once.
    let rows: Vec<_> = (0..450)
        .map(|n| {
            let code = if n % 3 == 1 { format!("C{n}") } else { " ".repeat(n % 7) };
            let points = if n % 3 == 0 { "1" } else { "-1" };
            vec![Some(merchant.clone()), Some(code), Some(points.to_string())]
        })
        .collect();
    copy(&mut client, "codes_check_temp (merchant_id, code, points)", &rows)?;
    // Blank codes repeat: only the clean rows are judged.
    client.execute(
        "UPDATE codes_check_temp SET code = code || chr(9) || repeat(' ', row_number::int) WHERE btrim(code) = ''",
        &[],
    )?;
    mark(&mut client, A)?;
    let verdict = call(&mut client, VALIDATE, &[&A])?;
    let errors = verdict["errors"].as_array().context("no errors")?;
    assert_eq!(errors.len(), 100);
    let mut rows: Vec<i64> = errors.iter().filter_map(|error| error["row"].as_i64()).collect();
    rows.sort_unstable();
    // One fault in two rows of three, two in the third: the first 75 rows have 100.
    let expected: Vec<i64> = (1..=75).flat_map(|row| if row % 3 == 0 { vec![row; 2] } else { vec![row] }).collect();
    assert_eq!(rows, expected);
    let totals = json!({"code is empty or blank": 300, "violates check constraint \"codes_points_check\"": 300});
    assert_eq!((&verdict["error_totals"], &verdict["validation_errors"]), (&totals, &json!(600)));
    Ok(())
}
