//! The tests that run inside a Postgres backend, by `cargo pgrx test`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::tally::Tally;
use crate::extension::Builder;
use crate::run::{output, tee};
use crate::server::process;
use crate::server::user::{self, SERVER_USER};
use crate::state::State;

/// What pgrx calls to start its server as another user. We are root already, and many
/// machines and containers whose user is root have no sudo.
const SUDO: &str = r#"#!/bin/sh
user=root
if [ "$1" = -u ]; then user=$2; shift 2; fi
cd /
exec setpriv --reuid="$user" --regid="$user" --init-groups env "$@"
"#;

/// Runs them. The framework makes a cluster of its own and removes it again.
pub fn run(builder: &Builder, state: &State) -> Result<Tally> {
    let clusters = state.path("backend");
    clear(&clusters)?;

    let mut cargo = builder.cargo(&["pgrx", "test", &builder.feature(), "--package", "pg_once"]);
    cargo.arg("--pgdata").arg(&clusters);
    user::without_pg_variables(&mut cargo);
    if user::is_root()? {
        cargo.args(["--runas", SERVER_USER]).env("PATH", path_with_sudo(&state.path("bin"))?);
    } else {
        // The framework asks it for the superuser's name; containers often don't set it.
        cargo.env("USER", output(Command::new("id").arg("-un"))?);
    }
    let (status, output) = tee(&mut cargo)?;
    Tally::of_cargo_test(status, &output)
}

/// Ends and removes what a run that was killed has left.
fn clear(clusters: &Path) -> Result<()> {
    for cluster in clusters.read_dir().into_iter().flatten() {
        process::end_leftovers(&cluster?.path())?;
    }
    if clusters.exists() {
        fs::remove_dir_all(clusters)?;
    }
    fs::create_dir(clusters)?;
    user::give(clusters)
}

fn path_with_sudo(folder: &Path) -> Result<OsString> {
    fs::create_dir_all(folder)?;
    let sudo = folder.join("sudo");
    fs::write(&sudo, SUDO)?;
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755))?;
    let old = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(std::iter::once(folder.to_path_buf()).chain(env::split_paths(&old)))?)
}
