//! The tests that share one server: SQL regression tests and isolation specs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use crate::extension::Builder;
use crate::server::{Cluster, UNSAFE_BUT_QUICK, user};
use crate::state::{State, workspace};

/// A database that has the extension; every test gets a copy of it.
const TEMPLATE: &str = "once_template";

/// The cluster that all the tests share.
pub struct TestServer {
    /// The cluster.
    pub cluster: Cluster,
    output: PathBuf,
}

impl TestServer {
    /// Installs the extension and starts a new cluster that has it in a template database.
    pub fn start(builder: &Builder, state: &State) -> Result<Self> {
        // The debug build: it shares its dependencies with the in-backend tests.
        builder.install(false)?;
        let cluster = Cluster::create(builder.installation(), &state.path("test"), UNSAFE_BUT_QUICK)?;
        println!("a cluster for the tests runs in {}", cluster.socket_dir().display());
        cluster.createdb(TEMPLATE, None)?;
        cluster.psql(TEMPLATE, "CREATE SCHEMA once; CREATE EXTENSION pg_once SCHEMA once;")?;
        Ok(Self { cluster, output: state.path("regress") })
    }

    /// Leaves the server running, and says how to get there.
    pub fn keep_running(self) {
        println!("the test cluster still runs: {}", crate::run::show(&self.cluster.client("psql")));
        self.cluster.keep_running();
    }
}

/// The two kinds of tests that compare a session's output with what is expected.
#[derive(Clone, Copy)]
pub enum RegressKind {
    /// `sql/*.sql`, run by psql.
    Sql,
    /// `specs/*.spec`, run by isolationtester.
    Isolation,
}

impl RegressKind {
    /// The tests' folder in the checkout.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Sql => "tests/regress",
            Self::Isolation => "tests/isolation",
        }
    }

    fn sources(self) -> (&'static str, &'static str) {
        match self {
            Self::Sql => ("sql", "sql"),
            Self::Isolation => ("specs", "spec"),
        }
    }

    fn runner(self) -> &'static str {
        match self {
            Self::Sql => "regress/pg_regress",
            Self::Isolation => "isolation/pg_isolation_regress",
        }
    }
}

/// Runs every test of a kind, each in a database of its own, so that their order doesn't matter.
pub fn regress(server: &TestServer, kind: RegressKind) -> Result<Tally> {
    let names = test_names(kind)?;
    if names.is_empty() {
        let (subfolder, extension) = kind.sources();
        let wanted = format!("no tests found in {}/{subfolder}/*.{extension}", kind.folder());
        return Ok(Tally::of_check(Err(anyhow::anyhow!(wanted))));
    }
    let runner = find_runner(server, kind)?;
    let mut tally = Tally::default();
    for name in names {
        let start = Instant::now();
        let passed = run_one(server, &runner, kind, &name)?;
        println!("{} {name} ({:.0?})", if passed { "ok    " } else { "FAILED" }, start.elapsed());
        tally += Tally::one(passed);
    }
    Ok(tally)
}

fn test_names(kind: RegressKind) -> Result<Vec<String>> {
    let (subfolder, extension) = kind.sources();
    let mut names = Vec::new();
    for entry in workspace().join(kind.folder()).join(subfolder).read_dir().into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(stem) = path.file_stem()
        {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn run_one(server: &TestServer, runner: &Path, kind: RegressKind, name: &str) -> Result<bool> {
    let database = format!("{}_{name}", kind.sources().0);
    let output = server.output.join(&database);
    if output.exists() {
        fs::remove_dir_all(&output)?;
    }
    fs::create_dir_all(&output)?;
    server.cluster.createdb(&database, Some(TEMPLATE))?;

    let log = fs::File::create(output.join("runner.log"))?;
    let mut command = Command::new(runner);
    user::without_pg_variables(&mut command)
        .arg(format!("--inputdir={}", workspace().join(kind.folder()).display()))
        .arg(format!("--outputdir={}", output.display()))
        .arg(format!("--bindir={}", server.cluster.installation().bin().display()))
        .arg(format!("--host={}", server.cluster.socket_dir().display()))
        .args(["--port=5432", "--user", Cluster::USER, "--use-existing"])
        .args(["--dbname", &database, name])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let passed = command.status().context("could not start pg_regress")?.success();
    if passed {
        server.cluster.psql("postgres", &format!("DROP DATABASE \"{database}\""))?;
    } else {
        for file in ["runner.log", "regression.diffs"] {
            println!("{}", fs::read_to_string(output.join(file)).unwrap_or_default());
        }
        println!("what came out: {}/results", output.display());
    }
    Ok(passed)
}

/// The installation's own test programs, or those of another version, which do as well.
fn find_runner(server: &TestServer, kind: RegressKind) -> Result<PathBuf> {
    let makefile = server.cluster.installation().ask("--pgxs")?;
    // …/pgxs/src/makefiles/pgxs.mk → …/pgxs/src/test
    let own = makefile.parent().and_then(Path::parent).map(|src| src.join("test"));
    let others = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let others = others.map(|version| version.path().join("lib/pgxs/src/test"));
    match own.into_iter().chain(others).map(|test| test.join(kind.runner())).find(|p| p.exists()) {
        Some(runner) => Ok(runner),
        None => bail!("{} is not installed", kind.runner()),
    }
}
