//! Adopts documents from before there was a key: computes what is missing, archives what repeats, adds the constraints.
//! Nothing is deleted.

mod keys;
mod tables;
mod work;

use crate::error::{OnceError, Result};
use crate::spi;
use once_core::document::adoption::Adoption;
use once_core::ident::quote;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgRelation};
use serde_json::json;
use tables::Tables;
use work::Work;

/// Adopts a table of documents that had no idempotency, with the records parsed from them: computes missing and malformed
/// checksums, tags all but the oldest of one owner and content `duplicate_archived`, replaces unique keys that would keep
/// out what is not the same, adds NOT NULL, the format check and the unique keys, and fills the content hashes of records
/// from their documents. Can be called again and in a migration; readers and writers of the tables wait until its
/// transaction ends.
///
/// `relation`: the table of a document target, or one with the workouts kit's names. `dry_run`: only tells what would be
/// done. `max_rows`: how many rows the call may change at most, so that a big table can be done in several transactions;
/// NULL for all. Gives `{dry_run, relation, rows, columns_added, checksums_computed, checksums_malformed,
/// tags_filled, duplicates_archived, oldest_by, keys_replaced, constraints_added, records_filled, records_without_hash,
/// complete}`; a dry run the same in the conditional. `oldest_by`: the columns that told which of two is the older.
/// `complete` is false where `max_rows` ended the call: call again.
///
/// # Errors
/// `22004` for a NULL relation or dry_run, `22023` for max_rows below 1, `42501` for anyone but the owner of the tables
/// or where row-level security may hide rows from him, `42703`, `42804`, `42P10` where columns are missing that can't be
/// added, of the wrong type, or not unique, `23502` where a document has no content, `25001` above READ COMMITTED, `09000`
/// where a trigger keeps rows as they are.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn adopt_imports(
    relation: Option<PgRelation>,
    dry_run: default!(Option<bool>, "true"),
    max_rows: default!(Option<i64>, "NULL"),
) -> std::result::Result<JsonB, ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let oid = relation.ok_or_else(|| null("relation"))?.oid();
    let dry_run = dry_run.ok_or_else(|| null("dry_run"))?;
    if let Some(given) = max_rows.filter(|rows| *rows < 1) {
        return Err(OnceError::BadMaximum { given }.into());
    }
    Ok(JsonB(adopt(oid, dry_run, max_rows.unwrap_or(i64::MAX))?))
}

fn adopt(oid: Oid, dry_run: bool, max_rows: i64) -> Result<serde_json::Value> {
    let mut tables = Tables::look(oid)?;
    if !dry_run {
        tables = tables.lock()?;
    }
    tables.require_fit()?;
    let ages = tables.ages();
    let mut oldest_by: Vec<String> = ages.iter().map(|age| age.column.clone()).collect();
    oldest_by.push(tables.spec.id.clone());
    let columns = tables.missing_columns();
    if !dry_run {
        columns.iter().try_for_each(|column| spi::script(&column.add))?;
        tables = Tables::look(oid)?;
    }
    let adoption = tables.adoption(ages)?;
    let counts = count(&adoption)?;

    let mut work = Work { dry_run, left: max_rows };
    // What repeats is archived before its checksum is written, which a key that is there would refuse.
    let archived = work.run(&adoption.archive())?;
    let keys = if work.left > 0 { keys::in_the_way(&tables, counts.archived + archived > 0)? } else { Vec::new() };
    if !dry_run {
        keys.iter().try_for_each(|key| spi::script(&key.drop))?;
    }
    if let Some(step) = adoption.let_go() {
        tables.require_nullable_hash(&step)?;
        work.run(&step)?;
    }
    let computed = work.run(&adoption.compute())?;
    let may_be_untagged = tables.documents.column(&tables.spec.tags).is_some_and(|column| !column.not_null);
    let tagged = if may_be_untagged { work.run(&adoption.tag())? } else { 0 };
    let filled = match adoption.fill() {
        Some(step) => work.run(&step)?,
        None => 0,
    };
    let mut constraints = Vec::new();
    if work.left > 0 {
        constraints = keys::missing_of_documents(&tables)?;
        constraints.extend(keys::missing_of_records(&tables, &adoption)?);
    }
    if !dry_run {
        constraints.iter().try_for_each(|constraint| spi::script(&constraint.add))?;
    }
    let without_hash = match adoption.without_hash() {
        Some(count) => spi::fresh_one(&count, &[], |row| row.need::<i64>(1))?,
        None => 0,
    };
    Ok(json!({
        "dry_run": dry_run,
        "relation": spi::shown(&tables.documents.relation)?,
        "rows": counts.rows,
        "columns_added": columns.iter().map(|column| &column.shown).collect::<Vec<_>>(),
        "checksums_computed": computed,
        "checksums_malformed": counts.malformed,
        "tags_filled": tagged,
        "duplicates_archived": archived,
        "oldest_by": oldest_by,
        "keys_replaced": keys.iter().map(|key| &key.name).collect::<Vec<_>>(),
        "constraints_added": constraints.iter().map(|constraint| &constraint.shown).collect::<Vec<_>>(),
        "records_filled": filled,
        "records_without_hash": if dry_run { without_hash - filled } else { without_hash },
        "complete": work.left > 0,
    }))
}

/// What the documents are, before anything is changed.
struct Counts {
    rows: i64,
    malformed: i64,
    archived: i64,
}

/// # Errors
/// `23502` where a document has no content.
fn count(adoption: &Adoption) -> Result<Counts> {
    let (counts, nulls) = spi::fresh_one(&adoption.count(), &[], |row| {
        Ok((Counts { rows: row.need(1)?, malformed: row.need(2)?, archived: row.need(3)? }, row.need::<i64>(4)?))
    })?;
    if nulls == 0 {
        return Ok(counts);
    }
    Err(OnceError::NullContent {
        relation: adoption.documents.relation.clone(),
        column: quote(&adoption.spec.content),
        id: quote(&adoption.spec.id),
        rows: nulls,
    })
}
