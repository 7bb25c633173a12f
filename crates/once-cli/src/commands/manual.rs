//! Completions and the manual page, out of the definition of the command line itself.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Cli;
use crate::error::{Exit, Failure, Result};

pub fn completions(shell: Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "once", &mut script);
    print(&script)
}

pub fn page() -> Result<Exit> {
    print(&render().map_err(|error| Failure::problem(format!("the manual page can't be rendered: {error}")))?)
}

/// One page: the command itself, then each subcommand.
fn render() -> io::Result<Vec<u8>> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let main = Man::new(cli.clone()).manual("pg_once");
    let mut page = Vec::new();
    main.render_title(&mut page)?;
    main.render_name_section(&mut page)?;
    main.render_synopsis_section(&mut page)?;
    main.render_description_section(&mut page)?;
    main.render_options_section(&mut page)?;
    for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
        let within: Vec<_> = command.get_subcommands().filter(|command| command.get_name() != "help").collect();
        for command in if within.is_empty() { vec![command] } else { within } {
            section(command, &mut page)?;
        }
    }
    extra(&main, ".SH \"EXAMPLES AND EXIT CODES\"", &mut page)?;
    main.render_version_section(&mut page)?;
    Ok(page)
}

/// A subcommand as a section of the page: what were its sections are left to paragraphs, and the global options to
/// the page's own.
fn section(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let local = command.clone().mut_args(|arg| {
        let is_global = arg.is_global_set() || ["help", "version"].contains(&arg.get_id().as_str());
        arg.hide(is_global)
    });
    let man = Man::new(local.clone());
    let mut body = Vec::new();
    man.render_synopsis_section(&mut body)?;
    man.render_description_section(&mut body)?;
    if local.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(&mut body)?;
    }
    let name = command.get_bin_name().unwrap_or(command.get_name());
    writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
    for line in String::from_utf8_lossy(&body).lines() {
        match line {
            ".SH SYNOPSIS" | ".SH OPTIONS" => {}
            ".SH DESCRIPTION" => writeln!(page, ".PP")?,
            other => writeln!(page, "{other}")?,
        }
    }
    if local.get_after_help().is_some() { extra(&man, ".PP", page) } else { Ok(()) }
}

/// What the help says at its end, under `heading`. Its lines are examples and stay lines.
fn extra(man: &Man, heading: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut body = Vec::new();
    man.render_extra_section(&mut body)?;
    for line in String::from_utf8_lossy(&body).lines() {
        match line {
            ".SH EXTRA" => writeln!(page, "{heading}")?,
            control if control.starts_with('.') => writeln!(page, "{control}")?,
            text => writeln!(page, "{text}\n.br")?,
        }
    }
    Ok(())
}

/// A reader that has gone (`once man | head`) is no failure.
fn print(text: &[u8]) -> Result<Exit> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::problem(format!("stdout can't be written: {error}")))
        }
        _ => Ok(Exit::Fine),
    }
}
