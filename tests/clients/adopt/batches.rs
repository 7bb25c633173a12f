//! In portions, in migrations, beside writers, and with many rows.

use std::process::Stdio;
use std::thread;

use anyhow::{Context, Result, ensure};
use once_tests::postgres::{Client, IsolationLevel};
use once_tests::promo::{call, refused_well, text, texts};
use once_tests::wait::{pid, until_blocked};
use once_tests::{Db, json};

use super::{EXPECTED, SUM, adopt, athlete, figures, install, is_adopted, legacy, received, unchanged, whole_state};

/// Portions of any size, each committed, come to the same as one go.
#[test]
fn in_portions_it_comes_to_the_same() -> Result<()> {
    for (portion, kit_first) in [(1, false), (1, true), (4, false), (5, true)] {
        let (_db, mut client) = legacy("portions")?;
        if kit_first {
            install(&mut client)?;
        }
        let rows = received(&mut client)?;
        let mut sums = [0; 4];
        let mut complete = false;
        for _ in 0..100 {
            let answer = adopt(&mut client, &format!("'imports', false, {portion}"))?;
            let [_, computed, _, archived, filled, _] = figures(&answer);
            let tags = answer["tags_filled"].as_i64().context("no tags_filled")?;
            ensure!(computed + tags + archived + filled <= portion, "more than {portion} rows were changed: {answer}");
            sums = [sums[0] + computed, sums[1] + archived, sums[2] + filled, sums[3] + tags];
            complete = answer["complete"] == true;
            if complete {
                break;
            }
        }
        assert!(complete);
        // (Of five rows without tags two have got one by being archived.)
        assert_eq!(sums, [EXPECTED[1], EXPECTED[3], EXPECTED[4], 3], "{portion}");
        is_adopted(&mut client)?;
        assert_eq!(received(&mut client)?, rows);
        let before = whole_state(&mut client)?;
        adopt(&mut client, "'imports', false, 1")?;
        unchanged(&mut client, &before)?;
    }
    Ok(())
}

/// Not the figures, but the rows: what a portion leaves is taken up by the next, whoever wrote in between.
#[test]
fn rows_that_come_between_two_portions_are_adopted_too() -> Result<()> {
    let (_db, mut client) = legacy("between")?;
    let a = athlete('A');
    for n in 0..100 {
        let complete = adopt(&mut client, "'imports', false, 2")?["complete"] == true;
        if complete {
            break;
        }
        assert!(n < 99);
        if n < 3 {
            client.execute(
                "INSERT INTO imports (import_id, athlete_id, raw_text, checksum_sha256, source, received_at) VALUES (pg_temp.i($1), $2, 'Squat 5x5', NULL, 'app', '2025-01-01')",
                &[&(100 + n), &a],
            )?;
        }
    }
    let archived = "SELECT pg_temp.n(import_id)::text FROM imports WHERE tags @> '{duplicate_archived}' AND pg_temp.n(import_id) >= 100 ORDER BY 1";
    assert_eq!(texts(&mut client, archived)?, ["100", "101", "102"]);
    client.batch_execute("DELETE FROM workout_drafts WHERE import_id > pg_temp.i(99); DELETE FROM imports WHERE import_id > pg_temp.i(99)")?;
    is_adopted(&mut client)
}

#[test]
fn a_migration_that_is_rolled_back_undoes_all_of_it() -> Result<()> {
    let (_db, mut client) = legacy("migration")?;
    let before = whole_state(&mut client)?;
    let mut transaction = client.transaction()?;
    for step in
        ["install_kit('workouts', 'public')", "adopt_imports('imports', false)", "adopt_imports('imports', false, 3)"]
    {
        call(&mut transaction, step, &[])?;
    }
    transaction.rollback()?;
    unchanged(&mut client, &before)?;

    // Rows that the migration itself has written, and DDL before and after.
    let mut transaction = client.transaction()?;
    transaction.batch_execute(
        "ALTER TABLE imports ADD COLUMN extra int; UPDATE imports SET extra = 1; SAVEPOINT s; SELECT once.adopt_imports('imports', false);
         ROLLBACK TO s; SELECT once.install_kit('workouts', 'public'); SELECT once.adopt_imports('imports', false); ALTER TABLE imports DROP COLUMN extra",
    )?;
    transaction.commit()?;
    is_adopted(&mut client)
}

/// As migration tools run a file.
#[test]
fn psql_runs_it_as_a_single_transaction() -> Result<()> {
    let (db, mut client) = legacy("single")?;
    let before = whole_state(&mut client)?;
    let run = |script: &str| -> Result<bool> {
        let mut command = db.cluster().client("psql");
        command.args(["-XAtq", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-d", db.name(), "-c", script]);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    };
    let script = "SELECT once.install_kit('workouts', 'public'); SELECT once.adopt_imports('imports', false);";
    ensure!(!run(&format!("{script} SELECT 1 / 0;"))?);
    unchanged(&mut client, &before)?;
    ensure!(run(script)?);
    is_adopted(&mut client)
}

/// One who is writing is waited for, and his row adopted; one who comes meanwhile waits, and none is lost.
#[test]
fn writers_are_waited_for_and_wait() -> Result<()> {
    let (db, mut client) = legacy("writers")?;
    install(&mut client)?;
    let (mut early, mut watcher) = (db.client()?, db.client()?);
    let a = athlete('A');
    early.batch_execute("BEGIN")?;
    let insert = "INSERT INTO imports (import_id, athlete_id, raw_text, checksum_sha256, source, tags) VALUES ($1, $2, $3, $4, 'app', '{}')";
    let id = |n: u128| once_tests::Uuid::from_u128(0x1000_0000_0000_4000_8000_0000_0000_0000 + n);
    early.execute(insert, &[&id(0x21), &a, &"Squat 5x5", &None::<String>])?;

    let adopter = pid(&mut client)?;
    let good: String = text(&mut client, "SELECT pg_temp.sum('Late')")?;
    let mut late = db.client()?;
    let late_pid = pid(&mut late)?;
    let mut importer = db.client()?;
    let importer_pid = pid(&mut importer)?;
    let (answer, mut client) = thread::scope(|scope| -> Result<_> {
        let adopting = scope.spawn(move || -> Result<_> {
            // The transaction stays open, so that the others are seen to wait.
            client.batch_execute("BEGIN")?;
            Ok((adopt(&mut client, "'imports', false")?, client))
        });
        until_blocked(&mut watcher, adopter)?;
        early.batch_execute("COMMIT")?;
        let (answer, mut client) = adopting.join().map_err(|_| anyhow::anyhow!("panicked"))??;
        let writing = scope.spawn(move || late.execute(insert, &[&id(0x22), &a, &"Late", &Some(good)]).map(drop));
        let importing = scope.spawn(move || -> Result<bool> {
            let import = "SELECT is_duplicate FROM once.import_raw_text_idempotent($1, 'Squat 5x5', 's')";
            for _ in 0..2 {
                match importer.query_one(import, &[&a]) {
                    Ok(row) => return Ok(row.try_get(0)?),
                    // It may have looked before the key was there, and is told so.
                    Err(error) if once_tests::sqlstate(&error) == Some("42P10") => {}
                    Err(error) => return Err(error.into()),
                }
            }
            anyhow::bail!("refused twice")
        });
        until_blocked(&mut watcher, late_pid)?;
        until_blocked(&mut watcher, importer_pid)?;
        client.batch_execute("COMMIT")?;
        writing.join().map_err(|_| anyhow::anyhow!("panicked"))?.context("the late writer")?;
        assert!(importing.join().map_err(|_| anyhow::anyhow!("panicked"))??);
        Ok((answer, client))
    })?;
    assert_eq!(figures(&answer)[..4], [14, 12, 3, 6], "{answer}");
    let rows = "SELECT concat(right(import_id::text, 2), checksum_sha256 = pg_temp.sum(raw_text), tags) FROM imports WHERE right(import_id::text, 2) IN ('21', '22') ORDER BY 1";
    assert_eq!(texts(&mut client, rows)?, ["21t{duplicate_archived}", "22t{}"]);
    Ok(())
}

/// Two who adopt at the same time: the second finds it done, and adds no key twice.
#[test]
fn two_who_adopt_at_once_adopt_once() -> Result<()> {
    for kit_first in [false, true] {
        let (db, mut client) = legacy("both")?;
        if kit_first {
            install(&mut client)?;
            client.batch_execute("ALTER TABLE imports DROP CONSTRAINT legacy_checksum_key")?;
        }
        let (mut other, mut watcher) = (db.client()?, db.client()?);
        let other_pid = pid(&mut other)?;
        client.batch_execute("BEGIN")?;
        adopt(&mut client, "'imports', false")?;
        let second = thread::scope(|scope| -> Result<_> {
            let second = scope.spawn(|| adopt(&mut other, "'imports', false"));
            until_blocked(&mut watcher, other_pid)?;
            client.batch_execute("COMMIT")?;
            second.join().map_err(|_| anyhow::anyhow!("panicked"))?
        })?;
        assert_eq!(figures(&second), [13, 0, 0, 0, 0, 4], "{second}");
        let twice = "SELECT regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') FROM pg_index WHERE indrelid IN ('imports'::regclass, 'workouts'::regclass) GROUP BY indrelid, 1 HAVING count(*) > 1
                     UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conrelid IN ('imports'::regclass, 'workouts'::regclass) GROUP BY conrelid, 1 HAVING count(*) > 1";
        assert_eq!(texts(&mut client, twice)?, [""; 0], "kit first: {kit_first}");
        is_adopted(&mut client)?;
    }
    Ok(())
}

/// On a snapshot from before a writer's commit it would not see that row: it says so, and never that it is done.
#[test]
fn it_is_refused_on_a_snapshot_that_may_be_old() -> Result<()> {
    for level in [IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
        let (db, mut client) = legacy("snapshot")?;
        let mut writer = db.client()?;
        let mut transaction = client.build_transaction().isolation_level(level).start()?;
        transaction.batch_execute("SELECT 1 FROM imports LIMIT 1")?;
        writer.execute(
            "INSERT INTO imports (athlete_id, raw_text, source, received_at) VALUES ($1, 'Squat 5x5', 'app', '2025-01-01')",
            &[&athlete('A')],
        )?;
        let told = call(&mut transaction, "adopt_imports('imports')", &[])?;
        assert_eq!(figures(&told), EXPECTED, "{told}");
        assert_eq!(refused_well(&mut transaction, "SELECT once.adopt_imports('imports', false)", &[])?, "25001");
        drop(transaction);
        let answer = adopt(&mut client, "'imports', false")?;
        assert_eq!(figures(&answer)[..4], [14, 12, 3, 6], "{answer}");
    }
    Ok(())
}

/// A reader that writes in the end, as an application does that looks first, is not made to fail, and neither is the adoption.
#[test]
fn one_who_read_first_and_writes_then_is_no_deadlock() -> Result<()> {
    let (db, mut client) = legacy("deadlock")?;
    let (mut app, mut watcher) = (db.client()?, db.client()?);
    let adopter = pid(&mut client)?;
    app.batch_execute("BEGIN; SELECT 1 FROM imports LIMIT 1")?;
    thread::scope(|scope| -> Result<()> {
        let adopting = scope.spawn(|| adopt(&mut client, "'imports', false"));
        until_blocked(&mut watcher, adopter)?;
        let writing = scope.spawn(|| -> Result<()> {
            app.execute(
                "INSERT INTO imports (raw_text, checksum_sha256, tags) VALUES ('new', repeat('a', 64), '{}')",
                &[],
            )?;
            Ok(app.batch_execute("COMMIT")?)
        });
        writing.join().map_err(|_| anyhow::anyhow!("panicked"))?.context("the application")?;
        adopting.join().map_err(|_| anyhow::anyhow!("panicked"))?.context("the adoption")?;
        Ok(())
    })?;
    Ok(())
}

/// An import, and a commit, that come while rows are still being changed wait for the end: they must not hold what the
/// end needs.
#[test]
fn what_comes_in_the_middle_waits_and_is_no_deadlock() -> Result<()> {
    for call in [
        "SELECT is_duplicate FROM once.import_raw_text_idempotent(NULL, 'Squat 5x5', 's')",
        "SELECT is_duplicate FROM once.commit_workout_idempotent('10000000-0000-4000-8000-000000000003', '{\"workout_date\": \"2024-01-03\"}')",
    ] {
        let (db, mut client) = legacy("middle")?;
        install(&mut client)?;
        // So far that both are open to callers; then spoilt again by one who has no idea.
        adopt(&mut client, "'imports', false")?;
        client.batch_execute(
            "ALTER TABLE imports ALTER COLUMN checksum_sha256 DROP NOT NULL; UPDATE imports SET checksum_sha256 = NULL WHERE import_id = pg_temp.i(11);
             CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END';
             CREATE TRIGGER held BEFORE UPDATE ON imports FOR EACH ROW EXECUTE FUNCTION held()",
        )?;
        let (mut holder, mut caller, mut watcher) = (db.client()?, db.client()?, db.client()?);
        let (adopter_pid, caller_pid) = (pid(&mut client)?, pid(&mut caller)?);
        holder.batch_execute("SELECT pg_advisory_lock(7)")?;
        thread::scope(|scope| -> Result<()> {
            let adopting = scope.spawn(|| adopt(&mut client, "'imports', false"));
            until_blocked(&mut watcher, adopter_pid)?;
            let calling = scope.spawn(|| -> Result<bool> { Ok(caller.query_one(call, &[])?.try_get(0)?) });
            until_blocked(&mut watcher, caller_pid)?;
            holder.batch_execute("SELECT pg_advisory_unlock(7)")?;
            let adopted = adopting.join().map_err(|_| anyhow::anyhow!("panicked"))?;
            let called = calling.join().map_err(|_| anyhow::anyhow!("panicked"))?;
            assert_eq!(figures(&adopted.with_context(|| format!("the adoption beside {call}"))?)[1], 1);
            assert!(called.with_context(|| call.to_owned())?);
            Ok(())
        })?;
    }
    Ok(())
}

fn many(client: &mut Client, rows: i32) -> Result<()> {
    client.batch_execute(SUM)?;
    client.batch_execute(
        "CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text, checksum_sha256 text UNIQUE, created_at timestamptz);
         CREATE TABLE workouts (workout_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), import_id uuid REFERENCES imports, athlete_id uuid, workout_date date,
           content_hash_ref text, created_at timestamptz)",
    )?;
    // Every fourth is a repetition of the one before; every third has an md5. Nothing is analyzed.
    client.execute(
        "INSERT INTO imports SELECT pg_temp.i(n), pg_temp.w(n % 50), 'Workout ' || (n - (n % 4 = 3)::int) / 1, CASE n % 3 WHEN 0 THEN md5(n::text) END, timestamptz '2020-01-01' + n * interval '1 min'
         FROM generate_series(1, $1) n",
        &[&rows],
    )?;
    client.execute("UPDATE imports SET athlete_id = pg_temp.w(1)", &[])?;
    client.execute(
        "INSERT INTO workouts SELECT pg_temp.w(n), import_id, athlete_id, date '2020-01-01' + n % 300, CASE WHEN n % 2 = 0 THEN checksum_sha256 END, created_at
         FROM (SELECT *, pg_temp.n(import_id) AS n FROM imports) i",
        &[],
    )?;
    Ok(())
}

/// However many batches there are, the tables are read whole only by the steps themselves: the batches go by the index.
#[test]
fn the_work_grows_with_the_rows_and_not_with_their_square() -> Result<()> {
    let mut scans = Vec::new();
    for rows in [6_000, 24_000] {
        let db = Db::new("many")?;
        let mut client = db.client()?;
        many(&mut client, rows)?;
        // What a transaction has scanned so far is told only within it, and by this process alone.
        client.batch_execute("SET max_parallel_workers_per_gather = 0; BEGIN")?;
        let answer = adopt(&mut client, "'imports', false")?;
        let read_whole =
            "SELECT sum(seq_scan)::text FROM pg_stat_xact_user_tables WHERE relname IN ('imports', 'workouts')";
        scans.push(text(&mut client, read_whole)?.parse::<i64>()?);
        client.batch_execute("COMMIT")?;
        let [all, computed, malformed, archived, ..] = figures(&answer);
        assert_eq!([all, computed, malformed, archived], [rows, rows, rows / 3, rows / 4].map(i64::from), "{answer}");
        let live = "SELECT concat(count(*), ' ', count(DISTINCT checksum_sha256)) FROM imports WHERE tags = '{}'";
        assert_eq!(text(&mut client, live)?, format!("{0} {0}", rows - rows / 4));
        // A repetition's day is another one, so every workout is told by its hash.
        assert_eq!(answer["records_without_hash"], json!(0), "{answer}");
    }
    // 36 batches lie between them.
    assert!(scans[0] > 0 && scans[1] < scans[0] + 5, "{scans:?}");
    Ok(())
}
