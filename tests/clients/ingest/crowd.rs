//! Many at once, beside an application that writes to the same table: each record once, and no error but the one that asks
//! to try again.

use std::thread;

use anyhow::{Result, anyhow, bail, ensure};
use once_tests::postgres::Client;
use once_tests::rows::{ingest, ingest_rows, outcomes, target};
use once_tests::wait::{pid, until, until_blocked};
use once_tests::{Db, Value, json, sqlstate};

const TABLE: &str =
    "CREATE TABLE people (id bigserial PRIMARY KEY, phone text UNIQUE, ic text UNIQUE, name text, visits int)";
const SPEC: &str = r#"{"match": [["phone"], ["ic"]], "merge": {"visits": "greatest"}}"#;

const CLIENTS: usize = 16;
const WRITERS: usize = 4;
const PEOPLE: usize = 300;
const BATCH: usize = 60;
const ROUNDS: usize = 6;

fn person(number: usize, name: &str) -> Value {
    json!({"phone": format!("60{number:03}"), "ic": format!("IC{number:03}"), "name": name, "visits": number % 7})
}

/// People with a stride that is prime to their number: every batch overlaps with many others, in another order.
fn batch(client: usize, round: usize) -> String {
    let stride = [7, 11, 13, 17][client % 4];
    let number = |n: usize| (client * 97 + round * 41 + n * stride) % PEOPLE;
    json!((0..BATCH).map(|n| person(number(n), &format!("{client} {round}"))).collect::<Vec<_>>()).to_string()
}

/// Ingests, trying again for as long as the server asks for it; that it asks is allowed or not.
fn persist(client: &mut Client, level: &str, rows: &str, may_retry: bool) -> Result<Value> {
    for _ in 0..500 {
        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))?;
        let done = ingest(client, "people", rows, None, false)
            .and_then(|answer| client.batch_execute("COMMIT").map(|()| answer));
        match done {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                client.batch_execute("ROLLBACK")?;
                ensure!(may_retry && sqlstate(&error) == Some("40001"), "{level}: {error:?}");
            }
        }
    }
    bail!("never done under {level}")
}

fn writes(client: &mut Client, writer: usize, round: usize) -> Result<()> {
    for n in 0..BATCH {
        let number = (writer * 31 + round * 17 + n * 13) % PEOPLE;
        let (phone, ic) = (format!("60{number:03}"), format!("IC{number:03}"));
        match n % 3 {
            0 => client
                .execute("INSERT INTO people (phone, ic) VALUES ($1, $2) ON CONFLICT DO NOTHING", &[&phone, &ic])?,
            1 => client.execute("UPDATE people SET name = 'app' WHERE phone = $1", &[&phone])?,
            _ => client.execute("DELETE FROM people WHERE phone = $1", &[&phone])?,
        };
    }
    Ok(())
}

#[test]
fn sixteen_clients_beside_an_application() -> Result<()> {
    let db = Db::on_own_cluster(
        "ingest_crowd",
        &[("max_connections", "60"), ("fsync", "off"), ("deadlock_timeout", "50ms")],
    )?;
    let mut owner = db.client()?;
    owner.batch_execute(TABLE)?;
    target(&mut owner, "people", SPEC)?;
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        owner.batch_execute("TRUNCATE people")?;
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for number in 0..CLIENTS {
                let mut client = db.client()?;
                threads.push(scope.spawn(move || {
                    (0..ROUNDS).try_for_each(|round| {
                        let answer = persist(&mut client, level, &batch(number, round), level != "READ COMMITTED")?;
                        let counts: i64 =
                            ["inserted", "updated", "unchanged"].iter().filter_map(|c| answer[c].as_i64()).sum();
                        ensure!(counts == BATCH as i64, "{level}: {answer}");
                        Ok(())
                    })
                }));
            }
            for number in 0..WRITERS {
                let mut client = db.client()?;
                threads.push(scope.spawn(move || (0..ROUNDS).try_for_each(|round| writes(&mut client, number, round))));
            }
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
        })?;
        // What was deleted comes back, and then nothing is left to do.
        for outcome in ["", "unchanged"] {
            let all = json!((0..PEOPLE).map(|n| person(n, "last")).collect::<Vec<_>>()).to_string();
            let answer = ingest(&mut owner, "people", &all, None, false)?;
            ensure!(outcome.is_empty() || answer[outcome] == json!(PEOPLE), "{level}: {answer}");
        }
        let sql = "SELECT count(*), count(DISTINCT phone), count(DISTINCT ic) FROM people";
        let row = owner.query_one(sql, &[])?;
        let counts: Vec<i64> = (0..3).map(|at| row.get(at)).collect();
        assert_eq!(counts, [PEOPLE as i64; 3], "{level}");
    }
    Ok(())
}

/// A table, and a batch whose last row waits for a key that another session holds uncommitted.
fn waiting(label: &str) -> Result<(Db, Client, String)> {
    let db = Db::new(label)?;
    let mut owner = db.client()?;
    owner.batch_execute(TABLE)?;
    target(&mut owner, "people", SPEC)?;
    Ok((db, owner, json!([person(1, "a"), person(2, "b")]).to_string()))
}

#[test]
fn who_loses_to_an_insert_merges_with_it() -> Result<()> {
    let (db, mut owner, rows) = waiting("ingest_loser")?;
    for (end, expected, counts) in [
        // Found by its other key, and made complete.
        ("COMMIT", "inserted updated", ("2", "winner")),
        ("ROLLBACK", "inserted inserted", ("2", "b")),
    ] {
        owner.batch_execute("TRUNCATE people")?;
        let (mut other, mut client) = (db.client()?, db.client()?);
        other.batch_execute("BEGIN; INSERT INTO people (ic, visits) VALUES ('IC002', 9)")?;
        let process = pid(&mut client)?;
        let text = rows.clone();
        let waits = thread::spawn(move || ingest_rows(&mut client, "people", &text));
        until_blocked(&mut owner, process)?;
        other.batch_execute(end)?;
        let told = waits.join().map_err(|_| anyhow!("a thread panicked"))??;
        assert_eq!(outcomes(&told), expected);
        let visits: i32 =
            owner.query_one("SELECT visits FROM people WHERE phone = '60002' AND name = 'b'", &[])?.get(0);
        assert_eq!(visits, if counts.1 == "winner" { 9 } else { 2 });
    }
    Ok(())
}

#[test]
fn a_record_that_changes_its_key_or_goes_while_it_is_waited_for() -> Result<()> {
    let (db, mut owner, rows) = waiting("ingest_moves")?;
    for (sql, left) in [
        ("UPDATE people SET phone = '60999', ic = NULL WHERE phone = '60001'", 3),
        ("DELETE FROM people WHERE phone = '60001'", 2),
    ] {
        owner.batch_execute("TRUNCATE people")?;
        owner.execute("INSERT INTO people (phone, ic) VALUES ('60001', 'IC001')", &[])?;
        let (mut other, mut client) = (db.client()?, db.client()?);
        other.batch_execute(&format!("BEGIN; {sql}"))?;
        let process = pid(&mut client)?;
        let text = rows.clone();
        let waits = thread::spawn(move || ingest_rows(&mut client, "people", &text));
        until_blocked(&mut owner, process)?;
        other.batch_execute("COMMIT")?;
        let told = waits.join().map_err(|_| anyhow!("a thread panicked"))??;
        assert_eq!(outcomes(&told), "inserted inserted", "{sql}");
        let count: i64 = owner.query_one("SELECT count(*) FROM people", &[])?.get(0);
        assert_eq!(count, left, "{sql}");
    }
    Ok(())
}

#[test]
fn who_is_killed_leaves_nothing_and_trying_again_converges() -> Result<()> {
    let (db, mut owner, rows) = waiting("ingest_killed")?;
    for how in ["pg_terminate_backend", "pg_cancel_backend"] {
        let (mut other, mut client) = (db.client()?, db.client()?);
        other.batch_execute("BEGIN; INSERT INTO people (phone) VALUES ('60002')")?;
        let process = pid(&mut client)?;
        let text = rows.clone();
        let waits = thread::spawn(move || ingest_rows(&mut client, "people", &text));
        until_blocked(&mut owner, process)?;
        owner.execute(&format!("SELECT {how}($1)"), &[&process])?;
        assert!(waits.join().map_err(|_| anyhow!("a thread panicked"))?.is_err());
        other.batch_execute("ROLLBACK")?;
        until("the backend is gone", || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
            Ok(owner.query_one(sql, &[&process])?.get::<_, i64>(0) == 0)
        })?;
        let sql = "SELECT (SELECT count(*) FROM people) + (SELECT count(*) FROM once.import_jobs)";
        let left: i64 = owner.query_one(sql, &[]).map_or(0, |row| row.get(0));
        assert_eq!(left, 0, "{how}");
    }
    assert_eq!(outcomes(&ingest_rows(&mut owner, "people", &rows)?), "inserted inserted");
    assert_eq!(outcomes(&ingest_rows(&mut owner, "people", &rows)?), "unchanged unchanged");
    Ok(())
}

/// A key that comes while a record is about to take it: the row finds two people now.
#[test]
fn a_key_that_comes_while_an_update_takes_it() -> Result<()> {
    let (db, mut owner, _) = waiting("ingest_taken")?;
    owner.execute("INSERT INTO people (phone) VALUES ('60001')", &[])?;
    let (mut other, mut client) = (db.client()?, db.client()?);
    other.batch_execute("BEGIN; INSERT INTO people (ic) VALUES ('IC001')")?;
    let process = pid(&mut client)?;
    let rows = json!([person(1, "a")]).to_string();
    let waits = thread::spawn(move || ingest_rows(&mut client, "people", &rows));
    until_blocked(&mut owner, process)?;
    other.batch_execute("COMMIT")?;
    let told = waits.join().map_err(|_| anyhow!("a thread panicked"))??;
    assert_eq!(outcomes(&told), "ambiguous", "{told:?}");
    Ok(())
}
