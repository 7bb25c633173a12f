//! The spec of a feed: what `create_feed` takes.

use super::Schedule;
use crate::spec::{SpecError, object, require_fields, typed, wrong};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where the rows of a feed come from, how they are known again, and whom to tell. Field by field as users declare it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedSpec {
    /// What a run reads that is given no rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Another target on the same table: the one named `<target>_<format>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Fields that every row gets, whatever it says itself.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// The fields that a row is known again by; all that it has when left out, so that an edited row is another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub row_id: Vec<String>,
    /// The field with a row's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// How far before the latest time a source with `$1` is read again, as an interval.
    #[serde(default = "hour")]
    pub overlap: String,
    /// When it is to run, in the five fields of cron, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// How long runs stay in `import_logs`, as an interval; for good when null.
    #[serde(default = "quarter")]
    pub keep_logs: Option<String>,
}

/// A relation, as `schema.name`, or a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Relation(String),
    /// With `$1`, a timestamptz, it gives only what has come since then; NULL for all.
    Query(String),
}

/// Whom to tell of new records, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    #[serde(default)]
    pub mode: Mode,
    /// In mode auto, up to how many new records are told one by one.
    #[serde(default = "five")]
    pub threshold: u32,
    /// A query whose first column names who is told; a kit may know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<String>,
    #[serde(default = "new_lead", rename = "type")]
    pub kind: String,
    #[serde(default = "new_lead_title")]
    pub title: String,
    /// Of one record; `{column}` stands for its value.
    #[serde(default = "each_message")]
    pub message: String,
    /// Of a run; `{count}` and `{feed}` stand for these.
    #[serde(default = "summary_message")]
    pub summary: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Each,
    Summary,
    #[default]
    Auto,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            threshold: five(),
            recipients: None,
            kind: new_lead(),
            title: new_lead_title(),
            message: each_message(),
            summary: summary_message(),
        }
    }
}

fn hour() -> String {
    "1 hour".into()
}

fn quarter() -> Option<String> {
    Some("90 days".into())
}

fn five() -> u32 {
    5
}

fn new_lead() -> String {
    "new_lead".into()
}

fn new_lead_title() -> String {
    "New lead".into()
}

fn each_message() -> String {
    "📥 New lead from {platform} – {client_name}".into()
}

fn summary_message() -> String {
    "📥 {count} new leads received from {feed}".into()
}

impl FeedSpec {
    const FIELDS: [&str; 9] =
        ["source", "format", "set", "row_id", "time", "overlap", "schedule", "notify", "keep_logs"];

    /// Reads a spec from JSON text.
    ///
    /// # Errors
    /// The first field that is unknown, of the wrong type, or can't be meant.
    pub fn parse(json: &str) -> Result<Self, SpecError> {
        let fields = object(json, r#"Write it as {"row_id": ["id"], …}, or {}."#)?;
        require_fields(&fields, &Self::FIELDS)?;
        for (field, value) in &fields {
            match field.as_str() {
                "source" => {
                    drop(typed::<Source>(field, value, r#"{"relation": "schema.table"} or {"query": "SELECT …"}"#)?)
                }
                "notify" => drop(typed::<Notify>(
                    field,
                    value,
                    r#"{"mode": "each", "summary" or "auto", "threshold": 5, "recipients": "SELECT user_id FROM …"}"#,
                )?),
                "set" => drop(typed::<Map<String, Value>>(field, value, r#"an object, as {"org_id": "…"}"#)?),
                "row_id" => drop(typed::<Vec<String>>(field, value, "an array of the names of fields")?),
                "keep_logs" => drop(typed::<Option<String>>(field, value, r#"an interval, as "90 days", or null"#)?),
                _ => drop(typed::<String>(field, value, "a text")?),
            }
        }
        let spec: Self = typed("spec", &Value::Object(fields), "the fields that the docs show")?;
        if let Some(schedule) = &spec.schedule {
            Schedule::read(schedule)?;
        }
        if let Some(Notify { threshold: 0, .. }) = spec.notify {
            return Err(wrong(
                "notify",
                "a threshold of 0 would tell nothing one by one",
                "Give mode \"summary\" for that.",
            ));
        }
        Ok(spec)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_value(self).unwrap_or_default().to_string()
    }

    /// Whether a run reads only what has come since the last one, so that a row that failed would not come again.
    pub fn reads_news_only(&self) -> bool {
        matches!(&self.source, Some(Source::Query(query)) if query.contains("$1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        let spec = FeedSpec::parse("{}").unwrap();
        assert_eq!((spec.overlap.as_str(), spec.keep_logs.as_deref()), ("1 hour", Some("90 days")));
        assert_eq!((&spec.source, &spec.notify, spec.reads_news_only()), (&None, &None, false));
        let spec = FeedSpec::parse(r#"{"notify": {"recipients": "SELECT 1"}, "keep_logs": null}"#).unwrap();
        let notify = spec.notify.clone().unwrap();
        assert_eq!((notify.mode, notify.threshold, notify.kind.as_str()), (Mode::Auto, 5, "new_lead"));
        assert_eq!(spec.keep_logs, None);
        assert_eq!(FeedSpec::parse(&spec.to_json()).unwrap(), spec);
    }

    #[test]
    fn the_faulty_field_is_named() {
        let field = |json: &str| FeedSpec::parse(json).unwrap_err().field;
        assert_eq!(field("[]"), "spec");
        assert_eq!(field("{"), "spec");
        assert_eq!(field(r#"{"sauce": 1}"#), "sauce");
        assert_eq!(field(r#"{"source": "x"}"#), "source");
        assert_eq!(field(r#"{"source": {"table": "x"}}"#), "source");
        assert_eq!(field(r#"{"row_id": "id"}"#), "row_id");
        assert_eq!(field(r#"{"notify": {"mode": "loud"}}"#), "notify");
        assert_eq!(field(r#"{"notify": {"recipients": "SELECT 1", "threshold": 0}}"#), "notify");
        assert_eq!(field(r#"{"schedule": "61 * * * *"}"#), "schedule");
        assert_eq!(field(r#"{"overlap": 5}"#), "overlap");
    }

    #[test]
    fn a_source_with_a_parameter_gives_news_only() {
        let query = |sql: &str| FeedSpec::parse(&serde_json::json!({"source": {"query": sql}}).to_string()).unwrap();
        assert!(query("SELECT * FROM t WHERE at > $1").reads_news_only());
        assert!(!query("SELECT * FROM t").reads_news_only());
    }
}
