//! What `once` needs for one large file: as much as for a small one.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use xtask::run::headline;

use crate::Options;
use crate::generate::{Data, write_large};
use crate::lab::Lab;
use crate::measure::time;
use crate::report::Verdict;
use crate::staging::{RESET, once_load};

pub fn run(lab: &Lab, options: &Options) -> Result<Value> {
    headline("one large file");
    let folder = lab.files.join("large");
    fs::create_dir_all(&folder)?;
    let path = folder.join("large.csv");
    let rows = write_large(&path, options.seed, options.memory_mb * 1_000_000)?;
    let bytes = path.metadata()?.len();
    println!("{rows} rows in one file, {} MB", bytes / 1_000_000);
    let data = Data { rows, files: 1, seed: options.seed, bytes, folder, single: path };

    lab.sql(RESET)?;
    let run = time(lab, &mut once_load(lab, &data, &[]))?;
    let staged = lab.sql("SELECT count(*) FROM public.codes_check_temp")?;
    ensure!(staged == rows.to_string(), "once load left {staged} rows, not {rows}");
    println!("once load: {run}");
    let goal = "memory under 100 MB whatever the file size".into();
    println!("{}", Verdict::memory(goal, run.peak_bytes, 100_000_000));
    Ok(json!({ "step": "memory", "data": data, "run": run }))
}
