//! Many at once, and winners that come to nothing: a text is one import and a draft one workout, each told new once, and
//! no client sees another error than the one that asks to try again.

use std::sync::Barrier;
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use once_tests::postgres::{Client, Error};
use once_tests::promo::{A, text};
use once_tests::wait::{pid, until, until_blocked};
use once_tests::workouts::{commit, counts, draft, drafted, import, install, install_into, sha256};
use once_tests::{Db, Uuid, sqlstate};

const CLIENTS: usize = 64;
const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];
const DAY: &str = r#"{"workout_date": "2026-11-21"}"#;

/// What a client does once: the id of what is there then, and whether it is new.
type Work<'a> = &'a (dyn Fn(usize, &mut Client) -> Result<(String, bool), Error> + Sync);

/// Has every client do the work in a transaction of its own, all with their snapshots taken before the first one
/// begins, and again for as long as the server asks for it by 40001.
fn all_at_once(clients: &mut [Client], level: &str, work: Work) -> Result<Vec<(String, bool)>> {
    let start = Barrier::new(clients.len());
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(number, client)| {
                let start = &start;
                scope.spawn(move || -> Result<(String, bool)> {
                    for attempt in 0..200 {
                        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}; SELECT 1"))?;
                        if attempt == 0 {
                            start.wait();
                        }
                        let outcome =
                            work(number, client).and_then(|done| client.batch_execute("COMMIT").map(|()| done));
                        match outcome {
                            Ok(done) => return Ok(done),
                            Err(error) => {
                                client.batch_execute("ROLLBACK")?;
                                ensure!(level != "READ COMMITTED" && sqlstate(&error) == Some("40001"), "{error:?}");
                            }
                        }
                    }
                    bail!("never done under {level}")
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
    })
}

/// That all were told the same id, and one of them that it is new (or nobody, where it may have come by other ways).
fn one_for_all(told: &[(String, bool)], may_be_old: bool) -> Result<()> {
    let ids: std::collections::BTreeSet<_> = told.iter().map(|(id, _)| id).collect();
    ensure!(ids.len() == 1, "{ids:?}");
    let new = told.iter().filter(|(_, is_new)| *is_new).count();
    ensure!(new == 1 || may_be_old && new == 0, "{new} were told that it is new");
    Ok(())
}

#[test]
fn sixty_four_clients_at_once_in_every_isolation_level() -> Result<()> {
    // Of its own, for the connections.
    let db = Db::on_own_cluster("crowd", &[("max_connections", "80"), ("fsync", "off")])?;
    let mut owner = install_into(&db)?;
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| db.client()).collect::<Result<_>>()?;
    for level in LEVELS {
        for (round, athlete) in [(0, Some(A)), (1, None), (2, Some(A))] {
            let content = format!("{level} {round}");
            // The same in other spaces for each.
            let told = all_at_once(&mut clients, level, &|number, client| {
                let done = import(client, athlete, &format!("{}{content}\n", " ".repeat(number)))?;
                Ok((done.id.to_string(), !done.is_duplicate))
            })?;
            one_for_all(&told, false).context(content)?;
        }

        // One draft; then a draft for each, of one import.
        let (of, one) = drafted(&mut owner, Some(A), &format!("{level} drafts"))?;
        let told = all_at_once(&mut clients, level, &|_, client| {
            let done = commit(client, one, DAY)?;
            Ok((done.id, !done.is_duplicate))
        })?;
        one_for_all(&told, false).with_context(|| format!("{level}: one draft"))?;
        let drafts: Vec<Uuid> = (0..CLIENTS).map(|_| draft(&mut owner, of.id)).collect::<Result<_>>()?;
        let told = all_at_once(&mut clients, level, &|number, client| {
            let done = commit(client, drafts[number], r#"{"workout_date": "2026-11-22"}"#)?;
            Ok((done.id, !done.is_duplicate))
        })?;
        one_for_all(&told, false).with_context(|| format!("{level}: many drafts"))?;

        // Every second one writes into the tables by itself.
        let content = format!("{level} by hand");
        let (checksum, by_hand) = (
            sha256(&mut owner, &content)?,
            "INSERT INTO imports (athlete_id, raw_text, checksum_sha256, source) \
            VALUES ($1, $2, $3, 'hand') ON CONFLICT DO NOTHING",
        );
        let told = all_at_once(&mut clients, level, &|number, client| {
            if number % 2 == 0 {
                client.execute(by_hand, &[&A, &content, &checksum])?;
            }
            let done = import(client, Some(A), &content)?;
            Ok((done.id.to_string(), !done.is_duplicate))
        })?;
        one_for_all(&told, true).with_context(|| format!("{level}: imports by hand"))?;
        let (of, _) = drafted(&mut owner, Some(A), &format!("{level} workouts by hand"))?;
        let drafts: Vec<Uuid> = (0..CLIENTS).map(|_| draft(&mut owner, of.id)).collect::<Result<_>>()?;
        let by_hand = "INSERT INTO workouts (athlete_id, workout_date, content_hash_ref, session_title) \
            VALUES ($1, '2026-11-21', $2, 'hand') ON CONFLICT DO NOTHING";
        let told = all_at_once(&mut clients, level, &|number, client| {
            if number % 2 == 0 {
                client.execute(by_hand, &[&A, &of.checksum])?;
            }
            let done = commit(client, drafts[number], DAY)?;
            Ok((done.id, !done.is_duplicate))
        })?;
        one_for_all(&told, true).with_context(|| format!("{level}: workouts by hand"))?;
    }
    let rows = "SELECT concat_ws(' ', (SELECT count(*) FROM imports), (SELECT count(*) FROM workouts))";
    assert_eq!(text(&mut owner, rows)?, "18 9");
    drop(clients);
    Ok(())
}

/// What a session is answered that waits for a winner, who then comes to an `end`.
fn behind(
    db: &Db,
    end: impl FnOnce(&mut Client, &mut Client) -> Result<()>,
    level: &str,
    content: &str,
) -> Result<Result<(Uuid, bool), Error>> {
    let (mut winner, mut waiter, mut watcher) = (db.client()?, db.client()?, db.client()?);
    winner.batch_execute("BEGIN")?;
    import(&mut winner, Some(A), content)?;
    let waiting = pid(&mut waiter)?;
    waiter.batch_execute(&format!("SET default_transaction_isolation = '{level}'"))?;
    thread::scope(|scope| {
        let thread =
            scope.spawn(move || import(&mut waiter, Some(A), content).map(|done| (done.id, done.is_duplicate)));
        until_blocked(&mut watcher, waiting)?;
        end(&mut winner, &mut watcher)?;
        thread.join().map_err(|_| anyhow!("the waiter panicked"))
    })
}

#[test]
fn who_waits_for_a_winner_takes_his_place_or_his_row() -> Result<()> {
    let (db, mut owner) = install("winner")?;
    let content = "SELECT count(*)::text FROM imports WHERE raw_text = ";
    for level in ["read committed", "repeatable read", "serializable"] {
        let name = format!("{level} rolled back");
        let told = behind(&db, |winner, _| Ok(winner.batch_execute("ROLLBACK")?), level, &name)?;
        assert!(!told?.1, "{name}");
        assert_eq!(text(&mut owner, &format!("{content}'{name}'"))?, "1");

        let name = format!("{level} terminated");
        let told = behind(
            &db,
            |winner, watcher| {
                let process = pid(winner)?;
                watcher.execute("SELECT pg_terminate_backend($1, 10000)", &[&process])?;
                Ok(())
            },
            level,
            &name,
        )?;
        assert!(!told?.1, "{name}");
        assert_eq!(text(&mut owner, &format!("{content}'{name}'"))?, "1");

        let name = format!("{level} committed");
        let told = behind(&db, |winner, _| Ok(winner.batch_execute("COMMIT")?), level, &name)?;
        let id = text(&mut owner, &format!("SELECT import_id::text FROM imports WHERE raw_text = '{name}'"))?;
        match told {
            Ok((found, is_duplicate)) => assert!(level == "read committed" && is_duplicate && found.to_string() == id),
            Err(error) => assert_eq!((sqlstate(&error), level == "read committed"), (Some("40001"), false), "{name}"),
        }
    }
    assert_eq!(counts(&mut owner)?, "9 0 0");
    Ok(())
}

/// The winner deletes, or the row he left is archived, while another waits: that one's text is kept all the same.
#[test]
fn a_row_that_goes_away_in_the_meantime_is_made_again() -> Result<()> {
    let (db, mut owner) = install("gone")?;
    for (n, goes) in ["DELETE FROM imports", "UPDATE imports SET tags = '{duplicate_archived}'"].iter().enumerate() {
        let content = format!("text {n}");
        let told =
            behind(&db, |winner, _| Ok(winner.batch_execute(&format!("{goes}; COMMIT"))?), "read committed", &content)?;
        assert!(!told?.1, "{goes}");
        let there = format!("SELECT count(*)::text FROM imports WHERE raw_text = '{content}' AND tags = '{{}}'");
        assert_eq!(text(&mut owner, &there)?, "1", "{goes}");
    }
    Ok(())
}

#[test]
fn a_killed_winner_loses_and_doubles_nothing() -> Result<()> {
    let db = Db::on_own_cluster("killed_import", &[])?;
    let mut owner = install_into(&db)?;
    let (_, of) = drafted(&mut owner, Some(A), "before")?;
    commit(&mut owner, of, DAY)?;
    let told = behind(&db, |winner, _| db.cluster().kill_backend(pid(winner)?.try_into()?), "read committed", "text")?;
    assert!(told.is_err());
    until("the server cuts off the others too", || Ok(owner.batch_execute("SELECT 1").is_err()))?;
    let mut back = None;
    until("the server is back", || {
        back = db.client().ok();
        Ok(back.is_some())
    })?;
    let mut client = back.context("no connection")?;
    assert_eq!(counts(&mut client)?, "1 1 1");
    assert!(import(&mut client, Some(A), "before")?.is_duplicate && commit(&mut client, of, DAY)?.is_duplicate);
    assert!(!import(&mut client, Some(A), "text")?.is_duplicate);
    assert!(import(&mut client, Some(A), "text")?.is_duplicate);
    // What was acknowledged is there after a power cut.
    db.cluster().kill9()?;
    db.cluster().start()?;
    let mut client = db.client()?;
    assert!(import(&mut client, Some(A), "text")?.is_duplicate && commit(&mut client, of, DAY)?.is_duplicate);
    assert_eq!(counts(&mut client)?, "2 1 1");
    Ok(())
}

/// Batches in opposite orders may deadlock, which is told as such; a retry in one order for all comes through.
#[test]
fn batches_in_opposite_orders_double_nothing() -> Result<()> {
    let (db, mut owner) = install("opposite")?;
    let mut clients: Vec<Client> = (0..6).map(|_| db.client()).collect::<Result<_>>()?;
    let start = Barrier::new(clients.len());
    let new: Vec<usize> = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(number, client)| {
                let start = &start;
                scope.spawn(move || -> Result<usize> {
                    client.batch_execute("SET deadlock_timeout = '20ms'")?;
                    let mut texts: Vec<String> = (0..200).map(|n| format!("text {n}")).collect();
                    if number % 2 == 1 {
                        texts.reverse();
                    }
                    start.wait();
                    for attempt in 0..100 {
                        if attempt == 3 {
                            texts.sort();
                        }
                        client.batch_execute("BEGIN")?;
                        let done: Result<Vec<bool>, Error> =
                            texts.iter().map(|text| Ok(!import(client, Some(A), text)?.is_duplicate)).collect();
                        match done {
                            Ok(done) => {
                                client.batch_execute("COMMIT")?;
                                return Ok(done.into_iter().filter(|is_new| *is_new).count());
                            }
                            Err(error) => {
                                client.batch_execute("ROLLBACK")?;
                                ensure!(sqlstate(&error) == Some("40P01"), "{error:?}");
                            }
                        }
                    }
                    bail!("never done")
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
            .collect::<Result<_>>()
    })?;
    assert_eq!(new.iter().sum::<usize>(), 200);
    assert_eq!(counts(&mut owner)?, "200 0 0");
    Ok(())
}
