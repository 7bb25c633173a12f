//! What the figures were measured on.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::thread::available_parallelism;

use anyhow::Result;
use serde::Serialize;

use crate::lab::{Lab, Settings};

#[derive(Serialize)]
pub struct Machine {
    processor: String,
    cpus: usize,
    memory_mb: u64,
    postgres: String,
    settings: BTreeMap<String, String>,
    /// Which the benchmarks of the bulk path have besides.
    bulk_settings: BTreeMap<&'static str, &'static str>,
}

/// Tells of the machine, and of the settings of the cluster and those which only the bulk path has.
pub fn describe(lab: &Lab, bulk: Settings) -> Result<Machine> {
    let names: Vec<_> = lab.settings().map(|name| format!("'{name}'")).collect();
    let show = format!(
        "SELECT name, current_setting(name) FROM unnest(ARRAY[{}, 'wal_level', 'autovacuum', 'work_mem', \
         'max_parallel_workers_per_gather']) AS name",
        names.join(", ")
    );
    let shown = lab.sql(&show)?;
    let settings = shown.lines().filter_map(|line| line.split_once('|'));
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    Ok(Machine {
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
        cpus: available_parallelism()?.get(),
        memory_mb: memory.unwrap_or(0) / 1024,
        postgres: lab.sql("SHOW server_version")?,
        settings: settings.map(|(name, value)| (name.into(), value.into())).collect(),
        bulk_settings: bulk.iter().copied().collect(),
    })
}

impl Machine {
    /// In one line.
    pub fn in_short(&self) -> String {
        let Self { processor, cpus, memory_mb, postgres, .. } = self;
        // Debian's version has the package's behind it.
        let postgres = postgres.split(' ').next().unwrap_or_default();
        let gigabytes = (*memory_mb as f64 / 1024.0).round();
        format!("Postgres {postgres} on {cpus} × {processor}, {gigabytes} GB")
    }
}

/// A line `name: value` of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(found, _)| found.trim() == name)?;
    Some(value.trim().to_owned())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine: {} × {}, {} MB", self.cpus, self.processor, self.memory_mb)?;
        write!(f, "Postgres {}:", self.postgres)?;
        self.settings.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))?;
        write!(f, "\nbulk, growth and neighbours with:")?;
        self.bulk_settings.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}
