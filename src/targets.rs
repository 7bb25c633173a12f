//! Targets: which tables may be written to, by which key, and how. A target is looked up by its name,
//! or rebuilt from what a job recorded; either way its tables are looked at anew.

mod catalog;
mod registry;

use crate::error::{OnceError, Result};
use crate::spi::{self, Arg};

use once_core::bulk::{Bulk, KeyColumn, Rule};
use once_core::ident::{Relation, quote, quote_list};
use once_core::spec::{STAGING_COLUMNS, Spec};
use pgrx::pg_sys::Oid;

pub use catalog::{Table, find, oid_of, unique_index};
pub use registry::{create, registered_relation};

/// A target whose tables are there and fit its spec.
pub struct Target {
    pub name: String,
    pub spec: Spec,
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
        let production = catalog::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
        let staging_name = staging_of(&production.relation, &spec)?;
        let staging = catalog::find(&staging_name)?.ok_or(OnceError::RelationGone { relation: staging_name })?;
        registry::require_vouched(&name, &production, &staging)?;
        Self::fit(name, production, Some(staging), spec)
    }

    /// The target as job `job` recorded it; its staging table may be gone.
    pub fn of_job(job: &str, name: String, relation: Relation, spec: &str) -> Result<Self> {
        let spec = Spec::parse(spec).map_err(|error| OnceError::BadJobSpec { job: job.into(), error })?;
        let production = catalog::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
        Self::fit(name, production, None, spec)
    }

    /// Checks that the tables have what the spec names.
    fn fit(name: String, production: Table, staging: Option<Table>, mut spec: Spec) -> Result<Self> {
        require_columns(&production, &spec)?;
        let scope_and_key: Vec<String> = spec.scope.iter().chain(&spec.key).cloned().collect();
        let mut equality = catalog::unique_index(&production, &scope_and_key)?
            .ok_or_else(|| no_unique_index(&production.relation, &scope_and_key, "CONCURRENTLY "))?;
        let columns = copied_columns(&production, staging.as_ref(), &spec)?;
        if let Some(staging) = &staging {
            require_staging(staging, &production, &spec, &columns)?;
        }
        let key = spec.key.iter().filter_map(|name| take(&mut equality, name)).collect();
        let scope = spec.scope.as_ref().and_then(|name| take(&mut equality, name));
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
                .map_or("text".into(), |c| c.plain_type.clone()),
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
            staging_oid: staging.as_ref().map_or(pgrx::pg_sys::InvalidOid, |t| t.oid),
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
                Ok(Scope { is_whole: false, text: spi::read_one(&sql, &[given.into()], |row| row.need(1))? })
            }
        }
    }

    /// What every staged row must keep to be written: values where the key, the spec and NOT NULL want
    /// them, and the table's own CHECK constraints.
    pub fn rules(&self) -> Result<Vec<Rule>> {
        let production = catalog::find(&self.bulk.relation)?
            .ok_or_else(|| OnceError::RelationGone { relation: self.bulk.relation.clone() })?;
        let copied: Vec<&String> = self.spec.scope.iter().chain(&self.spec.key).chain(&self.bulk.columns).collect();
        let mut rules = Vec::new();
        for column in production.columns.iter().filter(|c| copied.contains(&&c.name)) {
            if self.spec.key.contains(&column.name) || self.spec.required.contains(&column.name) {
                rules.push(Rule::required(&column.name, column.is_text));
            } else if column.not_null && Some(&column.name) != self.spec.scope.as_ref() {
                rules.push(Rule::required(&column.name, false));
            }
        }
        rules.extend(
            catalog::check_constraints(&production)?
                .into_iter()
                .filter(|rule| rule.columns.iter().all(|c| copied.contains(&c))),
        );
        Ok(rules)
    }
}

/// The name of the staging table, which stands beside its target.
fn staging_of(relation: &Relation, spec: &Spec) -> Result<Relation> {
    let name = spec.staging.clone().unwrap_or_else(|| format!("{}_staging", relation.name));
    if name.len() > 63 || name.is_empty() {
        return Err(OnceError::LongName { name });
    }
    Ok(Relation { schema: relation.schema.clone(), name })
}

fn take(columns: &mut Vec<KeyColumn>, name: &str) -> Option<KeyColumn> {
    columns.iter().position(|c| c.name == name).map(|at| columns.swap_remove(at))
}

fn no_unique_index(relation: &Relation, columns: &[String], how: &str) -> OnceError {
    OnceError::NoUniqueIndex {
        relation: relation.clone(),
        columns: quote_list(columns),
        statement: format!("CREATE UNIQUE INDEX {how}ON {relation} ({});", quote_list(columns)),
    }
}

fn missing(table: &Table, wanted: &[(&str, String)]) -> Result<()> {
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

fn require_type(table: &Table, column: &str, sql_type: &str) -> Result<()> {
    match table.column(column) {
        Some(found) if found.sql_type != sql_type => Err(OnceError::WrongColumn {
            relation: table.relation.clone(),
            column: column.into(),
            is: found.sql_type.clone(),
            must: format!("must be of type {sql_type}"),
            statement: format!("ALTER TABLE {} ALTER COLUMN {} TYPE {sql_type};", table.relation, quote(column)),
        }),
        _ => Ok(()),
    }
}

fn require_columns(production: &Table, spec: &Spec) -> Result<()> {
    let mut wanted: Vec<(&str, String)> = Vec::new();
    let named = spec.scope.iter().chain(&spec.key).chain(spec.columns.iter().flatten()).chain(&spec.required);
    wanted.extend(named.map(|name| (name.as_str(), "text".to_string())));
    wanted.push((&spec.job_column, "uuid".into()));
    wanted.extend(spec.protect.iter().map(|name| (name.as_str(), "boolean NOT NULL DEFAULT false".to_string())));
    missing(production, &wanted)?;
    require_type(production, &spec.job_column, "uuid")?;
    match &spec.protect {
        Some(protect) => require_type(production, protect, "boolean"),
        None => Ok(()),
    }
}

/// What is copied besides scope and key: what the spec says, else all that an import can fill.
fn copied_columns(production: &Table, staging: Option<&Table>, spec: &Spec) -> Result<Vec<String>> {
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

fn require_staging(staging: &Table, production: &Table, spec: &Spec, columns: &[String]) -> Result<()> {
    let type_of = |name: &str| production.column(name).map_or("text".into(), |c| c.sql_type.clone());
    let copied = || spec.scope.iter().chain(&spec.key).chain(columns).chain(&spec.required);
    let mut wanted: Vec<(&str, String)> = copied().map(|name| (name.as_str(), type_of(name))).collect();
    wanted.push(("row_number", "bigint GENERATED BY DEFAULT AS IDENTITY".into()));
    wanted.push(("internal_dup", "boolean NOT NULL DEFAULT false".into()));
    wanted.push(("existing_dup", "boolean NOT NULL DEFAULT false".into()));
    missing(staging, &wanted)?;
    for name in spec.scope.iter().chain(&spec.key) {
        require_type(staging, name, &type_of(name))?;
    }
    require_type(staging, "row_number", "bigint")?;
    require_type(staging, "internal_dup", "boolean")?;
    require_type(staging, "existing_dup", "boolean")?;
    if staging.column("row_number").is_some_and(|c| !c.filled_by_itself || !c.not_null) {
        return Err(OnceError::WrongColumn {
            relation: staging.relation.clone(),
            column: "row_number".into(),
            is: "not NOT NULL, or without an identity or default".into(),
            must: "must be assigned by the database".into(),
            statement: format!(
                "ALTER TABLE {relation} ALTER COLUMN row_number SET NOT NULL, ALTER COLUMN row_number ADD GENERATED BY DEFAULT AS IDENTITY;",
                relation = staging.relation
            ),
        });
    }
    let mut numbered: Vec<String> = spec.scope.iter().cloned().collect();
    numbered.push("row_number".into());
    if catalog::unique_index(staging, &numbered)?.is_none() {
        return Err(no_unique_index(&staging.relation, &numbered, ""));
    }
    Ok(())
}
