//! The statements that adopt documents from before there was a key. Those that count and those that change are built of
//! the same parts, so that a dry run tells what the other does.

use crate::ident::{Relation, quote};
use crate::spec::{ARCHIVED, DocumentSpec, Records};

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
    pub id: String,
    /// The type of the id, as a CAST writes it.
    pub id_type: String,
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
        format!("{alias}.{} = ANY (CAST($1 AS {}[]))", quote(&self.id), self.id_type)
    }
}

/// A column that tells a row's age.
#[derive(Debug, Clone)]
pub struct Age {
    pub column: String,
    /// Else it is a local time, which is taken for UTC's.
    pub is_instant: bool,
}

impl Age {
    fn instant(&self, alias: &str) -> String {
        let column = quote(&self.column);
        if self.is_instant {
            format!("{alias}.{column}")
        } else {
            format!("({alias}.{column}::timestamp AT TIME ZONE 'UTC')")
        }
    }
}

/// Rows to change, and how.
#[derive(Debug, Clone)]
pub struct Step {
    pub relation: Relation,
    /// Gives their ids, as texts.
    pub ids: String,
    /// Changes those whose ids are `$1`.
    pub change: String,
}

/// Documents, and the records that were parsed from them where there are any.
#[derive(Debug, Clone)]
pub struct Adoption {
    pub documents: Present,
    pub spec: DocumentSpec,
    /// What tells a document's age: the first of these that it has.
    pub ages: Vec<Age>,
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

    fn content(&self) -> String {
        format!("i.{}", quote(&self.spec.content))
    }

    /// The checksum of `i` as it is, or as it would be computed.
    fn sum(&self) -> String {
        format!(
            "CASE WHEN {} THEN {sum} ELSE {}({}, '{}') END",
            well_formed(&self.checksum()),
            self.checksum_of,
            self.content(),
            self.spec.normalizer.name(),
            sum = self.checksum()
        )
    }

    fn is_archived(&self) -> String {
        format!("({} @> ARRAY['{ARCHIVED}'::text]) IS TRUE", self.tags())
    }

    /// Rows in all; those that have a malformed checksum, are archived, and have no content.
    pub fn count(&self) -> String {
        format!(
            "SELECT count(*), count(*) FILTER (WHERE NOT {}), count(*) FILTER (WHERE {}), count(*) FILTER (WHERE {} IS NULL) FROM {} i",
            well_formed(&self.checksum()),
            self.is_archived(),
            self.content(),
            self.documents.relation
        )
    }

    fn step(&self, ids: String, assignment: &str) -> Step {
        let Present { relation, .. } = &self.documents;
        let change = format!("UPDATE {relation} i SET {assignment} WHERE {}", self.documents.is_listed("i"));
        Step { relation: relation.clone(), ids, change }
    }

    fn ids(&self, condition: &str) -> String {
        format!("SELECT i.{}::text FROM {} i WHERE {condition}", quote(&self.documents.id), self.documents.relation)
    }

    /// Archives what repeats an older document of its owner.
    pub fn archive(&self) -> Step {
        let tags = quote(&self.spec.tags);
        self.step(self.duplicates(), &format!("{tags} = i.{tags} || '{ARCHIVED}'::text"))
    }

    fn duplicates(&self) -> String {
        let id = format!("i.{}", quote(&self.documents.id));
        let scope = self.spec.scope.as_ref().map_or(String::new(), |scope| format!("i.{}, ", quote(scope)));
        let age: String = self.ages.iter().map(|age| age.instant("i") + ", ").collect();
        format!(
            "SELECT q.id FROM (SELECT {id}::text AS id, row_number() OVER (PARTITION BY {scope}{} \
             ORDER BY coalesce({age}NULL::timestamptz) NULLS FIRST, {id}) AS n FROM {} i WHERE NOT {}) q WHERE q.n > 1",
            self.sum(),
            self.documents.relation,
            self.is_archived()
        )
    }

    /// Computes checksums that are missing or malformed.
    pub fn compute(&self) -> Step {
        let DocumentSpec { checksum, normalizer_version, normalizer, .. } = &self.spec;
        let assignment =
            format!("{} = {}, {} = '{}'", quote(checksum), self.sum(), quote(normalizer_version), normalizer.version());
        self.step(self.ids(&format!("{} IS NOT TRUE", well_formed(&self.checksum()))), &assignment)
    }

    /// Gives no tags to what has NULL for tags; what is archived has one by then.
    pub fn tag(&self) -> Step {
        let untagged = self.ids(&format!("{} IS NULL", self.tags()));
        self.step(format!("{untagged} EXCEPT {}", self.duplicates()), &format!("{} = '{{}}'", quote(&self.spec.tags)))
    }

    /// Has records let go of a malformed checksum of their document's, to be filled anew: once that is computed, nothing
    /// tells any more where it was from. `None` where records do not name their document or have no hash.
    pub fn let_go(&self) -> Option<Step> {
        let (table, spec) = self.records.as_ref().filter(|(table, spec)| table.has(&spec.content_hash))?;
        let relation = table.relation.clone();
        let ids = format!("SELECT r.{}::text FROM {relation} r WHERE {}", quote(&table.id), self.has_malformed_hash()?);
        let hash = quote(&spec.content_hash);
        let change = format!("UPDATE {relation} r SET {hash} = NULL WHERE {}", table.is_listed("r"));
        Some(Step { relation, ids, change })
    }

    /// That record `r` has its document's checksum, and that this one is malformed.
    fn has_malformed_hash(&self) -> Option<String> {
        let (table, spec) = self.records.as_ref().filter(|(table, spec)| table.has(&spec.document))?;
        let hash = table.column("r", &spec.content_hash, "NULL::text") + "::text";
        Some(format!(
            "(NOT {} AND EXISTS (SELECT FROM {} i WHERE i.{} = r.{} AND {} = {hash}))",
            well_formed(&hash),
            self.documents.relation,
            quote(&self.documents.id),
            quote(&spec.document),
            self.checksum()
        ))
    }

    /// That record `r` has no hash, or will let go of it.
    fn has_no_hash(&self) -> Option<String> {
        let (table, spec) = self.records.as_ref()?;
        let hash = table.column("r", &spec.content_hash, "NULL::text");
        let malformed = self.has_malformed_hash().map_or(String::new(), |malformed| format!(" OR {malformed}"));
        Some(format!("({hash} IS NULL{malformed})"))
    }

    /// How many records have no content hash, or their document's malformed one.
    pub fn without_hash(&self) -> Option<String> {
        let (table, _) = self.records.as_ref()?;
        Some(format!("SELECT count(*) FROM {} r WHERE {}", table.relation, self.has_no_hash()?))
    }

    /// Fills content hashes of records from their document, where that repeats no other record. `None` where records do
    /// not name their document.
    pub fn fill(&self) -> Option<Step> {
        let (table, spec) = self.records.as_ref().filter(|(table, spec)| table.has(&spec.document))?;
        let Present { relation, id, .. } = &self.documents;
        let (records, id, document) = (&table.relation, quote(id), quote(&spec.document));
        let change = format!(
            "UPDATE {records} r SET {} = i.{} FROM {relation} i WHERE i.{id} = r.{document} AND {}",
            quote(&spec.content_hash),
            quote(&self.spec.checksum),
            table.is_listed("r")
        );
        Some(Step { relation: records.clone(), ids: self.fillable(table, spec)?, change })
    }

    fn fillable(&self, table: &Present, spec: &Records) -> Option<String> {
        let tells_apart = self.spec.scope.iter().chain(&spec.key).filter(|name| table.has(name));
        let key: Vec<String> = tells_apart.map(|name| quote(name)).collect();
        let parts: String = key.iter().map(|name| format!("r.{name}, ")).collect();
        let shown: String = key.iter().enumerate().map(|(n, name)| format!("r.{name} AS k{n}, ")).collect();
        let taken = if table.has(&spec.content_hash) {
            let same: String = key.iter().enumerate().map(|(n, name)| format!("o.{name} = q.k{n} AND ")).collect();
            let hash = quote(&spec.content_hash);
            format!(" AND NOT EXISTS (SELECT FROM {} o WHERE {same}o.{hash} = q.sum)", table.relation)
        } else {
            String::new()
        };
        Some(format!(
            "SELECT q.id FROM (SELECT r.{id}::text AS id, {shown}{sum} AS sum, \
               row_number() OVER (PARTITION BY {parts}{sum} ORDER BY {age}, r.{id}) AS n \
             FROM {} r JOIN {} i ON i.{} = r.{} WHERE {}) q WHERE q.n = 1{taken}",
            table.relation,
            self.documents.relation,
            quote(&self.documents.id),
            quote(&spec.document),
            self.has_no_hash()?,
            id = quote(&table.id),
            sum = self.sum(),
            age = table.column("r", &spec.created_at, "NULL::timestamptz"),
        ))
    }

    /// How many groups of records have all of `key` in common, so that no unique key can be made. `None` where a column
    /// is missing that nothing adds.
    pub fn repeated(&self, key: &[String]) -> Option<String> {
        let (table, spec) = self.records.as_ref()?;
        let hashed = key.contains(&spec.content_hash);
        if !key.iter().all(|name| table.has(name) || *name == spec.content_hash) {
            return None;
        }
        let columns: Vec<String> = key.iter().map(|name| table.column("r", name, "NULL::text")).collect();
        let mut counted: Vec<String> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
        if hashed {
            counted.extend(self.has_malformed_hash().map(|malformed| format!("NOT {malformed}")));
        }
        Some(format!(
            "SELECT count(*) FROM (SELECT FROM {} r WHERE {} GROUP BY {} HAVING count(*) > 1) q",
            table.relation,
            counted.join(" AND "),
            columns.join(", ")
        ))
    }
}
