//! `once feed`: the rows of a file or a spreadsheet, handed to a feed.

mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::{Cell, Table};
use indicatif::ProgressBar;
use postgres::types::Type;
use serde_json::{Value, json};

pub use watch::watch;

use super::work::{figure, refusal, shortened, stop};
use crate::args::{FeedRun, Global};
use crate::connect::Connector;
use crate::error::{Exit, Result};
use crate::feed::Source;
use crate::interrupt;
use crate::screen::{Screen, counted, grouped, right, safe, table, took};
use crate::session::Session;

pub fn run(args: &FeedRun, global: &Global, screen: &Screen) -> Result<Exit> {
    let feed = Feed::new(args, global, Connector::resolve(global.dsn.as_deref())?)?;
    let ran = feed.run(screen)?;
    if ran.status() == "error" {
        return stop(screen, refusal(&ran.answer), &ran.answer);
    }
    screen.say(ran.line());
    if !ran.errors().is_empty() {
        screen.table(&ran.rejected_rows());
    }
    screen.answer(&ran.answer);
    Ok(Exit::Fine)
}

/// A feed, where its rows come from, and the database that has it.
struct Feed {
    name: String,
    source: Option<Arc<Source>>,
    connector: Connector,
    timeout: String,
}

/// What a run was answered.
struct Ran {
    feed: String,
    answer: Value,
    /// What a row is called where it comes from.
    unit: &'static str,
    took: Duration,
}

impl Feed {
    fn new(args: &FeedRun, global: &Global, connector: Connector) -> Result<Self> {
        let source = Source::of(&args.source)?.map(Arc::new);
        Ok(Self { name: args.name.clone(), source, connector, timeout: global.timeout.clone() })
    }

    /// Reads the source, and runs the feed on it, over a connection of its own. Ctrl-C leaves what is read behind, and
    /// has the run cancelled.
    fn run(&self, screen: &Screen) -> Result<Ran> {
        let bar = screen.busy("reading");
        let ran = self.run_with(&bar, screen);
        bar.finish_and_clear();
        ran
    }

    fn run_with(&self, bar: &ProgressBar, screen: &Screen) -> Result<Ran> {
        let began = Instant::now();
        let mut table = match &self.source {
            None => None,
            Some(source) => {
                let (source, screen) = (Arc::clone(source), screen.clone());
                Some(interrupt::apart("the reader", move || source.read(&screen))?)
            }
        };
        bar.set_message("running");
        let (connector, timeout) = (self.connector.clone(), self.timeout.clone());
        let mut session = interrupt::apart("the connection", move || Session::connect(connector, timeout))?;
        let mut answer = match &mut table {
            None => session.call("run_feed($1)", &[(&self.name, Type::TEXT)])?,
            Some(table) => {
                let rows = Value::Array(std::mem::take(&mut table.rows));
                session.call("run_feed($1, $2)", &[(&self.name, Type::TEXT), (&rows, Type::JSONB)])?
            }
        };
        let mut unit = "row";
        if let (Some(table), Some(errors)) = (&table, answer["errors"].as_array_mut()) {
            unit = table.unit;
            for error in errors {
                error["source_row"] = json!(table.number(figure(error, "row")));
            }
        }
        Ok(Ran { feed: self.name.clone(), answer, unit, took: began.elapsed() })
    }
}

impl Ran {
    fn status(&self) -> &str {
        self.answer["status"].as_str().unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.answer["message"].as_str().unwrap_or_default()
    }

    fn errors(&self) -> &[Value] {
        self.answer["errors"].as_array().map_or(&[], Vec::as_slice)
    }

    /// What came of it, in a line.
    fn line(&self) -> String {
        let feed = safe(&self.feed);
        match self.status() {
            "error" => format!("{feed} failed: {}", safe(&refusal(&self.answer).line())),
            "skipped" => format!("{feed} was skipped: {}", safe(self.message())),
            _ => {
                let figure = |name: &str| grouped(figure(&self.answer, name));
                format!(
                    "{feed}: {}, {} new, {} inserted, {} updated, {} duplicates skipped, {} rejected, in {}",
                    counted(self::figure(&self.answer, "rows_scanned"), "row"),
                    figure("new_rows_detected"),
                    figure("inserted"),
                    figure("updated"),
                    figure("duplicates_skipped"),
                    figure("rejected"),
                    took(self.took)
                )
            }
        }
    }

    /// Where a rejected row stands: in the source, if that is ours; nowhere, if it is of an earlier run.
    fn place(error: &Value) -> String {
        let number = error["source_row"].as_i64().or_else(|| error["row"].as_i64());
        number.map_or_else(|| "earlier".into(), grouped)
    }

    fn rejected_rows(&self) -> Table {
        let mut rows = table(&[self.unit, "column", "value", "reason"]);
        for error in self.errors() {
            let text = |name: &str| match &error[name] {
                Value::Null => String::new(),
                Value::String(text) => shortened(&safe(text)),
                other => shortened(&safe(&other.to_string())),
            };
            let place = right(Self::place(error));
            rows.add_row(vec![place, Cell::new(text("column")), Cell::new(text("value")), Cell::new(text("reason"))]);
        }
        let more = figure(&self.answer, "rejected") - self.errors().len() as i64;
        if more > 0 {
            rows.add_row(vec!["…".to_string(), format!("and {} more", grouped(more))]);
        }
        rows
    }
}
