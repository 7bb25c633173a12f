//! Building the extension and installing it into a private installation.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::run::run;
use crate::server::Installation;
use crate::state::{State, workspace};

/// Everything needed to build for one Postgres, always with the same environment: cargo
/// compiles the bindings to Postgres again when a variable that they depend on changes.
pub struct Builder<'a> {
    installation: &'a Installation,
    /// Ours, so that ~/.pgrx stays as it is.
    pgrx_home: PathBuf,
}

impl<'a> Builder<'a> {
    /// Builds against `installation`, which also receives what is installed.
    pub fn new(state: &State, installation: &'a Installation) -> Result<Self> {
        let pgrx_home = state.path(&format!("pgrx-pg{}", installation.major()));
        fs::create_dir_all(&pgrx_home)?;
        // pgrx builds its bindings to Postgres again whenever this file is newer, or missing.
        let config = pgrx_home.join("config.toml");
        if !config.exists() {
            let pg_config = installation.program("pg_config").display().to_string();
            fs::write(config, format!("[configs]\npg{} = {pg_config:?}\n", installation.major()))?;
        }
        Ok(Self { installation, pgrx_home })
    }

    /// Where the extension is installed.
    pub fn installation(&self) -> &Installation {
        self.installation
    }

    /// The cargo feature for the Postgres version, such as `pg15`.
    pub fn feature(&self) -> String {
        format!("pg{}", self.installation.major())
    }

    /// `cargo`, with the environment that pgrx needs.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(arguments)
            .current_dir(workspace())
            .env("PGRX_PG_CONFIG_PATH", self.installation.program("pg_config"))
            .env("PGRX_HOME", &self.pgrx_home)
            // It would change rustflags, and so build every dependency a second time.
            .env("CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND", "1");
        // `cargo run` has set these for xtask; a build script might take them for its own.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    /// Builds the extension and installs it.
    pub fn install(&self, release: bool) -> Result<()> {
        let pg_config = self.installation.program("pg_config");
        let feature = self.feature();
        let mut cargo = self.cargo(&["pgrx", "install", "--package", "pg_once"]);
        if release {
            cargo.arg("--release");
        }
        cargo.args(["--no-default-features", "--features", &feature]);
        run(cargo.arg("--pg-config").arg(pg_config))?;
        self.installation.open_up()
    }
}
