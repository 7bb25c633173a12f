//! Verifying a job: does production hold what the job recorded?

use super::{codes, rollback};
use crate::error::Result;
use crate::jobs::Job;
use crate::spi;
use once_core::spec::BulkSpec;
use serde_json::{Value, json};

/// Compares the rows that a job recorded with those that carry its id now. See `verify_import_job`.
pub fn run(job: Job, spec: BulkSpec) -> Result<Value> {
    let (target, scope) = rollback::open(&job, spec)?;
    let expected = job.rows_written.unwrap_or(0);
    let args = [scope.arg(), job.id.into()];
    let (actual, protected) = match job.status.as_str() {
        "rolled_back" => spi::read_one(&target.bulk.job_rows(), &args, |row| Ok((row.need(1)?, row.need(2)?)))?,
        _ => (spi::read_one(&target.bulk.job_count(), &args, |row| row.need::<i64>(1))?, 0_i64),
    };
    let message = match (job.status.as_str(), actual - expected) {
        ("completed", 0) => format!("All there: {}", codes(expected)),
        ("completed", more) if more > 0 => format!("{} with the job's id that it did not write", codes(more)),
        ("completed", less) if crate::rights::row_security(target.relation_oid)? => {
            format!(
                "{} missing: deleted or moved after the import, or hidden from you by row-level security",
                codes(-less)
            )
        }
        ("completed", less) => format!("{} missing: deleted or moved after the import", codes(-less)),
        ("rolled_back", _) => format!(
            "The job was rolled back at {}; {} left, {protected} protected",
            job.rolled_back_at.as_deref().unwrap_or("an unknown time"),
            codes(actual)
        ),
        ("failed", _) if actual == 0 => "The job failed and wrote nothing".into(),
        (status, _) => format!("The job is {status}; {} with its id", codes(actual)),
    };
    Ok(json!({
        "success": true,
        "job_id": job.id.to_string(),
        "status": job.status,
        "expected_count": expected,
        "actual_count": actual,
        "verified": job.status == "completed" && actual == expected,
        "message": message,
    }))
}
