//! Targets: which tables may be written to, by which key, and how. A target is looked up by its name,
//! or rebuilt from what a job recorded; either way its tables are looked at anew.

mod catalog;
mod registry;

use crate::backend::Jsonb;
use crate::error::{OnceError, Result};
use crate::spi::{self, Arg};
use crate::{jobs, rights};

use once_core::bulk::{Bulk, Lookup, Rule};
use once_core::ident::{Relation, quote, quote_list};
use once_core::key::KeyColumn;
use once_core::spec::{BulkSpec, STAGING_COLUMNS, Spec, wrong};
use pgrx::Uuid;
use pgrx::pg_sys::{self, Oid};

pub use catalog::{
    Column, Table, check_constraints, describe, equality, estimated_rows, find, has_before_insert_trigger, is_partial,
    key_index, leaves_archived_out, nulls_are_equal, other_constraints, primary_key, unique_index,
};
pub use registry::{create, lookup, registered_relation, require_vouched};

/// A target that takes rows in bulk, whose tables are there and fit its spec.
pub struct Target {
    pub name: String,
    pub spec: BulkSpec,
    pub bulk: Bulk,
    pub relation_oid: Oid,
    pub staging_oid: Oid,
    /// Whether a crash would empty the staging table.
    pub staging_unlogged: bool,
}

/// One tenant of a target, or the whole of a target that has no scope.
pub struct Scope {
    is_whole: bool,
    /// The value as its type writes it; empty where the target has no scope.
    pub text: String,
}

impl Scope {
    /// The scope as `$1` of a statement.
    pub fn arg(&self) -> Arg<'static> {
        (!self.is_whole).then(|| self.text.clone()).into()
    }

    /// How messages call it.
    pub fn shown(&self) -> &str {
        if self.is_whole { "(none)" } else { &self.text }
    }
}

impl Target {
    /// The target registered under `name`.
    ///
    /// # Errors
    /// `22004` for NULL, `42704` where there is none, `42501` where whoever registered it does not own
    /// its tables any more, and whatever does not fit between the spec and the tables.
    pub fn named(name: Option<String>) -> Result<Self> {
        let name = name.ok_or(OnceError::NullArgument { name: "target".into() })?;
        let (relation, spec) = registry::lookup(&name)?;
        let Spec::Bulk(spec) = spec else {
            return Err(OnceError::WrongKind { name, is: spec.kind().into(), must: "bulk".into() });
        };
        let production = catalog::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
        let staging_name = staging_of(&production.relation, &spec)?;
        let staging = catalog::find(&staging_name)?.ok_or(OnceError::RelationGone { relation: staging_name })?;
        registry::require_vouched(&name, &[production.oid, staging.oid])?;
        Self::fit(name, production, Some(staging), spec)
    }

    /// The target as a job recorded it, whatever the registry says now; its staging table may be gone.
    pub fn of_job(name: String, relation: Relation, spec: BulkSpec) -> Result<Self> {
        let production = catalog::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
        let needed: Vec<(&str, String)> = [Some(&spec.job_column), spec.scope.as_ref(), spec.protect.as_ref()]
            .into_iter()
            .flatten()
            .map(|column| (column.as_str(), "text".to_string()))
            .collect();
        missing(&production, &needed)?;
        // Its key matters no more, and neither does an index that it may have lost; but if it is there, so is
        // the scope's own equality.
        let scope_and_key: Vec<String> = spec.scope.iter().chain(&spec.key).cloned().collect();
        let equality = catalog::equality(&production, &scope_and_key)?;
        let columns = spec.columns.clone().unwrap_or_default();
        Self::build(name, production, None, spec, equality.unwrap_or_default(), columns)
    }

    /// Checks that the tables have what the spec names.
    fn fit(name: String, production: Table, staging: Option<Table>, spec: BulkSpec) -> Result<Self> {
        if !production.is_table {
            return Err(OnceError::NotATable { relation: production.relation });
        }
        require_columns(&production, &spec)?;
        let scope_and_key: Vec<String> = spec.scope.iter().chain(&spec.key).cloned().collect();
        let equality = catalog::equality(&production, &scope_and_key)?
            .ok_or_else(|| no_unique_index(&production.relation, &scope_and_key, "CONCURRENTLY "))?;
        let columns = copied_columns(&production, staging.as_ref(), &spec)?;
        if let Some(column) = spec.required.iter().find(|c| !columns.contains(c) && !spec.key.contains(c)) {
            let problem = format!("column \"{column}\" is not copied from staging");
            let error = wrong("required", problem, "Name all that is copied in \"columns\", with this column.");
            return Err(OnceError::BadSpec { target: name, error });
        }
        require_aliases(&name, &spec, &columns)?;
        if let Some(staging) = &staging {
            require_staging(staging, &production, &spec, &columns)?;
        }
        Self::build(name, production, staging, spec, equality, columns)
    }

    fn build(
        name: String,
        production: Table,
        staging: Option<Table>,
        mut spec: BulkSpec,
        mut equality: Vec<KeyColumn>,
        columns: Vec<String>,
    ) -> Result<Self> {
        let key = spec.key.iter().filter_map(|name| take(&mut equality, name)).collect();
        let scope = spec.scope.as_ref().map(|name| take(&mut equality, name).unwrap_or_else(|| KeyColumn::plain(name)));
        spec.columns = Some(columns.clone());
        let staging_relation = staging_of(&production.relation, &spec)?;
        spec.staging = Some(staging_relation.name.clone());
        let bulk = Bulk {
            primary_key: catalog::primary_key(&production)?,
            staging: staging_relation,
            scope,
            scope_type: spec
                .scope
                .as_ref()
                .and_then(|name| production.column(name))
                .map_or("text".into(), |c| c.base_type.clone()),
            key,
            columns,
            job_column: spec.job_column.clone(),
            protect: spec.protect.clone(),
            staged: staging.iter().flat_map(|t| &t.columns).map(|c| c.name.clone()).collect(),
            relation: production.relation.clone(),
        };
        Ok(Self {
            name,
            spec,
            bulk,
            relation_oid: production.oid,
            staging_oid: staging.as_ref().map_or(pg_sys::InvalidOid, |t| t.oid),
            staging_unlogged: staging.is_some_and(|t| t.unlogged),
        })
    }

    /// The scope that `given` means, read by the scope column's own type.
    ///
    /// # Errors
    /// `22004` where the target needs one, `22023` where it has none, and what the type's input raises.
    pub fn scope(&self, given: Option<String>) -> Result<Scope> {
        match (&self.spec.scope, given) {
            (Some(column), None) => Err(OnceError::NullArgument { name: column.clone() }),
            (None, Some(given)) => Err(OnceError::NoScope { target: self.name.clone(), given }),
            (None, None) => Ok(Scope { is_whole: true, text: String::new() }),
            (Some(_), Some(given)) => {
                let sql = format!("SELECT CAST($1 AS {})::text", self.bulk.scope_type);
                Ok(Scope { is_whole: false, text: spi::known_one(&sql, &[given.into()], |row| row.need(1))? })
            }
        }
    }

    /// Records a new job in the scope, `pending`.
    pub fn begin_job(&self, scope: &Scope, source_info: Option<Jsonb>) -> Result<Uuid> {
        let recorded = (!scope.is_whole).then(|| scope.text.clone());
        jobs::create(&self.name, &self.bulk.relation, &Spec::Bulk(self.spec.clone()), recorded, source_info)
    }

    /// A scope as it was recorded before: its text is that of the type already.
    pub fn recorded_scope(&self, text: String) -> Scope {
        Scope { is_whole: self.spec.scope.is_none(), text }
    }

    /// What every staged row must keep to be written: values where the key and the spec want them, and
    /// where NOT NULL and the CHECK constraints do, unless a trigger may put them right.
    pub fn rules(&self) -> Result<Vec<Rule>> {
        let production = catalog::describe(self.relation_oid)?;
        let copied: Vec<&String> = self.spec.scope.iter().chain(&self.spec.key).chain(&self.bulk.columns).collect();
        let as_staged = !catalog::has_before_insert_trigger(&production)?;
        let mut rules = Vec::new();
        for column in production.columns.iter().filter(|c| copied.contains(&&c.name)) {
            if self.spec.key.contains(&column.name) || self.spec.required.contains(&column.name) {
                rules.push(Rule::required(&column.name, column.is_text));
            } else if as_staged && column.not_null && Some(&column.name) != self.spec.scope.as_ref() {
                rules.push(Rule::required(&column.name, false));
            }
            rules.extend(fits(column));
        }
        if as_staged {
            let checks = catalog::check_constraints(&production)?;
            rules.extend(checks.into_iter().filter(|rule| rule.columns.iter().all(|c| copied.contains(&c))));
        }
        Ok(rules)
    }

    /// How to look `staged` rows up in production. A probe costs about ten times what a row of a hash join
    /// does; and where row-level security stands before a comparison that is not leakproof, no index can be
    /// probed at all.
    pub fn lookup(&self, staged: i64) -> Result<Lookup> {
        let much_staged = staged.saturating_mul(10) >= catalog::estimated_rows(self.relation_oid)?;
        Ok(if much_staged || rights::row_security(self.relation_oid)? { Lookup::Join } else { Lookup::Probe })
    }

    /// Whether what is written may not be what was to be written.
    pub fn may_change_rows(&self) -> Result<bool> {
        catalog::has_triggers_or_rules(self.relation_oid)
    }

    /// Runs `work`, a statement over the rows of a job that are about so many. No statistics know of a job that was just
    /// written.
    pub fn over_job<T>(&self, rows: i64, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let many = rows.saturating_mul(10) >= catalog::estimated_rows(self.relation_oid)?;
        if many { spi::whole(work) } else { work() }
    }
}

/// Has a table's deferred constraints checked now, so that what they refuse is the caller's failure and not that of the
/// transaction's end, and no event waits that would forbid DDL. They stay immediate until then.
pub fn check_constraints_now(table: Oid) -> Result<()> {
    match catalog::deferrable_constraints(table)? {
        Some(constraints) => spi::script(&format!("SET CONSTRAINTS {constraints} IMMEDIATE")),
        None => Ok(()),
    }
}

/// The rule that a value is not changed by what the column allows: an assignment rounds to its digits, and
/// cuts trailing blanks, without a word.
fn fits(column: &Column) -> Option<Rule> {
    let value = format!("s.{}", quote(&column.name));
    let (broken, sqlstate) = match (column.base, column.modifier) {
        (_, -1) => return None,
        // numeric.h: scale in the low 11 bits (signed from 15 on), of typmod - VARHDRSZ.
        (pg_sys::NUMERICOID, modifier) => {
            let scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
            (format!("({value} <> pg_catalog.round({value}, {scale}))"), "22003")
        }
        (pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID | pg_sys::TIMEOID, _) => {
            (format!("({value} <> CAST({value} AS {}))", column.sql_type), "22001")
        }
        _ => return None,
    };
    let columns = vec![column.name.clone()];
    Some(Rule { reason: format!("{} does not fit {}", column.name, column.sql_type), columns, broken, sqlstate })
}

/// The name of the staging table, which stands beside its target.
fn staging_of(relation: &Relation, spec: &BulkSpec) -> Result<Relation> {
    let name = spec.staging.clone().unwrap_or_else(|| format!("{}_staging", relation.name));
    if name.len() > 63 || name.is_empty() {
        return Err(OnceError::LongName { name });
    }
    Ok(relation.beside(&name))
}

fn take(columns: &mut Vec<KeyColumn>, name: &str) -> Option<KeyColumn> {
    columns.iter().position(|c| c.name == name).map(|at| columns.swap_remove(at))
}

pub fn no_unique_index(relation: &Relation, columns: &[String], how: &str) -> OnceError {
    OnceError::NoUniqueIndex {
        relation: relation.clone(),
        columns: quote_list(columns),
        statement: format!("CREATE UNIQUE INDEX {how}ON {relation} ({});", quote_list(columns)),
    }
}

pub fn missing(table: &Table, wanted: &[(&str, String)]) -> Result<()> {
    let absent: Vec<&(&str, String)> = wanted.iter().filter(|(name, _)| table.column(name).is_none()).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let adds: Vec<String> =
        absent.iter().map(|(name, sql_type)| format!("ADD COLUMN {} {sql_type}", quote(name))).collect();
    Err(OnceError::MissingColumns {
        relation: table.relation.clone(),
        columns: quote_list(&absent.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
        statement: format!("ALTER TABLE {} {};", table.relation, adds.join(", ")),
    })
}

pub fn wrong_column(table: &Table, column: &Column, must: String, statement: String) -> OnceError {
    OnceError::WrongColumn {
        relation: table.relation.clone(),
        column: column.name.clone(),
        is: column.sql_type.clone(),
        must,
        statement,
    }
}

pub fn require_type(table: &Table, name: &str, base: Oid, sql_type: &str) -> Result<()> {
    match table.column(name) {
        Some(column) if column.base != base => Err(wrong_column(
            table,
            column,
            format!("must be of type {sql_type}"),
            format!("ALTER TABLE {} ALTER COLUMN {} TYPE {sql_type};", table.relation, quote(name)),
        )),
        _ => Ok(()),
    }
}

/// A scope as one of the columns that `missing` looks for: to add it is not all that is to be done.
pub fn missing_scope<'a>(name: &'a str, sql_type: &str) -> (&'a str, String) {
    (name, format!("{sql_type} /* then fill it: rows without it are all one unknown owner's */"))
}

/// That the column tells each row from all others.
///
/// # Errors
/// `42P10`, `42804` where it is not unique or may be NULL.
pub fn require_id(table: &Table, name: &str) -> Result<()> {
    let (relation, column) = (&table.relation, quote(name));
    if unique_index(table.oid, &[name.into()])?.is_none() {
        let statement = format!("ALTER TABLE {relation} ADD PRIMARY KEY ({column});");
        return Err(OnceError::NoUniqueIndex { relation: relation.clone(), columns: column, statement });
    }
    match table.column(name) {
        Some(found) if !found.not_null => {
            let statement = format!("ALTER TABLE {relation} ALTER COLUMN {column} SET NOT NULL;");
            Err(wrong_column(table, found, "must be NOT NULL".into(), statement))
        }
        _ => Ok(()),
    }
}

/// A scope is compared, locked and recorded as text, so equal scopes must be equal texts, whatever the
/// session's settings.
pub fn require_plain_scope(production: &Table, scope: Option<&String>) -> Result<()> {
    const PLAIN: [Oid; 8] = [
        pg_sys::UUIDOID,
        pg_sys::INT2OID,
        pg_sys::INT4OID,
        pg_sys::INT8OID,
        pg_sys::TEXTOID,
        pg_sys::VARCHAROID,
        pg_sys::BPCHAROID,
        pg_sys::BOOLOID,
    ];
    match scope.and_then(|name| production.column(name)) {
        Some(column) if !(column.is_enum || PLAIN.contains(&column.base)) || !column.deterministic => {
            Err(wrong_column(
                production,
                column,
                "can't be a scope".into(),
                "A scope is a uuid, an integer, a text of deterministic collation, a boolean or an enum.".into(),
            ))
        }
        _ => Ok(()),
    }
}

fn require_columns(production: &Table, spec: &BulkSpec) -> Result<()> {
    let mut wanted: Vec<(&str, String)> = Vec::new();
    let named = spec.scope.iter().chain(&spec.key).chain(spec.columns.iter().flatten()).chain(&spec.required);
    wanted.extend(named.map(|name| (name.as_str(), "text".to_string())));
    wanted.push((&spec.job_column, "uuid".into()));
    wanted.extend(spec.protect.iter().map(|name| (name.as_str(), "boolean NOT NULL DEFAULT false".to_string())));
    missing(production, &wanted)?;
    require_type(production, &spec.job_column, pg_sys::UUIDOID, "uuid")?;
    if let Some(protect) = &spec.protect {
        require_type(production, protect, pg_sys::BOOLOID, "boolean")?;
    }
    require_plain_scope(production, spec.scope.as_ref())?;
    let written = spec.scope.iter().chain(&spec.key).chain(spec.columns.iter().flatten()).chain([&spec.job_column]);
    require_writable(production, written, |_| {
        "An import writes this column: leave it out of the spec, or let it be written to.".into()
    })
}

/// That something else than Postgres may fill these columns; `remedy` says what to do about one.
pub fn require_writable<'a>(
    table: &Table,
    names: impl IntoIterator<Item = &'a String>,
    remedy: impl Fn(&Column) -> String,
) -> Result<()> {
    match names.into_iter().filter_map(|name| table.column(name)).find(|column| column.generated_always) {
        None => Ok(()),
        Some(column) => Err(wrong_column(table, column, "must not be GENERATED ALWAYS".into(), remedy(column))),
    }
}

/// What is copied besides scope and key: what the spec says, else all that an import can fill.
fn copied_columns(production: &Table, staging: Option<&Table>, spec: &BulkSpec) -> Result<Vec<String>> {
    let beside = |name: &String| Some(name) != spec.scope.as_ref() && !spec.key.contains(name);
    if let Some(columns) = &spec.columns {
        return Ok(columns.iter().filter(|name| beside(name)).cloned().collect());
    }
    let importable = |name: &String| {
        *name != spec.job_column
            && Some(name) != spec.protect.as_ref()
            && !STAGING_COLUMNS.contains(&name.as_str())
            && staging.is_none_or(|table| table.column(name).is_some())
    };
    let columns = production.columns.iter().filter(|c| !c.filled_by_itself).map(|c| c.name.clone());
    Ok(columns.filter(|name| beside(name) && importable(name)).collect())
}

/// An alias stands for a column that is staged, and is not the name of one itself.
fn require_aliases(target: &str, spec: &BulkSpec, columns: &[String]) -> Result<()> {
    let staged = |name: &String| spec.scope.iter().chain(&spec.key).chain(columns).any(|c| c == name);
    let error = match spec.aliases.iter().find(|(alias, column)| staged(alias) || !staged(column)) {
        None => return Ok(()),
        Some((alias, _)) if staged(alias) => {
            wrong("aliases", format!("\"{alias}\" is a column, and can't stand for another"), "Leave it out.")
        }
        Some((alias, column)) => wrong(
            "aliases",
            format!("\"{alias}\" stands for column \"{column}\", which is not copied from staging"),
            format!("Give {{\"{alias}\": …}} the name of a column of scope, key or columns."),
        ),
    };
    Err(OnceError::BadSpec { target: target.into(), error })
}

fn require_staging(staging: &Table, production: &Table, spec: &BulkSpec, columns: &[String]) -> Result<()> {
    let type_of = |name: &str| production.column(name).map_or("text".into(), |c| c.sql_type.clone());
    let copied = || spec.scope.iter().chain(&spec.key).chain(columns).chain(&spec.required);
    let mut wanted: Vec<(&str, String)> = copied().map(|name| (name.as_str(), type_of(name))).collect();
    wanted.push(("row_number", "bigint GENERATED BY DEFAULT AS IDENTITY".into()));
    wanted.push(("internal_dup", "boolean NOT NULL DEFAULT false".into()));
    wanted.push(("existing_dup", "boolean NOT NULL DEFAULT false".into()));
    missing(staging, &wanted)?;
    for name in copied() {
        let (Some(from), Some(to)) = (staging.column(name), production.column(name)) else { continue };
        // Any other type would be cast on the way, and a cast may round.
        let both_text = [from, to].iter().all(|c| c.base == pg_sys::TEXTOID || c.base == pg_sys::VARCHAROID);
        if !both_text {
            require_type(staging, name, to.base, &to.sql_type)?;
        }
    }
    require_type(staging, "row_number", pg_sys::INT8OID, "bigint")?;
    require_type(staging, "internal_dup", pg_sys::BOOLOID, "boolean")?;
    require_type(staging, "existing_dup", pg_sys::BOOLOID, "boolean")?;
    if let Some(number) = staging.column("row_number").filter(|c| !c.filled_by_itself || !c.not_null) {
        let relation = &staging.relation;
        let statement = format!(
            "ALTER TABLE {relation} ALTER COLUMN row_number SET NOT NULL, ALTER COLUMN row_number ADD GENERATED BY DEFAULT AS IDENTITY;"
        );
        return Err(wrong_column(staging, number, "must be NOT NULL and assigned by the database".into(), statement));
    }
    Ok(())
}
