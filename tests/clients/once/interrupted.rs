//! A load that is stopped in the middle of a file: nothing of that file, the earlier ones stay.

use anyhow::Result;
use once_tests::Db;
use once_tests::json;
use once_tests::once::{Folder, once, start};
use once_tests::postgres::Client;
use once_tests::promo::{install, text};
use once_tests::wait::until;

use super::{A, build_gate, close_gate, files, open_gate, says, staged, until_idle, until_waiting};

/// A folder whose second file comes to the gate after some batches, and a keeper of the closed gate.
pub fn held(db: &Db, client: &mut Client, label: &str) -> Result<(Folder, Client)> {
    let folder = Folder::new(label)?;
    folder.file("a.csv", "code\na1\na2\n")?;
    let big = super::many(9_000, 100);
    folder.file("big.csv", big.replacen("C008000", "STOP", 1))?;
    folder.file("z.csv", "code\nz\n")?;
    build_gate(client)?;
    let mut keeper = db.client()?;
    close_gate(&mut keeper)?;
    Ok((folder, keeper))
}

#[test]
fn ctrl_c_ends_it_in_order_while_the_database_works() -> Result<()> {
    for (signal, jobs) in [("INT", "1"), ("TERM", "1"), ("INT", "3")] {
        let (db, mut client) = install("ctrl_c")?;
        let (folder, mut keeper) = held(&db, &mut client, "ctrl_c")?;
        let running = start(&db, &["load", folder.arg(), "--scope", A, "--jobs", jobs, "--json"])?;
        let loader = until_waiting(&mut keeper, 1)?;
        if jobs == "3" {
            until("the others are loaded", || Ok(files(&mut client)?.len() == 2))?;
        }
        running.signal(signal)?;
        // The gate stays closed: it is the cancel that ends the loader.
        until_idle(&mut keeper, loader)?;
        let ran = running.wait()?;
        says(&ran, 130, &["big.csv: interrupted", "What was finished before stays", "hint: Run the command again"]);
        let answer = ran.json()?;
        assert_eq!((&answer["success"], &answer["error"]["exit"]), (&json!(false), &json!(130)));
        let whole = if jobs == "3" { vec!["A|a1", "A|a2", "A|z"] } else { vec!["A|a1", "A|a2"] };
        assert_eq!(staged(&mut client)?, whole, "{signal}");
        open_gate(&mut keeper)?;
        once(&db, &["load", folder.arg(), "--scope", A])?.exits(0)?;
        assert_eq!(staged(&mut client)?.len(), 9_003);
        assert_eq!(files(&mut client)?, ["a.csv A 2", "big.csv A 9000", "z.csv A 1"]);
    }
    Ok(())
}

/// The program is gone before it can say so; the database undoes the file by itself.
#[test]
fn a_loader_that_is_killed_leaves_nothing_of_its_file() -> Result<()> {
    let (db, mut client) = install("killed")?;
    let (folder, mut keeper) = held(&db, &mut client, "killed")?;
    let running = start(&db, &["load", folder.arg(), "--scope", A])?;
    let loader = until_waiting(&mut keeper, 1)?;
    running.signal("KILL")?;
    assert_eq!(running.wait()?.exit, -1);
    // A backend that waits for a lock does not see that its client is gone; then it does.
    open_gate(&mut keeper)?;
    let there = format!("SELECT count(*)::text FROM pg_stat_activity WHERE pid = {loader}");
    until("the backend is gone", || Ok(text(&mut keeper, &there)? == "0"))?;
    assert_eq!(staged(&mut client)?, ["A|a1", "A|a2"]);
    assert_eq!(files(&mut client)?, ["a.csv A 2"]);
    once(&db, &["load", folder.arg(), "--scope", A])?.exits(0)?;
    assert_eq!(files(&mut client)?, ["a.csv A 2", "big.csv A 9000", "z.csv A 1"]);
    Ok(())
}

/// A session that is ended by an administrator, as a server that goes away ends all of them.
#[test]
fn a_session_that_is_ended_stops_the_load_and_says_so() -> Result<()> {
    let (db, mut client) = install("ended")?;
    let (folder, mut keeper) = held(&db, &mut client, "ended")?;
    let running = start(&db, &["load", folder.arg(), "--scope", A])?;
    let loader = until_waiting(&mut keeper, 1)?;
    keeper.execute("SELECT pg_terminate_backend($1)", &[&loader])?;
    let ran = running.wait()?;
    says(
        &ran,
        3,
        &["big.csv: ", "hint: The server ended the connection", "2 files not loaded", "What was loaded before stays"],
    );
    assert_eq!(staged(&mut client)?, ["A|a1", "A|a2"]);
    Ok(())
}

/// The default timeout of a role or database, usual behind poolers, does not end a load; the command's own does.
#[test]
fn a_default_timeout_does_not_stop_a_load_and_its_own_does() -> Result<()> {
    let (db, mut client) = install("timeout")?;
    client.batch_execute(&format!("ALTER DATABASE {} SET statement_timeout = '1s'", db.name()))?;
    let (folder, mut keeper) = held(&db, &mut client, "timeout")?;
    let running = start(&db, &["load", folder.arg(), "--scope", A])?;
    let loader = until_waiting(&mut keeper, 1)?;
    // Here the time itself is what is tested: the statement has run for longer than the default allows.
    let long = "SELECT (clock_timestamp() - query_start > interval '1500 ms')::text FROM pg_stat_activity WHERE pid = ";
    keeper.batch_execute("SET statement_timeout = 0")?;
    until("it has waited for long", || Ok(text(&mut keeper, &format!("{long}{loader}"))? == "true"))?;
    open_gate(&mut keeper)?;
    running.wait()?.exits(0)?;
    assert_eq!(staged(&mut client)?.len(), 9_003);

    once(&db, &["clear", A, "--yes"])?.exits(0)?;
    close_gate(&mut keeper)?;
    let ran = once(&db, &["load", folder.arg(), "--scope", A, "--timeout", "500ms"])?;
    says(&ran, 3, &["big.csv: ", "statement timeout", "57014", "2 files not loaded", "What was loaded before stays"]);
    assert_eq!(staged(&mut client)?, ["A|a1", "A|a2"]);
    assert_eq!(once(&db, &["load", folder.arg(), "--timeout", "soon"])?.exit, 2);

    // A lock that is not had in time is this file's own failure.
    client.batch_execute(&format!("ALTER DATABASE {} SET lock_timeout = '200ms'", db.name()))?;
    let ran = once(&db, &["load", folder.arg(), "--scope", A])?;
    says(&ran, 1, &["failed   big.csv: ", "lock timeout", "55P03"]);
    assert_eq!(staged(&mut client)?, ["A|a1", "A|a2", "A|z"]);
    Ok(())
}
