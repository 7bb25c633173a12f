//! The kit `clinic` in a dump and without the extension: jobs of rows go on being verified, undone and replayed.

use anyhow::Result;
use once_tests::postgres::Client;
use once_tests::promo::{call, imported, refused_well, text, texts};
use once_tests::{Db, Uuid, json};

use super::{connect, dump, restore};

/// What happened before the dump.
struct Past {
    /// Made a visit, a doctor and a patient, and rejected a row.
    visits: Uuid,
    /// Changed a patient, and made one.
    patients: Uuid,
    undone: Uuid,
    pruned: Uuid,
}

const VISITS: &str = r#"[{"phone": "012-345 6789", "doctor": "Dr Lim", "visit_date": "2024-01-02", "consultation_fee": 12.50, "updated_at": "2024-01-02T10:00:00"},
    {"phone": "012-345 6789", "doctor": "Dr Lim", "visit_date": "2024-01-02", "visit_time": "25:00"},
    {"phone": "012-345 6789", "doctor": "Dr Lim", "visit_date": "2024-01-03", "consultation_fee": 12345678901234.50}]"#;
const PATIENTS: &str = r#"[{"phone_no": "+60 12 345 6789", "patient_name": "Tan \\ \"Ah\"\tKow", "tags": ["b", "a"]}, {"phone_no": "016-222 3344"}]"#;

fn live(client: &mut Client) -> Result<Past> {
    client.batch_execute("INSERT INTO patients (phone_no, notes) VALUES ('+60123456789', 'mine')")?;
    let mut take =
        |target: &str, rows: &str| imported(&call(client, "ingest($1, $2::text::jsonb)", &[&target, &rows])?);
    let pruned = take("doctors", r#"[{"doctor_name": "Dr Old"}]"#)?;
    let visits = take("consultations", VISITS)?;
    let patients = take("patients", PATIENTS)?;
    let undone = take("doctors", r#"[{"doctor_name": "Dr Gone"}]"#)?;
    client.execute("DELETE FROM once.import_images WHERE job_id = $1", &[&pruned])?;
    call(client, "rollback_import_job($1)", &[&undone])?;
    Ok(Past { visits, patients, undone, pruned })
}

const CONTENT: &str = "SELECT to_jsonb(p)::text FROM patients p UNION ALL SELECT to_jsonb(d)::text FROM doctors d UNION ALL SELECT to_jsonb(c)::text FROM consultations c
    UNION ALL SELECT to_jsonb(i)::text FROM once.import_images i UNION ALL SELECT to_jsonb(r)::text FROM once.import_rejects r ORDER BY 1";

/// That everything goes on from where it was.
fn goes_on(client: &mut Client, past: &Past) -> Result<()> {
    for (job, verified, status) in [
        (past.visits, true, "completed"),
        (past.patients, true, "completed"),
        (past.undone, false, "rolled_back"),
        (past.pruned, false, "completed"),
    ] {
        let answer = call(client, "verify_import_job($1)", &[&job])?;
        assert_eq!((&answer["verified"], &answer["status"]), (&json!(verified), &json!(status)), "{answer}");
    }
    // The same again is nothing new.
    for (target, rows, unchanged) in [("consultations", VISITS, 1), ("patients", PATIENTS, 2)] {
        let answer = call(client, "ingest($1, $2::text::jsonb)", &[&target, &rows])?;
        assert_eq!(
            (&answer["unchanged"], &answer["inserted"], &answer["updated"]),
            (&json!(unchanged), &json!(0), &json!(0)),
            "{answer}"
        );
    }
    let answer = call(client, "replay_rejects($1)", &[&past.visits])?;
    assert_eq!((&answer["total"], &answer["rejected"]), (&json!(2), &json!(2)), "{answer}");
    assert_eq!(refused_well(client, "SELECT once.rollback_import_job($1)", &[&past.pruned])?, "55000");
    client.batch_execute("UPDATE patients SET tags = '{mine}' WHERE notes = 'mine'")?;
    // The edited tags stay; the name goes back to none, the other patient goes.
    let answer = call(client, "rollback_import_job($1)", &[&past.patients])?;
    assert_eq!(
        (&answer["reversed"], &answer["kept"], &answer["errored"]),
        (&json!(1), &json!(1), &json!(0)),
        "{answer}"
    );
    let answer = call(client, "rollback_import_job($1)", &[&past.visits])?;
    assert_eq!((&answer["reversed"], &answer["kept"]), (&json!(2), &json!(0)), "{answer}");
    let left = "SELECT concat_ws('|', phone_no, patient_name, tags, notes) FROM patients UNION ALL SELECT doctor_name FROM doctors ORDER BY 1";
    assert_eq!(texts(client, left)?, ["+60123456789|{mine}|mine", "Dr Old"]);
    assert_eq!(text(client, "SELECT count(*)::text FROM consultations")?, "0");
    Ok(())
}

#[test]
fn jobs_from_before_a_dump_are_undone_after_it() -> Result<()> {
    let db = Db::on_own_cluster("dumped_clinic", &[])?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('clinic', 'public')", &[])?;
    let past = live(&mut client)?;
    let whole = dump(&db, db.name(), "postgres", &[])?;
    db.cluster().createdb("restored_clinic", None)?;
    restore(&db, "restored_clinic", "postgres", &whole)?;
    assert_eq!(dump(&db, "restored_clinic", "postgres", &[])?, whole);
    let mut restored = connect(&db, "restored_clinic", "postgres")?;
    assert_eq!(texts(&mut restored, CONTENT)?, texts(&mut client, CONTENT)?);
    restored.batch_execute("SET TimeZone = 'America/Lima'; SET extra_float_digits = -10; SET DateStyle = 'German'")?;
    goes_on(&mut restored, &past)?;
    goes_on(&mut client, &past)
}

#[test]
fn jobs_outlive_the_extension() -> Result<()> {
    let db = Db::new("dropped_clinic")?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('clinic', 'public')", &[])?;
    let past = live(&mut client)?;
    let before = texts(&mut client, CONTENT)?;
    client.batch_execute("DROP EXTENSION pg_once")?;
    assert_eq!(texts(&mut client, CONTENT)?, before);
    // What the tables promise, they keep without it.
    let negative = "UPDATE consultations SET consultation_fee = 'NaN' RETURNING 1";
    assert_eq!(
        client.query(negative, &[]).err().and_then(|e| e.code().map(|c| c.code().to_owned())).as_deref(),
        Some("23514")
    );
    client.batch_execute("CREATE EXTENSION pg_once SCHEMA once; SELECT once.install_kit('clinic', 'public')")?;
    assert_eq!(texts(&mut client, CONTENT)?, before);
    goes_on(&mut client, &past)
}
