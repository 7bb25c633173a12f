//! Tables that were altered between a job and its undoing.

use anyhow::Result;
use once_tests::promo::{call, refused_well, text, texts};

use super::{ROWS, figures, people, take, undo, with};

/// What was done to the table; what is left of a record that the job changed (a: 1 to 2, b: 1 to 2) and of one that it made.
#[test]
fn columns_come_and_go() -> Result<()> {
    let rows = "SELECT concat_ws('|', code, to_jsonb(t) - 'id' - 'code' - 'taken') FROM t ORDER BY code";
    let mut wrong = Vec::new();
    for (ddl, counts, expected) in [
        ("ALTER TABLE t ADD c text", [2, 0, 0], vec![r#"old|{"a": "1", "b": "1", "c": null}"#]),
        ("ALTER TABLE t ADD c text DEFAULT 'x'", [2, 0, 0], vec![r#"old|{"a": "1", "b": "1", "c": "x"}"#]),
        ("ALTER TABLE t ADD c int NOT NULL DEFAULT 7", [2, 0, 0], vec![r#"old|{"a": "1", "b": "1", "c": 7}"#]),
        // What a person filled in since is not for the job to delete.
        (
            "ALTER TABLE t ADD c text; UPDATE t SET c = 'mine'",
            [1, 1, 0],
            vec![r#"new|{"a": "2", "b": "2", "c": "mine"}"#, r#"old|{"a": "1", "b": "1", "c": "mine"}"#],
        ),
        // Of a column that is gone or has another name, nobody can say whether anyone changed it.
        ("ALTER TABLE t DROP b", [0, 2, 0], vec![r#"new|{"a": "2"}"#, r#"old|{"a": "1"}"#]),
        ("ALTER TABLE t RENAME b TO c", [0, 2, 0], vec![r#"new|{"a": "2", "c": "2"}"#, r#"old|{"a": "1", "c": "2"}"#]),
        ("ALTER TABLE t DROP a, DROP b", [0, 2, 0], vec!["new|{}", "old|{}"]),
        ("ALTER TABLE t ALTER b TYPE varchar(10)", [2, 0, 0], vec![r#"old|{"a": "1", "b": "1"}"#]),
        (
            "ALTER TABLE t ALTER b TYPE int USING b::int",
            [1, 1, 0],
            vec![r#"new|{"a": "2", "b": 2}"#, r#"old|{"a": "1", "b": 1}"#],
        ),
        // The old values are none of the type's, or not allowed any more.
        ("ALTER TABLE t ADD CHECK (a <> '1')", [1, 0, 1], vec![r#"old|{"a": "2", "b": "2"}"#]),
        (
            "CREATE DOMAIN two AS text CHECK (VALUE = '2'); ALTER TABLE t ALTER a TYPE two",
            [1, 0, 1],
            vec![r#"old|{"a": "2", "b": "2"}"#],
        ),
        // Another way to name the records: the images have the old one.
        (
            "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (code)",
            [2, 0, 0],
            vec![r#"old|{"a": "1", "b": "1"}"#],
        ),
    ] {
        let (_db, mut client) = people("columns")?;
        client.batch_execute("INSERT INTO t (code, a, b) VALUES ('old', '1', '1')")?;
        let job = take(&mut client, r#"[{"code": "old", "a": "2", "b": "2"}, {"code": "new", "a": "2", "b": "2"}]"#)?;
        client.batch_execute(ddl)?;
        match undo(&mut client, job) {
            Ok(found) if found == counts => {}
            Ok(found) => wrong.push(format!("{ddl}: {found:?} instead of {counts:?}")),
            Err(error) => wrong.push(format!("{ddl}: {error:#}")),
        }
        let found = texts(&mut client, rows)?;
        if found != expected {
            wrong.push(format!("{ddl}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// What named the records is gone: others that share the rest of the name are not theirs.
#[test]
fn records_whose_name_is_gone_are_not_mixed_up() -> Result<()> {
    for ddl in ["ALTER TABLE t RENAME day TO on_day", "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t DROP day"] {
        let (_db, mut client) = with(
            "named",
            "CREATE TABLE t (name text, day date, a text, PRIMARY KEY (name, day)); INSERT INTO t VALUES ('x', '2024-01-01', 'was'), ('x', '2024-01-02', 'job'), ('x', '2024-01-03', 'job')",
            r#"{"match": [["name", "day"]]}"#,
        )?;
        let job = take(&mut client, r#"[{"name": "x", "day": "2024-01-01", "a": "job"}]"#)?;
        client.batch_execute(ddl)?;
        // Refused, or nothing done: the two that others wrote are as they were.
        let _ = call(&mut client, "rollback_import_job($1)", &[&job]);
        let found = texts(&mut client, "SELECT a FROM t ORDER BY a DESC")?;
        assert_eq!(found.iter().filter(|a| *a == "job").count(), 3, "{ddl}: {found:?}");
        assert_eq!(refused_well(&mut client, "SELECT once.rollback_import_job($1)", &[&job])?, "42703", "{ddl}");
    }
    Ok(())
}

#[test]
fn a_table_that_is_gone_or_renamed_is_said_to_be() -> Result<()> {
    for ddl in ["DROP TABLE t", "ALTER TABLE t RENAME TO u", "CREATE SCHEMA s; ALTER TABLE t SET SCHEMA s"] {
        let (_db, mut client) = people("gone")?;
        let job = take(&mut client, r#"[{"code": "a"}]"#)?;
        client.batch_execute(ddl)?;
        for call in ["rollback_import_job", "verify_import_job"] {
            let sql = format!("SELECT once.{call}($1)");
            assert_eq!(refused_well(&mut client, &sql, &[&job])?, "42P01", "{ddl}: {call}");
        }
        if ddl.contains("RENAME") {
            // Under its old name again, it can be undone.
            client.batch_execute("ALTER TABLE u RENAME TO t")?;
            assert_eq!(undo(&mut client, job)?, [1, 0, 0]);
        }
    }
    Ok(())
}

#[test]
fn a_job_outlives_its_target_and_another_spec() -> Result<()> {
    let (_db, mut client) = people("outlived")?;
    client.batch_execute("INSERT INTO t (code, a) VALUES ('old', '1')")?;
    let rows = r#"[{"code": "old", "a": "2"}, {"code": "new"}]"#;
    let one = take(&mut client, rows)?;
    client.batch_execute("SELECT once.drop_target('t')")?;
    assert_eq!(call(&mut client, "verify_import_job($1)", &[&one])?["verified"], true);
    assert_eq!(undo(&mut client, one)?, [2, 0, 0]);
    assert_eq!(texts(&mut client, ROWS)?, ["old|1|-"]);
    client.batch_execute(r#"SELECT once.create_target('t', 't', '{"match": [["code"]]}')"#)?;
    let two = take(&mut client, rows)?;
    client.batch_execute(r#"SELECT once.drop_target('t'); SELECT once.create_target('t', 't', '{"match": [["id"]], "on_match": "skip"}')"#)?;
    let answer = call(&mut client, "rollback_import_job($1)", &[&two])?;
    assert_eq!(figures(&answer)?, [2, 0, 0]);
    assert_eq!(text(&mut client, "SELECT string_agg(concat(code, a), ',') FROM t")?, "old1");
    Ok(())
}
