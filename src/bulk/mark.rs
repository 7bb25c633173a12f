//! Marking duplicates: within what is staged, and against production. Always computed from the truth.

use super::{CHUNK, each_chunk, open, require_known, staging};
use crate::error::OnceError;
use crate::progress::{Phase, Progress};
use crate::spi;
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
    let bulk = &target.bulk;
    staging::require_whole(&target, &scope)?;
    let mut progress = Progress::start(target.relation_oid);

    progress.phase(Phase::Counting, 0);
    let staged = staging::now(&target, &scope)?;
    require_known(&target, &scope, staged.content.rows)?;

    progress.phase(Phase::MarkingInternal, staged.content.rows);
    if staged.internal > 0 {
        spi::write(&bulk.unflag_internal(), &[scope.arg()])?;
    }
    spi::write(&bulk.flag_internal(), &[scope.arg()])?;

    progress.phase(Phase::MarkingExisting, staged.content.rows);
    let mark_existing = bulk.mark_existing();
    let chunks = each_chunk(&target, &scope, staged, size, |after, last, rows| {
        spi::write(&mark_existing, &[scope.arg(), after.into(), last.into()])?;
        progress.advance(rows);
        Ok(())
    })?;
    staging::checked(&target, &scope, staged.content)?;

    progress.phase(Phase::Counting, staged.content.rows);
    let (total, internal, existing, both) = spi::fresh_one(&bulk.figures(), &[scope.arg()], |row| {
        Ok((row.need::<i64>(1)?, row.need::<i64>(2)?, row.need::<i64>(3)?, row.need::<i64>(4)?))
    })?;
    Ok(JsonB(json!({
        "success": true,
        "total_rows": total,
        "internal_duplicates": internal,
        "database_duplicates": existing,
        "clean_count": total - internal - existing + both,
        "chunks_processed": chunks,
    })))
}

const _: () = assert!(CHUNK == 100_000, "the default of chunk_size says the same");
