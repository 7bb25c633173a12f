//! The bulk path: a journey from files to production and back, by pg_once, in the way that is in the books, by an
//! expert's SQL, and as quick as the machine can.

mod comparison;
mod contenders;
mod goals;
pub mod growth;
mod journey;
pub mod neighbours;
mod template;
mod totals;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use xtask::run::headline;

use crate::figures::{Figures, Role};
use crate::generate::{self, Counts, Data, MERCHANT};
use crate::lab::{Lab, Settings};
use crate::measure::{Run, turns};
use crate::{Options, Outcome};
use contenders::CONTENDERS;
use journey::{Journey, STEPS, Step};
use template::Template;
use totals::Total;

/// What an import of millions deserves, for all contenders alike. Autovacuum would come to one or the other by chance.
pub const SETTINGS: Settings = &[("work_mem", "1GB"), ("maintenance_work_mem", "1GB"), ("autovacuum", "off")];

/// What was measured: data, and what each contender's journeys took.
pub struct Measured {
    data: Data,
    journeys: Vec<Journeys>,
}

/// What the rounds of one contender took.
pub struct Journeys {
    role: Role,
    /// For each step the runs; none where the contender has no such step.
    runs: [Vec<Run>; STEPS.len()],
}

impl Journeys {
    fn of(role: Role) -> Self {
        Self { role, runs: Default::default() }
    }

    fn add(&mut self, runs: [Option<Run>; STEPS.len()]) {
        for (all, run) in self.runs.iter_mut().zip(runs) {
            all.extend(run);
        }
    }

    /// The runs of a step.
    fn of_step(&self, step: Step) -> &[Run] {
        &self.runs[step as usize]
    }
}

pub fn run(lab: &Lab, options: &Options) -> Result<(Outcome, Measured)> {
    let counts = Counts::scaled(options.scale);
    let data = prepare_data(lab, "bulk", options.seed, counts)?;
    let production = lab.files.join("production.csv");
    generate::write_production(&production, options.seed, MERCHANT, counts)?;

    headline("production of each contender");
    let templates = CONTENDERS.iter().map(|contender| Template::prepare(lab, contender, Some(&production)));
    let templates: Vec<_> = templates.collect::<Result<_>>()?;
    std::fs::remove_file(production)?;
    let same = templates.iter().all(|template| template.production == templates[0].production);
    ensure!(same, "the contenders don't begin with the same production");

    headline("the journeys");
    let journeys = in_turn(&data, &templates, options.rounds())?;
    templates.iter().try_for_each(Template::discard)?;
    data.discard(options.keep)?;
    let measured = Measured { data, journeys };
    Ok((report(&measured, options)?, measured))
}

/// Writes the files of a batch into a folder of its own.
fn prepare_data(lab: &Lab, folder: &str, seed: u64, counts: Counts) -> Result<Data> {
    headline("the data");
    let data = generate::write(&folder_for(lab, folder)?, seed, MERCHANT, counts)?;
    println!("{data}");
    Ok(data)
}

fn folder_for(lab: &Lab, name: &str) -> Result<std::path::PathBuf> {
    let folder = lab.files.join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn in_turn(data: &Data, templates: &[Template], rounds: u64) -> Result<Vec<Journeys>> {
    let mut all: Vec<_> = CONTENDERS.iter().map(|contender| Journeys::of(contender.role)).collect();
    let mut expected: Option<String> = None;
    for round in 0..rounds as usize {
        for at in turns(round, CONTENDERS.len()) {
            let journey = Journey { contender: &CONTENDERS[at], template: &templates[at], data };
            let ended = journey.run(round)?;
            let expected = expected.get_or_insert_with(|| ended.written.clone());
            let role = journey.contender.role.name();
            ensure!(*expected == ended.written, "{role} wrote other rows: {} instead of {expected}", ended.written);
            all[at].add(ended.runs);
        }
    }
    println!("all ended with the same rows");
    Ok(all)
}

fn report(measured: &Measured, options: &Options) -> Result<Outcome> {
    let totals: Vec<_> = STEPS.map(Total::Of).into_iter().chain([Total::Whole, Total::ToInsert]).collect();
    let owned: Vec<_> = totals.iter().map(|total| (*total, total.runs(&measured.journeys))).collect();
    let (mut steps, mut figures) = (Vec::new(), Vec::new());
    for (total, runs) in &owned {
        let report = total.report(runs, &measured.data.counts, options.scale);
        report.goals().iter().for_each(|goal| println!("{}: {goal}", total.name()));
        if let (Total::Whole, Some(warning)) = (total, report.disturbance()) {
            println!("{warning}");
        }
        let roles = Role::ALL.map(|role| (role.name(), role));
        figures.push(Figures::of(&report, total.name(), &roles));
        steps.push(serde_json::to_value(report)?);
    }
    let json: Value = json!({ "data": measured.data, "steps": steps });
    Ok(Outcome { json, figures })
}
