//! The statements of the documents path. Values are parameters, always text and cast by the column's own type.

use crate::ident::{Relation, quote, quote_list};
use crate::key::KeyColumn;
use crate::spec::{DocumentSpec, Drafts, Records};

/// A column with its type as a CAST writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    pub name: String,
    /// Under all domains and without a modifier: a value is assigned to the column, which refuses what is too long.
    pub sql_type: String,
    /// As the column has it: what a value becomes that is stored.
    pub stored_type: String,
}

impl Typed {
    fn cast(&self, parameter: usize) -> String {
        format!("CAST(${parameter} AS {})", self.sql_type)
    }
}

/// A table of documents.
#[derive(Debug, Clone)]
pub struct Documents {
    pub relation: Relation,
    pub spec: DocumentSpec,
    pub scope: Option<Typed>,
    /// NULL, an unknown owner, is a value like any other then.
    pub scope_may_be_null: bool,
    /// An instant, not a local time.
    pub received_at_is_instant: bool,
    /// Whether the unique key holds archived documents too.
    pub key_is_whole: bool,
}

impl Documents {
    fn in_key(&self) -> String {
        if self.key_is_whole { "true".into() } else { self.spec.unarchived() }
    }

    /// `received_at` as an instant. A local time is taken for UTC's, whatever the session's zone.
    fn received_at(&self) -> String {
        let column = quote(&self.spec.received_at);
        if self.received_at_is_instant { column } else { format!("({column} AT TIME ZONE 'UTC')") }
    }

    /// Inserts a document unless it is there. Parameters: scope (NULL where there is none), content, checksum,
    /// version of the normaliser, source, its reference, tags. Gives the id, or no row.
    pub fn insert(&self) -> String {
        let DocumentSpec { content, checksum, normalizer_version, source, source_ref, tags, .. } = &self.spec;
        let columns = [content, checksum, normalizer_version, source, source_ref, tags].map(String::as_str);
        let (mut names, mut values) = (columns.to_vec(), "$2, $3, $4, $5, $6, $7".to_string());
        if let Some(scope) = &self.scope {
            names.insert(0, &scope.name);
            values = format!("{}, {values}", scope.cast(1));
        }
        format!(
            "INSERT INTO {} ({}) VALUES ({values}) ON CONFLICT ({}) WHERE {} DO NOTHING RETURNING {}::text",
            self.relation,
            quote_list(&names),
            quote_list(&self.spec.key()),
            self.spec.unarchived(),
            quote(&self.spec.id)
        )
    }

    /// The document with checksum `$2` of scope `$1`: its id and when it was received, in words. `grown`: a text of its
    /// own for a table that is not small any more, so that a plan kept from before is not used.
    pub fn find(&self, scope_known: bool, grown: bool) -> String {
        let zone = if self.received_at_is_instant { r#""Z""# } else { "" };
        format!(
            "SELECT {}::text, coalesce(to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS{zone}'), 'an unknown time') FROM {} WHERE {} = $2 AND {} AND {}{}",
            quote(&self.spec.id),
            self.received_at(),
            self.relation,
            quote(&self.spec.checksum),
            self.of_scope(scope_known),
            self.in_key(),
            if grown { " LIMIT 1" } else { "" }
        )
    }

    /// The oldest document with checksum `$2`, of scope `$1` where that is known, else of any: id, when it was
    /// received, scope and source, all but the time as text.
    pub fn find_any(&self, scope_known: bool) -> String {
        let DocumentSpec { id, checksum, source, .. } = &self.spec;
        let of_scope = if scope_known { self.of_scope(true) } else { "$1 IS NULL".into() };
        format!(
            "SELECT {id}::text, {received_at}, {scope}, {source}::text FROM {relation} \
             WHERE {checksum} = $2 AND {of_scope} AND {in_key} ORDER BY {received_at} NULLS FIRST, {id} LIMIT 1",
            id = quote(id),
            received_at = self.received_at(),
            scope = self.scope.as_ref().map_or("NULL::text".into(), |scope| format!("{}::text", quote(&scope.name))),
            source = quote(source),
            relation = self.relation,
            checksum = quote(checksum),
            in_key = self.in_key()
        )
    }

    /// That a row is of scope `$1`. An index serves `=` and IS NULL, but not IS NOT DISTINCT FROM.
    fn of_scope(&self, known: bool) -> String {
        match &self.scope {
            Some(scope) if known => format!("{} = {}", quote(&scope.name), scope.cast(1)),
            Some(scope) => format!("$1 IS NULL AND {} IS NULL", quote(&scope.name)),
            None => "$1 IS NULL".into(),
        }
    }
}

/// Documents with what is parsed from them.
#[derive(Debug, Clone)]
pub struct Commits {
    pub documents: Documents,
    pub drafts: Drafts,
    pub draft_id: Typed,
    pub records: Records,
    /// The records' columns that are filled from fields, in the order of `Records::fields`.
    pub fields: Vec<Typed>,
    /// The records' unique key, as its index compares it.
    pub key: Vec<KeyColumn>,
}

impl Commits {
    pub fn drafts_relation(&self) -> Relation {
        self.documents.relation.beside(&self.drafts.table)
    }

    pub fn records_relation(&self) -> Relation {
        self.documents.relation.beside(&self.records.table)
    }

    /// The document of draft `$1`: its id, scope and checksum as text.
    pub fn document_of_draft(&self) -> String {
        let DocumentSpec { id, scope, checksum, .. } = &self.documents.spec;
        let scope = scope.as_ref().map_or("NULL::text".into(), |scope| format!("i.{}::text", quote(scope)));
        format!("SELECT i.{}::text, {scope}, i.{}::text {}", quote(id), quote(checksum), self.joined_draft())
    }

    /// The type of JSON that `$1` is.
    pub fn typeof_parsed() -> &'static str {
        "SELECT jsonb_typeof($1)"
    }

    /// The fields `$2` of `$1`, in order: type (NULL where it is missing) and text.
    pub fn fields_of_parsed() -> &'static str {
        "SELECT jsonb_typeof($1 -> f), $1 ->> f FROM unnest($2) WITH ORDINALITY AS u(f, n) ORDER BY n"
    }

    /// Inserts the record of draft `$1` unless it is there: by whichever of its unique keys, for a draft is committed
    /// once and so is a content. Parameters: draft, the scope if the document has none, what was parsed, then the
    /// fields. Gives the id, or no row.
    ///
    /// `or_fail`: raises what keeps it out instead.
    pub fn insert(&self, or_fail: bool) -> String {
        let Records { document, draft, content_hash, parsed, .. } = &self.records;
        let mut names = vec![document.as_str(), draft, content_hash, parsed];
        let mut values = vec![
            format!("d.{}", quote(&self.drafts.document)),
            format!("d.{}", quote(&self.drafts.id)),
            format!("i.{}", quote(&self.documents.spec.checksum)),
            "$3".into(),
        ];
        if let Some(scope) = &self.documents.scope {
            names.push(&scope.name);
            values.push(format!("coalesce(i.{}, {})", quote(&scope.name), scope.cast(2)));
        }
        for (at, field) in self.fields.iter().enumerate() {
            names.push(&field.name);
            values.push(field.cast(at + 4));
        }
        format!(
            "INSERT INTO {} ({}) SELECT {} {}{} RETURNING {}::text",
            self.records_relation(),
            quote_list(&names),
            values.join(", "),
            self.joined_draft(),
            if or_fail { "" } else { " ON CONFLICT DO NOTHING" },
            quote(&self.records.id)
        )
    }

    /// Draft `$1` as `d` and its document as `i`.
    fn joined_draft(&self) -> String {
        format!(
            "FROM {} d JOIN {} i ON i.{} = d.{} WHERE d.{} = {}",
            self.drafts_relation(),
            self.documents.relation,
            quote(&self.documents.spec.id),
            quote(&self.drafts.document),
            quote(&self.drafts.id),
            self.draft_id.cast(1)
        )
    }

    /// The record that draft `$1` was committed as: its id and scope as text.
    pub fn find_of_draft(&self) -> String {
        let scope = self.documents.scope.as_ref().map_or("NULL".into(), |scope| format!("r.{}", quote(&scope.name)));
        format!(
            "SELECT r.{}::text, {scope}::text FROM {} r WHERE r.{} = {}",
            quote(&self.records.id),
            self.records_relation(),
            quote(&self.records.draft),
            self.draft_id.cast(1)
        )
    }

    /// The record of scope `$1` with content hash `$2` and the key's fields from `$3` on.
    pub fn find_of_key(&self) -> String {
        self.find("")
    }

    /// As `find_of_key`, with when the record was made and, as text, the column that is filled from `field`.
    pub fn find_shown(&self, field: &str) -> String {
        let title = self.records.fields.iter().find(|(_, from)| *from == field);
        let title = title.map_or("NULL::text".into(), |(column, _)| format!("r.{}::text", quote(column)));
        self.find(&format!(", r.{}::timestamptz, {title}", quote(&self.records.created_at)))
    }

    fn find(&self, and: &str) -> String {
        // What is looked for, as it would be stored.
        let mut given: Vec<String> = Vec::new();
        if let Some(scope) = &self.documents.scope {
            given.push(format!("{} AS {}", scope.cast(1), quote(&scope.name)));
        }
        given.push(format!("$2 AS {}", quote(&self.records.content_hash)));
        for (at, field) in self.key_fields().into_iter().enumerate() {
            given.push(format!("CAST(${} AS {}) AS {}", at + 3, field.stored_type, quote(&field.name)));
        }
        let same: Vec<String> = self.key.iter().map(|column| column.equal("r", "g")).collect();
        format!(
            "SELECT r.{}::text{and} FROM {} r, (SELECT {}) g WHERE {}",
            quote(&self.records.id),
            self.records_relation(),
            given.join(", "),
            same.join(" AND ")
        )
    }

    /// The columns of the key that are filled from fields.
    pub fn key_fields(&self) -> Vec<&Typed> {
        self.records.key.iter().filter_map(|name| self.fields.iter().find(|field| field.name == *name)).collect()
    }
}

/// The form that a date or time must have in JSON, as a regular expression of Postgres's, and in words: ISO 8601, which
/// means the same under any DateStyle and TimeZone. `None` for other types.
pub fn iso_form(sql_type: &str) -> Option<(&'static str, &'static str)> {
    match sql_type {
        "date" => Some(("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "a date written YYYY-MM-DD")),
        "timestamp without time zone" => Some((
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?$",
            "a time written YYYY-MM-DDTHH:MM:SS",
        )),
        "timestamp with time zone" => Some((
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$",
            "a time written YYYY-MM-DDTHH:MM:SSZ, with its zone",
        )),
        _ => None,
    }
}
