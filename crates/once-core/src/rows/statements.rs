//! The statements of the rows path. Rows stand in stores that statements read by name: `once_keys` holds what records are
//! found by, `once_updates` and `once_inserts` one row a record. `s` is a row of a store, `t` a record of the table.

mod column;

pub use column::{Column, Form};

use crate::bulk::Rule;
use crate::ident::{Relation, literal, quote, quote_list};
use crate::key::KeyColumn;
use crate::spec::Merge;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The values of the columns that name a record.
pub fn name_parts(name: &str, columns: usize) -> Vec<Cow<'_, str>> {
    if columns == 1 {
        return vec![name.into()];
    }
    let parts: Vec<String> = serde_json::from_str(name).unwrap_or_default();
    parts.into_iter().map(Cow::Owned).collect()
}

/// A key: how its unique index compares each column, and whether NULL is a value of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub columns: Vec<(KeyColumn, bool)>,
}

/// A table that records are found in and written to.
#[derive(Debug, Clone)]
pub struct Table {
    pub relation: Relation,
    /// The columns that identify a record for good.
    pub identity: Vec<Column>,
    pub columns: Vec<Column>,
    pub keys: Vec<Key>,
    /// The columns by which records are told from each other.
    pub tracked: Vec<String>,
    /// Which every row gives.
    pub scope: Option<String>,
    pub job_column: Option<String>,
    pub protect: Option<String>,
    /// Columns that the table's own triggers fill.
    pub derived: Vec<String>,
}

/// How the stores' own columns begin, beside those of the table.
pub const OWN: &str = "once ";

/// The stores' own columns: the number of the row, of its key, and of its group.
pub const NUMBER: &str = "once n";
pub const KEY: &str = "once k";
pub const GROUP: &str = "once g";

/// What an image says was done to a record.
pub const INSERTED: &str = "inserted";
pub const UPDATED: &str = "updated";

impl Key {
    /// As `joins`, of a record that was made of `s` just now: by its texts where NULL is a value, which can be hashed.
    fn joins_own(&self, alias: &str) -> String {
        if !self.columns.iter().any(|(_, null_counts)| *null_counts) {
            return self.joins(alias);
        }
        let text = |alias: &str| {
            let columns: Vec<String> =
                self.columns.iter().map(|(column, _)| format!("{alias}.{}", quote(&column.name))).collect();
            format!("ROW({})::pg_catalog.text COLLATE pg_catalog.\"C\"", columns.join(", "))
        };
        format!("{} = {}", text(alias), text("s"))
    }

    /// That `s` has the key of the record `alias`.
    fn joins(&self, alias: &str) -> String {
        let parts: Vec<String> = self
            .columns
            .iter()
            .map(|(column, null_counts)| {
                let equal = column.equal(alias, "s");
                let name = quote(&column.name);
                // Of a key of one column NULL is no key at all.
                if *null_counts && self.columns.len() > 1 {
                    format!("({equal} OR ({alias}.{name} IS NULL AND s.{name} IS NULL))")
                } else {
                    equal
                }
            })
            .collect();
        // Something must be there that can be hashed.
        let hashable = (self.columns.len() > 1 && self.columns.iter().all(|(_, null_counts)| *null_counts))
            .then(|| self.joins_own(alias));
        let parts: Vec<String> = parts.into_iter().chain(hashable).collect();
        parts.join(" AND ")
    }

    /// As answers name it: its columns, but for the scope's.
    pub fn shown_without(&self, scope: Option<&str>) -> String {
        let names = self.columns.iter().map(|(column, _)| column.name.as_str());
        names.filter(|name| Some(*name) != scope).collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn texts(columns: &[impl AsRef<str>]) -> String {
    format!("ARRAY[{}]::pg_catalog.text[]", columns.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "))
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn identity_text(&self, alias: &str) -> String {
        texts(&self.identity.iter().map(|column| column.text(alias)).collect::<Vec<_>>())
    }

    fn identity_joins(&self) -> String {
        let parts: Vec<String> =
            self.identity.iter().map(|c| format!("{} = s.{}", c.of("t"), quote(&self.identity_name(c)))).collect();
        parts.join(" AND ")
    }

    /// The column of a store that holds a part of a record's identity.
    pub fn identity_name(&self, column: &Column) -> String {
        format!("{OWN}id {}", column.place)
    }

    fn tracked_text(&self, alias: &str) -> String {
        let canonical = |name: &String| self.column(name).map_or("NULL".into(), |column| column.canonical(alias));
        texts(&self.tracked.iter().map(canonical).collect::<Vec<_>>())
    }

    /// The tracked values of the rows of `once_keys`, as texts that are equal where they are: number, texts.
    pub fn canonical(&self) -> String {
        format!("SELECT s.\"once n\", {} FROM once_keys s ORDER BY s.\"once n\"", self.tracked_text("s"))
    }

    /// What names a record, as one text: see [`name_parts`].
    fn name(&self, alias: &str) -> String {
        match self.identity.as_slice() {
            [only] => only.text(alias),
            _ => format!("pg_catalog.to_json({})::pg_catalog.text", self.identity_text(alias)),
        }
    }

    /// The records that the rows of `once_keys` find by one of the keys: number of the row; which of `compared` the row alone
    /// would change there, NULL where none; the name of the record; (`told`, and where they are not the row's own) its tracked
    /// values, as texts; for each later key, whether the record has that of the row, too, as far as it is in the store. No row
    /// for what finds nothing.
    pub fn find(&self, key: usize, told: bool, compared: &[&Column]) -> String {
        let tracked = self.tracked.iter().filter_map(|name| self.column(name));
        let own: Vec<String> = tracked
            .map(|column| {
                let (record, row) = (column.canonical("t"), column.canonical("s"));
                format!("{record} COLLATE pg_catalog.\"C\" IS DISTINCT FROM {row} COLLATE pg_catalog.\"C\"")
            })
            .collect();
        let told = if told {
            format!("CASE WHEN {} THEN {} END", either(&own), self.tracked_text("t"))
        } else {
            "NULL::pg_catalog.text[]".into()
        };
        let differs: Vec<String> = compared.iter().map(|column| column.differs("t")).collect();
        let changes =
            format!("CASE WHEN {} THEN ARRAY[{}]::pg_catalog.bool[] END", either(&differs), differs.join(", "));
        let later: Vec<String> =
            self.keys[key + 1..].iter().map(|key| format!(", coalesce({}, false)", key.joins("t"))).collect();
        format!(
            "SELECT s.\"once n\", {changes}, {}, {told}{} FROM once_keys s JOIN {} t ON {}",
            self.name("t"),
            later.concat(),
            self.relation,
            self.keys[key].joins("t")
        )
    }

    /// Whether there are any records.
    pub fn has_some(&self) -> String {
        format!("SELECT EXISTS (SELECT FROM {})", self.relation)
    }

    /// How values stand in their order within each group of `once_ranked`, the values of the group's record among them:
    /// number of the row, NULL for the record; number of the group; ranks, NULL for NULL. Of a column that has no order,
    /// only whether there is a value.
    pub fn ranks(&self, columns: &[&Column]) -> String {
        let ranks: Vec<String> = columns
            .iter()
            .map(|column| {
                let value = column.of("x");
                match column.merge {
                    Merge::Newest(_) => format!("CASE WHEN {value} IS NOT NULL THEN 1 END"),
                    _ => format!(
                        "CASE WHEN {value} IS NOT NULL THEN pg_catalog.dense_rank() OVER (PARTITION BY x.\"once g\" ORDER BY {value}) END"
                    ),
                }
            })
            .collect();
        let of = |alias: &str| columns.iter().map(|column| column.of(alias)).collect::<Vec<_>>().join(", ");
        let names: Vec<String> = self.identity.iter().map(|c| format!("s.{}", quote(&self.identity_name(c)))).collect();
        format!(
            "SELECT x.\"once n\", x.\"once g\", ARRAY[{}]::pg_catalog.int8[] FROM (SELECT s.\"once n\", s.\"once g\", {} FROM once_ranked s UNION ALL \
             SELECT NULL, s.\"once g\", {} FROM (SELECT DISTINCT s.\"once g\", {} FROM once_ranked s) s JOIN {} t ON {}) x",
            ranks.join(", "),
            of("s"),
            of("t"),
            names.join(", "),
            self.relation,
            self.identity_joins()
        )
    }

    /// Which rows of `once_updates` would change their records, and in which of `columns`: number, booleans.
    pub fn changes(&self, columns: &[&Column]) -> String {
        let differs: Vec<String> = columns.iter().map(|column| column.differs("t")).collect();
        format!(
            "SELECT s.\"once n\", ARRAY[{}] FROM once_updates s JOIN {} t ON {} WHERE {}",
            differs.join(", "),
            self.relation,
            self.identity_joins(),
            either(&differs)
        )
    }

    /// Locks the records of the rows of `once_updates`, in order: number of the row.
    pub fn lock(&self) -> String {
        let order: Vec<String> = self.identity.iter().map(|column| column.of("t")).collect();
        format!(
            "SELECT s.\"once n\" FROM once_updates s JOIN {} t ON {} ORDER BY {} FOR UPDATE OF t",
            self.relation,
            self.identity_joins(),
            order.join(", ")
        )
    }

    /// Merges the rows of `once_updates` into their records where that changes something, and keeps in `images` what was
    /// there before, as part `$2` of job `$1`. Gives the numbers.
    pub fn update(&self, columns: &[&Column], images: &Relation) -> String {
        let sets: Vec<String> = columns.iter().map(|c| format!("{} = {}", quote(&c.name), c.merged("t"))).collect();
        let differs: Vec<String> = columns.iter().map(|column| column.differs("t")).collect();
        let before: Vec<String> = columns
            .iter()
            .zip(&differs)
            .map(|(column, differs)| {
                let (name, value) = (literal(&column.name), column.text("t"));
                format!("CASE WHEN {differs} THEN pg_catalog.jsonb_build_object({name}, {value}) ELSE '{{}}' END")
            })
            .collect();
        // A function takes no more than 100 arguments.
        let after: Vec<String> = columns
            .chunks(40)
            .map(|columns| {
                let pairs = columns.iter().map(|c| format!("{}, {}", literal(&c.name), c.text("t")));
                format!("pg_catalog.jsonb_build_object({})", pairs.collect::<Vec<_>>().join(", "))
            })
            .collect();
        format!(
            "WITH m AS MATERIALIZED (SELECT s.\"once n\" AS n, {before} AS before FROM once_updates s JOIN {table} t ON {joins} \
               WHERE {changes}), \
             u AS (UPDATE {table} t SET {sets} FROM once_updates s WHERE {joins} AND {changes} \
               RETURNING s.\"once n\" AS n, {identity} AS identity, {after} AS after, {digest} AS digest) \
             INSERT INTO {images} AS i (job_id, part, number, identity, action, before, after) \
             SELECT $1, $2, u.n, u.identity, '{UPDATED}', m.before, \
               (SELECT pg_catalog.jsonb_object_agg(k.name, u.after -> k.name) FROM pg_catalog.jsonb_object_keys(m.before) AS k(name)) \
             FROM u JOIN m ON m.n = u.n ORDER BY u.n \
             ON CONFLICT (job_id, part, number) DO UPDATE SET before = excluded.before || i.before, after = i.after || excluded.after, \
               digest = (SELECT u.digest FROM u WHERE u.n = excluded.number AND i.action = '{INSERTED}') \
             RETURNING number",
            before = before.join(" || "),
            table = self.relation,
            joins = self.identity_joins(),
            changes = either(&differs),
            sets = sets.join(", "),
            identity = self.identity_text("t"),
            after = after.join(" || "),
            digest = self.digest("t"),
        )
    }

    /// Makes records of the rows of `once_inserts`, in the order of the keys, as part `$2` of job `$1`; a row whose key
    /// has come meanwhile is passed over (`or_fail`: raises). Column `k` of the store says by which key the row is known.
    /// `is_ordered`: the store is in that order. Gives at least one row: how many were made, and number and name of each that has
    /// the key that it was given.
    pub fn insert(
        &self,
        columns: &[&Column],
        keys: &[usize],
        images: &Relation,
        or_fail: bool,
        is_ordered: bool,
    ) -> String {
        let mut names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
        let mut values: Vec<String> = columns.iter().map(|column| column.created()).collect();
        if let Some(job) = &self.job_column {
            names.push(quote(job));
            values.push("$1".into());
        }
        let order = if is_ordered { String::new() } else { format!("ORDER BY {}", self.order(columns)) };
        let written: Vec<String> = keys
            .iter()
            .map(|number| {
                let joins = self.keys[*number].joins_own("t");
                format!("SELECT s.\"once n\" AS n, t.\"once identity\" AS identity, t.\"once digest\" AS digest FROM once_inserts s JOIN i t ON {joins} WHERE s.\"once k\" = {number}")
            })
            .collect();
        let returned = match self.identity.as_slice() {
            [_] => "identity[1] AS name",
            _ => "pg_catalog.to_json(identity)::pg_catalog.text AS name",
        };
        let columns_of = |key: &Key| key.columns.iter().map(|(c, _)| c.name.clone()).collect::<Vec<_>>();
        let mut keyed: Vec<String> = self.keys.iter().flat_map(columns_of).collect();
        keyed.sort();
        keyed.dedup();
        let keyed: Vec<String> = keyed.iter().map(|name| format!("t.{}", quote(name))).collect();
        format!(
            "WITH i AS (INSERT INTO {} AS t ({}) SELECT {} FROM once_inserts s {order} {} \
               RETURNING {}, {} AS \"once identity\", {} AS \"once digest\"), \
             w AS (INSERT INTO {images} (job_id, part, number, identity, action, digest) \
               SELECT $1, $2, w.n, w.identity, '{INSERTED}', w.digest FROM ({}) w ORDER BY w.n RETURNING number, {returned}) \
             SELECT i.made, w.number, w.name FROM (SELECT pg_catalog.count(*) AS made FROM i) i LEFT JOIN w ON true",
            self.relation,
            names.join(", "),
            values.join(", "),
            if or_fail { "" } else { "ON CONFLICT DO NOTHING" },
            keyed.join(", "),
            self.identity_text("t"),
            self.digest("t"),
            written.join(" UNION ALL ")
        )
    }

    /// The records that job `$1` made and that are there, in the order of its rows: what names each as one text, and its values of
    /// these columns as texts.
    pub fn made(&self, images: &Relation, columns: &[&Column]) -> String {
        format!(
            "SELECT {}, {} FROM {images} m JOIN {} t ON {} \
             WHERE m.job_id = $1 AND m.part = 0 AND m.action = '{INSERTED}' ORDER BY m.number",
            self.name("t"),
            texts(&columns.iter().map(|column| column.text("t")).collect::<Vec<_>>()),
            self.relation,
            super::images::joins(&self.identity)
        )
    }

    /// The columns that rows are written in the order of, of those that the store has: one order for all who write.
    pub fn ordered_by<'c>(&self, columns: &[&'c Column]) -> Vec<(&KeyColumn, &'c Column)> {
        let mut order: Vec<(&KeyColumn, &Column)> = Vec::new();
        for (key, _) in self.keys.iter().flat_map(|key| &key.columns) {
            let column = columns.iter().find(|column| column.name == key.name).map(|column| (key, *column));
            order.extend(column.filter(|_| !order.iter().any(|(other, _)| other.name == key.name)));
        }
        order
    }

    fn order(&self, columns: &[&Column]) -> String {
        let by = |(key, column): (&KeyColumn, &Column)| {
            // Of texts that are equal as bytes only, this order is the quickest.
            let is_bytewise = column.form == Form::Plain && key.collation.is_some();
            format!("{}{}", column.of("s"), if is_bytewise { " COLLATE pg_catalog.\"C\"" } else { "" })
        };
        let order = self.ordered_by(columns).into_iter().map(by);
        order.chain(["s.\"once n\"".into()]).collect::<Vec<_>>().join(", ")
    }

    /// Which rows of `once_inserts` (`new`) or `once_updates` would break one of these rules, and which is the first: number, its place.
    /// What a default or the database fills is not known, so that constraints on it say nothing.
    pub fn broken(&self, columns: &[&Column], rules: &[Rule], new: bool) -> String {
        let given = |name: &str| columns.iter().find(|column| column.name == name);
        let value = |column: &Column| match (given(&column.name), new) {
            (Some(given), true) => given.of("s"),
            (Some(given), false) => given.merged("t"),
            (None, true) => format!("CAST(NULL AS {})", column.sql_type),
            (None, false) => column.of("t"),
        };
        let values: Vec<String> = self.columns.iter().map(|c| format!("{} AS {}", value(c), quote(&c.name))).collect();
        let filled = |name: &String| {
            let column = self.column(name).filter(|column| new && column.default.is_some());
            column.map(|column| {
                if given(name).is_some() { format!("{} IS NOT NULL", quote(&column.name)) } else { "false".into() }
            })
        };
        let mut opens = String::new();
        let broken: Vec<String> = rules
            .iter()
            .enumerate()
            .map(|(at, rule)| {
                match self.keyed(rule) {
                    // Who has the key of a new record was found.
                    Some(_) if new => return "false".into(),
                    Some(key) => {
                        opens += &format!(", {} AS \"{OWN}open {at}\"", self.is_open(key, &given));
                        return format!("(x.\"{OWN}open {at}\" AND {})", self.is_held(key));
                    }
                    None => {}
                }
                let known: Vec<String> = rule.columns.iter().filter_map(filled).collect();
                let parts: Vec<String> = known.into_iter().chain([rule.broken.clone()]).collect();
                format!("({})", parts.join(" AND "))
            })
            .collect();
        let cases: Vec<String> = broken.iter().enumerate().map(|(at, sql)| format!("WHEN {sql} THEN {at}")).collect();
        let from = if new {
            "once_inserts s".to_string()
        } else {
            format!("once_updates s JOIN {} t ON {}", self.relation, self.identity_joins())
        };
        format!(
            "SELECT x.\"once n\", (CASE {} END)::pg_catalog.int8 FROM (SELECT s.\"once n\", {}{opens} FROM {from}) x WHERE {}",
            cases.join(" "),
            values.join(", "),
            either(&broken)
        )
    }

    /// The key that the rule is about, if it is one of these.
    fn keyed(&self, rule: &Rule) -> Option<&Key> {
        let names = |key: &Key| key.columns.iter().map(|(column, _)| column.name.clone()).collect::<BTreeSet<_>>();
        let columns: BTreeSet<String> = rule.columns.iter().cloned().collect();
        self.keys.iter().filter(|_| rule.sqlstate == "23505").find(|key| names(key) == columns)
    }

    /// That `s` does not give the key whole: then nobody has asked yet who has it.
    fn is_open<'c>(&self, key: &Key, given: &impl Fn(&str) -> Option<&'c &'c Column>) -> String {
        let names = key.columns.iter().map(|(column, _)| &column.name).filter(|name| self.scope.as_ref() != Some(name));
        let lacks = |name: &String| given(name).map_or("true".into(), |column| format!("{} IS NULL", column.of("s")));
        either(&names.map(lacks).collect::<Vec<_>>())
    }

    /// That a record which no row changes has the key of `x`.
    fn is_held(&self, key: &Key) -> String {
        let equal: Vec<String> = key.columns.iter().map(|(column, _)| column.equal("u", "x")).collect();
        let itself: Vec<String> = self.identity.iter().map(|c| format!("{} = {}", c.of("u"), c.of("x"))).collect();
        let changed: Vec<String> =
            self.identity.iter().map(|c| format!("{} = o.{}", c.of("u"), quote(&self.identity_name(c)))).collect();
        format!(
            "EXISTS (SELECT FROM {} u WHERE {} AND NOT ({}) AND NOT EXISTS (SELECT FROM once_updates o WHERE {}))",
            self.relation,
            equal.join(" AND "),
            itself.join(" AND "),
            changed.join(" AND ")
        )
    }

    /// The columns that a digest is taken of.
    pub fn digested(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !self.derived.contains(&column.name))
    }

    /// A number that tells a record from every other state of it.
    fn digest(&self, alias: &str) -> String {
        let values: Vec<String> = self.digested().map(|column| column.hashed(alias)).collect();
        format!("pg_catalog.hash_record_extended(ROW({}), 0)", values.join(", "))
    }
}

pub(super) fn either(conditions: &[String]) -> String {
    if conditions.is_empty() { "false".into() } else { format!("({})", conditions.join(" OR ")) }
}

/// An n:m table: links stand in `once_links`, numbered, with the columns of the table.
pub struct Links<'a> {
    pub relation: &'a Relation,
    pub columns: Vec<&'a KeyColumn>,
}

impl Links<'_> {
    fn joins(&self) -> String {
        let parts: Vec<String> = self.columns.iter().map(|column| column.equal("t", "s")).collect();
        parts.join(" AND ")
    }

    fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// The numbers of the links that are not there yet.
    pub fn missing(&self) -> String {
        format!(
            "SELECT s.\"once n\" FROM once_links s WHERE NOT EXISTS (SELECT FROM {} t WHERE {})",
            self.relation,
            self.joins()
        )
    }

    /// Makes those that are not there, as part `$2` of job `$1`. Gives the numbers.
    pub fn insert(&self, table: &Table, images: &Relation) -> String {
        let names = self.names();
        let values: Vec<String> = names.iter().map(|name| format!("s.{}", quote(name))).collect();
        let returned: Vec<String> = names.iter().map(|name| format!("t.{}", quote(name))).collect();
        format!(
            "WITH i AS (INSERT INTO {} AS t ({names}) SELECT {values} FROM once_links s ORDER BY {values} ON CONFLICT DO NOTHING \
               RETURNING {}, {} AS \"once identity\", {} AS \"once digest\") \
             INSERT INTO {images} (job_id, part, number, identity, action, digest) \
             SELECT $1, $2, s.\"once n\", t.\"once identity\", '{INSERTED}', t.\"once digest\" FROM once_links s JOIN i t ON {} RETURNING number",
            self.relation,
            returned.join(", "),
            table.identity_text("t"),
            table.digest("t"),
            self.joins(),
            names = quote_list(&names),
            values = values.join(", "),
        )
    }
}
