//! A spreadsheet of Google, by the API of Sheets.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use ureq::http::{Request, Response};

use super::account::Account;
use super::http::Http;
use super::rows::{Shaper, Table};
use crate::error::{Failure, Remedy, Result};
use crate::screen::{Screen, safe};

/// All columns of the first sheet.
const EVERYTHING: &str = "A:ZZ";
/// What RFC 3986 has encoded in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const GOOGLE: &str = "Google Sheets";
/// How much is shown of what the server says.
const LONGEST_WORDS: usize = 300;

pub struct Spreadsheet {
    id: String,
    range: Option<String>,
    /// Where the API is, without a slash at the end.
    url: String,
    account: Account,
    http: Http,
}

/// The answer of `spreadsheets.values.get`; an empty sheet has no values.
#[derive(Deserialize)]
struct ValueRange {
    #[serde(default)]
    range: String,
    #[serde(default)]
    values: Vec<Vec<Value>>,
}

impl Spreadsheet {
    pub fn new(id: &str, range: Option<String>, url: &str, account: Account, http: Http) -> Self {
        Self { id: id.into(), range, url: url.into(), account, http }
    }

    /// # Errors
    /// What the API refuses, with what to do about it; and a failure to reach it.
    pub fn read(&self, screen: &Screen) -> Result<Table> {
        let mut answer = self.get(false, screen)?;
        if answer.status() == 401 {
            // A token may be withdrawn before it expires.
            answer = self.get(true, screen)?;
        }
        if !answer.status().is_success() {
            return Err(self.refused(answer.status().as_u16(), answer.body()));
        }
        let read: ValueRange = serde_json::from_slice(answer.body()).map_err(|_| {
            Failure::problem(format!("the answer of {GOOGLE} is not what its API gives"))
                .detail(format!("{} bytes came from {}.", answer.body().len(), self.url))
                .hint("Check --sheets-url, and whether a proxy answers in its place.")
        })?;
        let (row, column) = origin(&read.range);
        let name = read.range.rsplit_once('!').map_or("the spreadsheet", |(sheet, _)| sheet);
        let mut shaper = Shaper::new(name.trim_matches('\''), "row", column);
        for (number, cells) in (row..).zip(read.values) {
            shaper.push(number, cells)?;
        }
        Ok(shaper.finish())
    }

    fn get(&self, anew: bool, screen: &Screen) -> Result<Response<Vec<u8>>> {
        let token = self.account.token(anew, &self.http, screen)?;
        let mut url = self.url.clone();
        let [id, range] = [&self.id, self.range()].map(|part| utf8_percent_encode(part, PART));
        let _ = write!(url, "/v4/spreadsheets/{id}/values/{range}"); // a String takes all
        url.push_str("?majorDimension=ROWS&valueRenderOption=FORMATTED_VALUE");
        let request = Request::get(url).header("Authorization", format!("Bearer {token}")).body(Vec::new());
        let request = request.map_err(|_| Failure::problem("Google's token is no text that a request can have"))?;
        self.http.send(GOOGLE, &request, screen)
    }

    fn range(&self) -> &str {
        self.range.as_deref().unwrap_or(EVERYTHING)
    }

    fn refused(&self, status: u16, body: &[u8]) -> Failure {
        let said = words(body);
        let email = safe(self.account.email());
        let (id, range) = (&self.id, self.range());
        let failure = match status {
            400 => Failure::problem(format!("{GOOGLE} can't follow the range {range}"))
                .hint("Give it as A:Q or 'Name of the sheet'!A:Q, with a sheet that is there."),
            401 => Failure::problem(format!("{GOOGLE} does not accept the token of {email}"))
                .hint("Make a new key for the service account, and check that GOOGLE_SERVICE_ACCOUNT_CREDENTIALS has it."),
            403 if said.contains("has not been used") || said.contains("is disabled") => {
                Failure::problem(format!("the Google Sheets API is off in the project of {email}"))
                    .hint("Enable it in the Google Cloud console (APIs and services), and wait some minutes.")
            }
            403 => Failure::problem(format!("the spreadsheet {id} is not shared with {email}"))
                .hint(format!("Open it in the browser, Share, and add {email} as a viewer.")),
            404 => Failure::problem(format!("there is no spreadsheet {id}, or it has no range {range}"))
                .hint("The id is what the spreadsheet's address has between /d/ and /edit. A range is as A:Q or 'Name of the sheet'!A:Q."),
            _ => Failure::problem(format!("{GOOGLE} answers with status {status}"))
                .hint("Check --sheets-url, and whether a proxy answers in its place."),
        };
        let failure = if said.is_empty() { failure } else { failure.detail(format!("{GOOGLE} says: {said}")) };
        failure.remedy(Remedy::Setup)
    }
}

/// The message of an error of Google's.
fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        error: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let said = serde_json::from_slice(body).map(|answer: Answer| answer.error.message).unwrap_or_default();
    safe(&said.chars().take(LONGEST_WORDS).collect::<String>())
}

/// The row (from 1) and column (from 0) at which a range as `'Sheet 1'!C5:Q90` begins.
fn origin(range: &str) -> (u64, usize) {
    let cells = range.rsplit('!').next().unwrap_or_default();
    let first = cells.split(':').next().unwrap_or_default();
    let digits = first.find(|c: char| c.is_ascii_digit()).unwrap_or(first.len());
    let (letters, row) = first.split_at(digits);
    let column = letters
        .bytes()
        .filter(u8::is_ascii_uppercase)
        .take(4)
        .fold(0, |column, letter| column * 26 + usize::from(letter - b'A') + 1);
    (row.parse().unwrap_or(1), column.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_where_google_says() {
        for (range, begins) in [
            ("Sheet1!A1:Q1000", (1, 0)),
            ("'Dr. Lim''s A1!B2 list'!C5:Q90", (5, 2)),
            ("Leads!AA7", (7, 26)),
            ("Sheet1!B:Q", (1, 1)),
            ("", (1, 0)),
        ] {
            assert_eq!(origin(range), begins, "{range}");
        }
    }

    #[test]
    fn a_part_of_a_path_is_encoded() {
        let encoded = utf8_percent_encode("'Q1/März'!A:Q?", PART).to_string();
        assert_eq!(encoded, "%27Q1%2FM%C3%A4rz%27%21A%3AQ%3F");
    }
}
