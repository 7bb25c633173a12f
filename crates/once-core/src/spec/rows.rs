//! The spec of a target that takes rows of JSON: by which keys a row finds its record, and how the two are merged.

use super::{SpecError, first_repeated, require_fields, typed, wrong};
use crate::normalize::Normalizer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How rows find their records, and what they do to them. Field by field as users declare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsSpec {
    /// The keys, in order: each a list of columns that tells one record from another, within the scope.
    #[serde(rename = "match")]
    pub keys: Vec<Vec<String>>,
    /// The tenant column, which every row gives; none where the whole table belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Columns that must not contradict each other: where row and record both have a value and these differ, it is
    /// not the same one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirm: Vec<String>,
    /// What a column's values are brought to before anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub normalize: BTreeMap<String, Normalize>,
    /// Names under which a column's value may come in a row, besides and after the column's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Vec<String>>,
    /// A jsonb column that gets the fields of a row that nothing else takes, as one object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// Columns without which a row is rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// What becomes of a record's value when a row brings one; "*" speaks for all columns that are not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub merge: BTreeMap<String, Merge>,
    /// Columns that are filled with the id of a record of another target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, Reference>,
    /// Tables that link the record to values of the row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    #[serde(default)]
    pub on_match: OnMatch,
    #[serde(default)]
    pub ambiguous: Ambiguous,
    #[serde(default)]
    pub on_error: OnError,
    /// What blank texts are: nothing, or a value.
    #[serde(default)]
    pub blank: Blank,
    /// The time zone of times that name none.
    #[serde(default = "utc")]
    pub timezone: String,
    /// A boolean column: a record where it is true is never deleted or changed back by a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect: Option<String>,
    /// A uuid column that gets the job's id in every record that is inserted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_column: Option<String>,
    /// Columns that triggers of the table fill: no row does, and for a rollback they are no change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<String>,
    /// Tables beside it whose rows are parts of the record: their foreign keys (`ON DELETE CASCADE`) let a rollback delete both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The only columns that rows may fill; all that can be written when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
}

/// How a column is normalised, and what is kept beside the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NormalizeForm", into = "NormalizeFields")]
pub struct Normalize {
    pub normalizer: Normalizer,
    /// The column that keeps what was given.
    pub raw: Option<String>,
    /// The column that keeps which normaliser it was, in which version.
    pub version: Option<String>,
    /// Whether a value that is none costs the row, or only itself.
    pub invalid: Invalid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invalid {
    #[default]
    Reject,
    Null,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NormalizeForm {
    Name(String),
    Fields(NormalizeFields),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalizeFields {
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "is_reject")]
    invalid: Invalid,
}

fn is_reject(invalid: &Invalid) -> bool {
    *invalid == Invalid::Reject
}

impl TryFrom<NormalizeForm> for Normalize {
    type Error = String;

    fn try_from(form: NormalizeForm) -> Result<Self, String> {
        let fields = match form {
            NormalizeForm::Name(name) => {
                NormalizeFields { name: Some(name), phone: None, raw: None, version: None, invalid: Invalid::Reject }
            }
            NormalizeForm::Fields(fields) => fields,
        };
        let normalizer = match (&fields.name, &fields.phone) {
            (Some(name), None) => {
                Normalizer::named(name).ok_or_else(|| format!("there is no normaliser \"{name}\""))?
            }
            (None, Some(region)) => {
                Normalizer::phone(region).ok_or_else(|| format!("there is no region \"{region}\""))?
            }
            _ => return Err("it names one of \"as\" and \"phone\"".into()),
        };
        Ok(Self { normalizer, raw: fields.raw, version: fields.version, invalid: fields.invalid })
    }
}

impl From<Normalize> for NormalizeFields {
    fn from(normalize: Normalize) -> Self {
        let (name, phone) = match &normalize.normalizer {
            Normalizer::Phone { region } => (None, Some(region.clone())),
            other => (Some(other.name().to_string()), None),
        };
        Self { name, phone, raw: normalize.raw, version: normalize.version, invalid: normalize.invalid }
    }
}

/// What becomes of a record's value when a row brings another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// The row's, unless it has none.
    #[default]
    Coalesce,
    /// The row's, an explicit null too; a field that is left out changes nothing.
    Overwrite,
    /// The record's, unless it has none.
    Keep,
    Greatest,
    Least,
    /// All elements of both.
    Union,
    /// The row's, unless it is older by this column.
    Newest(String),
}

impl Merge {
    /// The column by which it is told which of two values is newer.
    pub fn clock(&self) -> Option<&str> {
        if let Self::Newest(clock) = self { Some(clock) } else { None }
    }
}

/// A column that is filled with the id of a record of another target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    pub target: String,
    /// The other target's columns, and the fields of the row that say which record is meant.
    pub by: BTreeMap<String, String>,
    #[serde(default)]
    pub missing: Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    Create,
    #[default]
    Reject,
}

/// An n:m table, unique by the columns that are named here: rows are added to it, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The table, in the schema of the target.
    pub table: String,
    /// Its column that gets the record's id.
    pub id: String,
    /// Its other columns, and the fields of the row that fill them; an array gives a link for each element.
    pub columns: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMatch {
    #[default]
    Update,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguous {
    #[default]
    Report,
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    #[default]
    Reject,
    Abort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blank {
    #[default]
    Null,
    Keep,
}

fn utc() -> String {
    "UTC".into()
}

const FIELDS: [&str; 20] = [
    "match",
    "scope",
    "confirm",
    "normalize",
    "fields",
    "rest",
    "required",
    "merge",
    "references",
    "links",
    "on_match",
    "ambiguous",
    "on_error",
    "blank",
    "timezone",
    "protect",
    "job_column",
    "derived",
    "details",
    "columns",
];

impl RowsSpec {
    /// Reads the fields of a spec.
    ///
    /// # Errors
    /// The first field that is unknown, of the wrong type, or at odds with another one.
    pub(super) fn read(fields: Map<String, Value>) -> Result<Self, SpecError> {
        require_fields(&fields, &FIELDS)?;
        for (field, value) in &fields {
            check_type(field, value)?;
        }
        if !fields.contains_key("match") {
            let remedy = r#"Add the columns by which a row finds its record, as "match": [["phone_no"]]."#;
            return Err(wrong("match", "the spec names no key", remedy));
        }
        let spec: Self = serde_json::from_value(Value::Object(fields))
            .map_err(|e| wrong("spec", e.to_string(), "See the fields of a spec in the docs."))?;
        spec.check_sense()?;
        Ok(spec)
    }

    fn check_sense(&self) -> Result<(), SpecError> {
        if self.keys.is_empty() || self.keys.iter().any(Vec::is_empty) {
            return Err(wrong("match", "a key has no column", r#"Name at least one, as "match": [["phone_no"]]."#));
        }
        for key in &self.keys {
            if let Some(twice) = first_repeated(key) {
                return Err(wrong("match", format!("column \"{twice}\" is named twice in a key"), "Name it once."));
            }
        }
        if self.keys.iter().enumerate().any(|(i, key)| self.keys[..i].contains(key)) {
            return Err(wrong("match", "a key is named twice", "Name it once."));
        }
        for (field, names) in
            [("confirm", self.confirm.as_slice()), ("required", &self.required), ("derived", &self.derived)]
        {
            if let Some(twice) = first_repeated(names) {
                return Err(wrong(field, format!("column \"{twice}\" is named twice"), "Name it once."));
            }
        }
        if let Some(scope) = self.scope.as_ref().filter(|scope| self.keys.iter().flatten().any(|name| name == *scope)) {
            let remedy = "Leave it out of \"match\": the scope stands beside every key.";
            return Err(wrong("scope", format!("column \"{scope}\" is in a key too"), remedy));
        }
        for name in self.tracked() {
            if matches!(self.merge_of(name), Merge::Greatest | Merge::Least | Merge::Union | Merge::Newest(_)) {
                return Err(wrong(
                    "merge",
                    format!("column \"{name}\" tells records from each other, and can't be merged so"),
                    format!("Give \"{name}\" one of coalesce, overwrite and keep."),
                ));
            }
        }
        for clock in self.merge.values().filter_map(Merge::clock) {
            let named =
                self.merge.get(clock).filter(|merge| **merge != Merge::Greatest && merge.clock() != Some(clock));
            if named.is_some() && !self.is_tracked(clock) {
                let reason = format!("column \"{clock}\" tells which value is newer, and can't be merged so");
                let remedy = format!("Leave \"{clock}\" out: the greatest of both stays.");
                return Err(wrong("merge", reason, remedy));
            }
        }
        self.check_own_columns()?;
        self.check_fields()?;
        for (column, reference) in &self.references {
            if reference.by.is_empty() {
                let remedy = r#"Say by which field, as "by": {"doctor_name": "doctor"}."#;
                return Err(wrong("references", format!("\"{column}\" is found by nothing"), remedy));
            }
        }
        for link in &self.links {
            if link.columns.is_empty() || link.columns.contains_key(&link.id) {
                return Err(wrong(
                    "links",
                    format!("\"{}\" links a record to nothing", link.table),
                    r#"Say which fields fill its other columns, as {"table": "lead_tags", "id": "lead_id", "columns": {"tag": "tags"}}."#,
                ));
            }
        }
        Ok(())
    }

    /// That each field of a row fills one column.
    fn check_fields(&self) -> Result<(), SpecError> {
        for (column, names) in &self.fields {
            if names.is_empty() {
                let remedy = format!(r#"Give at least one, as {{"{column}": ["full_name"]}}, or leave it out."#);
                return Err(wrong("fields", format!("column \"{column}\" gets no other name"), remedy));
            }
        }
        let names: Vec<String> =
            self.fields.iter().flat_map(|(column, names)| [column].into_iter().chain(names)).cloned().collect();
        if let Some(twice) = first_repeated(&names) {
            let remedy = "Let each field of a row fill one column; a column's own name need not be named.";
            return Err(wrong("fields", format!("field \"{twice}\" is named twice"), remedy));
        }
        let Some(rest) = &self.rest else { return Ok(()) };
        let filled = self.tracked().into_iter().chain(self.required.iter().map(String::as_str));
        let by_column = self.normalize.keys().chain(self.references.keys()).chain(self.fields.keys());
        let kept = self.normalize.values().flat_map(|normalize| normalize.raw.iter().chain(&normalize.version));
        if filled.chain(by_column.chain(kept).map(String::as_str)).any(|name| name == rest) {
            let remedy = format!("Give \"rest\" a jsonb column of its own, or leave \"{rest}\" out elsewhere.");
            return Err(wrong("rest", format!("column \"{rest}\" is filled by more than the rest"), remedy));
        }
        Ok(())
    }

    /// Columns that pg_once, the application or a trigger sets are not for rows to fill.
    fn check_own_columns(&self) -> Result<(), SpecError> {
        let own = self.protect.iter().map(|name| ("protect", name));
        let own = own.chain(self.job_column.iter().map(|name| ("job_column", name)));
        for (field, name) in own.chain(self.derived.iter().map(|name| ("derived", name))) {
            let named = self.keys.iter().flatten().chain(&self.confirm).chain(&self.required);
            let named = named.chain(&self.scope).chain(self.columns.iter().flatten());
            let named = named.chain(self.normalize.keys()).chain(self.references.keys());
            let named = named.chain(self.fields.keys()).chain(&self.rest);
            if named.chain(self.merge.keys()).any(|other| other == name) {
                let remedy = format!(
                    "Leave \"{name}\" out elsewhere: {} sets it.",
                    if field == "derived" { "a trigger" } else { "pg_once or your application" }
                );
                return Err(wrong(field, format!("column \"{name}\" is not filled by rows"), remedy));
            }
        }
        if let Some(name) =
            self.derived.iter().find(|name| [&self.protect, &self.job_column].contains(&&Some((*name).clone())))
        {
            let remedy = format!("Leave \"{name}\" out of \"derived\".");
            return Err(wrong("derived", format!("column \"{name}\" is the protect or the job column"), remedy));
        }
        if self.protect.is_some() && self.protect == self.job_column {
            return Err(wrong("protect", "the protect column is the job's", "Name a boolean column of its own."));
        }
        Ok(())
    }

    /// What becomes of a column's value.
    pub fn merge_of(&self, column: &str) -> &Merge {
        static COALESCE: Merge = Merge::Coalesce;
        match self.merge.get(column).or_else(|| self.clock_merge(column)).or_else(|| self.merge.get("*")) {
            // A default for all columns that a key can't have is not meant for keys.
            Some(Merge::Greatest | Merge::Least | Merge::Union | Merge::Newest(_))
                if !self.merge.contains_key(column) && self.is_tracked(column) =>
            {
                &COALESCE
            }
            Some(merge) => merge,
            None => &COALESCE,
        }
    }

    /// Where other columns are merged by which of two is newer by this one, it is merged to the newer, too.
    fn clock_merge(&self, column: &str) -> Option<&Merge> {
        let is_clock = !self.is_tracked(column) && self.merge.values().any(|merge| merge.clock() == Some(column));
        is_clock.then_some(&Merge::Greatest)
    }

    fn is_tracked(&self, column: &str) -> bool {
        self.tracked().contains(&column)
    }

    /// The columns by which rows and records are told from each other: of the scope, of all keys, and those that confirm.
    pub fn tracked(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.scope.iter().chain(self.keys.iter().flatten()).chain(&self.confirm) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// The columns of a key's unique index: the scope first.
    pub fn index_of(&self, key: &[String]) -> Vec<String> {
        self.scope.iter().chain(key).cloned().collect()
    }
}

fn check_type(field: &str, value: &Value) -> Result<(), SpecError> {
    let names = r#"a list of column names, as ["birth_date"]"#;
    match field {
        "match" => {
            typed::<Vec<Vec<String>>>(field, value, r#"lists of column names, as [["phone_no"], ["ic_no"]]"#).map(drop)
        }
        "details" => typed::<Vec<String>>(field, value, r#"a list of tables, as ["order_lines"]"#).map(drop),
        "confirm" | "required" | "columns" | "derived" => typed::<Vec<String>>(field, value, names).map(drop),
        "normalize" => each(field, value, |value| {
            typed::<Normalize>(
                field,
                value,
                &format!(
                    r#"one of {}, or an object, as {{"phone": "MY", "raw": "phone_as_given", "invalid": "null"}}"#,
                    Normalizer::NAMES.join(", ")
                ),
            )
            .map(drop)
        }),
        "fields" => each(field, value, |value| {
            typed::<Vec<String>>(field, value, r#"lists of names, as {"client_name": ["full_name", "name"]}"#).map(drop)
        }),
        "merge" => each(field, value, |value| {
            let expected = r#"one of coalesce, overwrite, keep, greatest, least, union, or {"newest": "updated_at"}"#;
            typed::<Merge>(field, value, expected).map(drop)
        }),
        "references" => each(field, value, |value| {
            let expected = r#"{"target": "doctors", "by": {"doctor_name": "doctor"}, "missing": "create"}"#;
            typed::<Reference>(field, value, expected).map(drop)
        }),
        "links" => {
            let expected = r#"a list, as [{"table": "lead_tags", "id": "lead_id", "columns": {"tag": "tags"}}]"#;
            typed::<Vec<Link>>(field, value, expected).map(drop)
        }
        "on_match" => typed::<OnMatch>(field, value, r#""update" or "skip""#).map(drop),
        "ambiguous" => typed::<Ambiguous>(field, value, r#""report" or "reject""#).map(drop),
        "on_error" => typed::<OnError>(field, value, r#""reject" or "abort""#).map(drop),
        "blank" => typed::<Blank>(field, value, r#""null" or "keep""#).map(drop),
        _ => typed::<String>(field, value, r#"one name, as "org_id""#).map(drop),
    }
}

fn each(field: &str, value: &Value, check: impl Fn(&Value) -> Result<(), SpecError>) -> Result<(), SpecError> {
    typed::<Map<String, Value>>(field, value, r#"an object of columns, as {"email": …}"#)?.values().try_for_each(check)
}

#[cfg(test)]
mod tests;
