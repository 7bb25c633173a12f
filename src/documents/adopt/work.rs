//! What is done in batches, or only counted.

use crate::error::{OnceError, Result};
use crate::spi::{self, Cursor};
use once_core::document::adoption::Step;

/// Rows that one statement changes.
const BATCH: i64 = 1000;

pub struct Work {
    pub dry_run: bool,
    /// How many rows may still be changed.
    pub left: i64,
}

impl Work {
    /// Gives the number of rows that were changed, or would be.
    pub fn run(&mut self, step: &Step) -> Result<i64> {
        if self.dry_run {
            let count = format!("SELECT count(*) FROM ({}) listed", step.ids);
            return spi::planned(|| spi::fresh_one(&count, &[], |row| row.need(1)));
        }
        let mut done = 0;
        if self.left == 0 {
            return Ok(done);
        }
        let cursor = spi::planned(|| Cursor::open(&step.ids, &[]))?;
        loop {
            let batch: Vec<String> = cursor.fetch(BATCH.min(self.left), |row| row.need(1))?;
            let wanted = i64::try_from(batch.len()).unwrap_or(0);
            if wanted == 0 {
                return Ok(done);
            }
            let changed = spi::by_index(|| spi::write(&step.change, &[batch.into()]))?;
            if changed != wanted {
                return Err(OnceError::RowsKept { relation: step.relation.clone(), wanted, changed });
            }
            done += changed;
            self.left -= changed;
            if self.left == 0 {
                return Ok(done);
            }
        }
    }
}
