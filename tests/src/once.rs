//! Running `once` against a test's database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use xtask::server::{Cluster, user};

use crate::{Db, Value, variable};

/// What a run of `once` printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The JSON document on stdout.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("no JSON: {self:?}"))
    }

    /// Requires this exit code.
    pub fn exits(self, exit: i32) -> Result<Self> {
        ensure!(self.exit == exit, "exit code {} instead of {exit}:\n{}\n{}", self.exit, self.out, self.err);
        Ok(self)
    }
}

/// `once` with these arguments, about to connect to the database as its superuser.
pub fn command(db: &Db, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(variable("ONCE_TEST_CLI")?);
    user::without_pg_variables(&mut command)
        .args(arguments)
        .env("PGHOST", db.cluster().socket_dir())
        .env("PGUSER", Cluster::USER)
        .env("PGDATABASE", db.name())
        .env_remove("ONCE_TARGET")
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs `once` without a terminal.
pub fn once(db: &Db, arguments: &[&str]) -> Result<Ran> {
    run(&mut command(db, arguments)?)
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Result<Ran> {
    let out = command.output().with_context(|| format!("{command:?}"))?;
    Ok(Ran {
        exit: out.status.code().unwrap_or(-1),
        out: String::from_utf8(out.stdout)?,
        err: String::from_utf8(out.stderr)?,
    })
}

/// A folder for a test's files, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder; the label makes its name readable.
    pub fn new(label: &str) -> Result<Self> {
        let path = PathBuf::from(variable("ONCE_TEST_STATE")?).join(format!("files_{}", crate::unique(label)));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Writes a file, and gives its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, content)?;
        Ok(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path as an argument.
    pub fn arg(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
