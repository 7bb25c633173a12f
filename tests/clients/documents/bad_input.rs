//! Bad input: a clear error with its SQLSTATE, what it is about and what to do; and nothing is written.

use anyhow::Result;
use once_tests::promo::{A, call, refused, refused_well, text};
use once_tests::workouts::{counts, drafted, install};

#[test]
fn bad_input_is_refused_well_and_writes_nothing() -> Result<()> {
    let (_db, mut client) = install("bad")?;
    drafted(&mut client, Some(A), "there")?;
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    client.batch_execute("CREATE VIEW seen AS SELECT * FROM imports")?;
    let before = counts(&mut client)?;
    let draft = text(&mut client, "SELECT draft_id::text FROM workout_drafts")?;
    let mut wrong = Vec::new();
    let commit = |more: &str| format!("commit_workout_idempotent('{draft}', {more})");
    for (call, code) in [
        ("import_raw_text_idempotent(NULL, NULL, 's')".into(), "22004"),
        ("import_raw_text_idempotent(NULL, 't', NULL)".into(), "22004"),
        ("import_raw_text_idempotent(NULL, 't', 's', target => NULL)".into(), "22004"),
        ("import_raw_text_idempotent(NULL, '', 's')".into(), "22023"),
        ("import_raw_text_idempotent(NULL, E' \\t\\r\\n ', 's')".into(), "22023"),
        ("import_raw_text_idempotent(NULL, 't', 's', tags => '{a,duplicate_archived}')".into(), "22023"),
        ("import_raw_text_idempotent(NULL, 't', 's', tags => '{{a,b},{c,duplicate_archived}}')".into(), "22023"),
        ("import_raw_text_idempotent(NULL, 't', 's', tags => '{NULL,duplicate_archived}')".into(), "22023"),
        ("import_raw_text_idempotent(NULL, 't', 's', target => 'nothing')".into(), "42704"),
        ("import_raw_text_idempotent(NULL, 't', 's', target => '')".into(), "42704"),
        ("import_raw_text_idempotent(NULL, 't', 's', target => 'codes')".into(), "42809"),
        ("import_document('codes', NULL, 't', 's')".into(), "42809"),
        ("import_document(NULL, NULL, 't', 's')".into(), "22004"),
        ("import_document('imports', NULL, NULL, 's')".into(), "22004"),
        ("import_document('imports', 'me', 't', 's')".into(), "22P02"),
        ("import_document('imports', '', 't', 's')".into(), "22P02"),
        ("commit_document('imports', 'x', '{\"workout_date\": \"2026-11-21\"}')".into(), "22P02"),
        ("commit_document('imports', NULL, '{}')".into(), "22004"),
        ("commit_document('codes', 'x', '{}')".into(), "42809"),
        ("commit_workout_idempotent(gen_random_uuid(), '{\"workout_date\": \"2026-11-21\"}')".into(), "P0002"),
        ("commit_workout_idempotent(NULL, '{}')".into(), "22004"),
        (commit("NULL"), "22004"),
        (commit("'[]'"), "22023"),
        (commit("'\"2026-11-21\"'"), "22023"),
        (commit("'null'"), "22023"),
        (commit("'{}', target => 'codes'"), "42809"),
        ("check_import_duplicate('x', target => 'codes')".into(), "42809"),
        ("check_workout_duplicate(gen_random_uuid(), '2026-11-21', 'x', target => 'nothing')".into(), "42704"),
        ("mark_duplicates('imports', NULL)".into(), "42809"),
        ("validate_staged('imports', NULL)".into(), "42809"),
        ("insert_clean('imports', NULL)".into(), "42809"),
        ("clear_staging('imports', NULL)".into(), "42809"),
        ("duplicate_report('imports', NULL)".into(), "42809"),
        ("staging_status('imports', NULL)".into(), "42809"),
        ("begin_file('imports', repeat('0', 64))".into(), "42809"),
        ("create_target('seen', 'seen', '{\"kind\": \"document\"}')".into(), "42809"),
        ("create_target('more', 'imports', '{\"kind\": \"document\"}')".into(), "42703"),
        ("create_target('more', 'imports', '{\"kind\": \"document\", \"normalizer\": \"loose\"}')".into(), "22023"),
        ("create_target('imports', 'imports', '{\"kind\": \"document\", \"scope\": \"athlete_id\", \"id\": \"import_id\", \"content\": \"raw_text\"}')".into(), "42710"),
    ] {
        let sql = format!("SELECT once.{call}");
        match refused_well(&mut client, &sql, &[]) {
            Ok(given) if given == code => {}
            Ok(given) => wrong.push(format!("{call}: {given} instead of {code}")),
            Err(error) => wrong.push(format!("{call}: {error}")),
        }
        assert_eq!(counts(&mut client)?, before, "{call}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes")?, "0");
    Ok(())
}

#[test]
fn a_text_near_a_gigabyte_is_refused_before_it_is_written() -> Result<()> {
    let (_db, mut client) = install("huge")?;
    let huge = "SELECT once.import_raw_text_idempotent(NULL, repeat('x', 1000000001), 's')";
    assert_eq!(refused_well(&mut client, huge, &[])?, "54000");
    // All of a row together must fit too.
    let both = "SELECT once.import_raw_text_idempotent(NULL, repeat('x', 600000000), repeat('y', 600000000))";
    assert_eq!(refused_well(&mut client, both, &[])?, "54000");
    assert_eq!(counts(&mut client)?, "0 0 0");
    Ok(())
}

/// What is in a tag comes back, in an array as it was given; else it is refused.
#[test]
fn tags_are_kept_or_refused_but_not_changed() -> Result<()> {
    let (_db, mut client) = install("tags")?;
    for (n, tags) in ["{a,NULL,\"\"}", "{}", "{{a,b},{c,d}}", "[0:1]={a,b}"].iter().enumerate() {
        let sql = format!("SELECT * FROM once.import_raw_text_idempotent(NULL, 'text {n}', 's', tags => '{tags}')");
        match client.query_one(&sql, &[]) {
            Ok(row) => {
                let kept = "SELECT tags::text FROM imports WHERE import_id = $1";
                let id: once_tests::Uuid = row.try_get(0)?;
                assert_eq!(client.query_one(kept, &[&id])?.try_get::<_, String>(0)?, *tags);
            }
            Err(_) => assert_eq!(refused(&mut client, &sql, &[])?.code().code(), "22023", "{tags}"),
        }
    }
    Ok(())
}
