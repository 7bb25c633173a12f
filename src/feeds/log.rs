//! Runs on record.

use super::Feed;
use crate::error::Result;
use crate::spi;
use pgrx::Uuid;
use serde_json::{Value, json};

/// What a run came to.
pub struct Report {
    pub status: &'static str,
    pub job: Option<Uuid>,
    pub scanned: usize,
    pub new: usize,
    pub inserted: usize,
    pub updated: usize,
    pub duplicates: usize,
    pub rejected: usize,
    /// The first of the rows that were not taken.
    pub errors: Vec<Value>,
    pub sqlstate: Option<String>,
    pub message: Option<String>,
    /// The feed's state after it.
    pub state: Value,
}

impl Report {
    pub fn of(status: &'static str) -> Self {
        Self {
            status,
            job: None,
            scanned: 0,
            new: 0,
            inserted: 0,
            updated: 0,
            duplicates: 0,
            rejected: 0,
            errors: Vec::new(),
            sqlstate: None,
            message: None,
            state: Value::Null,
        }
    }

    pub fn failed(sqlstate: String, message: String) -> Self {
        Self { sqlstate: Some(sqlstate), message: Some(message), ..Self::of("error") }
    }

    /// As `run_feed` answers.
    pub fn told(self, run: Uuid) -> Value {
        let mut answer = json!({
            "success": self.status != "error",
            "status": self.status,
            "run_id": run.to_string(),
            "job_id": self.job.map(|job| job.to_string()),
            "rows_scanned": self.scanned,
            "new_rows_detected": self.new,
            "inserted": self.inserted,
            "updated": self.updated,
            "duplicates_skipped": self.duplicates,
            "rejected": self.rejected,
            "errors": self.errors,
            "state": self.state,
        });
        for (name, value) in [("sqlstate", self.sqlstate), ("message", self.message)] {
            if let Some(value) = value {
                answer[name] = value.into();
            }
        }
        answer
    }
}

/// Keeps the run in `import_logs`.
pub fn keep(feed: &Feed, run: Uuid, started: &str, report: &Report) -> Result<()> {
    let logs = spi::own("import_logs")?;
    let insert = format!(
        "INSERT INTO {logs} (run_id, feed_id, feed, status, job_id, rows_scanned, new_rows_detected, inserted, updated, duplicates_skipped, \
           rejected, errors, sqlstate, message, started_at) \
         VALUES ($1, $15, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $14::timestamptz)"
    );
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let args = [
        run.into(),
        feed.name.as_str().into(),
        report.status.into(),
        report.job.into(),
        count(report.scanned).into(),
        count(report.new).into(),
        count(report.inserted).into(),
        count(report.updated).into(),
        count(report.duplicates).into(),
        count(report.rejected).into(),
        Value::from(report.errors.clone()).to_string().into(),
        report.sqlstate.clone().into(),
        report.message.clone().into(),
        started.into(),
        feed.id.into(),
    ];
    spi::write(&insert, &args).map(drop)
}
