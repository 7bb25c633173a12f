//! The statements of the bulk path. Each is one set-based statement that names the scope as an equality
//! on every table it touches, so that it is routed whole where a table is sharded by its scope.
//!
//! Parameters: `$1` is always the scope as text (NULL where there is no scope).
//! Aliases: `s` a staged row, `p` a row in production, `f` the first staged row of a key.

mod mark;
mod rule;

use crate::ident::{Relation, literal, quote, quote_list};
use crate::key::KeyColumn;
pub use mark::{CORRECTIONS, Flag};
pub use rule::Rule;

/// How to find a staged row's key in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// By one hash join: best where much is staged in relation to what production holds.
    Join,
    /// By a probe of the unique index a row: best where production holds far more than is staged.
    Probe,
}

const FLAGGED: &str =
    "pg_catalog.count(*) FILTER (WHERE s.internal_dup), pg_catalog.count(*) FILTER (WHERE s.existing_dup)";
const FLAGGED_TWICE: &str = "pg_catalog.count(*) FILTER (WHERE s.internal_dup AND s.existing_dup)";
const CLEAN: &str = "s.internal_dup IS NOT TRUE AND s.existing_dup IS NOT TRUE";

/// A bulk target as its statements need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk {
    pub relation: Relation,
    pub staging: Relation,
    pub scope: Option<KeyColumn>,
    /// The type that `$1` is read as, without a modifier: one would cut a longer value to a wrong scope.
    pub scope_type: String,
    pub key: Vec<KeyColumn>,
    /// What is copied besides scope and key.
    pub columns: Vec<String>,
    pub job_column: String,
    pub protect: Option<String>,
    /// The columns of production's primary key, which name a row in a report.
    pub primary_key: Vec<String>,
    /// Every column of the staging table, in its order.
    pub staged: Vec<String>,
}

impl Bulk {
    fn scope_is(&self, alias: &str) -> String {
        self.scope_is_of(alias, "$1")
    }

    fn scope_is_of(&self, alias: &str, text: &str) -> String {
        match &self.scope {
            None => "true".into(),
            Some(scope) => {
                let cast = scope.cast.as_ref().map(|t| format!("::{t}")).unwrap_or_default();
                format!("{} OPERATOR({}) CAST({text} AS {}){cast}", scope.of(alias), scope.equals, self.scope_type)
            }
        }
    }

    /// That a staged row `s` is of the scope whose text this is.
    pub fn staged_in(&self, text: &str) -> String {
        self.scope_is_of("s", text)
    }

    /// The same row by scope and key: scopes are compared with each other, not each with a constant.
    fn same_key(&self, left: &str, right: &str) -> String {
        let parts: Vec<String> = self.scope.iter().chain(&self.key).map(|c| c.equal(left, right)).collect();
        parts.join(" AND ")
    }

    fn arbiter(&self) -> Vec<&str> {
        self.scope.iter().chain(&self.key).map(|c| c.name.as_str()).collect()
    }

    /// Keys of the scope that are staged more than once, each with the row that stays: columns `k1 … kn, first`.
    fn repeated(&self) -> String {
        let keys: Vec<String> = self.key.iter().map(|c| c.of("f")).collect();
        let named: Vec<String> = keys.iter().enumerate().map(|(i, k)| format!("{k} AS k{}", i + 1)).collect();
        format!(
            "SELECT {}, pg_catalog.min(f.row_number) AS first FROM {} f WHERE {} GROUP BY {} HAVING pg_catalog.count(*) > 1",
            named.join(", "),
            self.staging,
            self.scope_is("f"),
            keys.join(", ")
        )
    }

    fn is_repeated(&self) -> String {
        let parts: Vec<String> = self
            .key
            .iter()
            .enumerate()
            .map(|(i, c)| format!("{} OPERATOR({}) r.k{}", c.of("s"), c.equals, i + 1))
            .collect();
        parts.join(" AND ")
    }

    /// What is staged: how many rows, their highest number, a fingerprint of all numbers and keys, and how
    /// many are flagged internal, existing and both. Count and number alone would not tell that a row
    /// committed late in another's place, that a key was edited, or that all was staged anew. Then the lowest number.
    pub fn staged_now(&self) -> String {
        self.staged(&format!(", {FLAGGED_TWICE}, coalesce(pg_catalog.min(s.row_number), 0)"))
    }

    /// How many rows are staged, and how many are flagged internal, existing and both.
    pub fn flagged_now(&self) -> String {
        let (staging, of_scope) = (&self.staging, self.scope_is("s"));
        format!("SELECT pg_catalog.count(*), {FLAGGED}, {FLAGGED_TWICE} FROM {staging} s WHERE {of_scope}")
    }

    /// As `staged_now` up to what is flagged existing, and `more` of the same rows `s`.
    fn staged(&self, more: &str) -> String {
        let fingerprint = self.key.iter().fold("s.row_number".to_string(), |seed, column| {
            let text = format!("s.{}::pg_catalog.text COLLATE pg_catalog.\"C\"", quote(&column.name));
            format!("coalesce(pg_catalog.hashtextextended({text}, {seed}), pg_catalog.hashint8extended({seed}, 1))")
        });
        format!(
            "SELECT pg_catalog.count(*), coalesce(pg_catalog.max(s.row_number), 0), \
             coalesce(pg_catalog.bit_xor({fingerprint}), 0), {FLAGGED}{more} FROM {} s WHERE {}",
            self.staging,
            self.scope_is("s")
        )
    }

    /// What is staged, as `staged_now` up to what is flagged existing; then the number of clean rows, and for each rule how
    /// many of them break it, as one bigint array.
    pub fn staged_and_broken(&self, rules: &[Rule]) -> String {
        let counts: Vec<String> =
            rules.iter().map(|r| format!(", pg_catalog.count(*) FILTER (WHERE {CLEAN} AND {})", r.broken)).collect();
        let rules = format!(", ARRAY[pg_catalog.count(*) FILTER (WHERE {CLEAN}){}]", counts.concat());
        self.staged(&rules)
    }

    /// The first `$2` clean rows that break a rule: row_number, column, value, reason.
    pub fn broken_rows(&self, rules: &[&Rule]) -> String {
        let parts: Vec<String> = rules
            .iter()
            .map(|rule| {
                format!(
                    "(SELECT s.row_number, {}, {}, {} FROM {} s WHERE {} AND {CLEAN} AND {} ORDER BY 1 LIMIT $2)",
                    literal(&rule.columns.join(", ")),
                    rule.value(),
                    literal(&rule.reason),
                    self.staging,
                    self.scope_is("s"),
                    rule.broken
                )
            })
            .collect();
        format!("SELECT * FROM ({}) b ORDER BY 1 LIMIT $2", parts.join(" UNION ALL "))
    }

    /// Of rows that belong to no scope, and so would never be imported, `what`.
    fn without_scope(&self, what: &str) -> Option<String> {
        let scope = self.scope.as_ref()?;
        Some(format!("SELECT {what} FROM {} s WHERE s.{} IS NULL", self.staging, quote(&scope.name)))
    }

    /// How many rows belong to no scope; `None` where there is none.
    pub fn count_without_scope(&self) -> Option<String> {
        self.without_scope("pg_catalog.count(*)")
    }

    /// The lowest `$2` numbers of rows that belong to no scope.
    pub fn numbers_without_scope(&self) -> Option<String> {
        Some(format!("{} ORDER BY 1 LIMIT $2", self.without_scope("s.row_number")?))
    }

    /// Writes the clean rows with job `$2`, in the order of the key. Where a key has arrived since, all of it fails with
    /// `23505`; or with `pass_over`, which costs half as much again, that row is left out, which the caller sees by the
    /// count.
    pub fn insert(&self, pass_over: bool) -> String {
        let mut copied = self.arbiter();
        copied.extend(self.columns.iter().map(String::as_str));
        let values: Vec<String> = copied.iter().map(|c| format!("s.{}", quote(c))).collect();
        let order: Vec<String> = self.key.iter().map(|c| c.of("s")).collect();
        let conflict = match pass_over {
            true => format!(" ON CONFLICT ({}) DO NOTHING", quote_list(&self.arbiter())),
            false => String::new(),
        };
        format!(
            "INSERT INTO {} ({}, {}) SELECT {}, $2 FROM {} s WHERE {} AND {CLEAN} ORDER BY {}{conflict} RETURNING true",
            self.relation,
            quote_list(&copied),
            quote(&self.job_column),
            values.join(", "),
            self.staging,
            self.scope_is("s"),
            order.join(", ")
        )
    }

    /// A key that two clean rows have: their numbers, which must be the same then, since no marking told them apart.
    pub fn unmarked_repeat(&self) -> String {
        let keys: Vec<String> = self.key.iter().map(|c| c.of("s")).collect();
        format!(
            "SELECT pg_catalog.min(s.row_number) FROM {} s WHERE {} AND {CLEAN} GROUP BY {} HAVING pg_catalog.count(*) > 1 LIMIT 1",
            self.staging,
            self.scope_is("s"),
            keys.join(", ")
        )
    }

    fn of_job(&self) -> String {
        format!("{} AND p.{} = $2", self.scope_is("p"), quote(&self.job_column))
    }

    fn is_protected(&self) -> String {
        self.protect.as_ref().map_or("false".into(), |c| format!("p.{} IS TRUE", quote(c)))
    }

    /// How many rows of job `$2` production has: what its index can nearly tell.
    pub fn job_count(&self) -> String {
        format!("SELECT pg_catalog.count(*) FROM {} p WHERE {}", self.relation, self.of_job())
    }

    /// Rows of job `$2` in production, and how many of them are protected.
    pub fn job_rows(&self) -> String {
        format!(
            "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE {}) FROM {} p WHERE {}",
            self.is_protected(),
            self.relation,
            self.of_job()
        )
    }

    /// Whether any row of job `$2` stands outside its scope: moved there since, since none is written there.
    /// The one statement that asks beyond the scope.
    pub fn strays(&self) -> Option<String> {
        self.scope.as_ref()?;
        Some(format!(
            "SELECT EXISTS (SELECT FROM {} p WHERE p.{} = $2 AND NOT ({}))",
            self.relation,
            quote(&self.job_column),
            self.scope_is("p")
        ))
    }

    /// Deletes the rows of job `$2` that are not protected at the moment each is deleted.
    pub fn delete_job(&self) -> String {
        format!("DELETE FROM {} p WHERE {} AND NOT ({})", self.relation, self.of_job(), self.is_protected())
    }

    /// Whether the scope has any row in production.
    pub fn has_production(&self) -> String {
        format!("SELECT EXISTS (SELECT FROM {} p WHERE {})", self.relation, self.scope_is("p"))
    }

    /// Whether the scope has any staged row, as the query of an EXISTS.
    pub fn any_staged(&self) -> String {
        format!("SELECT FROM {} s WHERE {}", self.staging, self.scope_is("s"))
    }

    pub fn clear(&self) -> String {
        format!("DELETE FROM {} s WHERE {}", self.staging, self.scope_is("s"))
    }

    /// The duplicate report. `wanted` are the staged columns to give; with none, row_number and the whole
    /// row as jsonb. Then status, the staged row and the production row that each duplicates.
    pub fn report(&self, wanted: &[&str], lookup: Lookup) -> String {
        let staged = if wanted.is_empty() {
            "s.row_number, pg_catalog.to_jsonb(s.*)".to_string()
        } else {
            let columns: Vec<String> = wanted.iter().map(|c| format!("s.{}", quote(c))).collect();
            columns.join(", ")
        };
        let same = self.same_key("p", "s");
        let (id, production) = match lookup {
            Lookup::Join => (self.production_id(), format!(" LEFT JOIN {} p ON {same}", self.relation)),
            Lookup::Probe => (
                format!("(SELECT {} FROM {} p WHERE {same} LIMIT 1)", self.production_id(), self.relation),
                String::new(),
            ),
        };
        format!(
            "WITH r AS ({}) SELECT {staged}, CASE WHEN s.internal_dup AND s.existing_dup THEN 'BOTH_DUPLICATE' \
             WHEN s.internal_dup THEN 'INTERNAL_DUPLICATE' WHEN s.existing_dup THEN 'DATABASE_DUPLICATE' ELSE 'CLEAN' END, \
             CASE WHEN s.internal_dup THEN r.first END, CASE WHEN s.existing_dup THEN {id} END \
             FROM {} s LEFT JOIN r ON {}{production} WHERE {} ORDER BY s.row_number",
            self.repeated(),
            self.staging,
            self.is_repeated(),
            self.scope_is("s")
        )
    }

    /// What names a production row `p`: its primary key as text.
    fn production_id(&self) -> String {
        match self.primary_key.as_slice() {
            [] => "NULL".into(),
            [one] => format!("p.{}::pg_catalog.text", quote(one)),
            many => {
                let parts: Vec<String> = many.iter().map(|c| format!("{}, p.{}", literal(c), quote(c))).collect();
                format!("pg_catalog.jsonb_build_object({})::pg_catalog.text", parts.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> KeyColumn {
        KeyColumn {
            equals: "\"pg_catalog\".=".into(),
            hash: Some("pg_catalog.hashtextextended".into()),
            ..KeyColumn::plain(name)
        }
    }

    fn gift_cards(scope: Option<&str>) -> Bulk {
        let relation = |name: &str| Relation { schema: "shop".into(), name: name.into() };
        Bulk {
            relation: relation("Gift \"Cards\""),
            staging: relation("staging"),
            scope: scope.map(column),
            scope_type: "integer".into(),
            key: vec![column("series"), column("Card No")],
            columns: vec!["value".into()],
            job_column: "job".into(),
            protect: Some("used".into()),
            primary_key: vec!["id".into()],
            staged: vec![],
        }
    }

    fn all(bulk: &Bulk) -> Vec<String> {
        vec![
            bulk.staged_now(),
            bulk.flagged_now(),
            bulk.hashes().unwrap_or_default(),
            bulk.wrong_internal(true),
            bulk.wrong_internal(false),
            bulk.wrong_existing(Lookup::Join, true),
            bulk.wrong_existing(Lookup::Probe, false),
            bulk.arrived(Lookup::Join),
            bulk.correct_near(),
            bulk.correct_far(),
            bulk.staged_and_broken(&[Rule::required("series", true)]),
            bulk.unmarked_repeat(),
            bulk.broken_rows(&[&Rule::required("series", true)]),
            bulk.insert(true),
            bulk.insert(false),
            bulk.job_count(),
            bulk.job_rows(),
            bulk.delete_job(),
            bulk.has_production(),
            bulk.any_staged(),
            bulk.clear(),
            bulk.report(&[], Lookup::Join),
            bulk.report(&[], Lookup::Probe),
        ]
    }

    #[test]
    fn every_statement_names_the_scope_and_quotes_every_name() {
        for sql in all(&gift_cards(Some("Shop"))) {
            assert!(sql.contains(r#""Shop" OPERATOR("pg_catalog".=) CAST($1 AS integer)"#), "{sql}");
            assert!(!sql.replace(r#""Card No""#, "").contains("Card No"), "{sql}");
            assert!(!sql.replace(r#""Gift ""Cards""""#, "").contains("Gift"), "{sql}");
        }
    }

    #[test]
    fn without_a_scope_nothing_asks_for_one() {
        for sql in all(&gift_cards(None)) {
            assert!(!sql.contains("$1"), "{sql}");
        }
        assert_eq!(gift_cards(None).count_without_scope(), None);
    }

    #[test]
    fn no_modification_joins_by_ctid() {
        for sql in all(&gift_cards(Some("Shop"))) {
            assert!(!sql.contains("ctid"), "{sql}");
        }
    }

    #[test]
    fn the_arbiter_is_scope_and_key() {
        assert!(
            gift_cards(Some("Shop"))
                .insert(true)
                .contains(r#"ORDER BY s."series", s."Card No" ON CONFLICT ("Shop", "series", "Card No") DO NOTHING"#)
        );
    }
}
