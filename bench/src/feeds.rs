//! The feeds path: a sheet of leads, by pg_once and by a client that looks each of them up; new, and read again.

mod leads;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use postgres::types::Json;
use serde_json::{Value, json};
use xtask::run::headline;
use xtask::setup;

use crate::lab::Lab;
use crate::measure::{self, Run, Written, time, time_own};
use crate::report::{Report, Verdict};
use crate::step::{Contender, Step, Unit};
use crate::{Options, Outcome};
use leads::Sheet;

/// How many leads the sheet has.
const ROWS: u64 = 10_000;

const ONE_BY_ONE: &str = "one by one";
const ONCE: &str = "pg_once";
const ONE_BY_ONE_TABLE: &str = "one_by_one.leads";
const ONCE_TABLE: &str = "public.leads";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// No lead is known.
    First,
    /// The sheet is as it was in the last run.
    Again,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Self::First => "first run",
            Self::Again => "nothing new",
        }
    }

    /// SQL that brings a table to where the case begins: what the first run left is what the next one finds.
    fn reset(self, table: &str) -> String {
        match self {
            Self::First => format!(
                "TRUNCATE {table} CASCADE; TRUNCATE once.import_state_rows, once.notifications, once.import_images; CHECKPOINT"
            ),
            Self::Again => format!("VACUUM ANALYZE {table}, once.import_state_rows; CHECKPOINT"),
        }
    }
}

pub fn run(lab: &Lab, options: &Options) -> Result<Outcome> {
    let python = setup::python()?;
    lab.sql(include_str!("../feeds/tables.sql"))?;
    headline("the data");
    let sheet = Sheet::write(&lab.files, options.seed, options.scaled(ROWS))?;
    println!("{sheet}");
    let (mut reports, mut seconds) = (Vec::new(), Vec::new());
    for case in [Case::First, Case::Again] {
        headline(case.name());
        let mut step = step(lab, &python, case, &sheet)?;
        let measured = measure::run(lab, &mut step, options.rounds())?;
        let report = Report::of(&step, &measured, &sheet, options.scale)?;
        println!("\n{report}");
        seconds.push(report.seconds_each(ONCE).context("pg_once did not run")?);
        reports.push(serde_json::to_value(report)?);
    }
    headline("from one to another");
    let goal = format!("{ONCE}: a run that finds nothing new takes at most 0.1 × the time of the first");
    let goal = Verdict::at_most(goal, seconds[1] / seconds[0], 0.1).at(options.scale);
    println!("{goal}");
    Ok(Outcome { json: json!({ "steps": reports, "goals": [goal] }), figures: Vec::new() })
}

fn step<'a>(lab: &'a Lab, python: &'a PathBuf, case: Case, sheet: &'a Sheet) -> Result<Step<'a>> {
    let mut client = lab.connect()?;
    let statement = client.prepare("SELECT once.run_feed('sheet', $1)")?;
    let one_by_one = move || {
        let mut python = lab.program(python);
        python.arg("-c").arg(include_str!("../feeds/one_by_one.py")).arg(&sheet.path);
        // The kernel counts what we held when we started it.
        Ok(Run { peak_bytes: None, ..time(lab, &mut python)? })
    };
    let once = move || {
        let mut said = Value::Null;
        let run = time_own(lab, || {
            Json(said) = client.query_one(&statement, &[&Json(&sheet.rows)])?.get(0);
            Ok(())
        })?;
        let new = if case == Case::First { sheet.count } else { 0 };
        let is_right = said["success"] == true && said["inserted"] == new && said["rows_scanned"] == sheet.count;
        ensure!(is_right, "run_feed says {said}");
        Ok(run)
    };
    let contender = |name, table, mut work: Box<dyn FnMut() -> Result<Run> + 'a>| Contender {
        name,
        table,
        units: sheet.count,
        reset: case.reset(table),
        run: Box::new(move |_| {
            let before = Written::now(lab, table)?;
            let run = work()?;
            Ok(Run { written: Some(Written::now(lab, table)?.since(&before)), ..run })
        }),
    };
    Ok(Step {
        name: case.name().into(),
        unit: Unit { name: "rows", short: false },
        contenders: vec![
            contender(ONE_BY_ONE, ONE_BY_ONE_TABLE, Box::new(one_by_one)),
            contender(ONCE, ONCE_TABLE, Box::new(once)),
        ],
        outcome: Box::new(|contender, _| {
            let columns = "external_lead_id, client_name, phone_number, email, platform, lead_created_time";
            format!("SELECT count(*), sum(hashtextextended(ROW({columns})::text, 0)) FROM {}", contender.table)
        }),
        rows: sheet.count,
        against: &[ONE_BY_ONE],
        goals: &[],
    })
}
