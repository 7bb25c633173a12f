//! A CSV file, read as `once load` does: its delimiter and encoding are found out in the same way.

use std::path::PathBuf;

use serde_json::Value;

use super::rows::{Shaper, Table};
use crate::error::Result;
use crate::source::{Reading, Row, Rows, name_of, problem};

pub struct File {
    pub path: PathBuf,
    pub reading: Reading,
}

impl File {
    /// # Errors
    /// Where a row can't be read, too: what is wrong with its bytes may be wrong with all rows.
    pub fn read(&self) -> Result<Table> {
        let mut rows = Rows::headless(&self.path, &self.reading)?;
        let mut shaper = Shaper::new(name_of(&self.path), "line", 0);
        while let Some(row) = rows.next_ragged()? {
            match row {
                Row::Good { line, cells } => {
                    shaper.push(line, cells.iter().map(|cell| Value::from(String::from_utf8_lossy(cell))))?;
                }
                Row::Bad(reject) => {
                    return Err(problem(&self.path, Some(reject.line), reject.reason)
                        .hint("Mend the row, or say the file's --encoding."));
                }
            }
        }
        Ok(shaper.finish())
    }
}
