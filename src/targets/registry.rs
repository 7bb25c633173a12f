//! The registry `targets`: who may be written to is declared here, by the owner of the table.

use super::catalog::{self, Table};
use super::{Target, copied_columns, require_columns, staging_of};
use crate::backend::Jsonb;
use crate::error::{OnceError, Result};
use crate::{jobs, rights, spi};
use once_core::ident::{Relation, quote};
use once_core::spec::{BulkSpec, Spec, wrong};
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgRelation};
use serde_json::json;

/// Registers a table as a target. One that takes rows in bulk gets a staging table beside it, where there is none.
/// Registering it again with the same spec changes nothing.
///
/// `name`: what functions call it. `relation`: the table. `spec`: see the docs for its fields.
/// Gives `{target, relation, staging, created}`, the staging table NULL where the target has none.
///
/// # Errors
/// `22004` for a NULL; `22023` for a spec that is wrong in itself; `42703`, `42804`, `42P10` where the
/// table lacks a column, a type or the unique index; `42710` where the name is taken; `42501` for anyone
/// but the owner of the table.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn create_target(
    name: Option<String>,
    relation: Option<PgRelation>,
    spec: Option<Jsonb>,
) -> std::result::Result<JsonB, ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let name = name.ok_or_else(|| null("name"))?;
    let oid = relation.ok_or_else(|| null("relation"))?.oid();
    let spec =
        spi::read_one("SELECT $1::text", &[spec.ok_or_else(|| null("spec"))?.into()], |row| row.need::<String>(1))?;
    let table = catalog::describe(oid)?;
    let shown = spi::shown(&table.relation)?;
    let Registered { staging, created } = create(&name, table, &spec)?;
    let staging = staging.map(|staging| spi::shown(&staging)).transpose()?;
    Ok(JsonB(json!({ "target": name, "relation": shown, "staging": staging, "created": created })))
}

/// Forgets a target. Its table, its staging table and its jobs stay, and the jobs can still be verified
/// and rolled back.
///
/// # Errors
/// `22004` for NULL, `42704` where there is none, `42501` for anyone but the owner of the table.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn drop_target(name: Option<String>) -> std::result::Result<(), ErrorReport> {
    let name = name.ok_or(OnceError::NullArgument { name: "name".into() })?;
    let (relation, spec) = lookup(&name)?;
    let registry = spi::own("targets").map_err(ErrorReport::from)?;
    spi::write(&format!("DELETE FROM {registry} WHERE name = $1"), &[name.into()])?;
    if let Spec::Bulk(spec) = spec {
        crate::bulk::staging::forget(&staging_of(&relation, &spec)?)?;
    }
    Ok(())
}

/// What `create` did.
pub struct Registered {
    pub staging: Option<Relation>,
    pub created: bool,
}

/// Registers `table` under `name`. See `create_target`.
pub fn create(name: &str, table: Table, spec: &str) -> Result<Registered> {
    let bad_spec = |error| OnceError::BadSpec { target: name.into(), error };
    if name.is_empty() {
        return Err(bad_spec(wrong("name", "a target's name can't be empty", "Give it one, as 'gift_cards'.")));
    }
    let spec = Spec::parse(spec).map_err(bad_spec)?;
    if !table.is_table {
        return Err(OnceError::NotATable { relation: table.relation });
    }
    jobs::lock_setup()?;
    rights::require_owner(&table.relation, table.oid)?;
    match spec {
        Spec::Bulk(spec) => create_bulk(name, table, spec),
        Spec::Document(spec) => register_documents(&crate::documents::Target::fit(name.into(), table, spec)?),
        Spec::Rows(spec) => register_rows(&crate::rows::Target::new(name.into(), table, spec)?),
    }
}

/// Registers a target of documents. Its keys may be missing as yet: rows from before a key may repeat each other, and to
/// sort that out takes the registration.
fn register_documents(documents: &crate::documents::Target) -> Result<Registered> {
    for (relation, oid) in documents.tables() {
        rights::require_owner(&relation, oid)?;
    }
    match documents.require_keys() {
        Err(error @ (OnceError::NoDocumentKey { .. } | OnceError::NoUniqueIndex { .. })) => {
            error.notice(&format!("target \"{}\" takes nothing in yet", documents.name));
        }
        other => other?,
    }
    let spec = Spec::Document(documents.statements.spec.clone());
    let created = register(&documents.name, &documents.statements.relation, None, &spec)?;
    Ok(Registered { staging: None, created })
}

fn register_rows(rows: &crate::rows::Target) -> Result<Registered> {
    for (relation, oid) in rows.tables() {
        rights::require_owner(&relation, oid)?;
    }
    jobs::install()?;
    let created = register(&rows.name, &rows.table.relation, None, &Spec::Rows(rows.spec.clone()))?;
    Ok(Registered { staging: None, created })
}

fn create_bulk(name: &str, table: Table, spec: BulkSpec) -> Result<Registered> {
    let bad_spec = |error| OnceError::BadSpec { target: name.into(), error };
    if spec.staging.as_ref() == Some(&table.relation.name) {
        let remedy = "Name another table: pg_once flags, overwrites and clears what is staged.";
        return Err(bad_spec(wrong("staging", "a table can't be its own staging table", remedy)));
    }
    require_columns(&table, &spec)?;
    jobs::install()?;

    let staging_name = staging_of(&table.relation, &spec)?;
    let staging = match catalog::find(&staging_name)? {
        Some(staging) => staging,
        None => {
            crate::bulk::staging::begin_anew(&staging_name)?;
            create_staging(&staging_name, &table, &spec)?
        }
    };
    rights::require_owner(&staging.relation, staging.oid)?;
    let (relation, job_indexed) = (table.relation.clone(), catalog::has_index_on(&table, &spec.job_column)?);
    let target = Target::fit(name.into(), table, Some(staging), spec)?;
    let spec = Spec::Bulk(target.spec.clone());
    let created = register(name, &relation, Some(&target.bulk.staging), &spec)?;
    if created && !job_indexed {
        let column = quote(&target.spec.job_column);
        spi::notice(
            format!(
                "no index of {relation} begins with {column}: verifying and rolling back will read the whole table"
            ),
            format!("CREATE INDEX CONCURRENTLY ON {relation} ({column});"),
        );
    }
    crate::bulk::staging::plant(&target)?;
    Ok(Registered { staging: Some(target.bulk.staging), created })
}

/// Whether the registration is new; one that says the same is left as it is.
fn register(name: &str, relation: &Relation, staging: Option<&Relation>, spec: &Spec) -> Result<bool> {
    let targets = spi::own("targets")?;
    if let Some(staging) = staging {
        let sharing = spi::fresh(
            &format!(
                "SELECT name FROM {targets} WHERE schema_name = $1 AND name <> $3 AND ($2 IN (staging_name, table_name) OR staging_name = $4)"
            ),
            &[
                relation.schema.as_str().into(),
                staging.name.as_str().into(),
                name.into(),
                relation.name.as_str().into(),
            ],
            |row| row.need::<String>(1),
        )?;
        if let Some(other) = sharing.into_iter().next() {
            return Err(OnceError::StagingTaken { staging: staging.clone(), other });
        }
    }
    let inserted = spi::write(
        &format!(
            "INSERT INTO {targets} (name, schema_name, table_name, staging_name, spec) VALUES ($1, $2, $3, $4, $5::jsonb) ON CONFLICT (name) DO NOTHING"
        ),
        &[
            name.into(),
            relation.schema.as_str().into(),
            relation.name.as_str().into(),
            staging.map(|staging| staging.name.clone()).into(),
            spec.to_json().into(),
        ],
    )?;
    if inserted == 1 {
        return Ok(true);
    }
    let (there, registered) = lookup(name)?;
    if there == *relation && registered == *spec {
        return Ok(false);
    }
    Err(OnceError::TargetExists {
        name: name.into(),
        relation: there.to_string(),
        registered: registered.to_json(),
        given: format!("{relation} with {}", spec.to_json()),
    })
}

/// The staging table: the copied columns with the target's types and collations, the flags, and a number
/// that the database assigns.
fn create_staging(staging: &Relation, production: &Table, spec: &BulkSpec) -> Result<Table> {
    let copied = copied_columns(production, None, spec)?;
    let mut lines: Vec<String> = Vec::new();
    for name in spec.scope.iter().chain(&spec.key).chain(&copied) {
        let Some(column) = production.column(name) else { continue };
        let collate = column.collation.as_ref().map(|c| format!(" COLLATE {c}")).unwrap_or_default();
        lines.push(format!("{} {}{collate}", quote(name), column.sql_type));
    }
    lines.push("row_number bigint GENERATED BY DEFAULT AS IDENTITY".into());
    lines.push("internal_dup boolean NOT NULL DEFAULT false".into());
    lines.push("existing_dup boolean NOT NULL DEFAULT false".into());
    spi::script(&format!("CREATE UNLOGGED TABLE {staging} ({})", lines.join(", ")))?;
    catalog::find(staging)?.ok_or_else(|| OnceError::RelationGone { relation: staging.clone() })
}

/// The relation and the spec registered under `name`.
pub fn lookup(name: &str) -> Result<(Relation, Spec)> {
    let rows = spi::known_fresh(
        &format!("SELECT schema_name, table_name, spec::text FROM {} WHERE name = $1", spi::own("targets")?),
        &[name.into()],
        |row| Ok((Relation { schema: row.need(1)?, name: row.need(2)? }, row.need::<String>(3)?)),
    )?;
    let (relation, spec) = rows.into_iter().next().ok_or_else(|| OnceError::UnknownTarget { name: name.into() })?;
    let spec = Spec::parse(&spec).map_err(|error| OnceError::BadSpec { target: name.into(), error })?;
    Ok((relation, spec))
}

/// The relation registered under `name`, if any.
pub fn registered_relation(name: &str) -> Result<Option<Relation>> {
    match lookup(name) {
        Ok((relation, _)) => Ok(Some(relation)),
        Err(OnceError::UnknownTarget { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// # Errors
/// `42501` where whoever registered the target does not own these tables.
///
/// The registry row is only as good as whoever wrote it: he must own its tables today, or else a table
/// that was dropped and made anew by another could be written to by the former owner's spec.
pub fn require_vouched(name: &str, tables: &[Oid]) -> Result<()> {
    let (vouched, registered_by) = spi::known_one(
        &format!(
            "SELECT coalesce((SELECT bool_and(pg_has_role(r.oid, c.relowner, 'USAGE')) FROM pg_roles r, pg_class c \
             WHERE r.rolname = t.registered_by AND c.oid = ANY ($2)), false), t.registered_by FROM {} t WHERE t.name = $1",
            spi::own("targets")?
        ),
        &[name.into(), tables.to_vec().into()],
        |row| Ok((row.need::<bool>(1)?, row.need::<String>(2)?)),
    )?;
    if vouched { Ok(()) } else { Err(OnceError::OwnerChanged { target: name.into(), registered_by }) }
}
