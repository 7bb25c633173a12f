//! `cargo xtask demo`: promo codes from CSV files, imported, verified and undone by `once`.

mod files;
mod journey;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cli;
use crate::extension::Builder;
use crate::run::{headline, show, tee};
use crate::server::{Cluster, Installation, user};
use crate::setup;
use crate::state::State;
use journey::{Run, Step};

/// Shows everything, from nothing, and leaves the cluster running. Running it again starts afresh.
pub fn run(pg: u16, install: bool) -> Result<()> {
    headline("set-up");
    let pg_config = setup::prepare(pg, install)?;
    let state = State::open()?;
    let dir = state.path("demo");
    // Ended before its programs are replaced.
    Cluster::discard(&dir)?;
    let installation = Installation::private(&pg_config, &state.path(&format!("pg{pg}-demo")))?;

    headline("building pg_once and installing it into a private PostgreSQL");
    let builder = Builder::new(&state, &installation)?;
    builder.install(true)?;
    headline("building `once`");
    let once = cli::build(&builder, true)?;

    headline("a throwaway cluster, and CSV files to import");
    let cluster = Cluster::create(&installation, &dir, &[])?;
    cluster.createdb("demo", None)?;
    println!("PostgreSQL {pg} runs in {}", dir.display());
    let campaign = files::Campaign::generate(20_260_301);
    let folder = state.path("demo-files");
    campaign.write_to(&folder)?;
    for file in &campaign.files {
        println!("{}: {}", folder.join(&file.name).display(), file.header());
    }

    headline("the import, by `once`");
    let steps = journey::steps(&campaign);
    let shell = Shell { cluster: &cluster, once: &once, folder: &folder };
    let wrong = shell.run(&steps)?;
    let mut connect = cluster.client("psql");
    connect.args(["-d", "demo"]);
    // From here on it stays, also to look at what went wrong.
    cluster.keep_running();

    println!("\nThe cluster still runs. Connect to it:\n  {}", show(&connect));
    println!("and with once:\n  PGHOST={} PGUSER=postgres PGDATABASE=demo {}", dir.display(), once.display());
    println!("(in psql, `SET search_path = once, public;` saves typing)");
    println!("Stop and remove it:\n  cargo xtask stop");
    if !wrong.is_empty() {
        bail!("the demo did not end as it should:\n  {}", wrong.join("\n  "));
    }
    println!("\nAll {} steps gave what the generator of the files had counted.", steps.len());
    Ok(())
}

/// Where the steps are run.
struct Shell<'a> {
    cluster: &'a Cluster,
    once: &'a Path,
    folder: &'a Path,
}

impl Shell<'_> {
    /// Runs the steps one after the other; gives what they should have shown and did not.
    fn run(&self, steps: &[Step]) -> Result<Vec<String>> {
        let (mut wrong, mut job) = (Vec::new(), String::new());
        for (number, step) in steps.iter().enumerate() {
            println!("\n-------- {}. {}", number + 1, step.title);
            let (status, shown) = tee(&mut self.command(&step.run, &job))?;
            if let Some(id) = shown.split_once("once rollback ").and_then(|(_, rest)| rest.split_whitespace().next()) {
                job = id.into();
            }
            if status.code() != Some(step.exit) {
                wrong.push(format!("step {} should exit with {}, not {status}: {}", number + 1, step.exit, step.title));
            }
            for text in journey::missing(step, &shown) {
                wrong.push(format!("step {} should show {:?}: {}", number + 1, text.trim(), step.title));
            }
        }
        Ok(wrong)
    }

    fn command(&self, run: &Run, job: &str) -> Command {
        let mut command = match run {
            Run::Psql(sql) => {
                let mut psql = self.cluster.client("psql");
                psql.args(["-X", "-v", "ON_ERROR_STOP=1", "-d", "demo"]);
                sql.split_inclusive(";\n").for_each(|statement| {
                    psql.args(["-c", statement.trim()]);
                });
                psql
            }
            Run::Once(command, arguments) => {
                let mut once = Command::new(self.once);
                user::without_pg_variables(&mut once)
                    .arg(command)
                    .args(arguments.iter().map(|argument| argument.replace("JOB", job)))
                    .env("PGHOST", self.cluster.socket_dir())
                    .env("PGUSER", Cluster::USER)
                    .env("PGDATABASE", "demo");
                once
            }
        };
        command.current_dir(self.folder);
        command
    }
}

/// Stops the demo's cluster and removes it.
pub fn stop() -> Result<()> {
    let dir = State::open()?.path("demo");
    if !dir.exists() {
        println!("there is no demo cluster");
        return Ok(());
    }
    Cluster::discard(&dir)?;
    println!("stopped and removed the demo cluster in {}", dir.display());
    Ok(())
}
