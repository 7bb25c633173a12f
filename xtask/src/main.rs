use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, value_parser};
use xtask::{bench, demo, test};

/// Set up, show, test and measure pg_once
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the extension, import CSV files with it in a throwaway cluster, and leave that running
    Demo {
        /// Major version of Postgres
        #[arg(long, default_value_t = 15, value_parser = value_parser!(u16).range(15..=18))]
        pg: u16,
        /// Install nothing: fail if something is missing
        #[arg(long)]
        no_setup: bool,
    },
    /// Run every check and test; the last line says how many passed and failed
    Test {
        /// Major version of Postgres
        #[arg(long, default_value_t = 15, value_parser = value_parser!(u16).range(15..=18))]
        pg: u16,
        /// Only these parts
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<test::Part>,
        /// Leave the test cluster running, to look at
        #[arg(long)]
        keep: bool,
        /// Arguments for the client tests' runner, for example a name to filter by
        #[arg(last = true)]
        client_args: Vec<String>,
    },
    /// Measure pg_once beside what else one could do, in a private cluster; --help tells the options
    #[command(disable_help_flag = true)]
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<OsString>,
    },
    /// Stop the demo's cluster and remove it
    Stop,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo { pg, no_setup } => demo::run(pg, !no_setup),
        Command::Test { pg, only, keep, client_args } => {
            return test::run(&test::Options { pg, only, keep, client_args });
        }
        Command::Bench { arguments } => bench::run(&arguments),
        Command::Stop => demo::stop(),
    };
    report(outcome)
}

fn report(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
