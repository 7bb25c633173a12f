//! Many sessions at once: no row is lost, none is there twice, and no client sees an error of the race.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use once_tests::postgres::Client;
use once_tests::promo::{A, call, codes, copy, import, insert, install, mark, refused, stage, text, texts};
use once_tests::wait::{pid, until, until_blocked};
use once_tests::{Db, Uuid, Value, sqlstate};

/// Clients that import at the same time.
const CLIENTS: usize = 32;
/// Merchants that they import for.
const MERCHANTS: usize = 4;
/// Different codes that there are.
const CODES: usize = 1000;
/// What each of them stages in one go: with a stride that is prime to the number of codes, every batch
/// overlaps with many others, in another order, and repeats its first fifty codes.
const BATCH: usize = 250;
/// Clients that insert codes by hand meanwhile.
const HANDS: usize = 8;

fn merchant(number: usize) -> Uuid {
    Uuid::from_u128(0xaaaa_aaaa_aaaa_4aaa_8aaa_0000_0000_0000 + number as u128)
}

fn batch(client: usize, round: usize) -> Vec<String> {
    let first = client * 97 + round * 389;
    let mut codes: Vec<String> = (0..BATCH).map(|n| format!("C{:04}", (first + n * 7) % CODES)).collect();
    codes.extend_from_within(..50);
    codes
}

/// Runs every piece of work in a thread of its own, all starting together, and gives what they gave.
fn all_at_once<T: Send>(work: Vec<Box<dyn FnOnce() -> Result<T> + Send + '_>>) -> Result<Vec<T>> {
    let start = Barrier::new(work.len());
    thread::scope(|scope| {
        let threads: Vec<_> = work
            .into_iter()
            .map(|work| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    work()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
    })
}

/// Marks and inserts until nothing clean is left. Besides, the one answer that a race may give is
/// that others have come into production meanwhile.
fn import_all(client: &mut Client, target: &str, scope: Option<&str>) -> Result<i64> {
    let mut written = 0;
    for _ in 0..200 {
        call(client, "mark_duplicates($1, $2)", &[&target, &scope])?;
        let answer = call(client, "insert_clean($1, $2)", &[&target, &scope])?;
        written += answer["codes_inserted"].as_i64().context("no count")?;
        match answer["sqlstate"].as_str() {
            None => {}
            Some("02000") => return Ok(written),
            Some("P0001") => ensure!(answer["message"].to_string().contains("meanwhile"), "{answer}"),
            Some(_) => ensure!(false, "{answer}"),
        }
    }
    Err(anyhow!("{target} was never done"))
}

/// That what jobs and people say they wrote is what is there, each once.
fn reckon(client: &mut Client, table: &str, by_jobs: i64, by_hand: i64) -> Result<()> {
    let rows: i64 = client.query_one(&format!("SELECT count(*) FROM {table}"), &[])?.try_get(0)?;
    assert_eq!(rows, by_jobs + by_hand);
    let recorded = "SELECT sum(rows_written)::bigint, bool_and((once.verify_import_job(id) ->> 'verified')::bool) \
                    FROM once.import_jobs WHERE status = 'completed'";
    let row = client.query_one(recorded, &[])?;
    assert_eq!((row.try_get(0)?, row.try_get(1)?), (by_jobs, true));
    let strangers = format!(
        "SELECT count(*) FROM {table} c WHERE import_job_id IS NOT NULL AND NOT EXISTS \
         (SELECT FROM once.import_jobs j WHERE j.id = c.import_job_id AND j.status = 'completed')"
    );
    assert_eq!(client.query_one(&strangers, &[])?.try_get::<_, i64>(0)?, 0);
    Ok(())
}

/// Thirty-two targets, each with a staging table of its own, lead to one table, so that the same codes
/// of a merchant come in from eight sides at once.
#[test]
fn many_clients_import_the_same_codes_into_one_table() -> Result<()> {
    let (db, mut owner) = install("crowd")?;
    for client in 0..CLIENTS {
        owner.execute(
            "SELECT once.create_target($1::text, 'public.codes', jsonb_build_object('key', ARRAY['code'], 'scope', 'merchant_id', \
             'job_column', 'import_job_id', 'protect', 'claimed', 'columns', ARRAY['sku'], 'staging', $1::text))",
            &[&format!("side_{client}")],
        )?;
    }

    let importer = |number: usize| -> Result<i64> {
        let mut client = db.client()?;
        let (target, merchant) = (format!("side_{number}"), merchant(number % MERCHANTS).to_string());
        let mut written = 0;
        for round in 0..3 {
            let rows: Vec<_> =
                batch(number, round).into_iter().map(|code| vec![Some(merchant.clone()), Some(code)]).collect();
            copy(&mut client, &format!("public.{target} (merchant_id, code)"), &rows)?;
            written += import_all(&mut client, &target, Some(&merchant))?;
            call(&mut client, "clear_staging($1, $2)", &[&target, &merchant])?;
        }
        Ok(-written)
    };
    let hand = |number: usize| -> Result<i64> {
        let mut client = db.client()?;
        let one = client.prepare("INSERT INTO codes (merchant_id, code) VALUES ($1, $2) ON CONFLICT DO NOTHING")?;
        let mut written = 0;
        for n in 0..CODES / 2 {
            let code = format!("C{:04}", (number * 131 + n * 17) % CODES);
            written += client.execute(&one, &[&merchant(n % MERCHANTS), &code])?;
        }
        Ok(i64::try_from(written)?)
    };
    let mut work: Vec<Box<dyn FnOnce() -> Result<i64> + Send>> = Vec::new();
    for number in 0..CLIENTS {
        work.push(Box::new(move || importer(number)));
    }
    for number in 0..HANDS {
        work.push(Box::new(move || hand(number)));
    }
    // Counts by jobs come as negative numbers.
    let written = all_at_once(work)?;
    let by_jobs = -written.iter().filter(|n| **n < 0).sum::<i64>();
    let by_hand = written.iter().filter(|n| **n > 0).sum::<i64>();

    let mut expected = BTreeSet::new();
    for number in 0..CLIENTS {
        let codes = (0..3).flat_map(|round| batch(number, round));
        expected.extend(codes.map(|code| format!("{} {code}", merchant(number % MERCHANTS))));
    }
    for (number, n) in (0..HANDS).flat_map(|number| (0..CODES / 2).map(move |n| (number, n))) {
        expected.insert(format!("{} C{:04}", merchant(n % MERCHANTS), (number * 131 + n * 17) % CODES));
    }
    let there = texts(&mut owner, "SELECT merchant_id || ' ' || code FROM codes")?;
    assert_eq!(there.len(), expected.len());
    assert_eq!(BTreeSet::from_iter(there), expected);
    ensure!(by_jobs > 0 && by_hand > 0, "one side wrote nothing: {by_jobs} by jobs, {by_hand} by hand");
    reckon(&mut owner, "codes", by_jobs, by_hand)
}

/// A target without a scope has one staging for everybody: while one imports, others stage.
#[test]
fn a_staging_table_that_all_share_loses_nothing() -> Result<()> {
    let db = Db::new("shared")?;
    let mut owner = db.client()?;
    owner.batch_execute(
        "CREATE TABLE coupons (code text UNIQUE, import_job_id uuid);
         SELECT once.create_target('coupons', 'coupons', '{\"key\": [\"code\"], \"job_column\": \"import_job_id\"}');",
    )?;
    let importer = |number: usize| -> Result<i64> {
        let mut client = db.client()?;
        let mut written = 0;
        for round in 0..3 {
            let staged = batch(number, round);
            let rows: Vec<_> = staged.iter().map(|code| vec![Some(code)]).collect();
            copy(&mut client, "coupons_staging (code)", &rows)?;
            loop {
                // Another's rows come in between: then it says so, and is done again.
                match import_all(&mut client, "coupons", None) {
                    Ok(more) => written += more,
                    Err(error) => {
                        let refusal = error.downcast_ref().and_then(sqlstate).map(str::to_owned);
                        ensure!(refusal.as_deref() == Some("55000"), "{error:#}");
                    }
                }
                let sql = "SELECT count(*) FROM unnest($1::text[]) c WHERE c NOT IN (SELECT code FROM coupons)";
                if client.query_one(sql, &[&staged])?.try_get::<_, i64>(0)? == 0 {
                    break;
                }
            }
        }
        Ok(written)
    };
    let mut work: Vec<Box<dyn FnOnce() -> Result<i64> + Send>> = Vec::new();
    for number in 0..8 {
        work.push(Box::new(move || importer(number)));
    }
    all_at_once(work)?;
    let expected: BTreeSet<String> = (0..8).flat_map(|n| (0..3).flat_map(move |round| batch(n, round))).collect();
    let there = texts(&mut owner, "SELECT code FROM coupons")?;
    assert_eq!(there.len(), expected.len());
    assert_eq!(BTreeSet::from_iter(there), expected);
    reckon(&mut owner, "coupons", i64::try_from(expected.len())?, 0)
}

/// Under SERIALIZABLE a client that tries again on 40001, and on nothing else, always comes through.
#[test]
fn serializable_clients_need_to_retry_only_on_40001() -> Result<()> {
    let (db, mut owner) = install("serializable")?;
    let transaction = |client: &mut Client, codes: &[String]| -> Result<Option<i64>, once_tests::postgres::Error> {
        let mut transaction =
            client.build_transaction().isolation_level(once_tests::postgres::IsolationLevel::Serializable).start()?;
        transaction
            .execute("INSERT INTO codes_check_temp (merchant_id, code) SELECT $1, unnest($2::text[])", &[&A, &codes])?;
        transaction.execute("SELECT once.mark_duplicates_in_temp($1)", &[&A])?;
        let answer: Value =
            transaction.query_one("SELECT once.insert_clean_codes_to_production($1)", &[&A])?.try_get(0)?;
        transaction.commit()?;
        Ok(answer["codes_inserted"].as_i64())
    };
    let importer = |number: usize| -> Result<i64> {
        let mut client = db.client()?;
        let mut written = 0;
        for round in 0..3 {
            let codes = &batch(number, round)[..40];
            written += loop {
                match transaction(&mut client, codes) {
                    Ok(count) => break count.context("no count")?,
                    Err(error) => ensure!(sqlstate(&error) == Some("40001"), "{error:?}"),
                }
            };
        }
        Ok(written)
    };
    let mut work: Vec<Box<dyn FnOnce() -> Result<i64> + Send>> = Vec::new();
    for number in 0..6 {
        work.push(Box::new(move || importer(number)));
    }
    let by_jobs = all_at_once(work)?.iter().sum();
    let expected: BTreeSet<String> =
        (0..6).flat_map(|n| (0..3).flat_map(move |round| batch(n, round).into_iter().take(40))).collect();
    assert_eq!(BTreeSet::from_iter(codes(&mut owner, A)?), expected);
    reckon(&mut owner, "codes", by_jobs, 0)
}

/// A COPY that began first has the lower numbers, and its transaction ends last.
#[test]
fn rows_of_a_copy_that_ends_late_are_not_imported_unmarked() -> Result<()> {
    let (db, mut early) = install("late")?;
    let mut late = db.client()?;
    let blocked = |client: &mut Client, when: &str| -> Result<()> {
        for function in ["validate_clean_codes_for_insert", "insert_clean_codes_to_production", "get_duplicate_report"]
        {
            let refusal = refused(client, &format!("SELECT once.{function}($1)"), &[&A])?;
            assert_eq!(refusal.code().code(), "55000", "{when}, {function}: {refusal:?}");
        }
        Ok(())
    };

    early.batch_execute("BEGIN")?;
    stage(&mut early, A, &["E0", "E1", "E2"])?;
    stage(&mut late, A, &["E0", "L1"])?;
    assert_eq!(mark(&mut late, A)?["clean_count"], 2);
    assert_eq!(call(&mut late, "validate_clean_codes_for_insert($1)", &[&A])?["total_clean_codes"], 2);
    early.batch_execute("COMMIT")?;
    blocked(&mut late, "more rows, none of a higher number")?;
    // The code that both have staged is the early one's now.
    assert_eq!(mark(&mut late, A)?["internal_duplicates"], 1);
    assert_eq!(text(&mut late, "SELECT row_number::text FROM codes_check_temp WHERE internal_dup")?, "4");

    // As many rows as when they were marked, and the same highest number: but not the same rows.
    early.batch_execute("BEGIN")?;
    stage(&mut early, A, &["E3"])?;
    stage(&mut late, A, &["L2"])?;
    mark(&mut late, A)?;
    late.execute("DELETE FROM codes_check_temp WHERE code = 'L1'", &[])?;
    early.batch_execute("COMMIT")?;
    blocked(&mut late, "as many rows")?;
    let answer = import(&mut late, A)?;
    assert_eq!(answer["codes_inserted"], 5, "{answer}");
    assert_eq!(codes(&mut late, A)?, ["E0", "E1", "E2", "E3", "L2"]);
    assert_eq!(insert(&mut late, A)?["success"], false);
    Ok(())
}

/// Two sessions set the same thing up at once: the second waits for the first, and finds it done, or
/// does it itself where the first has thought better of it.
#[test]
fn setting_up_twice_at_once_is_setting_up_once() -> Result<()> {
    const KIT: &str = "SELECT once.install_kit('promo_codes', 'public')";
    const PREFIXED: &str = "SELECT once.install_kit('promo_codes', 'public', 'shop2_')";
    const TARGET: &str =
        "SELECT once.create_target('coupons', 'coupons', '{\"key\": [\"code\"], \"job_column\": \"job\"}')";
    const TABLE: &str = "CREATE TABLE coupons (code text UNIQUE, job uuid)";
    let cases = [
        ("the first kit", "", KIT, KIT),
        ("a kit that is there", KIT, KIT, KIT),
        ("a second kit", KIT, PREFIXED, PREFIXED),
        ("two kits, the first ever", "", KIT, PREFIXED),
        ("the first target", TABLE, TARGET, TARGET),
        ("a target beside a kit", &format!("{TABLE}; {KIT}"), TARGET, TARGET),
        ("a target that is there", &format!("{TABLE}; {TARGET}"), TARGET, TARGET),
    ];
    let mut wrong = Vec::new();
    for (name, before, one, other) in cases {
        for end in ["COMMIT", "ROLLBACK"] {
            if let Err(error) = set_up_at_once(before, one, other, end) {
                wrong.push(format!("{name}, {end}: {error:#}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

fn set_up_at_once(before: &str, one: &str, other: &str, end: &str) -> Result<()> {
    let db = Db::new("setup")?;
    let (mut first, mut second, mut watcher) = (db.client()?, db.client()?, db.client()?);
    first.batch_execute(before)?;
    first.batch_execute(&format!("BEGIN; {one}"))?;
    let waiter = pid(&mut second)?;
    thread::scope(|scope| -> Result<()> {
        let other = scope.spawn(move || second.batch_execute(other));
        until("the second waits or has done", || {
            let blocked = watcher.query_one("SELECT cardinality(pg_blocking_pids($1)) > 0", &[&waiter])?.try_get(0)?;
            Ok(blocked || other.is_finished())
        })?;
        first.batch_execute(end)?;
        other.join().map_err(|_| anyhow!("the second panicked"))?.context("the second failed")
    })?;
    // What was set up works, and setting up again changes nothing.
    watcher.batch_execute(other)?;
    let listed = text(&mut watcher, "SELECT string_agg(name, ' ') FROM once.target_list")?;
    ensure!(!listed.is_empty() && text(&mut watcher, "SELECT count(*)::text FROM once.import_jobs")? == "0");
    Ok(())
}

/// Marking while another marks: one after the other, with one result.
#[test]
fn marking_twice_at_once_is_marking_once() -> Result<()> {
    let (db, mut first) = install("marks")?;
    let (mut second, mut watcher) = (db.client()?, db.client()?);
    stage(&mut first, A, &batch(0, 0))?;
    first.batch_execute("BEGIN")?;
    let one = mark(&mut first, A)?;
    let waiter = pid(&mut second)?;
    let other = thread::scope(|scope| -> Result<Value> {
        let other = scope.spawn(move || mark(&mut second, A));
        until_blocked(&mut watcher, waiter)?;
        first.batch_execute("COMMIT")?;
        other.join().map_err(|_| anyhow!("the second panicked"))?
    })?;
    assert_eq!(one, other);
    assert_eq!((&one["total_rows"], &one["internal_duplicates"]), (&300.into(), &50.into()));
    Ok(())
}

#[path = "concurrency/files.rs"]
mod files;
