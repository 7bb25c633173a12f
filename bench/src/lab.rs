//! Where it is measured: a private release cluster with stated settings, its databases, and the programs that work on them.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postgres::{Client, NoTls};
use xtask::bench::{Built, CLUSTER};
use xtask::run::show;
use xtask::server::{Cluster, Installation, user};

/// What is set otherwise than a new cluster has it: room, so that what is measured is neither the eviction of pages
/// nor a checkpoint that happens to come by. Data are as safe as by default.
const SETTINGS: Settings = &[
    ("shared_buffers", "4GB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "1h"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
];

/// Names and values, all of which can be set while the server runs.
pub type Settings = &'static [(&'static str, &'static str)];

const DATABASE: &str = "bench";
/// From which the others are managed.
const MAINTENANCE: &str = "postgres";

/// What is there before any contender runs.
const PREPARE: &str =
    "CREATE SCHEMA once; CREATE EXTENSION pg_once SCHEMA once; SELECT once.install_kit('promo_codes', 'public');";

/// How long settings may take to be known to all.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Lab {
    cluster: Cluster,
    dir: PathBuf,
    once: PathBuf,
    /// A folder for the data.
    pub files: PathBuf,
}

impl Lab {
    pub fn set_up(built: &Built) -> Result<Self> {
        let dir = built.state.path(CLUSTER);
        let files = built.state.path("bench-files");
        if files.exists() {
            fs::remove_dir_all(&files)?;
        }
        fs::create_dir_all(&files)?;
        let cluster = Cluster::create(&built.installation, &dir, SETTINGS)?;
        let lab = Self { cluster, dir, once: built.once.clone(), files };
        lab.begin(&[])?;
        Ok(lab)
    }

    /// Gives a benchmark a new database, and its settings.
    pub fn begin(&self, settings: Settings) -> Result<()> {
        self.set(settings)?;
        self.create(DATABASE)?.sql(PREPARE).map(drop)
    }

    /// Runs SQL, and gives what psql prints of it.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.own().sql(sql)
    }

    /// A session, for what needs no program.
    pub fn connect(&self) -> Result<Client> {
        Ok(Client::connect(&self.cluster.dsn(DATABASE), NoTls)?)
    }

    pub fn once(&self) -> Command {
        self.own().once()
    }

    /// Another program.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        self.own().program(program)
    }

    /// The database of all benchmarks that need no other.
    fn own(&self) -> Database<'_> {
        self.database(DATABASE)
    }

    /// A database that there is.
    pub fn database(&self, name: impl Into<String>) -> Database<'_> {
        Database { lab: self, name: name.into() }
    }

    /// A new, empty database, in the place of one of this name.
    pub fn create(&self, name: impl Into<String>) -> Result<Database<'_>> {
        let database = self.database(name);
        database.discard()?;
        self.manage(&format!("CREATE DATABASE {} TEMPLATE template0", database.quoted()))?;
        Ok(database)
    }

    fn manage(&self, sql: &str) -> Result<String> {
        self.cluster.psql(MAINTENANCE, sql)
    }

    /// Sets these as well, and nothing else, for sessions that begin from now on.
    fn set(&self, settings: Settings) -> Result<()> {
        let set = settings.iter().map(|(name, value)| format!("ALTER SYSTEM SET {name} = '{value}';\n"));
        let all: String = set.collect();
        // Not in one transaction, which ALTER SYSTEM refuses.
        self.manage(&format!("ALTER SYSTEM RESET ALL;\n{all}SELECT pg_reload_conf();"))?;
        let start = Instant::now();
        // A new session has from this file exactly what the file says.
        let pending = "SELECT count(*) FROM (SELECT name FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf') file \
                       FULL JOIN (SELECT name FROM pg_settings WHERE sourcefile LIKE '%auto.conf') known USING (name) \
                       WHERE file.name IS NULL OR known.name IS NULL";
        while self.manage(pending)? != "0" {
            ensure!(start.elapsed() < PATIENCE, "the server does not take its settings over");
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The cluster's data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn installation(&self) -> &Installation {
        self.cluster.installation()
    }

    /// The names of what is set otherwise than a new cluster has it.
    pub fn settings(&self) -> impl Iterator<Item = &'static str> {
        SETTINGS.iter().map(|(name, _)| *name)
    }

    /// Removes the cluster and the data; or with `keep`, says where they are.
    pub fn put_away(self, keep: bool) -> Result<()> {
        if keep {
            let mut psql = self.cluster.client("psql");
            println!("\nThe cluster still runs: {}", show(psql.args(["-d", DATABASE])));
            println!("the files are in {}; the next benchmark removes both.", self.files.display());
            self.cluster.keep_running();
            return Ok(());
        }
        fs::remove_dir_all(&self.files)?;
        drop(self.cluster);
        Cluster::discard(&self.dir)
    }
}

/// One of the cluster's databases.
pub struct Database<'a> {
    pub lab: &'a Lab,
    name: String,
}

impl<'a> Database<'a> {
    /// Runs SQL, and gives what psql prints of it.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.lab.cluster.psql(&self.name, sql)
    }

    /// A copy of it, as it is now. Nobody may be connected to it.
    pub fn copy(&self, name: impl Into<String>) -> Result<Database<'a>> {
        let copy = self.lab.database(name);
        copy.discard()?;
        let [from, to] = [self.quoted(), copy.quoted()];
        self.lab.manage(&format!("CREATE DATABASE {to} TEMPLATE {from} STRATEGY file_copy"))?;
        Ok(copy)
    }

    /// Drops it, if it is there.
    pub fn discard(&self) -> Result<()> {
        self.lab.manage(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.quoted())).map(drop)
    }

    fn quoted(&self) -> String {
        format!("\"{}\"", self.name.replace('"', "\"\""))
    }

    pub fn psql(&self) -> Command {
        self.connected(Command::new(self.lab.installation().program("psql")))
    }

    pub fn once(&self) -> Command {
        self.connected(Command::new(&self.lab.once))
    }

    /// Another program.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        self.connected(Command::new(program))
    }

    /// All find the database as a user's programs do, by the environment; a shell's `psql` is the cluster's.
    fn connected(&self, mut command: Command) -> Command {
        let mut path = vec![self.lab.installation().bin().to_path_buf()];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        user::without_pg_variables(&mut command)
            .env("PGHOST", self.lab.cluster.socket_dir())
            .env("PGPORT", "5432")
            .env("PGUSER", Cluster::USER)
            .env("PGDATABASE", &self.name);
        if let Ok(path) = env::join_paths(path) {
            command.env("PATH", path);
        }
        command
    }
}
