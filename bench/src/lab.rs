//! Where it is measured: a private release cluster with stated settings, and the programs that work on it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use postgres::{Client, NoTls};
use xtask::bench::{Built, CLUSTER};
use xtask::run::show;
use xtask::server::{Cluster, Installation, user};

/// What is set otherwise than a new cluster has it: room, so that what is measured is neither the eviction of pages
/// nor a checkpoint that happens to come by. Data are as safe as by default.
const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "4GB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "1h"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
];

const DATABASE: &str = "bench";

/// What is there before any contender runs.
const PREPARE: &str = concat!(
    "CREATE SCHEMA once; CREATE EXTENSION pg_once SCHEMA once; SELECT once.install_kit('promo_codes', 'public');\n",
    include_str!("../documented/tables.sql")
);

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
        cluster.createdb(DATABASE, None)?;
        cluster.psql(DATABASE, PREPARE)?;
        Ok(Self { cluster, dir, once: built.once.clone(), files })
    }

    /// Runs SQL, and gives what psql prints of it.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.cluster.psql(DATABASE, sql)
    }

    /// A session, for what needs no program.
    pub fn connect(&self) -> Result<Client> {
        Ok(Client::connect(&self.cluster.dsn(DATABASE), NoTls)?)
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

    pub fn psql(&self) -> Command {
        self.connected(Command::new(self.installation().program("psql")))
    }

    pub fn once(&self) -> Command {
        self.connected(Command::new(&self.once))
    }

    /// Another program.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        self.connected(Command::new(program))
    }

    /// All find the database as a user's programs do, by the environment; a shell's `psql` is the cluster's.
    fn connected(&self, mut command: Command) -> Command {
        let mut path = vec![self.installation().bin().to_path_buf()];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        user::without_pg_variables(&mut command)
            .env("PGHOST", self.cluster.socket_dir())
            .env("PGPORT", "5432")
            .env("PGUSER", Cluster::USER)
            .env("PGDATABASE", DATABASE);
        if let Ok(path) = env::join_paths(path) {
            command.env("PATH", path);
        }
        command
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
