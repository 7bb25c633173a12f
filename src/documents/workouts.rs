//! The workouts kit's own names for the documents path: imports of athletes' training logs, and their workouts.
#![allow(clippy::type_complexity)] // pgrx wants what a function returns in its signature

use super::commit::{Committed, commit};
use super::import::{Document, Imported, import};
use super::target::{Purpose, Target};
use crate::backend::{Jsonb, TextArray};
use crate::error::{OnceError, Result};
use crate::spi;
use once_core::ident::quote_list;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, datum::Date};

fn null(name: &str) -> OnceError {
    OnceError::NullArgument { name: name.into() }
}

/// `import_document` for athletes' training logs. `athlete_id`: NULL where nobody knows whose it is.
///
/// # Errors
/// As `import_document`.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn import_raw_text_idempotent(
    athlete_id: Option<Uuid>,
    raw_text: Option<&str>,
    source: Option<String>,
    source_ref: default!(Option<String>, "NULL"),
    tags: default!(Option<TextArray>, "'{}'"),
    target: default!(Option<String>, "'imports'"),
) -> std::result::Result<
    TableIterator<
        'static,
        (name!(import_id, Uuid), name!(is_duplicate, bool), name!(message, String), name!(checksum, String)),
    >,
    ErrorReport,
> {
    let content = raw_text.ok_or_else(|| null("raw_text"))?;
    let owner = athlete_id.map(|id| id.to_string());
    let document = Document { owner, owner_type: "uuid", content, source, source_ref, tags };
    let Imported { id, is_duplicate, message, checksum } = import(target, document)?;
    Ok(TableIterator::once((uuid(&id)?, is_duplicate, message, checksum)))
}

/// `commit_document` for workouts. `parsed_workout`: an object with `workout_date` (YYYY-MM-DD); `title` becomes
/// session_title; `athlete_id` counts only where the import has none.
///
/// # Errors
/// As `commit_document`.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn commit_workout_idempotent(
    draft_id: Option<Uuid>,
    parsed_workout: Option<Jsonb>,
    target: default!(Option<String>, "'imports'"),
) -> std::result::Result<
    TableIterator<'static, (name!(workout_id, Uuid), name!(is_duplicate, bool), name!(message, String))>,
    ErrorReport,
> {
    let draft = draft_id.ok_or_else(|| null("draft_id"))?.to_string();
    let Committed { id, is_duplicate } =
        commit(target, draft, "uuid", parsed_workout.ok_or_else(|| null("parsed_workout"))?)?;
    let message = if is_duplicate {
        "Duplicate workout detected. Same athlete/date/content already exists"
    } else {
        "New workout committed"
    };
    Ok(TableIterator::once((uuid(&id)?, is_duplicate, message.into())))
}

/// Whether a content is there, by its checksum: one row, with the oldest import that has it.
///
/// `checksum`: SHA-256 in hex, of either case. `athlete_id`: whose; NULL for anyone's.
///
/// # Errors
/// `22004` for a NULL checksum; `42704`, `42809`, `42P10`, `42501` for a target that can't be used.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn check_import_duplicate(
    checksum: Option<String>,
    athlete_id: default!(Option<Uuid>, "NULL"),
    target: default!(Option<String>, "'imports'"),
) -> std::result::Result<
    TableIterator<
        'static,
        (
            name!(exists, bool),
            name!(import_id, Option<Uuid>),
            name!(received_at, Option<TimestampWithTimeZone>),
            name!(athlete_id, Option<Uuid>),
            name!(source, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let checksum = checksum.ok_or_else(|| null("checksum"))?.to_ascii_lowercase();
    let (target, _) = Target::open(target, Purpose::Read)?;
    let args = [athlete_id.map(|id| id.to_string()).into(), checksum.into()];
    let found = spi::read(&target.statements.find_any(athlete_id.is_some()), &args, |row| {
        Ok((row.need::<String>(1)?, row.get(2)?, row.get::<String>(3)?, row.get(4)?))
    })?;
    Ok(TableIterator::once(match found.into_iter().next() {
        Some((id, received_at, athlete, source)) => {
            (true, Some(uuid(&id)?), received_at, athlete.as_deref().map(uuid).transpose()?, source)
        }
        None => (false, None, None, None, None),
    }))
}

/// Whether an athlete has a workout of this content on that day: one row.
///
/// # Errors
/// `22004` for a NULL; `55000` for a target without records; `42704`, `42809`, `42P10`, `42501` for one that can't be
/// used.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn check_workout_duplicate(
    athlete_id: Option<Uuid>,
    workout_date: Option<Date>,
    content_hash: Option<String>,
    target: default!(Option<String>, "'imports'"),
) -> std::result::Result<
    TableIterator<
        'static,
        (
            name!(exists, bool),
            name!(workout_id, Option<Uuid>),
            name!(created_at, Option<TimestampWithTimeZone>),
            name!(session_title, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let athlete = athlete_id.ok_or_else(|| null("athlete_id"))?.to_string();
    let day = workout_date.ok_or_else(|| null("workout_date"))?;
    let content_hash = content_hash.ok_or_else(|| null("content_hash"))?;
    let (target, _) = Target::open(target, Purpose::ReadRecords)?;
    let commits = target.commits()?;
    if !matches!(commits.key_fields().as_slice(), [day] if day.sql_type == "date") {
        return Err(OnceError::NoDay { target: target.name.clone(), key: quote_list(&commits.records.key) }.into());
    }
    let sql = commits.find_shown("title");
    let found = spi::read(&sql, &[athlete.into(), content_hash.into(), day.into()], |row| {
        Ok((row.need::<String>(1)?, row.get(2)?, row.get(3)?))
    })?;
    Ok(TableIterator::once(match found.into_iter().next() {
        Some((id, created_at, title)) => (true, Some(uuid(&id)?), created_at, title),
        None => (false, None, None, None),
    }))
}

/// # Errors
/// `42804` where the target's ids are no uuids: `import_document` and `commit_document` give ids of any type.
fn uuid(text: &str) -> Result<Uuid> {
    let read = uuid::Uuid::parse_str(text).map_err(|_| OnceError::NotAUuid { id: text.into() })?;
    Ok(Uuid::from_bytes(*read.as_bytes()))
}
