//! What can be done about a job when it has ended: compare it with the table, and undo it.

use super::{Job, load};
use crate::error::OnceError;
use crate::{bulk, mail, rows};
use once_core::spec::{Spec, wrong};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};

/// Undoes a completed job and marks it `rolled_back`. Of a bulk job the rows are deleted. Of a job of rows, what it inserted
/// is deleted and what it changed gets its earlier values back, where both are still as the job wrote them.
///
/// `p_keep_protected`: false refuses the rollback when a row is protected (claimed, say) and changes nothing; true undoes
/// the others and keeps those. Gives, in bulk, `{success, job_id, codes_deleted, codes_kept, original_insert_count,
/// message}`; of rows `{success, job_id, reversed, kept, errored, details: [{table, identity, columns, reason}, … at most
/// 100], message}`; and `sqlstate` where it was refused.
///
/// # Errors
/// `22004` for a NULL, `P0002` for an unknown job, `55000` where the job is not `completed`, more rows carry its id than it
/// wrote, or its images were pruned; `42501` without the rights on the table, where row-level security hides rows, or of a job
/// of a role that may do less than the caller and that no `job_column` proves; `42703`, `42704`, `42P01` where columns that
/// name records, a target that was referred to, or the table are gone.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn rollback_import_job(
    p_job_id: Option<Uuid>,
    p_keep_protected: default!(Option<bool>, false),
) -> std::result::Result<JsonB, ErrorReport> {
    let keep = p_keep_protected.ok_or(OnceError::NullArgument { name: "p_keep_protected".into() })?;
    let job = load(p_job_id, false)?;
    Ok(JsonB(match job.spec()? {
        Spec::Bulk(spec) => bulk::rollback::run(job, spec, keep)?,
        Spec::Rows(spec) => {
            let mail = mail::Undoing::of(&job)?;
            let answer = rows::undo::roll_back(job, spec, keep)?;
            if let Some(mail) = mail.filter(|_| answer["success"] == true) {
                mail.finish(&answer)?;
            }
            answer
        }
        Spec::Document(_) => Err(no_jobs(&job))?,
    }))
}

/// Compares what a job recorded with the table as it is now. Reads only.
///
/// Gives `{success, job_id, status, expected_count, actual_count, verified, message}`; `verified` means that the job is
/// completed and all it wrote is there. The message says what differs.
///
/// # Errors
/// `22004` for NULL, `P0002` for an unknown job, `42P01` where its table is gone.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn verify_import_job(p_job_id: Option<Uuid>) -> std::result::Result<JsonB, ErrorReport> {
    let job = load(p_job_id, false)?;
    Ok(JsonB(match job.spec()? {
        Spec::Bulk(spec) => bulk::verify::run(job, spec)?,
        Spec::Rows(spec) => rows::undo::verify(job, spec)?,
        Spec::Document(_) => Err(no_jobs(&job))?,
    }))
}

fn no_jobs(job: &Job) -> OnceError {
    let error = wrong("kind", "a document target has no jobs", "Restore what was recorded.");
    OnceError::BadJobSpec { job: job.id.to_string(), error }
}
