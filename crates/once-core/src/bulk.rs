//! The statements of the bulk path. Each is one set-based statement that names the scope as an equality
//! on every table it touches, so that it is routed whole where a table is sharded by its scope.
//!
//! Parameters: `$1` is always the scope as text (NULL where there is no scope).
//! Aliases: `s` a staged row, `p` a row in production, `f` the first staged row of a key.

mod rule;

use crate::ident::{Relation, literal, quote, quote_list};
use crate::key::KeyColumn;
pub use rule::Rule;

/// How to find a staged row's key in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// By one hash join: best where much is staged in relation to what production holds.
    Join,
    /// By a probe of the unique index a row: best where production holds far more than is staged.
    Probe,
}

/// What marking says of a staged row: its key is staged with a lower number, or is in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    Internal,
    Existing,
}

const CLEAN: &str = "s.internal_dup IS NOT TRUE AND s.existing_dup IS NOT TRUE";

/// That a value is one of a long array, which is hashed once. The planner does not look into a CASE, where it would ask
/// its statistics about each element.
fn any(value: &str, array: &str) -> String {
    format!("CASE WHEN {value} = ANY ({array}) THEN true END")
}

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
    /// committed late in another's place, that a key was edited, or that all was staged anew.
    pub fn staged_now(&self) -> String {
        self.staged("")
    }

    /// As `staged_now`, and `more` of the same rows `s`.
    fn staged(&self, more: &str) -> String {
        let fingerprint = self.key.iter().fold("s.row_number".to_string(), |seed, column| {
            let text = format!("s.{}::pg_catalog.text COLLATE pg_catalog.\"C\"", quote(&column.name));
            format!("coalesce(pg_catalog.hashtextextended({text}, {seed}), pg_catalog.hashint8extended({seed}, 1))")
        });
        format!(
            "SELECT pg_catalog.count(*), coalesce(pg_catalog.max(s.row_number), 0), \
             coalesce(pg_catalog.bit_xor({fingerprint}), 0), \
             pg_catalog.count(*) FILTER (WHERE s.internal_dup), pg_catalog.count(*) FILTER (WHERE s.existing_dup), \
             pg_catalog.count(*) FILTER (WHERE s.internal_dup AND s.existing_dup){more} FROM {} s WHERE {}",
            self.staging,
            self.scope_is("s")
        )
    }

    /// That production has the key of a staged row `s`.
    fn in_production(&self, lookup: Lookup) -> String {
        let same = format!("FROM {} p WHERE {}", self.relation, self.same_key("p", "s"));
        match lookup {
            Lookup::Join => format!("EXISTS (SELECT {same})"),
            // Of a limited subquery the planner makes no join.
            Lookup::Probe => format!("((SELECT true {same} LIMIT 1) IS NOT NULL)"),
        }
    }

    /// A hash of the key that is the same where the index takes keys for the same: of those columns whose type has such
    /// a hash, `None` where there are none.
    fn key_hash(&self, alias: &str) -> Option<String> {
        let mut columns =
            self.key.iter().filter_map(|column| Some((column.hash.as_ref()?, column.of(alias)))).peekable();
        columns.peek()?;
        Some(columns.fold("0::pg_catalog.int8".into(), |seed, (hash, value)| format!("{hash}({value}, {seed})")))
    }

    /// The hashes that keys of more than one staged row have, `$2` of them at most; `None` where keys can't be hashed.
    /// Eight bytes a row are sorted for this, and nearly no row is left to compare whole.
    pub fn repeated_hashes(&self) -> Option<String> {
        Some(format!(
            "SELECT h.hash FROM (SELECT {} AS hash FROM {} s WHERE {}) h WHERE h.hash IS NOT NULL \
             GROUP BY h.hash HAVING pg_catalog.count(*) > 1 LIMIT $2",
            self.key_hash("s")?,
            self.staging,
            self.scope_is("s")
        ))
    }

    /// Staged rows that `internal_dup` is wrong of, `$2` at most: row_number, and what it should be. Of a key that is
    /// staged more than once the row with the lowest number stays. With `hashed`, only rows whose key has one of the
    /// hashes `$3` may repeat another.
    pub fn wrong_internal(&self, hashed: bool) -> String {
        let keys: Vec<String> = self.key.iter().map(|c| c.of("s")).collect();
        let known: Vec<String> = keys.iter().map(|key| format!(" AND {key} IS NOT NULL")).collect();
        let candidates = match self.key_hash("s").filter(|_| hashed) {
            Some(hash) => format!(" AND (s.internal_dup OR {})", any(&hash, "$3")),
            None => String::new(),
        };
        format!(
            "SELECT c.row_number, c.repeats FROM (SELECT s.row_number, s.internal_dup IS TRUE AS was, \
             s.row_number > pg_catalog.min(s.row_number) OVER (PARTITION BY {}){} AS repeats \
             FROM {} s WHERE {}{candidates}) c WHERE c.was <> c.repeats LIMIT $2",
            keys.join(", "),
            known.concat(),
            self.staging,
            self.scope_is("s")
        )
    }

    /// Staged rows that `existing_dup` is wrong of, `$2` at most: row_number, and what it should be. Without `flagged`,
    /// none has the flag already.
    pub fn wrong_existing(&self, lookup: Lookup, flagged: bool) -> String {
        let rows = |flag, should, found| {
            format!(
                "SELECT s.row_number, {should} AS should FROM {} s WHERE {} AND s.existing_dup IS {flag} TRUE AND {found}",
                self.staging,
                self.scope_is("s")
            )
        };
        let missing = rows("NOT", "true", self.in_production(lookup));
        if !flagged {
            return format!("{missing} LIMIT $2");
        }
        let surplus = rows("", "false", format!("NOT {}", self.in_production(lookup)));
        format!("SELECT * FROM ({missing} UNION ALL {surplus}) w LIMIT $2")
    }

    /// The clean rows whose key production has got since, `$2` at most: row_number, and true.
    pub fn arrived(&self, lookup: Lookup) -> String {
        format!(
            "SELECT s.row_number, true FROM {} s WHERE {} AND {CLEAN} AND {} LIMIT $2",
            self.staging,
            self.scope_is("s"),
            self.in_production(lookup)
        )
    }

    /// Sets `flag` of the rows numbered `$2`, an array, to `$3`.
    pub fn set_flag(&self, flag: Flag) -> String {
        let flag = match flag {
            Flag::Internal => "internal_dup",
            Flag::Existing => "existing_dup",
        };
        format!(
            "UPDATE {} s SET {flag} = $3 WHERE {} AND {} RETURNING true",
            self.staging,
            self.scope_is("s"),
            any("s.row_number", "$2")
        )
    }

    /// What is staged, as `staged_now`; then the number of clean rows, and for each rule how many of them break it, as one
    /// bigint array.
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

    /// Rows that belong to no scope, and so would never be imported: how many, and the lowest numbers.
    pub fn without_scope(&self) -> Option<String> {
        let scope = self.scope.as_ref()?;
        Some(format!(
            "SELECT pg_catalog.count(*), (SELECT pg_catalog.array_agg(n.row_number) FROM (SELECT s.row_number FROM {staging} s \
             WHERE s.{column} IS NULL ORDER BY 1 LIMIT $2) n) FROM {staging} s WHERE s.{column} IS NULL",
            staging = self.staging,
            column = quote(&scope.name)
        ))
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
            bulk.repeated_hashes().unwrap_or_default(),
            bulk.wrong_internal(true),
            bulk.wrong_internal(false),
            bulk.wrong_existing(Lookup::Join, true),
            bulk.wrong_existing(Lookup::Probe, false),
            bulk.arrived(Lookup::Join),
            bulk.set_flag(Flag::Internal),
            bulk.set_flag(Flag::Existing),
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
        assert_eq!(gift_cards(None).without_scope(), None);
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
