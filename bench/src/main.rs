//! `cargo xtask bench`: how quick pg_once is, beside what else one could do with the same data.
//!
//! Every contender of a step does the same work on the same data in the same cluster, in turn; all must end with the
//! same rows. Times are only told, never asserted.

mod bulk;
mod chart;
mod documents;
mod feeds;
mod figures;
mod generate;
mod lab;
mod machine;
mod mail;
mod measure;
mod memory;
mod processor;
mod report;
mod resident;
mod rows;
mod step;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum, value_parser};
use serde_json::{Value, json};
use xtask::bench::Built;
use xtask::run::headline;

use crate::figures::{Figures, Summary};
use crate::lab::Lab;
use crate::machine::Machine;

/// Measure pg_once beside what else one could do
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Options {
    /// Major version of Postgres
    #[arg(long, default_value_t = 15, value_parser = value_parser!(u16).range(15..=18))]
    pg: u16,
    /// Install nothing: fail if something is missing
    #[arg(long)]
    no_setup: bool,
    /// How much is measured: at 1 as much as the goals are about, 15.5 million rows of the bulk path; takes hours
    #[arg(long, default_value_t = 0.1, value_parser = scale)]
    scale: f64,
    /// Only these [default: bulk,growth,documents,rows]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Benchmark>,
    /// How often each contender runs [default: 3, at scale 1 once]
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// What the data are generated from
    #[arg(long, default_value_t = 20_260_301)]
    seed: u64,
    /// Where the results are written [default: bench.json in the state directory]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the chart is drawn [default: bench.svg in the state directory]
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Of rows, also into a table of a million others, and 500000 in a call
    #[arg(long)]
    heavy: bool,
    /// Leave the cluster running, and the files in place, to look at
    #[arg(long)]
    keep: bool,
}

/// What can be measured, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// Files to production and back: stage, mark, insert, verify, roll back
    Bulk,
    /// pg_once's bulk path with a tenth of the rows, and with a second batch
    Growth,
    /// pg_once's bulk path beside many codes of others
    Neighbours,
    /// Importing and hashing texts
    Documents,
    /// Ingesting JSON
    Rows,
    /// Taking in messages of a mailbox
    Mail,
    /// A feed that reads a sheet of leads
    Feeds,
    /// The memory of `once load` for one large file
    Memory,
}

impl Benchmark {
    const DEFAULT: [Self; 4] = [Self::Bulk, Self::Growth, Self::Documents, Self::Rows];

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether it is about the bulk path, which has settings of its own.
    fn is_bulk(self) -> bool {
        matches!(self, Self::Bulk | Self::Growth | Self::Neighbours)
    }
}

fn scale(text: &str) -> Result<f64> {
    let scale: f64 = text.parse()?;
    if !(0.0001..=1.0).contains(&scale) {
        bail!("from 0.0001 to 1");
    }
    Ok(scale)
}

impl Options {
    /// So many times the scale, and at least one.
    fn scaled(&self, count: u64) -> u64 {
        ((count as f64 * self.scale).round() as u64).max(1)
    }

    fn rounds(&self) -> u64 {
        self.rounds.unwrap_or(if self.scale < 1.0 { 3 } else { 1 })
    }

    fn benchmarks(&self) -> impl Iterator<Item = Benchmark> {
        let wanted = if self.only.is_empty() { &Benchmark::DEFAULT[..] } else { &self.only };
        Benchmark::value_variants().iter().copied().filter(|benchmark| wanted.contains(benchmark))
    }
}

/// What a benchmark found.
struct Outcome {
    json: Value,
    /// Its steps in the table at the end, if any.
    figures: Vec<Figures>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let built = xtask::bench::build(options.pg, !options.no_setup)?;
    headline("a private cluster");
    let lab = Lab::set_up(&built)?;
    let machine = machine::describe(&lab, bulk::SETTINGS)?;
    println!("{machine}");

    let mut results = BTreeMap::new();
    let mut figures = Vec::new();
    let (mut measured, mut files) = (None, Vec::new());
    for benchmark in options.benchmarks() {
        headline(&format!("{} at scale {}", benchmark.name(), options.scale));
        lab.begin(if benchmark.is_bulk() { bulk::SETTINGS } else { &[] })?;
        let outcome = match benchmark {
            Benchmark::Bulk => {
                let (outcome, bulk) = bulk::run(&lab, options)?;
                measured = Some(bulk);
                outcome
            }
            Benchmark::Growth => bulk::growth::run(&lab, options, measured.as_ref())?,
            Benchmark::Neighbours => bulk::neighbours::run(&lab, options)?,
            Benchmark::Documents => documents::run(&lab, options)?,
            Benchmark::Rows => rows::run(&lab, options)?,
            Benchmark::Mail => mail::run(&lab, options)?,
            Benchmark::Feeds => feeds::run(&lab, options)?,
            Benchmark::Memory => memory::run(&lab, options)?,
        };
        results.insert(benchmark.name(), outcome.json);
        figures.extend(outcome.figures);
        // Hours of work are not lost where a later one fails.
        files = save(options, &built, &machine, &figures, &results)?;
    }

    headline("all together");
    println!("{machine}");
    if !figures.is_empty() {
        println!("{}", Summary(&figures));
    }
    files.iter().for_each(|path| println!("written to {}", path.display()));
    lab.put_away(options.keep)
}

/// Writes what was measured so far, and gives the files.
fn save(
    options: &Options,
    built: &Built,
    machine: &Machine,
    figures: &[Figures],
    results: &BTreeMap<String, Value>,
) -> Result<Vec<PathBuf>> {
    let path = |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| built.state.path(name));
    let all = json!({
        "machine": machine, "scale": options.scale, "rounds": options.rounds(), "seed": options.seed,
        "table": figures, "results": results,
    });
    let json = serde_json::to_string_pretty(&all)? + "\n";
    let mut files = vec![(path(&options.json, "bench.json"), json)];
    if let Some(chart) = draw(options, machine, figures)? {
        files.push((path(&options.svg, "bench.svg"), chart));
    }
    let write = |(path, text): (PathBuf, String)| {
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
        Ok(path)
    };
    files.into_iter().map(write).collect()
}

/// The chart of the steps, if any were measured that it shows.
fn draw(options: &Options, machine: &Machine, figures: &[Figures]) -> Result<Option<String>> {
    if figures.is_empty() {
        return Ok(None);
    }
    let footer = [machine.in_short(), format!("pg_once {}, scale {}", env!("CARGO_PKG_VERSION"), options.scale)];
    chart::draw(figures, &footer).map(Some)
}
