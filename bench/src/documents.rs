//! The documents path: importing texts and hashing them, by pg_once and by what one could write instead.

mod hashing;
mod imports;
mod prose;

use anyhow::Result;
use serde_json::{Value, json};
use xtask::run::headline;

use crate::Options;
use crate::lab::Lab;
use crate::measure;
use crate::report::Report;
use hashing::Text;
use imports::{Batch, Scenario};

/// How many imports there are in the table that is not empty.
const ROWS: u64 = 1_000_000;

pub fn run(lab: &Lab, options: &Options) -> Result<Value> {
    lab.sql(include_str!("../documents/imports.sql"))?;
    let (mut reports, mut costs) = (Vec::new(), Vec::new());
    for rows in [0, options.count.unwrap_or(ROWS)] {
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
                let measured = measure::run(lab, &mut step, options.rounds)?;
                let report = Report::of(&step, &measured, batches.last())?;
                println!("\n{report}");
                costs.push((scenario, report.seconds_each(imports::ONCE), report.seconds_each(imports::BARE)));
                reports.push(serde_json::to_value(report)?);
            }
        }
    }

    lab.sql(include_str!("../documents/hashing.sql"))?;
    for text in Text::all(lab, options.seed)? {
        headline(&format!("hashing {text}"));
        let mut step = hashing::step(lab, &text)?;
        let measured = measure::run(lab, &mut step, options.rounds)?;
        let report = Report::of(&step, &measured, &text)?;
        println!("\n{report}");
        reports.push(serde_json::to_value(report)?);
    }

    headline("from one to another");
    let goals = imports::across(&costs);
    goals.iter().for_each(|goal| println!("{goal}"));
    Ok(json!({ "steps": reports, "goals": goals }))
}
