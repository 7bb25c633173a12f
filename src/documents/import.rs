//! Takes a document in, unless it is there.

use super::target::{Purpose, Target};
use super::value;
use crate::backend::TextArray;
use crate::error::{OnceError, Result};
use crate::spi;
use once_core::document::{Checksum, Normalizer, checksum};
use once_core::spec::ARCHIVED;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Postgres builds a row in memory whole, and takes no more than 1 GiB for it.
const LONGEST: usize = 1_000_000_000;

/// How often a document that is neither new nor to be found is tried again: it may have been deleted in between.
pub const ATTEMPTS: u32 = 5;

/// A document that came in.
pub struct Document<'a> {
    pub owner: Option<String>,
    /// What type the owner is known to be a value of.
    pub owner_type: &'static str,
    pub content: &'a str,
    pub source: Option<String>,
    pub source_ref: Option<String>,
    pub tags: Option<TextArray>,
}

/// What became of a document.
pub struct Imported {
    pub id: String,
    pub is_duplicate: bool,
    pub message: String,
    pub checksum: String,
}

/// Takes a document in: inserts it, or finds it where the same owner has the same content already.
///
/// `target`: a target of kind document. `owner`: whose it is, the scope column's value as text; NULL where nobody
/// knows, and where the target has no scope. `content`: the text, kept as it is. `source`: where it comes from.
/// `source_ref`: which one there, or NULL. `tags`: NULL means none. Gives one row: the document's id as text, whether it
/// was there already, a message, and the checksum of the normalised content.
///
/// # Errors
/// `22004` for a NULL target, content or source; `22023` for blank content, the tag duplicate_archived, an owner where
/// the target has no scope; `54000` for content above 1,000,000,000 bytes; `42704`, `42809`, `42P10`, `42501` for a
/// target that can't be used.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn import_document(
    target: Option<String>,
    owner: Option<String>,
    content: Option<&str>,
    source: Option<String>,
    source_ref: default!(Option<String>, "NULL"),
    tags: default!(Option<TextArray>, "'{}'"),
) -> std::result::Result<
    TableIterator<
        'static,
        (name!(document_id, String), name!(is_duplicate, bool), name!(message, String), name!(checksum, String)),
    >,
    ErrorReport,
> {
    let content = content.ok_or(OnceError::NullArgument { name: "content".into() })?;
    let document = Document { owner, owner_type: "text", content, source, source_ref, tags };
    let Imported { id, is_duplicate, message, checksum } = import(target, document)?;
    Ok(TableIterator::once((id, is_duplicate, message, checksum)))
}

/// The checksum by which a content is found again: SHA-256 of its normalised text, as 64 lower-case hex digits.
///
/// `normalizer`: `whitespace`, `keep_lines` or `exact`. NULL content gives NULL. STABLE, because a later version of a
/// normaliser may give another one: no index can be built on it.
///
/// # Errors
/// `22004` for a NULL normalizer, `22023` for an unknown one.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn document_checksum(
    content: Option<&str>,
    normalizer: default!(Option<String>, "'whitespace'"),
) -> std::result::Result<Option<String>, ErrorReport> {
    let given = normalizer.ok_or(OnceError::NullArgument { name: "normalizer".into() })?;
    let normalizer = Normalizer::parse(&given).ok_or(OnceError::UnknownNormalizer { given })?;
    Ok(content.map(|content| hashed(content, normalizer).hex))
}

/// A long content is hashed for a second: a cancel must not wait for it.
fn hashed(content: &str, normalizer: Normalizer) -> Checksum {
    checksum(content, normalizer, &mut || {
        pgrx::check_for_interrupts!();
    })
}

pub fn import(target: Option<String>, document: Document) -> Result<Imported> {
    let Document { owner, owner_type, content, source, source_ref, tags } = document;
    let source = source.ok_or(OnceError::NullArgument { name: "source".into() })?;
    let bytes = [content.len(), source.len(), source_ref.as_ref().map_or(0, String::len)].iter().sum();
    if bytes > LONGEST {
        return Err(OnceError::LongContent { bytes, most: LONGEST });
    }
    if tags.is_some_and(|tags| tags.contains(ARCHIVED)) {
        return Err(OnceError::ReservedTag { tag: ARCHIVED });
    }
    let (target, grown) = Target::open(target, Purpose::Import)?;
    let documents = &target.statements;
    match (&documents.scope, &owner) {
        (None, Some(given)) => {
            return Err(OnceError::NoScope { target: target.name.clone(), given: given.clone() });
        }
        (Some(scope), None) if !documents.scope_may_be_null => {
            return Err(OnceError::NullArgument { name: scope.name.clone() });
        }
        (Some(scope), Some(owner)) => value::require("owner", owner, owner_type, scope)?,
        _ => {}
    }
    let normalizer = documents.spec.normalizer;
    let sum = hashed(content, normalizer);
    if sum.blank {
        return Err(OnceError::BlankContent { bytes: content.len() });
    }

    let values: [spi::Arg; 7] = [
        owner.clone().into(),
        content.into(),
        sum.hex.as_str().into(),
        normalizer.version().into(),
        source.into(),
        source_ref.into(),
        tags.map_or_else(|| Vec::<String>::new().into(), Into::into),
    ];
    for _ in 0..ATTEMPTS {
        let inserted = spi::known_fresh(&target.insert, &values, |row| row.need::<String>(1))?;
        if let Some(id) = inserted.into_iter().next() {
            let message = "New import created".into();
            return Ok(Imported { id, is_duplicate: false, message, checksum: sum.hex });
        }
        // A statement of its own: it sees who was first, even if he was not done when ours began.
        let found = spi::known_fresh(
            target.find(owner.is_some(), grown),
            &[owner.clone().into(), sum.hex.as_str().into()],
            |row| Ok((row.need::<String>(1)?, row.need::<String>(2)?)),
        )?;
        if let Some((id, received_at)) = found.into_iter().next() {
            let message = format!("Duplicate import detected. Returning existing import from {received_at}");
            return Ok(Imported { id, is_duplicate: true, message, checksum: sum.hex });
        }
    }
    Err(OnceError::OutOfReach { relation: documents.relation.clone() })
}
