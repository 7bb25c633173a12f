//! Files on their way into staging: each is staged once, none is skipped whose rows are not there.

#[path = "files/refused.rs"]
mod refusals;

use anyhow::Result;
use once_tests::files::{File, begin, copy_new, end, end_again, load, names, stage_file, status};
use once_tests::postgres::Client;
use once_tests::promo::{self, A, B, call, copy, imported, mark, produce, stage, text, texts};
use once_tests::{Db, Uuid, json};

/// What is staged, a row a row: merchant A's as `A code`, all others' as `B code`.
fn staged(client: &mut Client) -> Result<Vec<String>> {
    let name = format!("CASE merchant_id WHEN '{A}' THEN 'A ' ELSE 'B ' END || code");
    texts(client, &format!("SELECT {name} FROM codes_check_temp ORDER BY merchant_id, code COLLATE \"C\""))
}

fn monday() -> File {
    File::new("monday.csv", [(A, "M1"), (A, "M2"), (B, "M1"), (A, "M1")])
}

fn tuesday() -> File {
    File::new("tuesday.csv", [(A, "T1"), (A, "M2")])
}

#[test]
fn a_file_is_staged_once_by_whatever_name_until_it_is_cleared() -> Result<()> {
    let (_db, mut client) = promo::install("once")?;
    assert_eq!(load(&mut client, &monday())?, 4);
    assert_eq!(begin(&mut client, &monday())?, [(A, 3), (B, 1)].into());
    let renamed = File { name: "copy of monday.csv".into(), ..monday() };
    assert_eq!(load(&mut client, &renamed)?, 0);
    assert_eq!(load(&mut client, &tuesday())?, 2);
    assert_eq!(names(&mut client, A)?, ["monday.csv", "tuesday.csv"]);
    let all = ["A M1", "A M1", "A M2", "A M2", "A T1", "B M1"];
    assert_eq!(staged(&mut client)?, all);

    // What is imported stays staged, and so does its file.
    promo::import(&mut client, A)?;
    assert_eq!(load(&mut client, &monday())?, 0);

    // One merchant's files are cleared with its rows, and the others' are not.
    assert_eq!(call(&mut client, "clear_temp_data($1)", &[&A])?["rows_deleted"], 5);
    assert_eq!((names(&mut client, A)?, names(&mut client, B)?), (vec![], vec!["monday.csv".into()]));
    // Not even where the merchant has other rows by then.
    stage(&mut client, A, &["A0"])?;
    assert_eq!(load(&mut client, &monday())?, 3);
    assert_eq!(load(&mut client, &tuesday())?, 2);
    assert_eq!(staged(&mut client)?, [&["A A0"], all.as_slice()].concat());
    Ok(())
}

/// A loader that gave up, or was told that the list changed under its hands, leaves neither rows nor an entry.
#[test]
fn a_load_that_is_rolled_back_was_never_there() -> Result<()> {
    let (db, mut client) = promo::install("undone")?;
    client.batch_execute("BEGIN")?;
    assert_eq!(stage_file(&mut client, &monday())?, 4);
    client.batch_execute("ROLLBACK")?;
    assert_eq!((begin(&mut client, &monday())?, staged(&mut client)?), ([].into(), vec![]));

    // A is skipped, and is cleared before the file ends: as many rows as were copied are too few.
    load(&mut client, &File { rows: monday().rows[..2].to_vec(), ..monday() })?;
    load(&mut client, &monday())?;
    call(&mut client, "clear_temp_data($1)", &[&B])?;
    client.batch_execute("BEGIN")?;
    let there = begin(&mut client, &monday())?;
    assert_eq!((copy_new(&mut client, &monday(), &there)?, there), (1, [(A, 3)].into()));
    call(&mut db.client()?, "clear_temp_data($1)", &[&A])?;
    assert_eq!(end(&mut client, &monday())?, 4);
    client.batch_execute("ROLLBACK")?;
    assert_eq!(load(&mut client, &monday())?, 4);
    Ok(())
}

#[test]
fn the_status_says_what_is_staged_and_whether_it_is_marked() -> Result<()> {
    let (_db, mut client) = promo::install("status")?;
    produce(&mut client, A, &["p"])?;
    let nothing = json!({"total_rows": 0, "internal_duplicates": 0, "database_duplicates": 0, "both_duplicates": 0,
                         "clean_count": 0, "marked": true, "emptied": false, "files": []});
    assert_eq!(status(&mut client, A)?, nothing);

    let file = File::new("a.csv", [(A, "a"), (A, "p"), (A, "a"), (A, "p"), (A, "b"), (B, "x")]);
    load(&mut client, &file)?;
    let of_file = |client: &mut Client| -> Result<_> {
        let mut status = status(client, A)?;
        let staged_at = status["files"][0]["staged_at"].take();
        assert!(staged_at.as_str().is_some_and(|at| at.starts_with("20")), "{staged_at}");
        Ok(status)
    };
    let files = json!([{"name": "a.csv", "sha256": file.sha256(&mut client)?, "rows": 5, "staged_at": null}]);
    let mut expected = nothing.clone();
    for (figure, value) in [("total_rows", 5.into()), ("clean_count", 5.into()), ("marked", false.into())] {
        expected[figure] = value;
    }
    expected["files"] = files;
    assert_eq!(of_file(&mut client)?, expected);

    // internal: a, p; database: p twice; the second p is both.
    mark(&mut client, A)?;
    let figures = [("internal_duplicates", 2), ("database_duplicates", 2), ("both_duplicates", 1), ("clean_count", 2)];
    for (figure, rows) in figures {
        expected[figure] = rows.into();
    }
    expected["marked"] = true.into();
    assert_eq!(of_file(&mut client)?, expected);

    // Asking changes nothing, and may be done where nothing can be changed.
    client.batch_execute("SET default_transaction_read_only = on")?;
    assert_eq!(of_file(&mut client)?, expected);
    client.batch_execute("SET default_transaction_read_only = off")?;
    stage(&mut client, A, &["late"])?;
    assert_eq!(status(&mut client, A)?["marked"], false);
    Ok(())
}

/// Whoever empties staging by hand does not tell the list of files.
#[test]
fn what_was_emptied_by_hand_is_staged_again() -> Result<()> {
    let (_db, mut client) = promo::install("by_hand")?;
    load(&mut client, &monday())?;
    client.execute("DELETE FROM codes_check_temp WHERE merchant_id = $1", &[&A])?;
    assert_eq!(names(&mut client, A)?, [""; 0]);
    assert_eq!(begin(&mut client, &monday())?, [(B, 1)].into());
    assert_eq!(load(&mut client, &monday())?, 3);

    client.batch_execute("TRUNCATE codes_check_temp")?;
    assert_eq!(load(&mut client, &monday())?, 4);
    assert_eq!(staged(&mut client)?, ["A M1", "A M1", "A M2", "B M1"]);
    Ok(())
}

/// The rows of the file that comes first after that are no proof that an earlier file's are there.
#[test]
fn what_was_emptied_by_hand_is_staged_again_after_another_file() -> Result<()> {
    let (_db, mut client) = promo::install("masked")?;
    load(&mut client, &monday())?;
    client.batch_execute("TRUNCATE codes_check_temp")?;
    load(&mut client, &tuesday())?;
    assert_eq!(names(&mut client, A)?, ["tuesday.csv"]);
    assert_eq!(load(&mut client, &monday())?, 4);
    assert_eq!(staged(&mut client)?, ["A M1", "A M1", "A M2", "A M2", "A T1", "B M1"]);
    Ok(())
}

#[test]
fn a_file_may_be_staged_again_when_that_is_meant() -> Result<()> {
    let (_db, mut client) = promo::install("again")?;
    load(&mut client, &tuesday())?;
    let again = File { name: "again.csv".into(), ..tuesday() };
    begin(&mut client, &again)?;
    assert_eq!(copy_new(&mut client, &again, &[].into())?, 2);
    assert_eq!(end_again(&mut client, &again)?, 2);
    assert_eq!(begin(&mut client, &tuesday())?, [(A, 4)].into());
    assert_eq!(names(&mut client, A)?, ["again.csv"]);
    assert_eq!(load(&mut client, &tuesday())?, 0);
    assert_eq!(mark(&mut client, A)?["internal_duplicates"], 2);
    Ok(())
}

/// To register a target otherwise, it is dropped and created anew; what is staged stays staged.
#[test]
fn a_target_made_anew_knows_the_files_that_are_staged_still() -> Result<()> {
    let (_db, mut client) = promo::install("anew")?;
    load(&mut client, &monday())?;
    client.batch_execute("SELECT once.drop_target('codes')")?;
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    assert_eq!(load(&mut client, &monday())?, 0);
    assert_eq!(staged(&mut client)?, ["A M1", "A M1", "A M2", "B M1"]);
    Ok(())
}

/// Even with another scope: what the files of the former one were is no obstacle.
#[test]
fn a_target_made_anew_with_another_scope_takes_files() -> Result<()> {
    let db = Db::new("rescoped")?;
    let mut client = db.client()?;
    client.batch_execute(
        r#"CREATE TABLE t (shop text, org integer, k text, import_job_id uuid, UNIQUE (shop, k), UNIQUE (org, k));
           CREATE TABLE s (LIKE t, row_number bigint GENERATED BY DEFAULT AS IDENTITY, internal_dup boolean NOT NULL DEFAULT false,
                           existing_dup boolean NOT NULL DEFAULT false, UNIQUE (shop, row_number), UNIQUE (org, row_number));
           SELECT once.create_target('t', 't', '{"key": ["k"], "scope": "shop", "staging": "s"}');
           INSERT INTO s (shop, org, k) VALUES ('acme', 1, 'x');
           SELECT once.end_file('t', repeat('1', 64), 'f', '{"acme": 1}');
           SELECT once.drop_target('t');
           SELECT once.create_target('t', 't', '{"key": ["k"], "scope": "org", "staging": "s"}')"#,
    )?;
    let begin = "SELECT name FROM once.begin_file('t', repeat('2', 64))";
    assert_eq!(texts(&mut client, begin)?, [""; 0]);
    client.batch_execute("INSERT INTO s (org, k) VALUES (2, 'y')")?;
    client.execute("SELECT once.end_file('t', repeat('2', 64), 'g', '{\"2\": 1}')", &[])?;
    assert_eq!(texts(&mut client, begin)?, ["g"]);
    Ok(())
}

/// Nor does a staging table that is made anew inherit the files of the one that had its name, whoever owns them.
#[test]
fn a_staging_table_made_anew_has_no_files() -> Result<()> {
    let (db, mut superuser) = promo::install("remade")?;
    let owner = db.create_role("owner")?;
    superuser.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA once TO \"{owner}\"; CREATE SCHEMA own AUTHORIZATION \"{owner}\""
    ))?;
    let mut client = db.client_as(&owner)?;
    client.batch_execute("CREATE TABLE own.cards (org integer, k text, import_job_id uuid, UNIQUE (org, k))")?;
    let create = r#"create_target('cards', 'own.cards', '{"key": ["k"], "scope": "org"}')"#;
    let listed = |client: &mut Client, sha256: &str| {
        texts(client, &format!("SELECT name FROM once.begin_file('cards', '{sha256}')"))
    };
    let (one, other) = ("1".repeat(64), "2".repeat(64));
    let stage = |client: &mut Client, sha256: &str| -> Result<()> {
        copy(client, "own.cards_staging (org, k)", &[vec![Some("7"), Some("x")]])?;
        client.execute("SELECT once.end_file('cards', $1, 'x.csv', '{\"7\": 1}')", &[&sha256])?;
        Ok(())
    };
    for again in ["DROP TABLE own.cards_staging", "DROP TABLE own.cards_staging; SELECT once.drop_target('cards')"] {
        call(&mut client, create, &[])?;
        stage(&mut client, &one)?;
        assert_eq!(listed(&mut client, &one)?, ["x.csv"]);
        client.batch_execute(again)?;
        call(&mut client, create, &[])?;
        assert_eq!(listed(&mut client, &other)?, [""; 0], "{again}");
        stage(&mut client, &other)?;
        assert_eq!(listed(&mut client, &one)?, [""; 0], "{again}");
    }
    Ok(())
}

/// A target without a scope has one list; and a scope is told however it is written, and whatever is in it.
#[test]
fn targets_of_ones_own_list_files_too() -> Result<()> {
    let db = Db::new("own")?;
    let mut client = db.client()?;
    client.batch_execute(
        r#"CREATE TABLE words (word text PRIMARY KEY, import_job_id uuid);
           SELECT once.create_target('words', 'words', '{"key": ["word"]}');
           CREATE TABLE cards (org integer, k text, import_job_id uuid, UNIQUE (org, k));
           SELECT once.create_target('cards', 'cards', '{"key": ["k"], "scope": "org"}')"#,
    )?;
    let sha256 = "0".repeat(64);
    let begun = |client: &mut Client, target: &str, scope: Option<&str>| {
        let row = "SELECT concat_ws('|', scope, name, rows) FROM once.begin_file($1, $2, $3)";
        let rows = client.query(row, &[&target, &sha256, &scope])?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>>>()
    };
    let end = |client: &mut Client, target: &str, rows: &str| -> Result<i64> {
        let end = "SELECT once.end_file($1, $2, 'f', $3::text::jsonb)";
        Ok(client.query_one(end, &[&target, &sha256, &rows])?.try_get(0)?)
    };

    assert_eq!(begun(&mut client, "words", None)?, [""; 0]);
    copy(&mut client, "words_staging (word)", &[vec![Some("a")], vec![Some("b")]])?;
    assert_eq!(end(&mut client, "words", r#"{"": 2}"#)?, 2);
    assert_eq!(begun(&mut client, "words", None)?, ["|f|2"]);
    let status = call(&mut client, "staging_status('words', NULL)", &[])?;
    assert_eq!((&status["total_rows"], &status["files"][0]["rows"]), (&json!(2), &json!(2)));
    assert_eq!(call(&mut client, "clear_staging('words', NULL)", &[])?["rows_deleted"], 2);
    assert_eq!(begun(&mut client, "words", None)?, [""; 0]);

    // The same content is another's file in another target.
    assert_eq!(begun(&mut client, "cards", Some(" 07"))?, [""; 0]);
    copy(
        &mut client,
        "cards_staging (org, k)",
        &[["7", "x"], ["8", "x"], ["7", "y"]].map(|row| row.map(Some).to_vec()),
    )?;
    assert_eq!(end(&mut client, "cards", r#"{"07": 1, "8": 1, " 7": 1, "9": 0}"#)?, 3);
    assert_eq!(begun(&mut client, "cards", None)?, ["7|f|2", "8|f|1"]);
    assert!(begun(&mut client, "cards", Some("+8"))?.contains(&"8|f|1".into()));
    assert_eq!(call(&mut client, "clear_staging('cards', '007')", &[])?["rows_deleted"], 2);
    assert_eq!(begun(&mut client, "cards", None)?, ["8|f|1"]);
    Ok(())
}

/// Line, column, value, reason and SQLSTATE of the rejects, as they are kept.
const REJECTS: &str = "SELECT concat_ws('|', file, line, column_name, value, reason, sqlstate) FROM once.import_rejects
                       WHERE resolved_at IS NULL ORDER BY file, line, column_name";

#[test]
fn rejects_are_kept_with_their_reason_until_the_file_is_staged_anew() -> Result<()> {
    let (_db, mut client) = promo::install("rejects")?;
    let end = |client: &mut Client, file: &File, rejects: &str| -> Result<()> {
        let sha256 = file.sha256(client)?;
        let end = "SELECT once.end_file('codes', $1, $2, jsonb_build_object($3::uuid::text, 2), $4::text::jsonb)";
        client.execute(end, &[&sha256, &file.name, &A, &rejects])?;
        Ok(())
    };
    let hostile = "'; DROP TABLE codes; -- \"\\ %s $1 \u{feff}קופון\t\u{7}\r\nx";
    let other = json!([{"line": 4, "reason": "has 3 fields, 7 were expected"}]);
    let first = json!([
        {"line": 3, "column": "points", "value": "12,5", "reason": "invalid input syntax", "sqlstate": "22P02"},
        {"line": 9_000_000_000_i64, "column": "code", "value": hostile, "reason": hostile},
    ]);
    end(&mut client, &tuesday(), &other.to_string())?;
    end(&mut client, &monday(), &first.to_string())?;
    let of_tuesday = "tuesday.csv|4|has 3 fields, 7 were expected";
    let kept = [
        "monday.csv|3|points|12,5|invalid input syntax|22P02".to_owned(),
        format!("monday.csv|9000000000|code|{hostile}|{hostile}"),
        of_tuesday.to_owned(),
    ];
    assert_eq!(texts(&mut client, REJECTS)?, kept);

    // Told again while the file is staged, or not, they are neither kept twice nor forgotten.
    for rejects in [&first, &json!([])] {
        end(&mut client, &monday(), &rejects.to_string())?;
    }
    assert_eq!(texts(&mut client, REJECTS)?, kept);
    // Clearing takes the rows and the files; what was wrong with them is still to be put right.
    call(&mut client, "clear_temp_data($1)", &[&A])?;
    assert_eq!(texts(&mut client, REJECTS)?, kept);

    // Staged anew from another folder, with other settings: fewer rows are refused.
    let renamed = File { name: "new/monday.csv".into(), ..monday() };
    end(&mut client, &renamed, r#"[{"line": 5, "value": 0.10, "reason": "r"}]"#)?;
    assert_eq!(texts(&mut client, REJECTS)?, ["new/monday.csv|5|0.10|r", of_tuesday]);
    call(&mut client, "clear_temp_data($1)", &[&A])?;
    end(&mut client, &renamed, "[]")?;
    assert_eq!(texts(&mut client, REJECTS)?, [of_tuesday]);
    Ok(())
}

/// The journey of several days and merchants: what was in any file is in production once, however often it was loaded.
#[test]
fn every_row_of_every_file_arrives_once() -> Result<()> {
    let (_db, mut client) = promo::install("days")?;
    let wednesday = File::new("wednesday.csv", [(B, "W1"), (B, "M1"), (A, "W1")]);
    let mut jobs: Vec<Uuid> = Vec::new();
    for files in [vec![monday(), tuesday()], vec![monday(), wednesday.clone(), monday()], vec![tuesday(), wednesday]] {
        for file in files {
            load(&mut client, &file)?;
        }
        for merchant in [A, B] {
            let answer = promo::import(&mut client, merchant)?;
            if answer["sqlstate"] != "02000" {
                jobs.push(imported(&answer)?);
            }
            call(&mut client, "clear_temp_data($1)", &[&merchant])?;
        }
    }
    assert_eq!(promo::codes(&mut client, A)?, ["M1", "M2", "T1", "W1"]);
    assert_eq!(promo::codes(&mut client, B)?, ["M1", "W1"]);
    for job in jobs {
        assert_eq!(call(&mut client, "verify_import_job($1)", &[&job])?["verified"], true);
    }
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes_check_temp")?, "0");
    Ok(())
}
