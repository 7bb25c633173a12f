//! The command line of `once feed`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{delimiter, encoding};

#[derive(Debug, Subcommand)]
pub enum Feed {
    /// Run a feed once
    #[command(after_help = "\
Examples:
  once feed run leads                       what the feed itself reads
  once feed run leads --csv leads.csv
  once feed run leads --xlsx leads.xlsx --worksheet March
  once feed run leads --sheet 1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgVE2upms --range Leads!A:Q
The first row names the columns. A feed that runs already is left to it. Exits with 1 when the run fails.

A spreadsheet of Google is read by a service account: its key, as JSON or as the path of a file that has it, is in
GOOGLE_SERVICE_ACCOUNT_CREDENTIALS, and the spreadsheet is shared with its address.")]
    Run(FeedRun),
    /// Run a feed now, and then every so often, until SIGTERM or Ctrl-C
    #[command(after_help = "\
Example: once feed watch leads --csv leads.csv --every 10m
For where there is no pg_cron. The file or spreadsheet is read anew each time. A run that fails does not end it, nor does a
database or network that is away for a while; what has to be set up first does, at the start. Ended by a signal, it exits
with 0.")]
    Watch(FeedWatch),
}

#[derive(Debug, Args)]
pub struct FeedRun {
    /// The feed, by its name
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub source: FeedSource,
}

#[derive(Debug, Args)]
pub struct FeedWatch {
    #[command(flatten)]
    pub run: FeedRun,
    /// How long from the beginning of one run to that of the next, as 30s, 10m or 1h
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub every: Duration,
}

/// Where the rows come from; left out, the feed reads its own source.
#[derive(Debug, Clone, Args)]
pub struct FeedSource {
    /// Read a CSV file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["xlsx", "sheet"])]
    pub csv: Option<PathBuf>,
    /// What parts the cells, where it is not to be found out: a character, or tab
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter, requires = "csv")]
    pub delimiter: Option<u8>,
    /// The file's encoding, where it is not UTF-8 or UTF-16 with a byte order mark
    #[arg(long, value_name = "NAME", value_parser = encoding, requires = "csv")]
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// Read an Excel file
    #[arg(long, value_name = "FILE", conflicts_with = "sheet")]
    pub xlsx: Option<PathBuf>,
    /// The worksheet that is read; the first one where it is left out
    #[arg(long, value_name = "NAME", requires = "xlsx")]
    pub worksheet: Option<String>,
    /// Read a spreadsheet of Google: its id is what its address has between /d/ and /edit
    #[arg(long, value_name = "SPREADSHEET_ID")]
    pub sheet: Option<String>,
    /// What is read of the spreadsheet, as A:Q or Leads!A:Q; all of the first sheet where it is left out
    #[arg(long, value_name = "RANGE", requires = "sheet")]
    pub range: Option<String>,
    /// Where the API of Google Sheets is
    #[arg(long, env = "ONCE_SHEETS_URL", value_name = "URL", default_value = "https://sheets.googleapis.com", value_parser = address)]
    pub sheets_url: String,
    /// The longest that a request to Google may take
    #[arg(long, env = "ONCE_SHEETS_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = span)]
    pub sheets_timeout: Duration,
}

fn span(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if !span.is_zero() => Ok(span),
        Ok(_) => Err("give a time that is more than nothing".into()),
        Err(error) => Err(format!("{error}: give a number with a unit, as 30s, 10m or 1h")),
    }
}

/// Shorter than a second would be a mistake for minutes, and longer than a year one for less.
fn interval(text: &str) -> Result<Duration, String> {
    let (every, day) = (span(text)?, Duration::from_secs(86_400));
    if (Duration::from_secs(1)..=day * 366).contains(&every) {
        Ok(every)
    } else {
        Err("give a second or more, and no more than a year".into())
    }
}

/// A server's address, to which a path is added.
fn address(text: &str) -> Result<String, String> {
    let wrong = || "give an address as https://sheets.googleapis.com, without a user in it".to_string();
    let uri: ureq::http::Uri = text.parse().map_err(|_| wrong())?;
    let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@')) && uri.query().is_none();
    match uri.scheme_str() {
        Some("http" | "https") if is_plain => Ok(text.trim_end_matches('/').into()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_addresses_no_users() {
        assert_eq!(interval("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0s", "10", "500ms", "9999years", "soon"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
        assert_eq!(address("http://127.0.0.1:8080/"), Ok("http://127.0.0.1:8080".into()));
        for wrong in ["", "sheets.googleapis.com", "ftp://a", "https://me:secret@a", "https://a?key=1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
