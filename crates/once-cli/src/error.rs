//! What ends a command early: said with its detail and the next step, and by the exit code.

use std::fmt;
use std::process::ExitCode;

use postgres::error::SqlState;
use serde_json::{Value, json};

use crate::screen::safe;

/// Exit codes, as the help documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Fine = 0,
    /// The command ran, and found something wrong: with files, rows or an import.
    Problems = 1,
    /// The command line can't be followed.
    Usage = 2,
    /// The server can't be reached, or refused.
    Database = 3,
    /// The user was asked, and did not confirm.
    Refused = 4,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// What helps against a failure: for a command that tries again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// To wait: a network fails, a server starts.
    Time,
    /// Somebody has to set something up first.
    Setup,
    /// Neither is known to.
    Unknown,
}

/// An error as the user reads it: the same parts as an error of Postgres.
#[derive(Clone, Debug)]
pub struct Failure {
    pub exit: Exit,
    pub sqlstate: Option<String>,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// The column that the server names.
    pub column: Option<String>,
    /// Where the server was, in its words.
    pub context: Option<String>,
    pub remedy: Remedy,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        let remedy = if exit == Exit::Usage { Remedy::Setup } else { Remedy::Unknown };
        let message = message.into();
        Self { exit, sqlstate: None, message, detail: None, hint: None, column: None, context: None, remedy }
    }

    pub fn problem(message: impl Into<String>) -> Self {
        Self::new(Exit::Problems, message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub fn database(message: impl Into<String>) -> Self {
        Self::new(Exit::Database, message)
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = remedy;
        self
    }

    /// Whether the server answered with this code.
    pub fn is(&self, state: &SqlState) -> bool {
        self.sqlstate.as_deref() == Some(state.code())
    }

    /// All of it but the next step, in a line.
    pub fn line(&self) -> String {
        let mut line = self.message.clone();
        if let Some(sqlstate) = &self.sqlstate {
            line += &format!(" (SQLSTATE {sqlstate})");
        }
        if let Some(detail) = &self.detail {
            line += &format!(": {}", detail.lines().collect::<Vec<_>>().join("; "));
        }
        line
    }

    /// As `--json` tells it.
    pub fn to_json(&self) -> Value {
        json!({
            "success": false, "exit": self.exit as u8, "sqlstate": self.sqlstate, "message": self.message,
            "detail": self.detail, "hint": self.hint,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| text.lines().map(safe).collect::<Vec<_>>().join("\n  ");
        write!(f, "{}", text(&self.message))?;
        if let Some(sqlstate) = &self.sqlstate {
            write!(f, " (SQLSTATE {sqlstate})")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, "\n  {}", text(detail))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {}", text(hint))?;
        }
        Ok(())
    }
}

const LOST: &str = "The server ended the connection. Look into its log, and run the command again.";

/// What to do about an error that Postgres itself gives no hint for.
fn hint_for(sqlstate: &str) -> Option<String> {
    let hint = match sqlstate {
        "57014" => "It ran longer than --timeout allows, or somebody cancelled it. Nothing of it was done.",
        "42501" => "Let the owner of the target's table run SELECT once.grant_import_access(target, your role);",
        "53100" => "Make room on the server's disk, and run the command again: what was finished stays.",
        "57P01" | "57P02" | "57P03" => LOST,
        _ => return None,
    };
    Some(hint.into())
}

/// What helps against an error that the server answered with.
pub fn remedy_of(sqlstate: &str) -> Remedy {
    match sqlstate {
        // What ran too long, or was cancelled, would do so again.
        "57014" => Remedy::Unknown,
        // An object or a function that is not there; a pooler that lets nobody in; a right or a source that is missing.
        "42704" | "42883" | "08P01" | "42501" | "22004" => Remedy::Setup,
        _ => match sqlstate.get(..2) {
            Some("28" | "3D") => Remedy::Setup,
            Some("08" | "40" | "53" | "57" | "58") => Remedy::Time,
            _ => Remedy::Unknown,
        },
    }
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let mut failure = Self::database(db.message());
            failure.sqlstate = Some(db.code().code().into());
            failure.remedy = remedy_of(db.code().code());
            failure.detail = db.detail().map(String::from);
            failure.hint = db.hint().map(String::from).or_else(|| hint_for(db.code().code()));
            failure.column = db.column().map(String::from);
            failure.context = db.where_().map(String::from);
            return failure;
        }
        let mut lost = error.is_closed();
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            lost |= cause.is::<std::io::Error>();
            let cause_text = cause.to_string();
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        let failure = Self::database(message);
        if lost { failure.hint(LOST).remedy(Remedy::Time) } else { failure }
    }
}
