//! A target of rows: its table, looked at, with what its spec says of each column.

mod columns;
mod keys;
mod opened;
mod relatives;

pub use columns::{Field, is_canonical, kind, statement_columns, stored};
pub use keys::identity;
pub use relatives::{LinkTable, Reference};

use crate::error::{OnceError, Result};
use crate::targets::{self, Column, Table};
use crate::{rights, spi};
use once_core::bulk::Rule;
use once_core::ident::{Relation, quote};
use once_core::rows::plan;
use once_core::rows::statements::{self, Key};
use once_core::rows::value::Kind;
use once_core::spec::{Merge, Missing, OnMatch, RowsSpec, wrong};
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

/// A target whose tables are there and fit its spec.
pub struct Target {
    pub name: String,
    pub spec: RowsSpec,
    pub oid: Oid,
    pub table: statements::Table,
    pub columns: Vec<Column>,
    /// What rows may fill.
    pub fields: Vec<Field>,
    /// The field that gets what no other takes.
    pub rest: Option<usize>,
    pub references: Vec<Reference>,
    pub links: Vec<LinkTable>,
}

/// How many targets a reference may lead through.
const DEEPEST: usize = 8;

impl Target {
    /// The target registered under `name`.
    ///
    /// # Errors
    /// `22004` for NULL, `42704` where there is none, `42809` where it takes no rows, `42501` where whoever registered it
    /// does not own its tables any more, and whatever does not fit between the spec and the tables.
    pub fn open(name: Option<String>) -> Result<Rc<Self>> {
        let name = name.ok_or(OnceError::NullArgument { name: "target".into() })?;
        opened::named(&name, 0)
    }

    /// The table, and those of its links.
    pub fn tables(&self) -> Vec<(Relation, Oid)> {
        let links = self.links.iter().map(|link| (link.table.relation.clone(), link.oid));
        std::iter::once((self.table.relation.clone(), self.oid)).chain(links).collect()
    }

    /// Checks that the tables have what the spec names.
    pub fn new(name: String, table: Table, spec: RowsSpec) -> Result<Self> {
        Self::fit(name, table, spec, 0)
    }

    fn fit(name: String, table: Table, spec: RowsSpec, depth: usize) -> Result<Self> {
        if !table.is_table {
            return Err(OnceError::NotATable { relation: table.relation });
        }
        let bad_spec = |error| OnceError::BadSpec { target: name.clone(), error };
        if depth > DEEPEST {
            let remedy = "Let a target refer to none that refers to it.";
            return Err(bad_spec(wrong("references", "references go round in a circle", remedy)));
        }
        if let Some(column) = table.columns.iter().find(|column| column.name.starts_with(statements::OWN)) {
            let must = format!("must not begin with \"{}\", as columns of pg_once's own do", statements::OWN);
            let statement = format!("ALTER TABLE {} RENAME COLUMN {} TO …;", table.relation, quote(&column.name));
            return Err(targets::wrong_column(&table, column, must, statement));
        }
        columns::require_columns(&table, &spec)?;
        if !is_timezone(&spec.timezone)? {
            let reason = format!("there is no time zone \"{}\"", spec.timezone);
            let remedy = "Name one of pg_timezone_names, as \"Asia/Kuala_Lumpur\".";
            return Err(bad_spec(wrong("timezone", reason, remedy)));
        }
        columns::require_merges(&table, &spec).map_err(|(name, must)| columns::wrong_merge(&table, &name, must))?;
        relatives::require_details(&name, &table, &spec)?;
        let keys = keys::keys(&table, &spec)?;
        let merge = |column: &Column| spec.merge_of(&column.name).clone();
        let mut columns: Vec<statements::Column> = table
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| columns::stated(place, column, merge(column)))
            .collect();
        for (name, normalize) in &spec.normalize {
            let followed = columns.iter().find(|column| column.name == *name).cloned().map(Box::new);
            for kept in normalize.raw.iter().chain(&normalize.version).filter(|kept| !spec.merge.contains_key(*kept)) {
                if let Some(column) = columns.iter_mut().find(|column| column.name == *kept) {
                    column.follows = followed.clone();
                }
            }
        }
        let identity = identity(&table, &spec)?;
        let stated = statements::Table {
            relation: table.relation.clone(),
            identity: columns.iter().filter(|column| identity.contains(&column.name)).cloned().collect(),
            keys,
            tracked: spec.tracked().into_iter().map(String::from).collect(),
            scope: spec.scope.clone(),
            job_column: spec.job_column.clone(),
            protect: spec.protect.clone(),
            derived: spec.derived.clone(),
            columns,
        };
        let fields = columns::fields(&table, &spec)?;
        columns::require_names(&fields, &spec).map_err(bad_spec)?;
        let mut references = Vec::new();
        for (column, reference) in &spec.references {
            references.push(relatives::refer(&name, &fields, &spec, column, reference, depth)?);
        }
        let links =
            spec.links.iter().map(|link| relatives::link_table(&table, &stated, link)).collect::<Result<_>>()?;
        let rest = spec.rest.as_ref().and_then(|rest| fields.iter().position(|field| field.column.name == *rest));
        Ok(Self { oid: table.oid, columns: table.columns, table: stated, fields, rest, references, links, name, spec })
    }

    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.column.name == name)
    }

    /// What becomes of a tracked value: what names a record, and whose it is, stays.
    fn tracked_merge(&self, name: &str) -> Merge {
        if self.is_fixed(name) { Merge::Keep } else { self.spec.merge_of(name).clone() }
    }

    /// Whether a record keeps its value in this column for good.
    pub fn is_fixed(&self, name: &str) -> bool {
        self.table.identity.iter().any(|column| column.name == name) || self.spec.scope.as_deref() == Some(name)
    }

    /// What a row without it would call what fills a column.
    pub fn source_of(&self, field: usize) -> String {
        let reference = self.references.iter().find(|reference| reference.field == field);
        let by = reference
            .map(|reference| reference.by.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" and "));
        let known = &self.fields[field];
        // The column's own name is what it is called here; the spec says what it is called there.
        by.unwrap_or_else(|| known.names.get(1).unwrap_or(&known.column.name).clone())
    }

    pub fn column_is_integer(&self, name: &str) -> bool {
        self.field(name).is_some_and(|field| matches!(self.fields[field].kind, Kind::Integer { .. }))
    }

    /// What a plan must know.
    pub fn shape(&self, on_match: OnMatch) -> plan::Shape {
        let place = |name: &str| self.table.tracked.iter().position(|tracked| tracked == name).unwrap_or(0);
        let key = |key: &Key| plan::Key {
            columns: key.columns.iter().map(|(column, _)| place(&column.name)).collect(),
            null_counts: key.columns.iter().map(|(_, null_counts)| *null_counts).collect(),
        };
        plan::Shape {
            keys: self.table.keys.iter().map(key).collect(),
            confirm: self.spec.confirm.iter().map(|name| place(name)).collect(),
            merges: self.table.tracked.iter().map(|name| self.tracked_merge(name)).collect(),
            on_match,
        }
    }

    /// Whether a record found by a key may have other tracked values than the row.
    pub fn is_many_keyed(&self) -> bool {
        self.table.keys.len() > 1 || !self.spec.confirm.is_empty()
    }

    /// What the database would refuse, as far as it can be told, unless a trigger may put it right. Looked up when it is
    /// asked for: what the caller may read decides too.
    pub fn checks(&self) -> Result<Vec<Rule>> {
        let table = targets::describe(self.oid)?;
        if targets::has_before_insert_trigger(&table)? {
            return Ok(Vec::new());
        }
        let worded = |rule: Rule| Rule {
            reason: format!("new row for relation {} {}", quote(&table.relation.name), rule.reason),
            ..rule
        };
        let mut checks: Vec<Rule> = targets::check_constraints(&table)?.into_iter().map(worded).collect();
        checks.extend(targets::other_constraints(&table)?);
        Ok(checks)
    }

    /// # Errors
    /// `42501` where the caller can't read and write the tables as an import does.
    pub fn require_rights(&self, dry_run: bool) -> Result<()> {
        let hint = rights::ask_for_access(&self.name)?;
        let write: &[&str] = match (dry_run, self.spec.on_match) {
            (true, _) => &["SELECT"],
            (_, OnMatch::Skip) => &["SELECT", "INSERT"],
            (_, OnMatch::Update) => &["SELECT", "INSERT", "UPDATE"],
        };
        for (at, (relation, oid)) in self.tables().iter().enumerate() {
            rights::require_schema(relation, &hint)?;
            rights::require(relation, *oid, if at == 0 || dry_run { write } else { &["SELECT", "INSERT"] }, &hint)?;
        }
        for reference in &self.references {
            let creates = reference.missing == Missing::Create && !dry_run;
            let (relation, oid) = (&reference.target.table.relation, reference.target.oid);
            let privileges: &[&str] = if creates { &["SELECT", "INSERT"] } else { &["SELECT"] };
            let hint = rights::ask_for_access(&reference.target.name)?;
            rights::require_schema(relation, &hint)?;
            rights::require(relation, oid, privileges, &hint)?;
        }
        Ok(())
    }
}

thread_local! {
    static TIMEZONES: RefCell<HashSet<String>> = RefCell::default();
}

/// Whether Postgres knows the time zone. To find out it reads hundreds of files, so that the session remembers those it has.
fn is_timezone(name: &str) -> Result<bool> {
    if name == "UTC" || TIMEZONES.with_borrow(|known| known.contains(name)) {
        return Ok(true);
    }
    let sql = "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)";
    let is_known = spi::known_one(sql, &[name.into()], |row| row.need::<bool>(1))?;
    if is_known {
        TIMEZONES.with_borrow_mut(|known| known.insert(name.into()));
    }
    Ok(is_known)
}
