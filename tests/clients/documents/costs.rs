//! What a duplicate costs: nothing that stays.

use anyhow::Result;
use once_tests::promo::{A, text};
use once_tests::workouts::{commit, drafted, import, install};

#[test]
fn duplicates_leave_no_trace() -> Result<()> {
    let (_db, mut client) = install("trace")?;
    let (first, draft) = drafted(&mut client, Some(A), &"2 kB of text. ".repeat(150))?;
    commit(&mut client, draft, r#"{"workout_date": "2026-11-21"}"#)?;
    client.batch_execute("VACUUM imports, workouts")?;
    let sizes = "SELECT concat_ws(' ', pg_total_relation_size('imports'), pg_relation_size('imports'), pg_total_relation_size('workouts'),
                   (SELECT string_agg(concat(ctid, xmin, xmax), ' ') FROM imports))";
    let before = text(&mut client, sizes)?;
    // Of many sessions' worth in one statement, and one by one.
    let sql = "SELECT count(*) FILTER (WHERE i.is_duplicate AND i.import_id = $1) FROM generate_series(1, 10000), \
               LATERAL once.import_raw_text_idempotent($2, repeat('2 kB of text. ', 150), 's') i";
    assert_eq!(client.query_one(sql, &[&first.id, &A])?.try_get::<_, i64>(0)?, 10_000);
    for _ in 0..1_000 {
        assert!(import(&mut client, Some(A), &"2 kB of text.  ".repeat(150))?.is_duplicate);
    }
    for _ in 0..100 {
        assert!(commit(&mut client, draft, r#"{"workout_date": "2026-11-21"}"#)?.is_duplicate);
    }
    assert_eq!(text(&mut client, sizes)?, before);
    client.batch_execute("SELECT pg_stat_force_next_flush()")?;
    let dead =
        "SELECT concat_ws(' ', n_tup_ins, n_tup_upd, n_dead_tup) FROM pg_stat_user_tables WHERE relname = 'imports'";
    assert_eq!(text(&mut client, dead)?, "1 0 0");
    assert_eq!(
        text(&mut client, "SELECT count(*)::text FROM pg_class WHERE relname IN ('import_jobs', 'import_rejects')")?,
        "0"
    );
    Ok(())
}

#[test]
fn a_duplicate_takes_no_transaction_id() -> Result<()> {
    let (_db, mut client) = install("xid")?;
    import(&mut client, Some(A), "text")?;
    for level in ["READ COMMITTED", "REPEATABLE READ"] {
        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))?;
        assert!(import(&mut client, Some(A), "text")?.is_duplicate);
        let taken = "SELECT coalesce(pg_current_xact_id_if_assigned()::text, 'none')";
        assert_eq!(text(&mut client, taken)?, "none", "{level}");
        client.batch_execute("COMMIT")?;
    }
    Ok(())
}
