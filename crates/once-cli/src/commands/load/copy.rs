//! COPY of a batch; where the database refuses it, its bad rows are found by bisecting.

use std::io::Write;
use std::ops::Range;

use super::batch::Batch;
use crate::error::{Failure, Result};
use crate::session::Work;
use crate::source::Reject;

/// What is written to the connection at once.
const PIECE: usize = 1 << 16;

/// Sends the batches of one file, and keeps what was refused of them.
pub struct Copy<'a, 'b> {
    pub work: &'a mut Work<'b>,
    /// The COPY of rows in text.
    pub text: &'a str,
    /// That of rows in binary, where they may go so.
    pub binary: Option<&'a str>,
    pub columns: &'a [String],
    /// Whether the first of them is the scope.
    pub has_scope: bool,
    /// Rows that the database took.
    pub copied: u64,
    /// Rows that were sent and that the database did not refuse.
    pub accepted: u64,
    pub rejects: Vec<Reject>,
    /// The scopes of rows that the database rejected.
    pub rejected_scopes: Vec<Vec<u8>>,
    /// The most rejects that the file may have.
    pub most: u64,
    /// Whether the savepoint stands.
    pub saved: bool,
}

impl Copy<'_, '_> {
    /// # Errors
    /// Where the file has more bad rows than it may, or the database fails for another cause.
    pub fn send(&mut self, batch: &mut Batch) -> Result<()> {
        self.rejects.append(&mut batch.rejects);
        self.require_few()?;
        if let (Some(statement), Some(rows)) = (self.binary, &batch.binary)
            && self.copy(statement, rows, batch.rows())?.is_ok()
        {
            return Ok(());
        }
        self.stage(batch, 0..batch.rows())
    }

    /// Stages rows from their text, by which the database tells what is wrong with them.
    fn stage(&mut self, batch: &Batch, rows: Range<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        match self.copy(self.text, batch.text_of(&rows), rows.len())? {
            Ok(()) => Ok(()),
            Err(failure) if rows.len() == 1 => self.reject(batch, rows.start, failure),
            Err(_) => {
                let middle = rows.start + rows.len() / 2;
                self.stage(batch, rows.start..middle)?;
                self.stage(batch, middle..rows.end)
            }
        }
    }

    /// Copies rows, of which there are `count`, or none of them; gives what the database said where they are at fault.
    fn copy(&mut self, statement: &str, rows: &[u8], count: usize) -> Result<std::result::Result<(), Failure>> {
        // One round trip for both.
        let release = if self.saved { "RELEASE SAVEPOINT rows; " } else { "" };
        self.work.execute(&format!("{release}SAVEPOINT rows"))?;
        self.saved = true;
        let copied =
            self.work.copy_in(statement, |writer| rows.chunks(PIECE).try_for_each(|piece| writer.write_all(piece)));
        match copied {
            Ok(copied) => {
                self.copied += copied;
                self.accepted += count as u64;
                Ok(Ok(()))
            }
            Err(failure) if is_rows_fault(&failure) => {
                self.work.execute("ROLLBACK TO SAVEPOINT rows")?;
                Ok(Err(failure))
            }
            Err(failure) => Err(failure),
        }
    }

    fn reject(&mut self, batch: &Batch, row: usize, failure: Failure) -> Result<()> {
        let column = failure.column.as_deref().and_then(|name| self.columns.iter().position(|c| c == name));
        let column = column.or_else(|| column_in(failure.context.as_deref()?, self.columns));
        let mut reject = Reject::new(batch.line(row), failure.message);
        if let Some(column) = column {
            reject = reject.cell(Some(self.columns[column].clone()), &batch.cell(row, column).unwrap_or_default());
        }
        reject.sqlstate = failure.sqlstate;
        self.rejects.push(reject);
        let scope = if self.has_scope { batch.cell(row, 0) } else { None };
        self.rejected_scopes.push(scope.unwrap_or_default());
        self.require_few()
    }

    fn require_few(&self) -> Result<()> {
        if self.rejects.len() as u64 > self.most { Err(Failure::problem("too many bad rows")) } else { Ok(()) }
    }
}

/// Whether another row in its place might do: data exceptions, constraints, limits, and what triggers raise.
pub fn is_rows_fault(failure: &Failure) -> bool {
    failure.sqlstate.as_deref().is_some_and(|code| ["22", "23", "54", "P0"].iter().any(|class| code.starts_with(class)))
}

/// The column that COPY says it was at: `COPY codes, line 1, column points: "abc"`, in whatever language.
fn column_in(context: &str, columns: &[String]) -> Option<usize> {
    let place = context.lines().next()?.split_once(',')?.1;
    let named = |name: &str| {
        place.match_indices(name).any(|(at, _)| {
            let before = place[..at].chars().next_back();
            let after = place[at + name.len()..].trim_start().chars().next();
            before.is_some_and(char::is_whitespace) && after == Some(':')
        })
    };
    let found = columns.iter().enumerate().filter(|(_, name)| named(name));
    found.max_by_key(|(_, name)| name.len()).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_is_read_from_the_context_in_any_language() {
        let columns: Vec<String> = ["code", "points", "Gift Card"].map(String::from).to_vec();
        let at = |context| column_in(context, &columns);
        assert_eq!(at("COPY codes_check_temp, line 1, column points: \"code: 1\""), Some(1));
        assert_eq!(at("COPY codes, Zeile 1, Spalte Gift Card: »x«"), Some(2));
        assert_eq!(at("COPY codes, ligne 1, colonne code : « x »"), Some(0));
        assert_eq!(at("COPY code, line 1: \"a b c\""), None);
    }
}
