//! Adopting tables that were there before the kit.

use super::{BulkKit, Install};
use crate::backend;
use crate::error::{OnceError, Result};
use crate::spi;
use crate::targets::{self, Table, Target};
use once_core::ident::{Relation, quote, quote_list};
use once_core::spec::{STAGING_COLUMNS, Spec};

/// The prefix under which a kit is created once and rolled back, to see what its tables look like.
pub const SCRATCH: &str = "once_scratch_";

/// A column of the kit's own table: its name, its type, its default, whether it may be NULL.
struct Wanted {
    name: String,
    sql_type: String,
    default: Option<String>,
    identity: bool,
    not_null: bool,
    primary_key: bool,
}

/// Adds what the tables lack and can be given without touching their rows; gives their names.
pub fn tables(install: &Install, there: &[(&str, Table)]) -> Result<Vec<String>> {
    let mut adopted = Vec::new();
    if there.is_empty() {
        return Ok(adopted);
    }
    for (_, table) in there {
        require_trusted(table)?;
    }
    let fresh = fresh_columns(install, there)?;
    if let Ok(Spec::Document(spec)) = Spec::parse(&install.render(install.kit.spec)) {
        for ((_, table), columns) in there.iter().zip(&fresh) {
            require_keys(table, columns, spec.scope.as_ref())?;
        }
    }
    for ((name, table), columns) in there.iter().zip(fresh) {
        let mut added = Vec::new();
        for wanted in columns {
            let filled_later = install.kit.filled_later.contains(&wanted.name.as_str());
            if table.column(&wanted.name).is_none() && add(table, &wanted, filled_later)? {
                added.push(wanted.name);
            }
        }
        if install.kit.bulk.as_ref().is_some_and(|bulk| bulk.staging == *name) {
            add_row_index(table)?;
        }
        if !added.is_empty() {
            spi::notice(
                format!("{} was adopted, with new columns {}", table.relation, quote_list(&added)),
                "Its rows, row-level security and indexes are as they were.".into(),
            );
        }
        adopted.push(spi::shown(&table.relation)?);
    }
    Ok(adopted)
}

/// A document's table is referred to by its id; and which rows are whose, nobody but their owner can say.
fn require_keys(table: &Table, columns: &[Wanted], scope: Option<&String>) -> Result<()> {
    let mut needed = Vec::new();
    for Wanted { name, sql_type, primary_key, .. } in columns {
        if *primary_key {
            needed.push((name.as_str(), format!("{sql_type} PRIMARY KEY DEFAULT gen_random_uuid()")));
        } else if Some(name) == scope {
            needed.push(targets::missing_scope(name, sql_type));
        }
    }
    targets::missing(table, &needed)?;
    columns.iter().filter(|wanted| wanted.primary_key).try_for_each(|wanted| targets::require_id(table, &wanted.name))
}

/// A kit's tables decide who sees what, and their triggers run for everybody who imports. So a table that is
/// there is adopted only from the installer himself, or from who owns the schema or the database anyhow.
fn require_trusted(table: &Table) -> Result<()> {
    if !table.is_table {
        return Err(OnceError::NotATable { relation: table.relation.clone() });
    }
    let (trusted, owner) = spi::read_one(
        "SELECT c.relowner IN (n.nspowner, d.datdba) OR o.rolname = current_user \
         OR (pg_has_role(c.relowner, 'USAGE') AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)), o.rolname::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles o ON o.oid = c.relowner \
         JOIN pg_database d ON d.datname = current_database() WHERE c.oid = $1",
        &[table.oid.into()],
        |row| Ok((row.need::<bool>(1)?, row.need::<String>(2)?)),
    )?;
    if trusted { Ok(()) } else { Err(OnceError::OthersTable { relation: table.relation.clone(), owner }) }
}

/// A staging table that was just created beside an adopted table takes its types, so that nothing is cast,
/// and maybe rounded, on the way.
pub fn fit_staging(install: &Install, kit: &BulkKit, there: &[(&str, Table)]) -> Result<()> {
    let adopted = |wanted: &str| there.iter().find(|(name, _)| *name == wanted).map(|(_, table)| table);
    let (Some(production), None) = (adopted(install.kit.target), adopted(kit.staging)) else { return Ok(()) };
    let staging = install.relation(kit.staging);
    let Some(created) = targets::find(&staging)? else { return Ok(()) };
    for column in &created.columns {
        match production.column(&column.name) {
            Some(given) if given.base != column.base && !STAGING_COLUMNS.contains(&column.name.as_str()) => {
                spi::script(&format!(
                    "ALTER TABLE {staging} ALTER COLUMN {} TYPE {}",
                    quote(&column.name),
                    given.sql_type
                ))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The columns that a new installation of the kit would give these tables: it is made under another prefix
/// and rolled back.
fn fresh_columns(install: &Install, there: &[(&str, Table)]) -> Result<Vec<Vec<Wanted>>> {
    let look = || {
        for (_, sql) in install.kit.tables {
            spi::script(&install.render_as(sql, SCRATCH))?;
        }
        there.iter().map(|(name, _)| columns(&install.relation_as(name, SCRATCH))).collect()
    };
    // An Err rolls the scratch tables back.
    match backend::subtransaction(|| -> std::result::Result<(), Result<Vec<Vec<Wanted>>>> { Err(look()) }) {
        Ok(Err(columns)) => columns,
        Ok(Ok(())) => Err(OnceError::Internal("the scratch tables were kept".into())),
        Err(error) => error.rethrow(),
    }
}

fn columns(relation: &Relation) -> Result<Vec<Wanted>> {
    spi::fresh(
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attidentity <> '', a.attnotnull, \
         EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)) \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE n.nspname::text = $1 AND c.relname::text = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        &[relation.schema.as_str().into(), relation.name.as_str().into()],
        |row| {
            Ok(Wanted {
                name: row.need(1)?,
                sql_type: row.need(2)?,
                default: row.get(3)?,
                identity: row.need(4)?,
                not_null: row.need(5)?,
                primary_key: row.need(6)?,
            })
        },
    )
}

/// Whether the column was added. An identity or a primary key would number the rows that are there, and a NOT NULL
/// column without a default has no value for them, unless it is `filled_later`; whether the kit can do without is for
/// `create_target` to say.
fn add(there: &Table, wanted: &Wanted, filled_later: bool) -> Result<bool> {
    if wanted.identity || wanted.primary_key || (wanted.not_null && wanted.default.is_none() && !filled_later) {
        return Ok(false);
    }
    let (relation, column) = (&there.relation, quote(&wanted.name));
    let add = format!("ALTER TABLE {relation} ADD COLUMN {column} {}", wanted.sql_type);
    match wanted.default.as_deref() {
        None => spi::script(&add)?,
        Some(constant @ ("true" | "false" | "'{}'::text[]")) => {
            spi::script(&format!("{add} NOT NULL DEFAULT {constant}"))?;
        }
        // Such as a time of creation: true of rows to come, not of those that are there.
        Some(default) => {
            spi::script(&format!("{add}; ALTER TABLE {relation} ALTER COLUMN {column} SET DEFAULT {default}"))?
        }
    }
    Ok(true)
}

/// Staging is chunked by row_number within a scope, which wants an index; it is the kit's own scratch space.
fn add_row_index(staging: &Table) -> Result<()> {
    let columns = ["merchant_id".to_string(), "row_number".to_string()];
    let complete = columns.iter().all(|name| staging.column(name).is_some());
    if !complete || targets::unique_index(staging.oid, &columns)?.is_some() {
        return Ok(());
    }
    spi::script(&format!("CREATE UNIQUE INDEX ON {} ({})", staging.relation, quote_list(&columns)))
}

/// Takes over a table of jobs from before pg_once: its rows become jobs under their own ids, and it is
/// renamed to `…_before_once`, whole.
pub fn jobs(install: &Install, kit: &BulkKit, target: &Target, name: &str) -> Result<()> {
    let old = install.relation(name);
    let states = spi::fresh_one(
        &format!(
            "SELECT string_agg(DISTINCT coalesce(j ->> 'status', 'NULL'), ', ') FROM (SELECT to_jsonb(old.*) AS j FROM {old} old) jobs \
             WHERE coalesce(j ->> 'status', '') NOT IN ('pending', 'validating', 'processing', 'completed', 'failed', 'rolled_back')"
        ),
        &[],
        |row| row.get::<String>(1),
    )?;
    if let Some(statuses) = states {
        return Err(OnceError::UnknownStatus { relation: old, statuses });
    }
    let spec = serde_json::to_string(&target.spec).map_err(|e| OnceError::Internal(e.to_string()))?;
    let relation = &target.bulk.relation;
    let taken = spi::write(
        &install.render(kit.adopt_jobs),
        &[target.name.as_str().into(), relation.schema.as_str().into(), relation.name.as_str().into(), spec.into()],
    )?;
    let absent: i64 = spi::fresh_one(
        &format!(
            "SELECT count(*) FROM {old} o WHERE NOT EXISTS (SELECT FROM {} j WHERE j.id = o.id AND j.target = $1 \
             AND j.relation_schema = $2 AND j.relation_name = $3)",
            install.jobs
        ),
        &[target.name.as_str().into(), relation.schema.as_str().into(), relation.name.as_str().into()],
        |row| row.need(1),
    )?;
    if absent > 0 {
        return Err(OnceError::JobIdsTaken { relation: old, jobs: absent });
    }
    release_foreign_keys(&old, relation)?;
    let kept = format!("{}_before_once", old.name);
    spi::script(&format!("ALTER TABLE {old} RENAME TO {}", quote(&kept)))?;
    spi::notice(
        format!("{taken} jobs of {old} were taken over; the table is kept as {}", quote(&kept)),
        format!("{old} is a view of import_jobs now, which new jobs go to."),
    );
    Ok(())
}

/// New jobs are no rows of the old table, so a foreign key to it would refuse every import.
fn release_foreign_keys(old: &Relation, relation: &Relation) -> Result<()> {
    let keys = spi::fresh(
        "SELECT c.conname::text FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = $1::regclass AND c.confrelid = $2::regclass",
        &[relation.to_string().into(), old.to_string().into()],
        |row| row.need::<String>(1),
    )?;
    for key in keys {
        spi::script(&format!("ALTER TABLE {relation} DROP CONSTRAINT {}", quote(&key)))?;
        spi::notice(
            format!("foreign key {} of {relation} to {old} was dropped", quote(&key)),
            "Jobs are in import_jobs now, and are never deleted from it.".into(),
        );
    }
    Ok(())
}
