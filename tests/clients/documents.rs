//! The documents path as clients see it: a text is taken in once, and what was parsed from it is committed once. A file
//! a theme; here the four scenarios that a coach meets.

use anyhow::Result;
use once_tests::promo::{A, B, Params, text, texts};
use once_tests::workouts::{commit, counts, draft, drafted, import, import_of, install, sha256};
use once_tests::{Uuid, postgres};

#[path = "documents/altered.rs"]
mod altered;
#[path = "documents/bad_input.rs"]
mod bad_input;
#[path = "documents/checks.rs"]
mod checks;
#[path = "documents/commits.rs"]
mod commits;
#[path = "documents/constraints.rs"]
mod constraints;
#[path = "documents/costs.rs"]
mod costs;
#[path = "documents/crowd.rs"]
mod crowd;
#[path = "documents/normalizers.rs"]
mod normalizers;
#[path = "documents/own_tables.rs"]
mod own_tables;
#[path = "documents/rights.rs"]
mod rights;

/// Names and types of a statement's columns.
fn columns(client: &mut postgres::Client, sql: &str, params: Params) -> Result<Vec<(String, String)>> {
    let row = client.query_one(sql, params)?;
    Ok(row.columns().iter().map(|column| (column.name().into(), column.type_().name().into())).collect())
}

fn named(columns: &[(&str, &str)]) -> Vec<(String, String)> {
    columns.iter().map(|(name, sql_type)| (name.to_string(), sql_type.to_string())).collect()
}

#[test]
fn the_same_text_of_the_same_athlete_is_one_import() -> Result<()> {
    let (_db, mut client) = install("exact")?;
    let first = import(&mut client, Some(A), "Squat 3x5 @ 100kg")?;
    assert_eq!((first.is_duplicate, first.message.as_str()), (false, "New import created"));
    assert_eq!(first.checksum, sha256(&mut client, "Squat 3x5 @ 100kg")?);
    client.execute("UPDATE imports SET received_at = '2026-03-29 01:30:59.9+02'", &[])?;
    // The time is told in UTC, whatever the session's settings.
    for settings in ["TimeZone = 'Asia/Kolkata'", "DateStyle = 'SQL, DMY'", "TimeZone = 'America/St_Johns'"] {
        client.batch_execute(&format!("SET {settings}"))?;
        let again = import(&mut client, Some(A), "Squat 3x5 @ 100kg")?;
        assert_eq!((again.id, again.is_duplicate, &again.checksum), (first.id, true, &first.checksum));
        let message = "Duplicate import detected. Returning existing import from 2026-03-28T23:30:59Z";
        assert_eq!(again.message, message, "{settings}");
    }
    assert_eq!(counts(&mut client)?, "1 0 0");
    Ok(())
}

#[test]
fn the_same_text_of_two_athletes_is_two_imports() -> Result<()> {
    let (_db, mut client) = install("athletes")?;
    let of = |client: &mut postgres::Client, athlete| import(client, athlete, "Easy run 10k");
    let (a, b) = (of(&mut client, Some(A))?, of(&mut client, Some(B))?);
    // Nobody knows whose: one more, and only one.
    let unknown = of(&mut client, None)?;
    assert!(!a.is_duplicate && !b.is_duplicate && !unknown.is_duplicate);
    assert!(a.id != b.id && a.id != unknown.id && b.id != unknown.id);
    assert!(a.checksum == b.checksum && a.checksum == unknown.checksum);
    for (athlete, first) in [(Some(A), &a), (Some(B), &b), (None, &unknown)] {
        let again = of(&mut client, athlete)?;
        assert_eq!((again.id, again.is_duplicate), (first.id, true));
    }
    assert_eq!(counts(&mut client)?, "3 0 0");
    Ok(())
}

#[test]
fn two_workouts_of_a_day_are_both_kept() -> Result<()> {
    let (_db, mut client) = install("day")?;
    let (_, morning) = drafted(&mut client, Some(A), "Morning: squat")?;
    let (_, evening) = drafted(&mut client, Some(A), "Evening: bench")?;
    let one = commit(&mut client, morning, r#"{"workout_date": "2026-11-21", "title": "Lower"}"#)?;
    let two = commit(&mut client, evening, r#"{"workout_date": "2026-11-21", "title": "Upper"}"#)?;
    assert_eq!((one.is_duplicate, one.message.as_str()), (false, "New workout committed"));
    assert_eq!((two.is_duplicate, two.message.as_str()), (false, "New workout committed"));
    assert_ne!(one.id, two.id);
    let again = commit(&mut client, morning, r#"{"workout_date": "2026-11-21", "title": "Lower"}"#)?;
    assert_eq!((&again.id, again.is_duplicate), (&one.id, true));
    assert_eq!(again.message, "Duplicate workout detected. Same athlete/date/content already exists");
    let titles = "SELECT session_title FROM workouts WHERE workout_date = '2026-11-21' ORDER BY 1";
    assert_eq!(texts(&mut client, titles)?, ["Lower", "Upper"]);
    Ok(())
}

#[test]
fn white_space_makes_no_other_text_and_a_correction_does() -> Result<()> {
    let (_db, mut client) = install("spaces")?;
    let first = import(&mut client, Some(A), "Workout A")?;
    for same in ["Workout  A", " Workout A", "Workout A\n", "Workout\r\nA", "\tWorkout \u{a0}\u{3000} A\u{2028}"] {
        let again = import(&mut client, Some(A), same)?;
        assert_eq!((again.id, again.is_duplicate, &again.checksum), (first.id, true, &first.checksum), "{same:?}");
    }
    // What came first is what is kept.
    assert_eq!(texts(&mut client, "SELECT raw_text FROM imports")?, ["Workout A"]);
    for other in ["WorkoutA", "Workout B", "workout A", "Workout A."] {
        assert!(!import(&mut client, Some(A), other)?.is_duplicate, "{other}");
    }
    let kept = texts(&mut client, "SELECT raw_text FROM imports ORDER BY raw_text COLLATE \"C\"")?;
    assert_eq!(kept, ["Workout A", "Workout A.", "Workout B", "WorkoutA", "workout A"]);
    Ok(())
}

#[test]
fn everything_is_kept_exactly_as_it_was_received() -> Result<()> {
    let (_db, mut client) = install("received")?;
    let long = "Set 1:\u{301} 100 kg × 5\r\n".repeat(50_000);
    let received = ["  lead and trail \r\n", "a\r\nb\rc\nd", "🏋️‍♀️ 5×5\t@\u{a0}80%", "e\u{301} is not \u{e9}", &long];
    for raw in received {
        let sql = "SELECT * FROM once.import_raw_text_idempotent(raw_text => $1, athlete_id => $2, tags => $3, source => $4, source_ref => $5)";
        let tags = ["week 1", "", "week 1", "🏋️"].map(str::to_owned).to_vec();
        let params: Params = &[&raw, &A, &tags, &"e-mail", &"<1@example.org>"];
        let import = import_of(&client.query_one(sql, params)?)?;
        let sql = "SELECT raw_text, tags, source, source_ref, normalizer_version, checksum_sha256, athlete_id \
                   FROM imports WHERE import_id = $1";
        let row = client.query_one(sql, &[&import.id])?;
        assert!(row.try_get::<_, &str>(0)? == raw, "{:?}…", raw.chars().take(50).collect::<String>());
        assert_eq!(row.try_get::<_, Vec<String>>(1)?, tags);
        assert_eq!((row.try_get::<_, &str>(2)?, row.try_get::<_, &str>(3)?), ("e-mail", "<1@example.org>"));
        assert_eq!(row.try_get::<_, &str>(4)?, "whitespace/1");
        assert_eq!((row.try_get::<_, String>(5)?, row.try_get::<_, Uuid>(6)?), (import.checksum, A));
    }
    // Nothing but the text is needed, and NULL tags are none.
    for tags in ["", ", tags => NULL"] {
        let sql = format!("SELECT (once.import_raw_text_idempotent(NULL, 'bare{}', 's'{tags})).message", tags.len());
        client.execute(&sql, &[])?;
    }
    let bare = "SELECT concat(tags, source_ref IS NULL) FROM imports WHERE raw_text LIKE 'bare%'";
    assert_eq!(texts(&mut client, bare)?, ["{}t", "{}t"]);
    Ok(())
}

#[test]
fn the_functions_give_the_columns_that_were_promised() -> Result<()> {
    let (_db, mut client) = install("columns")?;
    let sql = "SELECT * FROM once.import_raw_text_idempotent(NULL, 'my workout text', 's')";
    let expected = [("import_id", "uuid"), ("is_duplicate", "bool"), ("message", "text"), ("checksum", "text")];
    assert_eq!(columns(&mut client, sql, &[])?, named(&expected));
    let sql = "SELECT * FROM once.check_import_duplicate(encode(sha256('my workout text'), 'hex'))";
    let expected = [
        ("exists", "bool"),
        ("import_id", "uuid"),
        ("received_at", "timestamptz"),
        ("athlete_id", "uuid"),
        ("source", "text"),
    ];
    assert_eq!(columns(&mut client, sql, &[])?, named(&expected));
    assert!(client.query_one(sql, &[])?.try_get::<_, bool>(0)?);
    let (import, draft_id) = drafted(&mut client, Some(A), "mine")?;
    let sql = r#"SELECT * FROM once.commit_workout_idempotent(parsed_workout => '{"workout_date": "2026-01-02"}', draft_id => $1)"#;
    let expected = [("workout_id", "uuid"), ("is_duplicate", "bool"), ("message", "text")];
    assert_eq!(columns(&mut client, sql, &[&draft_id])?, named(&expected));
    let sql = "SELECT * FROM once.check_workout_duplicate(athlete_id => $1, workout_date => '2026-01-02', content_hash => $2)";
    let expected =
        [("exists", "bool"), ("workout_id", "uuid"), ("created_at", "timestamptz"), ("session_title", "text")];
    assert_eq!(columns(&mut client, sql, &[&A, &import.checksum])?, named(&expected));
    let sql = "SELECT * FROM once.import_document('imports', NULL, 'c', 's')";
    let expected = [("document_id", "text"), ("is_duplicate", "bool"), ("message", "text"), ("checksum", "text")];
    assert_eq!(columns(&mut client, sql, &[])?, named(&expected));
    let other = draft(&mut client, import.id)?.to_string();
    let sql = r#"SELECT * FROM once.commit_document(target => 'imports', draft => $1, parsed => '{"workout_date": "2026-01-02"}')"#;
    let expected = [("record_id", "text"), ("is_duplicate", "bool"), ("message", "text")];
    assert_eq!(columns(&mut client, sql, &[&other])?, named(&expected));
    // An import is its own record.
    assert_eq!(text(&mut client, "SELECT coalesce(to_regclass('once.import_jobs')::text, 'none')")?, "none");
    Ok(())
}

/// Inside a transaction and several times in one statement it is the same as one after the other.
#[test]
fn a_statement_may_import_the_same_text_many_times() -> Result<()> {
    let (_db, mut client) = install("many")?;
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))?;
        let sql = "SELECT string_agg(i.is_duplicate::text, ' ' ORDER BY n), count(DISTINCT i.import_id)::text \
                   FROM unnest(ARRAY['x', ' x', 'y', 'x']) WITH ORDINALITY AS t(x, n), \
                   LATERAL once.import_raw_text_idempotent(NULL, x || $1::text, 's') i";
        let row = client.query_one(sql, &[&level])?;
        assert_eq!((row.try_get(0)?, row.try_get(1)?), ("false true false true", "2"));
        assert!(import(&mut client, None, &format!("x{level}"))?.is_duplicate);
        client.batch_execute("SAVEPOINT s")?;
        let id = import(&mut client, None, &format!("z{level}"))?.id;
        client.batch_execute("ROLLBACK TO s")?;
        let again = import(&mut client, None, &format!("z{level}"))?;
        assert!(!again.is_duplicate && again.id != id);
        client.batch_execute("COMMIT")?;
    }
    assert_eq!(counts(&mut client)?, "9 0 0");
    Ok(())
}
