//! One contender's journey: each step timed, and what it left looked at.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::contenders::{Contender, Work};
use super::template::Template;
use crate::figures::Role;
use crate::generate::{COLUMNS, Data};
use crate::lab::Database;
use crate::measure::{Run, Server, said, time};
use crate::resident;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Stage,
    Mark,
    /// Validate and insert.
    Insert,
    Verify,
    RollBack,
}

pub const STEPS: [Step; 5] = [Step::Stage, Step::Mark, Step::Insert, Step::Verify, Step::RollBack];

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Mark => "mark",
            Self::Insert => "insert",
            Self::Verify => "verify",
            Self::RollBack => "roll back",
        }
    }

    /// The table that a step fills.
    fn table(self) -> Option<&'static str> {
        match self {
            Self::Mark => Some("codes_check_temp"),
            Self::Insert => Some("codes"),
            Self::Stage | Self::Verify | Self::RollBack => None,
        }
    }
}

/// The job of those who give it its id themselves.
const JOB: &str = "7d2f0a94-6c1b-4e35-9f80-2b5c8e1d3a67";

/// SQL that counts rows of production and sums up their values, in any order.
pub fn sum(condition: &str) -> String {
    let columns = COLUMNS.join(", ");
    format!("SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text, 0)), 0) FROM codes WHERE {condition}")
}

pub struct Journey<'a> {
    pub contender: &'a Contender,
    pub template: &'a Template<'a>,
    pub data: &'a Data,
}

/// What a journey took, and how many rows it wrote, with a sum over their values.
pub struct Ended {
    pub runs: [Option<Run>; STEPS.len()],
    pub written: String,
}

impl Journey<'_> {
    /// Goes there and back in a copy of the template, which is dropped at the end.
    pub fn run(&self, round: usize) -> Result<Ended> {
        let database = self.template.database.copy("journey")?;
        let way = Way { contender: self.contender, database: &database, data: self.data };
        let mut ended = Ended { runs: Default::default(), written: String::new() };
        let mut job = JOB.to_owned();
        let role = self.contender.role.name();
        for step in STEPS.into_iter().filter(|step| self.contender.work(*step).is_some()) {
            let run = way.step(step, &job).with_context(|| format!("{role}: {}", step.name()))?;
            println!("round {}, {role}, {}: {run}", round + 1, step.name());
            ended.runs[step as usize] = Some(run);
            match step {
                Step::Mark => way.require_counts()?,
                Step::Insert => {
                    job = way.job()?;
                    ended.written = database.sql(&sum(&format!("import_job_id = '{job}'")))?;
                    way.require_rows(&ended.written)?;
                }
                Step::Verify => ensure!(said(database.lab)? == "t", "{role} does not find all rows"),
                Step::RollBack => {
                    let found = database.sql(&sum("true"))?;
                    ensure!(found == self.template.production, "{role} did not leave production as it was: {found}");
                }
                Step::Stage => {}
            }
        }
        database.discard()?;
        Ok(ended)
    }
}

/// A database in which one contender works on one batch.
pub struct Way<'a> {
    pub contender: &'a Contender,
    pub database: &'a Database<'a>,
    pub data: &'a Data,
}

impl Way<'_> {
    /// Does one step.
    pub fn step(&self, step: Step, job: &str) -> Result<Run> {
        let work = self.contender.work(step).context("there is no such step")?;
        let database = self.database;
        let mut command = self.command(work, job)?;
        database.sql("CHECKPOINT")?;
        let wal = || -> Result<u64> { Ok(database.sql("SELECT pg_current_wal_insert_lsn() - '0/0'")?.parse()?) };
        let before = wal()?;
        let lab = database.lab;
        let data = lab.data();
        let (run, peak_bytes) = resident::peak(&resident::Of::Server(&data), || time(lab, &mut command))?;
        let wal_bytes = wal()? - before;
        let mut server = Server { peak_bytes, wal_bytes, ..Server::default() };
        if let Some(table) = step.table() {
            let sizes = database.sql(&format!("SELECT pg_table_size('{table}'), pg_indexes_size('{table}')"))?;
            let (table, indexes) = sizes.split_once('|').context("psql shows no two columns")?;
            (server.table_bytes, server.index_bytes) = (Some(table.parse()?), Some(indexes.parse()?));
        }
        // The kernel counts what we held when we started the client.
        let peak_bytes = if matches!(work, Work::Load) { run.peak_bytes } else { None };
        Ok(Run { server: Some(server), peak_bytes, ..run })
    }

    fn command(&self, work: &Work, job: &str) -> Result<Command> {
        let Self { database, data, .. } = self;
        Ok(match work {
            Work::Psql(sql) => {
                let single = data.single.display().to_string().replace('\'', "''");
                let inserted = data.counts.inserted().to_string();
                let words =
                    [("@merchant@", data.merchant), ("@job@", job), ("@single@", &single), ("@inserted@", &inserted)];
                let sql = words.iter().fold((*sql).to_owned(), |sql, (word, value)| sql.replace(word, value));
                let path = database.lab.files.join("step.sql");
                fs::write(&path, sql)?;
                let mut psql = database.psql();
                psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(path);
                psql
            }
            Work::Bash(script) => {
                let mut bash = database.program("bash");
                bash.args(["-c", script, "stage"]).arg(&data.folder);
                bash
            }
            Work::Load => {
                let mut once = database.once();
                once.arg("load").arg(&data.folder).args(["--jobs", "2"]);
                once
            }
        })
    }

    /// That the database found exactly the duplicates that there are.
    pub fn require_counts(&self) -> Result<()> {
        let found = match self.contender.clean {
            // Who marks nothing says what he found, but for this.
            Some(clean) => format!("{}|{}", said(self.database.lab)?, self.database.sql(clean)?),
            None => self.database.sql(&format!(
                "SELECT count(*), count(*) FILTER (WHERE internal_dup), count(*) FILTER (WHERE existing_dup),
                 count(*) FILTER (WHERE internal_dup AND existing_dup)
                 FROM codes_check_temp WHERE merchant_id = '{}'",
                self.data.merchant
            ))?,
        };
        let counts = &self.data.counts;
        let expected = [counts.staged, counts.internal, counts.existing, counts.both].map(|count| count.to_string());
        let (role, expected) = (self.contender.role.name(), expected.join("|"));
        ensure!(found == expected, "{role} found {found} (staged, internal, existing, both), not {expected}");
        Ok(())
    }

    /// The job that has inserted: pg_once makes its id.
    fn job(&self) -> Result<String> {
        match self.contender.role {
            Role::PgOnce => self.database.sql("SELECT id FROM once.import_jobs WHERE status = 'completed'"),
            _ => Ok(JOB.into()),
        }
    }

    fn require_rows(&self, written: &str) -> Result<()> {
        let (expected, rows) = (self.data.counts.inserted(), written.split('|').next().unwrap_or_default());
        let role = self.contender.role.name();
        ensure!(
            rows == expected.to_string(),
            "{role} inserted {rows} rows, not {expected}: {}",
            said(self.database.lab)?
        );
        Ok(())
    }
}
