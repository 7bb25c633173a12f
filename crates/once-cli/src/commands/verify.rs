//! `once verify`: compares what an import wrote with what is there now.

use postgres::types::Type;
use serde_json::Value;

use super::work::figure;
use crate::args::{Global, OfJob};
use crate::error::{Exit, Result};
use crate::screen::{Screen, grouped};
use crate::session::Session;

pub fn run(args: &OfJob, global: &Global, screen: &Screen) -> Result<Exit> {
    let mut session = Session::open(global)?;
    let answer = session.call("verify_import_job($1)", &[(&args.job, Type::UUID)])?;
    let verified = answer["verified"] == Value::Bool(true);
    screen.say(words(&answer));
    screen.say(format_args!(
        "{} recorded, {} there now.",
        grouped(figure(&answer, "expected_count")),
        grouped(figure(&answer, "actual_count"))
    ));
    screen.answer(&answer);
    Ok(if verified { Exit::Fine } else { Exit::Problems })
}

/// The verdict of `verify_import_job` in a line.
pub fn words(answer: &Value) -> String {
    let verdict = if answer["verified"] == Value::Bool(true) { "Verified" } else { "Not verified" };
    format!("{verdict}: {}.", answer["message"].as_str().unwrap_or_default())
}
