//! From a draft to a workout: once, whatever is committed again, and with all that was parsed.

use anyhow::Result;
use once_tests::postgres::{Client, Config, NoTls};
use once_tests::promo::{A, B, refused, refused_well, text, texts};
use once_tests::workouts::{commit, counts, draft, drafted, import, install};

const DAY: &str = r#"{"workout_date": "2026-11-21"}"#;

#[test]
fn what_a_workout_is_of_comes_from_its_import() -> Result<()> {
    let (_db, mut client) = install("origin")?;
    let (import, draft) = drafted(&mut client, Some(A), "Legs day")?;
    let parsed = format!(
        r#"{{"workout_date": "2026-11-21", "title": "Legs 🏋️", "athlete_id": "{A}", "content_hash": "x", "status": "y"}}"#
    );
    let committed = commit(&mut client, draft, &parsed)?;
    let sql = "SELECT concat_ws('|', athlete_id, workout_date, session_title, content_hash_ref, import_id, draft_id, status) FROM workouts WHERE workout_id = $1::text::uuid";
    let row: String = client.query_one(sql, &[&committed.id])?.try_get(0)?;
    assert_eq!(row, format!("{A}|2026-11-21|Legs 🏋️|{}|{}|{draft}|committed", import.checksum, import.id));
    let exact = "SELECT (parsed_workout = $1::text::jsonb)::text FROM workouts";
    assert_eq!(client.query_one(exact, &[&parsed])?.try_get::<_, &str>(0)?, "true");
    Ok(())
}

#[test]
fn committing_again_gives_the_same_workout() -> Result<()> {
    let (_db, mut client) = install("again")?;
    let (first, one) = drafted(&mut client, Some(A), "Squat 3x5")?;
    let other = draft(&mut client, first.id)?;
    let workout = commit(&mut client, one, r#"{"workout_date": "2026-11-21", "title": "First"}"#)?;
    assert!(!workout.is_duplicate);
    for (what, draft, parsed) in [
        ("the same draft", one, DAY),
        ("the same draft with another title", one, r#"{"workout_date": "2026-11-21", "title": "Second"}"#),
        ("another draft of the same import", other, DAY),
    ] {
        let again = commit(&mut client, draft, parsed)?;
        assert_eq!((&again.id, again.is_duplicate), (&workout.id, true), "{what}");
    }
    // A draft is committed once, for another day too.
    let again = commit(&mut client, one, r#"{"workout_date": "2026-11-22"}"#)?;
    assert_eq!((&again.id, again.is_duplicate), (&workout.id, true));
    // The same content in an import that came by other ways.
    let same = "INSERT INTO imports (athlete_id, raw_text, checksum_sha256, source, tags) \
                VALUES ($1, 'Squat 3x5', $2, 'old', '{duplicate_archived}') RETURNING import_id";
    let archived = client.query_one(same, &[&A, &first.checksum])?.try_get(0)?;
    let third = draft(&mut client, archived)?;
    let again = commit(&mut client, third, DAY)?;
    assert_eq!((&again.id, again.is_duplicate), (&workout.id, true));
    assert_eq!(texts(&mut client, "SELECT session_title FROM workouts")?, ["First"]);
    // What was another day's or another athlete's all along is another workout.
    assert!(!commit(&mut client, other, r#"{"workout_date": "2026-11-22"}"#)?.is_duplicate);
    let (_, of_b) = drafted(&mut client, Some(B), "Squat 3x5")?;
    assert!(!commit(&mut client, of_b, DAY)?.is_duplicate);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM workouts")?, "3");
    // And one that was inserted by hand is found.
    let (by_hand, draft) = drafted(&mut client, Some(A), "By hand")?;
    let insert = "INSERT INTO workouts (athlete_id, workout_date, content_hash_ref, session_title) VALUES ($1, '2026-11-21', $2, 'mine') RETURNING workout_id::text";
    let id: String = client.query_one(insert, &[&A, &by_hand.checksum])?.try_get(0)?;
    let again = commit(&mut client, draft, DAY)?;
    assert_eq!((&again.id, again.is_duplicate), (&id, true));
    Ok(())
}

#[test]
fn a_draft_of_another_day_is_told_so() -> Result<()> {
    use std::sync::{Arc, Mutex};
    let (db, mut owner) = install("notice")?;
    let (_, draft) = drafted(&mut owner, Some(A), "text")?;
    let notices = Arc::new(Mutex::new(Vec::new()));
    let heard = notices.clone();
    let mut config: Config = db.dsn().parse()?;
    config.notice_callback(move |notice| {
        if let Ok(mut heard) = heard.lock() {
            heard.push((notice.message().to_owned(), notice.hint().is_some()));
        }
    });
    let mut client = config.connect(NoTls)?;
    let workout = commit(&mut client, draft, DAY)?;
    commit(&mut client, draft, DAY)?;
    assert_eq!(notices.lock().map(|heard| heard.len()).unwrap_or(9), 0);
    commit(&mut client, draft, r#"{"workout_date": "2026-11-22"}"#)?;
    client.simple_query("SELECT 1")?;
    let heard = notices.lock().map(|heard| heard.clone()).unwrap_or_default();
    assert_eq!(heard.len(), 1, "{heard:?}");
    let (message, has_hint) = &heard[0];
    assert!(*has_hint && message.contains(&draft.to_string()) && message.contains(&workout.id), "{message}");
    Ok(())
}

#[test]
fn the_athlete_in_the_json_counts_only_where_the_import_has_none() -> Result<()> {
    let (_db, mut client) = install("whose")?;
    let (_, draft_of_a) = drafted(&mut client, Some(A), "text")?;
    let (_, draft_of_none) = drafted(&mut client, None, "text")?;
    let parsed = |athlete: &str| format!(r#"{{"workout_date": "2026-11-21", "athlete_id": {athlete}}}"#);
    let before = counts(&mut client)?;
    let sql = "SELECT once.commit_workout_idempotent($1, $2::text::jsonb)";
    let upper = format!("\"{}\"", A.to_string().to_uppercase());
    for (draft, athlete, code) in [
        (draft_of_a, format!("\"{B}\""), "22023"),
        (draft_of_a, "\"me\"".into(), "22P02"),
        (draft_of_none, "null".into(), "22004"),
        (draft_of_none, "\"\"".into(), "22P02"),
        (draft_of_none, "7".into(), "22P02"),
        (draft_of_none, format!("[\"{A}\"]"), "22023"),
    ] {
        assert_eq!(refused_well(&mut client, sql, &[&draft, &parsed(&athlete)])?, code, "{athlete}");
        assert_eq!(counts(&mut client)?, before, "{athlete}");
    }
    let of_a = commit(&mut client, draft_of_a, &parsed(&upper))?;
    // Two imports of one text, and both turn out to be A's: one workout.
    let again = commit(&mut client, draft_of_none, &parsed(&upper))?;
    assert_eq!((&again.id, again.is_duplicate), (&of_a.id, true));
    Ok(())
}

/// "Re-committing the same draft gives the same workout", whomever the parser takes it for the second time.
#[test]
fn a_draft_of_nobody_is_committed_for_one_athlete_only() -> Result<()> {
    let (_db, mut client) = install("nobody")?;
    let (import, draft) = drafted(&mut client, None, "text")?;
    let of = |athlete| format!(r#"{{"workout_date": "2026-11-21", "athlete_id": "{athlete}"}}"#);
    let workout = commit(&mut client, draft, &of(A))?;
    // Whether it gives the workout or an error: there is no second one.
    match commit(&mut client, draft, &of(B)) {
        Ok(again) => assert_eq!((&again.id, again.is_duplicate), (&workout.id, true)),
        Err(error) => assert_eq!(once_tests::sqlstate(&error), Some("22023")),
    }
    client.execute("UPDATE imports SET athlete_id = $1 WHERE import_id = $2", &[&A, &import.id])?;
    let again = commit(&mut client, draft, DAY)?;
    assert_eq!((&again.id, again.is_duplicate), (&workout.id, true));
    assert_eq!(counts(&mut client)?, "1 1 1");
    Ok(())
}

#[test]
fn a_workout_needs_a_real_date() -> Result<()> {
    let (_db, mut client) = install("real")?;
    let (_, draft) = drafted(&mut client, Some(A), "text")?;
    let before = counts(&mut client)?;
    for (date, code) in [
        ("null", "22004"),
        (r#""""#, "22007"),
        ("20261121", "22007"),
        ("true", "22007"),
        (r#"{"y": 2026}"#, "22023"),
        (r#"["2026-11-21"]"#, "22023"),
        (r#""20261121""#, "22007"),
        (r#""today""#, "22007"),
        (r#""infinity""#, "22007"),
        (r#""epoch""#, "22007"),
        (r#""21.11.2026""#, "22007"),
        (r#""11/21/2026""#, "22007"),
        (r#""2026-11-21T10:00:00Z""#, "22007"),
        (r#""2026-11-21 BC""#, "22007"),
        (r#"" 2026-11-21""#, "22007"),
        (r#""2026-11-21\n""#, "22007"),
        (r#""２０２６-11-21""#, "22007"),
        (r#""2026-1-2""#, "22007"),
        (r#""2026-02-30""#, "22008"),
        (r#""2026-13-01""#, "22008"),
        (r#""2026-00-10""#, "22008"),
        (r#""0000-01-01""#, "22008"),
        (r#""2025-02-29""#, "22008"),
    ] {
        for settings in ["DateStyle = 'ISO, MDY'", "DateStyle = 'SQL, DMY'"] {
            client.batch_execute(&format!("SET {settings}"))?;
            let parsed = format!(r#"{{"workout_date": {date}, "date": "2026-11-21"}}"#);
            let sql = "SELECT once.commit_workout_idempotent($1, $2::text::jsonb)";
            assert_eq!(refused_well(&mut client, sql, &[&draft, &parsed])?, code, "{date}");
            let error = refused(&mut client, sql, &[&draft, &parsed])?;
            assert!(error.message().contains("workout_date"), "{date}: {error}");
        }
    }
    let missing = "SELECT once.commit_workout_idempotent($1, '{\"date\": \"2026-11-21\"}')";
    assert_eq!(refused_well(&mut client, missing, &[&draft])?, "22004");
    assert_eq!(counts(&mut client)?, before);
    // A leap day is one; and no setting changes which day it is.
    client.batch_execute("SET DateStyle = 'German'; SET TimeZone = 'Pacific/Kiritimati'")?;
    commit(&mut client, draft, r#"{"workout_date": "2028-02-29"}"#)?;
    assert_eq!(text(&mut client, "SELECT to_char(workout_date, 'YYYY-MM-DD') FROM workouts")?, "2028-02-29");
    Ok(())
}

#[test]
fn a_title_is_any_plain_value() -> Result<()> {
    let (_db, mut client) = install("titles")?;
    for (n, (title, expected)) in [
        (r#""  it's \"A\" \\ \n ""#, Some("  it's \"A\" \\ \n ")),
        ("7.50", Some("7.50")),
        ("false", Some("false")),
        (r#""""#, Some("")),
        ("null", None),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, draft) = drafted(&mut client, Some(A), &format!("text {n}"))?;
        let committed = commit(&mut client, draft, &format!(r#"{{"workout_date": "2026-11-21", "title": {title}}}"#))?;
        let sql = "SELECT session_title FROM workouts WHERE workout_id = $1::text::uuid";
        assert_eq!(client.query_one(sql, &[&committed.id])?.try_get::<_, Option<&str>>(0)?, expected, "{title}");
    }
    let (_, draft) = drafted(&mut client, Some(A), "text")?;
    let sql = r#"SELECT once.commit_workout_idempotent($1, '{"workout_date": "2026-11-21", "title": {}}')"#;
    assert_eq!(refused_well(&mut client, sql, &[&draft])?, "22023");
    Ok(())
}

/// Numbers that no float holds, depths that no parser of ours reaches: it is Postgres's jsonb from end to end.
#[test]
fn the_parsed_workout_loses_nothing() -> Result<()> {
    let (_db, mut client) = install("lossless")?;
    let deep = format!("{}1.50{}", "[".repeat(5_000), "]".repeat(5_000));
    let big = format!("\"{}\"", "é".repeat(1_000_000));
    for (n, value) in [
        "1.00",
        "1e400",
        "123456789012345678901234567890.123456789012345678901234567890",
        "-0.0",
        r#""\ud83c\udfcb \\u0041""#,
        r#"{"b": 1, "a": 2, "b": 3, "": null}"#,
        &deep,
        &big,
    ]
    .into_iter()
    .enumerate()
    {
        let (_, draft) = drafted(&mut client, Some(A), &format!("text {n}"))?;
        let parsed = format!(r#"{{"zz": {value}, "workout_date": "2026-11-21"}}"#);
        let committed = commit(&mut client, draft, &parsed)?;
        // As text, since 1.0 and 1.00 are equal as jsonb.
        let sql = "SELECT parsed_workout::text = $2::text::jsonb::text FROM workouts WHERE workout_id = $1::text::uuid";
        assert!(client.query_one(sql, &[&committed.id, &parsed])?.try_get::<_, bool>(0)?, "{n}");
    }
    let kept = "SELECT parsed_workout ->> 'zz' FROM workouts ORDER BY created_at LIMIT 3";
    let expected =
        ["1.00", &format!("1{}", "0".repeat(400)), "123456789012345678901234567890.123456789012345678901234567890"];
    assert_eq!(texts(&mut client, kept)?, expected);
    Ok(())
}

#[test]
fn the_views_unfold_what_is_there_and_nothing_else() -> Result<()> {
    let (_db, mut client) = install("views")?;
    for (n, parsed) in [
        r#""sessions": [{"title": "AM", "blocks": [
             {"name": "Main", "type": "strength", "items": [
               {"exercise": "Squat", "prescription": {"sets": 3, "load": 100.50}, "performed": {"sets": 2}},
               {"name": "Bench", "performed": null}]},
             {"items": []}, {"items": {"a": 1}}, "no block", null]},
           {"blocks": null}, 7, {"title": "PM", "blocks": [{"items": [5, null, [1]]}]}]"#,
        r#""sessions": {"title": "no array"}"#,
        r#""sessions": null"#,
        r#""sessions": "[1, 2]""#,
        r#""sessions": []"#,
        r#""nothing": 1"#,
    ]
    .into_iter()
    .enumerate()
    {
        let (_, draft) = drafted(&mut client, Some(A), &format!("text {n}"))?;
        commit(&mut client, draft, &format!(r#"{{"workout_date": "2026-11-2{n}", {parsed}}}"#))?;
    }
    client.batch_execute(&format!(
        "INSERT INTO workouts (athlete_id, workout_date, content_hash_ref, session_title) VALUES ('{A}', '2026-11-29', 'x', 't')"
    ))?;
    let rows = |client: &mut Client, sql: &str| texts(client, sql);
    assert_eq!(
        rows(
            &mut client,
            "SELECT concat_ws(' ', workout_date, session_number, title) FROM workout_sessions ORDER BY 1"
        )?,
        ["2026-11-20 1 AM", "2026-11-20 2", "2026-11-20 3", "2026-11-20 4 PM"]
    );
    assert_eq!(
        rows(
            &mut client,
            "SELECT concat_ws(' ', session_number, block_number, title, block_type) FROM workout_blocks ORDER BY 1"
        )?,
        ["1 1 Main strength", "1 2", "1 3", "1 4", "1 5", "4 1"]
    );
    assert_eq!(
        rows(
            &mut client,
            "SELECT concat_ws(' ', session_number, block_number, item_number, exercise, prescription, performed) FROM workout_items ORDER BY 1"
        )?,
        [r#"1 1 1 Squat {"load": 100.50, "sets": 3} {"sets": 2}"#, "1 1 2 Bench null", "4 1 1", "4 1 2", "4 1 3"]
    );
    Ok(())
}

#[test]
fn a_corrected_text_is_a_new_import_with_a_workout_of_its_own() -> Result<()> {
    let (_db, mut client) = install("corrected")?;
    let (old, first) = drafted(&mut client, Some(A), "Squat 3x5 @ 100")?;
    let one = commit(&mut client, first, DAY)?;
    let (new, second) = drafted(&mut client, Some(A), "Squat 3x5 @ 105")?;
    let two = commit(&mut client, second, DAY)?;
    assert!(old.id != new.id && one.id != two.id && !two.is_duplicate);
    assert_eq!(import(&mut client, Some(A), "Squat 3x5 @ 100")?.id, old.id);
    assert_eq!(counts(&mut client)?, "2 2 2");
    Ok(())
}
