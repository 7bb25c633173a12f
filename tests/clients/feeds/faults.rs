//! Several processes, power cuts, and runs that fail.

use super::sheet::{Dice, Leads, Sheet, install, run, there, told_once};
use anyhow::{Result, anyhow};
use once_tests::mail::fields;
use once_tests::promo::{call, text, texts};
use once_tests::{Db, json, sqlstate};
use std::thread;
use std::time::Duration;

/// Eight processes with one sheet: one runs, the others say so or find nothing new.
#[test]
fn eight_processes_at_once() -> Result<()> {
    let db = Db::new("feed_crowd")?;
    let mut client = install(&db)?;
    let (mut dice, mut leads) = (Dice::new(11), Leads::default());
    let mut sheet = Sheet::new(200, &mut dice);
    let mut skipped = 0;
    for _ in 0..10 {
        leads.process(&sheet);
        let rows = sheet.json();
        let answers = thread::scope(|scope| {
            let (db, rows) = (&db, &rows);
            let runs = (0..8).map(|_| scope.spawn(move || run(&mut db.client()?, rows))).collect::<Vec<_>>();
            runs.into_iter()
                .map(|run| run.join().map_err(|_| anyhow!("a session panicked"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        for answer in &answers {
            assert_eq!(answer["success"], true, "{answer}");
            if answer["status"] == "skipped" {
                skipped += 1;
                assert_eq!(answer["message"], "already running");
            }
        }
        sheet.work(&mut dice);
    }
    assert_eq!(there(&mut client)?, leads.shown());
    told_once(&mut client)?;
    let logged = text(
        &mut client,
        "SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE status = 'skipped')) FROM once.import_logs",
    )?;
    assert_eq!(logged, format!("80 {skipped}"));
    Ok(())
}

/// While a run is under way, another one says so at once, and is no error.
#[test]
fn a_second_run_does_not_wait() -> Result<()> {
    let db = Db::new("feed_single")?;
    let mut client = install(&db)?;
    let rows = Sheet::new(5, &mut Dice::new(3)).json();
    let mut holder = db.client()?;
    let mut first = holder.transaction()?;
    run(&mut first, &rows)?;
    client.batch_execute("SET statement_timeout = '5s'")?;
    let answer = run(&mut client, &rows)?;
    assert_eq!(
        (&answer["success"], &answer["status"], &answer["message"]),
        (&json!(true), &json!("skipped"), &json!("already running"))
    );
    // Under a snapshot from before the first one's commit nobody can tell what is new.
    let mut other = db.client()?;
    let mut old = other.transaction()?;
    old.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
    old.query("SELECT count(*) FROM leads", &[])?;
    first.commit()?;
    let refused = old.query("SELECT once.run_feed('sheet', $1)", &[&once_tests::Value::from(rows.clone())]).err();
    assert_eq!(refused.as_ref().and_then(|error| sqlstate(error)), Some("40001"));
    old.rollback()?;
    assert_eq!(fields(&run(&mut client, &rows)?, ["new_rows_detected"]), [0]);
    Ok(())
}

/// The server is killed at random moments during 50 runs: state and rows never part.
#[test]
fn killed_at_random_moments() -> Result<()> {
    let db = Db::on_own_cluster("feed_kills", &[])?;
    let mut client = install(&db)?;
    let (mut dice, mut leads) = (Dice::new(5), Leads::default());
    let mut sheet = Sheet::new(300, &mut dice);
    let (mut kills, mut lost) = (0, 0);
    for _ in 0..50 {
        let rows = sheet.json();
        if dice.below(3) == 0 {
            let wait = Duration::from_micros(200 * dice.below(200) as u64);
            let answer = thread::scope(|scope| {
                let mut victim = db.client()?;
                let rows = &rows;
                let running = scope.spawn(move || run(&mut victim, rows));
                thread::sleep(wait);
                db.cluster().kill9()?;
                let answer = running.join().map_err(|_| anyhow!("the victim panicked"))?;
                db.cluster().start()?;
                Ok::<_, anyhow::Error>(answer)
            })?;
            kills += 1;
            lost += i32::from(answer.is_err());
            client = db.client()?;
        }
        assert_eq!(run(&mut client, &rows)?["success"], true);
        leads.process(&sheet);
        sheet.work(&mut dice);
    }
    assert!(kills >= 10 && lost > 0, "{kills} kills, {lost} of them in the middle");
    assert_eq!(there(&mut client)?, leads.shown());
    told_once(&mut client)
}

/// What a run fails at is in its log, and the rows come again in the next.
#[test]
fn a_run_that_fails_is_on_record() -> Result<()> {
    let db = Db::new("feed_fails")?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE people (name text PRIMARY KEY);
         CREATE TABLE landing (name text); INSERT INTO landing VALUES ('a');
         SELECT once.create_target('people', 'people', '{\"match\": [[\"name\"]]}');
         SELECT once.create_feed('f', 'people', '{\"source\": {\"relation\": \"public.landing\"}, \"keep_logs\": \"1 hour\"}');
         ALTER TABLE landing RENAME TO gone;",
    )?;
    let answer = call(&mut client, "run_feed('f')", &[])?;
    assert_eq!(
        (&answer["success"], &answer["status"], &answer["sqlstate"]),
        (&json!(false), &json!("error"), &json!("42P01")),
        "{answer}"
    );
    client.batch_execute(
        "ALTER TABLE gone RENAME TO landing;
         CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := NEW.name || ''x''; RETURN NEW; END';
         CREATE TRIGGER no BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION no();",
    )?;
    let answer = call(&mut client, "run_feed('f')", &[])?;
    assert_eq!((&answer["success"], &answer["sqlstate"]), (&json!(false), &json!("P0001")), "{answer}");
    client.batch_execute(
        "DROP TRIGGER no ON people; UPDATE once.import_logs SET started_at = started_at - interval '2 hours' WHERE sqlstate = '42P01'",
    )?;
    assert_eq!(fields(&call(&mut client, "run_feed('f')", &[])?, ["inserted"]), [1]);
    let logs = "SELECT concat_ws(' ', status, sqlstate) FROM once.import_logs ORDER BY started_at";
    assert_eq!(texts(&mut client, logs)?, ["error P0001", "success"]);
    let health = "SELECT concat_ws(' ', feed, last_status, runs, failed, success_rate, inserted) FROM once.feed_health";
    assert_eq!(texts(&mut client, health)?, ["f success 2 1 0.5000 1"]);
    Ok(())
}
