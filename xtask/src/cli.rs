//! Building `once`, the command-line tool.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::extension::Builder;
use crate::run::{output, run};

/// Builds `once`, and gives its path.
pub fn build(builder: &Builder, release: bool) -> Result<PathBuf> {
    let mut cargo = builder.cargo(&["build", "--package", "once-cli"]);
    if release {
        cargo.arg("--release");
    }
    run(&mut cargo)?;
    let about =
        output(builder.cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]).env_remove("RUST_LOG"))?;
    let target = about.split_once("\"target_directory\":\"").and_then(|(_, rest)| rest.split_once('"'));
    let (target, _) = target.context("cargo metadata names no target_directory")?;
    Ok(PathBuf::from(target).join(if release { "release" } else { "debug" }).join("once"))
}
