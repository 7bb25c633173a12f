//! Rolling back and verifying, and the states that a job may go through.

use anyhow::Result;
use once_tests::promo::{
    self, A, B, call, codes, imported, job_of, produce, refused, refused_well, stage, text, texts,
};
use once_tests::{Uuid, Value, json};

const ROLLBACK: &str = "SELECT once.rollback_import_job($1)";

fn verified(client: &mut once_tests::postgres::Client, job: Uuid) -> Result<[Value; 4]> {
    let verdict = call(client, "verify_import_job($1)", &[&job])?;
    Ok(["expected_count", "actual_count", "verified", "message"].map(|field| verdict[field].clone()))
}

#[test]
fn only_a_completed_job_is_rolled_back_and_only_its_rows_go() -> Result<()> {
    let (_db, mut client) = promo::install("undo")?;
    produce(&mut client, A, &["own"])?;
    stage(&mut client, A, &["a", "b"])?;
    stage(&mut client, B, &["a", "b"])?;
    let jobs = [imported(&promo::import(&mut client, A)?)?, imported(&promo::import(&mut client, B)?)?];
    stage(&mut client, A, &["c"])?;
    let later = imported(&promo::import(&mut client, A)?)?;
    let failed = job_of(&promo::insert(&mut client, A)?)?;

    let answer = call(&mut client, "rollback_import_job($1)", &[&jobs[0]])?;
    assert_eq!((&answer["codes_deleted"], &answer["original_insert_count"]), (&json!(2), &json!(2)));
    assert_eq!(codes(&mut client, A)?, ["c", "own"]);
    assert_eq!(codes(&mut client, B)?, ["a", "b"]);
    for job in [jobs[0], failed] {
        assert_eq!(refused_well(&mut client, ROLLBACK, &[&job])?, "55000");
    }
    let states =
        "SELECT concat_ws(' ', id, status, rolled_back_at IS NOT NULL) FROM codes_import_jobs ORDER BY created_at";
    let expected = [(jobs[0], "rolled_back t"), (jobs[1], "completed f"), (later, "completed f"), (failed, "failed f")];
    assert_eq!(texts(&mut client, states)?, expected.map(|(job, state)| format!("{job} {state}")));
    Ok(())
}

#[test]
fn claimed_codes_refuse_the_rollback_or_stay() -> Result<()> {
    let (_db, mut client) = promo::install("claimed")?;
    stage(&mut client, A, &["a", "b", "c", "d", "e"])?;
    let job = imported(&promo::import(&mut client, A)?)?;
    client.execute("UPDATE codes SET claimed = true WHERE code IN ('b', 'd')", &[])?;

    let answer = call(&mut client, "rollback_import_job($1)", &[&job])?;
    assert_eq!((&answer["success"], &answer["codes_deleted"]), (&json!(false), &json!(0)));
    assert!(answer["message"].as_str().is_some_and(|message| message.contains('2')), "{answer}");
    assert_eq!(codes(&mut client, A)?.len(), 5);
    assert_eq!(text(&mut client, "SELECT status FROM codes_import_jobs")?, "completed");

    let answer = call(&mut client, "rollback_import_job($1, p_keep_protected => true)", &[&job])?;
    let found = ["success", "codes_deleted", "codes_kept", "original_insert_count"].map(|field| answer[field].clone());
    assert_eq!(found, [json!(true), json!(3), json!(2), json!(5)]);
    assert_eq!(codes(&mut client, A)?, ["b", "d"]);
    assert_eq!(text(&mut client, "SELECT concat(status, rows_kept) FROM once.import_jobs")?, "rolled_back2");
    Ok(())
}

#[test]
fn verifying_says_what_differs() -> Result<()> {
    let (_db, mut client) = promo::install("verify")?;
    stage(&mut client, A, &["a", "b", "c"])?;
    let job = imported(&promo::import(&mut client, A)?)?;
    let [expected, actual, fine, _] = verified(&mut client, job)?;
    assert_eq!([expected, actual, fine], [json!(3), json!(3), json!(true)]);

    client.execute("DELETE FROM codes WHERE code = 'b'", &[])?;
    let [expected, actual, fine, message] = verified(&mut client, job)?;
    assert_eq!([expected, actual, fine], [json!(3), json!(2), json!(false)]);
    assert!(message.as_str().is_some_and(|m| m.contains("missing")), "{message}");

    client.execute(
        "INSERT INTO codes (merchant_id, code, import_job_id) VALUES ($1, 'x', $2), ($1, 'y', $2)",
        &[&A, &job],
    )?;
    let [_, actual, fine, message] = verified(&mut client, job)?;
    assert_eq!([actual, fine], [json!(4), json!(false)]);
    assert!(message.as_str().is_some_and(|m| m.contains("did not write")), "{message}");
    // Rows that the job did not write are not for a rollback to delete.
    assert_eq!(refused_well(&mut client, ROLLBACK, &[&job])?, "55000");
    assert_eq!(codes(&mut client, A)?, ["a", "c", "x", "y"]);

    client.execute("UPDATE codes SET import_job_id = NULL WHERE code IN ('x', 'y')", &[])?;
    call(&mut client, "rollback_import_job($1)", &[&job])?;
    let [_, actual, fine, message] = verified(&mut client, job)?;
    assert_eq!([actual, fine], [json!(0), json!(false)]);
    assert!(message.as_str().is_some_and(|m| m.contains("rolled back")), "{message}");
    Ok(())
}

/// Every pair of states against the machine of the spec, tried by the owner himself.
#[test]
fn jobs_move_only_as_the_machine_allows() -> Result<()> {
    let (_db, mut client) = promo::install("machine")?;
    let states = ["pending", "validating", "processing", "completed", "failed", "rolled_back"];
    let allowed = |from, to| {
        let on = [
            ("pending", "validating"),
            ("validating", "processing"),
            ("processing", "completed"),
            ("completed", "rolled_back"),
        ];
        from == to || on.contains(&(from, to)) || (to == "failed" && states[..3].contains(&from))
    };
    for (i, from) in (0..).zip(states) {
        for (j, to) in (0..).zip(states) {
            let id = Uuid::from_u128(10 * i + j);
            client.execute(
                "INSERT INTO once.import_jobs (id, target, scope, status, relation_schema, relation_name, spec)
                 VALUES ($1, 'codes', $2, $3, 'public', 'codes', '{}')",
                &[&id, &A.to_string(), &from],
            )?;
            let changed = client.execute("UPDATE once.import_jobs SET status = $2 WHERE id = $1", &[&id, &to]);
            assert_eq!(changed.is_ok(), allowed(from, to), "{from} → {to}: {changed:?}");
            if let Err(error) = changed {
                assert_eq!(once_tests::sqlstate(&error), Some("55000"));
            }
        }
    }
    for sql in [
        "DELETE FROM once.import_jobs",
        "TRUNCATE once.import_jobs",
        "UPDATE once.import_jobs SET id = gen_random_uuid()",
        "UPDATE once.import_jobs SET rows_written = 7 WHERE status = 'completed'",
        "UPDATE once.import_jobs SET source_info = '1'",
        "UPDATE once.import_jobs SET created_by = 'another'",
    ] {
        assert_eq!(refused(&mut client, sql, &[])?.code().code(), "55000", "{sql}");
    }
    let unknown = "INSERT INTO once.import_jobs (id, target, status, relation_schema, relation_name, spec)
                   VALUES (gen_random_uuid(), 'codes', 'undone', 'public', 'codes', '{}')";
    assert_eq!(refused(&mut client, unknown, &[])?.code().code(), "23514");
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM once.import_jobs")?, "36");
    Ok(())
}
