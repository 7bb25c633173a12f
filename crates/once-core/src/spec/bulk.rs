//! The spec of a target that takes rows in bulk, through a staging table.

use super::{SpecError, first_repeated, require_fields, typed, wrong};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a target is to be written to. Field by field as users declare it in `create_target`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkSpec {
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

impl BulkSpec {
    /// Reads the fields of a spec.
    ///
    /// # Errors
    /// The first field that is unknown, of the wrong type, or at odds with another one.
    pub(super) fn read(fields: Map<String, Value>) -> Result<Self, SpecError> {
        Self::check_types(&fields)?;
        let spec: Self = serde_json::from_value(Value::Object(fields))
            .map_err(|e| wrong("spec", e.to_string(), "See the fields of a spec in the docs."))?;
        spec.check_sense()?;
        Ok(spec)
    }

    /// Field by field before the whole, because serde's own message does not name the field.
    fn check_types(fields: &Map<String, Value>) -> Result<(), SpecError> {
        require_fields(fields, &FIELDS)?;
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
                _ => {
                    typed::<String>(field, value, r#"one name, as "merchant_id""#)?;
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
