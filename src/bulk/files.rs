//! Files on their way into staging: each is staged once per scope, known by the SHA-256 of its content.
//!
//! A loader works a file a transaction: `begin_file`, COPY of the scopes that it did not name, `end_file`.
//!
//! The list goes with the rows. Two things could part them: a scope that was emptied by hand, so its files count
//! as staged no more; and a clearing beside a load, so the end of a file and a clearing take a lock on the scope.

use super::open_to_read;
use super::staging::{self, scoped};
use crate::backend::Jsonb;
use crate::error::{OnceError, Result};
use crate::targets::{Scope, Target};
use crate::{jobs, spi};
use pgrx::JsonB;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// Says in which scopes a file is staged already, and keeps others from staging it until this transaction ends.
///
/// `sha256`: of the file's content, 64 lower-case hex digits. `scope`: the one that all its rows are of, NULL where
/// they say so themselves. Gives a row a scope (empty where the target has none), none where the file is new.
///
/// # Errors
/// `22004`, `22023`, `42704` for arguments; `42501` without the right to stage; `55000` where a crash has emptied the
/// staging table and one of these scopes has not been cleared since.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn begin_file(
    target: Option<String>,
    sha256: Option<String>,
    scope: default!(Option<String>, "NULL"),
) -> std::result::Result<
    TableIterator<
        'static,
        (
            name!(scope, Option<String>),
            name!(name, Option<String>),
            name!(rows, Option<i64>),
            name!(staged_at, Option<TimestampWithTimeZone>),
        ),
    >,
    ErrorReport,
> {
    let (target, sha256) = open(target, sha256)?;
    let given = scope.map(|scope| target.scope(Some(scope))).transpose()?;
    lock(&target, &sha256)?;

    let scopes = match given {
        Some(given) => vec![given],
        None => scopes_of(&target, &sha256)?,
    };
    staging::require_whole(&target, &scopes.iter().collect::<Vec<_>>())?;
    forget_void(&target)?;
    let [schema, name] = staging::named(&target.bulk.staging);
    let texts: Vec<String> = scopes.into_iter().map(|scope| scope.text).collect();
    let entries = format!(
        "SELECT scope, name, rows, staged_at FROM {} WHERE staging_schema = $1 AND staging_name = $2 AND {} AND sha256 = $3 \
         AND scope = ANY ($4) AND rows > 0 ORDER BY scope",
        spi::own("staged_files")?,
        staging::by_scope_column(&target)
    );
    let entries = spi::known_fresh(&entries, &[schema, name, sha256.into(), texts.into()], |row| {
        Ok((row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    })?;
    Ok(TableIterator::new(entries))
}

/// Remembers that a file is staged, and which of its rows could not be.
///
/// `name`: what the user calls the file. `rows`: how many rows it has of each scope, `{"<scope>": rows}`, the one key
/// empty where the target has no scope. `rejects`: `[{line, column, value, reason, sqlstate}]`, kept in
/// `import_rejects` in place of what was rejected of this file before. `again`: counts scopes that have it already too.
/// Gives the number of rows that are new, which is what COPY must have written.
///
/// # Errors
/// As `begin_file`, and what the scope's type raises of a scope; `22023` where `rows` is no such object.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn end_file(
    target: Option<String>,
    sha256: Option<String>,
    name: Option<String>,
    rows: Option<Jsonb>,
    rejects: default!(Option<Jsonb>, "'[]'"),
    again: default!(Option<bool>, "false"),
) -> std::result::Result<i64, ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let (target, sha256) = open(target, sha256)?;
    let name = name.ok_or_else(|| null("name"))?;
    let rows = rows.ok_or_else(|| null("rows"))?;
    let rejects = rejects.ok_or_else(|| null("rejects"))?;
    let again = again.ok_or_else(|| null("again"))?;
    lock(&target, &sha256)?;
    let there = if again { Vec::new() } else { scopes_of(&target, &sha256)? };
    write_rejects(&target, &sha256, &name, rejects, there.is_empty())?;
    let mut counted = counted(&target, rows)?;
    counted.retain(|(scope, _)| there.iter().all(|t| t.text != scope.text));
    staging::lock_files(&target, &counted.iter().map(|(scope, _)| scope).collect::<Vec<_>>(), false)?;
    staging::require_whole(&target, &counted.iter().map(|(scope, _)| scope).collect::<Vec<_>>())?;
    let insert = format!(
        "INSERT INTO {} AS f (staging_schema, staging_name, scope_column, scope, sha256, name, rows) \
         SELECT $1, $2, $7, u.scope, $3, $4, u.rows FROM ROWS FROM (unnest($5), unnest($6)) AS u(scope, rows) \
         ON CONFLICT (staging_schema, staging_name, scope_column, scope, sha256) \
         DO UPDATE SET rows = f.rows + excluded.rows, name = excluded.name, staged_by = current_user, staged_at = clock_timestamp()",
        spi::own("staged_files")?
    );
    let [schema, staging_name] = staging::named(&target.bulk.staging);
    let scopes: Vec<String> = counted.iter().map(|(scope, _)| scope.text.clone()).collect();
    let numbers: Vec<i64> = counted.iter().map(|(_, rows)| *rows).collect();
    let total = numbers.iter().sum();
    let column = target.spec.scope.clone().unwrap_or_default();
    let args = [schema, staging_name, sha256.into(), name.into(), scopes.into(), numbers.into(), column.into()];
    spi::known_fresh(&insert, &args, |_| Ok(()))?;
    Ok(total)
}

/// After a crash has emptied staging: lets those scopes go on whose lost files are all among these, about to be
/// staged again. Rows that were staged by other means than `end_file` are not known here, and so not missed.
///
/// `files`: the SHA-256 of each. `scope`: the only one that may go on, NULL where the rows of the files say whose they
/// are. Gives a row for each scope that may go on, with the number of its files. Scopes of
/// which another file was lost, or rows were staged since, are left to `clear_staging`.
///
/// # Errors
/// `22004`, `42704` for arguments; `42501` without the right to clear the staging table.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn recover_staging(
    target: Option<String>,
    files: Option<Vec<Option<String>>>,
    scope: default!(Option<String>, "NULL"),
) -> std::result::Result<TableIterator<'static, (name!(scope, Option<String>), name!(files, Option<i64>))>, ErrorReport>
{
    let files = files.ok_or(OnceError::NullArgument { name: "files".into() })?;
    let target = Target::named(target)?;
    let hint = crate::rights::ask_for_access(&target.name)?;
    crate::rights::require(&target.bulk.staging, target.staging_oid, &["SELECT", "DELETE"], &hint)?;
    let known = format!(
        "SELECT scope, count(*) FROM {} WHERE staging_schema = $1 AND staging_name = $2 AND {} AND rows > 0 \
         AND scope = coalesce($4, scope) GROUP BY scope \
         HAVING bool_and(coalesce(sha256 = ANY ($3), false)) ORDER BY scope",
        spi::own("staged_files")?,
        staging::by_scope_column(&target)
    );
    let [schema, name] = staging::named(&target.bulk.staging);
    let only = scope.map(|scope| target.scope(Some(scope))).transpose()?.map(|scope| scope.text);
    let candidates = spi::fresh(&known, &[schema, name, files.into(), only.into()], |row| {
        Ok((target.recorded_scope(row.need(1)?), row.need::<i64>(2)?))
    })?;
    let mut recovered = Vec::new();
    for (scope, files) in candidates {
        if !staging::emptied(&target, &[&scope])?.is_empty() && recover(&target, &scope)? {
            recovered.push((Some(scope.text), Some(files)));
        }
    }
    Ok(TableIterator::new(recovered))
}

fn recover(target: &Target, scope: &Scope) -> Result<bool> {
    staging::lock_files(target, &[scope], true)?;
    jobs::lock(&target.bulk.relation, target.relation_oid, &scope.text)?;
    let any = format!("SELECT EXISTS ({})", target.bulk.any_staged());
    if spi::fresh_one(&any, &[scope.arg()], |row| row.need::<bool>(1))? {
        return Ok(false);
    }
    staging::cleared(target, scope)?;
    Ok(true)
}

/// What is staged of a scope: its rows by their flags, whether these were computed since rows came in, and its files.
///
/// `scope`: as for `mark_duplicates`. Gives `{total_rows, internal_duplicates, database_duplicates, both_duplicates,
/// clean_count, marked, emptied, files: [{name, sha256, rows, staged_at}]}`; `emptied` means that a crash took what was
/// staged, and the scope has not been cleared since.
///
/// # Errors
/// `22004`, `22023`, `42704` for arguments; `42501` without SELECT on the staging table.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn staging_status(target: Option<String>, scope: Option<String>) -> std::result::Result<JsonB, ErrorReport> {
    let (target, scope) = open_to_read(target, scope, &["SELECT"], &[])?;
    let staging::Look { staged, both, .. } = staging::now(&target, &scope)?;
    let marked = staging::require_checked(&target, &scope, staged).is_ok();
    let emptied = !staging::emptied(&target, &[&scope])?.is_empty();
    let files = format!(
        "SELECT coalesce(jsonb_agg(jsonb_build_object('name', name, 'sha256', sha256, 'rows', rows, 'staged_at', staged_at) \
         ORDER BY name, sha256), '[]') FROM {} WHERE staging_schema = $1 AND staging_name = $2 AND {} AND scope = $3 AND rows > 0",
        spi::own("staged_files")?,
        staging::by_scope_column(&target)
    );
    let files: JsonB = spi::fresh_one(&files, &scoped(&target, &scope), |row| row.need(1))?;
    Ok(JsonB(json!({
        "total_rows": staged.rows,
        "internal_duplicates": staged.internal,
        "database_duplicates": staged.existing,
        "both_duplicates": both,
        "clean_count": staged.rows - staged.internal - staged.existing + both,
        "marked": marked,
        "emptied": emptied,
        "files": if staged.rows > 0 { files.0 } else { json!([]) },
    })))
}

fn open(target: Option<String>, sha256: Option<String>) -> Result<(Target, String)> {
    let sha256 = sha256.ok_or(OnceError::NullArgument { name: "sha256".into() })?;
    if sha256.len() != 64 || !sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(OnceError::BadHash { given: sha256 });
    }
    let target = Target::named(target)?;
    let hint = crate::rights::ask_for_access(&target.name)?;
    crate::rights::require(&target.bulk.staging, target.staging_oid, &["SELECT", "INSERT", "UPDATE"], &hint)?;
    Ok((target, sha256))
}

/// Keeps others from staging the file until this transaction ends; taken again it does nothing.
fn lock(target: &Target, sha256: &str) -> Result<()> {
    let lock = "SELECT pg_advisory_xact_lock($1::int, hashtext($2))";
    spi::known_fresh(lock, &[target.staging_oid.into(), sha256.into()], |_| Ok(())).map(drop)
}

/// The scopes in which a file is listed.
fn scopes_of(target: &Target, sha256: &str) -> Result<Vec<Scope>> {
    let listed = format!(
        "SELECT scope FROM {} WHERE staging_schema = $1 AND staging_name = $2 AND {} AND sha256 = $3 AND rows > 0",
        spi::own("staged_files")?,
        staging::by_scope_column(target)
    );
    let [schema, name] = staging::named(&target.bulk.staging);
    spi::known_fresh(&listed, &[schema, name, sha256.into()], |row| Ok(target.recorded_scope(row.need(1)?)))
}

/// Forgets the files of every scope that has no staged row: someone emptied it by hand. Of every one, since the rows
/// that are about to come, of whatever scope, would hide that.
fn forget_void(target: &Target) -> Result<()> {
    if crate::rights::row_security(target.staging_oid)? {
        return Ok(()); // rows that a policy hides are not gone
    }
    let (files, of) = (spi::own("staged_files")?, staging::by_scope_column(target));
    let named = || staging::named(&target.bulk.staging);
    let listed = format!(
        "SELECT DISTINCT f.scope FROM {files} f WHERE f.staging_schema = $1 AND f.staging_name = $2 AND {of} AND f.rows > 0"
    );
    let listed = spi::known_fresh(&listed, &named(), |row| row.need::<String>(1))?;
    let mut found: Vec<Scope> = without_rows(target, listed)?.into_iter().map(|s| target.recorded_scope(s)).collect();
    // What a crash has emptied is lost, and not to be forgotten before it is cleared or staged again.
    let lost = staging::emptied(target, &found.iter().collect::<Vec<_>>())?;
    found.retain(|scope| !lost.contains(&scope.text));
    if found.is_empty() {
        return Ok(());
    }
    // Who clears the scope waits for us from here on. And each entry as it was seen beside a scope without rows: a file
    // that was staged meanwhile has its rows.
    staging::lock_files(target, &found.iter().collect::<Vec<_>>(), false)?;
    let forget = format!(
        "UPDATE {files} e SET rows = 0 FROM (SELECT f.scope, f.sha256, f.staged_at FROM {files} f \
           WHERE f.staging_schema = $1 AND f.staging_name = $2 AND f.{of} AND f.rows > 0 AND f.scope = ANY ($3) \
           AND NOT EXISTS (SELECT FROM {} s WHERE {})) seen \
         WHERE e.staging_schema = $1 AND e.staging_name = $2 AND e.{of} AND e.scope = seen.scope \
         AND e.sha256 = seen.sha256 AND e.staged_at = seen.staged_at",
        target.bulk.staging,
        target.bulk.staged_in("f.scope")
    );
    let [schema, name] = named();
    let texts: Vec<String> = found.into_iter().map(|scope| scope.text).collect();
    spi::write(&forget, &[schema, name, texts.into()]).map(drop)
}

thread_local! {
    /// Where a row of a scope was seen last, by staging table and scope: likely it is there still.
    static PLACES: RefCell<HashMap<(Oid, String), String>> = RefCell::default();
}

/// How many blocks at either end of staging are looked at first: 8 MB.
const ENDS: i64 = 1024;

/// Those of the scopes that have no staged row. One is looked for where it was seen last: staging has no index, and is not
/// read for each file.
fn without_rows(target: &Target, scopes: Vec<String>) -> Result<Vec<String>> {
    let (staging, oid) = (&target.bulk.staging, target.staging_oid);
    let of = target.bulk.staged_in("u.scope");
    let (mut seen, mut places, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    PLACES.with_borrow(|known| {
        for scope in scopes {
            match known.get(&(oid, scope.clone())) {
                Some(place) => {
                    seen.push(scope);
                    places.push(place.clone());
                }
                None => missing.push(scope),
            }
        }
    });
    if !seen.is_empty() {
        let gone = format!(
            "SELECT u.scope FROM ROWS FROM (unnest($1), unnest($2)) AS u(scope, place) \
             WHERE (SELECT true FROM {staging} s WHERE s.ctid = u.place::tid AND {of} LIMIT 1) IS NULL"
        );
        missing.extend(spi::fresh(&gone, &[seen.into(), places.into()], |row| row.need::<String>(1))?);
    }
    if missing.is_empty() {
        return Ok(missing);
    }
    // Most likely it came just now, or was the first to come.
    let blocks = "SELECT pg_relation_size($1) / current_setting('block_size')::bigint";
    let blocks: i64 = spi::known_one(blocks, &[oid.into()], |row| row.need(1))?;
    let last = format!("s.ctid >= '({},0)'", (blocks - ENDS).max(0));
    for among in [last, format!("s.ctid < '({ENDS},0)'"), "true".into()] {
        let first = format!(
            "SELECT u.scope, min(s.ctid)::text FROM unnest($1) AS u(scope) JOIN {staging} s ON {of} WHERE {among} GROUP BY u.scope"
        );
        let first = || spi::fresh(&first, &[missing.clone().into()], |row| Ok((row.need(1)?, row.need(2)?)));
        let first: HashMap<String, String> = spi::planned(first)?.into_iter().collect();
        missing.retain(|scope| !first.contains_key(scope));
        PLACES.with_borrow_mut(|places| places.extend(first.into_iter().map(|(scope, place)| ((oid, scope), place))));
        if missing.is_empty() {
            break;
        }
    }
    Ok(missing)
}

/// The rows of each scope, as the scope's type writes it, in the order of the scopes.
///
/// # Errors
/// `22023` for what are no counts of rows, and what the scope's type raises.
fn counted(target: &Target, rows: Jsonb) -> Result<Vec<(Scope, i64)>> {
    let scope = match target.spec.scope {
        Some(_) => format!("CAST(e.key AS {})::text", target.bulk.scope_type),
        None => "e.key".into(),
    };
    let each = format!("SELECT {scope}, e.value, e.key FROM jsonb_each_text($1) e ORDER BY 1");
    let given = spi::known(&each, &[rows.into()], |row| {
        Ok((row.need::<String>(1)?, row.get::<String>(2)?, row.need::<String>(3)?))
    })?;
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    let mut total: i64 = 0;
    for (scope, rows, key) in given {
        let wrong = || OnceError::BadCount { scope: key.clone(), given: rows.clone().unwrap_or_else(|| "null".into()) };
        let number: i64 = rows.as_ref().and_then(|rows| rows.parse().ok()).filter(|n| *n >= 0).ok_or_else(wrong)?;
        total = total.checked_add(number).ok_or_else(wrong)?;
        if target.spec.scope.is_none() && !key.is_empty() {
            return Err(OnceError::NoScope { target: target.name.clone(), given: key });
        }
        *counts.entry(scope).or_default() += number;
    }
    counts.retain(|_, rows| *rows > 0);
    Ok(counts.into_iter().map(|(scope, rows)| (target.recorded_scope(scope), rows)).collect())
}

/// Writes what was rejected of a file: `anew`, or beside what was when other scopes' rows were staged.
fn write_rejects(target: &Target, sha256: &str, file: &str, rejects: Jsonb, anew: bool) -> Result<()> {
    let table = spi::own("import_rejects")?;
    let new = "jsonb_to_recordset($3) AS r(line bigint, \"column\" text, value text, reason text, sqlstate text)";
    let args = || [target.name.as_str().into(), sha256.into(), rejects.into()];
    if anew {
        let resolve = format!(
            "UPDATE {table} SET resolved_at = clock_timestamp() WHERE target = $1 AND sha256 = $2 AND resolved_at IS NULL \
             AND (line, reason) NOT IN (SELECT r.line, r.reason FROM {new})"
        );
        spi::known_fresh(&resolve, &args(), |_| Ok(()))?;
    }
    let insert = format!(
        "INSERT INTO {table} (target, relation_schema, relation_name, sha256, file, line, column_name, value, reason, sqlstate) \
         SELECT $1, $4, $5, $2, $6, r.line, r.\"column\", r.value, r.reason, r.sqlstate FROM {new} \
         WHERE NOT EXISTS (SELECT FROM {table} k WHERE k.target = $1 AND k.sha256 = $2 AND k.line = r.line \
                           AND k.reason = r.reason AND k.resolved_at IS NULL)"
    );
    let relation = &target.bulk.relation;
    let [name, sha256, rejects] = args();
    let args = [name, sha256, rejects, relation.schema.as_str().into(), relation.name.as_str().into(), file.into()];
    spi::known_fresh(&insert, &args, |_| Ok(())).map(drop)
}
