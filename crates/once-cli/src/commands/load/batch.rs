//! Rows on their way to COPY, in pieces that are small enough to be sent again.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::binary;
use super::plan::Plan;
use crate::error::Result;
use crate::source::{Reject, Row, Rows};

/// How many bytes a batch has, about: the first of a file are small, so that sending begins at once, and then they
/// grow, since each costs a savepoint and a few round trips.
const FIRST: usize = 1 << 18;
const LARGEST: usize = 1 << 21;

/// The most rejects in a batch: where all rows are bad, that ends it.
const MOST_REJECTS: usize = 10_000;

/// Rows that are sent together.
#[derive(Default)]
pub struct Batch {
    /// Rows as COPY's text format has them.
    pub text: Vec<u8>,
    /// The same rows as COPY's binary format has them, where all of them can be written so.
    pub binary: Option<Vec<u8>>,
    /// Where in `text` each row ends.
    ends: Vec<usize>,
    /// The line of the file in which each row begins.
    lines: Vec<u64>,
    /// Rows that can't even be sent.
    pub rejects: Vec<Reject>,
    /// How far the file was read.
    pub bytes: u64,
}

impl Batch {
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of its rows in the format that takes more.
    fn longest(&self) -> usize {
        self.text.len().max(self.binary.as_ref().map_or(0, Vec::len))
    }

    pub fn text_of(&self, rows: &Range<usize>) -> &[u8] {
        let begins = |row: usize| if row == 0 { 0 } else { self.ends[row - 1] };
        &self.text[begins(rows.start)..begins(rows.end)]
    }

    pub fn line(&self, row: usize) -> u64 {
        self.lines[row]
    }

    /// A cell of a row as the file had it; `None` for NULL.
    pub fn cell(&self, row: usize, column: usize) -> Option<Vec<u8>> {
        let text = self.text_of(&(row..row + 1));
        let cell = text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\t').nth(column)?;
        (cell != b"\\N").then(|| unescaped(cell))
    }
}

/// Batches that were sent. The next ones use their memory: that of a new one costs a page fault for each 4 kB.
#[derive(Default)]
pub struct Spent(Mutex<Vec<Batch>>);

impl Spent {
    pub fn give(&self, batch: Batch) {
        // Rows of many megabytes are rare.
        if batch.text.capacity().max(batch.binary.as_ref().map_or(0, Vec::capacity)) <= 2 * LARGEST {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        }
    }

    fn take(&self, in_binary: bool) -> Batch {
        let mut batch = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        batch.text.clear();
        batch.ends.clear();
        batch.lines.clear();
        batch.binary = in_binary.then(|| {
            let mut binary = batch.binary.take().unwrap_or_default();
            binary.clear();
            binary.extend_from_slice(binary::HEADER);
            binary
        });
        batch
    }
}

/// Reads a file into batches.
pub struct Batches<'a> {
    rows: Rows,
    plan: Arc<Plan>,
    staged: Arc<OnceLock<HashSet<Vec<u8>>>>,
    spent: &'a Spent,
    scopes: Scopes,
    passed: u64,
    size: usize,
}

impl<'a> Batches<'a> {
    /// `staged`: scopes that have the file already, once that is known. Their rows need not be sent; those that were
    /// sent before are kept out by COPY itself.
    pub fn new(rows: Rows, plan: Arc<Plan>, staged: Arc<OnceLock<HashSet<Vec<u8>>>>, spent: &'a Spent) -> Self {
        Self { rows, plan, staged, spent, scopes: Scopes::default(), passed: 0, size: FIRST }
    }

    /// The next batch.
    pub fn next(&mut self) -> Result<Option<Batch>> {
        let mut batch = self.spent.take(self.plan.forms.is_some());
        let staged = self.staged.get();
        while batch.longest() < self.size && batch.rejects.len() < MOST_REJECTS {
            match self.rows.next()? {
                None => break,
                Some(Row::Bad(reject)) => batch.rejects.push(reject),
                Some(Row::Good { line, cells }) => match self.plan.scope_of(cells) {
                    Err(column) => {
                        let reason = format!("{column} is empty");
                        batch.rejects.push(Reject::new(line, reason).cell(Some(column), b""));
                    }
                    Ok(Some(scope)) if staged.is_some_and(|staged| staged.contains(scope)) => self.passed += 1,
                    Ok(scope) => {
                        self.scopes.count(scope.unwrap_or_default());
                        self.plan.write(scope, cells, &mut batch.text);
                        batch.binary = batch.binary.and_then(|binary| self.plan.write_binary(scope, cells, binary));
                        batch.ends.push(batch.text.len());
                        batch.lines.push(line);
                    }
                },
            }
        }
        if let Some(binary) = &mut batch.binary {
            binary.extend_from_slice(binary::END);
        }
        self.size = (self.size * 2).min(LARGEST);
        batch.bytes = self.rows.bytes();
        if batch.rows() == 0 && batch.rejects.is_empty() {
            self.spent.give(batch);
            return Ok(None);
        }
        Ok(Some(batch))
    }

    /// What the file held, once it is read.
    pub fn finish(self) -> Read {
        Read { sha256: self.rows.sha256(), blank: self.rows.blank, passed: self.passed, scopes: self.scopes.finish() }
    }
}

/// A file that was read to its end.
pub struct Read {
    pub sha256: String,
    pub blank: u64,
    /// Rows that were not sent because their scope has them.
    pub passed: u64,
    /// Rows of each scope as the file writes it, those included that the database rejects.
    pub scopes: HashMap<Vec<u8>, u64>,
}

/// Counts rows by scope; most follow one of the same.
#[derive(Default)]
struct Scopes {
    counts: HashMap<Vec<u8>, u64>,
    last: Vec<u8>,
    run: u64,
}

impl Scopes {
    fn count(&mut self, scope: &[u8]) {
        if self.last != scope {
            self.settle();
            self.last = scope.to_vec();
        }
        self.run += 1;
    }

    fn settle(&mut self) {
        if self.run > 0 {
            *self.counts.entry(std::mem::take(&mut self.last)).or_default() += std::mem::take(&mut self.run);
        }
    }

    fn finish(mut self) -> HashMap<Vec<u8>, u64> {
        self.settle();
        self.counts
    }
}

/// Writes a cell as COPY's text format has it (see COPY in Postgres's documentation); an empty one is NULL, as it is
/// where COPY reads CSV.
pub fn write_cell(cell: &[u8], text: &mut Vec<u8>) {
    if cell.is_empty() {
        text.extend_from_slice(b"\\N");
        return;
    }
    // Without a branch for each byte, many are looked at together.
    let special = |byte: u8| byte == b'\\' || byte == b'\t' || byte == b'\n' || byte == b'\r';
    if !cell.iter().fold(false, |found, byte| found | special(*byte)) {
        text.extend_from_slice(cell);
        return;
    }
    let mut begin = 0;
    for (at, byte) in cell.iter().enumerate() {
        let escape = match byte {
            b'\\' => b'\\',
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            _ => continue,
        };
        text.extend_from_slice(&cell[begin..at]);
        text.extend_from_slice(&[b'\\', escape]);
        begin = at + 1;
    }
    text.extend_from_slice(&cell[begin..]);
}

fn unescaped(cell: &[u8]) -> Vec<u8> {
    let mut bytes = cell.iter();
    let mut out = Vec::with_capacity(cell.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                _ => b'\\',
            },
            other => *other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_as_they_were() {
        for cell in ["plain", r"a\b", "tab\there", "two\nlines\r\n", r"\.", r"\N", "ключ"] {
            let mut text = Vec::new();
            write_cell(cell.as_bytes(), &mut text);
            assert!(!text.contains(&b'\n') && !text.contains(&b'\t'));
            assert_eq!(unescaped(&text), cell.as_bytes());
        }
    }

    #[test]
    fn what_copy_would_take_for_something_else_is_escaped() {
        let written = |cell: &str| {
            let mut text = Vec::new();
            write_cell(cell.as_bytes(), &mut text);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(written(r"\."), r"\\.");
        assert_eq!(written(r"\N"), r"\\N");
        assert_eq!(written("a\tb\nc\rd"), r"a\tb\nc\rd");
        assert_eq!(written(""), r"\N");
    }
}
