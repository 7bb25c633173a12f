//! Asking whether something is there, without writing.

use anyhow::Result;
use once_tests::promo::{A, B, refused_well, text};
use once_tests::workouts::{commit, drafted, import, install, sha256};
use once_tests::{Uuid, postgres};

fn found(client: &mut postgres::Client, checksum: &str, athlete: Option<Uuid>) -> Result<Option<(Uuid, Option<Uuid>)>> {
    let sql = "SELECT \"exists\", import_id, athlete_id, received_at IS NOT NULL AND source = 'coach', received_at IS NULL AND source IS NULL \
               FROM once.check_import_duplicate(checksum => $1, athlete_id => $2)";
    let row = client.query_one(sql, &[&checksum, &athlete])?;
    if !row.try_get::<_, bool>(0)? {
        assert!(row.try_get::<_, Option<Uuid>>(1)?.is_none() && row.try_get::<_, bool>(4)?, "{row:?}");
        return Ok(None);
    }
    assert!(row.try_get::<_, bool>(3)?, "{row:?}");
    Ok(Some((row.try_get(1)?, row.try_get(2)?)))
}

#[test]
fn an_import_is_found_by_its_checksum() -> Result<()> {
    let (_db, mut client) = install("found")?;
    let hash = sha256(&mut client, "my workout text")?;
    assert_eq!(found(&mut client, &hash, None)?, None);
    let b = import(&mut client, Some(B), " my  workout text")?;
    let unknown = import(&mut client, None, "my workout text")?;
    let a = import(&mut client, Some(A), "my workout text\n")?;
    client.execute("UPDATE imports SET received_at = now() - interval '1 day' WHERE import_id = $1", &[&a.id])?;
    // The oldest of anybody's; or the athlete's own.
    assert_eq!(found(&mut client, &hash, None)?, Some((a.id, Some(A))));
    assert_eq!(found(&mut client, &hash.to_uppercase(), Some(B))?, Some((b.id, Some(B))));
    assert_eq!(found(&mut client, &hash, Some(Uuid::from_u128(7)))?, None);
    client.execute("DELETE FROM imports WHERE import_id <> $1", &[&unknown.id])?;
    assert_eq!(found(&mut client, &hash, None)?, Some((unknown.id, None)));
    assert_eq!(found(&mut client, &hash, Some(A))?, None);
    // What is archived is not what an import would return.
    client.execute("UPDATE imports SET tags = '{old,duplicate_archived}'", &[])?;
    assert_eq!(found(&mut client, &hash, None)?, None);
    assert!(!import(&mut client, None, "my workout text")?.is_duplicate);
    assert_eq!(refused_well(&mut client, "SELECT once.check_import_duplicate(NULL)", &[])?, "22004");
    assert_eq!(found(&mut client, "no hash", None)?, None);
    Ok(())
}

#[test]
fn a_workout_is_found_by_athlete_day_and_content() -> Result<()> {
    let (_db, mut client) = install("workout")?;
    let (import, draft) = drafted(&mut client, Some(A), "text")?;
    let committed = commit(&mut client, draft, r#"{"workout_date": "2026-11-02", "title": "Legs"}"#)?;
    // By any hash, where it came by another way.
    client.execute(
        "INSERT INTO workouts (athlete_id, workout_date, content_hash_ref, session_title) VALUES ($1, '2026-11-02', 'MD5:Ab', NULL)",
        &[&A],
    )?;
    let sql = "SELECT concat_ws(' ', \"exists\", workout_id = $4::text::uuid, session_title, created_at IS NOT NULL) \
               FROM once.check_workout_duplicate(athlete_id => $1, workout_date => $2::text::date, content_hash => $3)";
    let hash = import.checksum;
    for (settings, athlete, day, hash, expected) in [
        ("DateStyle = 'SQL, DMY'", A, "2026-11-02", hash.as_str(), "t t Legs t"),
        ("DateStyle = 'German'", A, "2026-11-02", "MD5:Ab", "t f t"),
        ("DateStyle = 'SQL, DMY'", A, "2026-02-11", &hash, "f f"),
        ("TimeZone = 'Pacific/Kiritimati'", A, "2026-11-03", &hash, "f f"),
        ("TimeZone = 'UTC'", B, "2026-11-02", &hash, "f f"),
        ("TimeZone = 'UTC'", A, "2026-11-02", "md5:ab", "f f"),
    ] {
        client.batch_execute(&format!("SET {settings}"))?;
        let row = client.query_one(sql, &[&athlete, &day, &hash, &committed.id])?;
        assert_eq!(row.try_get::<_, &str>(0)?, expected, "{athlete} {day} {hash}");
        client.batch_execute("RESET ALL")?;
    }
    for arguments in
        ["NULL, '2026-11-02', 'x'", "gen_random_uuid(), NULL, 'x'", "gen_random_uuid(), '2026-11-02', NULL"]
    {
        let sql = format!("SELECT once.check_workout_duplicate({arguments})");
        assert_eq!(refused_well(&mut client, &sql, &[])?, "22004", "{arguments}");
    }
    Ok(())
}

/// Days before our era, after the year 9999 and at no time at all: the column takes them, so they can be asked for.
#[test]
fn every_date_can_be_asked_for() -> Result<()> {
    let (_db, mut client) = install("dates")?;
    for (day, other) in [("0044-03-15", "0044-03-15 BC"), ("12044-03-15", "2044-03-15"), ("infinity", "-infinity")] {
        client.execute(
            "INSERT INTO workouts (athlete_id, workout_date, content_hash_ref, session_title) VALUES ($1, $2::text::date, 'h', 't')",
            &[&A, &day],
        )?;
        for (asked, expected) in [(day, "true"), (other, "false")] {
            let sql = format!("SELECT \"exists\"::text FROM once.check_workout_duplicate('{A}', '{asked}', 'h')");
            assert_eq!(text(&mut client, &sql)?, expected, "{asked}");
        }
    }
    Ok(())
}

/// Who only asks writes nothing: it works where nothing may be written (a read-only transaction, a standby, which has no
/// transaction ids to give).
#[test]
fn asking_takes_no_transaction_id() -> Result<()> {
    let (_db, mut client) = install("asking")?;
    import(&mut client, Some(A), "text")?;
    client.batch_execute("BEGIN READ ONLY")?;
    for (question, answer) in [
        ("check_import_duplicate(encode(sha256('text'), 'hex'))", "true"),
        ("check_workout_duplicate(gen_random_uuid(), '2026-01-01', 'h')", "false"),
    ] {
        assert_eq!(text(&mut client, &format!("SELECT \"exists\"::text FROM once.{question}"))?, answer);
        let taken = "SELECT coalesce(pg_current_xact_id_if_assigned()::text, 'none')";
        assert_eq!(text(&mut client, taken)?, "none", "{question}");
    }
    Ok(())
}
