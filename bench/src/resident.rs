//! Memory that server processes have for themselves: without what they share with others. Where there is no `/proc`,
//! nothing is told.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// Whose memory.
pub enum Of<'a> {
    /// One process, by its id; looked at often, since a call may be over soon.
    Process(i32),
    /// All that the postmaster of these data has started: backends and their workers.
    Server(&'a Path),
}

impl Of<'_> {
    /// The kernel keeps a peak only of all that is resident, and a backend's is mostly shared buffers: so one has to look.
    fn every(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Process(_) => 2,
            Self::Server(_) => 20,
        })
    }

    /// In bytes.
    fn now(&self) -> Option<u64> {
        match self {
            Self::Process(pid) => private(pid),
            Self::Server(data) => {
                let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
                let postmaster = file.lines().next()?.trim();
                let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).ok()?;
                // One that has ended meanwhile has none.
                Some(children.split_whitespace().filter_map(private).sum())
            }
        }
    }
}

/// Does `work`, and gives how much more there was meanwhile than before, at most.
pub fn peak<T>(of: &Of, work: impl FnOnce() -> Result<T>) -> Result<(T, Option<u64>)> {
    let before = of.now();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = before;
            while !done.load(Ordering::Relaxed) {
                most = most.max(of.now());
                thread::sleep(of.every());
            }
            most
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let most = watcher.join().ok().flatten();
        Ok((worked?, most.zip(before).map(|(most, before)| most - before)))
    })
}

/// In bytes.
fn private(pid: impl std::fmt::Display) -> Option<u64> {
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
