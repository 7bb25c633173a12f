//! What the commands share: the scope that they work on, what they show of it, and bad ends.

use comfy_table::{Cell, CellAlignment, Table};
use postgres::types::Type;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::watch::Watch;
use crate::args::{Global, Scoped};
use crate::error::{Exit, Failure, Result};
use crate::screen::{self, Screen, counted, safe};
use crate::session::{Session, Target, Work};

/// A target and the scope in it, with the session that works on them.
pub struct Place {
    pub session: Session,
    pub target: Target,
    pub scope: Option<String>,
}

/// What `staging_status` says.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Status {
    pub total_rows: i64,
    pub clean_count: i64,
    pub internal_duplicates: i64,
    pub database_duplicates: i64,
    pub both_duplicates: i64,
    /// The flags hold for what is staged.
    pub marked: bool,
    /// A crash took what was staged.
    pub emptied: bool,
    pub files: Vec<StagedFile>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct StagedFile {
    pub name: String,
    pub sha256: String,
    pub rows: i64,
}

impl Place {
    pub fn open(global: &Global, args: &Scoped) -> Result<Self> {
        let mut session = Session::open(global)?;
        let target = session.target(global.target.as_deref())?;
        match (&target.scope, &args.scope) {
            (Some(column), None) => {
                Err(Failure::usage(format!("target {} is worked on by {column}: say which one", target.name))
                    .hint(format!("Give the {column} as SCOPE.")))
            }
            (None, Some(given)) => {
                Err(Failure::usage(format!("target {} has no scope", target.name)).hint(format!("Leave {given} out.")))
            }
            _ => Ok(Self { session, target, scope: args.scope.clone() }),
        }
    }

    /// The scope in words.
    pub fn words(&self) -> String {
        match (&self.target.scope, &self.scope) {
            (Some(column), Some(scope)) => format!("{column} {}", safe(scope)),
            _ => format!("target {}", self.target.name),
        }
    }

    /// The command for the same scope, to be typed next.
    pub fn next(&self, command: &str) -> String {
        self.scope.iter().fold(format!("once {command}"), |line, scope| format!("{line} {}", shell(scope)))
    }

    /// # Errors
    /// `Exit::Problems` where the flags do not hold for what is staged. (What a crash took, the database tells.)
    pub fn require_marked(&self, status: &Status) -> Result<()> {
        if status.marked || status.emptied {
            return Ok(());
        }
        Err(Failure::problem(format!("the duplicates of {} are not marked", self.words()))
            .detail(format!("{} staged; rows came or went after the last marking.", counted(status.total_rows, "row")))
            .hint(self.next("dedupe")))
    }

    pub fn status(&mut self) -> Result<Status> {
        status(&mut self.session.transaction()?, &self.target, &self.scope)
    }

    /// Runs `call` in a transaction of its own, with a bar; `$1` is the target and `$2` the scope.
    pub fn watched(&mut self, screen: &Screen, what: &str, call: &str) -> Result<Value> {
        let mut work = self.session.transaction()?;
        let watch = Watch::start(screen, &mut work, what)?;
        let answer = work.call(call, &[(&self.target.name, Type::TEXT), (&self.scope, Type::TEXT)])?;
        drop(watch);
        work.commit()?;
        Ok(answer)
    }
}

pub fn status(work: &mut Work<'_>, target: &Target, scope: &Option<String>) -> Result<Status> {
    let answer = work.call("staging_status($1, $2)", &[(&target.name, Type::TEXT), (scope, Type::TEXT)])?;
    serde_json::from_value(answer)
        .map_err(|error| Failure::database(format!("staging_status gave an answer that is not understood: {error}")))
}

/// An answer of the database as a number, 0 where it has none.
pub fn figure(answer: &Value, name: &str) -> i64 {
    answer[name].as_i64().unwrap_or(0)
}

/// Ends a command that did its work and found it wanting: tells why, and answers with `more` besides.
pub fn stop(screen: &Screen, failure: Failure, more: &Value) -> Result<Exit> {
    screen.warn(format_args!("once: {failure}"));
    let mut answer = failure.to_json();
    if let (Some(answer), Some(more)) = (answer.as_object_mut(), more.as_object()) {
        // The failure's own words win over the database's, which speak to a user of SQL.
        for (name, value) in more {
            let own = answer.entry(name.clone()).or_insert(Value::Null);
            if own.is_null() {
                *own = value.clone();
            }
        }
    }
    screen.answer(&answer);
    Ok(failure.exit)
}

/// What a function answered with `"success": false`, as a failure.
pub fn refusal(answer: &Value) -> Failure {
    let text = |name: &str| answer[name].as_str().map(String::from);
    let mut failure = Failure::problem(text("message").unwrap_or_else(|| "the database refused".into()));
    failure.sqlstate = text("sqlstate");
    failure.detail = text("detail");
    failure.hint = text("hint");
    failure
}

/// Rows that can't be inserted, as validation names them.
pub fn faulty_rows(errors: &[Value]) -> Table {
    let mut table = screen::table(&["row", "column", "value", "reason"]);
    for error in errors {
        let value = error["value"].as_str().map_or("NULL".into(), |value| shortened(&safe(value)));
        let text = |name: &str| safe(error[name].as_str().unwrap_or_default());
        table.add_row(vec![
            Cell::new(figure(error, "row")).set_alignment(CellAlignment::Right),
            text("column").into(),
            value.into(),
            text("reason").into(),
        ]);
    }
    table
}

/// The files of an import. A hash is told apart by its beginning.
pub fn files(files: &[StagedFile]) -> Table {
    let mut table = screen::table(&["file", "rows", "sha256"]);
    for file in files {
        let hash: String = file.sha256.chars().take(12).collect();
        table.add_row(vec![safe(&file.name).into(), screen::number(file.rows), hash.into()]);
    }
    table
}

/// Cells may hold a megabyte.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

/// The command that works on a job, as it has to be typed for the same database.
pub fn command(global: &Global, verb: &str, job: &str) -> String {
    let mut line = format!("once {verb} {}", shell(job));
    for (option, value) in [("--dsn", &global.dsn), ("--target", &global.target)] {
        if let Some(value) = value {
            line = format!("{line} {option} {}", shell(value));
        }
    }
    line
}

/// A word that a shell takes as it is.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
