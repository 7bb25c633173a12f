//! What a role writes into the open tables of jobs by hand may not make others do for it what it may not do itself.

use anyhow::Result;
use once_tests::postgres::Client;
use once_tests::promo::{call, refused_well, text, texts};
use once_tests::{Db, Uuid};

use super::{ROWS, SPEC, T, take, undo, with};

/// The target `t`, with a row of its owner's, and a role that may read it and add to it, but neither change nor delete.
fn adder(label: &str) -> Result<(Db, Client, Client, String)> {
    let (db, mut owner) = with(label, T, SPEC)?;
    let role = db.create_role("adder")?;
    owner.batch_execute(&format!(
        "SELECT once.grant_import_access('t', '{role}'); REVOKE UPDATE, DELETE ON t FROM \"{role}\";
         INSERT INTO t (id, code, a) VALUES (7, 'victim', 'mine')"
    ))?;
    let adder = db.client_as(&role)?;
    Ok((db, owner, adder, role))
}

/// A job by hand, as far as the guard lets one come: begun on the registered target, run, and ended with these images and
/// this summary.
fn forge(adder: &mut Client, parts: &str, images: &str) -> Result<Uuid> {
    let now = "SELECT overlay(overlay(gen_random_uuid()::text placing left(h, 8) || '-' || right(h, 4) from 1 for 13) placing '7' from 15 for 1)::uuid
               FROM lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') h";
    let id: Uuid = adder.query_one(now, &[])?.try_get(0)?;
    adder.batch_execute(&format!(
        "INSERT INTO once.import_jobs (id, target, relation_schema, relation_name, spec) SELECT '{id}', name, schema_name, table_name, spec FROM once.targets WHERE name = 't';
         UPDATE once.import_jobs SET status = 'validating' WHERE id = '{id}';
         UPDATE once.import_jobs SET status = 'processing', validation_passed = true, rows_expected = 1 WHERE id = '{id}';
         INSERT INTO once.import_images (job_id, part, number, identity, action, before, after, digest) SELECT '{id}', i.* FROM ({images}) i;
         UPDATE once.import_jobs SET summary = '{{\"parts\": {parts}}}', status = 'completed', rows_written = 1, completed_at = now() WHERE id = '{id}'"
    ))?;
    Ok(id)
}

/// Whether it is refused at the forging or at the undoing: what others own is as it was.
fn try_it(owner: &mut Client, adder: &mut Client, parts: &str, images: &str) {
    if let Ok(job) = forge(adder, parts, images) {
        for sql in ["verify_import_job($1)", "rollback_import_job($1, true)"] {
            let _ = call(owner, sql, &[&job]);
        }
    }
}

const OWN: &str = r#"[{"part": 0, "schema": "public", "table": "t", "identity": ["id"], "columns": ["id", "code", "a", "b", "taken"]}]"#;

#[test]
fn a_forged_job_deletes_nothing_of_others() -> Result<()> {
    for (what, parts, image) in [
        (
            "with the digest of the row",
            OWN.to_string(),
            "SELECT 0::smallint, 1::bigint, ARRAY['7'], 'inserted', NULL::jsonb, NULL::jsonb, hash_record_extended(ROW(id, code, a, b, taken), 0) FROM t WHERE id = 7",
        ),
        (
            "with a digest of nothing",
            OWN.replace(r#""id", "code", "a", "b", "taken""#, ""),
            "SELECT 0::smallint, 1::bigint, ARRAY['7'], 'inserted', NULL::jsonb, NULL::jsonb, hash_record_extended(ROW(), 0)",
        ),
        (
            "by what is no name of a record",
            OWN.replace(r#"["id"]"#, r#"["taken"]"#).replace(r#""id", "code", "a", "b", "taken""#, ""),
            "SELECT 0::smallint, 1::bigint, ARRAY['f'], 'inserted', NULL::jsonb, NULL::jsonb, hash_record_extended(ROW(), 0)",
        ),
    ] {
        let (_db, mut owner, mut adder, _) = adder("forged_delete")?;
        try_it(&mut owner, &mut adder, &parts, image);
        assert_eq!(texts(&mut owner, ROWS)?, ["victim|mine|-"], "{what}");
    }
    Ok(())
}

#[test]
fn a_forged_job_changes_nothing_of_others() -> Result<()> {
    let (_db, mut owner, mut adder, _) = adder("forged_update")?;
    let image = r#"SELECT 0::smallint, 1::bigint, ARRAY['7'], 'updated', '{"a": "theirs"}'::jsonb, '{"a": "mine"}'::jsonb, NULL::bigint"#;
    try_it(&mut owner, &mut adder, OWN, image);
    assert_eq!(texts(&mut owner, ROWS)?, ["victim|mine|-"]);
    Ok(())
}

/// Nor does a summary lead the owner's rights to a table that the target is not about.
#[test]
fn a_forged_summary_leads_to_no_other_table() -> Result<()> {
    let (_db, mut owner, mut adder, role) = adder("forged_table")?;
    owner.batch_execute(
        "CREATE TABLE salaries (id bigint PRIMARY KEY, amount text); INSERT INTO salaries VALUES (7, '100')",
    )?;
    for (action, before, digest) in
        [("inserted", "NULL", "hash_record_extended(ROW(), 0)"), ("updated", r#"'{"amount": "999"}'"#, "NULL")]
    {
        for columns in ["[]", r#"["amount"]"#] {
            let parts = format!(
                r#"[{{"part": 0, "schema": "public", "table": "salaries", "identity": ["id"], "columns": {columns}}}]"#
            );
            let image = format!(
                r#"SELECT 0::smallint, 1::bigint, ARRAY['7'], '{action}', {before}::jsonb, '{{"amount": "100"}}'::jsonb, {digest}::bigint"#
            );
            try_it(&mut owner, &mut adder, &parts, &image);
            assert_eq!(
                text(&mut owner, "SELECT string_agg(concat(id, amount), ',') FROM salaries")?,
                "7100",
                "{action} {columns}"
            );
        }
    }
    // Least of all to one whose triggers would run with them.
    owner.batch_execute(&format!("CREATE SCHEMA theirs AUTHORIZATION \"{role}\""))?;
    adder.batch_execute(
        "CREATE TABLE theirs.log (who text); GRANT INSERT ON theirs.log TO PUBLIC;
         CREATE TABLE theirs.bait (id bigint PRIMARY KEY); INSERT INTO theirs.bait VALUES (7);
         CREATE FUNCTION theirs.run() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO theirs.log VALUES (current_user); RETURN OLD; END';
         CREATE TRIGGER run BEFORE DELETE ON theirs.bait FOR EACH ROW EXECUTE FUNCTION theirs.run();
         CREATE FUNCTION theirs.note() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN INSERT INTO theirs.log VALUES (current_user); RETURN 7; END';
         CREATE VIEW theirs.window AS SELECT theirs.note() AS id",
    )?;
    for (part, table) in [(0, "bait"), (1, "bait"), (100, "bait"), (0, "window"), (1, "window"), (100, "window")] {
        let parts = format!(
            r#"[{{"part": {part}, "schema": "theirs", "table": "{table}", "identity": ["id"], "columns": []}}]"#
        );
        let image = format!(
            "SELECT n::smallint, 1::bigint, ARRAY['7'], 'inserted', NULL::jsonb, NULL::jsonb, hash_record_extended(ROW(), 0) FROM (SELECT 0 UNION SELECT {part}) AS u(n)"
        );
        try_it(&mut owner, &mut adder, &parts, &image);
        let ran = texts(&mut owner, "SELECT DISTINCT who FROM theirs.log")?;
        assert_eq!(ran, [""; 0], "part {part}, {table}: run with the rights of another");
    }
    Ok(())
}

/// A rejected row is replayed with the rights of who replays: so it must be one that the job rejected.
#[test]
fn nobody_slips_rows_into_another_jobs_rejects() -> Result<()> {
    let (_db, mut owner, mut adder, _) = adder("forged_reject")?;
    let job = take(&mut owner, r#"[{"code": "a"}, {"a": "no key"}]"#)?;
    let slip = format!(
        r#"INSERT INTO once.import_rejects (target, line, reason, job_id, original, relation_schema, relation_name) VALUES ('t', 9, 'r', '{job}', '{{"code": "victim", "a": "theirs"}}', 'public', 't')"#
    );
    let _ = adder.execute(&slip, &[]);
    call(&mut owner, "replay_rejects($1)", &[&job])?;
    assert_eq!(texts(&mut owner, ROWS)?, ["a|-|-", "victim|mine|-"]);
    Ok(())
}

/// The tables are not to be written to by who has no right to the target at all.
#[test]
fn strangers_begin_no_jobs_and_leave_no_images() -> Result<()> {
    let (db, mut owner, _, _) = adder("strangers")?;
    let stranger = db.create_role("stranger")?;
    owner.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{stranger}\""))?;
    let mut session = db.client_as(&stranger)?;
    assert!(
        forge(
            &mut session,
            OWN,
            "SELECT 0::smallint, 1::bigint, ARRAY['7'], 'inserted', NULL::jsonb, NULL::jsonb, 1::bigint"
        )
        .is_err()
    );
    for table in ["import_jobs", "import_images", "import_rejects"] {
        assert_eq!(text(&mut owner, &format!("SELECT count(*)::text FROM once.{table}"))?, "0", "{table}");
    }
    Ok(())
}

/// A job names the records that it made where the table has a column for that; whoever may write into that column of others'
/// records could say so of any.
#[test]
fn a_record_that_names_its_job_is_proof_where_nobody_can_write_that() -> Result<()> {
    let ddl = format!("{T}; ALTER TABLE t ADD job uuid");
    let spec = r#"{"match": [["code"]], "on_match": "skip", "job_column": "job"}"#;
    for (granted, code) in [("INSERT", None), ("INSERT, UPDATE", Some("42501")), ("INSERT, DELETE", None)] {
        let (db, mut owner) = with("proof", &ddl, spec)?;
        let role = db.create_role("adder")?;
        owner.batch_execute(&format!(
            "SELECT once.grant_import_access('t', '{role}'); REVOKE INSERT, UPDATE, DELETE ON t FROM \"{role}\"; GRANT {granted} ON t TO \"{role}\";
             INSERT INTO t (id, code) VALUES (7, 'victim')"
        ))?;
        let mut adder = db.client_as(&role)?;
        let job = take(&mut adder, r#"[{"code": "a"}, {"code": "victim"}]"#)?;
        let columns = OWN.replace(r#""taken"]"#, r#""taken", "job"]"#);
        let image = "SELECT 0::smallint, 1::bigint, ARRAY['7'], 'inserted', NULL::jsonb, NULL::jsonb, hash_record_extended(ROW(id, code, a, b, taken, job), 0) FROM t WHERE id = 7";
        let forged = forge(&mut adder, &columns, image)?;
        if granted == "INSERT, UPDATE" {
            adder.execute("UPDATE t SET job = $1 WHERE id = 7", &[&forged])?;
        }
        for id in [job, forged] {
            match code {
                Some(code) => assert_eq!(
                    refused_well(&mut owner, "SELECT once.rollback_import_job($1)", &[&id])?,
                    code,
                    "{granted}"
                ),
                None => drop(call(&mut owner, "rollback_import_job($1)", &[&id])?),
            }
        }
        let left = texts(&mut owner, "SELECT code FROM t ORDER BY code")?;
        assert!(left.contains(&"victim".to_string()), "{granted}: {left:?}");
        assert_eq!(left.contains(&"a".to_string()), code.is_some(), "{granted}: {left:?}");
    }
    Ok(())
}

/// Whom policies keep from rows could have written an image of any.
#[test]
fn a_job_of_a_role_that_policies_bound_is_undone_by_itself() -> Result<()> {
    let ddl = format!(
        "{T}; ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (a IS DISTINCT FROM 'secret')"
    );
    let (db, mut owner) = with("bounded", &ddl, SPEC)?;
    let role = db.create_role("member")?;
    owner.batch_execute(&format!(
        "SELECT once.grant_import_access('t', '{role}'); INSERT INTO t (code, a) VALUES ('old', '1')"
    ))?;
    let mut member = db.client_as(&role)?;
    let job = take(&mut member, r#"[{"code": "old", "a": "2"}, {"code": "new"}]"#)?;
    assert_eq!(refused_well(&mut owner, "SELECT once.rollback_import_job($1)", &[&job])?, "42501");
    assert_eq!(call(&mut owner, "verify_import_job($1)", &[&job])?["verified"], true);
    assert_eq!(undo(&mut member, job)?, [2, 0, 0]);
    assert_eq!(texts(&mut owner, ROWS)?, ["old|1|-"]);
    Ok(())
}
