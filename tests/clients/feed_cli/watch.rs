//! `once feed watch`: it goes on through what passes, and ends when it is told to.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use once_tests::once::{Folder, Running, once, start, start_command};
use once_tests::wait::until;
use once_tests::{Db, Value, json};
use xtask::server::UNSAFE_BUT_QUICK;

use super::google::{EMAIL, Google, Reply, error, values};
use super::{feed, install, leads, says};

const ANA: &str = "id,full_name,phone_number\nL1,Ana,012-345 6701\n";
const ANA_AND_BO: &str = "id,full_name,phone_number\nL1,Ana,012-345 6701\nL2,Bo,+60 12-345 6702\n";

/// Ends it by a signal, which takes less than a second, and gives the lines that it printed as JSON.
fn stopped(running: Running, signal: &str) -> Result<Vec<Value>> {
    running.signal(signal)?;
    let told = Instant::now();
    let ran = running.wait()?;
    assert!(told.elapsed() < Duration::from_secs(1), "it took {:?}", told.elapsed());
    assert_eq!(ran.exit, 0, "{ran:?}");
    ran.out.lines().map(|line| line.parse().with_context(|| format!("no JSON: {line}"))).collect()
}

fn until_leads(db: &Db, count: usize) -> Result<()> {
    until(&format!("{count} leads are there"), || Ok(leads(db).is_ok_and(|leads| leads.len() == count)))
}

#[test]
fn the_file_is_read_anew_until_a_signal_comes() -> Result<()> {
    let folder = Folder::new("watch")?;
    let path = folder.path().join("leads.csv");
    let csv = path.display().to_string();
    for signal in ["TERM", "INT"] {
        let db = feed("watch")?;
        fs::write(&path, ANA)?;
        let running = start(&db, &["feed", "watch", "sheet", "--csv", &csv, "--every", "1s", "--json"])?;
        until_leads(&db, 1)?;
        // A file that is away for a while is told, and does not end it.
        fs::remove_file(&path)?;
        sleep(Duration::from_millis(1_500));
        fs::write(&path, ANA_AND_BO)?;
        until_leads(&db, 2)?;
        let lines = stopped(running, signal)?;
        let told = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains("can't be read"));
        assert!(lines.iter().any(told), "{lines:?}");
        assert!(lines.iter().all(|line| line["time"].as_str().is_some_and(|time| time.ends_with('Z'))), "{lines:?}");
        assert!(lines.len() >= 3 && !told(&lines[0]), "{lines:?}");
    }
    // Idle for long.
    let db = feed("watch_idle")?;
    let running = start(&db, &["feed", "watch", "sheet", "--csv", &csv, "--every", "1h", "--json"])?;
    until_leads(&db, 2)?;
    sleep(Duration::from_millis(500));
    assert_eq!(stopped(running, "TERM")?.len(), 1);
    Ok(())
}

#[test]
fn a_restart_of_the_server_is_survived() -> Result<()> {
    let db = Db::on_own_cluster("watch_restart", UNSAFE_BUT_QUICK)?;
    install(&db)?;
    let folder = Folder::new("watch_restart")?;
    let path = folder.file("leads.csv", ANA)?;
    let csv = path.display().to_string();
    let running = start(&db, &["feed", "watch", "sheet", "--csv", &csv, "--every", "1s", "--json"])?;
    until_leads(&db, 1)?;
    db.cluster().stop()?;
    fs::write(&path, ANA_AND_BO)?;
    sleep(Duration::from_secs(3));
    db.cluster().start()?;
    until_leads(&db, 2)?;
    let lines = stopped(running, "TERM")?;
    let away = |line: &&Value| line["message"].as_str().is_some_and(|m| m.contains("can't connect"));
    assert!(lines.iter().any(|line| away(&line)), "{lines:?}");
    Ok(())
}

/// A server that is not there yet is waited for; what somebody has to set up ends it.
#[test]
fn what_has_to_be_set_up_ends_it_at_the_start_only() -> Result<()> {
    let db = feed("watch_start")?;
    let folder = Folder::new("watch_start")?;
    let csv = folder.file("leads.csv", ANA)?.display().to_string();
    let watch = |more: &[&str]| once(&db, &[&["feed", "watch"], more].concat());
    says(&watch(&["other", "--csv", &csv, "--every", "1s"])?, 3, &["other", "42704"]);
    says(&watch(&["sheet", "--csv", "/no/such.csv", "--every", "1s"])?, 1, &["can't be read"]);
    says(&watch(&["sheet", "--csv", &csv, "--every", "soon"])?, 2, &["10m"]);
    says(&watch(&["sheet", "--csv", &csv, "--every", "500ms"])?, 2, &["second or more"]);
    says(&watch(&["sheet", "--csv", &csv, "--every", "1s", "--dsn", "user=nobody_of_that_name"])?, 3, &["28000"]);

    let google = Google::new(&[error(403, "The caller does not have permission")])?;
    let arguments = ["feed", "watch", "sheet", "--sheet", "1x", "--every", "1s", "--json"];
    says(&google.run_command(&mut google.command(&db, &arguments)?)?, 1, &["not shared", EMAIL]);
    // Later, the same is but one run's failure; and so are errors of the server that do not pass in time.
    let row = || values("A!A1:C9", json!([["id", "full_name", "phone_number"], ["L1", "Ana", "012-345 6701"]]));
    let denied = error(403, "The caller does not have permission");
    let two =
        json!([["id", "full_name", "phone_number"], ["L1", "Ana", "012-345 6701"], ["L2", "Bo", "+60 12-345 6702"]]);
    let last = values("A!A1:C9", two);
    let google = Google::new(&[row(), denied, Reply::Status(500, String::new()), last])?;
    let running = start_command(&mut google.command(&db, &arguments)?)?;
    until_leads(&db, 2)?;
    let lines = stopped(running, "TERM")?;
    assert!(lines.iter().any(|line| line["message"].as_str().is_some_and(|m| m.contains("not shared"))), "{lines:?}");
    assert_eq!(google.tokens(), 1, "a token is kept until it expires");
    Ok(())
}

/// What is under way is cancelled, and undone.
#[test]
fn a_signal_ends_a_run_under_way() -> Result<()> {
    let db = feed("watch_cancel")?;
    let folder = Folder::new("watch_cancel")?;
    let csv = folder.file("leads.csv", ANA)?.display().to_string();
    let (mut keeper, mut watcher) = (db.client()?, db.client()?);
    let mut held = keeper.transaction()?;
    held.batch_execute("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE")?;
    let running = start(&db, &["feed", "watch", "sheet", "--csv", &csv, "--every", "1h"])?;
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() \
                 AND cardinality(pg_blocking_pids(pid)) > 0";
    until("the run waits for the table", || Ok(watcher.query_one(waits, &[])?.try_get(0)?))?;
    running.signal("TERM")?;
    let ran = running.wait()?;
    says(&ran, 0, &["stopped by a signal"]);
    held.rollback()?;
    assert_eq!(leads(&db)?, [""; 0]);

    // A Google that is silent does not keep it either.
    let google = Google::new(&[Reply::Silence])?;
    let arguments = ["feed", "watch", "sheet", "--sheet", "1x", "--every", "1h", "--json"];
    let running = start_command(&mut google.command(&db, &arguments)?)?;
    until("it asks", || Ok(!google.asked().is_empty()))?;
    stopped(running, "INT").map(drop)
}
