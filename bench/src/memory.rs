//! What `once` needs for one large file: as much as for a small one.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::json;
use xtask::run::headline;

use crate::generate::write_large;
use crate::lab::Lab;
use crate::measure::time;
use crate::report::Verdict;
use crate::{Options, Outcome};

/// How large the file is.
const MEGABYTES: u64 = 1000;

pub fn run(lab: &Lab, options: &Options) -> Result<Outcome> {
    headline("one large file");
    let folder = lab.files.join("large");
    fs::create_dir_all(&folder)?;
    let path = folder.join("large.csv");
    let rows = write_large(&path, options.seed, options.scaled(MEGABYTES) * 1_000_000)?;
    let bytes = path.metadata()?.len();
    println!("{rows} rows in one file, {} MB", bytes / 1_000_000);

    lab.sql("TRUNCATE public.codes_check_temp, once.staged_files RESTART IDENTITY; CHECKPOINT;")?;
    let run = time(lab, lab.once().arg("load").arg(&folder))?;
    let staged = lab.sql("SELECT count(*) FROM public.codes_check_temp")?;
    ensure!(staged == rows.to_string(), "once load left {staged} rows, not {rows}");
    println!("once load: {run}");
    let goal = "memory under 100 MB whatever the file size".into();
    println!("{}", Verdict::memory(goal, run.peak_bytes, 100_000_000));
    Ok(Outcome { json: json!({ "rows": rows, "bytes": bytes, "run": run }), figures: Vec::new() })
}
