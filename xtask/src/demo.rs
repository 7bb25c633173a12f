//! `cargo xtask demo`: promo codes from CSV files, imported, verified and undone by psql.

mod files;
mod journey;

use std::fs;

use anyhow::{Result, bail};

use crate::extension::Builder;
use crate::run::{headline, show, tee};
use crate::server::{Cluster, Installation};
use crate::setup;
use crate::state::State;

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
    Builder::new(&state, &installation)?.install(true)?;

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

    headline("the import, as psql shows it");
    let steps = journey::steps(&campaign);
    let script = folder.join("journey.sql");
    fs::write(&script, journey::script(&steps))?;
    let mut psql = cluster.client("psql");
    psql.args(["-X", "-a", "-v", "ON_ERROR_STOP=1", "-d", "demo", "-f", "journey.sql"]);
    let (status, transcript) = tee(psql.current_dir(&folder))?;
    let mut connect = cluster.client("psql");
    connect.args(["-d", "demo"]);
    // From here on it stays, also to look at what went wrong.
    cluster.keep_running();

    let wrong = journey::check(&steps, &transcript);
    println!("\nThe cluster still runs. Connect to it:\n  {}", show(&connect));
    println!("(there, `SET search_path = once, public;` saves typing)");
    println!("Stop and remove it:\n  cargo xtask stop");
    if !status.success() {
        bail!("psql stopped at an error ({status})");
    }
    if !wrong.is_empty() {
        bail!("the demo did not end as it should:\n  {}", wrong.join("\n  "));
    }
    println!("\nAll {} steps gave what the generator of the files had counted.", steps.len());
    Ok(())
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
