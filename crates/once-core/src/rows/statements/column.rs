//! A column of a table of records: what becomes of its values.

use super::OWN;
use crate::ident::quote;
use crate::spec::Merge;

/// A column of a table, as statements speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Its place in the table, by which stores name what they hold beside its value.
    pub place: usize,
    /// As a CAST writes it, with its modifier.
    pub sql_type: String,
    pub form: Form,
    /// Whether `=` of pg_catalog compares it, and its type has a hash: else its text speaks for it.
    pub is_plain: bool,
    /// What fills it where a new record has nothing for it.
    pub default: Option<String>,
    pub merge: Merge,
    /// The column of whose value this one tells something: it goes with it.
    pub follows: Option<Box<Column>>,
}

/// How a column's values are written so that equal ones are equal texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    Numeric,
    Float,
    /// citext.
    Caseless,
    Array,
    Json,
}

impl Column {
    pub(in crate::rows) fn of(&self, alias: &str) -> String {
        format!("{alias}.{}", quote(&self.name))
    }

    pub(in crate::rows) fn text(&self, alias: &str) -> String {
        format!("{}::pg_catalog.text", self.of(alias))
    }

    pub(super) fn canonical(&self, alias: &str) -> String {
        let value = self.of(alias);
        match self.form {
            Form::Numeric => format!("pg_catalog.trim_scale({value})::pg_catalog.text"),
            Form::Float => format!("({value} + 0)::pg_catalog.text"),
            Form::Caseless => format!("pg_catalog.lower({value}::pg_catalog.text)"),
            _ => self.text(alias),
        }
    }

    /// The value for a comparison that is true of what is the same.
    fn compared(&self, value: &str) -> String {
        if self.is_plain { value.into() } else { format!("({value})::pg_catalog.text COLLATE pg_catalog.\"C\"") }
    }

    /// The value of the record when the row has been merged into it.
    pub(super) fn merged(&self, alias: &str) -> String {
        let (row, record) = (self.of("s"), self.of(alias));
        if let Some(followed) = &self.follows {
            return format!("CASE WHEN {} THEN {row} ELSE coalesce({record}, {row}) END", followed.differs(alias));
        }
        match &self.merge {
            Merge::Coalesce => format!("coalesce({row}, {record})"),
            Merge::Overwrite => format!("CASE WHEN s.{} THEN {row} ELSE {record} END", self.given()),
            Merge::Keep => format!("coalesce({record}, {row})"),
            Merge::Greatest => format!("GREATEST({record}, {row})"),
            Merge::Least => format!("LEAST({record}, {row})"),
            Merge::Newest(clock) => format!(
                "CASE WHEN {row} IS NULL THEN {record} WHEN {record} IS NULL OR {alias}.{clock} IS NULL OR s.{own} >= {alias}.{clock} \
                 THEN {row} ELSE {record} END",
                own = self.clock(),
                clock = quote(clock)
            ),
            Merge::Union => self.union(&row, &record),
        }
    }

    /// All elements of both, in the order of their type; the record's value as it is where the row brings nothing new.
    fn union(&self, row: &str, record: &str) -> String {
        let (both, own) = (self.set(row, Some(record)), self.set(row, None));
        match self.form {
            Form::Json => format!(
                "CASE WHEN {row} IS NULL THEN {record} \
                 WHEN {record} IS NULL AND pg_catalog.jsonb_typeof({row}) = 'array' AND {row} <> '[]' THEN {own} \
                 WHEN pg_catalog.jsonb_typeof({row}) = 'object' AND pg_catalog.jsonb_typeof({record}) = 'object' THEN {row} || {record} \
                 WHEN pg_catalog.jsonb_typeof({row}) <> 'array' OR coalesce(pg_catalog.jsonb_typeof({record}), 'null') <> 'array' \
                 THEN coalesce({record}, {row}) \
                 WHEN NOT EXISTS (SELECT FROM pg_catalog.jsonb_array_elements({row}) AS u(e) WHERE NOT EXISTS ( \
                   SELECT FROM pg_catalog.jsonb_array_elements({record}) AS r(e) WHERE r.e = u.e)) THEN {record} ELSE {both} END"
            ),
            // = ANY, and not array_position, which takes no array of several dimensions.
            _ => format!(
                "CASE WHEN {row} IS NULL THEN {record} WHEN NOT EXISTS (SELECT FROM pg_catalog.unnest({row}) AS u(e) \
                   WHERE u.e IS NOT NULL AND NOT coalesce(u.e = ANY ({record}), false)) THEN coalesce({record}, {own}) ELSE {both} END"
            ),
        }
    }

    /// The different elements of a row's array, NULLs left out, and of the record's, in the order of their type.
    fn set(&self, row: &str, record: Option<&str>) -> String {
        let elements = if self.form == Form::Json { "jsonb_array_elements" } else { "unnest" };
        let own = record.map(|record| format!("SELECT pg_catalog.{elements}({record}) UNION ALL ")).unwrap_or_default();
        let all = format!("{own}SELECT n.e FROM pg_catalog.{elements}({row}) AS n(e) WHERE n.e IS NOT NULL");
        match self.form {
            Form::Json => format!("(SELECT pg_catalog.jsonb_agg(DISTINCT u.e ORDER BY u.e) FROM ({all}) AS u(e))"),
            _ => format!("ARRAY(SELECT DISTINCT u.e FROM ({all}) AS u(e) ORDER BY u.e)"),
        }
    }

    /// The value of a new record.
    pub(super) fn created(&self) -> String {
        let row = self.of("s");
        match (&self.merge, &self.default) {
            (Merge::Overwrite, Some(default)) => {
                format!("CASE WHEN s.{} THEN {row} ELSE coalesce({row}, {default}) END", self.given())
            }
            (_, Some(default)) => format!("coalesce({row}, {default})"),
            (_, None) => row,
        }
    }

    /// The values of this column in `once_sets` as sets, which a union begins with: number, text.
    pub fn sets(&self) -> String {
        let row = self.of("s");
        let set = match self.form {
            Form::Json => format!(
                "CASE WHEN pg_catalog.jsonb_typeof({row}) = 'array' AND {row} <> '[]' THEN {} ELSE {row} END",
                self.set(&row, None)
            ),
            _ => self.set(&row, None),
        };
        format!("SELECT s.\"once n\", ({set})::pg_catalog.text FROM once_sets s")
    }

    pub(super) fn differs(&self, alias: &str) -> String {
        let (row, record, merged) = (self.of("s"), self.of(alias), self.merged(alias));
        let differs = format!("{} IS DISTINCT FROM {}", self.compared(&record), self.compared(&merged));
        if self.merge == Merge::Union && self.form == Form::Array {
            // Most rows bring nothing new, which is soon seen.
            return format!("({row} IS NOT NULL AND NOT coalesce({row} <@ {record}, false) AND {differs})");
        }
        format!("({differs})")
    }

    /// The column of a store that says whether the row names this one, null or not.
    pub fn given_name(&self) -> String {
        format!("{OWN}given {}", self.place)
    }

    /// The column of a store that holds the time of this value.
    pub fn clock_name(&self) -> String {
        format!("{OWN}time {}", self.place)
    }

    fn given(&self) -> String {
        quote(&self.given_name())
    }

    fn clock(&self) -> String {
        quote(&self.clock_name())
    }

    pub(in crate::rows) fn hashed(&self, alias: &str) -> String {
        if self.is_plain { self.of(alias) } else { self.text(alias) }
    }
}
