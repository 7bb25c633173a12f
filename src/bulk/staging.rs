//! What is known of a staging table: whether its duplicates were marked since rows came in, and whether
//! a crash has emptied it.
//!
//! An UNLOGGED table forgets in a crash, so what remembers its content must forget with it. The table
//! `staging_checks` is UNLOGGED too. Its row with a NULL scope is the witness: planted once, it is gone
//! after a crash, while `stagings`, which is logged, still says that it was planted. Clearing a scope
//! plants it again and notes in `stagings` that rows were lost once; from then on a scope without a row
//! of its own in `staging_checks` has not been cleared since that crash, and has to be before it goes on,
//! whether or not it had staged anything: COPY leaves no trace of who did.

use crate::error::{OnceError, Result};
use crate::spi::{self, Arg, Row};
use crate::targets::{Scope, Target};
use once_core::ident::{Relation, literal};

/// What is staged of a scope: enough to tell whether any row came, went or changed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Staged {
    pub rows: i64,
    pub highest: i64,
    pub fingerprint: i64,
    pub internal: i64,
    pub existing: i64,
}

impl Staged {
    pub fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            rows: row.need(1)?,
            highest: row.need(2)?,
            fingerprint: row.need(3)?,
            internal: row.need(4)?,
            existing: row.need(5)?,
        })
    }
}

/// What a look at staging tells.
pub struct Look {
    pub staged: Staged,
    /// How many rows are flagged both ways.
    pub both: i64,
    pub lowest: i64,
}

/// Looks at what is staged now.
pub fn now(target: &Target, scope: &Scope) -> Result<Look> {
    let read = |row: &Row<'_>| Ok(Look { staged: Staged::read(row)?, both: row.need(6)?, lowest: row.need(7)? });
    spi::planned(|| spi::fresh_one(&target.bulk.staged_now(), &[scope.arg()], read))
}

/// A staging table as `$1` and `$2` of the statements here.
pub fn named(staging: &Relation) -> [Arg<'static>; 2] {
    [staging.schema.clone().into(), staging.name.clone().into()]
}

/// A staging table and a scope as `$1` to `$3`.
pub fn scoped(target: &Target, scope: &Scope) -> [Arg<'static>; 3] {
    let [schema, name] = named(&target.bulk.staging);
    [schema, name, scope.text.clone().into()]
}

/// That an entry of `staged_files` is by the target's scope: a target that was registered by another one before has
/// entries whose scopes mean nothing now.
pub fn by_scope_column(target: &Target) -> String {
    format!("scope_column = {}", literal(target.spec.scope.as_deref().unwrap_or_default()))
}

/// Plants the witness of a newly registered staging table.
pub fn plant(target: &Target) -> Result<()> {
    let insert = format!(
        "INSERT INTO {} (staging_schema, staging_name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        spi::own("stagings")?
    );
    let new = spi::write(&insert, &named(&target.bulk.staging))?;
    if new == 1 { plant_witness(&target.bulk.staging).map(drop) } else { Ok(()) }
}

/// Whether the witness was gone.
fn plant_witness(staging: &Relation) -> Result<bool> {
    let insert = format!(
        "INSERT INTO {} (staging_schema, staging_name, scope) VALUES ($1, $2, NULL) ON CONFLICT DO NOTHING",
        spi::own("staging_checks")?
    );
    Ok(spi::write(&insert, &named(staging))? == 1)
}

/// Begins anew with a staging table that is about to be created: it has no files, nothing of it is marked, and
/// nothing is lost.
pub fn begin_anew(staging: &Relation) -> Result<()> {
    forget(staging)?;
    let files = spi::own("staged_files")?;
    if crate::backend::relation_oid(&files).is_some() {
        let this = "WHERE staging_schema = $1 AND staging_name = $2 AND rows > 0";
        spi::write(&format!("UPDATE {files} SET rows = 0 {this}"), &named(staging))?;
    }
    Ok(())
}

/// Forgets what was marked in a staging table that is no target's any more, and what was lost of it. Its rows stay,
/// and with them the list of its files.
pub fn forget(staging: &Relation) -> Result<()> {
    let [checks, stagings] = [spi::own("staging_checks")?, spi::own("stagings")?];
    if crate::backend::relation_oid(&stagings).is_none() {
        return Ok(());
    }
    let this = "WHERE staging_schema = $1 AND staging_name = $2";
    // A count that no staging table has. (Rows are not deleted: nobody holds that right on these tables.)
    spi::write(&format!("UPDATE {checks} SET rows = -1 {this}"), &named(staging))?;
    if spi::write(&format!("UPDATE {stagings} SET lost_at = NULL {this}"), &named(staging))? > 0 {
        plant_witness(staging)?;
    }
    Ok(())
}

/// Those of the scopes that a crash has emptied, and that have not been cleared since.
pub fn emptied(target: &Target, scopes: &[&Scope]) -> Result<Vec<String>> {
    if !target.staging_unlogged || scopes.is_empty() {
        return Ok(Vec::new());
    }
    let emptied = format!(
        "SELECT u.scope FROM unnest($3) AS u(scope) \
         WHERE NOT EXISTS (SELECT FROM {checks} WHERE staging_schema = $1 AND staging_name = $2 AND scope IS NULL) \
         OR (EXISTS (SELECT FROM {stagings} WHERE staging_schema = $1 AND staging_name = $2 AND lost_at IS NOT NULL) \
             AND NOT EXISTS (SELECT FROM {checks} c WHERE staging_schema = $1 AND staging_name = $2 AND c.scope = u.scope))",
        checks = spi::own("staging_checks")?,
        stagings = spi::own("stagings")?
    );
    let [schema, name] = named(&target.bulk.staging);
    let texts: Vec<String> = scopes.iter().map(|scope| scope.text.clone()).collect();
    spi::known_fresh(&emptied, &[schema, name, texts.into()], |row| row.need::<String>(1))
}

/// # Errors
/// `55000` where a crash has emptied the staging table and one of the scopes has not been cleared since.
pub fn require_whole(target: &Target, scopes: &[&Scope]) -> Result<()> {
    match emptied(target, scopes)?.into_iter().next() {
        None => Ok(()),
        Some(scope) => Err(OnceError::StagingEmptied {
            target: target.name.clone(),
            staging: target.bulk.staging.clone(),
            scope: target.recorded_scope(scope).shown().into(),
        }),
    }
}

/// Lets many end files of these scopes at once, or (`alone`) one clear a scope: until the transaction ends, so that
/// the list of files and the rows change together. Scopes share 64 locks: a file may have rows of very many.
pub fn lock_files(target: &Target, scopes: &[&Scope], alone: bool) -> Result<()> {
    let lock = if alone { "pg_advisory_xact_lock" } else { "pg_advisory_xact_lock_shared" };
    let sql = format!(
        "SELECT {lock}($1::int, slot) FROM (SELECT DISTINCT hashtext(u.scope) & 63 FROM unnest($2) AS u(scope) ORDER BY 1) s(slot)"
    );
    let texts: Vec<String> = scopes.iter().map(|scope| scope.text.clone()).collect();
    spi::known_fresh(&sql, &[target.staging_oid.into(), texts.into()], |_| Ok(())).map(drop)
}

/// Remembers `staged` as what was marked.
pub fn checked(target: &Target, scope: &Scope, staged: Staged) -> Result<()> {
    let insert = format!(
        "INSERT INTO {} (staging_schema, staging_name, scope, rows, highest, fingerprint, internal_dups, existing_dups) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (staging_schema, staging_name, scope) \
         DO UPDATE SET rows = $4, highest = $5, fingerprint = $6, internal_dups = $7, existing_dups = $8, checked_at = clock_timestamp()",
        spi::own("staging_checks")?
    );
    let [schema, name, scope] = scoped(target, scope);
    let Staged { rows, highest, fingerprint, internal, existing } = staged;
    let args = [schema, name, scope, rows.into(), highest.into(), fingerprint.into(), internal.into(), existing.into()];
    spi::write(&insert, &args).map(drop)
}

/// What was staged when the scope was marked last; `None` where it never was.
pub fn marked(target: &Target, scope: &Scope) -> Result<Option<Staged>> {
    let marked = format!(
        "SELECT rows, highest, fingerprint, internal_dups, existing_dups FROM {} \
         WHERE staging_schema = $1 AND staging_name = $2 AND scope = $3",
        spi::own("staging_checks")?
    );
    Ok(spi::fresh(&marked, &scoped(target, scope), Staged::read)?.into_iter().next())
}

/// # Errors
/// `55000` where what is staged is not what was marked last.
pub fn require_checked(target: &Target, scope: &Scope, staged: Staged) -> Result<()> {
    match marked(target, scope)? {
        Some(then) if then == staged => Ok(()),
        None if staged.rows == 0 => Ok(()),
        then => Err(OnceError::NotCheckedSinceStaging {
            target: target.name.clone(),
            scope: scope.shown().into(),
            now: staged.rows,
            then: then.map(|s| s.rows),
        }),
    }
}

/// Remembers that the scope was cleared: rows that came meanwhile count as not marked.
pub fn cleared(target: &Target, scope: &Scope) -> Result<()> {
    let files = format!(
        "UPDATE {} SET rows = 0 WHERE staging_schema = $1 AND staging_name = $2 AND {} AND scope = $3 AND rows > 0",
        spi::own("staged_files")?,
        by_scope_column(target)
    );
    spi::write(&files, &scoped(target, scope))?;
    if plant_witness(&target.bulk.staging)? && target.staging_unlogged {
        let lost = format!(
            "UPDATE {} SET lost_at = clock_timestamp() WHERE staging_schema = $1 AND staging_name = $2",
            spi::own("stagings")?
        );
        spi::write(&lost, &named(&target.bulk.staging))?;
    }
    checked(target, scope, Staged::default())
}
