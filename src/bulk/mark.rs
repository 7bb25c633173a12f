//! Marking duplicates: within what is staged, and against production. Always computed from the truth.

use super::correct::{correct, memory};
use super::staging::{self, Staged};
use super::{open, require_known};
use crate::error::{OnceError, Result};
use crate::progress::{Phase, Progress};
use crate::spi;
use crate::targets::{Scope, Target};
use once_core::bulk::Flag;
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

/// Sets `internal_dup` and `existing_dup` of the scope's staged rows to what holds now. Of rows with
/// the same key the one with the lowest row_number stays clean.
///
/// `scope`: the value of the scope column as text, NULL where the target has none. `chunk_size`: after how many rows
/// progress is told. Gives `{success, total_rows, internal_duplicates, database_duplicates, clean_count,
/// chunks_processed}`; both counts of duplicates include the rows that are both.
///
/// # Errors
/// `22004`, `22023`, `42704`, `P0002` for arguments; `55000` after a crash emptied the staging table;
/// `23505` where staged rows have the same row_number; `42501` without SELECT and UPDATE on it and SELECT on the target.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn mark_duplicates(
    target: Option<String>,
    scope: Option<String>,
    chunk_size: default!(Option<i64>, 100000),
) -> std::result::Result<JsonB, ErrorReport> {
    let size = chunk_size.ok_or(OnceError::NullArgument { name: "chunk_size".into() })?;
    if size < 1 {
        return Err(OnceError::BadChunkSize { given: size }.into());
    }
    let (target, scope) = open(target, scope, &["SELECT", "UPDATE"], &["SELECT"])?;
    staging::require_whole(&target, &[&scope])?;
    let mut progress = Progress::start(target.relation_oid).every(size);

    progress.phase(Phase::Counting, 0);
    let staging::Look { staged, lowest, .. } = staging::now(&target, &scope)?;
    require_known(&target, &scope, staged.rows)?;

    progress.phase(Phase::Comparing, staged.rows);
    let hashes = repeated_hashes(&target, &scope, staged.rows)?;
    let internal = match &hashes {
        Some(hashes) if hashes.is_empty() && staged.internal == 0 => None,
        hashes => Some(target.bulk.wrong_internal(hashes.is_some())),
    };
    let existing = target.bulk.wrong_existing(target.lookup(staged.rows)?, staged.existing > 0);
    correct(&target, &scope, staged.rows, Some(lowest..=staged.highest), &mut progress, |wrong| {
        if let Some(internal) = &internal {
            wrong.find(Flag::Internal, internal, &scope, hashes.as_deref())?;
        }
        wrong.find(Flag::Existing, &existing, &scope, None)
    })?;

    progress.phase(Phase::Counting, staged.rows);
    let read = |row: &spi::Row<'_>| Ok([row.need::<i64>(1)?, row.need(2)?, row.need(3)?, row.need(4)?]);
    let [rows, internal, existing, both] =
        spi::planned(|| spi::fresh_one(&target.bulk.flagged_now(), &[scope.arg()], read))?;
    // What was compared is what was there at the start; how it is flagged shows only now.
    staging::checked(&target, &scope, Staged { internal, existing, ..staged })?;
    Ok(JsonB(json!({
        "success": true,
        "total_rows": rows,
        "internal_duplicates": internal,
        "database_duplicates": existing,
        "clean_count": rows - internal - existing + both,
        "chunks_processed": staged.rows / size + i64::from(staged.rows % size > 0),
    })))
}

/// The hashes that keys of more than one staged row have: nearly no row is left to compare whole then. `None` where keys
/// can't be hashed, or so many repeat that comparing all is as well.
fn repeated_hashes(target: &Target, scope: &Scope, staged: i64) -> Result<Option<Vec<i64>>> {
    /// 8 MB of them.
    const MOST: usize = 1 << 20;
    let Some(sql) = target.bulk.hashes() else { return Ok(None) };
    let most = Hashes::most()?;
    // In each pass those hashes that have the same lowest bits, half as many as there is room for.
    let passes = (staged.unsigned_abs() / (most as u64 / 2)).saturating_add(1).next_power_of_two();
    let mut repeated = Vec::new();
    for pass in 0..passes {
        let list = Vec::with_capacity(most.min(usize::try_from(staged).unwrap_or(most)));
        let mut hashes = Hashes { list, most, is_crowded: false };
        let keep = |row: &spi::Row<'_>| {
            if let Some(hash) = row.get::<i64>(1)?.filter(|hash| hash.cast_unsigned() & (passes - 1) == pass) {
                hashes.add(hash);
            }
            Ok(())
        };
        spi::planned(|| spi::each(&sql, &[scope.arg()], keep))?;
        let room = MOST - repeated.len();
        repeated.extend(hashes.repeated().take(room + 1));
        if hashes.is_crowded || repeated.len() > MOST {
            return Ok(None);
        }
    }
    Ok(Some(repeated))
}

/// Hashes of keys, in no more memory than there is for them.
struct Hashes {
    list: Vec<i64>,
    most: usize,
    /// Whether far more are of their own than were to be expected, so that some are left out.
    is_crowded: bool,
}

impl Hashes {
    /// How many there is room for. Sorting as many as this takes less than a second.
    fn most() -> Result<usize> {
        const SORTED: usize = 1 << 25;
        Ok(usize::try_from(memory()? / size_of::<i64>() as i64).unwrap_or(SORTED).clamp(2, SORTED))
    }

    fn add(&mut self, hash: i64) {
        if self.list.len() == self.most {
            self.thin();
        }
        if !self.is_crowded {
            self.list.push(hash);
        }
    }

    /// Of a hash that occurs more than twice, two are enough.
    fn thin(&mut self) {
        self.list.sort_unstable();
        let mut last = [None; 2];
        self.list.retain(|hash| {
            let is_third = last == [Some(*hash); 2];
            last = [last[1], Some(*hash)];
            !is_third
        });
        self.is_crowded = self.list.len() > self.most / 4 * 3;
    }

    /// Those that occur more than once.
    fn repeated(&mut self) -> impl Iterator<Item = i64> {
        self.list.sort_unstable();
        self.list.chunk_by(PartialEq::eq).filter(|same| same.len() > 1).map(|same| same[0])
    }
}
