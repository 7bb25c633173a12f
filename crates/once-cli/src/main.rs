//! `once`: folders of CSV files, imported once. The extension decides; this reads files, asks and shows.

mod args;
mod commands;
mod connect;
mod error;
mod interrupt;
mod screen;
mod session;
mod source;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use error::{Exit, Result};
use screen::Screen;

fn main() -> ExitCode {
    let cli = Cli::parse();
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
        Command::Completions { shell } => commands::manual::completions(*shell),
        Command::Man => commands::manual::page(),
    }
}
