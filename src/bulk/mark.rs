//! Marking duplicates: within what is staged, and against production. Always computed from the truth.

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
    let (staged, _) = staging::now(&target, &scope)?;
    require_known(&target, &scope, staged.rows)?;

    mark_internal(&target, &scope, staged, &mut progress)?;
    let wrong = target.bulk.wrong_existing(target.lookup(staged.rows)?, staged.existing > 0);
    progress.phase(Phase::Comparing, staged.rows);
    correct(&target, &scope, Flag::Existing, &wrong, None, &mut progress)?;

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
        "chunks_processed": staged.rows / size + i64::from(staged.rows % size > 0),
    })))
}

/// The most hashes of repeated keys that are worth a look-up: 8 MB. Where there are more, all rows are compared.
const MOST_HASHES: i64 = 1 << 20;

fn mark_internal(target: &Target, scope: &Scope, staged: Staged, progress: &mut Progress) -> Result<()> {
    progress.phase(Phase::Comparing, staged.rows);
    let hashes = match target.bulk.repeated_hashes() {
        None => None,
        Some(sql) => {
            let args = [scope.arg(), MOST_HASHES.into()];
            let mut hashes: Vec<i64> = Vec::new();
            let found = spi::sorted(|| spi::each(&sql, &args, |row| row.need(1).map(|hash| hashes.push(hash))))?;
            (found < MOST_HASHES).then_some(hashes)
        }
    };
    if staged.internal == 0 && hashes.as_ref().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    let wrong = target.bulk.wrong_internal(hashes.is_some());
    correct(target, scope, Flag::Internal, &wrong, hashes.as_deref(), progress).map(drop)
}

/// The most rows that are corrected at once, so that their numbers take no more memory than a maintenance operation may.
fn most_at_once() -> Result<i64> {
    /// Of a row: its number in our own vector, in an array, in the array as it is planned, and hashed.
    const BYTES: i64 = 3 * 8 + 40;
    let memory = "SELECT pg_size_bytes(current_setting('maintenance_work_mem'))";
    spi::known_one(memory, &[], |row| Ok(row.need::<i64>(1)? / BYTES))
}

/// Corrects a flag of the rows that `wrong` finds, until it finds no more.
pub fn correct(
    target: &Target,
    scope: &Scope,
    flag: Flag,
    wrong: &str,
    hashes: Option<&[i64]>,
    progress: &mut Progress,
) -> Result<i64> {
    let most = most_at_once()?;
    let mut corrected = 0;
    loop {
        let mut args = vec![scope.arg(), most.into()];
        args.extend(hashes.map(|hashes| hashes.to_vec().into()));
        let (mut set, mut unset) = (Vec::new(), Vec::new());
        let found = spi::planned(|| {
            spi::each(wrong, &args, |row| {
                let numbers = if row.need(2)? { &mut set } else { &mut unset };
                row.need::<i64>(1).map(|number| numbers.push(number))
            })
        })?;
        progress.phase(Phase::Marking, found);
        for (numbers, to) in [(set, true), (unset, false)] {
            corrected += set_flag(target, scope, flag, numbers, to, progress)?;
        }
        if found < most {
            return Ok(corrected);
        }
    }
}

fn set_flag(
    target: &Target,
    scope: &Scope,
    flag: Flag,
    mut numbers: Vec<i64>,
    to: bool,
    progress: &mut Progress,
) -> Result<i64> {
    if numbers.is_empty() {
        return Ok(0);
    }
    numbers.sort_unstable();
    let repeated = || OnceError::RowNumbersRepeat { staging: target.bulk.staging.clone() };
    if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(repeated());
    }
    let rows = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
    let args = [scope.arg(), numbers.into(), to.into()];
    let set = spi::planned(|| {
        spi::each(&target.bulk.set_flag(flag), &args, |_| {
            progress.advance();
            Ok(())
        })
    })?;
    // Fewer are set where rows were removed meanwhile; more, where some that were not meant have the same number.
    if set > rows { Err(repeated()) } else { Ok(set) }
}
