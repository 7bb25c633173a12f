//! Undoing while others work on the same records: whoever was first is seen, and nobody's work is lost.

use anyhow::{Context, Result};
use once_tests::postgres::Client;
use once_tests::promo::{call, text, texts};
use once_tests::wait::{pid, until_blocked};
use once_tests::{Db, Uuid, Value, postgres, sqlstate};
use std::thread;

use super::{ROWS, figures, people, take};

/// Undoes the job in a session of its own while `other` has done something that it must wait for, then ends as `end` says.
fn undo_beside(
    db: &Db,
    job: Uuid,
    other: &mut Client,
    work: &str,
    end: &str,
) -> Result<Result<Value, postgres::Error>> {
    undo_as(db.client()?, db, job, other, work, end)
}

fn undo_as(
    mut session: Client,
    db: &Db,
    job: Uuid,
    other: &mut Client,
    work: &str,
    end: &str,
) -> Result<Result<Value, postgres::Error>> {
    let mut watcher = db.client()?;
    let process = pid(&mut session)?;
    other.batch_execute(&format!("BEGIN; {work}"))?;
    thread::scope(|scope| {
        let undoing = scope.spawn(move || {
            let row = session.query_one("SELECT once.rollback_import_job($1)", &[&job])?;
            row.try_get::<_, Value>(0)
        });
        let blocked = until_blocked(&mut watcher, process);
        other.batch_execute(end)?;
        blocked?;
        undoing.join().ok().context("the undoing panicked")
    })
}

#[test]
fn an_edit_that_was_first_is_kept() -> Result<()> {
    for (end, figures_then, rows) in
        [("COMMIT", [1, 2, 0], vec!["new|mine|-", "old|mine|-"]), ("ROLLBACK", [3, 0, 0], vec!["old|1|-"])]
    {
        let (db, mut client) = people("first")?;
        client.batch_execute("INSERT INTO t (code, a) VALUES ('old', '1')")?;
        let job = take(
            &mut client,
            r#"[{"code": "old", "a": "2"}, {"code": "new", "a": "2"}, {"code": "newer", "a": "2"}]"#,
        )?;
        let edit = "UPDATE t SET a = 'mine' WHERE code IN ('old', 'new')";
        let answer = undo_beside(&db, job, &mut client, edit, end)??;
        assert_eq!(figures(&answer)?, figures_then, "{end}: {answer}");
        assert_eq!(texts(&mut client, ROWS)?, rows, "{end}");
    }
    Ok(())
}

#[test]
fn a_claim_that_was_first_protects() -> Result<()> {
    let (db, mut client) = people("claimed")?;
    let job = take(&mut client, r#"[{"code": "a"}, {"code": "b"}]"#)?;
    let answer = undo_beside(&db, job, &mut client, "UPDATE t SET taken = true WHERE code = 'a'", "COMMIT")??;
    // Refused, or the claimed one kept.
    assert_eq!(texts(&mut client, ROWS)?.first().map(String::as_str), Some("a|-|-"), "{answer}");
    Ok(())
}

/// Someone is adding a row that refers to a record while it is about to go.
#[test]
fn a_row_that_is_being_hung_on_a_record_stays() -> Result<()> {
    for clause in ["", "ON DELETE CASCADE", "ON DELETE SET NULL"] {
        let (db, mut client) = people("hung")?;
        client.batch_execute(&format!("CREATE TABLE child (t_id bigint REFERENCES t {clause})"))?;
        let job = take(&mut client, r#"[{"code": "used"}, {"code": "free"}]"#)?;
        let work = "INSERT INTO child SELECT id FROM t WHERE code = 'used'";
        let answer = undo_beside(&db, job, &mut client, work, "COMMIT")??;
        assert_eq!(
            text(&mut client, "SELECT count(*)::text FROM child JOIN t ON t.id = t_id")?,
            "1",
            "{clause}: {answer}"
        );
        assert_eq!(figures(&answer)?, [1, 1, 0], "{clause}");
    }
    Ok(())
}

/// As before, undone by a role that may delete the records and not lock them.
#[test]
fn a_row_that_is_being_hung_on_a_record_stays_though_nobody_locks_it() -> Result<()> {
    let (db, mut client) = people("hung_unlocked")?;
    let member = db.create_role("member")?;
    client.batch_execute(&format!(
        "CREATE TABLE child (t_id bigint REFERENCES t ON DELETE CASCADE); GRANT SELECT ON child TO \"{member}\"; SELECT once.grant_import_access('t', '{member}')"
    ))?;
    let mut session = db.client_as(&member)?;
    let job = take(&mut session, r#"[{"code": "used"}, {"code": "free"}]"#)?;
    client.batch_execute(&format!("REVOKE UPDATE ON t FROM \"{member}\""))?;
    let work = "INSERT INTO child SELECT id FROM t WHERE code = 'used'";
    let answer = undo_as(session, &db, job, &mut client, work, "COMMIT")??;
    assert_eq!(figures(&answer)?, [1, 1, 0], "{answer}");
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM child JOIN t ON t.id = t_id")?, "1");
    Ok(())
}

/// The other order: the undoing was first, so the edit finds what it left.
#[test]
fn an_edit_that_comes_later_finds_what_was_left() -> Result<()> {
    let (db, mut client) = people("later")?;
    client.batch_execute("INSERT INTO t (code, a) VALUES ('old', '1')")?;
    let job = take(&mut client, r#"[{"code": "old", "a": "2"}, {"code": "new", "a": "2"}]"#)?;
    let (mut editor, mut watcher) = (db.client()?, db.client()?);
    let process = pid(&mut editor)?;
    let mut undoing = client.transaction()?;
    assert_eq!(figures(&call(&mut undoing, "rollback_import_job($1)", &[&job])?)?, [2, 0, 0]);
    thread::scope(|scope| -> Result<()> {
        let edit = scope.spawn(move || editor.execute("UPDATE t SET a = a || 'mine'", &[]));
        until_blocked(&mut watcher, process)?;
        undoing.commit()?;
        assert_eq!(edit.join().ok().context("the edit panicked")??, 1);
        Ok(())
    })?;
    assert_eq!(texts(&mut client, ROWS)?, ["old|1mine|-"]);
    Ok(())
}

#[test]
fn a_job_is_undone_once_by_two_at_a_time() -> Result<()> {
    let (db, mut client) = people("twice")?;
    client.batch_execute("INSERT INTO t (code, a) VALUES ('old', '1')")?;
    let job = take(&mut client, r#"[{"code": "old", "a": "2"}]"#)?;
    let work = format!("SELECT once.rollback_import_job('{job}'); UPDATE t SET a = '2'");
    let second = undo_beside(&db, job, &mut client, &work, "COMMIT")?;
    assert_eq!(second.as_ref().err().and_then(sqlstate), Some("55000"), "{second:?}");
    // What someone wrote after the first undoing is not taken for the job's.
    assert_eq!(texts(&mut client, ROWS)?, ["old|2|-"]);
    Ok(())
}

/// Under a snapshot that is older than the edit the undoing fails as a whole, or keeps the edit.
#[test]
fn an_old_snapshot_undoes_nothing_that_was_changed() -> Result<()> {
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let (db, mut client) = people("snapshot")?;
        client.batch_execute("INSERT INTO t (code, a) VALUES ('old', '1')")?;
        let job = take(&mut client, r#"[{"code": "old", "a": "2"}, {"code": "new", "a": "2"}]"#)?;
        let mut session = db.client()?;
        session.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}; SELECT 1 FROM t"))?;
        client.batch_execute("UPDATE t SET a = 'mine'")?;
        let answer = session.query_one("SELECT once.rollback_import_job($1)", &[&job]);
        assert_eq!(answer.as_ref().err().and_then(sqlstate), Some("40001"), "{level}: {answer:?}");
        session.batch_execute("ROLLBACK")?;
        assert_eq!(texts(&mut client, ROWS)?, ["new|mine|-", "old|mine|-"], "{level}");
        let answer = session.query_one("SELECT once.rollback_import_job($1)", &[&job])?;
        assert_eq!(figures(&answer.try_get(0)?)?, [0, 2, 0], "{level}");
    }
    Ok(())
}

/// An import of the same records beside the undoing waits for it, and finds what it left.
#[test]
fn an_import_beside_the_undoing_waits() -> Result<()> {
    let (db, mut client) = people("beside")?;
    let job = take(&mut client, r#"[{"code": "a", "a": "1"}]"#)?;
    let work = r#"SELECT once.ingest('t', '[{"code": "a", "a": "2"}, {"code": "b"}]')"#;
    let answer = undo_beside(&db, job, &mut client, work, "COMMIT")??;
    assert_eq!(figures(&answer)?, [0, 1, 0]);
    assert_eq!(texts(&mut client, ROWS)?, ["a|2|-", "b|-|-"]);
    Ok(())
}
