//! Inserting the clean rows into production: all or nothing, under a job that is kept either way.

use super::staging::{self, Staged};
use super::validate::{Verdict, require_marked, validate};
use super::{codes, open};
use crate::backend::Jsonb;
use crate::jobs::{self, Failure, Stop};
use crate::progress::{Phase, Progress};
use crate::spi;
use crate::targets::{self, Scope, Target};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::json;
use std::cell::Cell;

/// Validates the scope's clean rows and writes them to the target, all or none, each carrying the job's id.
///
/// `scope`: as for `mark_duplicates`. `source_info`: anything worth keeping with the job, or NULL. Gives
/// `{success, job_id, codes_inserted, message}`; where the rows are at fault `success` is false, with
/// `sqlstate`, the job is kept as `failed`, and the target is as it was.
///
/// # Errors
/// As `validate_staged`, and whatever is not the rows' fault: lost rights, a cancel, a full disk.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn insert_clean(
    target: Option<String>,
    scope: Option<String>,
    source_info: default!(Option<Jsonb>, "NULL"),
) -> std::result::Result<JsonB, ErrorReport> {
    let (target, scope) = open(target, scope, &["SELECT", "UPDATE"], &["SELECT", "INSERT"])?;
    let staged = require_marked(&target, &scope)?;
    let job = target.begin_job(&scope, source_info)?;

    let expected = Cell::new(None);
    let mut answer = json!({"success": true, "job_id": job.to_string(), "codes_inserted": 0});
    match jobs::attempt(|| work(&target, &scope, staged, job, &expected))? {
        Ok(written) => {
            answer["codes_inserted"] = json!(written);
            answer["message"] = json!(format!("{} inserted", codes(written)));
        }
        Err(failure) => {
            // Rows that were never marked may fail in any way.
            staging::require_checked(&target, &scope, staging::now(&target, &scope)?.staged)?;
            let failure =
                if failure.sqlstate == "23505" { explain(failure, &target, &scope, staged)? } else { failure };
            jobs::failed(job, &failure, expected.get())?;
            failure.tell(&mut answer);
        }
    }
    Ok(JsonB(answer))
}

/// The failure of rows of which a unique index has one already: most often of a key that came into production after
/// its rows were validated.
fn explain(failure: Failure, target: &Target, scope: &Scope, staged: Staged) -> crate::error::Result<Failure> {
    let arrived = target.bulk.arrived(target.lookup(staged.rows)?);
    let arrived = spi::planned(|| spi::each(&arrived, &[scope.arg(), i64::MAX.into()], |_| Ok(())))?;
    if arrived > 0 {
        return Ok(Failure::new(
            "P0001",
            format!(
                "{} came into production meanwhile. Nothing was written; mark duplicates and try again.",
                codes(arrived)
            ),
        ));
    }
    let repeat = spi::sorted(|| spi::fresh(&target.bulk.unmarked_repeat(), &[scope.arg()], |row| row.need::<i64>(1)))?;
    Ok(match repeat.first() {
        Some(number) => Failure::new(
            "23505",
            format!("Two staged rows with the same key have the same row_number, {number}. Nothing was written."),
        )
        .with("hint", Some("Leave row_number out where rows are staged: the database gives it.")),
        None => failure,
    })
}

fn work(
    target: &Target,
    scope: &Scope,
    staged: Staged,
    job: Uuid,
    expected: &Cell<Option<i64>>,
) -> std::result::Result<i64, Stop> {
    let mut progress = Progress::start(target.relation_oid);
    jobs::validating(job)?;
    let verdict = validate(target, scope, staged, &mut progress)?;
    expected.set(Some(verdict.clean));
    require_valid(&verdict)?;
    jobs::processing(job, verdict.clean)?;

    progress.phase(Phase::Inserting, verdict.clean);
    // All or nothing, so that a key that arrived meanwhile may as well end it; but where that can't be seen, only Postgres
    // can tell that the transaction has to be tried again.
    let insert = target.bulk.insert(spi::is_snapshot_kept()?);
    let written = spi::each(&insert, &[scope.arg(), job.into()], |_| {
        progress.advance();
        Ok(())
    })?;
    targets::check_constraints_now(target.relation_oid)?;
    if written != verdict.clean {
        return Err(Failure::new(
            "P0001",
            format!(
                "{} to be inserted, but only {written} could be: the others came into production meanwhile, or a \
                 trigger kept them out. Nothing was written; mark duplicates and try again.",
                codes(verdict.clean)
            ),
        )
        .into());
    }
    let carrying = if target.may_change_rows()? {
        spi::fresh_one(&target.bulk.job_count(), &[scope.arg(), job.into()], |row| row.need(1))?
    } else {
        written
    };
    if carrying != written {
        return Err(Failure::new(
            "P0001",
            format!(
                "{} inserted, but {carrying} of them carry the job in its scope: a trigger changes \"{}\" or the scope. \
                 Nothing was written, for it could not have been undone.",
                codes(written),
                target.spec.job_column
            ),
        )
        .into());
    }
    jobs::completed(job, written)?;
    Ok(written)
}

fn require_valid(verdict: &Verdict) -> std::result::Result<(), Failure> {
    if verdict.broken > 0 {
        return Err(Failure::new("22000", format!("Validation failed: {}", verdict.summary()))
            .with("errors", Some(verdict.errors.clone()))
            .with("hint", verdict.hint.clone()));
    }
    if verdict.clean == 0 {
        return Err(Failure::new("02000", "No clean codes to insert"));
    }
    Ok(())
}
