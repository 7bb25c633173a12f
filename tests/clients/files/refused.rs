//! What a loader may get wrong: refused with its SQLSTATE, and nothing of it is left.

use anyhow::Result;
use once_tests::Db;
use once_tests::promo::{refused, refused_well, text};

const NOTHING: &str =
    "SELECT concat((SELECT count(*) FROM once.staged_files), ' ', (SELECT count(*) FROM once.import_rejects))";

#[test]
fn what_a_loader_says_wrongly_is_refused_and_leaves_nothing() -> Result<()> {
    let db = Db::new("mistakes")?;
    let mut client = db.client()?;
    client.batch_execute(
        r#"CREATE TABLE words (word text PRIMARY KEY, import_job_id uuid);
           SELECT once.create_target('words', 'words', '{"key": ["word"]}');
           CREATE TABLE cards (org integer, k text, import_job_id uuid, UNIQUE (org, k));
           SELECT once.create_target('cards', 'cards', '{"key": ["k"], "scope": "org"}')"#,
    )?;
    let good = format!("'{}'", "0123456789abcdef".repeat(4));
    let mut wrong = Vec::new();
    // Said by pg_once itself, with the next step.
    for (call, code) in [
        ("begin_file(NULL, HASH)".to_owned(), "22004"),
        ("begin_file('cards', NULL)".to_owned(), "22004"),
        ("begin_file('nothing', HASH)".to_owned(), "42704"),
        ("begin_file('words', HASH, '7')".to_owned(), "22023"),
        ("end_file('cards', HASH, NULL, '{}')".to_owned(), "22004"),
        ("end_file('cards', HASH, 'f', NULL)".to_owned(), "22004"),
        ("end_file('cards', HASH, 'f', '{\"7\": 1}', NULL)".to_owned(), "22004"),
        ("end_file('cards', HASH, 'f', '{\"7\": 1}', '[]', NULL)".to_owned(), "22004"),
        ("end_file('nothing', HASH, 'f', '{}')".to_owned(), "42704"),
        // The one key of a target without a scope is empty.
        ("end_file('words', HASH, 'f', '{\"7\": 1}')".to_owned(), "22023"),
        ("staging_status('cards', NULL)".to_owned(), "22004"),
        ("staging_status('words', '7')".to_owned(), "22023"),
        ("staging_status('nothing', NULL)".to_owned(), "42704"),
    ] {
        let sql = format!("SELECT once.{}", call.replace("HASH", &good));
        let found = refused_well(&mut client, &sql, &[]).unwrap_or_else(|error| error.to_string());
        if found != code {
            wrong.push(format!("{call}: {found}"));
        }
    }
    for hash in [
        "",
        "0",
        &good.to_uppercase(),
        &good.replacen('0', "g", 1),
        &good.replacen('0', "é", 1),
        &good.replacen('0', "", 1),
        &good.replacen('0', "00", 1),
        &good.replacen("ef'", "e\n'", 1),
    ] {
        let hash = format!("'{}'", hash.trim_matches('\''));
        for call in ["begin_file('cards', HASH)", "end_file('cards', HASH, 'f', '{\"7\": 1}')"] {
            let sql = format!("SELECT once.{}", call.replace("HASH", &hash));
            let found = refused_well(&mut client, &sql, &[]).unwrap_or_else(|error| error.to_string());
            if found != "22023" {
                wrong.push(format!("{call} with {hash}: {found}"));
            }
        }
    }
    // Counts that are none; some by pg_once, some by the types.
    for rows in [
        "[]",
        "7",
        "null",
        r#""7""#,
        r#"{"7": -1}"#,
        r#"{"7": null}"#,
        r#"{"7": 1.5}"#,
        r#"{"7": true}"#,
        r#"{"7": [1]}"#,
        r#"{"7": "many"}"#,
        r#"{"7": 2, "07": -1}"#,
        r#"{"x": 1}"#,
        r#"{"": 1}"#,
        r#"{"7": 1e30}"#,
        r#"{"7": 9223372036854775807, "07": 1}"#,
        r#"{"7": 9223372036854775807, "8": 9223372036854775807}"#,
    ] {
        let sql = format!("SELECT once.end_file('cards', {good}, 'f', $1::text::jsonb)");
        let code = refused(&mut client, &sql, &[&rows]).map(|error| error.code().code().to_owned());
        let code = code.unwrap_or_else(|error| error.to_string());
        if !code.starts_with("22") {
            wrong.push(format!("rows {rows}: {code}"));
        }
    }
    for rejects in
        ["{}", "null", "[1]", r#"[{"line": 1}]"#, r#"[{"reason": "r"}]"#, r#"[{"line": "x", "reason": "r"}]"#]
    {
        let sql = format!("SELECT once.end_file('cards', {good}, 'f', '{{\"7\": 1}}', $1::text::jsonb)");
        let code = refused(&mut client, &sql, &[&rejects]).map(|error| error.code().code().to_owned());
        let code = code.unwrap_or_else(|error| error.to_string());
        if !(code.starts_with("22") || code == "23502") {
            wrong.push(format!("rejects {rejects}: {code}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(text(&mut client, NOTHING)?, "0 0");
    Ok(())
}
