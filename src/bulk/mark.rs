//! Marking duplicates: within what is staged, and against production. Always computed from the truth.

use super::staging::{self, Staged};
use super::{open, require_known};
use crate::error::OnceError;
use crate::progress::{Phase, Progress};
use crate::spi::{self, Plan};
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

/// A row whose flags are wrong, with what they should be.
type Wrong = (i64, bool, bool);

/// Reads the comparison of all staged rows chunk by chunk, and corrects the flags of those where they are
/// wrong; gives the number of chunks. No more than a chunk is in memory.
fn set_flags(
    target: &Target,
    scope: &Scope,
    lookup: Lookup,
    size: i64,
    progress: &mut Progress,
) -> crate::error::Result<i64> {
    let compared = spi::planned(Plan::Join, || spi::Cursor::open(&target.bulk.comparison(lookup), &[scope.arg()]))?;
    let set_flags = target.bulk.set_flags();
    let mut chunks = 0;
    loop {
        let rows = compared.fetch(size, |row| {
            let wrong: bool = row.need(6)?;
            Ok(if wrong { Some((row.need(1)?, row.need(2)?, row.need(3)?)) } else { None })
        })?;
        let read = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if read == 0 {
            return Ok(chunks);
        }
        let mut wrong: Vec<Wrong> = rows.into_iter().flatten().collect();
        if !wrong.is_empty() {
            wrong.sort_unstable(); // by row_number, which is the order of the index and of the table
            let numbers: Vec<i64> = wrong.iter().map(|row| row.0).collect();
            let internal: Vec<bool> = wrong.iter().map(|row| row.1).collect();
            let existing: Vec<bool> = wrong.iter().map(|row| row.2).collect();
            let args = [scope.arg(), numbers.into(), internal.into(), existing.into()];
            spi::planned(Plan::Probe, || spi::write(&set_flags, &args))?;
        }
        progress.advance(read);
        chunks += 1;
    }
}
