//! Real clients of a real server. `cargo xtask test --only clients` starts the server and runs them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

use anyhow::{Context, Result, anyhow};
use postgres::{Client, NoTls};
use xtask::server::{Cluster, Installation};

pub mod files;
pub mod mail;
pub mod once;
pub mod promo;
pub mod rows;
pub mod wait;
pub mod workouts;

pub use postgres;
pub use serde_json::{Value, json};
pub use uuid::Uuid;

/// A database on the shared server that has the extension in the schema `once`.
const TEMPLATE: &str = "once_template";

/// A fresh database of one's own with the extension in the schema `once`, dropped at the end.
pub struct Db {
    cluster: Cluster,
    name: String,
    /// A cluster made for this database alone, removed with it.
    own_cluster: Option<PathBuf>,
}

impl Db {
    /// A new database on the server that all tests share. The label makes its name readable.
    pub fn new(label: &str) -> Result<Self> {
        let cluster = Cluster::open(&installation()?, &PathBuf::from(variable("ONCE_TEST_HOST")?));
        let name = unique(label);
        cluster.createdb(&name, Some(TEMPLATE))?;
        Ok(Self { cluster, name, own_cluster: None })
    }

    /// A new database on the shared server without the extension.
    pub fn bare(label: &str) -> Result<Self> {
        let cluster = Cluster::open(&installation()?, &PathBuf::from(variable("ONCE_TEST_HOST")?));
        let name = unique(label);
        cluster.createdb(&name, None)?;
        Ok(Self { cluster, name, own_cluster: None })
    }

    /// A new database on a server of its own, which the test may crash. Takes about two seconds.
    pub fn on_own_cluster(label: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let name = unique(label);
        let dir = PathBuf::from(variable("ONCE_TEST_STATE")?).join(&name);
        let cluster = Cluster::create(&installation()?, &dir, settings)?;
        cluster.createdb(&name, None)?;
        let db = Self { cluster, name, own_cluster: Some(dir) };
        db.psql("CREATE SCHEMA once; CREATE EXTENSION pg_once SCHEMA once;")?;
        Ok(db)
    }

    /// A connection as the superuser.
    pub fn client(&self) -> Result<Client> {
        self.client_as(Cluster::USER)
    }

    /// A connection as some role, which must be able to log in.
    pub fn client_as(&self, role: &str) -> Result<Client> {
        let mut config = postgres::Config::new();
        config.host_path(self.cluster.socket_dir()).user(role).dbname(&self.name);
        config.connect(NoTls).with_context(|| format!("could not connect to {} as {role}", self.name))
    }

    /// Runs SQL by psql as the superuser and returns what it prints: unaligned, rows only.
    pub fn psql(&self, sql: &str) -> Result<String> {
        self.cluster.psql(&self.name, sql)
    }

    /// A role that is unique to this test, since roles belong to the whole cluster. It can log in.
    pub fn create_role(&self, label: &str) -> Result<String> {
        let role = unique(label);
        self.psql(&format!("CREATE ROLE \"{role}\" LOGIN"))?;
        Ok(role)
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server: to crash it, or to run client programs such as `pg_dump` against it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// How a client library connects as the superuser.
    pub fn dsn(&self) -> String {
        self.cluster.dsn(&self.name)
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        let gone = match &self.own_cluster {
            Some(dir) => Cluster::discard(dir),
            None => self
                .cluster
                .psql("postgres", &format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name))
                .map(drop),
        };
        if let Err(error) = gone {
            eprintln!("{} was not removed: {error:#}", self.name);
        }
    }
}

/// The major version of Postgres that is tested.
pub fn pg_version() -> Result<u16> {
    Ok(variable("ONCE_TEST_PG")?.parse()?)
}

/// The code of a server error, such as `23505`.
pub fn sqlstate(error: &postgres::Error) -> Option<&str> {
    error.as_db_error().map(|error| error.code().code())
}

/// The root of the checkout.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn installation() -> Result<Installation> {
    Installation::open(variable("ONCE_TEST_BIN")?)
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|_| anyhow!("{name} is not set: run `cargo xtask test --only clients`"))
}

/// A name that no other test has, in this process or another.
fn unique(label: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{label}_{}_{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
