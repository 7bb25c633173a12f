//! The bulk path: stage, mark duplicates, validate, insert, verify, roll back. A file a verb.

mod clear;
mod correct;
mod files;
mod insert;
mod mark;
mod report;
pub mod rollback;
pub mod staging;
mod validate;
pub mod verify;

use crate::error::{OnceError, Result};
use crate::targets::{Scope, Target};
use crate::{jobs, rights, spi};

/// Opens a target and the scope to work on, with the caller's right to use its staging table (`staging`)
/// and its table (`production`), and takes the scope's lock.
fn open(
    target: Option<String>,
    scope: Option<String>,
    staging: &[&str],
    production: &[&str],
) -> Result<(Target, Scope)> {
    let (target, scope) = open_to_read(target, scope, staging, production)?;
    jobs::lock(&target.bulk.relation, target.relation_oid, &scope.text)?;
    Ok((target, scope))
}

/// As `open`, beside any job that may be running.
fn open_to_read(
    target: Option<String>,
    scope: Option<String>,
    staging: &[&str],
    production: &[&str],
) -> Result<(Target, Scope)> {
    let target = Target::named(target)?;
    let scope = target.scope(scope)?;
    let hint = rights::ask_for_access(&target.name)?;
    rights::require(&target.bulk.staging, target.staging_oid, staging, &hint)?;
    rights::require(&target.bulk.relation, target.relation_oid, production, &hint)?;
    Ok((target, scope))
}

/// # Errors
/// `P0002` where nothing at all is known of the scope, which then is a mistyped one.
fn require_known(target: &Target, scope: &Scope, staged: i64) -> Result<()> {
    if staged > 0 || target.spec.scope.is_none() || jobs::exist(target, scope)? {
        return Ok(());
    }
    if spi::fresh_one(&target.bulk.has_production(), &[scope.arg()], |row| row.need::<bool>(1))? {
        return Ok(());
    }
    Err(OnceError::UnknownScope {
        target: target.name.clone(),
        column: target.spec.scope.clone().unwrap_or_default(),
        value: scope.text.clone(),
    })
}

/// So many codes, in words.
fn codes(number: i64) -> String {
    if number == 1 { "1 code".into() } else { format!("{number} codes") }
}
