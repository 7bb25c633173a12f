//! Tables and planners that lay traps: what would be slow for ever, or look well and be wrong.

use anyhow::Result;
use once_tests::json;
use once_tests::promo::{self, A, B, call, codes, imported, job_of, mark, refused_well, stage, text};

/// A planner that has seen only another merchant's rows takes this one's for a single row, and would nest a loop
/// over 20,000 × 20,000 of them: minutes, where the limit here is generous for the seconds it takes.
#[test]
fn a_merchant_that_statistics_do_not_know_is_marked_all_the_same() -> Result<()> {
    let (_db, mut client) = promo::install("planner")?;
    let many: Vec<String> = (0..20_000).map(|n| format!("code {n}")).collect();
    stage(&mut client, A, &many)?;
    client.batch_execute("ANALYZE codes_check_temp; ANALYZE codes")?;
    stage(&mut client, B, &many)?;
    stage(&mut client, B, &many)?;
    client.batch_execute("SET statement_timeout = '30s'")?;
    for _ in 0..2 {
        assert_eq!(mark(&mut client, B)?["internal_duplicates"], json!(20_000));
    }
    assert_eq!(text(&mut client, &format!("SELECT count(*)::text FROM once.get_duplicate_report('{B}')"))?, "40000");
    assert_eq!(promo::insert(&mut client, B)?["codes_inserted"], json!(20_000));
    // And the planner is given back as it was.
    let settings = "SELECT concat_ws(' ', current_setting('enable_nestloop'), current_setting('enable_hashjoin'), \
                    current_setting('enable_mergejoin'))";
    assert_eq!(text(&mut client, settings)?, "on on on");
    Ok(())
}

/// Few staged rows beside a large table are looked up by its index, and come out the same.
#[test]
fn a_few_rows_beside_many_are_marked_by_probing() -> Result<()> {
    let (_db, mut client) = promo::install("probing")?;
    let many: Vec<String> = (0..20_000).map(|n| format!("code {n}")).collect();
    promo::produce(&mut client, A, &many)?;
    stage(&mut client, A, &["new", "code 7", "new", "code 7"])?;
    let figures = mark(&mut client, A)?;
    let expected = json!({"success": true, "total_rows": 4, "internal_duplicates": 2, "database_duplicates": 2,
                          "clean_count": 1, "chunks_processed": 1});
    assert_eq!(figures, expected);
    promo::produce(&mut client, A, &["new"])?;
    let verdict = call(&mut client, "validate_clean_codes_for_insert($1)", &[&A])?;
    assert_eq!((&verdict["new_db_duplicates_found"], &verdict["total_clean_codes"]), (&json!(1), &json!(0)));
    Ok(())
}

/// A rollback that finds a job's rows gone must not call it done while they stand in another scope.
#[test]
fn rows_moved_to_another_merchant_are_not_given_up() -> Result<()> {
    let (_db, mut client) = promo::install("moved")?;
    stage(&mut client, A, &["a", "b"])?;
    let job = imported(&promo::import(&mut client, A)?)?;
    client.execute("UPDATE codes SET merchant_id = $1 WHERE code = 'a'", &[&B])?;
    assert_eq!(refused_well(&mut client, "SELECT once.rollback_import_job($1)", &[&job])?, "55000");
    assert_eq!((codes(&mut client, A)?, codes(&mut client, B)?), (vec!["b".into()], vec!["a".into()]));

    // Rows that someone deleted are gone, and the rest is undone.
    client.execute("DELETE FROM codes WHERE code = 'a'", &[])?;
    let answer = call(&mut client, "rollback_import_job($1)", &[&job])?;
    assert_eq!((&answer["success"], &answer["codes_deleted"]), (&json!(true), &json!(1)));
    Ok(())
}

#[test]
fn a_trigger_that_takes_the_job_off_fails_the_job() -> Result<()> {
    let (_db, mut client) = promo::install("unmarked")?;
    client.batch_execute(
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.import_job_id := NULL; RETURN NEW; END $$;
         CREATE TRIGGER forget BEFORE INSERT ON codes FOR EACH ROW EXECUTE FUNCTION forget()",
    )?;
    stage(&mut client, A, &["a"])?;
    let answer = promo::import(&mut client, A)?;
    assert_eq!(answer["success"], json!(false));
    assert!(answer["message"].as_str().is_some_and(|message| message.contains("import_job_id")), "{answer}");
    assert!(codes(&mut client, A)?.is_empty());
    Ok(())
}

/// What a deferred constraint refuses is the job's failure, not the commit's.
#[test]
fn a_deferred_constraint_fails_the_job() -> Result<()> {
    let (_db, mut client) = promo::install("deferred")?;
    client.batch_execute(
        "CREATE TABLE skus (sku text PRIMARY KEY);
         ALTER TABLE codes ADD CONSTRAINT known_sku FOREIGN KEY (sku) REFERENCES skus DEFERRABLE INITIALLY DEFERRED",
    )?;
    let merchant = A.to_string();
    let row = vec![Some(merchant.as_str()), Some("a"), Some("no such sku")];
    promo::copy(&mut client, "codes_check_temp (merchant_id, code, sku)", &[row])?;
    let answer = promo::import(&mut client, A)?;
    assert_eq!((&answer["success"], &answer["sqlstate"]), (&json!(false), &json!("23503")));
    let status = format!("SELECT status FROM codes_import_jobs WHERE id = '{}'", job_of(&answer)?);
    assert_eq!(text(&mut client, &status)?, "failed");
    // Its mode is as it was: what violates it may still be put right before the commit.
    let mut transaction = client.transaction()?;
    transaction.execute("INSERT INTO codes (merchant_id, code, sku) VALUES ($1, 'b', 'soon')", &[&A])?;
    transaction.execute("INSERT INTO skus VALUES ('soon')", &[])?;
    transaction.commit()?;
    Ok(())
}

/// The jobs do not follow the extension to another schema; it says where they are instead of beginning anew.
#[test]
fn the_extension_does_not_leave_its_jobs_behind() -> Result<()> {
    let (_db, mut client) = promo::install("elsewhere")?;
    stage(&mut client, A, &["a"])?;
    let job = imported(&promo::import(&mut client, A)?)?;
    client.batch_execute("DROP EXTENSION pg_once; CREATE SCHEMA zamm; CREATE EXTENSION pg_once SCHEMA zamm")?;
    let install = "SELECT zamm.install_kit('promo_codes', 'public')";
    assert_eq!(refused_well(&mut client, install, &[])?, "55000");
    client.batch_execute("DROP EXTENSION pg_once; CREATE EXTENSION pg_once SCHEMA once")?;
    assert_eq!(call(&mut client, "verify_import_job($1)", &[&job])?["verified"], json!(true));
    Ok(())
}

/// What an assignment would round or cut is named instead.
#[test]
fn values_that_the_column_would_change_are_refused() -> Result<()> {
    let (_db, mut client) = promo::install("rounded")?;
    client.batch_execute(
        "ALTER TABLE codes ALTER COLUMN price TYPE numeric(10, 2), ALTER COLUMN points TYPE numeric(5, 0),
                           ALTER COLUMN sku TYPE varchar(4)",
    )?;
    let merchant = A.to_string();
    let rows: Vec<Vec<Option<&str>>> = [
        ("fits", "1.23", "250", "abcd"),
        ("price", "1.239", "2", "abcd"),
        ("points", "1.20", "2.5", "abcd"),
        ("sku", "1", "2", "abcd "),
    ]
    .iter()
    .map(|(code, price, points, sku)| {
        vec![Some(merchant.as_str()), Some(*code), Some(*price), Some(*points), Some(*sku)]
    })
    .collect();
    promo::copy(&mut client, "codes_check_temp (merchant_id, code, price, points, sku)", &rows)?;
    mark(&mut client, A)?;
    let verdict = call(&mut client, "validate_clean_codes_for_insert($1)", &[&A])?;
    let named: Vec<&str> = verdict["errors"]
        .as_array()
        .map(|errors| errors.iter().filter_map(|error| error["column"].as_str()).collect())
        .unwrap_or_default();
    assert_eq!(named, ["price", "points", "sku"], "{verdict}");
    Ok(())
}

/// Rows that can't be deleted keep their job open, whatever the caller is content with.
#[test]
fn a_rollback_that_a_trigger_stops_is_not_called_done() -> Result<()> {
    let (_db, mut client) = promo::install("kept")?;
    stage(&mut client, A, &["a", "b"])?;
    let job = imported(&promo::import(&mut client, A)?)?;
    client.batch_execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER keep BEFORE DELETE ON codes FOR EACH ROW WHEN (OLD.code = 'a') EXECUTE FUNCTION keep()",
    )?;
    for keep in [false, true] {
        let answer = call(&mut client, "rollback_import_job($1, $2)", &[&job, &keep])?;
        assert_eq!((&answer["success"], &answer["codes_deleted"]), (&json!(false), &json!(0)), "{answer}");
    }
    assert_eq!(codes(&mut client, A)?, ["a", "b"]);
    client.batch_execute("DROP TRIGGER keep ON codes")?;
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&job])?["codes_deleted"], json!(2));
    Ok(())
}

/// A reference that is checked at commit refuses the rollback as one that is checked at once.
#[test]
fn a_deferred_reference_refuses_the_rollback() -> Result<()> {
    let (_db, mut client) = promo::install("referenced")?;
    stage(&mut client, A, &["a"])?;
    let job = imported(&promo::import(&mut client, A)?)?;
    client.batch_execute(
        "CREATE TABLE redeemed (code_id bigint CONSTRAINT twin REFERENCES codes DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE other (code_id bigint CONSTRAINT twin REFERENCES codes);
         INSERT INTO redeemed SELECT id FROM codes",
    )?;
    let answer = call(&mut client, "rollback_import_job($1)", &[&job])?;
    assert_eq!((&answer["success"], &answer["sqlstate"]), (&json!(false), &json!("23503")), "{answer}");
    assert_eq!(codes(&mut client, A)?, ["a"]);
    Ok(())
}

/// What a job needs to be verified and undone is its rows, not all that it took to write them.
#[test]
fn an_old_job_needs_neither_the_key_s_index_nor_the_copied_columns() -> Result<()> {
    let (_db, mut client) = promo::install("later")?;
    stage(&mut client, A, &["a"])?;
    let job = imported(&promo::import(&mut client, A)?)?;
    client.batch_execute(
        "ALTER TABLE codes DROP COLUMN sku_name, DROP CONSTRAINT codes_code_merchant_id_unique; DROP TABLE codes_check_temp",
    )?;
    assert_eq!(call(&mut client, "verify_import_job($1)", &[&job])?["verified"], json!(true));
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&job])?["codes_deleted"], json!(1));
    Ok(())
}
