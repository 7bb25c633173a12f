//! What the tables refuse by themselves, whoever writes into them.

use anyhow::Result;
use once_tests::promo::{A, refused, text};
use once_tests::workouts::{import, install};

#[test]
fn the_database_keeps_the_rules_without_the_functions() -> Result<()> {
    let (_db, mut client) = install("rules")?;
    let hash = "a".repeat(64);
    let import = |athlete: &str, hash: &str, more: &str, values: &str| {
        format!(
            "INSERT INTO imports (raw_text, source, athlete_id, checksum_sha256{more}) VALUES ('t', 's', {athlete}, {hash}{values})"
        )
    };
    let (quoted, of_a) = (format!("'{hash}'"), format!("'{A}'"));
    client.batch_execute(&import("NULL", &quoted, "", ""))?;
    client.batch_execute(&import(&of_a, &quoted, "", ""))?;
    for (sql, code, constraint) in [
        (import("NULL", "NULL", "", ""), "23502", None),
        (import("NULL", &format!("'{}'", "A".repeat(64)), "", ""), "23514", Some("imports_checksum_sha256_check")),
        (import("NULL", &format!("'{}'", "a".repeat(63)), "", ""), "23514", Some("imports_checksum_sha256_check")),
        (import("NULL", &format!("'{}'", "a".repeat(65)), "", ""), "23514", Some("imports_checksum_sha256_check")),
        (import("NULL", &format!("E'{}\\n'", "a".repeat(64)), "", ""), "23514", Some("imports_checksum_sha256_check")),
        (import("NULL", &format!("'{}g'", "a".repeat(63)), "", ""), "23514", Some("imports_checksum_sha256_check")),
        (import("NULL", "''", "", ""), "23514", Some("imports_checksum_sha256_check")),
        // An unknown athlete is one.
        (import("NULL", &quoted, "", ""), "23505", Some("imports_checksum_sha256_athlete_id_key")),
        (import(&of_a, &quoted, "", ""), "23505", Some("imports_checksum_sha256_athlete_id_key")),
        (import(&of_a, &quoted, ", tags", ", '{other}'"), "23505", Some("imports_checksum_sha256_athlete_id_key")),
        (import("NULL", &quoted, ", tags", ", NULL"), "23502", None),
        ("INSERT INTO imports (source, checksum_sha256) VALUES ('s', repeat('b', 64))".into(), "23502", None),
        ("INSERT INTO imports (raw_text, checksum_sha256) VALUES ('s', repeat('b', 64))".into(), "23502", None),
        (
            "INSERT INTO workout_drafts (import_id) VALUES (gen_random_uuid())".into(),
            "23503",
            Some("workout_drafts_import_id_fkey"),
        ),
    ] {
        let error = refused(&mut client, &sql, &[])?;
        assert_eq!(
            (error.code().code(), constraint),
            (code, error.constraint().filter(|_| constraint.is_some())),
            "{sql}"
        );
    }
    // The archived stand outside the key, as many as they are.
    for _ in 0..3 {
        client.batch_execute(&import(&of_a, &quoted, ", tags", ", '{old,duplicate_archived}'"))?;
    }
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM imports")?, "5");
    let revived = refused(&mut client, "UPDATE imports SET tags = '{}' WHERE tags <> '{}'", &[])?;
    assert_eq!(revived.code().code(), "23505");

    let workout = |values: &str| {
        format!("INSERT INTO workouts (athlete_id, workout_date, content_hash_ref, session_title) VALUES ({values})")
    };
    client.batch_execute(&workout(&format!("'{A}', '2026-11-21', 'md5:Any Form', 'Legs'")))?;
    for (values, code) in [
        (format!("'{A}', '2026-11-21', 'md5:Any Form', 'Other'"), "23505"),
        ("NULL, '2026-11-21', 'x', 't'".into(), "23502"),
        (format!("'{A}', NULL, 'x', 't'"), "23502"),
    ] {
        assert_eq!(refused(&mut client, &workout(&values), &[])?.code().code(), code, "{values}");
    }
    for values in ["'2026-11-22', 'md5:Any Form'", "'2026-11-21', 'MD5:any form'", "'2026-11-21', NULL"] {
        client.batch_execute(&workout(&format!("'{A}', {values}, 'kept'")))?;
    }
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM workouts")?, "4");
    Ok(())
}

/// Once a document is archived its text can come in again, and stays one.
#[test]
fn an_archived_text_can_be_imported_anew() -> Result<()> {
    let (_db, mut client) = install("anew")?;
    let old = import(&mut client, Some(A), "text")?;
    client.execute("UPDATE imports SET tags = tags || 'duplicate_archived'::text", &[])?;
    let new = import(&mut client, Some(A), "text")?;
    assert!(!new.is_duplicate && new.id != old.id);
    let again = import(&mut client, Some(A), "text")?;
    assert_eq!((again.id, again.is_duplicate), (new.id, true));
    Ok(())
}
