//! Rolling back a job: its rows go, and no others; what is protected never does.

use super::codes;
use crate::error::{OnceError, Result};
use crate::jobs::{self, Failure, Job, Stop};
use crate::progress::{Phase, Progress};
use crate::targets::{self, Scope, Target};
use crate::{rights, spi};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::json;

/// Deletes the rows of a completed job from its target and marks the job `rolled_back`.
///
/// `p_keep_protected`: false refuses the rollback when a row is protected (claimed, say) and changes
/// nothing; true deletes the others and keeps those. Gives `{success, job_id, codes_deleted, codes_kept,
/// original_insert_count, message}`, and `sqlstate` where it was refused.
///
/// # Errors
/// `22004` for a NULL, `P0002` for an unknown job, `55000` where the job is not `completed` or more rows
/// carry its id than it wrote, `42501` without DELETE on the target or where row-level security hides rows.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn rollback_import_job(
    p_job_id: Option<Uuid>,
    p_keep_protected: default!(Option<bool>, false),
) -> std::result::Result<JsonB, ErrorReport> {
    let keep = p_keep_protected.ok_or(OnceError::NullArgument { name: "p_keep_protected".into() })?;
    let (target, scope) = jobs::load(p_job_id, false)?.open()?;
    let hint = rights::ask_for_access(&target.name)?;
    rights::require(&target.bulk.relation, target.relation_oid, &["SELECT", "DELETE"], &hint)?;
    jobs::lock(&target, &scope)?;
    let job = jobs::load(p_job_id, true)?;
    if job.status != "completed" {
        return Err(OnceError::JobState { id: job.id.to_string(), status: job.status }.into());
    }
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
    Ok(JsonB(answer))
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
    let (left, protected) =
        spi::fresh_one(&target.bulk.job_rows(), &args(), |row| Ok((row.need::<i64>(1)?, row.need::<i64>(2)?)))?;
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
