//! The duplicate report. Its rows are streamed by PL/pgSQL (see sql/schema/reports.sql); here is the
//! statement, and whether it may be run.

use super::open_to_read;
use super::validate::require_ready;
use crate::error::OnceError;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The statement behind `duplicate_report`: its one parameter `$1` is the scope as text.
///
/// `columns`: the staged columns to give, or NULL for row_number and the whole row as jsonb. Then follow
/// status, the staged row and the production row (its primary key as text) that the row duplicates.
///
/// # Errors
/// As `validate_staged`, and `42703` for a column that is not staged.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn duplicate_report_query(
    target: Option<String>,
    scope: Option<String>,
    columns: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Result<String, ErrorReport> {
    let (target, scope) = open_to_read(target, scope, &["SELECT"], &["SELECT"])?;
    let staged = require_ready(&target, &scope)?;
    let columns: Vec<String> = columns.unwrap_or_default().into_iter().flatten().collect();
    let unknown: Vec<&str> = columns.iter().filter(|c| !target.bulk.staged.contains(c)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(OnceError::MissingColumns {
            relation: target.bulk.staging.clone(),
            columns: unknown.join(", "),
            statement: "Add the columns to the staging table, or use duplicate_report(target, scope).".into(),
        }
        .into());
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    Ok(target.bulk.report(&columns, target.lookup(staged.rows)?))
}
