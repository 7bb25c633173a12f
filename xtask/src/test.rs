//! `cargo xtask test`: every check and test there is, and how many passed and failed.

mod backend;
mod server_tests;
mod tally;

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::bench;
use crate::cli;
use crate::extension::Builder;
use crate::run::{headline, run as run_command, tee};
use crate::server::Installation;
use crate::setup;
use crate::state::{State, workspace};
use server_tests::{RegressKind, TestServer};
use tally::Tally;

/// A part of the tests, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The format check
    Fmt,
    /// Clippy, warnings denied
    Clippy,
    /// The tests of the crates that need no Postgres
    Unit,
    /// The tests that run inside a Postgres backend
    Backend,
    /// SQL in, expected output
    Regress,
    /// Interleaved sessions
    Isolation,
    /// Rust clients of a real server
    Clients,
    /// The benchmarks, with very little data: that they run, and all contenders end with the same rows
    Bench,
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn counts_tests(self) -> bool {
        !matches!(self, Self::Fmt | Self::Clippy | Self::Bench)
    }
}

/// What to test, and how.
pub struct Options {
    /// Major version of Postgres.
    pub pg: u16,
    /// The parts to run; all when empty.
    pub only: Vec<Part>,
    /// Leave the test cluster running.
    pub keep: bool,
    /// Arguments for the runner of the client tests.
    pub client_args: Vec<String>,
}

impl Options {
    fn parts(&self) -> Vec<Part> {
        let all = Part::value_variants().iter().copied();
        all.filter(|part| self.only.is_empty() || self.only.contains(part)).collect()
    }
}

/// Runs the tests. The last line of output is `N passed, M failed`.
pub fn run(options: &Options) -> ExitCode {
    let start = Instant::now();
    let mut tally = Tally::default();
    if let Err(error) = run_tests(options, &mut tally).and_then(|()| run_bench(options, &mut tally)) {
        eprintln!("error: {error:#}");
        tally.failed += 1;
    }
    if tally.ran() == 0 && options.parts().iter().any(|part| part.counts_tests()) {
        eprintln!("error: no test ran");
        tally.failed += 1;
    }
    println!("\nall of it took {:.1?}\n{tally}", start.elapsed());
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A program of its own, which opens the state directory itself.
fn run_bench(options: &Options, tally: &mut Tally) -> Result<()> {
    if !options.parts().contains(&Part::Bench) {
        return Ok(());
    }
    timed(Part::Bench, tally, || {
        let pg = options.pg.to_string();
        let arguments = ["--scale", "0.01", "--rounds", "1", "--pg", &pg];
        Ok(Tally::of_check(bench::run(&arguments.map(OsString::from))))
    })
}

/// Runs a part, says how long it took, and counts it in.
fn timed(part: Part, tally: &mut Tally, run: impl FnOnce() -> Result<Tally>) -> Result<()> {
    headline(&part.name());
    let start = Instant::now();
    let result = run().with_context(|| part.name())?;
    println!("{}: {result} in {:.1?}", part.name(), start.elapsed());
    *tally += result;
    Ok(())
}

fn run_tests(options: &Options, tally: &mut Tally) -> Result<()> {
    let parts: Vec<_> = options.parts().into_iter().filter(|part| *part != Part::Bench).collect();
    if parts.is_empty() {
        return Ok(());
    }
    headline("set-up");
    let pg_config = setup::prepare(options.pg, true)?;
    let state = State::open()?;
    // Not the demo's installation: its server keeps the code that it was started with.
    let root = state.path(&format!("pg{}-test", options.pg));
    let installation = Installation::private(&pg_config, &root)?;
    let tests = Tests { options, state: &state, builder: Builder::new(&state, &installation)? };

    let mut server = None;
    for part in parts {
        timed(part, tally, || tests.part(part, &mut server))?;
    }
    if let Some(server) = server
        && options.keep
    {
        server.keep_running();
    }
    Ok(())
}

struct Tests<'a> {
    options: &'a Options,
    state: &'a State,
    builder: Builder<'a>,
}

impl Tests<'_> {
    /// Runs one part. An error means that what follows can't run either: the build fails.
    fn part(&self, part: Part, server: &mut Option<TestServer>) -> Result<Tally> {
        match part {
            Part::Fmt => Ok(Tally::of_check(run_command(&mut self.builder.cargo(&["fmt", "--all", "--check"])))),
            Part::Clippy => Ok(Tally::of_check(self.clippy())),
            Part::Unit => {
                let packages = ["once-core", "once-cli", "once-bench", "xtask"];
                self.cargo_test(&packages.map(|package| ["--package", package]).concat(), &[])
            }
            Part::Backend => backend::run(&self.builder, self.state),
            Part::Regress => self.regress(RegressKind::Sql, server),
            Part::Isolation => self.regress(RegressKind::Isolation, server),
            Part::Clients => self.clients(server),
            // See `run_bench`.
            Part::Bench => Ok(Tally::default()),
        }
    }

    fn clippy(&self) -> Result<()> {
        let postgres = format!("pg_once/{}", self.builder.feature());
        let with_tests = format!("{postgres},pg_once/pg_test");
        for features in [postgres, with_tests] {
            let mut cargo = self.builder.cargo(&["clippy", "--workspace", "--all-targets"]);
            cargo.args(["--no-default-features", "--features", &features]);
            run_command(cargo.args(["--", "-D", "warnings"]))?;
        }
        Ok(())
    }

    fn cargo_test(&self, packages: &[&str], environment: &[(&str, String)]) -> Result<Tally> {
        let mut cargo = self.builder.cargo(&["test", "--no-fail-fast"]);
        cargo.args(packages).envs(environment.iter().map(|(name, value)| (name, value)));
        if !environment.is_empty() && !self.options.client_args.is_empty() {
            cargo.arg("--").args(&self.options.client_args);
        }
        let (status, output) = tee(&mut cargo)?;
        Tally::of_cargo_test(status, &output)
    }

    fn regress(&self, kind: RegressKind, server: &mut Option<TestServer>) -> Result<Tally> {
        if !workspace().join(kind.folder()).exists() {
            println!("{} doesn't exist yet: nothing to run", kind.folder());
            return Ok(Tally::default());
        }
        server_tests::regress(self.server(server)?, kind)
    }

    fn clients(&self, server: &mut Option<TestServer>) -> Result<Tally> {
        let server = self.server(server)?;
        let scratch = self.state.path("clients");
        fs::create_dir_all(&scratch)?;
        let once = cli::build(&self.builder, false)?;
        setup::pg_cron(server.cluster.installation())?;
        self.cargo_test(
            &["--package", "once-tests"],
            &[
                ("ONCE_TEST_HOST", server.cluster.socket_dir().display().to_string()),
                ("ONCE_TEST_USER", crate::server::Cluster::USER.into()),
                ("ONCE_TEST_PG", self.options.pg.to_string()),
                ("ONCE_TEST_BIN", server.cluster.installation().bin().display().to_string()),
                ("ONCE_TEST_STATE", scratch.display().to_string()),
                ("ONCE_TEST_CLI", once.display().to_string()),
                ("ONCE_TEST_PGBOUNCER", setup::pgbouncer()?.display().to_string()),
                ("ONCE_TEST_PYTHON", setup::python()?.display().to_string()),
                ("ONCE_TEST_NODE_MODULES", setup::node_modules(&self.state.path("node"))?.display().to_string()),
            ],
        )
    }

    fn server<'s>(&self, server: &'s mut Option<TestServer>) -> Result<&'s TestServer> {
        let started = match server.take() {
            Some(started) => started,
            None => TestServer::start(&self.builder, self.state)?,
        };
        Ok(server.insert(started))
    }
}
