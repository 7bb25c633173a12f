//! A crash, a kill, a cancel, a timeout: production is as it was or as it was said to be, and what the crash took
//! from the staging table is never passed over in silence.

use std::thread;

use anyhow::{Result, anyhow, bail};
use once_tests::files::{File, load, names, status};
use once_tests::postgres::{Client, Error};
use once_tests::promo::{
    A, B, call, codes, import, imported, insert, install, job_of, mark, refused, refused_well, stage, text,
};
use once_tests::wait::{pid, until, until_blocked};
use once_tests::{Db, Uuid, sqlstate};

/// A merchant whose import was over before the crash.
const DONE: Uuid = Uuid::from_u128(0xdddd_dddd_dddd_4ddd_8ddd_dddd_dddd_dddd);
/// The advisory lock at which the gate keeps an insert.
const GATE: i64 = 4711;
/// Every step that works on staged rows.
const STEPS: [&str; 4] = [
    "mark_duplicates_in_temp($1)",
    "validate_clean_codes_for_insert($1)",
    "insert_clean_codes_to_production($1)",
    "get_duplicate_report($1)",
];

fn hundred(prefix: &str) -> Vec<String> {
    (0..100).map(|n| format!("{prefix}{n:02}")).collect()
}

/// An insert that comes to the code `…50` waits until nobody holds the gate.
fn build_gate(owner: &mut Client) -> Result<()> {
    Ok(owner.batch_execute(&format!(
        "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW; END';
         CREATE TRIGGER gate BEFORE INSERT ON codes FOR EACH ROW WHEN (NEW.code LIKE '%50') EXECUTE FUNCTION gate();"
    ))?)
}

/// Runs `sql` up to the gate in a session of its own, does `harm` to it there, opens the gate and gives what the
/// session was answered.
fn harmed(
    db: &Db,
    sql: &'static str,
    harm: impl FnOnce(&mut Client, i32) -> Result<()>,
) -> Result<std::result::Result<(), Error>> {
    let (mut victim, mut watcher) = (db.client()?, db.client()?);
    watcher.execute("SELECT pg_advisory_lock($1)", &[&GATE])?;
    let process = pid(&mut victim)?;
    thread::scope(|scope| {
        let victim = scope.spawn(move || victim.batch_execute(sql));
        until_blocked(&mut watcher, process)?;
        harm(&mut watcher, process)?;
        drop(watcher);
        victim.join().map_err(|_| anyhow!("the victim panicked"))
    })
}

fn connected_again(db: &Db) -> Result<Client> {
    let mut client = None;
    until("the server is back", || {
        client = db.client().ok();
        Ok(client.is_some())
    })?;
    client.ok_or_else(|| anyhow!("no connection"))
}

/// That every step refuses to go on for a merchant, because of the crash.
fn says_emptied(client: &mut Client, merchant: Uuid) -> Result<()> {
    for step in STEPS {
        let sql = format!("SELECT once.{step}");
        assert_eq!(refused_well(client, &sql, &[&merchant])?, "55000", "{step}");
        let message = refused(client, &sql, &[&merchant])?.message().to_owned();
        assert!(message.contains("crash"), "{step}: {message}");
    }
    // A file for this merchant is refused before it is read, one that turns out to be for it before it counts.
    for step in [
        "begin_file('codes', repeat('0', 64), $1::uuid::text)",
        "end_file('codes', repeat('0', 64), 'f', jsonb_build_object($1::uuid::text, 1))",
    ] {
        assert_eq!(refused_well(client, &format!("SELECT once.{step}"), &[&merchant])?, "55000", "{step}");
    }
    assert_eq!(status(client, merchant)?["emptied"], true);
    Ok(())
}

/// The code of the server's error.
fn code_of<T>(answer: Result<T>) -> Option<String> {
    answer.err()?.downcast_ref().and_then(sqlstate).map(str::to_owned)
}

/// Which scopes may go on since these files will be staged again, and how many files each had.
fn recovered(client: &mut Client, files: &[Option<String>]) -> Result<Vec<(Uuid, i64)>> {
    let rows = client.query("SELECT scope::uuid, files FROM once.recover_staging('codes', $1)", &[&files])?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

fn jobs_of(client: &mut Client, merchant: Uuid) -> Result<String> {
    text(
        client,
        &format!(
            "SELECT coalesce(string_agg(status, ' '), 'none') FROM codes_import_jobs WHERE merchant_id = '{merchant}'"
        ),
    )
}

#[test]
fn a_backend_killed_in_the_middle_of_an_insert() -> Result<()> {
    let db = Db::on_own_cluster("killed", &[])?;
    let mut owner = db.client()?;
    call(&mut owner, "install_kit('promo_codes', 'public')", &[])?;
    stage(&mut owner, DONE, &hundred("D"))?;
    let done = imported(&import(&mut owner, DONE)?)?;
    let both = [A, B].iter().flat_map(|merchant| hundred("N").into_iter().map(|code| (*merchant, code)));
    let both = File::new("both.csv", both);
    load(&mut owner, &both)?;
    for merchant in [A, B] {
        mark(&mut owner, merchant)?;
    }
    build_gate(&mut owner)?;

    let sql = "SELECT once.insert_clean_codes_to_production('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa')";
    let answer = harmed(&db, sql, |_, process| db.cluster().kill_backend(process.try_into()?))?;
    assert!(answer.is_err_and(|error| error.is_closed() || sqlstate(&error).is_some()));

    until("the server cuts off the others too", || Ok(owner.batch_execute("SELECT 1").is_err()))?;
    let mut client = connected_again(&db)?;
    assert_eq!(codes(&mut client, A)?, Vec::<String>::new());
    assert_eq!(jobs_of(&mut client, A)?, "none");
    assert_eq!(call(&mut client, "verify_import_job($1)", &[&done])?["verified"], true);
    assert_eq!(codes(&mut client, DONE)?, hundred("D"));

    // Emptied for everybody who had staged rows: until each clears, and not only until each stages again.
    says_emptied(&mut client, A)?;
    says_emptied(&mut client, B)?;
    assert_eq!(names(&mut client, A)?, Vec::<String>::new());
    stage(&mut client, A, &hundred("N"))?;
    says_emptied(&mut client, A)?;
    assert_eq!(call(&mut client, "clear_temp_data($1)", &[&A])?["rows_deleted"], 100);
    assert_eq!(status(&mut client, A)?["emptied"], false);
    // The list outlives the crash, but is not believed: not while B is listed, whose rows are gone.
    assert_eq!(code_of(load(&mut client, &both)).as_deref(), Some("55000"));
    // That is not in the way of the same content where it is given for A alone.
    let given = "SELECT name FROM once.begin_file('codes', $1, $2::uuid::text)";
    let sha256 = both.sha256(&mut client)?;
    assert_eq!(client.query(given, &[&sha256, &A])?.len(), 0);
    let of_a = File::new("a.csv", hundred("N").into_iter().map(|code| (A, code)));
    assert_eq!(load(&mut client, &of_a)?, 100);
    let answer = import(&mut client, A)?;
    assert_eq!(answer["codes_inserted"], 100, "{answer}");
    let report = "SELECT count(*) FROM once.get_duplicate_report($1)";
    assert_eq!(client.query_one(report, &[&A])?.try_get::<_, i64>(0)?, 100);

    says_emptied(&mut client, B)?;
    // That A goes on has not made B's loss be forgotten.
    client.batch_execute("BEGIN")?;
    assert_eq!(recovered(&mut client, &[Some(sha256)])?, [(B, 1)]);
    client.batch_execute("ROLLBACK")?;
    stage(&mut client, B, &["half"])?;
    says_emptied(&mut client, B)?;
    assert_eq!(call(&mut client, "clear_temp_data($1)", &[&B])?["rows_remaining"], 0);
    assert_eq!(load(&mut client, &both)?, 200);
    assert_eq!(import(&mut client, B)?["codes_inserted"], 100);

    // A second crash takes what was staged since: of A a.csv and both.csv, of B both.csv.
    let both = both.sha256(&mut client)?;
    let of_a = of_a.sha256(&mut client)?;
    assert_eq!(recovered(&mut client, &[Some(both.clone()), Some(of_a.clone())])?, [], "nothing was lost yet");
    mark(&mut client, A)?;
    db.cluster().stop_immediate()?;
    db.cluster().start()?;
    let mut client = db.client()?;
    says_emptied(&mut client, A)?;
    says_emptied(&mut client, B)?;
    // Who stages all of a merchant's files again needs not clear; who has not all of them does.
    assert_eq!(recovered(&mut client, &[Some(both.clone()), None])?, [(B, 1)]);
    assert_eq!(status(&mut client, B)?["emptied"], false);
    says_emptied(&mut client, A)?;
    // Nor is it lost in silence what was staged since, half of something maybe.
    stage(&mut client, A, &["since"])?;
    assert_eq!(recovered(&mut client, &[Some(both.clone()), Some(of_a.clone())])?, []);
    says_emptied(&mut client, A)?;
    client.execute("DELETE FROM codes_check_temp", &[])?;
    // Files that do not say whose they are may be staged for another merchant now.
    let for_b = "SELECT scope FROM once.recover_staging('codes', $1, $2::uuid::text)";
    assert!(client.query(for_b, &[&vec![&of_a, &both], &B])?.is_empty());
    assert_eq!(recovered(&mut client, &[Some(of_a), Some(both)])?, [(A, 2)]);
    assert_eq!((status(&mut client, A)?["emptied"].clone(), names(&mut client, A)?), (false.into(), vec![]));
    // Jobs need no staged rows: they are undone all the same.
    let undone = call(&mut client, "rollback_import_job($1)", &[&done])?;
    assert_eq!(undone["codes_deleted"], 100, "{undone}");
    Ok(())
}

#[test]
fn a_clean_restart_and_logged_staging_lose_nothing() -> Result<()> {
    let db = Db::on_own_cluster("restarted", &[])?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    let file = |merchant: Uuid, prefix: &str| File::new("f", hundred(prefix).into_iter().map(|code| (merchant, code)));
    load(&mut client, &file(A, "A"))?;
    stage(&mut client, A, &["A00"])?;
    mark(&mut client, A)?;
    db.cluster().restart()?;

    // Rows and marks are as they were: no need to mark again.
    let mut client = db.client()?;
    let verdict = call(&mut client, "validate_clean_codes_for_insert($1)", &[&A])?;
    assert_eq!(verdict["total_clean_codes"], 100, "{verdict}");
    assert_eq!(load(&mut client, &file(A, "A"))?, 0);
    let first = imported(&insert(&mut client, A)?)?;

    // Logged staging: the power fails, and the rows are still there. That they are to be marked again is all.
    client.batch_execute("ALTER TABLE codes_check_temp SET LOGGED")?;
    load(&mut client, &file(B, "B"))?;
    stage(&mut client, B, &["B00"])?;
    mark(&mut client, B)?;
    stage(&mut client, DONE, &["unmarked"])?;
    db.cluster().kill9()?;
    db.cluster().start()?;

    let mut client = db.client()?;
    assert_eq!(call(&mut client, "verify_import_job($1)", &[&first])?["verified"], true);
    for merchant in [B, DONE] {
        for step in ["validate_clean_codes_for_insert($1)", "get_duplicate_report($1)"] {
            if let Err(error) = client.execute(&format!("SELECT once.{step}"), &[&merchant]) {
                let message = error.as_db_error().map(|e| e.message().to_owned()).unwrap_or_default();
                assert_eq!(sqlstate(&error), Some("55000"), "{step}: {error:?}");
                assert!(!message.contains("crash"), "a false alarm at {step}: {message}");
            }
        }
    }
    assert_eq!((load(&mut client, &file(B, "B"))?, &status(&mut client, B)?["emptied"]), (0, &false.into()));
    let marked = mark(&mut client, B)?;
    assert_eq!((&marked["total_rows"], &marked["clean_count"]), (&101.into(), &100.into()));
    assert_eq!(insert(&mut client, B)?["codes_inserted"], 100);
    assert_eq!(codes(&mut client, B)?, hundred("B"));
    Ok(())
}

#[test]
fn a_cancel_a_timeout_a_rollback_or_a_terminate_leaves_nothing_of_the_insert() -> Result<()> {
    const INSERT: &str = "SELECT once.insert_clean_codes_to_production('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa')";
    let (db, mut owner) = install("interrupted")?;
    build_gate(&mut owner)?;
    stage(&mut owner, A, &hundred("N"))?;
    mark(&mut owner, A)?;
    let nothing_is_left = |client: &mut Client, after: &str| -> Result<()> {
        assert_eq!(codes(client, A)?, Vec::<String>::new(), "{after}");
        assert_eq!(jobs_of(client, A)?, "none", "{after}");
        let verdict = call(client, "validate_clean_codes_for_insert($1)", &[&A])?;
        assert_eq!(verdict["total_clean_codes"], 100, "{after}");
        Ok(())
    };
    let code = |answer: std::result::Result<(), Error>| answer.err().as_ref().and_then(sqlstate).map(str::to_owned);

    let answer = harmed(&db, INSERT, |watcher, process| {
        watcher.execute("SELECT pg_cancel_backend($1)", &[&process])?;
        until("the cancel is obeyed", || {
            let idle = "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $1";
            Ok(watcher.query_opt(idle, &[&process])?.is_none_or(|row| row.get(0)))
        })
    })?;
    assert_eq!(code(answer).as_deref(), Some("57014"));
    nothing_is_left(&mut owner, "a cancel")?;

    const TIMED: &str = "SET statement_timeout = '1s'; \
        SELECT once.insert_clean_codes_to_production('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa')";
    let answer = harmed(&db, TIMED, |watcher, process| {
        until("the timeout strikes", || {
            let waits = "SELECT cardinality(pg_blocking_pids($1)) = 0";
            Ok(watcher.query_one(waits, &[&process])?.try_get(0)?)
        })
    })?;
    assert_eq!(code(answer).as_deref(), Some("57014"));
    nothing_is_left(&mut owner, "a timeout")?;

    let answer = harmed(&db, INSERT, |watcher, process| {
        watcher.execute("SELECT pg_terminate_backend($1, 10000)", &[&process])?;
        Ok(())
    })?;
    // The client library hears it from the server, or only that the connection was closed.
    assert!(answer.is_err_and(|error| error.is_closed() || sqlstate(&error) == Some("57P01")));
    nothing_is_left(&mut owner, "a terminate")?;

    owner.batch_execute("BEGIN")?;
    let answer = insert(&mut owner, A)?;
    assert_eq!(answer["codes_inserted"], 100, "{answer}");
    owner.batch_execute("ROLLBACK")?;
    nothing_is_left(&mut owner, "a rollback")?;
    let unknown = refused_well(&mut owner, "SELECT once.verify_import_job($1)", &[&job_of(&answer)?])?;
    assert_eq!(unknown, "P0002");

    let answer = insert(&mut owner, A)?;
    assert_eq!(call(&mut owner, "verify_import_job($1)", &[&imported(&answer)?])?["verified"], true);
    assert_eq!(codes(&mut owner, A)?, hundred("N"));
    Ok(())
}

#[test]
fn a_cancel_is_obeyed_in_every_phase() -> Result<()> {
    const ROWS: usize = 300_000;
    const MARK: &str = "SELECT once.mark_duplicates_in_temp('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa')";
    const INSERT: &str = "SELECT once.insert_clean_codes_to_production('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa')";
    let (db, mut owner) = install("obeyed")?;
    owner.execute(
        "INSERT INTO codes_check_temp (merchant_id, code) SELECT $1, 'C' || n % 200000 FROM generate_series(1, $2::int) n",
        &[&A, &i32::try_from(ROWS)?],
    )?;
    owner
        .execute("INSERT INTO codes (merchant_id, code) SELECT $1, 'C' || n FROM generate_series(1, 50000) n", &[&A])?;
    for moment in ["phase LIKE 'marking%'", "phase LIKE 'marking%' AND rows_done > 0"] {
        cancelled_when(&db, MARK, moment)?;
    }
    owner.batch_execute(MARK)?;
    for moment in ["phase = 'validating'", "phase = 'inserting'"] {
        cancelled_when(&db, INSERT, moment)?;
        assert_eq!(jobs_of(&mut owner, A)?, "none", "{moment}");
    }
    assert_eq!(insert(&mut owner, A)?["codes_inserted"], 150_000);
    Ok(())
}

/// Starts a statement and cancels it once the view of progress shows it there; it must end by that.
fn cancelled_when(db: &Db, sql: &'static str, moment: &str) -> Result<()> {
    let (mut victim, mut watcher) = (db.client()?, db.client()?);
    let process = pid(&mut victim)?;
    thread::scope(|scope| {
        let victim = scope.spawn(move || victim.batch_execute(sql));
        until(moment, || {
            let there = format!("SELECT EXISTS (SELECT FROM once.import_progress WHERE pid = $1 AND {moment})");
            Ok(victim.is_finished() || watcher.query_one(&there, &[&process])?.try_get(0)?)
        })?;
        watcher.execute("SELECT pg_cancel_backend($1)", &[&process])?;
        match victim.join().map_err(|_| anyhow!("the victim panicked"))? {
            Err(error) if sqlstate(&error) == Some("57014") => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => bail!("it ended before it was cancelled when {moment}"),
        }
    })
}
