//! The bulk path: stage, mark duplicates, validate, insert, verify, roll back. A file a verb.

mod clear;
mod insert;
mod mark;
mod report;
mod rollback;
pub mod staging;
mod validate;
mod verify;

use crate::error::{OnceError, Result};
use crate::targets::{Scope, Target};
use crate::{jobs, rights, spi};
use staging::Staged;

/// Rows that one statement of marking and validating works on.
const CHUNK: i64 = 100_000;

/// Opens a target and the scope to work on, with the caller's right to use its staging table (`staging`)
/// and its table (`production`), and takes the scope's lock.
fn open(
    target: Option<String>,
    scope: Option<String>,
    staging: &[&str],
    production: &[&str],
) -> Result<(Target, Scope)> {
    let target = Target::named(target)?;
    let scope = target.scope(scope)?;
    let hint = |role: &str| {
        format!(
            "SELECT {}.grant_import_access('{}', '{role}'); as the owner of the table.",
            schema_shown(),
            target.name
        )
    };
    rights::require(&target.bulk.staging, target.staging_oid, staging, hint)?;
    rights::require(&target.bulk.relation, target.relation_oid, production, hint)?;
    jobs::lock(&target, &scope)?;
    Ok((target, scope))
}

fn schema_shown() -> String {
    spi::own("").map(|own| own.schema).unwrap_or_default()
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

/// Calls `work` on one chunk of the staged rows after another, as the bounds of its numbers and its
/// size; gives the number of chunks.
fn each_chunk(
    target: &Target,
    scope: &Scope,
    staged: Staged,
    size: i64,
    mut work: impl FnMut(i64, i64, i64) -> Result<()>,
) -> Result<i64> {
    let next = target.bulk.next_chunk();
    let (mut after, mut chunks) = (staged.lowest.saturating_sub(1), 0);
    loop {
        let (last, rows) =
            spi::fresh_one(&next, &[scope.arg(), after.into(), staged.content.highest.into(), size.into()], |row| {
                Ok((row.get::<i64>(1)?, row.need::<i64>(2)?))
            })?;
        let Some(last) = last else { return Ok(chunks) };
        work(after, last, rows)?;
        after = last;
        chunks += 1;
    }
}
