//! Whether a row costs the same in a large import as in a small one, and in a second batch as in the first.

use anyhow::Result;
use serde_json::json;
use xtask::run::headline;

use super::comparison::Comparison;
use super::contenders::ONCE;
use super::journey::{Journey, STEPS, Step, Way};
use super::template::Template;
use super::totals::Total;
use super::{Journeys, Measured, folder_for, prepare_data};
use crate::figures::Role;
use crate::generate::{self, Counts, Data, MERCHANT, SECOND_MERCHANT};
use crate::lab::Lab;
use crate::measure::Run;
use crate::{Options, Outcome};

/// A row of ten times as many may take so many times as long.
const LARGER: f64 = 1.5;
/// And staging one of a second batch beside the first.
const SECOND: f64 = 1.1;

/// Takes the large import from `bulk`, if that was measured.
pub fn run(lab: &Lab, options: &Options, bulk: Option<&Measured>) -> Result<Outcome> {
    let (small, large) = (Counts::scaled(options.scale / 10.0), Counts::scaled(options.scale));
    let of_small = alone(lab, options, small)?;
    let measured = if bulk.is_none() { Some(alone(lab, options, large)?) } else { None };
    let of_large = measured.as_ref().or(bulk.and_then(of_once));

    let mut larger = Comparison::new([format!("{} rows", small.staged), format!("{} rows", large.staged)]);
    if let Some(of_large) = of_large {
        for total in STEPS.map(Total::Of).into_iter().chain([Total::Whole]) {
            let runs = [total.of(&of_small), total.of(of_large)];
            larger.add(total.name(), [&runs[0], &runs[1]], [total.units(&small), total.units(&large)]);
        }
    }
    larger.want(LARGER, options.scale);
    println!("\n{larger}");

    let second = second_batch(lab, options)?;
    println!("\n{second}");
    Ok(Outcome { json: json!({ "larger": larger, "second_batch": second }), figures: Vec::new() })
}

fn of_once(measured: &Measured) -> Option<&Journeys> {
    measured.journeys.iter().find(|journeys| journeys.role == Role::PgOnce)
}

/// pg_once's journeys without the others'.
fn alone(lab: &Lab, options: &Options, counts: Counts) -> Result<Journeys> {
    let data = prepare_data(lab, "growth", options.seed, counts)?;
    let production = lab.files.join("production.csv");
    generate::write_production(&production, options.seed, MERCHANT, counts)?;
    let template = Template::prepare(lab, &ONCE, Some(&production))?;
    std::fs::remove_file(production)?;
    let journeys = rounds(&data, &template, options.rounds())?;
    template.discard()?;
    data.discard(options.keep)?;
    Ok(journeys)
}

/// pg_once's journeys from this template.
pub fn rounds(data: &Data, template: &Template, rounds: u64) -> Result<Journeys> {
    let mut journeys = Journeys::of(Role::PgOnce);
    for round in 0..rounds as usize {
        journeys.add(Journey { contender: &ONCE, template, data }.run(round)?.runs);
    }
    Ok(journeys)
}

/// Stages and marks two batches of two merchants, the first of which stays. Production is empty, so that both have the
/// same to do.
fn second_batch(lab: &Lab, options: &Options) -> Result<Comparison> {
    headline("a second batch beside the first");
    let counts = Counts::new_only(Counts::scaled(options.scale).staged);
    let [first, second] = [("first", MERCHANT), ("second", SECOND_MERCHANT)]
        .map(|(name, merchant)| generate::write(&folder_for(lab, name)?, options.seed, merchant, counts));
    let batches = [first?, second?];
    let template = Template::prepare(lab, &ONCE, None)?;
    let mut runs: [[Vec<Run>; 2]; 2] = Default::default();
    for round in 0..options.rounds() {
        let database = template.database.copy("journey")?;
        for (at, data) in batches.iter().enumerate() {
            let way = Way { contender: &ONCE, database: &database, data };
            for (step, all) in [Step::Stage, Step::Mark].into_iter().zip(&mut runs) {
                let run = way.step(step, "")?;
                println!("round {}, batch {}, {}: {run}", round + 1, at + 1, step.name());
                all[at].push(run);
            }
            way.require_counts()?;
        }
        database.discard()?;
    }
    template.discard()?;
    batches.iter().try_for_each(|data| data.discard(options.keep))?;

    let mut comparison = Comparison::new(["the first batch".into(), "the second".into()]);
    let [staged, marked] = &runs;
    comparison.add(Step::Stage.name(), [&staged[0], &staged[1]], [counts.staged; 2]);
    comparison.want(SECOND, options.scale);
    // Told only: marking reads what is staged of all.
    comparison.add(Step::Mark.name(), [&marked[0], &marked[1]], [counts.staged; 2]);
    Ok(comparison)
}
