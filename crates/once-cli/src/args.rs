//! The command line.

mod feed;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use uuid::Uuid;

pub use feed::{Feed, FeedRun, FeedSource, FeedWatch};

const EXIT_CODES: &str = "\
Exit codes:
  0    all went well
  1    problems were found: in files, in rows, in an import
  2    the command line can't be followed
  3    the database can't be reached, or refuses
  4    you were asked, and did not confirm
  130  interrupted

The connection is psql's: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE,
PGSERVICE, PGSSLMODE, ~/.pgpass and so on, or --dsn without a password.";

/// Imports folders of CSV files into Postgres, each row once
#[derive(Debug, Parser)]
#[command(name = "once", version, propagate_version = true, after_help = EXIT_CODES, after_long_help = format!("\
Example, from a folder of files to an import that can be undone:
  once check codes/
  once load codes/
  once dedupe 0b5ae7a2-3f0c-4a52-8a6e-7f1d5c2e9b10
  once insert 0b5ae7a2-3f0c-4a52-8a6e-7f1d5c2e9b10
or all of it, asking before production changes:
  once run codes/ 0b5ae7a2-3f0c-4a52-8a6e-7f1d5c2e9b10

{EXIT_CODES}"))]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Where to connect: a URL or keywords as psql takes them, without a password
    #[arg(long, global = true, value_name = "DSN", help_heading = "Global options")]
    pub dsn: Option<String>,
    /// The target to import into; needed where several are registered
    #[arg(long, global = true, env = "ONCE_TARGET", value_name = "NAME", help_heading = "Global options")]
    pub target: Option<String>,
    /// The longest a statement may run, as 500ms, 90s or 30min; 0 is no limit
    #[arg(long, global = true, default_value = "0", value_parser = timeout, value_name = "TIME", help_heading = "Global options")]
    pub timeout: String,
    /// Answer in JSON, for programs
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at every CSV file of a folder, without a database
    #[command(after_help = "Example: once check codes/ --deep\nExits with 1 when any file is invalid.")]
    Check(Check),
    /// Stage every CSV file of a folder, each whole or not at all
    #[command(after_help = "\
Example: once load codes/ --map sku=item_no --max-rejects 1%
A file that is staged already is skipped, so running it again loads only what failed.
Rows that the database refuses are kept in import_rejects, up to --max-rejects a file.")]
    Load(Load),
    /// Mark the duplicates among a scope's staged rows
    #[command(after_help = "Example: once dedupe 0b5ae7a2-3f0c-4a52-8a6e-7f1d5c2e9b10")]
    Dedupe(Scoped),
    /// Write a scope's clean rows to production, after you confirmed
    #[command(after_help = "Example: once insert 0b5ae7a2-3f0c-4a52-8a6e-7f1d5c2e9b10 --max-duplicates 50%")]
    Insert(Insert),
    /// Compare what an import wrote with what is there now
    #[command(
        after_help = "Example: once verify 01a1fde1-7e3f-7178-a5b7-d12fcc4e35ad\nExits with 1 when rows are missing."
    )]
    Verify(OfJob),
    /// Delete what an import wrote, after you confirmed
    #[command(after_help = "Example: once rollback 01a1fde1-7e3f-7178-a5b7-d12fcc4e35ad --keep-claimed")]
    Rollback(Rollback),
    /// Write a scope's staged rows to a CSV file, with what each duplicates
    #[command(after_help = "\
Example: once export 0b5ae7a2-3f0c-4a52-8a6e-7f1d5c2e9b10 duplicates.csv
Cells that a spreadsheet would run as a formula get an apostrophe in front, unless --raw.")]
    Export(Export),
    /// Delete a scope's staged rows, after you confirmed
    #[command(after_help = "Example: once clear 0b5ae7a2-3f0c-4a52-8a6e-7f1d5c2e9b10")]
    Clear(Confirmed),
    /// List imports: what ran, and what runs now
    #[command(after_help = "Example: once jobs --since 7d --status failed")]
    Jobs(Jobs),
    /// Show one import
    #[command(after_help = "Example: once job 01a1fde1-7e3f-7178-a5b7-d12fcc4e35ad --json")]
    Job(OfJob),
    /// The whole journey: check, load, dedupe, insert
    #[command(after_help = "Example: once run codes/ 0b5ae7a2-3f0c-4a52-8a6e-7f1d5c2e9b10")]
    Run(Run),
    /// Run a feed on what a file or a spreadsheet has, once or again and again
    #[command(subcommand)]
    Feed(Feed),
    /// Print completions for a shell
    #[command(after_help = "Example: once completions bash > /etc/bash_completion.d/once")]
    Completions { shell: Shell },
    /// Print the manual page
    #[command(after_help = "Example: once man > /usr/local/share/man/man1/once.1")]
    Man,
}

/// A folder of files, and how to read them.
#[derive(Debug, Clone, Args)]
pub struct Files {
    /// A folder; its *.csv and *.tsv files are read, in the order of their names
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Read a column by another name: --map sku=item_no reads item_no as sku
    #[arg(long, value_name = "COLUMN=NAME", value_parser = mapping)]
    pub map: Vec<(String, String)>,
    /// What parts the cells, where it is not to be found out: a character, or tab
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// The files' encoding, where it is not UTF-8 or UTF-16 with a byte order mark
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    pub encoding: Option<&'static encoding_rs::Encoding>,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub files: Files,
    /// Columns that every file must have
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', default_value = "code")]
    pub require: Vec<String>,
    /// Read all rows, not only the first megabyte of each file
    #[arg(long)]
    pub deep: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Load {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub how: How,
    /// Whose rows these are, where the files do not say so
    #[arg(long, value_name = "SCOPE", allow_hyphen_values = true)]
    pub scope: Option<String>,
}

/// How files are staged.
#[derive(Debug, Clone, Args)]
pub struct How {
    /// How many bad rows a file may have, as 100 or 1%; past it the file fails whole
    #[arg(long, value_name = "N|N%", default_value = "0", value_parser = Limit::parse)]
    pub max_rejects: Limit,
    /// Stage files that are staged already once more
    #[arg(long)]
    pub again: bool,
    /// How many files are loaded side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
}

#[derive(Debug, Clone, Args)]
pub struct Scoped {
    /// Whose staged rows; left out where the target has no scope
    #[arg(value_name = "SCOPE", allow_negative_numbers = true)]
    pub scope: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct Confirmed {
    #[command(flatten)]
    pub scoped: Scoped,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Insert {
    #[command(flatten)]
    pub confirmed: Confirmed,
    #[command(flatten)]
    pub brake: Brake,
}

#[derive(Debug, Clone, Args)]
pub struct Brake {
    /// Stop where more of the staged rows are duplicates, as 1000 or 50%
    #[arg(long, value_name = "N|N%", value_parser = Limit::parse)]
    pub max_duplicates: Option<Limit>,
}

#[derive(Debug, Args)]
pub struct OfJob {
    /// The import's id
    #[arg(value_name = "JOB")]
    pub job: Uuid,
}

#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    pub of: OfJob,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Leave claimed (protected) rows in place, and delete the others
    #[arg(long)]
    pub keep_claimed: bool,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct Export {
    #[command(flatten)]
    pub scoped: Scoped,
    /// The file to write; an existing one is replaced when all is written
    #[arg(value_name = "FILE", required = true)]
    pub file: PathBuf,
    /// Only the duplicates (the default)
    #[arg(long, conflicts_with = "all")]
    pub duplicates: bool,
    /// All staged rows
    #[arg(long)]
    pub all: bool,
    /// Write cells as they are, whatever a spreadsheet would make of them
    #[arg(long)]
    pub raw: bool,
}

#[derive(Debug, Args)]
pub struct Jobs {
    /// Only imports since then: a span as 30min, 12h or 7d, or a time as 2026-03-01
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only imports in this state
    #[arg(long, value_enum)]
    pub status: Option<Status>,
    /// Only imports of this scope
    #[arg(long, value_name = "SCOPE", allow_hyphen_values = true)]
    pub scope: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Validating,
    Processing,
    Completed,
    Failed,
    RolledBack,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub files: Files,
    /// Whose rows these are; left out where the target has no scope
    #[arg(value_name = "SCOPE", allow_negative_numbers = true)]
    pub scope: Option<String>,
    #[command(flatten)]
    pub how: How,
    #[command(flatten)]
    pub brake: Brake,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// A number of rows, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    Count(u64),
    Percent(f64),
}

impl Limit {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is neither a number of rows, as 100, nor a share, as 1%");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
            Some(share) => match share.trim().parse::<f64>() {
                Ok(share) if (0.0..=100.0).contains(&share) => Ok(Self::Percent(share)),
                _ => Err(wrong()),
            },
        }
    }

    /// The most rows of `total` that the limit allows.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            // Exact enough: f64 holds whole numbers to 2^53, and a share is rounded down.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            Self::Percent(share) => (total as f64 * share / 100.0).floor() as u64,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

/// A time as Postgres's own settings take it.
fn timeout(text: &str) -> Result<String, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.parse::<i32>().is_ok() && ["", "ms", "s", "min", "h", "d"].contains(&unit) {
        Ok(text.into())
    } else {
        Err("give a number with a unit, as 500ms, 90s, 30min or 2h; without a unit it means milliseconds".into())
    }
}

fn mapping(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((column, name)) if !column.trim().is_empty() && !name.trim().is_empty() => {
            Ok((column.trim().into(), name.trim().into()))
        }
        _ => Err("give the column and its name in the files, as sku=item_no".into()),
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [one] if one.is_ascii() && !b"\"\r\n\0".contains(one) => Ok(*one),
        _ => Err("give one ASCII character that is no quote, or tab".into()),
    }
}

fn encoding(text: &str) -> Result<&'static encoding_rs::Encoding, String> {
    encoding_rs::Encoding::for_label(text.as_bytes())
        .ok_or_else(|| "give an encoding's name, as latin1, windows-1252, utf-16le or shift_jis".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_limit_is_a_count_or_a_share() {
        assert_eq!(Limit::parse("100"), Ok(Limit::Count(100)));
        assert_eq!(Limit::parse("2.5%").map(|limit| limit.of(1_000)), Ok(25));
        assert_eq!(Limit::parse("1%").map(|limit| limit.of(99)), Ok(0));
        for wrong in ["", "%", "-1", "101%", "NaN%", "a lot"] {
            assert!(Limit::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_scope_may_be_left_out_before_a_file() {
        let file_of = |args: &[&str]| match Cli::try_parse_from(args).expect("parses").command {
            Command::Export(export) => (export.scoped.scope, export.file),
            other => panic!("{other:?}"),
        };
        assert_eq!(file_of(&["once", "export", "a.csv"]), (None, "a.csv".into()));
        assert_eq!(file_of(&["once", "export", "7", "a.csv"]), (Some("7".into()), "a.csv".into()));
    }
}
