//! The spec of a target: what `create_target` takes, checked before any table is looked at.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a target is to be written to. Field by field as users declare it in `create_target`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The columns that tell one row from another, within the scope.
    pub key: Vec<String>,
    /// The tenant column; none where the whole table belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The staging table's name, in the schema of the target; `<table>_staging` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<String>,
    /// The uuid column that carries the job's id on every row it wrote.
    #[serde(default = "default_job_column")]
    pub job_column: String,
    /// A boolean column: a row where it is true is never deleted by a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect: Option<String>,
    /// What is copied from staging besides the scope and the key; when left out, every column that
    /// an import can fill: all but generated, identity and defaulted ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Copied columns that may be neither NULL nor blank; the key always may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Other names that files give to copied columns: the files' name first, as `{"batch_id": "batch_code"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
}

/// Columns that every staging table has of its own, and that a target can't copy therefore.
pub const STAGING_COLUMNS: [&str; 3] = ["row_number", "internal_dup", "existing_dup"];

const FIELDS: [&str; 8] = ["key", "scope", "staging", "job_column", "protect", "columns", "required", "aliases"];

fn default_job_column() -> String {
    "import_job_id".into()
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
        let value: Value = serde_json::from_str(json)
            .map_err(|e| wrong("spec", format!("the spec can't be read: {e}"), "Write it as one JSON object."))?;
        let Value::Object(fields) = &value else {
            return Err(wrong("spec", "the spec is not a JSON object", r#"Write it as {"key": ["code"], …}."#));
        };
        Self::check_types(fields)?;
        let spec: Spec = serde_json::from_value(value)
            .map_err(|e| wrong("spec", e.to_string(), "See the fields of a spec in the docs."))?;
        spec.check_sense()?;
        Ok(spec)
    }

    /// Field by field before the whole, because serde's own message does not name the field.
    fn check_types(fields: &Map<String, Value>) -> Result<(), SpecError> {
        for (field, value) in fields {
            match field.as_str() {
                "key" | "columns" | "required" => {
                    typed::<Vec<String>>(field, value, r#"a list of column names, as ["code"]"#)?;
                }
                "aliases" => {
                    typed::<BTreeMap<String, String>>(
                        field,
                        value,
                        r#"an object of names in files and columns, as {"batch_id": "batch_code"}"#,
                    )?;
                }
                "scope" | "staging" | "job_column" | "protect" => {
                    typed::<String>(field, value, r#"one name, as "merchant_id""#)?;
                }
                _ => {
                    return Err(wrong(
                        field,
                        format!("the spec has no field \"{field}\""),
                        format!("The fields are {}.", FIELDS.join(", ")),
                    ));
                }
            }
        }
        if !fields.contains_key("key") {
            return Err(wrong(
                "key",
                "the spec names no key",
                r#"Add the columns that tell one row from another, as "key": ["code"]."#,
            ));
        }
        Ok(())
    }

    fn check_sense(&self) -> Result<(), SpecError> {
        if self.key.is_empty() {
            return Err(wrong("key", "the key has no column", r#"Name at least one, as "key": ["code"]."#));
        }
        let columns = self.columns.as_deref().unwrap_or_default();
        for (field, names) in [("key", self.key.as_slice()), ("columns", columns), ("required", &self.required)] {
            if let Some(twice) = first_repeated(names) {
                return Err(wrong(field, format!("column \"{twice}\" is named twice"), "Name it once."));
            }
        }
        for (field, name) in
            [("scope", self.scope.as_ref()), ("job_column", Some(&self.job_column)), ("protect", self.protect.as_ref())]
        {
            let Some(name) = name else { continue };
            if self.key.contains(name) {
                return Err(wrong(
                    field,
                    format!("column \"{name}\" is in the key too"),
                    format!("Leave it out of \"key\": the {field} stands beside the key."),
                ));
            }
        }
        for (field, names) in [("key", self.key.as_slice()), ("columns", columns), ("scope", self.scope.as_slice())] {
            if let Some(name) = names.iter().find(|name| STAGING_COLUMNS.contains(&name.as_str())) {
                return Err(wrong(
                    field,
                    format!("every staging table has a column \"{name}\" of its own"),
                    "Give your column another name.",
                ));
            }
        }
        if self.columns.is_some()
            && let Some(name) = self.required.iter().find(|name| !columns.contains(name) && !self.key.contains(name))
        {
            return Err(wrong(
                "required",
                format!("column \"{name}\" is not copied from staging"),
                format!("Name \"{name}\" in \"columns\" too."),
            ));
        }
        if self.scope.as_ref() == Some(&self.job_column) {
            return Err(wrong("job_column", "the job's column is the scope's", "Name a uuid column of its own."));
        }
        for name in [Some(&self.job_column), self.protect.as_ref()].into_iter().flatten() {
            if columns.contains(name) {
                return Err(wrong(
                    "columns",
                    format!("column \"{name}\" is not copied from staging"),
                    format!("Leave \"{name}\" out of \"columns\": pg_once or your application sets it."),
                ));
            }
        }
        Ok(())
    }
}

fn typed<T: DeserializeOwned>(field: &str, value: &Value, expected: &str) -> Result<T, SpecError> {
    serde_json::from_value(value.clone())
        .map_err(|e| wrong(field, format!("field \"{field}\" is of the wrong type: {e}"), format!("Give {expected}.")))
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
        let spec = Spec::parse(r#"{"key": ["code"]}"#).unwrap();
        assert_eq!(spec.job_column, "import_job_id");
        assert_eq!((spec.scope, spec.staging, spec.columns), (None, None, None));
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
    }

    #[test]
    fn a_spec_survives_its_own_json() {
        let text = r#"{"key": ["a", "B c"], "scope": "t", "staging": "x", "protect": "p", "columns": ["v"], "required": ["v"]}"#;
        let spec = Spec::parse(text).unwrap();
        assert_eq!(Spec::parse(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
    }
}
