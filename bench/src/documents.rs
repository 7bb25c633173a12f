//! The documents path: importing texts and hashing them, by pg_once and by what one could write instead.

mod hashing;
mod imports;
mod prose;

use anyhow::Result;
use serde_json::json;
use xtask::run::headline;

use crate::figures::{Figures, Role};
use crate::lab::Lab;
use crate::measure;
use crate::report::Report;
use crate::{Options, Outcome};
use hashing::Text;
use imports::{Batch, Scenario};

/// How many imports there are in the table that is not empty.
const ROWS: u64 = 1_000_000;

const ROLES: [(&str, Role); 3] =
    [(imports::PLPGSQL, Role::Reference), (imports::BARE, Role::Expert), (imports::ONCE, Role::PgOnce)];

pub fn run(lab: &Lab, options: &Options) -> Result<Outcome> {
    lab.sql(include_str!("../documents/imports.sql"))?;
    let (mut reports, mut costs) = (Vec::new(), Vec::new());
    let mut figures = Vec::new();
    for rows in [0, options.scaled(ROWS)] {
        if rows > 0 {
            headline(&format!("filling the tables with {rows} imports"));
            lab.sql(&imports::fill(rows))?;
        }
        for commit_each in [true, false] {
            let mut batches = Batch::of_rounds(options, reports.len());
            for duplicates in [false, true] {
                if duplicates {
                    // Those that are there for certain: an empty table is emptied for each batch.
                    batches.drain(..batches.len() - 1);
                }
                let scenario = Scenario { rows, commit_each, duplicates };
                headline(&scenario.to_string());
                let mut step = imports::step(lab, scenario, &batches)?;
                let measured = measure::run(lab, &mut step, options.rounds())?;
                let report = Report::of(&step, &measured, batches.last(), options.scale)?;
                println!("\n{report}");
                if rows == 0 && commit_each && !duplicates {
                    figures.push(Figures::of(&report, "documents: new, each committed", &ROLES));
                }
                costs.push((scenario, report.seconds_each(imports::ONCE), report.seconds_each(imports::BARE)));
                reports.push(serde_json::to_value(report)?);
            }
        }
    }

    lab.sql(include_str!("../documents/hashing.sql"))?;
    for text in Text::all(lab, options)? {
        headline(&format!("hashing {text}"));
        let mut step = hashing::step(lab, &text)?;
        let measured = measure::run(lab, &mut step, options.rounds())?;
        let report = Report::of(&step, &measured, &text, options.scale)?;
        println!("\n{report}");
        reports.push(serde_json::to_value(report)?);
    }

    headline("from one to another");
    let goals = imports::across(&costs, options.scale);
    goals.iter().for_each(|goal| println!("{goal}"));
    Ok(Outcome { json: json!({ "steps": reports, "goals": goals }), figures })
}
