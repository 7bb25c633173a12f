//! Validating what is about to be written: keys that came into production since, and rows that the
//! target would not take.

use super::correct::{Wrong, correct};
use super::staging::{self, Staged};
use super::{open, require_known};
use crate::error::Result;
use crate::progress::{Phase, Progress};
use crate::spi;
use crate::targets::{Scope, Target};
use once_core::bulk::{Flag, Rule};
use once_core::ident::quote;
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value, json};

/// How many faulty rows an answer names; the totals count all of them.
const NAMED: i64 = 100;

/// What validation found.
pub struct Verdict {
    pub clean: i64,
    pub arrived: i64,
    pub broken: i64,
    pub errors: Vec<Value>,
    pub totals: Map<String, Value>,
    pub hint: Option<String>,
}

impl Verdict {
    /// The totals in words: `code is empty or blank: 2, …`.
    pub fn summary(&self) -> String {
        let parts: Vec<String> = self.totals.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
        parts.join(", ")
    }
}

/// Checks the scope's clean rows, flags those whose key came into production since they were marked,
/// and names those that the target would not take.
///
/// `scope`: as for `mark_duplicates`. Gives `{valid, total_clean_codes, validation_errors, errors: [{row,
/// column, value, reason}, … at most 100], error_totals: {reason: rows}, new_db_duplicates_found}`.
///
/// # Errors
/// As `mark_duplicates`, and `55000` where rows were staged or removed after the last marking.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn validate_staged(target: Option<String>, scope: Option<String>) -> std::result::Result<JsonB, ErrorReport> {
    let (target, scope) = open(target, scope, &["SELECT", "UPDATE"], &["SELECT"])?;
    let staged = require_marked(&target, &scope)?;
    let verdict = validate(&target, &scope, staged, &mut Progress::start(target.relation_oid))?;
    let mut answer = json!({
        "valid": verdict.broken == 0,
        "total_clean_codes": verdict.clean,
        "validation_errors": verdict.broken,
        "errors": verdict.errors,
        "error_totals": verdict.totals,
        "new_db_duplicates_found": verdict.arrived,
    });
    if let Some(hint) = verdict.hint {
        answer["hint"] = json!(hint);
    }
    Ok(JsonB(answer))
}

/// That the staged rows are whole, known, and marked since the last of them came.
pub fn require_ready(target: &Target, scope: &Scope) -> Result<Staged> {
    staging::require_whole(target, &[scope])?;
    let staged = staging::now(target, scope)?.staged;
    require_known(target, scope, staged.rows)?;
    staging::require_checked(target, scope, staged)?;
    Ok(staged)
}

/// As `require_ready`, but for what `validate` sees as it counts: whether what was marked is what is staged now.
pub fn require_marked(target: &Target, scope: &Scope) -> Result<Staged> {
    match staging::marked(target, scope)? {
        Some(marked) if marked.rows > 0 => staging::require_whole(target, &[scope]).map(|()| marked),
        _ => require_ready(target, scope),
    }
}

/// The validation itself, on rows that are `require_marked`.
///
/// # Errors
/// `55000` where rows were staged or removed since they were marked.
pub fn validate(target: &Target, scope: &Scope, staged: Staged, progress: &mut Progress) -> Result<Verdict> {
    let bulk = &target.bulk;
    progress.phase(Phase::Validating, staged.rows);
    let arrived = bulk.arrived(target.lookup(staged.rows)?);
    let find = |wrong: &mut Wrong<'_>| wrong.find(Flag::Existing, &arrived, scope, None);
    let arrived = correct(target, scope, staged.rows, None, progress, find)?;
    if arrived > 0 {
        staging::checked(target, scope, Staged { existing: staged.existing + arrived, ..staged })?;
    }

    progress.phase(Phase::Validating, staged.rows);
    let rules = target.rules()?;
    let counted = bulk.staged_and_broken(&rules);
    let (now, counts) = spi::planned(|| {
        spi::fresh_one(&counted, &[scope.arg()], |row| Ok((Staged::read(row)?, row.need::<Vec<i64>>(6)?)))
    })?;
    // What was counted may be more than what was marked; what comes after this shows in the count of the insert.
    staging::require_checked(target, scope, now)?;
    let (clean, counts) = counts.split_first().map_or((0, &[][..]), |(clean, counts)| (*clean, counts));
    let broken: Vec<(&Rule, i64)> = rules.iter().zip(counts.iter().copied()).filter(|(_, rows)| *rows > 0).collect();
    let mut verdict = Verdict { clean, arrived, broken: 0, errors: Vec::new(), totals: Map::new(), hint: None };
    for (rule, rows) in &broken {
        verdict.broken += rows;
        verdict.totals.insert(rule.reason.clone(), json!(rows));
    }
    if !broken.is_empty() {
        let rules: Vec<&Rule> = broken.iter().map(|(rule, _)| *rule).collect();
        verdict.errors = spi::fresh(&bulk.broken_rows(&rules), &[scope.arg(), NAMED.into()], |row| {
            Ok(json!({
                "row": row.need::<i64>(1)?,
                "column": row.need::<String>(2)?,
                "value": row.get::<String>(3)?,
                "reason": row.need::<String>(4)?,
            }))
        })?;
    }
    count_without_scope(target, scope, &mut verdict)?;
    Ok(verdict)
}

/// A row without a scope would never be imported, and might have been meant for this one.
fn count_without_scope(target: &Target, scope: &Scope, verdict: &mut Verdict) -> Result<()> {
    let bulk = &target.bulk;
    let (Some(column), Some(rows), Some(numbers)) =
        (&target.spec.scope, bulk.count_without_scope(), bulk.numbers_without_scope())
    else {
        return Ok(());
    };
    let rows = spi::planned(|| spi::fresh_one(&rows, &[scope.arg()], |row| row.need::<i64>(1)))?;
    if rows == 0 {
        return Ok(());
    }
    let reason = format!("{column} is NULL");
    verdict.broken += rows;
    verdict.totals.insert(reason.clone(), json!(rows));
    verdict.hint = Some(format!(
        "Rows without {column} stand in every scope's way: DELETE FROM {} WHERE {} IS NULL; once you know whose they are.",
        target.bulk.staging,
        quote(column)
    ));
    let room = NAMED.saturating_sub(i64::try_from(verdict.errors.len()).unwrap_or(NAMED));
    let named = spi::fresh(&numbers, &[scope.arg(), room.into()], |row| row.need::<i64>(1))?;
    let named = named.iter().map(|row| json!({"row": row, "column": column, "value": null, "reason": reason}));
    verdict.errors.extend(named);
    Ok(())
}
