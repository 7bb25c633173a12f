//! A cluster of one's own: data, socket and log in one folder, no TCP, nothing shared.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Installation, process, user};
use crate::run::{output, output_with_input};

/// Stopped when it is dropped, unless [`Cluster::keep_running`] was called.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    dir: PathBuf,
    stop_at_drop: bool,
}

impl Cluster {
    /// The superuser of every cluster.
    pub const USER: &str = "postgres";

    /// Makes a new cluster in `dir` and starts it. What an earlier run left there is ended and
    /// removed. `settings` are added to `postgresql.conf`; data is safe unless they say otherwise.
    pub fn create(installation: &Installation, dir: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let cluster = Self { installation: installation.clone(), dir: dir.into(), stop_at_drop: true };
        // The kernel's limit for the path of a socket.
        if dir.join(".s.PGSQL.5432").as_os_str().len() > 107 {
            bail!("{} is too long a path for a socket; set TMPDIR to a shorter one", dir.display());
        }
        Self::discard(dir)?;
        fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
        user::give(dir)?;

        let mut initdb = user::server_command(installation.program("initdb"))?;
        initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--no-sync"]);
        output(initdb.args(["--username", Self::USER, "--pgdata"]).arg(cluster.data()))?;

        let socket = dir.display().to_string();
        let own = [
            ("listen_addresses", ""),
            ("unix_socket_directories", &socket),
            // Leaves nothing in /dev/shm, whatever happens.
            ("dynamic_shared_memory_type", "mmap"),
        ];
        let mut conf = OpenOptions::new().append(true).open(cluster.data().join("postgresql.conf"))?;
        for (name, value) in own.iter().chain(settings) {
            writeln!(conf, "{name} = '{}'", value.replace('\'', "''"))?;
        }
        cluster.start()?;
        Ok(cluster)
    }

    /// A cluster that was made earlier and may or may not run. Dropping it doesn't stop it.
    pub fn open(installation: &Installation, dir: &Path) -> Self {
        Self { installation: installation.clone(), dir: dir.into(), stop_at_drop: false }
    }

    /// Starts the server and waits until it accepts connections, after a crash recovery if need be.
    pub fn start(&self) -> Result<()> {
        self.pg_ctl("start")?;
        Ok(())
    }

    /// Stops the server, cutting off the clients.
    pub fn stop(&self) -> Result<()> {
        self.pg_ctl("stop")
    }

    /// Stops and starts the server.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    /// Stops the server without a checkpoint: the next start recovers as after a crash.
    pub fn stop_immediate(&self) -> Result<()> {
        self.pg_ctl("immediate")
    }

    /// Kills the postmaster and every other process of the server, as a power cut would.
    pub fn kill9(&self) -> Result<()> {
        let data = self.data();
        let pid_file = fs::read_to_string(data.join("postmaster.pid"))?;
        // The postmaster first, or it would start a recovery of its own.
        let postmaster = pid_file.lines().next().unwrap_or_default().trim().parse()?;
        process::signal("KILL", &[postmaster])?;
        process::signal("KILL", &process::working_in(&data)?)?;
        process::wait_until_gone(&data, Duration::from_secs(10))?;
        // In a container where nobody reaps it, the postmaster stays a zombie for ever, which
        // Postgres takes for a running server.
        if process::wait_until_reaped(postmaster, Duration::from_secs(2)).is_err() {
            fs::remove_file(data.join("postmaster.pid"))?;
        }
        Ok(())
    }

    /// Kills one backend by its process id; the server then restarts itself, cutting off everybody.
    pub fn kill_backend(&self, pid: u32) -> Result<()> {
        if !process::working_in(&self.data())?.contains(&pid) {
            bail!("{pid} is no process of the cluster in {}", self.dir.display());
        }
        process::signal("KILL", &[pid])
    }

    /// Stops the server of the cluster in `dir`, if there is one, and removes the cluster.
    pub fn discard(dir: &Path) -> Result<()> {
        process::end_leftovers(&dir.join("data"))?;
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("could not remove {}", dir.display()))?;
        }
        Ok(())
    }

    /// Leaves the server running when this value is dropped.
    pub fn keep_running(mut self) {
        self.stop_at_drop = false;
    }

    /// Runs SQL in a database and returns what psql prints: unaligned, rows only.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.client("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database]);
        output_with_input(&mut psql, sql)
    }

    /// Creates a database, as a copy of `template` if one is named.
    pub fn createdb(&self, database: &str, template: Option<&str>) -> Result<()> {
        let mut createdb = self.client("createdb");
        if let Some(template) = template {
            createdb.args(["--template", template]);
        }
        output(createdb.args(["--", database])).map(drop)
    }

    /// A client program of the installation that connects to this cluster.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.installation.program(program));
        user::without_pg_variables(&mut command).arg("-h").arg(&self.dir).args(["-p", "5432", "-U", Self::USER]);
        command
    }

    /// How a client library connects to a database.
    pub fn dsn(&self, database: &str) -> String {
        dsn(&self.dir, Self::USER, database)
    }

    /// The folder of the socket, which clients name as the host.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The installation that the server's programs are from.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn pg_ctl(&self, what: &str) -> Result<()> {
        let mut pg_ctl = user::server_command(self.installation.program("pg_ctl"))?;
        pg_ctl.args(["-w", "-t", "60", "-s", "-D"]).arg(self.data());
        match what {
            "start" => pg_ctl.arg("-l").arg(self.log()).arg("start"),
            "immediate" => pg_ctl.args(["-m", "immediate", "stop"]),
            _ => pg_ctl.args(["-m", "fast", "stop"]),
        };
        output(&mut pg_ctl).map(drop).with_context(|| self.end_of_log())
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default();
        format!("the log {} ends with:\n{}\n", self.log().display(), last.join("\n"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.stop_at_drop
            && let Err(error) = process::end_leftovers(&self.data())
        {
            eprintln!("could not stop the cluster in {}: {error:#}", self.dir.display());
        }
    }
}

/// A libpq connection string, its values quoted.
pub fn dsn(host: &Path, user: &str, database: &str) -> String {
    let quote = |value: &str| format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"));
    format!("host={} port=5432 user={} dbname={}", quote(&host.to_string_lossy()), quote(user), quote(database))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_are_quoted() {
        let found = dsn(Path::new("/tmp/a b"), "postgres", r"it's \x");
        assert_eq!(found, r"host='/tmp/a b' port=5432 user='postgres' dbname='it\'s \\x'");
    }
}
