//! `once load` and `once check` on files as people have them, against a real server.

#[path = "once/again.rs"]
mod again;
#[path = "once/bad_input.rs"]
mod bad_input;
#[path = "once/binary.rs"]
mod binary;
#[path = "once/check.rs"]
mod check;
#[path = "once/failures.rs"]
mod failures;
#[path = "once/headers.rs"]
mod headers;
#[path = "once/interrupted.rs"]
mod interrupted;
#[path = "once/loading.rs"]
mod loading;
#[path = "once/pooler.rs"]
mod pooler;
#[path = "once/production.rs"]
mod production;
#[path = "once/rejects.rs"]
mod rejects;

use std::fmt::Write;

use anyhow::{Context, Result};
use once_tests::Value;
use once_tests::once::Ran;
use once_tests::postgres::Client;
use once_tests::promo::{text, texts};
use once_tests::wait::until;

/// The merchants of `once_tests::promo`, as files write them.
pub const A: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
pub const B: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
/// The advisory lock at which staging keeps the row `STOP`.
pub const GATE: i64 = 4712;

/// What is staged, a row a text: `A|code` or `B|code`, sorted.
pub fn staged(client: &mut Client) -> Result<Vec<String>> {
    let name = format!("CASE merchant_id WHEN '{A}' THEN 'A|' WHEN '{B}' THEN 'B|' ELSE '?|' END || code");
    sorted(client, &format!("SELECT {name} FROM codes_check_temp"))
}

/// One column of a result, sorted byte by byte.
pub fn sorted(client: &mut Client, sql: &str) -> Result<Vec<String>> {
    let mut texts = texts(client, sql)?;
    texts.sort();
    Ok(texts)
}

/// How many rows are staged, of how many codes: where these differ, one is there twice.
pub fn staged_count(client: &mut Client) -> Result<(i64, i64)> {
    let row = client.query_one("SELECT count(*), count(DISTINCT (merchant_id, code)) FROM codes_check_temp", &[])?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// The list of staged files: `name A rows`, sorted.
pub fn files(client: &mut Client) -> Result<Vec<String>> {
    let scope = format!("CASE scope WHEN '{A}' THEN ' A ' WHEN '{B}' THEN ' B ' ELSE ' ? ' END");
    sorted(client, &format!("SELECT name || {scope} || rows FROM once.staged_files WHERE rows > 0"))
}

/// What was rejected and is not resolved: `file:line column=value sqlstate`.
pub fn rejects(client: &mut Client) -> Result<Vec<String>> {
    texts(
        client,
        "SELECT concat(file, ':', line, ' ', column_name, '=', value, ' ', sqlstate) FROM once.import_rejects r
         WHERE to_jsonb(r) ->> 'resolved_at' IS NULL ORDER BY file COLLATE \"C\", line",
    )
}

/// What `--json` tells of a file.
pub fn about<'a>(answer: &'a Value, name: &str) -> Result<&'a Value> {
    let files = answer["files"].as_array().with_context(|| format!("no files: {answer}"))?;
    files.iter().find(|file| file["name"] == name).with_context(|| format!("{name} is not in {answer}"))
}

/// Requires that a run failed so: the exit code, and all of these words on stderr.
pub fn says(ran: &Ran, exit: i32, words: &[&str]) {
    assert_eq!(ran.exit, exit, "{ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "stderr does not say {word:?}: {ran:?}");
    }
}

/// Codes `C000000`, `C000001` … as a file with a header, each row about as long as `width`.
pub fn many(rows: usize, width: usize) -> String {
    let mut text = String::from("code,sku_name\n");
    for row in 0..rows {
        let _ = writeln!(text, "C{row:06},{:x<width$}", "");
    }
    text
}

/// From now on, a row with the code `STOP` waits in the database until the gate is opened.
pub fn build_gate(owner: &mut Client) -> Result<()> {
    Ok(owner.batch_execute(&format!(
        "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW; END';
         CREATE TRIGGER gate BEFORE INSERT ON codes_check_temp FOR EACH ROW WHEN (NEW.code = 'STOP') EXECUTE FUNCTION gate();"
    ))?)
}

pub fn close_gate(keeper: &mut Client) -> Result<()> {
    Ok(keeper.execute("SELECT pg_advisory_lock($1)", &[&GATE]).map(drop)?)
}

pub fn open_gate(keeper: &mut Client) -> Result<()> {
    Ok(keeper.execute("SELECT pg_advisory_unlock($1)", &[&GATE]).map(drop)?)
}

/// Waits until so many sessions of this database wait for locks, one of them at the gate, whose process it gives: files
/// that are loaded side by side may wait for each other for a moment, too.
pub fn until_waiting(watcher: &mut Client, sessions: i64) -> Result<i32> {
    let waiting = format!(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0),
                (SELECT max(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND (classid, objid, objsubid) = (0, {GATE}, 1)
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    );
    let mut at_gate: Option<i32> = None;
    until(&format!("{sessions} wait for locks, one at the gate"), || {
        let row = watcher.query_one(&waiting, &[])?;
        at_gate = row.try_get(1)?;
        Ok(row.try_get::<_, i64>(0)? == sessions && at_gate.is_some())
    })?;
    at_gate.context("nobody waits at the gate")
}

/// Waits until a backend runs no transaction any more, or is gone.
pub fn until_idle(watcher: &mut Client, pid: i32) -> Result<()> {
    let busy = format!("SELECT count(*)::text FROM pg_stat_activity WHERE pid = {pid} AND xact_start IS NOT NULL");
    until("its transaction is over", || Ok(text(watcher, &busy)? == "0"))
}
