//! What a job wrote, compared with what is there, and taken back.

use super::statements::{Column, INSERTED, UPDATED, either, texts};
use crate::ident::{Relation, literal, quote};

/// What a record was written with, and what it is: images `m` of part `$2` of job `$1`, each joined to its record `t`.
pub struct Images<'a> {
    pub images: &'a Relation,
    pub relation: &'a Relation,
    /// What names the record, in the order in which the images have it.
    pub identity: &'a [Column],
    /// What the digests were taken of, in that order.
    pub columns: &'a [Column],
    /// Whether some of what they were taken of is gone: nobody can say then whether a record is as it was.
    pub lacks_some: bool,
    /// Those that came later, with their default where it is a constant.
    pub later: &'a [Column],
    pub protect: Option<&'a str>,
    /// The column in which a record that the job made must name it.
    pub proof: Option<&'a str>,
    pub referring: &'a [Referring],
}

/// A foreign key of another table.
#[derive(Debug, Clone)]
pub struct Referring {
    pub table: String,
    /// The columns of `t` that it refers to.
    pub columns: Vec<String>,
    /// That a row of it refers to `t`; another one than `t` itself.
    pub exists: String,
    /// Whether it hinders that the record goes: it does not where its rows go, too.
    pub holds_record: bool,
    /// Whether it hinders that the values change: it does not where they change with them.
    pub holds_values: bool,
}

/// That an image `m` is of the record `t`, which these columns name.
pub(super) fn joins(identity: &[Column]) -> String {
    let parts = identity.iter().enumerate();
    let parts = parts.map(|(at, c)| format!("{} = CAST(m.identity[{}] AS {})", c.of("t"), at + 1, c.sql_type));
    parts.collect::<Vec<_>>().join(" AND ")
}

impl Images<'_> {
    fn joins(&self) -> String {
        joins(self.identity)
    }

    fn of_job(&self, action: &str) -> String {
        format!("m.job_id = $1 AND m.part = $2 AND m.action = '{action}' AND m.number = ANY ($3)")
    }

    fn is_protected(&self) -> String {
        self.protect.map_or("false".into(), |column| format!("coalesce(t.{}, false)", quote(column)))
    }

    /// That the record is as the job made it, and nobody has filled what came later.
    fn is_same(&self) -> String {
        if self.lacks_some {
            return "false".into();
        }
        let values: Vec<String> = self.columns.iter().map(|column| column.hashed("t")).collect();
        let mut parts = vec![format!("pg_catalog.hash_record_extended(ROW({}), 0) = m.digest", values.join(", "))];
        parts.extend(self.proof.map(|column| format!("t.{} IS NOT DISTINCT FROM m.job_id", quote(column))));
        parts.extend(self.later.iter().map(|column| {
            let filled = match &column.default {
                Some(default) => {
                    format!(
                        "{} IS DISTINCT FROM CAST({default} AS {})::pg_catalog.text",
                        column.text("t"),
                        column.sql_type
                    )
                }
                None => "true".into(),
            };
            format!("NOT ({} IS NOT NULL AND {filled})", column.of("t"))
        }));
        parts.join(" AND ")
    }

    fn still_there(&self, column: &Column) -> String {
        format!(
            "(m.after ? {name} AND {value} IS NOT DISTINCT FROM (m.after ->> {name}))",
            name = literal(&column.name),
            value = column.text("t")
        )
    }

    /// The foreign keys that hinder the column from getting another value.
    fn holding<'r>(&'r self, column: &Column) -> impl Iterator<Item = &'r Referring> {
        let name = column.name.clone();
        self.referring.iter().filter(move |key| key.holds_values && key.columns.contains(&name))
    }

    fn holding_record(&self) -> impl Iterator<Item = &Referring> {
        self.referring.iter().filter(|key| key.holds_record)
    }

    /// That the value is still the job's, and nobody refers to it.
    fn goes_back(&self, column: &Column) -> String {
        let held: Vec<String> = self.holding(column).map(|key| format!(" AND NOT {}", key.exists)).collect();
        format!("({}{})", self.still_there(column), held.concat())
    }

    /// The first table whose rows refer to a record that is to go, or to a value that is to change.
    fn referring(&self, columns: &[Column]) -> String {
        let case = |conditions: Vec<(String, &str)>| {
            let whens: Vec<String> =
                conditions.iter().map(|(when, table)| format!(" WHEN {when} THEN {}", literal(table))).collect();
            if whens.is_empty() { "NULL::pg_catalog.text".into() } else { format!("CASE{} END", whens.concat()) }
        };
        let of_record = self.holding_record().map(|key| (key.exists.clone(), key.table.as_str())).collect();
        let of_values = columns.iter().flat_map(|column| {
            let when = move |key: &Referring| format!("m.after ? {} AND {}", literal(&column.name), key.exists);
            self.holding(column).map(move |key| (when(key), key.table.as_str()))
        });
        let of_values = case(of_values.collect());
        format!("CASE WHEN m.action = '{INSERTED}' THEN {} ELSE {of_values} END", case(of_record))
    }

    /// What has become of the records (numbered `$3`; all where that is NULL), `columns` being those that may be given back:
    /// number, action, identity, whether the record is there, whether it is as the job wrote it, whether it is protected; the
    /// columns that someone has changed since; those that are gone; a table whose rows refer to it.
    pub fn state(&self, columns: &[Column]) -> String {
        let changed: Vec<String> = columns
            .iter()
            .map(|column| {
                let name = literal(&column.name);
                format!("CASE WHEN m.after ? {name} AND NOT {} THEN {name} END", self.still_there(column))
            })
            .collect();
        let names: Vec<String> = columns.iter().map(|column| literal(&column.name)).collect();
        format!(
            "SELECT m.number, m.action, m.identity, t.there IS NOT NULL, coalesce(t.same, false), coalesce(t.protected, false), \
               coalesce(t.changed, '{{}}'), \
               ARRAY(SELECT k.name FROM pg_catalog.jsonb_object_keys(m.before) AS k(name) WHERE k.name <> ALL ({names}) ORDER BY 1), \
               t.referring FROM {images} m LEFT JOIN LATERAL ( \
               SELECT true AS there, CASE WHEN m.action = '{INSERTED}' THEN {same} END AS same, {protected} AS protected, \
                 CASE WHEN m.action = '{UPDATED}' THEN pg_catalog.array_remove({changed}, NULL) END AS changed, \
                 {referring} AS referring \
               FROM {table} t WHERE {joins}) t ON true \
             WHERE m.job_id = $1 AND m.part = $2 AND ($3 IS NULL OR m.number = ANY ($3)) ORDER BY m.number",
            names = texts(&names),
            images = self.images,
            same = self.is_same(),
            protected = self.is_protected(),
            referring = self.referring(columns),
            changed = texts(&changed),
            table = self.relation,
            joins = self.joins(),
        )
    }

    /// Locks the records that are there, in order: number.
    pub fn lock(&self) -> String {
        let order: Vec<String> = self.identity.iter().map(|column| column.of("t")).collect();
        format!(
            "SELECT m.number FROM {} m JOIN {} t ON {} WHERE m.job_id = $1 AND m.part = $2 ORDER BY {} FOR UPDATE OF t",
            self.images,
            self.relation,
            self.joins(),
            order.join(", ")
        )
    }

    /// Deletes the records numbered `$3` that the job made, where they are as it made them and not protected. Gives the
    /// numbers.
    pub fn delete(&self) -> String {
        let referring: Vec<String> = self.holding_record().map(|key| key.exists.clone()).collect();
        format!(
            "DELETE FROM {} t USING {} m WHERE {} AND {} AND {} AND NOT {} AND NOT {} RETURNING m.number",
            self.relation,
            self.images,
            self.of_job(INSERTED),
            self.joins(),
            self.is_same(),
            self.is_protected(),
            either(&referring)
        )
    }

    /// Gives the records numbered `$3` the values back that the job changed in `columns`, where the value is still the
    /// job's. Gives the numbers.
    pub fn restore(&self, columns: &[&Column]) -> String {
        let sets: Vec<String> = columns
            .iter()
            .map(|column| {
                format!(
                    "{name} = CASE WHEN {same} THEN CAST(m.before ->> {key} AS {sql_type}) ELSE {value} END",
                    name = quote(&column.name),
                    same = self.goes_back(column),
                    key = literal(&column.name),
                    sql_type = column.sql_type,
                    value = column.of("t")
                )
            })
            .collect();
        let any: Vec<String> = columns.iter().map(|column| self.goes_back(column)).collect();
        format!(
            "UPDATE {} t SET {} FROM {} m WHERE {} AND {} AND {} AND NOT {} RETURNING m.number",
            self.relation,
            sets.join(", "),
            self.images,
            self.of_job(UPDATED),
            self.joins(),
            either(&any),
            self.is_protected()
        )
    }
}
