//! The statements that adopt documents from before there was a key. Those that count and those that change are built of
//! the same parts, so that a dry run tells what the other does.

use super::statements::{ARCHIVED, Typed};
use crate::ident::{Relation, quote};
use crate::spec::{DocumentSpec, Records};

/// The form of a checksum, as a regular expression.
pub const FORM: &str = "^[0-9a-f]{64}$";

/// Whether a text has that form: NULL where it is NULL. In ten times less time than by the regular expression.
fn well_formed(text: &str) -> String {
    format!("(length({text}) = 64 AND translate({text}, '0123456789abcdef', '') = '')")
}

/// A table and which of its columns are there: a dry run has to do without those that would be added.
#[derive(Debug, Clone)]
pub struct Present {
    pub relation: Relation,
    pub columns: Vec<String>,
    pub id: Typed,
}

impl Present {
    /// The column of `alias`, or what stands for it where it is missing.
    fn column(&self, alias: &str, name: &str, absent: &str) -> String {
        if self.has(name) { format!("{alias}.{}", quote(name)) } else { absent.into() }
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column == name)
    }

    /// That a row of `alias` is one of those whose ids are `$1`, as texts.
    fn is_listed(&self, alias: &str) -> String {
        format!("{alias}.{} = ANY (CAST($1 AS {}[]))", quote(&self.id.name), self.id.sql_type)
    }
}

/// Documents, and the records that were parsed from them where there are any.
#[derive(Debug, Clone)]
pub struct Adoption {
    pub documents: Present,
    pub spec: DocumentSpec,
    /// A column that tells a document's age where `received_at` does not.
    pub made_at: Option<String>,
    /// The function `document_checksum`.
    pub checksum_of: Relation,
    pub records: Option<(Present, Records)>,
}

impl Adoption {
    fn checksum(&self) -> String {
        self.documents.column("i", &self.spec.checksum, "NULL::text") + "::text"
    }

    fn tags(&self) -> String {
        self.documents.column("i", &self.spec.tags, "'{}'::text[]")
    }

    fn scope(&self) -> String {
        self.spec.scope.as_ref().map_or("NULL::text".into(), |scope| self.documents.column("i", scope, "NULL::text"))
    }

    /// The checksum of `i` as it is, or as it would be computed. A document without a text is a blank one.
    fn sum(&self) -> String {
        format!(
            "CASE WHEN {} THEN {sum} ELSE {}(coalesce(i.{}, ''), '{}') END",
            well_formed(&self.checksum()),
            self.checksum_of,
            quote(&self.spec.content),
            self.spec.normalizer.name(),
            sum = self.checksum()
        )
    }

    /// Rows in all; those that have a malformed checksum.
    pub fn count(&self) -> String {
        format!(
            "SELECT count(*), count(*) FILTER (WHERE NOT {}) FROM {} i",
            well_formed(&self.checksum()),
            self.documents.relation
        )
    }

    /// The ids of documents without a checksum, or with a malformed one.
    pub fn to_compute(&self) -> String {
        self.ids(format!("{} IS NOT TRUE", well_formed(&self.checksum())))
    }

    /// The ids of documents with NULL for tags.
    pub fn untagged(&self) -> String {
        self.ids(format!("{} IS NULL", self.tags()))
    }

    /// What gives the ids `$1` no tags.
    pub fn tag(&self) -> Vec<String> {
        let (relation, tags) = (&self.documents.relation, quote(&self.spec.tags));
        vec![format!("UPDATE {relation} i SET {tags} = '{{}}' WHERE {}", self.documents.is_listed("i"))]
    }

    fn ids(&self, condition: String) -> String {
        format!(
            "SELECT i.{}::text FROM {} i WHERE {condition}",
            quote(&self.documents.id.name),
            self.documents.relation
        )
    }

    /// What computes them, for the ids `$1`: records first let go of a malformed hash, to be filled anew.
    pub fn compute(&self) -> Vec<String> {
        let DocumentSpec { checksum, normalizer_version, .. } = &self.spec;
        let let_go =
            self.records.as_ref().filter(|(table, spec)| table.has(&spec.content_hash) && table.has(&spec.document));
        let let_go = let_go.map(|(table, spec)| {
            format!(
                "UPDATE {} r SET {hash} = NULL FROM {} i WHERE i.{} = r.{} AND r.{hash} = {sum} AND NOT {} AND {}",
                table.relation,
                self.documents.relation,
                quote(&self.spec.id),
                quote(&spec.document),
                well_formed(&self.checksum()),
                self.documents.is_listed("i"),
                hash = quote(&spec.content_hash),
                sum = self.checksum()
            )
        });
        let compute = format!(
            "UPDATE {} i SET {} = {}, {} = '{}' WHERE {}",
            self.documents.relation,
            quote(checksum),
            self.sum(),
            quote(normalizer_version),
            self.spec.normalizer.version(),
            self.documents.is_listed("i")
        );
        let_go.into_iter().chain([compute]).collect()
    }

    /// The ids of documents that repeat an older one of their owner.
    pub fn duplicates(&self) -> String {
        let ages: Vec<String> = std::iter::once(&self.spec.received_at)
            .chain(&self.made_at)
            .filter(|name| self.documents.has(name))
            .map(|name| format!("i.{}::timestamptz", quote(name)))
            .collect();
        let age = if ages.is_empty() { "NULL::timestamptz".into() } else { format!("coalesce({})", ages.join(", ")) };
        let id = format!("i.{}", quote(&self.documents.id.name));
        format!(
            "SELECT q.id FROM (SELECT {id}::text AS id, row_number() OVER (PARTITION BY {}, {} ORDER BY {age} NULLS FIRST, {id}) AS n \
             FROM {} i WHERE ({} @> ARRAY['{ARCHIVED}'::text]) IS NOT TRUE) q WHERE q.n > 1",
            self.scope(),
            self.sum(),
            self.documents.relation,
            self.tags()
        )
    }

    /// What archives the ids `$1`.
    pub fn archive(&self) -> Vec<String> {
        let tags = quote(&self.spec.tags);
        vec![format!(
            "UPDATE {} i SET {tags} = i.{tags} || '{ARCHIVED}'::text WHERE {}",
            self.documents.relation,
            self.documents.is_listed("i")
        )]
    }

    /// The ids of records whose content hash can be filled from their document without repeating another record. `None`
    /// where records do not name their document.
    pub fn fillable(&self) -> Option<String> {
        let (table, spec) = self.records.as_ref().filter(|(table, spec)| table.has(&spec.document))?;
        let tells_apart: Vec<&String> =
            self.spec.scope.iter().chain(&spec.key).filter(|name| table.has(name)).collect();
        let hash = table.column("r", &spec.content_hash, "NULL::text");
        let parts: Vec<String> = tells_apart.iter().map(|name| format!("r.{}, ", quote(name))).collect();
        let same: Vec<String> =
            tells_apart.iter().map(|name| format!("o.{name} = r.{name} AND ", name = quote(name))).collect();
        let taken = if table.has(&spec.content_hash) {
            format!(
                "EXISTS (SELECT FROM {} o WHERE {}o.{} = d.sum)",
                table.relation,
                same.concat(),
                quote(&spec.content_hash)
            )
        } else {
            "false".into()
        };
        let age = table.column("r", &spec.created_at, "NULL::timestamptz");
        Some(format!(
            "SELECT q.id FROM (SELECT r.{id}::text AS id, row_number() OVER (PARTITION BY {parts}d.sum ORDER BY {age}, r.{id}) AS n, {taken} AS taken \
             FROM {} r JOIN (SELECT i.{} AS id, {} AS old, {} AS sum FROM {} i) d ON d.id = r.{} \
             WHERE {hash} IS NULL OR ({hash} = d.old AND NOT {})) q WHERE q.n = 1 AND NOT q.taken",
            table.relation,
            quote(&self.documents.id.name),
            self.checksum(),
            self.sum(),
            self.documents.relation,
            quote(&spec.document),
            well_formed("d.old"),
            id = quote(&table.id.name),
            parts = parts.concat()
        ))
    }

    /// What fills the records with the ids `$1`.
    pub fn fill(&self) -> Vec<String> {
        let Some((table, spec)) = &self.records else { return Vec::new() };
        vec![format!(
            "UPDATE {} r SET {} = i.{} FROM {} i WHERE i.{} = r.{} AND {}",
            table.relation,
            quote(&spec.content_hash),
            quote(&self.spec.checksum),
            self.documents.relation,
            quote(&self.documents.id.name),
            quote(&spec.document),
            table.is_listed("r")
        )]
    }

    /// How many records have no content hash, or their document's malformed one.
    pub fn without_hash(&self) -> Option<String> {
        let (table, spec) = self.records.as_ref()?;
        let hash = table.column("r", &spec.content_hash, "NULL::text");
        Some(format!(
            "SELECT count(*) FROM {} r WHERE {hash} IS NULL OR EXISTS (SELECT FROM {} i WHERE i.{} = {} AND {sum} = {hash} AND NOT {})",
            table.relation,
            self.documents.relation,
            quote(&self.documents.id.name),
            table.column("r", &spec.document, "NULL"),
            well_formed(&self.checksum()),
            sum = self.checksum()
        ))
    }

    /// How many groups of records there are that have all of `key` in common, so that no unique key can be made.
    pub fn repeated(&self, key: &[String]) -> Option<String> {
        let (table, _) = self.records.as_ref()?;
        if !key.iter().all(|name| table.has(name)) {
            return None;
        }
        let names: Vec<String> = key.iter().map(|name| quote(name)).collect();
        let given: Vec<String> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
        let (names, given) = (names.join(", "), given.join(" AND "));
        Some(format!(
            "SELECT count(*) FROM (SELECT FROM {} WHERE {given} GROUP BY {names} HAVING count(*) > 1) q",
            table.relation
        ))
    }
}
