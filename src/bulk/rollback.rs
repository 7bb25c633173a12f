//! Rolling back a job: its rows go, and no others; what is protected never does.

use super::codes;
use crate::error::{OnceError, Result};
use crate::jobs::{self, Failure, Job, Stop};
use crate::progress::{Phase, Progress};
use crate::targets::{self, Scope, Target};
use crate::{rights, spi};
use once_core::spec::BulkSpec;
use serde_json::{Value, json};

/// Deletes the rows of a completed job from its target. See `rollback_import_job`.
pub fn run(job: Job, spec: BulkSpec, keep: bool) -> Result<Value> {
    let (target, scope) = open(&job, spec)?;
    let hint = rights::ask_for_access(&target.name)?;
    rights::require(&target.bulk.relation, target.relation_oid, &["SELECT", "DELETE"], &hint)?;
    jobs::lock(&target.bulk.relation, target.relation_oid, &scope.text)?;
    let job = jobs::load(Some(job.id), true)?;
    job.require_completed()?;
    let mut answer = json!({
        "success": true,
        "job_id": job.id.to_string(),
        "codes_deleted": 0,
        "codes_kept": 0,
        "original_insert_count": job.rows_written,
    });
    match jobs::attempt(|| work(&target, &scope, &job, keep))? {
        Ok((deleted, kept)) => {
            answer["codes_deleted"] = json!(deleted);
            answer["codes_kept"] = json!(kept);
            let kept = if kept == 0 { String::new() } else { format!(", {kept} protected kept") };
            answer["message"] = json!(format!("{} deleted{kept}", codes(deleted)));
        }
        Err(failure) => failure.tell(&mut answer),
    }
    Ok(answer)
}

/// The target and the scope as the job recorded them.
pub fn open(job: &Job, spec: BulkSpec) -> Result<(Target, Scope)> {
    let target = Target::of_job(job.target.clone(), job.relation.clone(), spec)?;
    let scope = target.scope(job.scope.clone())?;
    Ok((target, scope))
}

/// The rollback is refused for rows that it may not delete.
fn refusal(target: &Target, rows: i64) -> Failure {
    let why = target.spec.protect.as_deref().unwrap_or_default();
    let message = format!(
        "Refused: {} of the job protected ({why}). Nothing was deleted; p_keep_protected => true deletes the others.",
        codes(rows)
    );
    Failure::new("23001", message).with("codes_kept", Some(rows))
}

fn work(target: &Target, scope: &Scope, job: &Job, keep: bool) -> std::result::Result<(i64, i64), Stop> {
    let args = || [scope.arg(), job.id.into()];
    let mut progress = Progress::start(target.relation_oid);
    progress.phase(Phase::Deleting, job.rows_written.unwrap_or(0));
    let deleted = spi::write(&target.bulk.delete_job(), &args())?;
    targets::check_constraints_now(target.relation_oid)?;
    // Counted after the deletion, by a statement of its own: whoever claimed a row meanwhile has won.
    let sql = target.bulk.job_rows();
    let count = || spi::fresh_one(&sql, &args(), |row| Ok((row.need::<i64>(1)?, row.need::<i64>(2)?)));
    let (left, protected) = target.over_job(deleted, count)?;
    if left > protected {
        let message = format!(
            "Refused: {} of the job can't be deleted, for a trigger or a policy keeps them. Nothing was deleted.",
            codes(left - protected)
        );
        return Err(Failure::new("23001", message).with("codes_kept", Some(left)).into());
    }
    if left > 0 && !keep {
        return Err(refusal(target, left).into());
    }
    let (id, found) = (job.id.to_string(), deleted + left);
    if let Some(written) = job.rows_written {
        if found > written {
            return Err(OnceError::ForeignRows { id, found, written }.into());
        }
        if found < written {
            require_none_elsewhere(target, scope, job, found, written)?;
        }
    }
    jobs::rolled_back(job.id, left)?;
    Ok((deleted, left))
}

/// Rows that are missing may have been deleted by hand; but not be hidden, nor moved to another scope.
fn require_none_elsewhere(target: &Target, scope: &Scope, job: &Job, found: i64, written: i64) -> Result<()> {
    let id = job.id.to_string();
    if rights::row_security(target.relation_oid)? {
        return Err(OnceError::RowsHidden { id, found, written });
    }
    let Some(strays) = target.bulk.strays() else { return Ok(()) };
    if spi::fresh_one(&strays, &[scope.arg(), job.id.into()], |row| row.need::<bool>(1))? {
        return Err(OnceError::RowsMoved { id, found, written });
    }
    Ok(())
}
