//! Marking duplicates: within what is staged, and against production. Always computed from the truth.

use super::staging::{self, Staged};
use super::{open, require_known};
use crate::error::OnceError;
use crate::progress::{Phase, Progress};
use crate::spi;
use crate::targets::{Scope, Target};
use once_core::bulk::Lookup;
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

/// Sets `internal_dup` and `existing_dup` of the scope's staged rows to what holds now. Of rows with
/// the same key the one with the lowest row_number stays clean.
///
/// `scope`: the value of the scope column as text, NULL where the target has none. `chunk_size`: rows a
/// statement. Gives `{success, total_rows, internal_duplicates, database_duplicates, clean_count,
/// chunks_processed}`; both counts of duplicates include the rows that are both.
///
/// # Errors
/// `22004`, `22023`, `42704`, `P0002` for arguments; `55000` after a crash emptied the staging table;
/// `42501` without SELECT and UPDATE on it and SELECT on the target.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn mark_duplicates(
    target: Option<String>,
    scope: Option<String>,
    chunk_size: default!(Option<i64>, 100000),
) -> Result<JsonB, ErrorReport> {
    let size = chunk_size.ok_or(OnceError::NullArgument { name: "chunk_size".into() })?;
    if size < 1 {
        return Err(OnceError::BadChunkSize { given: size }.into());
    }
    let (target, scope) = open(target, scope, &["SELECT", "UPDATE"], &["SELECT"])?;
    staging::require_whole(&target, &[&scope])?;
    let mut progress = Progress::start(target.relation_oid);

    progress.phase(Phase::Counting, 0);
    let (staged, _) = staging::now(&target, &scope)?;
    require_known(&target, &scope, staged.rows)?;

    progress.phase(Phase::Marking, staged.rows);
    let lookup = target.lookup(staged.rows)?;
    let chunks = set_flags(&target, &scope, lookup, size, &mut progress)?;

    progress.phase(Phase::Counting, staged.rows);
    let (after, both) = staging::now(&target, &scope)?;
    // What was compared is what was there at the start; how it is flagged shows only now.
    staging::checked(&target, &scope, Staged { internal: after.internal, existing: after.existing, ..staged })?;
    Ok(JsonB(json!({
        "success": true,
        "total_rows": after.rows,
        "internal_duplicates": after.internal,
        "database_duplicates": after.existing,
        "clean_count": after.rows - after.internal - after.existing + both,
        "chunks_processed": chunks,
    })))
}

/// A row whose flags are wrong: its row_number, and what they should be.
type Wrong = (i64, bool, bool);

/// The most wrong rows that are kept in memory: 64 MB.
const MOST_WRONG: usize = 1 << 22;

/// Reads the comparison of all staged rows chunk by chunk, and corrects the flags of those where they are
/// wrong; gives the number of chunks.
fn set_flags(
    target: &Target,
    scope: &Scope,
    lookup: Lookup,
    size: i64,
    progress: &mut Progress,
) -> crate::error::Result<i64> {
    let compared = spi::planned(|| spi::Cursor::open(&target.bulk.comparison(lookup), &[scope.arg()]))?;
    let mut wrong: Vec<Wrong> = Vec::new();
    let mut chunks = 0;
    loop {
        let rows = compared.fetch(size, |row| {
            let wrong: bool = row.need(6)?;
            Ok(if wrong { Some((row.need(1)?, row.need(2)?, row.need(3)?)) } else { None })
        })?;
        let read = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        wrong.extend(rows.into_iter().flatten());
        if read == 0 || wrong.len() >= MOST_WRONG {
            correct(target, scope, size, &mut wrong)?;
        }
        if read == 0 {
            return Ok(chunks);
        }
        progress.advance(read);
        chunks += 1;
    }
}

/// Corrects flags, `size` rows a statement. The statements go by ranges of row_number that do not overlap, so that
/// together they read the scope about once, whatever the planner makes of statistics that may be of another day: it
/// can't be brought to probe the index for each row when it takes the scope for empty.
fn correct(target: &Target, scope: &Scope, size: i64, wrong: &mut Vec<Wrong>) -> crate::error::Result<()> {
    wrong.sort_unstable();
    let set_flags = target.bulk.set_flags();
    for rows in wrong.chunks(usize::try_from(size).unwrap_or(usize::MAX)) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { break };
        let numbers: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let internal: Vec<bool> = rows.iter().map(|row| row.1).collect();
        let existing: Vec<bool> = rows.iter().map(|row| row.2).collect();
        let args = [scope.arg(), numbers.into(), internal.into(), existing.into(), first.0.into(), last.0.into()];
        spi::planned(|| spi::write(&set_flags, &args))?;
    }
    wrong.clear();
    Ok(())
}
