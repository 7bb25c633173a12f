//! The spec of a target: what `create_target` takes, checked before any table is looked at. A file a kind.

mod bulk;
mod document;
mod rows;

pub use bulk::{BulkSpec, STAGING_COLUMNS};
pub use document::{ARCHIVED, DocumentSpec, Drafts, Records};
pub use rows::{Ambiguous, Blank, Invalid, Link, Merge, Missing, Normalize, OnError, OnMatch, Reference, RowsSpec};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// How a target is to be written to. Field by field as users declare it; its field "kind" says which it is, or
/// what only one kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // one at a time is about
pub enum Spec {
    Bulk(BulkSpec),
    Document(DocumentSpec),
    Rows(RowsSpec),
}

/// What is wrong with a spec: in which field, and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct SpecError {
    pub field: String,
    pub problem: String,
    pub remedy: String,
}

/// An error about one field of a spec.
pub fn wrong(field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> SpecError {
    SpecError { field: field.into(), problem: problem.into(), remedy: remedy.into() }
}

impl Spec {
    /// Reads a spec from JSON text.
    ///
    /// # Errors
    /// The first field that is unknown, of the wrong type, or at odds with another one.
    pub fn parse(json: &str) -> Result<Self, SpecError> {
        let mut fields = object(json, r#"Write it as {"key": ["code"], …}."#)?;
        match fields.remove("kind") {
            None if fields.contains_key("match") => Ok(Self::Rows(RowsSpec::read(fields)?)),
            None => Ok(Self::Bulk(BulkSpec::read(fields)?)),
            Some(Value::String(kind)) if kind == "bulk" => Ok(Self::Bulk(BulkSpec::read(fields)?)),
            Some(Value::String(kind)) if kind == "document" => Ok(Self::Document(DocumentSpec::read(fields)?)),
            Some(Value::String(kind)) if kind == "rows" => Ok(Self::Rows(RowsSpec::read(fields)?)),
            Some(kind) => Err(wrong(
                "kind",
                format!("there is no kind of target {kind}"),
                r#"The kinds are "bulk", "document" and "rows"."#,
            )),
        }
    }

    /// The spec as JSON text, which `parse` reads.
    pub fn to_json(&self) -> String {
        let (kind, fields) = match self {
            Self::Bulk(spec) => (None, serde_json::to_value(spec)),
            Self::Document(spec) => (Some("document"), serde_json::to_value(spec)),
            Self::Rows(spec) => (Some("rows"), serde_json::to_value(spec)),
        };
        // Structs of names always have a JSON form.
        let mut value = fields.unwrap_or_default();
        if let (Some(kind), Value::Object(fields)) = (kind, &mut value) {
            fields.insert("kind".into(), kind.into());
        }
        value.to_string()
    }

    /// What errors and `target_list` call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bulk(_) => "bulk",
            Self::Document(_) => "document",
            Self::Rows(_) => "rows",
        }
    }
}

/// The fields of a spec; `example` shows one to whom gave something else.
pub(crate) fn object(json: &str, example: &str) -> Result<Map<String, Value>, SpecError> {
    let value = serde_json::from_str(json)
        .map_err(|e| wrong("spec", format!("the spec can't be read: {e}"), "Write it as one JSON object."))?;
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(wrong("spec", "the spec is not a JSON object", example)),
    }
}

/// Field by field before the whole, because serde's own message does not name the field.
pub(crate) fn typed<T: DeserializeOwned>(field: &str, value: &Value, expected: &str) -> Result<T, SpecError> {
    serde_json::from_value(value.clone())
        .map_err(|e| wrong(field, format!("field \"{field}\" is of the wrong type: {e}"), format!("Give {expected}.")))
}

pub(crate) fn require_fields(given: &Map<String, Value>, known: &[&str]) -> Result<(), SpecError> {
    match given.keys().find(|field| !known.contains(&field.as_str())) {
        None => Ok(()),
        Some(field) => Err(wrong(
            field,
            format!("the spec has no field \"{field}\""),
            format!("The fields are {}.", known.join(", ")),
        )),
    }
}

fn first_repeated(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(json: &str) -> String {
        Spec::parse(json).unwrap_err().field
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let Ok(Spec::Bulk(spec)) = Spec::parse(r#"{"key": ["code"]}"#) else { panic!() };
        assert_eq!(spec.job_column, "import_job_id");
        assert_eq!((spec.scope, spec.staging, spec.columns), (None, None, None));

        let Ok(Spec::Document(spec)) = Spec::parse(r#"{"kind": "document", "content": "message"}"#) else { panic!() };
        let expected =
            ["id", "message", "checksum_sha256", "normalizer_version", "source", "source_ref", "tags", "received_at"];
        assert_eq!(spec.columns(), expected);
        assert_eq!((spec.scope, spec.drafts, spec.records), (None, None, None));
    }

    #[test]
    fn the_faulty_field_is_named() {
        assert_eq!(field_of(r#"{"key": ["code"], "kay": 1}"#), "kay");
        assert_eq!(field_of(r#"{"key": "code"}"#), "key");
        assert_eq!(field_of(r#"{"key": []}"#), "key");
        assert_eq!(field_of(r#"{"scope": "a"}"#), "key");
        assert_eq!(field_of(r#"{"key": ["a"], "scope": ["b"]}"#), "scope");
        assert_eq!(field_of(r#"{"key": ["a"], "scope": "a"}"#), "scope");
        assert_eq!(field_of(r#"{"key": ["a", "a"]}"#), "key");
        assert_eq!(field_of(r#"{"key": ["a"], "protect": "p", "columns": ["p"]}"#), "columns");
        assert_eq!(field_of(r#"{"key": ["a"], "columns": ["b"], "required": ["c"]}"#), "required");
        assert_eq!(field_of(r#"{"key": ["row_number"]}"#), "key");
        assert_eq!(field_of(r#"{"key": ["a"], "scope": "b", "job_column": "b"}"#), "job_column");
        assert_eq!(field_of("[1]"), "spec");
        assert_eq!(field_of(&"[".repeat(100_000)), "spec");
        assert_eq!(field_of(r#"{"kind": "documents"}"#), "kind");
        assert_eq!(field_of(r#"{"kind": 1, "key": ["code"]}"#), "kind");
    }

    #[test]
    fn the_faulty_field_of_a_document_is_named() {
        let field_of = |fields: &str| field_of(&format!(r#"{{"kind": "document", {fields}}}"#));
        assert_eq!(field_of(r#""key": ["code"]"#), "key");
        assert_eq!(field_of(r#""scope": ["a"]"#), "scope");
        assert_eq!(field_of(r#""normalizer": "lower""#), "normalizer");
        assert_eq!(field_of(r#""content": "source""#), "content");
        assert_eq!(field_of(r#""drafts": {}"#), "drafts");
        assert_eq!(field_of(r#""drafts": {"table": "d"}"#), "records");
        assert_eq!(field_of(r#""records": {"table": "r"}"#), "drafts");
        assert_eq!(field_of(r#""drafts": {"table": "d"}, "records": {"table": "r", "key": ["day"]}"#), "records");
        assert_eq!(field_of(r#""drafts": {"table": "d"}, "records": {"table": "r", "draft": "id"}"#), "records");
        let scope = r#""scope": "day", "drafts": {"table": "d"}, "records": {"table": "r", "fields": {"day": "day"}}"#;
        assert_eq!(field_of(scope), "records");
    }

    #[test]
    fn a_spec_survives_its_own_json() {
        let bulk = r#"{"key": ["a", "B c"], "scope": "t", "staging": "x", "protect": "p", "columns": ["v"], "required": ["v"]}"#;
        let document = r#"{"kind": "document", "scope": "o", "normalizer": "keep_lines", "drafts": {"table": "d"},
            "records": {"table": "r", "fields": {"day": "date", "title": "t"}, "key": ["day"]}}"#;
        for text in [bulk, document] {
            let spec = Spec::parse(text).unwrap();
            assert_eq!(Spec::parse(&spec.to_json()).unwrap(), spec);
        }
        let Ok(Spec::Bulk(spec)) = Spec::parse(bulk) else { panic!() };
        assert_eq!(serde_json::to_string(&spec).unwrap().len(), Spec::Bulk(spec).to_json().len());
    }
}
