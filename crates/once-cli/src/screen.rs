//! What the user sees: lines and tables on stdout, progress and questions on stderr. With `--json` stdout holds
//! one JSON document and nothing else, or where a command goes on, a line for each.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use serde_json::Value;

use crate::error::{Exit, Failure, Result};
use crate::interrupt;

/// Where a command shows what it does.
#[derive(Clone)]
pub struct Screen {
    json: bool,
    /// Draws bars on a terminal, nothing elsewhere.
    bars: MultiProgress,
    /// Where the answer of a step goes that is part of a longer one.
    part: Option<Arc<Mutex<Option<Value>>>>,
}

const BYTES: &str = "{msg} [{bar:30}] {prefix}{bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta} left";
const ROWS: &str = "{msg} [{bar:30}] {human_pos}/{human_len} rows  {rate}/s  {eta} left";
const BUSY: &str = "{spinner} {msg}  {elapsed}";

impl Screen {
    pub fn new(json: bool) -> Self {
        Self { json, bars: MultiProgress::new(), part: None }
    }

    /// The same screen for a step of a longer command: its answer is kept for `taken`.
    pub fn part(&self) -> Self {
        Self { part: Some(Arc::default()), ..self.clone() }
    }

    /// The answer that a step gave.
    pub fn taken(&self) -> Option<Value> {
        self.part.as_ref().and_then(|part| part.lock().unwrap_or_else(PoisonError::into_inner).take())
    }

    /// Whether bars are drawn, so that it is worth asking how far something is.
    pub fn has_bars(&self) -> bool {
        !self.bars.is_hidden()
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A line for people. Bars that are drawn are moved out of its way.
    pub fn say(&self, line: impl Display) {
        if !self.json {
            self.bars.suspend(|| put(&mut io::stdout(), &line));
        }
    }

    /// A line on stderr, which `--json` does not silence.
    pub fn warn(&self, line: impl Display) {
        self.bars.suspend(|| put(&mut io::stderr(), &line));
    }

    /// The answer for machines.
    pub fn answer(&self, answer: &Value) {
        if let Some(part) = &self.part {
            *part.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        } else if self.json {
            put(&mut io::stdout(), &format_args!("{answer:#}"));
        }
    }

    /// One of many answers for machines, each a line of its own.
    pub fn answer_line(&self, answer: &Value) {
        if self.json {
            put(&mut io::stdout(), answer);
        }
    }

    pub fn table(&self, table: &Table) {
        self.say(table);
    }

    /// Asks for `word`, on the terminal; `yes` has it answered already.
    ///
    /// # Errors
    /// `Exit::Refused` for any other answer, and where there is nobody to ask.
    pub fn confirm(&self, question: &str, word: &str, yes: bool) -> Result<()> {
        if yes {
            return Ok(());
        }
        let hint = "Nothing was changed. --yes confirms without asking.";
        let input = io::stdin();
        if self.json && !input.is_terminal() {
            return Err(Failure::new(Exit::Refused, "not confirmed: with --json nobody is asked").hint(hint));
        }
        let mut answer = String::new();
        interrupt::asking(|| {
            self.bars.suspend(|| {
                let mut terminal = io::stderr();
                write!(terminal, "{question} Type {word} to go on: ")?;
                terminal.flush()?;
                input.lock().read_line(&mut answer)
            })
        })
        .map_err(|error| Failure::new(Exit::Refused, format!("there is nobody to ask: {error}")).hint(hint))?;
        if !answer.ends_with('\n') {
            self.warn("");
        }
        if answer.is_empty() {
            return Err(Failure::new(Exit::Refused, "not confirmed: there is nobody to ask").hint(hint));
        }
        if answer.trim() == word {
            Ok(())
        } else {
            Err(Failure::new(Exit::Refused, format!("not confirmed: the answer was not {word}")).hint(hint))
        }
    }

    /// A bar over `total` bytes, with rate and remaining time.
    pub fn bytes(&self, total: u64) -> ProgressBar {
        self.bar(total, BYTES)
    }

    /// A bar over rows; where `total` is 0 it is not known yet.
    pub fn rows(&self, total: u64) -> ProgressBar {
        self.bar(total, ROWS)
    }

    /// Shows that something is being done, and for how long; `measured` makes it a bar and takes that back.
    pub fn busy(&self, what: &str) -> ProgressBar {
        self.bar(0, BUSY).with_message(what.to_string())
    }

    fn bar(&self, total: u64, template: &str) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(total).with_style(style(template)));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&grouped(state.per_sec() as i64));
        })
        .progress_chars("=> ")
}

/// Has a bar show rows, or only that something is being done.
pub fn measured(bar: &ProgressBar, is_measured: bool) {
    bar.set_style(style(if is_measured { ROWS } else { BUSY }));
}

/// Text out of a file or a table as a terminal may be given it: what would move its cursor is written out.
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// What can't be shown to a reader that has gone is no loss.
fn put(stream: &mut impl Write, line: &impl Display) {
    let _ = writeln!(stream, "{line}").and_then(|()| stream.flush());
}

/// A table with these headings; columns of numbers are right-aligned by `numbers`.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
    table
}

/// A number in a right-aligned cell.
pub fn number(value: impl Into<i128>) -> Cell {
    right(grouped(value))
}

/// A right-aligned cell of text.
pub fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// 1,234,567
pub fn grouped(value: impl Into<i128>) -> String {
    let value: i128 = value.into();
    let digits = value.unsigned_abs().to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if value < 0 { format!("-{out}") } else { out }
}

/// `1 row`, `2,000 rows`.
pub fn counted(count: impl Into<i128>, what: &str) -> String {
    let count = count.into();
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(count)) }
}

/// How long something took, for people.
pub fn took(duration: Duration) -> String {
    if duration.as_secs() < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        HumanDuration(duration).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered_by_what_it_shows() {
        assert_eq!(safe("a\x1b[2J\r\nb\u{202e}é"), r"a\u{1b}[2J\r\nb\u{202e}é");
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        let grouped: Vec<String> =
            [0, 7, 999, 1_000, 15_520_410, -1_234].into_iter().map(|n: i64| grouped(n)).collect();
        assert_eq!(grouped, ["0", "7", "999", "1,000", "15,520,410", "-1,234"]);
    }
}
