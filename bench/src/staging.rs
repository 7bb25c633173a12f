//! Staging files of mixed headers: by `once`, by psql, and in the way that is in the books.

use std::process::Command;

use anyhow::Result;
use serde_json::Value;
use xtask::run::headline;

use crate::Options;
use crate::generate::{self, COLUMNS, Data};
use crate::lab::Lab;
use crate::measure::{self, time};
use crate::report::Report;
use crate::step::{Contender, Goal, Step, Unit, Wanted};

const ROWS: u64 = 1_500_000;

const PSQL: &str = r"psql \copy, one file";
const ONCE: &str = "once load";
const ONCE_JOBS: &str = "once load --jobs 2";
const DOCUMENTED: &str = "documented";
const STAGING: &str = "public.codes_check_temp";

/// SQL that empties what is staged into.
pub const RESET: &str =
    "TRUNCATE public.codes_check_temp, documented.codes_check_temp, once.staged_files RESTART IDENTITY;\nCHECKPOINT;";

pub fn run(lab: &Lab, options: &Options) -> Result<Value> {
    headline("the data");
    let data = generate::write(&lab.files, options.seed, options.count.unwrap_or(ROWS), options.files)?;
    println!("{data}");
    headline("staging");
    let mut step = step(lab, &data);
    let measured = measure::run(lab, &mut step, options.rounds)?;
    lab.sql(RESET)?;
    let report = Report::of(&step, &measured, &data)?;
    println!("\n{report}");
    Ok(serde_json::to_value(report)?)
}

fn step<'a>(lab: &'a Lab, data: &'a Data) -> Step<'a> {
    let contender = |name, table, command: fn(&Lab, &Data) -> Command| Contender {
        name,
        table,
        units: data.rows,
        reset: RESET.into(),
        run: Box::new(move |_| time(lab, &mut command(lab, data))),
    };
    Step {
        name: "stage".into(),
        unit: Unit { name: "rows", short: false },
        contenders: vec![
            contender(PSQL, STAGING, psql_copy),
            contender(ONCE, STAGING, |lab, data| once_load(lab, data, &[])),
            contender(ONCE_JOBS, STAGING, |lab, data| once_load(lab, data, &["--jobs", "2"])),
            contender(DOCUMENTED, "documented.codes_check_temp", documented),
        ],
        outcome: Box::new(|contender, _| staged(contender.table)),
        rows: data.rows,
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
fn staged(table: &str) -> String {
    format!(
        "SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)), 0), count(DISTINCT row_number) FROM {table}",
        COLUMNS.join(", ")
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
    let mut bash = lab.program("bash");
    bash.arg("-c").arg(include_str!("../documented/stage.sh")).arg("stage.sh").arg(&data.folder);
    bash
}
