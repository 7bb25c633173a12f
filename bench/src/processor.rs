//! Processor time: of the cluster, and of whatever else runs on the machine and disturbs. Where there is no `/proc`,
//! nothing is told.

use std::fs;
use std::path::Path;

/// The unit in which Linux tells it, whatever the kernel's own.
const TICKS_PER_SECOND: f64 = 100.0;

/// What was used up to a moment, in seconds.
#[derive(Clone, Copy)]
pub struct Used {
    /// By all there is, and by neighbours who took our turn.
    machine: f64,
    /// By the server: its postmaster and all that this ever started.
    server: f64,
}

/// What was used between two moments.
pub struct Spent {
    pub server: f64,
    pub others: f64,
}

impl Used {
    /// Up to now, with the server whose data are in `data`.
    pub fn now(data: &Path) -> Option<Self> {
        let pid: u32 = fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()?;
        let postmaster = Process::read(Path::new("/proc").join(pid.to_string()).as_path())?;
        let living = fs::read_dir("/proc").ok()?.filter_map(|entry| Process::read(&entry.ok()?.path()));
        let children: u64 = living.filter(|process| process.parent == pid).map(|process| process.ticks).sum();
        let server = (postmaster.ticks + postmaster.of_ended_children + children) as f64 / TICKS_PER_SECOND;

        let stat = fs::read_to_string("/proc/stat").ok()?;
        let times: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal
        let busy = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|at| times.get(at)).sum::<u64>();
        Some(Self { machine: busy as f64 / TICKS_PER_SECOND, server })
    }

    /// What was used since, when our own client used `client`.
    pub fn since(&self, before: &Self, client: f64) -> Spent {
        let server = self.server - before.server;
        Spent { server, others: (self.machine - before.machine - server - client).max(0.0) }
    }
}

/// What we used ourselves up to now, in seconds.
pub fn own() -> Option<f64> {
    Some(Process::read(Path::new("/proc/self"))?.ticks as f64 / TICKS_PER_SECOND)
}

/// What `/proc/PID/stat` tells.
struct Process {
    parent: u32,
    ticks: u64,
    of_ended_children: u64,
}

impl Process {
    fn read(folder: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(folder.join("stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The second field, the program's name, may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            ticks: ticks(11)? + ticks(12)?,
            of_ended_children: ticks(13)? + ticks(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let stat = "71 (a ) b (c) S 7 71 71 0 -1 4194560 1 2 3 4 100 20 300 4 20 0 1 0 9 9 9";
        let process = Process::parse(stat).expect("is well formed");
        assert_eq!((process.parent, process.ticks, process.of_ended_children), (7, 120, 304));
        assert!(Process::parse("71 (sh) S").is_none());
    }
}
