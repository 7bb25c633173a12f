//! The rows path: a JSON array of patients, by pg_once and by what one could write instead.

mod cases;
mod memory;
mod patients;

use anyhow::{Context, Result};
use serde_json::json;
use xtask::run::headline;
use xtask::setup;

use crate::figures::{Figures, Role};
use crate::lab::Lab;
use crate::measure;
use crate::report::{Report, Verdict};
use crate::{Options, Outcome};
use cases::{Case, Scenario, Work};
use patients::File;

/// How many patients a file has.
const ROWS: u64 = 100_000;
/// How many others the table holds with `--heavy`.
const OTHERS: u64 = 1_000_000;

const ROLES: [(&str, Role); 3] =
    [(cases::ROW_BY_ROW, Role::Reference), (cases::HANDWRITTEN, Role::Expert), (cases::ONCE, Role::PgOnce)];

pub fn run(lab: &Lab, options: &Options) -> Result<Outcome> {
    let work = Work { lab, python: setup::python()? };
    lab.sql(include_str!("../rows/tables.sql"))?;
    headline("the data");
    let rows = options.scaled(ROWS);
    let (first, later) = (File::first(&lab.files, options.seed, rows)?, File::later(&lab.files, options.seed, rows)?);
    println!("first: {first}\nlater: {later}");

    let (mut reports, mut goals) = (Vec::new(), Vec::new());
    let mut figures = Vec::new();
    for others in if options.heavy { vec![0, options.scaled(OTHERS)] } else { vec![0] } {
        let mut seconds = Vec::new();
        for case in [Case::First, Case::Again, Case::Later] {
            let scenario = Scenario { case, others };
            headline(&scenario.to_string());
            let file = if case == Case::Later { &later } else { &first };
            cases::begin(lab, scenario, &first)?;
            let mut step = cases::step(&work, scenario, file)?;
            let measured = measure::run(lab, &mut step, options.rounds())?;
            let report = Report::of(&step, &measured, file, options.scale)?;
            println!("\n{report}");
            if case == Case::First && others == 0 {
                figures.push(Figures::of(&report, "rows: first run", &ROLES));
            }
            seconds.push(report.seconds_each(cases::ONCE).context("pg_once did not run")?);
            reports.push(serde_json::to_value(report)?);
        }
        let goal = format!(
            "{}: a run with the same rows again takes at most 0.5 × the time of the first ({others} others)",
            cases::ONCE
        );
        goals.push(Verdict::at_most(goal, seconds[1] / seconds[0], 0.5).at(options.scale));
    }
    let memory = memory::run(lab, options)?;

    headline("from one to another");
    goals.iter().for_each(|goal| println!("{goal}"));
    Ok(Outcome { json: json!({ "steps": reports, "goals": goals, "memory": memory }), figures })
}
