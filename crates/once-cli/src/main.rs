//! `once`: folders of CSV files, imported once. The extension decides; this reads files, asks and shows.

mod args;
mod commands;
mod connect;
mod error;
mod feed;
mod interrupt;
mod screen;
mod session;
mod source;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, Feed};
use error::{Exit, Result};
use screen::Screen;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(&error));
    let screen = Screen::new(cli.global.json);
    let outcome = interrupt::watch().and_then(|()| run(&cli, &screen));
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            screen.warn(format_args!("once: {failure}"));
            if screen.is_json() {
                screen.answer(&failure.to_json());
            }
            failure.exit.into()
        }
    }
}

/// What can't be followed is said by clap, but for what may hold a password: a connection string in the wrong place.
fn refuse(error: &clap::Error) -> ! {
    let secret = |argument: String| argument.contains("://") || argument.to_lowercase().contains("password");
    if error.use_stderr() && std::env::args().skip(1).any(secret) {
        eprintln!("once: the command line can't be followed; it is not repeated here, for it may hold a password");
        eprintln!(
            "  hint: A connection string is one argument: --dsn 'host=… dbname=…', without a password. See once --help."
        );
        std::process::exit(Exit::Usage as i32);
    }
    error.exit()
}

fn run(cli: &Cli, screen: &Screen) -> Result<Exit> {
    let global = &cli.global;
    match &cli.command {
        Command::Check(args) => commands::check::run(args, screen),
        Command::Load(args) => commands::load::run(args, global, screen),
        Command::Dedupe(args) => commands::dedupe::run(args, global, screen),
        Command::Insert(args) => commands::insert::run(args, global, screen),
        Command::Verify(args) => commands::verify::run(args, global, screen),
        Command::Rollback(args) => commands::rollback::run(args, global, screen),
        Command::Export(args) => commands::export::run(args, global, screen),
        Command::Clear(args) => commands::clear::run(args, global, screen),
        Command::Jobs(args) => commands::jobs::list(args, global, screen),
        Command::Job(args) => commands::jobs::show(args, global, screen),
        Command::Run(args) => commands::journey::run(args, global, screen),
        Command::Feed(Feed::Run(args)) => commands::feed::run(args, global, screen),
        Command::Feed(Feed::Watch(args)) => commands::feed::watch(args, global, screen),
        Command::Completions { shell } => commands::manual::completions(*shell),
        Command::Man => commands::manual::page(),
    }
}
