//! Runs the contenders of a step in turn, and sees that all end with the same rows.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use wait4::Wait4;
use xtask::run::show;

use crate::lab::Lab;
use crate::processor::{self, Used};
use crate::step::Step;

/// One run of one contender.
#[derive(Clone, Serialize)]
pub struct Run {
    pub seconds: f64,
    /// Processor time of the client and what it started.
    pub client_cpu: f64,
    /// Processor time of the server.
    pub server_cpu: Option<f64>,
    /// Processor time of whatever else ran meanwhile.
    pub others_cpu: Option<f64>,
    /// Of the client, or the largest of the processes that it started; not of ourselves.
    pub peak_bytes: Option<u64>,
    /// Where it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
    /// Where it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
}

/// What a run took of the server.
#[derive(Clone, Default, Serialize)]
pub struct Server {
    /// Private memory of its backends and their workers together, more than before.
    pub peak_bytes: Option<u64>,
    pub wal_bytes: u64,
    /// Of the table that the run is about, without its indexes, when it was done.
    pub table_bytes: Option<u64>,
    pub index_bytes: Option<u64>,
}

/// What a run wrote.
#[derive(Clone, Serialize)]
pub struct Written {
    /// All WAL there is, or that came about in a run.
    pub wal_bytes: u64,
    /// The table with its indexes and TOAST, before the run and now.
    pub table_bytes: [u64; 2],
}

impl Written {
    /// What is written up to now.
    pub fn now(lab: &Lab, table: &str) -> Result<Self> {
        let sql = format!("SELECT pg_current_wal_insert_lsn() - '0/0', pg_total_relation_size('{table}')");
        let found = lab.sql(&sql)?;
        let (wal, size) = found.split_once('|').context("psql shows no two columns")?;
        let size = size.parse()?;
        Ok(Self { wal_bytes: wal.parse()?, table_bytes: [size, size] })
    }

    /// What was written since.
    pub fn since(&self, before: &Self) -> Self {
        let table_bytes = [before.table_bytes[1], self.table_bytes[1]];
        Self { wal_bytes: self.wal_bytes - before.wal_bytes, table_bytes }
    }
}

/// Who did the work.
struct Client {
    cpu: f64,
    peak_bytes: Option<u64>,
}

/// The runs of each contender, in the step's order.
pub type Measured = Vec<Vec<Run>>;

/// Whose turn it is in a round of so many: another one begins each round, so that none always follows the same.
pub fn turns(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (round + turn) % count)
}

pub fn run(lab: &Lab, step: &mut Step, rounds: u64) -> Result<Measured> {
    let count = step.contenders.len();
    let mut measured: Measured = step.contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds as usize {
        let mut expected: Option<String> = None;
        for at in turns(round, count) {
            let contender = &mut step.contenders[at];
            lab.sql(&contender.reset)?;
            let run = (contender.run)(round)?;
            println!("round {}, {}: {}", round + 1, contender.name, run);
            measured[at].push(run);

            let contender = &step.contenders[at];
            let outcome = lab.sql(&(step.outcome)(contender, round))?;
            let rows = outcome.split('|').next().unwrap_or_default();
            ensure!(rows == step.rows.to_string(), "{} left {rows} rows, not {}", contender.name, step.rows);
            let expected = expected.get_or_insert_with(|| outcome.clone());
            ensure!(*expected == outcome, "{} left other rows: {outcome} instead of {expected}", contender.name);
        }
    }
    println!("all left the same");
    Ok(measured)
}

/// Runs a command to its end.
pub fn time(lab: &Lab, command: &mut Command) -> Result<Run> {
    // Not a pipe, for which somebody would have to read.
    let log = log(lab);
    let output = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    clock(lab, || {
        let child = command.spawn().with_context(|| format!("could not start `{}`", show(command)))?;
        let ended = child.wait4()?;
        if !ended.status.success() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            bail!("`{}` failed ({}): {}", show(command), ended.status, said.trim());
        }
        let cpu = (ended.rusage.utime + ended.rusage.stime).as_secs_f64();
        Ok(Client { cpu, peak_bytes: Some(ended.rusage.maxrss) })
    })
}

/// What the last command printed.
pub fn said(lab: &Lab) -> Result<String> {
    Ok(fs::read_to_string(log(lab))?.trim().to_owned())
}

fn log(lab: &Lab) -> PathBuf {
    lab.files.join("output.log")
}

/// Does what needs no program of its own.
pub fn time_own(lab: &Lab, work: impl FnOnce() -> Result<()>) -> Result<Run> {
    clock(lab, || {
        let before = processor::own();
        work()?;
        let cpu = before.zip(processor::own()).map_or(0.0, |(before, now)| now - before);
        Ok(Client { cpu, peak_bytes: None })
    })
}

fn clock(lab: &Lab, work: impl FnOnce() -> Result<Client>) -> Result<Run> {
    let before = Used::now(&lab.data());
    let start = Instant::now();
    let Client { cpu: client_cpu, peak_bytes } = work()?;
    let seconds = start.elapsed().as_secs_f64();
    let spent = before.zip(Used::now(&lab.data())).map(|(before, now)| now.since(&before, client_cpu));
    let (server_cpu, others_cpu) = spent.map(|spent| (spent.server, spent.others)).unzip();
    Ok(Run { seconds, client_cpu, server_cpu, others_cpu, peak_bytes, written: None, server: None })
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s; CPU: client {:.2} s", self.seconds, self.client_cpu)?;
        if let (Some(server), Some(others)) = (self.server_cpu, self.others_cpu) {
            write!(f, ", server {server:.2} s, others {others:.2} s")?;
        }
        self.peak_bytes.map_or(Ok(()), |bytes| write!(f, "; client {:.0} MB", bytes as f64 / 1e6))
    }
}

impl Run {
    /// Processor time of client and server.
    pub fn cpu(&self) -> f64 {
        self.client_cpu + self.server_cpu.unwrap_or(f64::NAN)
    }

    /// Where it was looked at.
    pub fn wal_bytes(&self) -> Option<u64> {
        let written = self.written.as_ref().map(|written| written.wal_bytes);
        written.or(self.server.as_ref().map(|server| server.wal_bytes))
    }
}
