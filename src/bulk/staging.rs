//! What is known of a staging table: whether its duplicates were marked since rows came in, and whether
//! a crash has emptied it.
//!
//! An UNLOGGED table forgets in a crash, so what remembers its content must forget with it. The table
//! `staging_checks` is UNLOGGED too. Its row with a NULL scope is the witness: planted once, it is gone
//! after a crash, while `stagings`, which is logged, still says that it was planted. Clearing a scope
//! plants it again and notes in `stagings` that rows were lost once; from then on a scope without a row
//! of its own in `staging_checks` has not been cleared since that crash.

use crate::error::{OnceError, Result};
use crate::spi;
use crate::targets::{Scope, Target};

/// What is staged of a scope: enough to tell whether any row came or went.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Content {
    pub rows: i64,
    pub highest: i64,
    fingerprint: i64,
}

/// What is staged of a scope now.
#[derive(Clone, Copy)]
pub struct Staged {
    pub content: Content,
    pub lowest: i64,
    /// Rows flagged as internal duplicates.
    pub internal: i64,
}

/// Looks at what is staged now.
pub fn now(target: &Target, scope: &Scope) -> Result<Staged> {
    spi::fresh_one(&target.bulk.staged_now(), &[scope.arg()], |row| {
        let content = Content { rows: row.need(1)?, highest: row.need(2)?, fingerprint: row.need(3)? };
        Ok(Staged { content, lowest: row.need(4)?, internal: row.need(5)? })
    })
}

/// Plants the witness of a newly registered target.
pub fn plant(target: &Target) -> Result<()> {
    let new = spi::write(
        &format!("INSERT INTO {} (target) VALUES ($1) ON CONFLICT DO NOTHING", spi::own("stagings")?),
        &[target.name.as_str().into()],
    )?;
    if new == 1 { remember_witness(target).map(drop) } else { Ok(()) }
}

fn remember_witness(target: &Target) -> Result<bool> {
    let planted = spi::write(
        &format!(
            "INSERT INTO {} (target, scope) VALUES ($1, NULL) ON CONFLICT (target, scope) DO NOTHING",
            spi::own("staging_checks")?
        ),
        &[target.name.as_str().into()],
    )?;
    Ok(planted == 1)
}

/// # Errors
/// `55000` where a crash has emptied the staging table and this scope has not been cleared since.
pub fn require_whole(target: &Target, scope: &Scope) -> Result<()> {
    if !target.staging_unlogged {
        return Ok(());
    }
    let emptied = spi::fresh_one(
        &format!(
            "SELECT NOT EXISTS (SELECT FROM {checks} WHERE target = $1 AND scope IS NULL) \
             OR (EXISTS (SELECT FROM {stagings} WHERE target = $1 AND lost_at IS NOT NULL) \
                 AND NOT EXISTS (SELECT FROM {checks} WHERE target = $1 AND scope = $2))",
            checks = spi::own("staging_checks")?,
            stagings = spi::own("stagings")?
        ),
        &[target.name.as_str().into(), scope.text.as_str().into()],
        |row| row.need::<bool>(1),
    )?;
    if emptied {
        return Err(OnceError::StagingEmptied {
            target: target.name.clone(),
            staging: target.bulk.staging.clone(),
            scope: scope.shown().into(),
        });
    }
    Ok(())
}

/// Remembers that the duplicates among `content` have been marked.
pub fn checked(target: &Target, scope: &Scope, content: Content) -> Result<()> {
    spi::write(
        &format!(
            "INSERT INTO {} AS c (target, scope, rows, highest, fingerprint) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (target, scope) \
             DO UPDATE SET rows = $3, highest = $4, fingerprint = $5, checked_at = clock_timestamp()",
            spi::own("staging_checks")?
        ),
        &[
            target.name.as_str().into(),
            scope.text.as_str().into(),
            content.rows.into(),
            content.highest.into(),
            content.fingerprint.into(),
        ],
    )?;
    Ok(())
}

/// # Errors
/// `55000` where what is staged is not what was marked last.
pub fn require_checked(target: &Target, scope: &Scope, content: Content) -> Result<()> {
    let then = spi::fresh(
        &format!(
            "SELECT rows, highest, fingerprint FROM {} WHERE target = $1 AND scope = $2",
            spi::own("staging_checks")?
        ),
        &[target.name.as_str().into(), scope.text.as_str().into()],
        |row| Ok(Content { rows: row.need(1)?, highest: row.need(2)?, fingerprint: row.need(3)? }),
    )?;
    match then.first() {
        Some(then) if *then == content => Ok(()),
        None if content.rows == 0 => Ok(()),
        then => Err(OnceError::NotCheckedSinceStaging {
            target: target.name.clone(),
            scope: scope.shown().into(),
            now: content.rows,
            then: then.map(|s| s.rows),
        }),
    }
}

/// Remembers that the scope was cleared: rows that came meanwhile count as not marked.
pub fn cleared(target: &Target, scope: &Scope) -> Result<()> {
    if target.staging_unlogged && remember_witness(target)? {
        spi::write(
            &format!("UPDATE {} SET lost_at = clock_timestamp() WHERE target = $1", spi::own("stagings")?),
            &[target.name.as_str().into()],
        )?;
    }
    checked(target, scope, Content::default())
}
