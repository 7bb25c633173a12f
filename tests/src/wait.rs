//! Waiting for what other sessions do, by looking and never by a guess at the time that it takes.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use postgres::Client;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(100);

/// Looks again and again until it is seen; that it never is, is an error.
pub fn until(what: &str, mut seen: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !seen()? {
        if start.elapsed() > PATIENCE {
            bail!("waited in vain until {what}");
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The process that serves a connection.
pub fn pid(client: &mut Client) -> Result<i32> {
    Ok(client.query_one("SELECT pg_backend_pid()", &[])?.try_get(0)?)
}

/// Waits until a process waits for another's lock.
pub fn until_blocked(watcher: &mut Client, pid: i32) -> Result<()> {
    until(&format!("process {pid} waits for a lock"), || {
        Ok(watcher.query_one("SELECT cardinality(pg_blocking_pids($1)) > 0", &[&pid])?.try_get(0)?)
    })
}
