//! Commits what was parsed from a document as a record, unless it is there.

use super::import::ATTEMPTS;
use super::target::{Purpose, Target};
use super::value;
use crate::backend::Jsonb;
use crate::error::{OnceError, Result};
use crate::spi::{self, Arg};
use once_core::document::statements::{Commits, Typed, iso_form};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// What became of what was parsed.
pub struct Committed {
    pub id: String,
    pub is_duplicate: bool,
}

/// The document that a draft is of.
struct Origin {
    document: String,
    scope: Option<String>,
    checksum: Option<String>,
}

/// Commits a draft: inserts the record of what was parsed, or finds it where the draft was committed before or the same
/// owner has a record of the same key and content already.
///
/// `target`: a target of kind document that has drafts and records. `draft`: the draft's id as text. `parsed`: a JSON
/// object, kept whole; the target's spec says which of its fields fill columns. Gives one row: the record's id as text,
/// whether it was there already, and a message.
///
/// # Errors
/// `22004` for a NULL, and for a field of the key that is missing; `22023` for JSON that is no object and for an owner
/// that is not the document's; `22007`, `22008`, `22P02` for fields that are no value of their column; `P0002` for an
/// unknown draft; `55000` for a document without a checksum and a target without records; `42704`, `42809`, `42P10`,
/// `42501` for a target that can't be used.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn commit_document(
    target: Option<String>,
    draft: Option<String>,
    parsed: Option<Jsonb>,
) -> std::result::Result<
    TableIterator<'static, (name!(record_id, String), name!(is_duplicate, bool), name!(message, String))>,
    ErrorReport,
> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let (draft, parsed) = (draft.ok_or_else(|| null("draft"))?, parsed.ok_or_else(|| null("parsed"))?);
    let Committed { id, is_duplicate } = commit(target, draft, "text", parsed)?;
    let message = if is_duplicate {
        "Duplicate record detected. Same owner/key/content already exists"
    } else {
        "New record committed"
    };
    Ok(TableIterator::once((id, is_duplicate, message.into())))
}

/// `draft_type`: what type the draft's id is known to be a value of.
pub fn commit(target: Option<String>, draft: String, draft_type: &str, parsed: Jsonb) -> Result<Committed> {
    let (target, _) = Target::open(target, Purpose::Commit)?;
    let commits = target.commits()?;
    let kind: String = spi::known_one(Commits::typeof_parsed(), &[parsed.into()], |row| row.need(1))?;
    if kind != "object" {
        return Err(OnceError::NotAnObject { kind });
    }
    value::require("draft", &draft, draft_type, &commits.draft_id)?;
    let given = Fields::read(commits, parsed)?;

    for attempt in 1..=ATTEMPTS {
        let origin = origin(&target, &draft)?;
        let of_draft = of_draft(commits, &draft)?;
        let scope = owner(&target, &origin, of_draft.as_ref(), &given)?;
        let Some(checksum) = origin.checksum else {
            return Err(OnceError::NoChecksum {
                document: origin.document,
                relation: commits.documents.relation.clone(),
            });
        };
        let mut key: Vec<Arg> = vec![scope.clone().into(), checksum.into()];
        key.extend(commits.key_fields().into_iter().map(|field| given.of(commits, field).into()));
        let find = commits.find_of_key();
        let of_key = |key: &[Arg]| spi::fresh(&find, key, |row| row.need::<String>(1)).map(|mut found| found.pop());
        if let Some(OfDraft { id, .. }) = of_draft {
            if of_key(&key)?.as_ref() != Some(&id) {
                spi::notice(
                    format!(
                        "draft {draft} was committed before, as {id} with another {}",
                        commits.records.key.join(", ")
                    ),
                    "A draft is committed once. Change that record itself, or make another draft.".into(),
                );
            }
            return Ok(Committed { id, is_duplicate: true });
        }

        // At last, whatever keeps the record out is to say so itself, unless its rows are hidden from us.
        let or_fail = attempt == ATTEMPTS && !target.hides_records()?;
        let mut values: Vec<Arg> = vec![draft.as_str().into(), scope.into(), parsed.into()];
        values.extend(given.values.iter().map(|value| value.clone().into()));
        let inserted = spi::fresh(&commits.insert(or_fail), &values, |row| row.need::<String>(1))?;
        if let Some(id) = inserted.into_iter().next() {
            return Ok(Committed { id, is_duplicate: false });
        }
        if let Some(id) = of_key(&key)? {
            return Ok(Committed { id, is_duplicate: true });
        }
    }
    Err(OnceError::OutOfReach { relation: commits.records_relation() })
}

fn origin(target: &Target, draft: &str) -> Result<Origin> {
    let commits = target.commits()?;
    let found = spi::fresh(&commits.document_of_draft(), &[draft.into()], |row| {
        Ok(Origin { document: row.need(1)?, scope: row.get(2)?, checksum: row.get(3)? })
    })?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| OnceError::UnknownDraft { draft: draft.into(), relation: commits.drafts_relation() })
}

/// The record that a draft was committed as.
struct OfDraft {
    id: String,
    scope: Option<String>,
}

fn of_draft(commits: &Commits, draft: &str) -> Result<Option<OfDraft>> {
    let found = spi::fresh(&commits.find_of_draft(), &[draft.into()], |row| {
        Ok(OfDraft { id: row.need(1)?, scope: row.get(2)? })
    })?;
    Ok(found.into_iter().next())
}

/// Whose the record is: the document's owner; where nobody knows him, the one for whom the draft was committed before,
/// or else the one that was parsed.
fn owner(target: &Target, origin: &Origin, before: Option<&OfDraft>, given: &Fields) -> Result<Option<String>> {
    let Some(scope) = &target.statements.scope else { return Ok(None) };
    let draft = before.and_then(|record| record.scope.as_ref());
    match (origin.scope.as_ref().or(draft), &given.scope) {
        (Some(known), Some(parsed)) if known != parsed => Err(OnceError::OtherOwner {
            column: scope.name.clone(),
            document: origin.document.clone(),
            known: known.clone(),
            parsed: parsed.clone(),
        }),
        (Some(owner), _) | (None, Some(owner)) => Ok(Some(owner.clone())),
        (None, None) => Err(OnceError::NoOwner { column: scope.name.clone(), document: origin.document.clone() }),
    }
}

/// The fields of what was parsed that fill columns, each a value of its column's type as text.
struct Fields {
    scope: Option<String>,
    /// In the order of `Commits::fields`.
    values: Vec<Option<String>>,
}

impl Fields {
    fn read(commits: &Commits, parsed: Jsonb) -> Result<Self> {
        let mut columns: Vec<(&Typed, &str)> =
            commits.fields.iter().zip(commits.records.fields.values()).map(|(c, field)| (c, field.as_str())).collect();
        columns.extend(commits.documents.scope.iter().map(|scope| (scope, scope.name.as_str())));
        let names: Vec<String> = columns.iter().map(|(_, field)| field.to_string()).collect();
        let found = spi::known(Commits::fields_of_parsed(), &[parsed.into(), names.into()], |row| {
            Ok((row.get::<String>(1)?, row.get::<String>(2)?))
        })?;
        let mut values = Vec::new();
        for ((column, field), (kind, value)) in columns.iter().zip(found) {
            let required = commits.records.key.contains(&column.name);
            values.push(read_field(column, field, kind, value, required)?);
        }
        let scope = match (&commits.documents.scope, values.pop_if(|_| commits.documents.scope.is_some()).flatten()) {
            // A scope's types write a value in one way, whatever the session: it can be compared as text.
            (Some(column), Some(given)) => Some(spi::known_one(
                &format!("SELECT CAST($1 AS {})::text", column.sql_type),
                &[given.into()],
                |row| row.need(1),
            )?),
            _ => None,
        };
        Ok(Self { scope, values })
    }

    fn of(&self, commits: &Commits, field: &Typed) -> Option<String> {
        let at = commits.fields.iter().position(|f| f == field)?;
        self.values.get(at).cloned().flatten()
    }
}

fn read_field(
    column: &Typed,
    field: &str,
    kind: Option<String>,
    value: Option<String>,
    required: bool,
) -> Result<Option<String>> {
    let Some(value) = value else {
        return if required { Err(OnceError::MissingField { field: field.into() }) } else { Ok(None) };
    };
    let kind = kind.unwrap_or_default();
    let form = iso_form(&column.sql_type);
    let bad = |sqlstate: &str, problem: String| {
        let must = form.map_or(format!("a value of type {}", column.sql_type), |(_, words)| words.into());
        OnceError::BadField { sqlstate: sqlstate.into(), field: field.into(), value: value.clone(), problem, must }
    };
    if kind == "object" || kind == "array" {
        return Err(bad("22023", format!("it is an {kind}")));
    }
    if let Some((pattern, words)) = form
        && !spi::known_one("SELECT $1 ~ $2", &[value.as_str().into(), pattern.into()], |row| row.need::<bool>(1))?
    {
        return Err(bad("22007", format!("it is not {words}")));
    }
    // A cast would cut it, where the column refuses it.
    if column.sql_type == "character varying" {
        let fits = format!("SELECT CAST($1 AS {})::text = $1", column.stored_type);
        if !spi::known_one(&fits, &[value.as_str().into()], |row| row.need::<bool>(1))? {
            return Err(bad("22001", format!("it is too long for {}", column.stored_type)));
        }
    }
    match value::fault(&value, &column.stored_type)? {
        Some(error) => Err(bad(&error.sqlstate, error.message)),
        // As it was written: what a type writes depends on the session.
        None => Ok(Some(value)),
    }
}
