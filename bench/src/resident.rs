//! Memory that a server process has for itself: without what it shares with others. Where there is no `/proc`, nothing
//! is told.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use postgres::Client;

/// The kernel keeps a peak only of all that is resident, and a backend's is mostly shared buffers: so one has to look.
const EVERY: Duration = Duration::from_millis(2);

/// Does `work`, and gives how much more its connection's server process had meanwhile than before, at most.
pub fn peak<S>(
    session: &mut S,
    client: impl FnOnce(&mut S) -> &mut Client,
    work: impl FnOnce(&mut S) -> Result<()>,
) -> Result<Option<u64>> {
    let pid: i32 = client(session).query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let before = private(pid);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = before;
            while !done.load(Ordering::Relaxed) {
                most = most.max(private(pid));
                thread::sleep(EVERY);
            }
            most
        });
        let worked = work(session);
        done.store(true, Ordering::Relaxed);
        let most = watcher.join().ok().flatten();
        worked?;
        Ok(most.zip(before).map(|(most, before)| most - before))
    })
}

/// In bytes.
fn private(pid: i32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_memory_is_what_is_anonymous() {
        let status = "Name:\tpostgres\nVmHWM:\t   70000 kB\nRssAnon:\t    2048 kB\nRssFile:\t   9000 kB\n";
        assert_eq!(parse(status), Some(2 * 1024 * 1024));
        assert_eq!(parse("Name:\tpostgres\n"), None);
    }
}
