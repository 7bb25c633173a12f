//! Running `once` against a test's database.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use xtask::server::{Cluster, user};

use crate::{Db, Value, unique, variable};

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

/// `once` at work.
pub struct Running(Child);

/// Starts `once`, which is killed where the test ends before it does.
pub fn start(db: &Db, arguments: &[&str]) -> Result<Running> {
    start_command(&mut command(db, arguments)?)
}

pub fn start_command(command: &mut Command) -> Result<Running> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    Ok(Running(child.with_context(|| format!("{command:?}"))?))
}

impl Running {
    /// Sends a signal, as `INT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("sh").args(["-c", r#"kill -s "$0" "$1""#, name, &self.0.id().to_string()]).status()?;
        ensure!(sent.success(), "could not send {name}");
        Ok(())
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end. (What it prints has to fit into pipes.)
    pub fn wait(mut self) -> Result<Ran> {
        let exit = self.0.wait()?.code().unwrap_or(-1);
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().context("stdout")?.read_to_string(&mut out)?;
        self.0.stderr.take().context("stderr")?.read_to_string(&mut err)?;
        Ok(Ran { exit, out, err })
    }

    /// The most memory that it had at once, in kB, so far.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    pub fn is_over(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `once` as a user who is not root and so may not read everything, about to connect as the superuser: a copy of it
/// in the folder, which that user can enter.
pub fn unprivileged(db: &Db, folder: &Folder, arguments: &[&str]) -> Result<Command> {
    let copy = folder.path().join("once");
    if !copy.exists() {
        fs::copy(variable("ONCE_TEST_CLI")?, &copy)?;
    }
    // Becoming that user clears the environment.
    let mut command = user::server_command("env")?;
    command
        .arg(format!("PGHOST={}", db.cluster().socket_dir().display()))
        .args([format!("PGUSER={}", Cluster::USER), format!("PGDATABASE={}", db.name())])
        .arg(copy)
        .args(arguments)
        .stdin(Stdio::null());
    Ok(command)
}

/// The path of pgbouncer.
pub fn pgbouncer() -> Result<PathBuf> {
    Ok(variable("ONCE_TEST_PGBOUNCER")?.into())
}

/// A folder for a test's files, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder; the label makes its name readable.
    pub fn new(label: &str) -> Result<Self> {
        let path = PathBuf::from(variable("ONCE_TEST_STATE")?).join(format!("files_{}", unique(label)));
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
