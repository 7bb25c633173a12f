//! Whether the caller may do what he asks for, said before Postgres would say it without a hint; and
//! the grants that an importer needs.

use crate::backend;
use crate::error::{OnceError, Result};
use crate::targets::{self, Target};
use crate::{documents, rows, spi};
use once_core::ident::{Relation, quote};
use once_core::spec::Spec;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// # Errors
/// `42501` where the current role lacks one of `privileges` on the table; `hint` says how to come by it.
pub fn require(relation: &Relation, oid: Oid, privileges: &[&str], hint: &str) -> Result<()> {
    let lacking = spi::known(
        "SELECT p, current_user::text FROM unnest($2) p WHERE NOT has_table_privilege($1, p)",
        &[oid.into(), privileges.iter().map(|p| p.to_string()).collect::<Vec<_>>().into()],
        |row| Ok((row.need(1)?, row.need(2)?)),
    )?;
    match lacking.into_iter().next() {
        None => Ok(()),
        Some((privilege, role)) => {
            Err(OnceError::NoPrivilege { object: relation.to_string(), privilege, role, hint: hint.into() })
        }
    }
}

/// # Errors
/// `42501` where the current role may not use the table's schema.
pub fn require_schema(relation: &Relation, hint: &str) -> Result<()> {
    let (usable, role) = spi::known_one(
        "SELECT coalesce((SELECT has_schema_privilege(n.oid, 'USAGE') FROM pg_namespace n WHERE n.nspname = $1), true), current_user::text",
        &[relation.schema.as_str().into()],
        |row| Ok((row.need::<bool>(1)?, row.need::<String>(2)?)),
    )?;
    if usable {
        return Ok(());
    }
    let object = format!("schema {}", quote(&relation.schema));
    Err(OnceError::NoPrivilege { object, privilege: "USAGE".into(), role, hint: hint.into() })
}

/// Whether `role` may do all that the caller may, who so risks nothing by what that role has written.
pub fn is_trusted(role: &str) -> Result<bool> {
    let sql = "SELECT coalesce((SELECT pg_has_role(r.oid, c.oid, 'USAGE') FROM pg_roles r, pg_roles c \
               WHERE r.rolname::text = $1 AND c.rolname = current_user), false)";
    spi::known_one(sql, &[role.into()], |row| row.need(1))
}

/// Whether row-level security may hide rows of the table from the caller.
pub fn row_security(table: Oid) -> Result<bool> {
    spi::known_one("SELECT row_security_active($1::oid)", &[table.into()], |row| row.need(1))
}

/// What someone without rights has to ask the target's owner for.
pub fn ask_for_access(target: &str) -> Result<String> {
    let call = spi::own("grant_import_access")?;
    spi::known_one(
        "SELECT format('Let the owner of the table run SELECT %s(%L, %L);', $1, $2, current_user)",
        &[call.to_string().into(), target.into()],
        |row| row.need(1),
    )
}

/// # Errors
/// `42501` where the current role is no owner of the table, nor a member of the role that is.
pub fn require_owner(relation: &Relation, oid: Oid) -> Result<()> {
    let (owner, role) = spi::known_one(
        "SELECT pg_has_role(c.relowner, 'USAGE'), current_user::text FROM pg_class c WHERE c.oid = $1",
        &[oid.into()],
        |row| Ok((row.need::<bool>(1)?, row.need::<String>(2)?)),
    )?;
    if owner { Ok(()) } else { Err(OnceError::NotOwner { relation: relation.clone(), role }) }
}

/// Grants `role` what importing into `target` takes, and nothing more. In bulk: to fill, flag and clear the
/// staging table, to insert into production and delete from it (a rollback; row-level security and the
/// protect column still bound which rows). Not UPDATE or TRUNCATE of production. (Jobs are open to all, by
/// policies of their own.) Documents: to read and insert them and their records, and to work on drafts.
///
/// # Errors
/// `22004` for a NULL, `42704` for an unknown target or role, `42501` where the caller can't grant it.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn grant_import_access(
    target: Option<String>,
    role: Option<String>,
) -> std::result::Result<(), pg_sys::panic::ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    Ok(grant(target.ok_or_else(|| null("target"))?, role.ok_or_else(|| null("role"))?)?)
}

fn grant(target: String, role: String) -> Result<()> {
    let (relation, spec) = targets::lookup(&target)?;
    let tables: Vec<(Relation, Oid, &str)> = match spec {
        Spec::Bulk(_) => {
            let target = Target::named(Some(target))?;
            vec![
                (target.bulk.staging, target.staging_oid, "SELECT, INSERT, UPDATE, DELETE"),
                (target.bulk.relation, target.relation_oid, "SELECT, INSERT, DELETE"),
            ]
        }
        Spec::Document(spec) => {
            let table = targets::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
            let tables = documents::Target::fit(target.clone(), table, spec)?.tables();
            targets::require_vouched(&target, &tables.iter().map(|(_, oid)| *oid).collect::<Vec<_>>())?;
            let privileges = ["SELECT, INSERT", "SELECT, INSERT, UPDATE, DELETE", "SELECT, INSERT"];
            tables.into_iter().zip(privileges).map(|((relation, oid), granted)| (relation, oid, granted)).collect()
        }
        Spec::Rows(_) => {
            let target = rows::Target::open(Some(target))?;
            let own =
                [("SELECT, INSERT, UPDATE, DELETE")].into_iter().chain(std::iter::repeat("SELECT, INSERT, DELETE"));
            target.tables().into_iter().zip(own).map(|((relation, oid), granted)| (relation, oid, granted)).collect()
        }
    };
    let granted: Vec<(Relation, &str)> =
        tables.iter().map(|(relation, _, privileges)| (relation.clone(), *privileges)).collect();
    grant_tables(&role, &granted)?;
    for sequence in owned_sequences(&tables.iter().map(|(_, oid, _)| *oid).collect::<Vec<_>>())? {
        let check = "SELECT has_sequence_privilege($2::name, $1, 'USAGE')";
        grant_one("USAGE", &format!("SEQUENCE {sequence}"), &role, check, &sequence.to_string())?;
    }
    Ok(())
}

/// Grants a role these privileges on tables, and the use of their schemas and of the extension's.
///
/// # Errors
/// `42704` for an unknown role, `42501` where the caller can't grant it.
pub fn grant_tables(role: &str, tables: &[(Relation, &str)]) -> Result<()> {
    let known: bool =
        spi::known_one("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname::text = $1)", &[role.into()], |row| {
            row.need(1)
        })?;
    if !known {
        return Err(OnceError::UnknownRole { name: role.into() });
    }
    let mut schemas = vec![spi::own("")?.schema];
    schemas.extend(tables.iter().map(|(relation, _)| relation.schema.clone()));
    schemas.dedup();
    for schema in schemas {
        grant_one(
            "USAGE",
            &format!("SCHEMA {}", quote(&schema)),
            role,
            "SELECT has_schema_privilege($2::name, $1, 'USAGE')",
            &schema,
        )?;
    }
    for (table, privileges) in tables {
        for privilege in privileges.split(", ") {
            let check = format!("SELECT has_table_privilege($2::name, $1, '{privilege}')");
            grant_one(privilege, &format!("TABLE {table}"), role, &check, &table.to_string())?;
        }
    }
    Ok(())
}

/// Without the right to grant, GRANT raises or only warns; so the outcome is looked up.
fn grant_one(privilege: &str, object: &str, role: &str, check: &str, name: &str) -> Result<()> {
    let granted = || spi::fresh_one(check, &[name.into(), role.into()], |row| row.need::<bool>(1));
    if granted()? {
        return Ok(());
    }
    let refused = || OnceError::NotGranted { what: format!("{privilege} on {object}"), role: role.into() };
    let grant = format!("GRANT {privilege} ON {object} TO {}", quote(role));
    match backend::subtransaction(|| spi::script(&grant)) {
        Ok(done) => done?,
        Err(error) if error.sqlstate == "42501" => return Err(refused()),
        Err(error) => error.rethrow(),
    }
    if granted()? { Ok(()) } else { Err(refused()) }
}

/// Sequences that fill columns by a default (an identity column needs no grant).
fn owned_sequences(tables: &[Oid]) -> Result<Vec<Relation>> {
    spi::known(
        "SELECT n.nspname::text, c.relname::text FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a' \
         AND d.refobjid = ANY ($1)",
        &[tables.to_vec().into()],
        |row| Ok(Relation { schema: row.need(1)?, name: row.need(2)? }),
    )
}
