//! Several processes at once, and a kill in the middle: nothing is lost and nothing doubled.

use std::thread;

use anyhow::{Result, anyhow};
use once_tests::mail::{ORG, facts, fields, full, ingest, install, mailbox};
use once_tests::promo::{call, text};
use once_tests::wait::{pid, until_blocked};
use once_tests::{Db, Uuid, Value, sqlstate};

fn messages(numbers: impl Iterator<Item = i64>) -> Vec<Value> {
    numbers.map(|n| full(&format!("m{n}"), &format!("t{}", n % 5), n, &["INBOX"], &["1"])).collect()
}

/// Synchronises a mailbox in a session of its own, one batch after the other.
fn sync(db: &Db, mailbox: Uuid, batches: Vec<Vec<Value>>) -> Result<()> {
    let mut client = db.client()?;
    for batch in batches {
        ingest(&mut client, mailbox, &batch)?;
    }
    Ok(())
}

#[test]
fn two_syncs_of_one_mailbox_and_one_of_another() -> Result<()> {
    let (db, mut client, first) = install("mail_crowd")?;
    let second = mailbox(&mut client, ORG, "other@example.com")?;
    let forwards = || (0..20).map(|n| messages(n * 5..n * 5 + 10)).collect::<Vec<_>>();
    thread::scope(|scope| {
        let jobs = [(first, false), (first, true), (second, false), (second, true)].map(|(mailbox, backwards)| {
            let mut batches = forwards();
            if backwards {
                batches.reverse();
            }
            let db = &db;
            scope.spawn(move || sync(db, mailbox, batches))
        });
        jobs.into_iter().try_for_each(|job| job.join().map_err(|_| anyhow!("a session panicked"))?)
    })?;
    for mailbox in [first, second] {
        let verified = call(&mut client, "verify_mail_idempotency($1)", &[&mailbox])?;
        assert_eq!(fields(&verified, ["threads", "messages", "attachments"]), [5, 105, 105], "{verified}");
        assert_eq!(verified["valid"], true);
    }
    let (said, meant) = facts(&mut client)?;
    assert_eq!(said, meant);
    // The chain of the org has not forked: 80 runs, each thread and message once.
    let verified = call(&mut client, "verify_ledger($1)", &[&ORG])?;
    assert_eq!(
        (verified["valid"].as_bool(), verified["events"].as_i64()),
        (Some(true), Some(2 * 80 + 2 * 110)),
        "{verified}"
    );
    Ok(())
}

#[test]
fn a_kill_in_the_middle_leaves_nothing() -> Result<()> {
    let (db, mut client, mailbox) = install("mail_kill")?;
    ingest(&mut client, mailbox, &messages(0..10))?;
    let state = "SELECT concat_ws('|', (SELECT count(*) FROM mail_messages), (SELECT count(*) FROM mail_threads), (SELECT count(*) FROM mail_attachments),
                        (SELECT count(*) FROM ledger_events), (SELECT count(*) FROM once.import_jobs), (SELECT max(last_synced_at) FROM mailboxes))";
    let before = text(&mut client, state)?;
    // Whoever holds the ledger keeps the sync from its last step.
    let (mut victim, mut holder) = (db.client()?, db.client()?);
    let mut hold = holder.transaction()?;
    hold.query("SELECT once.append_ledger_event($1, 'held')", &[&ORG])?;
    let process = pid(&mut victim)?;
    let outcome = thread::scope(|scope| {
        let run = scope.spawn(move || {
            let rows = Value::from(messages(5..30));
            victim.query("SELECT once.ingest_mail($1, $2)", &[&mailbox, &rows]).map(drop)
        });
        until_blocked(&mut client, process)?;
        client.execute("SELECT pg_terminate_backend($1)", &[&process])?;
        run.join().map_err(|_| anyhow!("the victim panicked"))
    })?;
    assert!(outcome.is_err(), "it was killed");
    hold.rollback()?;
    assert_eq!(text(&mut client, state)?, before);
    let answer = ingest(&mut client, mailbox, &messages(5..30))?;
    assert_eq!(fields(&answer, ["messages_ingested", "unchanged"]), [20, 5], "{answer}");
    assert_eq!(call(&mut client, "verify_ledger($1)", &[&ORG])?["valid"], true);
    Ok(())
}

/// Under REPEATABLE READ the loser of a race is told to try again, and then has it.
#[test]
fn a_snapshot_that_is_too_old_is_told_so() -> Result<()> {
    let (db, mut client, mailbox) = install("mail_snapshot")?;
    let mut other = db.client()?;
    let mut old = other.transaction()?;
    old.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
    old.query("SELECT count(*) FROM ledger_events", &[])?;
    ingest(&mut client, mailbox, &messages(0..3))?;
    let refused = old.query("SELECT once.append_ledger_event($1, 'late')", &[&ORG]).err();
    assert_eq!(refused.as_ref().and_then(|error| sqlstate(error)), Some("40001"));
    old.rollback()?;
    let rows = Value::from(messages(0..3));
    let refused = {
        let mut old = other.transaction()?;
        old.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
        old.query("SELECT count(*) FROM ledger_events", &[])?;
        ingest(&mut client, mailbox, &messages(3..6))?;
        old.query("SELECT once.ingest_mail($1, $2)", &[&mailbox, &rows]).err()
    };
    assert_eq!(refused.as_ref().and_then(|error| sqlstate(error)), Some("40001"));
    let answer = ingest(&mut other, mailbox, &messages(0..3))?;
    assert_eq!(fields(&answer, ["unchanged"]), [3]);
    assert_eq!(call(&mut client, "verify_ledger($1)", &[&ORG])?["valid"], true);
    Ok(())
}
