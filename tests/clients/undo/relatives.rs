//! Records that others refer to, those that a job made along the way, and links.

use anyhow::{Context, Result};
use once_tests::postgres::Client;
use once_tests::promo::{call, imported, refused_well, text, texts};
use once_tests::{Db, Uuid, json};

use super::{ROWS, figures, people, take, undo, verified, with};

/// Whatever the foreign key would do, nothing that people added goes or changes.
#[test]
fn records_that_others_refer_to_stay() -> Result<()> {
    for (clause, deferred) in [
        ("", ""),
        ("ON DELETE RESTRICT", ""),
        ("ON DELETE CASCADE", ""),
        ("ON DELETE SET NULL", ""),
        ("ON DELETE SET DEFAULT", ""),
        ("", "DEFERRABLE INITIALLY DEFERRED"),
        ("ON DELETE CASCADE", "DEFERRABLE INITIALLY DEFERRED"),
    ] {
        let (_db, mut client) = people("referred")?;
        client.batch_execute(&format!(
            "CREATE TABLE child (t_id bigint DEFAULT NULL REFERENCES t {clause} {deferred}, note text)"
        ))?;
        let job = take(&mut client, r#"[{"code": "used"}, {"code": "free1"}, {"code": "free2"}, {"code": "free3"}]"#)?;
        client.batch_execute("INSERT INTO child SELECT id, 'mine' FROM t WHERE code = 'used'")?;
        let answer = call(&mut client, "rollback_import_job($1)", &[&job]).context(format!("{clause} {deferred}"))?;
        assert_eq!(figures(&answer)?, [3, 1, 0], "{clause} {deferred}: {answer}");
        assert_eq!(texts(&mut client, ROWS)?, ["used|-|-"], "{clause} {deferred}");
        let kept = "SELECT string_agg(concat(note, t_id = (SELECT id FROM t)), ',') FROM child";
        assert_eq!(text(&mut client, kept)?, "minet", "{clause} {deferred}");
    }
    Ok(())
}

/// Details go with the record that they are parts of; what a trigger derives from them is no change of it.
#[test]
fn details_go_and_what_is_derived_is_no_change() -> Result<()> {
    let tables = "CREATE TABLE t (id bigint PRIMARY KEY, code text UNIQUE, lines bigint NOT NULL DEFAULT 0);
        CREATE TABLE line (t_id bigint NOT NULL REFERENCES t ON DELETE CASCADE, note text);
        CREATE TABLE claim (t_id bigint NOT NULL REFERENCES t ON DELETE CASCADE);
        CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS
          'BEGIN UPDATE t SET lines = lines + 1 WHERE id = NEW.t_id; RETURN NULL; END';
        CREATE TRIGGER counted AFTER INSERT ON line FOR EACH ROW EXECUTE FUNCTION counted()";
    let (_db, mut client) =
        with("details", tables, r#"{"match": [["code"]], "derived": ["lines"], "details": ["line"]}"#)?;
    let rows = r#"[{"id": 1, "code": "a", "lines": 7}, {"id": 2, "code": "b"}, {"id": 3, "code": "c"}]"#;
    let answer = call(&mut client, "ingest('t', $1::text::jsonb)", &[&rows])?;
    assert_eq!(answer["ignored_fields"], json!(["lines"]));
    let job = imported(&answer)?;
    client.batch_execute("INSERT INTO line VALUES (1, 'x'), (1, 'y'), (3, 'z'); INSERT INTO claim VALUES (3)")?;
    assert_eq!(text(&mut client, "SELECT string_agg(lines::text, ',' ORDER BY id) FROM t")?, "2,0,1");
    assert_eq!(verified(&mut client, job)?, true);
    assert_eq!(undo(&mut client, job)?, [2, 1, 0]);
    assert_eq!(
        text(&mut client, "SELECT (SELECT string_agg(code, ',') FROM t) || (SELECT string_agg(note, ',') FROM line)")?,
        "cz"
    );
    // What is hung on a detail keeps its record, which could not go without it.
    client.batch_execute("ALTER TABLE line ADD id bigint PRIMARY KEY DEFAULT 1; CREATE TABLE note (line bigint REFERENCES line ON DELETE CASCADE)")?;
    let job = take(&mut client, r#"[{"id": 4, "code": "d"}, {"id": 5, "code": "e"}]"#)?;
    client.batch_execute("INSERT INTO line VALUES (4, 'w', 2); INSERT INTO note VALUES (2)")?;
    assert_eq!(undo(&mut client, job)?, [1, 1, 0]);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM note")?, "1");
    // A table whose rows would stay is no detail.
    client.batch_execute("CREATE TABLE other (t_id bigint REFERENCES t)")?;
    for table in ["other", "missing"] {
        let spec = format!(r#"{{"match": [["code"]], "details": ["{table}"]}}"#);
        let register = "SELECT once.create_target('u', 't', $1::text::jsonb)";
        assert_eq!(refused_well(&mut client, register, &[&spec])?, "22023", "{table}");
    }
    Ok(())
}

/// A value that others refer to: theirs may follow it, as the foreign key says, but never be lost for it.
#[test]
fn values_that_others_refer_to_stay_referred_to() -> Result<()> {
    for (clause, value, record) in [
        ("", "new", "code|new|-"),
        ("ON UPDATE CASCADE", "old", "code|old|-"),
        ("ON UPDATE SET NULL", "new", "code|new|-"),
        ("ON UPDATE SET DEFAULT", "new", "code|new|-"),
    ] {
        let (_db, mut client) = people("referred_values")?;
        client.batch_execute(&format!(
            "ALTER TABLE t ADD UNIQUE (a); CREATE TABLE child (a text REFERENCES t (a) {clause}); INSERT INTO t (code, a) VALUES ('code', 'old'), ('l', 'older')"
        ))?;
        let job = take(&mut client, r#"[{"code": "code", "a": "new"}, {"code": "l", "a": "newer"}]"#)?;
        client.batch_execute("INSERT INTO child VALUES ('new')")?;
        undo(&mut client, job).context(clause)?;
        assert_eq!(texts(&mut client, "SELECT coalesce(a, 'NULL') FROM child")?, [value], "{clause}");
        assert_eq!(texts(&mut client, ROWS)?, [record, "l|older|-"], "{clause}");
    }
    Ok(())
}

/// Of a tree all is taken back where all of it is the job's, and nothing where a person's branch hangs on it.
#[test]
fn records_that_refer_to_each_other_go_together() -> Result<()> {
    for clause in ["", "ON DELETE CASCADE"] {
        let ddl = format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, code text UNIQUE, a text, b text, parent bigint REFERENCES t {clause})"
        );
        let (_db, mut client) = with("tree", &ddl, r#"{"match": [["code"]]}"#)?;
        let job = take(
            &mut client,
            r#"[{"id": 1, "code": "root"}, {"id": 2, "code": "leaf", "parent": 1}, {"id": 3, "code": "self", "parent": 3}]"#,
        )?;
        assert_eq!(undo(&mut client, job)?, [3, 0, 0], "{clause}");
        assert_eq!(texts(&mut client, ROWS)?, [""; 0], "{clause}");
    }
    Ok(())
}

/// Visits name doctors, who are made where they are missing.
fn visits(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    client.batch_execute(
        r#"CREATE TABLE doctors (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, phone text);
           CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, doctor_id bigint NOT NULL REFERENCES doctors, day date NOT NULL, fee numeric(8,2) CHECK (fee >= 0), UNIQUE (doctor_id, day));
           CREATE TABLE t_tags (t_id bigint NOT NULL REFERENCES t ON DELETE CASCADE, tag text NOT NULL, added_at timestamptz DEFAULT now(), PRIMARY KEY (t_id, tag));
           SELECT once.create_target('doctors', 'doctors', '{"match": [["name"]]}');
           SELECT once.create_target('t', 't', '{"match": [["doctor_id", "day"]], "references": {"doctor_id": {"target": "doctors", "by": {"name": "doctor"}, "missing": "create"}},
             "links": [{"table": "t_tags", "id": "t_id", "columns": {"tag": "tags"}}]}')"#,
    )?;
    Ok((db, client))
}

const VISITS: &str = "SELECT concat_ws('|', d.name, t.day, t.fee, (SELECT string_agg(tag, ',' ORDER BY tag) FROM t_tags WHERE t_id = t.id))
                      FROM doctors d LEFT JOIN t ON t.doctor_id = d.id ORDER BY d.name, t.day";

#[test]
fn what_a_job_made_along_the_way_goes_with_it() -> Result<()> {
    let (_db, mut client) = visits("along")?;
    client.batch_execute("INSERT INTO doctors (name) VALUES ('Old')")?;
    let rows = r#"[{"doctor": "Old", "day": "2024-01-01", "fee": 1, "tags": ["x", "y"]}, {"doctor": "New", "day": "2024-01-01", "tags": "x"},
                   {"doctor": "New", "day": "2024-01-02"}, {"doctor": "Newer", "day": "2024-01-01"}]"#;
    let job = take(&mut client, rows)?;
    assert_eq!(
        texts(&mut client, VISITS)?,
        ["New|2024-01-01|x", "New|2024-01-02", "Newer|2024-01-01", "Old|2024-01-01|1.00|x,y"]
    );
    assert_eq!(verified(&mut client, job)?, true);
    // Four visits and two doctors.
    assert_eq!(undo(&mut client, job)?, [6, 0, 0]);
    assert_eq!(texts(&mut client, VISITS)?, ["Old"]);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM t_tags")?, "0");
    Ok(())
}

#[test]
fn what_others_use_since_is_kept() -> Result<()> {
    let (_db, mut client) = visits("used")?;
    let rows = r#"[{"doctor": "A", "day": "2024-01-01"}, {"doctor": "B", "day": "2024-01-01"}, {"doctor": "C", "day": "2024-01-01", "tags": ["x"]}, {"doctor": "D", "day": "2024-01-01", "tags": ["x"]}]"#;
    let job = take(&mut client, rows)?;
    // B has another visit now, C's visit another tag, and D a phone.
    take(&mut client, r#"[{"doctor": "B", "day": "2024-02-02"}]"#)?;
    client.batch_execute(
        "INSERT INTO t_tags SELECT t.id, 'mine' FROM t JOIN doctors d ON d.id = doctor_id WHERE d.name = 'C';
         UPDATE doctors SET phone = '1' WHERE name = 'D'",
    )?;
    // Gone: visits of A, B and D, and A. Kept: C's visit, so C, B for the other visit, and D.
    assert_eq!(undo(&mut client, job)?, [4, 4, 0]);
    assert_eq!(texts(&mut client, VISITS)?, ["B|2024-02-02", "C|2024-01-01|mine", "D"]);
    Ok(())
}

/// A row that brings nothing but a link changed its record, and can be undone like any other.
#[test]
fn a_job_of_links_alone_is_undone() -> Result<()> {
    let (_db, mut client) = visits("links")?;
    take(&mut client, r#"[{"doctor": "A", "day": "2024-01-01", "fee": 5, "tags": ["x"]}]"#)?;
    let answer =
        call(&mut client, r#"ingest('t', '[{"doctor": "A", "day": "2024-01-01", "tags": ["x", "y"]}]')"#, &[])?;
    assert_eq!(answer["updated"], 1, "{answer}");
    let job: Uuid = imported(&answer)?;
    assert_eq!(verified(&mut client, job)?, true);
    let answer = call(&mut client, "rollback_import_job($1)", &[&job])?;
    let [reversed, kept, errored] = figures(&answer)?;
    assert_eq!((reversed + kept, errored), (1, 0), "{answer}");
    assert_eq!(texts(&mut client, VISITS)?, ["A|2024-01-01|5.00|x"]);
    Ok(())
}

/// Links that a person changed, or removed and added again.
#[test]
fn links_that_people_changed_stay() -> Result<()> {
    let (_db, mut client) = visits("relinked")?;
    client.batch_execute("INSERT INTO doctors (name) VALUES ('A'); INSERT INTO t (doctor_id, day) VALUES (1, '2024-01-01'); INSERT INTO t_tags VALUES (1, 'mine')")?;
    let job =
        take(&mut client, r#"[{"doctor": "A", "day": "2024-01-01", "fee": 1, "tags": ["x", "y", "z", "mine"]}]"#)?;
    client.batch_execute("UPDATE t_tags SET added_at = 'epoch' WHERE tag = 'x'; DELETE FROM t_tags WHERE tag = 'y'; INSERT INTO t_tags VALUES (1, 'y', 'epoch')")?;
    undo(&mut client, job)?;
    assert_eq!(texts(&mut client, VISITS)?, ["A|2024-01-01|mine,x,y"]);
    Ok(())
}

/// A row that is refused leaves nothing behind, or its undoing would have to.
#[test]
fn what_a_refused_row_made_along_the_way_is_undone_or_never_made() -> Result<()> {
    let (_db, mut client) = visits("refused")?;
    let answer =
        call(&mut client, r#"ingest('t', '[{"doctor": "A", "day": "2024-01-01", "fee": -1, "tags": ["x"]}]')"#, &[])?;
    assert_eq!((&answer["rejected"], &answer["inserted"]), (&json!(1), &json!(0)), "{answer}");
    undo(&mut client, imported(&answer)?)?;
    assert_eq!(texts(&mut client, VISITS)?, [""; 0]);
    Ok(())
}

/// Two jobs that each made one of a pair: the first can go only after the second.
#[test]
fn jobs_that_build_on_each_other() -> Result<()> {
    let (_db, mut client) = visits("built")?;
    let one = take(&mut client, r#"[{"doctor": "A", "day": "2024-01-01"}]"#)?;
    let two = take(&mut client, r#"[{"doctor": "A", "day": "2024-01-02"}]"#)?;
    assert_eq!(undo(&mut client, one)?, [1, 1, 0]);
    assert_eq!(undo(&mut client, two)?, [1, 0, 0]);
    assert_eq!(texts(&mut client, VISITS)?, ["A"]);
    Ok(())
}

/// A table of another schema that refers to the records, with names that want quotes, and one that is partitioned.
#[test]
fn relatives_anywhere_are_found() -> Result<()> {
    let (_db, mut client) = people("anywhere")?;
    client.batch_execute(
        r#"CREATE SCHEMA "My ""own"""; CREATE TABLE "My ""own"""."K ids" ("T's" bigint REFERENCES t ON DELETE CASCADE);
           CREATE TABLE parts (t_id bigint REFERENCES t ON DELETE CASCADE) PARTITION BY LIST (t_id); CREATE TABLE parts_rest PARTITION OF parts DEFAULT"#,
    )?;
    let job = take(&mut client, r#"[{"code": "a"}, {"code": "b"}, {"code": "c"}]"#)?;
    client.batch_execute(r#"INSERT INTO "My ""own"""."K ids" SELECT id FROM t WHERE code = 'a'; INSERT INTO parts SELECT id FROM t WHERE code = 'b'"#)?;
    assert_eq!(undo(&mut client, job)?, [1, 2, 0]);
    assert_eq!(texts(&mut client, ROWS)?, ["a|-|-", "b|-|-"]);
    assert_eq!(
        text(
            &mut client,
            r#"SELECT concat((SELECT count(*) FROM "My ""own"""."K ids"), (SELECT count(*) FROM parts))"#
        )?,
        "11"
    );
    Ok(())
}

/// To verify takes the job's own table; to undo it, all that it wrote to.
#[test]
fn relatives_that_are_gone_are_said_to_be() -> Result<()> {
    for (ddl, code) in [
        ("DROP TABLE t_tags", "42P01"),
        ("ALTER TABLE t DROP CONSTRAINT t_doctor_id_fkey; DROP TABLE doctors", "42P01"),
        ("SELECT once.drop_target('doctors')", "42704"),
    ] {
        let (_db, mut client) = visits("relatives_gone")?;
        let job = take(&mut client, r#"[{"doctor": "A", "day": "2024-01-01", "tags": ["x"]}]"#)?;
        client.batch_execute(ddl)?;
        assert_eq!(verified(&mut client, job)?, true, "{ddl}");
        assert_eq!(refused_well(&mut client, "SELECT once.rollback_import_job($1)", &[&job])?, code, "{ddl}");
    }
    Ok(())
}

/// A long chain is taken back from its end; and a branch that a person hung on it keeps all above it.
#[test]
fn chains_go_from_their_end() -> Result<()> {
    let ddl = "CREATE TABLE t (id bigint PRIMARY KEY, code text UNIQUE, a text, b text, parent bigint REFERENCES t ON DELETE CASCADE)";
    let (_db, mut client) = with("chain", ddl, r#"{"match": [["code"]]}"#)?;
    let rows: Vec<String> = (1..=30)
        .map(|n| {
            format!(
                r#"{{"id": {n}, "code": "c{n}", "parent": {}}}"#,
                if n == 1 { "null".into() } else { (n - 1).to_string() }
            )
        })
        .collect();
    let job = take(&mut client, &format!("[{}]", rows.join(", ")))?;
    client.batch_execute("INSERT INTO t (id, code, parent) VALUES (99, 'mine', 10)")?;
    assert_eq!(undo(&mut client, job)?, [20, 10, 0]);
    assert_eq!(text(&mut client, "SELECT concat(count(*), ' ', max(id)) FROM t")?, "11 99");
    Ok(())
}
