//! Kits: ready-made tables with their registration, as SQL files. What exists already is adopted: its
//! columns are checked, missing ones added where that is safe, and nothing is dropped or rewritten.

mod adopt;
mod clinic;
mod leads;
mod mail;
mod promo_codes;
mod workouts;

use crate::error::{OnceError, Result};
use crate::targets::{self, Target};
use crate::{backend, feeds, jobs, rights, spi};
use once_core::ident::{Relation, quote};
use once_core::kit::{is_prefix, render};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

/// A kit: its tables and views in the order of their creation, and the targets on its tables.
struct Kit {
    name: &'static str,
    tables: &'static [(&'static str, &'static str)],
    /// The table, and the name of the target after the prefix, that it is known by.
    main: &'static str,
    /// Those that others refer to stand before these.
    targets: &'static [KitTarget],
    views: &'static [(&'static str, &'static str)],
    /// Columns that a table which was there may get although they are NOT NULL in the kit: they are filled later.
    filled_later: &'static [&'static str],
    path: Path,
}

/// A target of a kit: its name and that of its table, both after the prefix, and its spec.
struct KitTarget {
    name: &'static str,
    table: &'static str,
    spec: &'static str,
}

/// The target that has the name of its table.
const fn on(table: &'static str, spec: &'static str) -> KitTarget {
    KitTarget { name: table, table, spec }
}

/// Which way what a kit holds comes in.
enum Path {
    Bulk(BulkKit),
    Documents,
    Rows,
    /// Rows, and feeds on them.
    Feeds,
}

/// What a kit of the bulk path has besides: its staging table and what shows the jobs.
struct BulkKit {
    staging: &'static str,
    jobs_view: (&'static str, &'static str),
    adopt_jobs: &'static str,
    /// Policies on import_jobs, each named `<target>_members_…`.
    job_policies: &'static str,
}

const KITS: [&Kit; 5] = [&promo_codes::KIT, &workouts::KIT, &clinic::KIT, &mail::KIT, &leads::KIT];

impl Kit {
    fn bulk(&self) -> Option<&BulkKit> {
        match &self.path {
            Path::Bulk(bulk) => Some(bulk),
            Path::Documents | Path::Rows | Path::Feeds => None,
        }
    }
}

/// The spec that the workouts kit would register in a schema without a prefix.
pub fn workouts_spec() -> String {
    render(include_str!("../sql/kits/workouts/target.json"), &[("@prefix@", "")])
}

/// One installation of a kit: where, and under which names.
struct Install {
    kit: &'static Kit,
    schema: String,
    prefix: String,
    jobs: Relation,
}

impl Install {
    fn relation(&self, name: &str) -> Relation {
        self.relation_as(name, &self.prefix)
    }

    /// What is called so after the prefix.
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn relation_as(&self, name: &str, prefix: &str) -> Relation {
        Relation { schema: self.schema.clone(), name: format!("{prefix}{name}") }
    }

    fn render(&self, sql: &str) -> String {
        self.render_as(sql, &self.prefix)
    }

    fn render_as(&self, sql: &str, prefix: &str) -> String {
        let schema = self.schema.as_str();
        let values =
            [("@schema@", schema), ("@schema_literal@", schema), ("@jobs@", &self.jobs.schema), ("@prefix@", prefix)];
        render(sql, &values)
    }
}

/// Creates a kit's tables in a schema, or adopts those that are there, creates its views where nothing has their name,
/// and registers its targets. Installing it again changes nothing.
///
/// `kit`: `promo_codes`, `workouts`, `clinic`, `mail` or `leads`. `schema`: an existing schema. `prefix`: begins the names of the tables
/// and of the targets, for a second installation. Gives `{kit, schema, target, created: […], adopted: […]}`, and
/// `targets: […]` of a kit that has more than the one.
///
/// # Errors
/// `22004` for a NULL, `42704` for an unknown kit, `3F000` for an unknown schema, `22023` for a prefix
/// that is no plain word, `42710` where a target's name is taken, `42501` without the right to create or
/// to alter, `42703`, `42P10`, `42804` where a table lacks a primary key or a scope, `55000` where it lacks the kit's triggers,
/// and what `create_target` raises of tables that do not fit.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn install_kit(
    kit: Option<String>,
    schema: Option<String>,
    prefix: default!(Option<String>, "''"),
) -> std::result::Result<JsonB, ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let name = kit.ok_or_else(|| null("kit"))?;
    let kit = KITS.into_iter().find(|kit| kit.name == name).ok_or_else(|| OnceError::UnknownKit {
        known: KITS.iter().map(|kit| kit.name).collect::<Vec<_>>().join(", "),
        name,
    })?;
    let schema = schema.ok_or_else(|| null("schema"))?;
    let prefix = prefix.ok_or_else(|| null("prefix"))?;
    if !is_prefix(&prefix) || prefix == adopt::SCRATCH {
        return Err(OnceError::BadPrefix { prefix }.into());
    }
    Ok(JsonB(install(kit, schema, prefix)?))
}

fn install(kit: &'static Kit, schema: String, prefix: String) -> Result<serde_json::Value> {
    require_schema(&schema)?;
    let install = Install { kit, schema, prefix, jobs: spi::own("import_jobs")? };
    kit.targets.iter().try_for_each(|target| refuse_taken(&install, target))?;
    jobs::lock_setup()?;
    match kit.path {
        Path::Documents => {}
        Path::Feeds => feeds::install()?,
        Path::Bulk(_) | Path::Rows => jobs::install()?,
    }
    // A kit of the bulk path adds policies to import_jobs, which only its owner can.
    if let (Some(_), Some(oid)) = (kit.bulk(), backend::relation_oid(&install.jobs)) {
        rights::require_owner(&install.jobs, oid)?;
    }

    let (mut there, mut absent) = (Vec::new(), Vec::new());
    for (table, sql) in kit.tables {
        match targets::find(&install.relation(table))? {
            Some(found) => there.push((*table, found)),
            None => absent.push((*table, *sql)),
        }
    }
    let adopted = adopt::tables(&install, &there)?;
    let created = create_absent(&install, &absent)?;
    if let Some(bulk) = kit.bulk() {
        adopt::fit_staging(&install, bulk, &there)?;
    }
    let mut new = false;
    for target in kit.targets {
        new |= register(&install, target)?;
    }
    create_absent(&install, kit.views)?;
    let target = install.name(kit.main);
    if let Some(bulk) = kit.bulk() {
        show_jobs(&install, bulk, &Target::named(Some(target.clone()))?, new)?;
    }
    let mut answer = json!({
        "kit": kit.name,
        "schema": install.schema,
        "target": target,
        "created": created,
        "adopted": adopted,
    });
    if kit.targets.len() > 1 {
        let names: Vec<String> = kit.targets.iter().map(|target| install.name(target.name)).collect();
        answer["targets"] = names.into();
    }
    Ok(answer)
}

/// That the schema is there, and the caller may create in it.
fn require_schema(schema: &str) -> Result<()> {
    let found = spi::read(
        "SELECT has_schema_privilege(oid, 'CREATE'), current_user::text FROM pg_namespace WHERE nspname::text = $1",
        &[schema.into()],
        |row| Ok((row.need::<bool>(1)?, row.need::<String>(2)?)),
    )?;
    match found.into_iter().next() {
        None => Err(OnceError::UnknownSchema { name: schema.into() }),
        Some((true, _)) => Ok(()),
        Some((false, role)) => {
            let object = format!("schema {}", quote(schema));
            let hint = format!("Let its owner GRANT CREATE ON SCHEMA {} TO {};", quote(schema), quote(&role));
            Err(OnceError::NoPrivilege { object, privilege: "CREATE".into(), role, hint })
        }
    }
}

/// Creates tables or views where nothing has their name; gives the names of those that it did.
fn create_absent(install: &Install, relations: &[(&str, &str)]) -> Result<Vec<String>> {
    let mut created = Vec::new();
    for (name, sql) in relations {
        let relation = install.relation(name);
        if backend::relation_oid(&relation).is_none() {
            spi::script(&install.render(sql))?;
            created.push(spi::shown(&relation)?);
        }
    }
    Ok(created)
}

/// Before anything is created: the name may be another table's.
fn refuse_taken(install: &Install, target: &KitTarget) -> Result<()> {
    let (name, relation) = (install.name(target.name), install.relation(target.table));
    match targets::registered_relation(&name)? {
        Some(there) if there != relation => Err(OnceError::TargetExists {
            name,
            relation: there.to_string(),
            registered: "a spec of its own".into(),
            given: format!("{relation}, of kit {}", install.kit.name),
        }),
        _ => Ok(()),
    }
}

/// Registers a target on its table; whether it is new.
fn register(install: &Install, target: &KitTarget) -> Result<bool> {
    let (name, relation) = (install.name(target.name), install.relation(target.table));
    if targets::registered_relation(&name)?.is_some() {
        return Ok(false);
    }
    let found = targets::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
    Ok(targets::create(&name, found, &install.render(target.spec))?.created)
}

/// The view over the jobs, and who may see them. A table of that name is from before pg_once: its jobs
/// are taken over, and it is kept under another name.
fn show_jobs(install: &Install, kit: &BulkKit, target: &Target, new: bool) -> Result<()> {
    let (view, sql) = kit.jobs_view;
    if targets::find(&install.relation(view))?.is_some_and(|found| found.is_table) {
        adopt::jobs(install, kit, target, view)?;
    }
    spi::script(&install.render(sql))?;

    // Policies of an earlier target of this name may speak of other tables.
    let there = spi::fresh(
        "SELECT policyname::text FROM pg_policies WHERE schemaname::text = $1 AND tablename = 'import_jobs' AND starts_with(policyname::text, $2)",
        &[install.jobs.schema.as_str().into(), format!("{}_members_", target.name).into()],
        |row| row.need::<String>(1),
    )?;
    if !there.is_empty() && !new {
        return Ok(());
    }
    for policy in there {
        spi::script(&format!("DROP POLICY {} ON {}", quote(&policy), install.jobs))?;
    }
    spi::script(&install.render(kit.job_policies))
}
