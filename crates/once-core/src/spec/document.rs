//! The spec of a target that takes documents in: raw texts, each once, and the records that are parsed from them.

use super::{SpecError, first_repeated, require_fields, typed, wrong};
use crate::document::Normalizer;
use crate::ident::{Relation, quote, quote_list};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a document is tagged with that repeats an older one from before there was a key: it stands outside the key.
pub const ARCHIVED: &str = "duplicate_archived";

/// Which columns of a table hold a document and what is known of it. Names that are left out are the fields' own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentSpec {
    /// The column of whom a document belongs to; none where the whole table belongs to one. NULL, an unknown owner, is
    /// an owner like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(default = "names::id")]
    pub id: String,
    /// The text exactly as it was received.
    #[serde(default = "names::content")]
    pub content: String,
    /// The SHA-256 of the normalised text, 64 lower-case hex digits.
    #[serde(default = "names::checksum_sha256")]
    pub checksum: String,
    /// How texts are made comparable.
    #[serde(default)]
    pub normalizer: Normalizer,
    /// The column that says which normaliser, in which version, a checksum is of.
    #[serde(default = "names::normalizer_version")]
    pub normalizer_version: String,
    #[serde(default = "names::source")]
    pub source: String,
    #[serde(default = "names::source_ref")]
    pub source_ref: String,
    #[serde(default = "names::tags")]
    pub tags: String,
    #[serde(default = "names::received_at")]
    pub received_at: String,
    /// What is being parsed from documents; many a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafts: Option<Drafts>,
    /// What was parsed from documents, committed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
}

/// A table beside the documents, of drafts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drafts {
    pub table: String,
    #[serde(default = "names::id")]
    pub id: String,
    /// The column that names the draft's document.
    #[serde(default = "names::document_id")]
    pub document: String,
}

/// A table beside the documents, of records: unique by scope, key and content hash. Its scope column has the name that
/// the documents' has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    pub table: String,
    #[serde(default = "names::id")]
    pub id: String,
    /// The columns that name the document and the draft that a record comes from.
    #[serde(default = "names::document_id")]
    pub document: String,
    #[serde(default = "names::draft_id")]
    pub draft: String,
    /// The checksum of the document.
    #[serde(default = "names::content_hash")]
    pub content_hash: String,
    /// All that was parsed, as jsonb.
    #[serde(default = "names::parsed")]
    pub parsed: String,
    #[serde(default = "names::created_at")]
    pub created_at: String,
    /// Columns that are filled from top-level fields of what was parsed: `{"session_title": "title"}`.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Those of them that tell the records of one content from each other, and can't be left out.
    #[serde(default)]
    pub key: Vec<String>,
}

/// The names that columns have where a spec does not say.
mod names {
    macro_rules! names { ($($name:ident)*) => { $(pub fn $name() -> String { stringify!($name).into() })* } }
    names!(id content checksum_sha256 normalizer_version source source_ref tags received_at);
    names!(document_id draft_id content_hash parsed created_at);
}

const FIELDS: [&str; 12] = [
    "scope",
    "id",
    "content",
    "checksum",
    "normalizer",
    "normalizer_version",
    "source",
    "source_ref",
    "tags",
    "received_at",
    "drafts",
    "records",
];

impl DocumentSpec {
    /// Reads the fields of a spec.
    ///
    /// # Errors
    /// The first field that is unknown, of the wrong type, or at odds with another one.
    pub(super) fn read(fields: Map<String, Value>) -> Result<Self, SpecError> {
        require_fields(&fields, &FIELDS)?;
        for (field, value) in &fields {
            match field.as_str() {
                "normalizer" => {
                    typed::<Normalizer>(field, value, &format!("one of {}", Normalizer::NAMES.join(", "))).map(drop)?
                }
                "drafts" => typed::<Drafts>(field, value, r#"an object, as {"table": "drafts"}"#).map(drop)?,
                "records" => typed::<Records>(field, value, r#"an object, as {"table": "records"}"#).map(drop)?,
                _ => typed::<String>(field, value, r#"one name, as "athlete_id""#).map(drop)?,
            }
        }
        let spec: Self = serde_json::from_value(Value::Object(fields))
            .map_err(|e| wrong("spec", e.to_string(), "See the fields of a spec in the docs."))?;
        spec.check_sense()?;
        Ok(spec)
    }

    fn check_sense(&self) -> Result<(), SpecError> {
        require_apart("content", &self.columns())?;
        match (&self.drafts, &self.records) {
            (Some(_), None) => Err(wrong("records", "drafts lead to nothing", r#"Name the "records" too."#)),
            (None, Some(_)) => Err(wrong("drafts", "records are committed from drafts", r#"Name the "drafts" too."#)),
            (Some(_), Some(records)) => {
                let columns: Vec<String> = self.scope.iter().cloned().chain(records.columns()).collect();
                require_apart("records", &columns)?;
                match records.key.iter().find(|name| !records.fields.contains_key(*name)) {
                    None => Ok(()),
                    Some(name) => Err(wrong(
                        "records",
                        format!("column \"{name}\" of the key is filled by nothing"),
                        format!("Say in \"fields\" which field of what was parsed it takes, as {{\"{name}\": \"…\"}}."),
                    )),
                }
            }
            (None, None) => Ok(()),
        }
    }

    /// The columns of the documents' unique key: by the checksum first, so that it is found whoever has it.
    pub fn key(&self) -> Vec<String> {
        std::iter::once(&self.checksum).chain(&self.scope).cloned().collect()
    }

    /// What is in the key, as its index says it. Never NULL as `= ANY` would be where a tag is, and the row outside.
    pub fn unarchived(&self) -> String {
        format!("NOT ({} @> ARRAY['{ARCHIVED}'::text])", quote(&self.tags))
    }

    /// The index of that key, for the table `relation`.
    pub fn unique_index(&self, relation: &Relation) -> String {
        format!(
            "CREATE UNIQUE INDEX ON {relation} ({}) NULLS NOT DISTINCT WHERE {}",
            quote_list(&self.key()),
            self.unarchived()
        )
    }

    /// The columns that tell one record from another, and the one by which a draft is committed once: that without the
    /// scope, for whoever knows the draft may know of its record.
    pub fn record_keys(&self, records: &Records) -> [Vec<String>; 2] {
        let content = self.scope.iter().chain(&records.key).chain([&records.content_hash]).cloned().collect();
        [content, vec![records.draft.clone()]]
    }

    /// All columns of the table that the spec names.
    pub fn columns(&self) -> Vec<String> {
        let others = [
            &self.id,
            &self.content,
            &self.checksum,
            &self.normalizer_version,
            &self.source,
            &self.source_ref,
            &self.tags,
            &self.received_at,
        ];
        self.scope.iter().chain(others).cloned().collect()
    }
}

impl Records {
    /// The columns that the spec names, but for the scope's.
    pub fn columns(&self) -> Vec<String> {
        let own = [&self.id, &self.document, &self.draft, &self.content_hash, &self.parsed, &self.created_at];
        own.into_iter().chain(self.fields.keys()).cloned().collect()
    }
}

fn require_apart(field: &str, columns: &[String]) -> Result<(), SpecError> {
    match first_repeated(columns) {
        None => Ok(()),
        Some(name) => {
            Err(wrong(field, format!("column \"{name}\" is named for two things"), "Name a column for each."))
        }
    }
}
