//! Runs the contenders of a step in turn, and sees that all end with the same rows.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use wait4::Wait4;
use xtask::run::show;

use crate::contenders::Step;
use crate::generate::Data;
use crate::lab::Lab;
use crate::processor::Used;

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
    /// Of the client, or the largest of the processes that it started.
    pub peak_bytes: u64,
}

/// The runs of each contender, in the step's order.
pub type Measured = Vec<Vec<Run>>;

pub fn run(lab: &Lab, step: &Step, data: &Data, rounds: u64) -> Result<Measured> {
    let mut measured: Measured = step.contenders.iter().map(|_| Vec::new()).collect();
    let mut expected: Option<String> = None;
    for round in 0..rounds as usize {
        for turn in 0..step.contenders.len() {
            // Another one begins each round: none always follows the same.
            let at = (round + turn) % step.contenders.len();
            let contender = &step.contenders[at];
            lab.sql(step.reset)?;
            let run = time(lab, &mut (contender.command)(lab, data))?;
            println!("round {}, {}: {}", round + 1, contender.name, run);
            measured[at].push(run);

            let outcome = lab.sql(&(step.outcome)(contender))?;
            let rows = outcome.split('|').next().unwrap_or_default();
            ensure!(rows == data.rows.to_string(), "{} left {rows} rows, not {}", contender.name, data.rows);
            let expected = expected.get_or_insert_with(|| outcome.clone());
            ensure!(*expected == outcome, "{} left other rows: {outcome} instead of {expected}", contender.name);
        }
    }
    lab.sql(step.reset)?;
    println!("all left the same {} rows", data.rows);
    Ok(measured)
}

/// Runs a command to its end.
pub fn time(lab: &Lab, command: &mut Command) -> Result<Run> {
    // Not a pipe, for which somebody would have to read.
    let log = lab.files.join("output.log");
    let output = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let before = Used::now(&lab.data());
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("could not start `{}`", show(command)))?;
    let ended = child.wait4()?;
    let seconds = start.elapsed().as_secs_f64();
    if !ended.status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("`{}` failed ({}): {}", show(command), ended.status, said.trim());
    }
    let client_cpu = (ended.rusage.utime + ended.rusage.stime).as_secs_f64();
    let spent = before.zip(Used::now(&lab.data())).map(|(before, now)| now.since(&before, client_cpu));
    let (server_cpu, others_cpu) = spent.map(|spent| (spent.server, spent.others)).unzip();
    Ok(Run { seconds, client_cpu, server_cpu, others_cpu, peak_bytes: ended.rusage.maxrss })
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s; CPU: client {:.2} s", self.seconds, self.client_cpu)?;
        if let (Some(server), Some(others)) = (self.server_cpu, self.others_cpu) {
            write!(f, ", server {server:.2} s, others {others:.2} s")?;
        }
        write!(f, "; client {:.0} MB", self.peak_mb())
    }
}

impl Run {
    /// Processor time of client and server.
    pub fn cpu(&self) -> f64 {
        self.client_cpu + self.server_cpu.unwrap_or(f64::NAN)
    }

    pub fn peak_mb(&self) -> f64 {
        self.peak_bytes as f64 / 1e6
    }
}
