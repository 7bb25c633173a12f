//! The tables that a job wrote to: found by what its owner declared, never by what the job says of itself, since whoever
//! begins jobs writes that. Of the summary only the columns are taken that the digests were made of.

use crate::error::{OnceError, Result};
use crate::jobs::Job;
use crate::rows::target::{identity, statement_columns};
use crate::rows::write::{LINKS, OWN};
use crate::targets::{self, Table};
use crate::{rights, spi};
use once_core::ident::{Relation, quote};
use once_core::rows::images::{Images, Referring};
use once_core::rows::statements::{Column, INSERTED};
use once_core::spec::{Missing, RowsSpec, Spec, wrong};
use pgrx::pg_sys::Oid;
use serde_json::Value;

/// A table that a job wrote to.
pub struct Part {
    pub number: i16,
    pub table: Table,
    identity: Vec<Column>,
    /// What its digests were taken of, so far as it is there; and what of it is gone.
    columns: Vec<Column>,
    pub gone: Vec<String>,
    later: Vec<Column>,
    /// All that can be written.
    pub writable: Vec<Column>,
    pub protect: Option<String>,
    proof: Option<String>,
    pub referring: Vec<Referring>,
    /// Tables of which rows would go or change with a record that is deleted, unseen by the caller; and those where that would
    /// be so with a value of these columns.
    pub hidden: Vec<Relation>,
    pub hidden_by_value: Vec<(Relation, Vec<String>)>,
    /// Tables beside it whose rows go with its records.
    details: Vec<String>,
    /// What was done to records of it.
    pub made: bool,
    pub changed: bool,
}

/// Where a part's table and what is said of it come from.
struct Declared {
    table: Table,
    /// What names its records, as things are now.
    identity: Result<Vec<String>>,
    protect: Option<String>,
    job_column: Option<String>,
    derived: Vec<String>,
    details: Vec<String>,
}

impl Declared {
    /// As the spec of the table's target says; what that protects is no matter where another refers to it.
    fn by(table: Table, spec: &RowsSpec) -> Self {
        Self {
            identity: identity(&table, spec),
            table,
            protect: None,
            job_column: spec.job_column.clone(),
            derived: spec.derived.clone(),
            details: spec.details.clone(),
        }
    }
}

impl Part {
    pub fn is_links(&self) -> bool {
        self.number >= LINKS
    }

    pub fn images<'p>(&'p self, images: &'p Relation) -> Images<'p> {
        Images {
            images,
            relation: &self.table.relation,
            identity: &self.identity,
            columns: &self.columns,
            lacks_some: !self.gone.is_empty(),
            later: &self.later,
            protect: self.protect.as_deref(),
            proof: self.proof.as_deref(),
            referring: &self.referring,
        }
    }

    /// The job's own table, to be looked at and no more.
    ///
    /// # Errors
    /// `42P01`, `42703` where the table or what names its records is gone, `42501` without the right to read it.
    pub fn own(job: &Job, spec: &RowsSpec) -> Result<Self> {
        Ok(Self { proof: None, ..Self::find(job, spec, OWN, true)? })
    }

    /// Those of which the job has images, in the order of undoing: links, its own, those that it refers to. They may be undone
    /// by the caller, and for whoever began the job.
    ///
    /// # Errors
    /// As `own`; `42704`, `42501` where a reference is registered no more, or not by its owner; `42501` without the rights.
    pub fn all(job: &Job, spec: &RowsSpec) -> Result<Vec<Self>> {
        let done = format!(
            "SELECT part, bool_or(action = '{INSERTED}'), bool_or(action <> '{INSERTED}') FROM {} WHERE job_id = $1 \
             GROUP BY part ORDER BY part < {LINKS}, part <> {OWN}, part",
            spi::own("import_images")?
        );
        let done = spi::fresh(&done, &[job.id.into()], |row| {
            Ok((row.need::<i16>(1)?, row.need::<bool>(2)?, row.need::<bool>(3)?))
        })?;
        let creator = Creator::of(job)?;
        let mut parts = Vec::new();
        for (number, made, changed) in done {
            let mut part = Self { made, changed, ..Self::find(job, spec, number, creator.is_trusted)? };
            let wanted = [("DELETE", made), ("UPDATE", changed)];
            let privileges: Vec<&str> = wanted.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| *name).collect();
            let hint = rights::ask_for_access(&job.target)?;
            rights::require(&part.table.relation, part.table.oid, &privileges, &hint)?;
            if creator.is_trusted {
                part.proof = None;
            } else {
                creator.require_could_do(job, &mut part)?;
            }
            part.find_referring()?;
            parts.push(part);
        }
        Ok(parts)
    }

    fn find(job: &Job, spec: &RowsSpec, number: i16, trusted: bool) -> Result<Self> {
        let Declared { table, identity, protect, job_column, derived, details } = declared(job, spec, number)?;
        if !table.is_table {
            return Err(OnceError::NotATable { relation: table.relation });
        }
        let hint = rights::ask_for_access(&job.target)?;
        rights::require_schema(&table.relation, &hint)?;
        rights::require(&table.relation, table.oid, &["SELECT"], &hint)?;
        let (recorded, digested) = recorded(job, number)?;
        let is_there = |name: &&String| table.column(name).is_some();
        let is_named_so = || {
            let mut now = identity?;
            // As images have it: in the order of the table.
            now.sort_by_key(|name| table.columns.iter().position(|column| column.name == *name));
            Ok::<_, OnceError>(recorded == now)
        };
        if !recorded.iter().all(|name| is_there(&name)) || !(trusted || is_named_so()?) {
            let columns = recorded.join(", ");
            return Err(OnceError::RecordsRenamed { job: job.id.to_string(), relation: table.relation, columns });
        }
        let wanted = protect.iter().map(|name| (name.as_str(), "boolean NOT NULL DEFAULT false".to_string()));
        targets::missing(&table, &wanted.collect::<Vec<_>>())?;
        let named = |names: &[String]| statement_columns(names.iter().filter_map(|name| table.column(name)));
        let constant = constant_defaults(table.oid)?;
        let is_compared = |name| digested.contains(name) || derived.contains(name);
        let later = table.columns.iter().filter(|c| !c.generated_always && !is_compared(&c.name));
        let mut later = statement_columns(later);
        for column in later.iter_mut().filter(|column| !constant.contains(&column.name)) {
            column.default = None;
        }
        Ok(Self {
            number,
            identity: named(&recorded),
            columns: named(&digested),
            gone: digested.iter().filter(|name| !is_there(name)).cloned().collect(),
            later,
            writable: statement_columns(table.columns.iter().filter(|column| !column.generated_always)),
            protect,
            proof: job_column.filter(|name| table.column(name).is_some()),
            referring: Vec::new(),
            hidden: Vec::new(),
            hidden_by_value: Vec::new(),
            details,
            made: false,
            changed: false,
            table,
        })
    }

    /// Looks for foreign keys to the table. Where the caller can't see all rows of one that hinders, it does so by itself; one
    /// that deletes or changes rows does that with its owner's rights, unseen.
    fn find_referring(&mut self) -> Result<()> {
        let keys = spi::known(
            "SELECT n.nspname::text, c.relname::text, k.conrelid = k.confrelid, k.confdeltype::text, k.confupdtype::text, \
             EXISTS (SELECT FROM pg_constraint r WHERE r.contype = 'f' AND r.confrelid = k.conrelid), \
             has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid), u.names, u.joins \
             FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             CROSS JOIN LATERAL (SELECT array_agg(ta.attname::text) AS names, string_agg(format('t.%I OPERATOR(%I.%s) c.%I', ta.attname, opn.nspname, op.oprname, ca.attname) \
                 || CASE WHEN ta.attcollation NOT IN (0, ca.attcollation) THEN format(' COLLATE %I.%I', ln.nspname, l.collname) ELSE '' END, ' AND ') AS joins \
               FROM unnest(k.conkey, k.confkey, k.conpfeqop) AS u(c, t, o) JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = u.c \
               JOIN pg_attribute ta ON ta.attrelid = k.confrelid AND ta.attnum = u.t JOIN pg_operator op ON op.oid = u.o \
               JOIN pg_namespace opn ON opn.oid = op.oprnamespace LEFT JOIN pg_collation l ON l.oid = ta.attcollation \
               LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace) u \
             WHERE k.contype = 'f' AND k.confrelid = $1 AND k.conparentid = 0 ORDER BY 1, 2, k.conname",
            &[self.table.oid.into()],
            |row| {
                let relation = Relation { schema: row.need(1)?, name: row.need(2)? };
                let flags: [bool; 3] = [row.need(3)?, row.need(6)?, row.need(7)?];
                let (on_delete, on_update) = (row.need::<String>(4)?, row.need::<String>(5)?);
                Ok((relation, flags, on_delete, on_update, row.need(8)?, row.need::<String>(9)?))
            },
        )?;
        let same: Vec<String> = self.identity.iter().map(|c| format!("c.{0} = t.{0}", quote(&c.name))).collect();
        let other = format!(" AND NOT ({})", same.join(" AND "));
        for (relation, [itself, is_referred_to, seen], on_delete, on_update, columns, joins) in keys {
            let is_detail = relation.schema == self.table.relation.schema && self.details.contains(&relation.name);
            // What others have hung on a detail would go unseen.
            let goes_with_it = is_detail && on_delete == "c" && !is_referred_to;
            if !seen && !goes_with_it && ["c", "n", "d"].contains(&on_delete.as_str()) {
                self.hidden.push(relation.clone());
            }
            if !seen && ["n", "d"].contains(&on_update.as_str()) {
                self.hidden_by_value.push((relation.clone(), columns));
                continue;
            }
            if seen {
                self.referring.push(Referring {
                    exists: format!(
                        "EXISTS (SELECT FROM {relation} c WHERE {joins}{})",
                        if itself { other.as_str() } else { "" }
                    ),
                    table: relation.name,
                    columns,
                    holds_record: !goes_with_it,
                    holds_values: on_update != "c",
                });
            }
        }
        Ok(())
    }
}

/// What the spec that the job ran with, or the registry, says of a part.
fn declared(job: &Job, spec: &RowsSpec, number: i16) -> Result<Declared> {
    let found = |relation: Relation| targets::find(&relation)?.ok_or(OnceError::RelationGone { relation });
    let at = |from: i16| usize::try_from(number - from).ok();
    if number == OWN {
        let table = found(job.relation.clone())?;
        return Ok(Declared { protect: spec.protect.clone(), ..Declared::by(table, spec) });
    }
    if number >= LINKS {
        let link = at(LINKS).and_then(|at| spec.links.get(at)).ok_or_else(|| unreadable(job))?;
        let table = found(job.relation.beside(&link.table))?;
        require_same_owner(job, &table)?;
        let primary = targets::primary_key(&table)?;
        let named = || std::iter::once(&link.id).chain(link.columns.keys()).cloned().collect();
        let identity = if primary.is_empty() { named() } else { primary };
        let identity = Ok(identity);
        return Ok(Declared { identity, table, protect: None, job_column: None, derived: vec![], details: vec![] });
    }
    let reference = at(1).and_then(|at| spec.references.values().nth(at));
    let reference =
        reference.filter(|reference| reference.missing == Missing::Create).ok_or_else(|| unreadable(job))?;
    let (relation, Spec::Rows(spec)) = targets::lookup(&reference.target)? else { return Err(unreadable(job)) };
    let table = found(relation)?;
    targets::require_vouched(&reference.target, &[table.oid])?;
    Ok(Declared::by(table, &spec))
}

fn unreadable(job: &Job) -> OnceError {
    let error = wrong("summary", "the summary of the job can't be read", "Restore what was recorded.");
    OnceError::BadJobSpec { job: job.id.to_string(), error }
}

/// What named the records of a part, and what its digests were taken of.
fn recorded(job: &Job, number: i16) -> Result<(Vec<String>, Vec<String>)> {
    let summary: Value = serde_json::from_str(job.summary.as_deref().unwrap_or("null")).unwrap_or_default();
    let mut parts = summary["parts"].as_array().into_iter().flatten();
    let part = parts.find(|part| part["part"].as_i64() == Some(number.into())).ok_or_else(|| unreadable(job))?;
    let names = |name: &str| -> Vec<String> {
        part[name].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(String::from)).collect()
    };
    let (identity, columns) = (names("identity"), names("columns"));
    if identity.is_empty() || !identity.iter().all(|name| columns.contains(name)) {
        return Err(unreadable(job));
    }
    Ok((identity, columns))
}

/// Whoever made a table of links anew, with triggers of his own, must have been able to do so in the owner's name.
fn require_same_owner(job: &Job, table: &Table) -> Result<()> {
    let (same, owner) = spi::known_one(
        "SELECT coalesce(bool_or(pg_has_role(o.relowner, c.relowner, 'USAGE')), false), coalesce(min(pg_get_userbyid(o.relowner)::text), '') \
         FROM pg_class c, pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace \
         WHERE c.oid = $1 AND n.nspname::text = $2 AND o.relname::text = $3",
        &[table.oid.into(), job.relation.schema.as_str().into(), job.relation.name.as_str().into()],
        |row| Ok((row.need::<bool>(1)?, row.need::<String>(2)?)),
    )?;
    if same { Ok(()) } else { Err(OnceError::OwnerChanged { target: job.target.clone(), registered_by: owner }) }
}

/// The columns whose default is a constant, or made of constants.
fn constant_defaults(table: Oid) -> Result<Vec<String>> {
    spi::known(
        "SELECT a.attname::text FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
         WHERE d.adrelid = $1 AND d.adbin::text !~ 'SQLVALUEFUNCTION|NEXTVALUEEXPR|COERCEVIAIO|SUBLINK' \
         AND NOT EXISTS (SELECT FROM regexp_matches(d.adbin::text, ':(?:op)?funcid ([0-9]+)', 'g') m \
                         LEFT JOIN pg_proc p ON p.oid = m[1]::oid AND p.oid < 16384 AND p.provolatile = 'i' WHERE p.oid IS NULL)",
        &[table.into()],
        |row| row.need(1),
    )
}

/// Who began a job, and so wrote what it says it did.
struct Creator {
    role: String,
    /// Whether he may do all that the caller may, so that he gains nothing by the caller's undoing.
    is_trusted: bool,
}

impl Creator {
    fn of(job: &Job) -> Result<Self> {
        let sql = format!("SELECT created_by FROM {} WHERE id = $1", spi::own("import_jobs")?);
        let role: String = spi::fresh_one(&sql, &[job.id.into()], |row| row.need(1))?;
        Ok(Self { is_trusted: rights::is_trusted(&role)?, role })
    }

    /// That what is to be undone he could have done away with himself. Of a record that he made, where it names his job, he need
    /// not: unless he could have written that into another's.
    fn require_could_do(&self, job: &Job, part: &mut Part) -> Result<()> {
        let found = spi::known(
            "SELECT has_table_privilege(r.oid, c.oid, 'UPDATE'), has_table_privilege(r.oid, c.oid, 'DELETE'), \
             has_any_column_privilege(r.oid, c.oid, 'UPDATE'), c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls \
             AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE')) \
             FROM pg_class c, pg_roles r WHERE c.oid = $1 AND r.rolname::text = $2",
            &[part.table.oid.into(), self.role.as_str().into()],
            |row| Ok((row.need::<bool>(1)?, row.need::<bool>(2)?, row.need::<bool>(3)?, row.need::<bool>(4)?)),
        )?;
        let (updates, deletes, updates_some, bounded) = found.into_iter().next().unwrap_or((false, false, true, true));
        let proven = part.proof.is_some() && (deletes || !updates_some);
        if (part.changed && (!updates || bounded)) || (part.made && (!deletes || bounded) && !proven) {
            return Err(OnceError::NotCredible {
                job: job.id.to_string(),
                relation: part.table.relation.clone(),
                role: self.role.clone(),
            });
        }
        if !proven {
            part.proof = None;
        }
        Ok(())
    }
}
