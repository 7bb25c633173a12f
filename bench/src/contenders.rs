//! What is measured: steps, who does each, and what is hoped for.

use std::process::Command;

use crate::generate::{COLUMNS, Data};
use crate::lab::Lab;

/// A piece of work that several can do.
pub struct Step {
    pub name: &'static str,
    /// SQL that puts everything back to where the step begins.
    pub reset: &'static str,
    pub contenders: Vec<Contender>,
    /// SQL that sums up what a contender's table holds: a text that has to be the same for all.
    pub outcome: fn(&Contender) -> String,
    /// Names of contenders to compare with.
    pub against: &'static [&'static str],
    pub goals: &'static [Goal],
}

/// One way to do it.
pub struct Contender {
    pub name: &'static str,
    /// The table that it fills.
    pub table: &'static str,
    pub command: fn(&Lab, &Data) -> Command,
}

/// What is hoped for, of the contender `of`.
pub struct Goal {
    pub of: &'static str,
    pub wanted: Wanted,
}

pub enum Wanted {
    /// At most so many times the time of another.
    AtMost(f64, &'static str),
    /// That another takes at least so many times as long.
    Faster(f64, &'static str),
    /// At most so many bytes in the client.
    Memory(u64),
}

const PSQL: &str = r"psql \copy, one file";
const ONCE: &str = "once load";
const ONCE_JOBS: &str = "once load --jobs 2";
const DOCUMENTED: &str = "documented";
const STAGING: &str = "public.codes_check_temp";

pub fn staging() -> Step {
    Step {
        name: "stage",
        reset: "TRUNCATE public.codes_check_temp, documented.codes_check_temp, once.staged_files RESTART IDENTITY;\n\
                CHECKPOINT;",
        contenders: vec![
            Contender { name: PSQL, table: STAGING, command: psql_copy },
            Contender { name: ONCE, table: STAGING, command: |lab, data| once_load(lab, data, &[]) },
            Contender { name: ONCE_JOBS, table: STAGING, command: |lab, data| once_load(lab, data, &["--jobs", "2"]) },
            Contender { name: DOCUMENTED, table: "documented.codes_check_temp", command: documented },
        ],
        outcome: staged,
        against: &[PSQL, DOCUMENTED],
        goals: &[
            Goal { of: ONCE, wanted: Wanted::AtMost(1.25, PSQL) },
            Goal { of: ONCE, wanted: Wanted::Faster(5.0, DOCUMENTED) },
            Goal { of: ONCE_JOBS, wanted: Wanted::Faster(5.0, DOCUMENTED) },
            Goal { of: ONCE, wanted: Wanted::Memory(100_000_000) },
            Goal { of: ONCE_JOBS, wanted: Wanted::Memory(100_000_000) },
        ],
    }
}

/// How many rows, a sum over their values that is the same in any order, and how many row numbers.
fn staged(contender: &Contender) -> String {
    format!(
        "SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)), 0), count(DISTINCT row_number) FROM {}",
        COLUMNS.join(", "),
        contender.table
    )
}

fn psql_copy(lab: &Lab, data: &Data) -> Command {
    let mut psql = lab.psql();
    let path = data.single.display().to_string().replace('\'', "''");
    let copy = format!(r"\copy {STAGING} ({}) FROM '{path}' CSV HEADER", COLUMNS.join(", "));
    psql.args(["-X", "-v", "ON_ERROR_STOP=1", "-c", &copy]);
    psql
}

pub fn once_load(lab: &Lab, data: &Data, options: &[&str]) -> Command {
    let mut once = lab.once();
    once.arg("load").arg(&data.folder).args(options);
    once
}

fn documented(lab: &Lab, data: &Data) -> Command {
    let mut bash = lab.bash();
    bash.arg("-c").arg(include_str!("../documented/stage.sh")).arg("stage.sh").arg(&data.folder);
    bash
}
