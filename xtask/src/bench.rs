//! `cargo xtask bench`: builds what is measured; the measuring itself is `bench/`.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cli;
use crate::extension::Builder;
use crate::run::{headline, run as run_command};
use crate::server::{Cluster, Installation};
use crate::setup;
use crate::state::State;

/// The name of the cluster's folder in the state directory.
pub const CLUSTER: &str = "bench";

/// What is measured, as users have it: release builds.
pub struct Built {
    /// Held, so that no test runs beside it.
    pub state: State,
    /// Has the extension.
    pub installation: Installation,
    /// The command.
    pub once: PathBuf,
}

/// Starts the benchmark, a program of its own, with these arguments.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut bench = Command::new(cargo);
    bench.args(["run", "--quiet", "--release", "--package", "once-bench", "--"]).args(arguments);
    run_command(&mut bench)
}

/// Builds the extension and `once` for Postgres `pg`. With `install` false, what is missing is an error.
pub fn build(pg: u16, install: bool) -> Result<Built> {
    headline("set-up");
    let pg_config = setup::prepare(pg, install)?;
    let state = State::open()?;
    // Ended before its programs are replaced.
    Cluster::discard(&state.path(CLUSTER))?;
    let installation = Installation::private(&pg_config, &state.path(&format!("pg{pg}-bench")))?;
    headline("building pg_once and once");
    let builder = Builder::new(&state, &installation)?;
    builder.install(true)?;
    let once = cli::build(&builder, true)?;
    Ok(Built { state, installation, once })
}
