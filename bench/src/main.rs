//! `cargo xtask bench`: how quick pg_once is, beside what else one could do with the same data.
//!
//! Every contender of a step does the same work on the same data in the same cluster, in turn; all must end with the
//! same rows. Times are only told, never asserted.

mod documents;
mod feeds;
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
mod staging;
mod step;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, value_parser};
use xtask::run::headline;

use crate::lab::Lab;

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
    /// How many rows are staged [default: 1500000]; with --documents, how many the table has that is not empty
    /// [default: 1000000]; with --rows, how many a call brings [default: 100000]; with --mail, how many messages
    /// there are [default: 10000]; with --feeds, how many leads a sheet has [default: 10000]
    #[arg(long, value_name = "ROWS", value_parser = value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// In how many files
    #[arg(long, default_value_t = 63, value_parser = value_parser!(u64).range(1..))]
    files: u64,
    /// How often each contender runs
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u64).range(1..))]
    rounds: u64,
    /// What the data are generated from
    #[arg(long, default_value_t = 20_260_301)]
    seed: u64,
    /// Write the results to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only load one large file with `once`, and tell its peak memory
    #[arg(long)]
    memory: bool,
    /// How large that file is
    #[arg(long, value_name = "MB", default_value_t = 1000, value_parser = value_parser!(u64).range(1..))]
    memory_mb: u64,
    /// Import and hash texts, instead of staging files
    #[arg(long, conflicts_with = "memory")]
    documents: bool,
    /// How many texts each contender imports in a run
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u64).range(1..))]
    imports: u64,
    /// Ingest rows of JSON, instead of staging files
    #[arg(long, conflicts_with_all = ["memory", "documents"])]
    rows: bool,
    /// With --rows, also into a table of a million others, and 500000 in a call
    #[arg(long, requires = "rows")]
    heavy: bool,
    /// Take messages of a mailbox in, instead of staging files
    #[arg(long, conflicts_with_all = ["memory", "documents", "rows"])]
    mail: bool,
    /// Read a sheet of leads by a feed, instead of staging files
    #[arg(long, conflicts_with_all = ["memory", "documents", "rows", "mail"])]
    feeds: bool,
    /// Leave the cluster running, and the files in place, to look at
    #[arg(long)]
    keep: bool,
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
    let machine = machine::describe(&lab)?;
    println!("{machine}");

    let results = match options {
        Options { memory: true, .. } => memory::run(&lab, options)?,
        Options { documents: true, .. } => documents::run(&lab, options)?,
        Options { rows: true, .. } => rows::run(&lab, options)?,
        Options { mail: true, .. } => mail::run(&lab, options)?,
        Options { feeds: true, .. } => feeds::run(&lab, options)?,
        _ => staging::run(&lab, options)?,
    };
    if let Some(path) = &options.json {
        let all = serde_json::json!({ "machine": machine, "results": results });
        fs::write(path, serde_json::to_string_pretty(&all)? + "\n")
            .with_context(|| format!("could not write {}", path.display()))?;
        println!("\nwritten to {}", path.display());
    }
    lab.put_away(options.keep)
}
