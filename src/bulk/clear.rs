//! Clearing the staged rows of a scope.

use super::{open_to_read, staging};
use crate::{jobs, spi};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

/// Deletes the scope's staged rows, and with them what was known of them, its files too: after a crash has emptied the
/// staging table, this is what lets the scope go on.
///
/// `scope`: as for `mark_duplicates`. Gives `{success, rows_deleted, rows_remaining}`; an empty staging
/// gives 0 and 0.
///
/// # Errors
/// `22004`, `22023`, `42704` for arguments, `42501` without DELETE on the staging table.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn clear_staging(target: Option<String>, scope: Option<String>) -> Result<JsonB, ErrorReport> {
    let (target, scope) = open_to_read(target, scope, &["SELECT", "DELETE"], &[])?;
    // In this order: who stages a file and marks it in one transaction has the list first, too.
    staging::lock_files(&target, &[&scope], true)?;
    jobs::lock(&target.bulk.relation, target.relation_oid, &scope.text)?;
    let deleted = spi::write(&target.bulk.clear(), &[scope.arg()])?;
    staging::cleared(&target, &scope)?;
    let remaining = staging::now(&target, &scope)?.staged.rows;
    Ok(JsonB(json!({"success": true, "rows_deleted": deleted, "rows_remaining": remaining})))
}
