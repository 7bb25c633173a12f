//! The mail kit: a window of Gmail's messages, by pg_once and by a client that takes them one by one.

mod cases;
mod messages;

use anyhow::{Context, Result};
use serde_json::json;
use xtask::run::headline;
use xtask::setup;

use crate::lab::Lab;
use crate::measure;
use crate::report::{Report, Verdict};
use crate::{Options, Outcome};
use cases::{Case, Work};
use messages::Window;

/// How many messages the window has.
const MESSAGES: u64 = 10_000;

pub fn run(lab: &Lab, options: &Options) -> Result<Outcome> {
    let python = setup::python()?;
    lab.sql(include_str!("../mail/tables.sql"))?;
    headline("the data");
    let window = Window::write(&lab.files, options.seed, options.scaled(MESSAGES))?;
    println!("{window}");
    let work = Work { lab, python, window: &window };

    let (mut reports, mut seconds) = (Vec::new(), Vec::new());
    for case in [Case::First, Case::Again] {
        headline(&case.to_string());
        cases::begin(lab, case)?;
        let mut step = cases::step(&work, case)?;
        let measured = measure::run(lab, &mut step, options.rounds())?;
        let report = Report::of(&step, &measured, &window, options.scale)?;
        println!("\n{report}");
        if let Some(spent) = report.spent(cases::ONCE, window.batches.len()) {
            println!("a call of {} with at most {} messages: {spent}", cases::ONCE, messages::BATCH);
        }
        seconds.push(report.seconds_each(cases::ONCE).context("pg_once did not run")?);
        reports.push(serde_json::to_value(report)?);
    }

    headline("from one to another");
    let goal = format!("{}: the first run takes at least 3 × the time of the same window again", cases::ONCE);
    let goal = Verdict::faster(goal, seconds[0] / seconds[1], 3.0).at(options.scale);
    println!("{goal}");
    Ok(Outcome { json: json!({ "steps": reports, "goals": [goal] }), figures: Vec::new() })
}
