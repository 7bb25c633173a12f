//! Who may undo, with whose rights, and who sees what is kept for it.

use anyhow::Result;
use once_tests::promo::{call, refused, refused_well, text, texts};
use once_tests::{Db, Uuid, json};

use super::{ROWS, figures, people, take, undo, with};

/// The target `t` and a role that may import into it.
fn shared(label: &str, tables: &str, spec: &str) -> Result<(Db, once_tests::postgres::Client, String)> {
    let (db, mut client) = with(label, tables, spec)?;
    let member = db.create_role("member")?;
    client.batch_execute(&format!("SELECT once.grant_import_access('t', '{member}')"))?;
    Ok((db, client, member))
}

#[test]
fn an_importer_undoes_his_own_jobs_and_the_owner_all() -> Result<()> {
    let (db, mut owner, member) = shared("importers", super::T, super::SPEC)?;
    let other = db.create_role("other")?;
    owner.batch_execute(&format!(
        "SELECT once.grant_import_access('t', '{other}'); INSERT INTO t (code, a) VALUES ('old', '1')"
    ))?;
    let (mut mine, mut theirs) = (db.client_as(&member)?, db.client_as(&other)?);
    let rows = r#"[{"code": "old", "a": "2"}, {"code": "new"}]"#;
    let job = take(&mut mine, rows)?;
    for sql in
        ["SELECT once.rollback_import_job($1)", "SELECT once.verify_import_job($1)", "SELECT once.replay_rejects($1)"]
    {
        assert_eq!(refused_well(&mut theirs, sql, &[&job])?, "P0002", "{sql}");
    }
    assert_eq!(undo(&mut mine, job)?, [2, 0, 0]);
    let job = take(&mut mine, rows)?;
    assert_eq!(undo(&mut owner, job)?, [2, 0, 0]);
    assert_eq!(texts(&mut owner, ROWS)?, ["old|1|-"]);
    Ok(())
}

/// The rights that are wanted are those for what there is to do, and nothing is half undone without them.
#[test]
fn an_undoing_without_the_rights_changes_nothing() -> Result<()> {
    let (db, mut owner, member) = shared("lacking", super::T, super::SPEC)?;
    owner.batch_execute("INSERT INTO t (code, a) VALUES ('old', '1')")?;
    let mut mine = db.client_as(&member)?;
    let both = take(&mut mine, r#"[{"code": "old", "a": "2"}, {"code": "new"}]"#)?;
    let before = texts(&mut owner, ROWS)?;
    for privilege in ["DELETE", "UPDATE", "SELECT"] {
        owner.batch_execute(&format!("REVOKE {privilege} ON t FROM \"{member}\""))?;
        assert_eq!(refused_well(&mut mine, "SELECT once.rollback_import_job($1)", &[&both])?, "42501", "{privilege}");
        owner.batch_execute(&format!("GRANT {privilege} ON t TO \"{member}\""))?;
    }
    assert_eq!(texts(&mut owner, ROWS)?, before);
    assert_eq!(text(&mut owner, "SELECT string_agg(DISTINCT status, ',') FROM once.import_jobs")?, "completed");
    // What was only changed is given back by who may change it.
    let changed = take(&mut mine, r#"[{"code": "old", "a": "3"}]"#)?;
    let made = take(&mut mine, r#"[{"code": "newer"}]"#)?;
    owner.batch_execute(&format!("REVOKE DELETE ON t FROM \"{member}\""))?;
    assert_eq!(undo(&mut mine, changed)?, [1, 0, 0]);
    owner.batch_execute(&format!("GRANT DELETE ON t TO \"{member}\"; REVOKE UPDATE ON t FROM \"{member}\""))?;
    assert_eq!(undo(&mut mine, made)?, [1, 0, 0]);
    Ok(())
}

/// A row that a policy hides is not gone: saying so would be an untruth.
#[test]
fn rows_that_policies_hide_are_not_taken_for_undone() -> Result<()> {
    let ddl = format!("{}; ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (NOT taken)", super::T);
    let (db, mut owner, member) = shared("hidden", &ddl, r#"{"match": [["code"]]}"#)?;
    owner.batch_execute("INSERT INTO t (code, a) VALUES ('old', '1'), ('older', '1')")?;
    let mut mine = db.client_as(&member)?;
    let rows = r#"[{"code": "old", "a": "2"}, {"code": "older", "a": "2"}, {"code": "new"}, {"code": "newer"}]"#;
    let job = take(&mut mine, rows)?;
    owner.batch_execute("UPDATE t SET taken = true WHERE code IN ('old', 'new')")?;
    let before = texts(&mut owner, ROWS)?;
    assert_eq!(refused_well(&mut mine, "SELECT once.rollback_import_job($1)", &[&job])?, "42501");
    assert_eq!(texts(&mut owner, ROWS)?, before);
    // Where nothing is hidden, policies are no hindrance.
    owner.batch_execute("UPDATE t SET taken = false")?;
    assert_eq!(undo(&mut mine, job)?, [4, 0, 0]);
    assert_eq!(texts(&mut owner, ROWS)?, ["old|1|-", "older|1|-"]);
    Ok(())
}

/// Foreign keys cascade with the rights of the tables' owner: so what the caller can't see of them goes all the same.
#[test]
fn what_hangs_on_a_record_stays_though_the_caller_can_not_see_it() -> Result<()> {
    for (hidden, ddl) in [
        ("by rights", "CREATE TABLE child (t_id bigint REFERENCES t ON DELETE CASCADE)"),
        (
            "by a policy",
            "CREATE TABLE child (t_id bigint REFERENCES t ON DELETE CASCADE); ALTER TABLE child ENABLE ROW LEVEL SECURITY; GRANT SELECT ON child TO PUBLIC",
        ),
        (
            "in another schema",
            "CREATE SCHEMA private; CREATE TABLE private.child (t_id bigint REFERENCES t ON DELETE SET NULL); CREATE VIEW child AS SELECT * FROM private.child",
        ),
    ] {
        let (db, mut owner, member) = shared("unseen", super::T, super::SPEC)?;
        owner.batch_execute(ddl)?;
        let mut mine = db.client_as(&member)?;
        let job = take(&mut mine, r#"[{"code": "used"}, {"code": "free"}]"#)?;
        owner.batch_execute("INSERT INTO child SELECT id FROM t WHERE code = 'used'")?;
        match mine.query_one("SELECT once.rollback_import_job($1)", &[&job]) {
            Ok(row) => assert_eq!(figures(&row.try_get(0)?)?[1..], [1, 0], "{hidden}"),
            Err(_) => assert_eq!(
                refused_well(&mut mine, "SELECT once.rollback_import_job($1)", &[&job])?,
                "42501",
                "{hidden}"
            ),
        }
        let left = "SELECT count(*)::text FROM child JOIN t ON t.id = t_id";
        assert_eq!(text(&mut owner, left)?, "1", "{hidden}");
        // The owner sees it, and keeps it.
        if text(&mut owner, "SELECT status FROM once.import_jobs")? == "completed" {
            assert_eq!(undo(&mut owner, job)?, [1, 1, 0], "{hidden}");
            assert_eq!(text(&mut owner, left)?, "1", "{hidden}");
        }
    }
    Ok(())
}

/// Verifying wants no right to write, and to undo a job in a table of links or references wants those on it.
#[test]
fn verifying_wants_only_to_read() -> Result<()> {
    let (db, mut owner, member) = shared("reading", super::T, super::SPEC)?;
    let mut mine = db.client_as(&member)?;
    let job = take(&mut mine, r#"[{"code": "new"}]"#)?;
    owner.batch_execute(&format!("REVOKE INSERT, UPDATE, DELETE ON t FROM \"{member}\""))?;
    assert_eq!(call(&mut mine, "verify_import_job($1)", &[&job])?["verified"], true);
    owner.batch_execute(&format!("REVOKE SELECT ON t FROM \"{member}\""))?;
    assert_eq!(refused_well(&mut mine, "SELECT once.verify_import_job($1)", &[&job])?, "42501");
    Ok(())
}

/// Images hold what was in users' rows: they are the job's, and nobody else's.
#[test]
fn images_are_shown_to_who_began_the_job_and_to_the_owner() -> Result<()> {
    let (db, mut owner, member) = shared("seen", super::T, super::SPEC)?;
    let other = db.create_role("other")?;
    owner.batch_execute(&format!(
        "SELECT once.grant_import_access('t', '{other}'); INSERT INTO t (code, a) VALUES ('old', 'secret')"
    ))?;
    let (mut mine, mut theirs) = (db.client_as(&member)?, db.client_as(&other)?);
    let job = take(&mut mine, r#"[{"code": "old", "a": "2"}]"#)?;
    let seen = "SELECT before::text FROM once.import_images";
    assert_eq!(texts(&mut mine, seen)?, [r#"{"a": "secret"}"#]);
    assert_eq!(texts(&mut owner, seen)?, [r#"{"a": "secret"}"#]);
    assert_eq!(texts(&mut theirs, seen)?, [""; 0]);
    // And nobody writes them but the job while it runs.
    for session in [&mut mine, &mut theirs] {
        for sql in [
            format!(
                "INSERT INTO once.import_images (job_id, part, number, identity, action, digest) VALUES ('{job}', 0, 9, '{{1}}', 'inserted', 1) RETURNING 1"
            ),
            "DELETE FROM once.import_images RETURNING 1".into(),
            "TRUNCATE once.import_images".into(),
            "UPDATE once.import_images SET identity = '{2}' RETURNING 1".into(),
        ] {
            assert_eq!(refused(session, &sql, &[])?.code().code(), "42501", "{sql}");
        }
        let changed = session.execute("UPDATE once.import_images SET before = '{\"a\": \"x\"}'", &[])?;
        assert_eq!(changed, 0);
    }
    Ok(())
}

/// A tenant sees and undoes what is his, and the rows of another with the same key are no concern of his.
#[test]
fn tenants_undo_their_own() -> Result<()> {
    let db = Db::new("tenants")?;
    let mut owner = db.client()?;
    let (one, two) = (db.create_role("one")?, db.create_role("two")?);
    owner.batch_execute(&format!(
        r#"CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, org text NOT NULL, code text, a text, UNIQUE (org, code));
           ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (org = current_user);
           SELECT once.create_target('t', 't', '{{"match": [["code"]], "scope": "org"}}');
           SELECT once.grant_import_access('t', '{one}'); SELECT once.grant_import_access('t', '{two}')"#
    ))?;
    let mut jobs: Vec<Uuid> = Vec::new();
    for role in [&one, &two] {
        let mut client = db.client_as(role)?;
        let rows = json!([{"org": role, "code": "a", "a": "1"}, {"org": role, "code": "b"}]).to_string();
        jobs.push(take(&mut client, &rows)?);
        let other = if role == &one { &two } else { &one };
        let theirs = json!([{"org": other, "code": "z"}]).to_string();
        let error = refused(&mut client, "SELECT once.ingest('t', $1::text::jsonb)", &[&theirs])?;
        assert_eq!(error.code().code(), "42501", "{error:?}");
    }
    assert_eq!(undo(&mut db.client_as(&one)?, jobs[0])?, [2, 0, 0]);
    assert_eq!(
        texts(&mut owner, "SELECT concat(org = (SELECT org FROM t LIMIT 1), code) FROM t ORDER BY code")?,
        ["ta", "tb"]
    );
    assert_eq!(text(&mut owner, "SELECT DISTINCT org FROM t")?, two);
    Ok(())
}

/// The least that undoing for a role of no rights at all says.
#[test]
fn a_stranger_learns_nothing() -> Result<()> {
    let (db, mut owner) = people("stranger")?;
    let job = take(&mut owner, r#"[{"code": "a"}]"#)?;
    let stranger = db.create_role("stranger")?;
    owner.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{stranger}\""))?;
    let mut session = db.client_as(&stranger)?;
    for table in ["import_jobs", "import_images", "import_rejects"] {
        assert_eq!(text(&mut session, &format!("SELECT count(*)::text FROM once.{table}"))?, "0", "{table}");
    }
    assert_eq!(refused_well(&mut session, "SELECT once.rollback_import_job($1)", &[&job])?, "P0002");
    Ok(())
}
