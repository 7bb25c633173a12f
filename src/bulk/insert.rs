//! Inserting the clean rows into production: all or nothing, under a job that is kept either way.

use super::validate::{Verdict, require_ready, validate};
use super::{codes, open, staging};
use crate::backend::{self, Jsonb};
use crate::error::{OnceError, Result};
use crate::progress::{Phase, Progress};
use crate::targets::{Scope, Target};
use crate::{jobs, rights, spi};
use once_core::sqlstate::is_jobs_own;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::{Value, json};
use std::cell::Cell;

/// Why a job did not complete: its own doing, so it is recorded and returned.
struct Failure {
    sqlstate: String,
    message: String,
    detail: Option<String>,
    errors: Option<Value>,
}

/// What ends the work of a job early.
enum Stop {
    Failed(Failure),
    Error(OnceError),
}

impl From<OnceError> for Stop {
    fn from(error: OnceError) -> Self {
        Self::Error(error)
    }
}

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
    require_jobs_rights(&target)?;
    let staged = require_ready(&target, &scope)?;
    let job = jobs::create(&target, &scope, source_info)?;

    let expected = Cell::new(None);
    let outcome = match backend::subtransaction(|| work(&target, &scope, staged, job, &expected)) {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(Stop::Failed(failure))) => Err(failure),
        Ok(Err(Stop::Error(error))) => return Err(error.into()),
        Err(error) if is_jobs_own(&error.sqlstate) => {
            Err(Failure { sqlstate: error.sqlstate, message: error.message, detail: error.detail, errors: None })
        }
        Err(error) => error.rethrow(),
    };
    Ok(JsonB(match outcome {
        Ok(written) => json!({
            "success": true,
            "job_id": job.to_string(),
            "codes_inserted": written,
            "message": format!("{} inserted", codes(written)),
        }),
        Err(failure) => {
            jobs::failed(job, &failure.sqlstate, &failure.message, expected.get(), failure.errors.as_ref())?;
            let mut answer = json!({
                "success": false,
                "job_id": job.to_string(),
                "codes_inserted": 0,
                "message": failure.message,
                "sqlstate": failure.sqlstate,
            });
            if let Some(detail) = failure.detail {
                answer["detail"] = json!(detail);
            }
            if let Some(errors) = failure.errors {
                answer["errors"] = errors;
            }
            answer
        }
    }))
}

fn require_jobs_rights(target: &Target) -> Result<()> {
    let table = spi::own("import_jobs")?;
    let oid = crate::targets::oid_of(&table)?.ok_or_else(|| OnceError::RelationGone { relation: table.clone() })?;
    rights::require(&table, oid, &["SELECT", "INSERT", "UPDATE"], |role| {
        format!("SELECT {}.grant_import_access('{}', '{role}'); as its owner.", table.schema, target.name)
    })
}

fn work(
    target: &Target,
    scope: &Scope,
    staged: staging::Staged,
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
    let written = spi::write(&target.bulk.insert(), &[scope.arg(), job.into()])?;
    if written != verdict.clean {
        return Err(Stop::Failed(Failure {
            sqlstate: "P0001".into(),
            message: format!(
                "{} to be inserted, but only {written} could be: the others came into production meanwhile, or a \
                 trigger kept them out. Nothing was written; mark duplicates and try again.",
                codes(verdict.clean)
            ),
            detail: None,
            errors: None,
        }));
    }
    jobs::completed(job, written)?;
    Ok(written)
}

fn require_valid(verdict: &Verdict) -> std::result::Result<(), Stop> {
    if verdict.broken > 0 {
        return Err(Stop::Failed(Failure {
            sqlstate: "22000".into(),
            message: format!("Validation failed with {} errors ({})", verdict.broken, verdict.summary()),
            detail: None,
            errors: Some(json!(verdict.errors)),
        }));
    }
    if verdict.clean == 0 {
        return Err(Stop::Failed(Failure {
            sqlstate: "02000".into(),
            message: "No clean codes to insert".into(),
            detail: None,
            errors: None,
        }));
    }
    Ok(())
}
