//! What a job of rows wrote, compared with what is there, and taken back where nobody has changed it since.

use super::target::statement_columns;
use crate::error::{OnceError, Result};
use crate::jobs::{self, Failure, Job, Stop};
use crate::progress::{Phase, Progress};
use crate::targets::{self, Table};
use crate::{backend, rights, spi};
use once_core::ident::{Relation, quote};
use once_core::rows::statements::{Column, INSERTED, Images};
use once_core::spec::{RowsSpec, SpecError, wrong};
use once_core::sqlstate::is_jobs_own;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;

/// How many records an answer names.
const NAMED: usize = 100;

/// A table that a job wrote to.
struct Part {
    number: i16,
    table: Table,
    identity: Vec<Column>,
    /// Those that its digests were taken of and that are still there.
    columns: Vec<Column>,
    protect: Option<String>,
    /// That rows of other tables would go or change with a record `t`.
    dependents: String,
}

/// What has become of a record.
struct State {
    number: i64,
    inserted: bool,
    identity: Vec<String>,
    there: bool,
    same: bool,
    protected: bool,
    changed: Vec<String>,
    dependents: bool,
}

/// What an undoing came to.
#[derive(Default)]
struct Tally {
    reversed: usize,
    kept: usize,
    errored: usize,
    details: Vec<Value>,
}

impl Tally {
    fn keep(&mut self, part: &Part, state: &State, columns: &[String], reason: &str) {
        self.kept += usize::from(!part.is_links());
        self.tell(part, state, columns, reason);
    }

    fn tell(&mut self, part: &Part, state: &State, columns: &[String], reason: &str) {
        if self.details.len() < NAMED {
            self.details.push(json!({
                "table": part.table.relation.name,
                "identity": state.identity.join(", "),
                "columns": columns,
                "reason": reason,
            }));
        }
    }
}

impl Part {
    fn is_links(&self) -> bool {
        self.number >= super::write::LINKS
    }

    fn images<'p>(&'p self, images: &'p Relation) -> Images<'p> {
        Images {
            images,
            relation: &self.table.relation,
            identity: &self.identity,
            columns: &self.columns,
            protect: self.protect.as_deref(),
            dependents: &self.dependents,
        }
    }
}

/// Undoes a completed job. See `rollback_import_job`.
pub fn roll_back(job: Job, spec: RowsSpec, keep: bool) -> Result<Value> {
    let table =
        targets::find(&job.relation)?.ok_or_else(|| OnceError::RelationGone { relation: job.relation.clone() })?;
    for scope in scopes(&job) {
        jobs::lock(&table.relation, table.oid, &scope)?;
    }
    let job = jobs::load(Some(job.id), true)?;
    job.require_completed()?;
    let parts = parts(&job, &spec)?;
    require_images(&job)?;
    let mut answer = json!({"success": true, "job_id": job.id.to_string(), "reversed": 0, "kept": 0, "errored": 0});
    let done = spi::exact(&spec.timezone, || {
        jobs::attempt(|| {
            let mut tally = Tally::default();
            let mut progress = Progress::start(table.oid);
            progress.phase(Phase::Deleting, job.rows_written.unwrap_or(0));
            for part in &parts {
                undo(&job, part, keep, &mut tally)?;
            }
            jobs::rolled_back(job.id, i64::try_from(tally.kept).unwrap_or(i64::MAX))?;
            Ok(tally)
        })
    })?;
    match done {
        Ok(Tally { reversed, kept, errored, details }) => {
            answer["reversed"] = json!(reversed);
            answer["kept"] = json!(kept);
            answer["errored"] = json!(errored);
            answer["details"] = json!(details);
            let records = |count: usize| if count == 1 { "1 record".to_string() } else { format!("{count} records") };
            let mut message = format!("{} as before", records(reversed));
            if kept > 0 {
                message += &format!(", {} kept: changed, used or protected since", records(kept));
            }
            if errored > 0 {
                message += &format!(", {} could not be reversed", records(errored));
            }
            answer["message"] = json!(message);
        }
        Err(failure) => failure.tell(&mut answer),
    }
    Ok(answer)
}

fn undo(job: &Job, part: &Part, keep: bool, tally: &mut Tally) -> std::result::Result<(), Stop> {
    let states = states(job, part)?;
    if states.is_empty() {
        return Ok(());
    }
    let hint = rights::ask_for_access(&job.target)?;
    let wants = |inserted: bool| states.iter().any(|state| state.inserted == inserted);
    let privileges: Vec<&str> = [("DELETE", wants(true)), ("UPDATE", wants(false)), ("SELECT", true)]
        .into_iter()
        .filter_map(|(privilege, wanted)| wanted.then_some(privilege))
        .collect();
    rights::require(&part.table.relation, part.table.oid, &privileges, &hint)?;
    let protected = states.iter().filter(|state| state.there && state.protected).count();
    if protected > 0 && !keep {
        let column = part.protect.as_deref().unwrap_or_default();
        let records = if protected == 1 { "1 record is".into() } else { format!("{protected} records are") };
        let message = format!(
            "Refused: {records} protected ({column}). Nothing was changed; p_keep_protected => true undoes the others."
        );
        return Err(Failure::new("23001", message).with("kept", Some(protected)).into());
    }
    let mut open: Vec<&State> = Vec::new();
    for state in &states {
        match state {
            State { there: false, inserted: true, .. } => tally.reversed += usize::from(!part.is_links()),
            State { there: false, .. } => tally.keep(part, state, &[], "was deleted since"),
            State { protected: true, .. } => tally.keep(part, state, &[], "is protected"),
            State { inserted: true, same: false, .. } => tally.keep(part, state, &[], "was changed since"),
            State { inserted: true, dependents: true, .. } => {
                tally.keep(part, state, &[], "has rows of other tables that would go or change with it")
            }
            _ => open.push(state),
        }
    }
    let (made, changed): (Vec<&State>, Vec<&State>) = open.into_iter().partition(|state| state.inserted);
    let images = spi::own("import_images")?;
    let delete = part.images(&images).delete();
    attempt(job, part, &delete, &made, tally)?;
    let columns = changed_columns(job, part)?;
    let columns: Vec<&Column> = part.columns.iter().filter(|column| columns.contains(&column.name)).collect();
    if !columns.is_empty() {
        let restore = part.images(&images).restore(&columns);
        attempt(job, part, &restore, &changed, tally)?;
    }
    Ok(())
}

/// Runs the statement for the records; where that fails by their own doing, halves are tried until each that fails is alone.
fn attempt(job: &Job, part: &Part, sql: &str, states: &[&State], tally: &mut Tally) -> std::result::Result<(), Stop> {
    if states.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = states.iter().map(|state| state.number).collect();
    let done = backend::subtransaction(|| {
        let args = [job.id.into(), part.number.into(), numbers.into()];
        let done = spi::fresh(sql, &args, |row| row.need::<i64>(1))?;
        targets::check_constraints_now(part.table.oid)?;
        Ok::<_, OnceError>(done)
    });
    match (done, states) {
        (Ok(done), _) => {
            let done: HashSet<i64> = done?.into_iter().collect();
            for state in states {
                if !state.changed.is_empty() {
                    tally.keep(part, state, &state.changed, "was changed since");
                } else if done.contains(&state.number) {
                    tally.reversed += usize::from(!part.is_links());
                } else {
                    tally.keep(part, state, &[], "was changed meanwhile, or is kept by a trigger or a policy");
                }
            }
            Ok(())
        }
        (Err(error), _) if !is_jobs_own(&error.sqlstate) => error.rethrow(),
        (Err(error), [only]) => {
            let reason = error.detail.unwrap_or(error.message);
            if ["23503", "23001"].contains(&error.sqlstate.as_str()) {
                tally.keep(part, only, &[], &reason);
            } else {
                tally.errored += usize::from(!part.is_links());
                tally.tell(part, only, &[], &reason);
            }
            Ok(())
        }
        (Err(_), _) => {
            let (left, right) = states.split_at(states.len() / 2);
            attempt(job, part, sql, left, tally)?;
            attempt(job, part, sql, right, tally)
        }
    }
}

fn states(job: &Job, part: &Part) -> Result<Vec<State>> {
    let images = spi::own("import_images")?;
    spi::fresh(&part.images(&images).state(), &[job.id.into(), part.number.into()], |row| {
        Ok(State {
            number: row.need(1)?,
            inserted: row.need::<String>(2)? == INSERTED,
            identity: row.need(3)?,
            there: row.need(4)?,
            same: row.need(5)?,
            protected: row.need(6)?,
            changed: row.need(7)?,
            dependents: row.need(8)?,
        })
    })
}

fn changed_columns(job: &Job, part: &Part) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT k.name FROM {} i CROSS JOIN jsonb_object_keys(i.before) k(name) WHERE i.job_id = $1 AND i.part = $2",
        spi::own("import_images")?
    );
    spi::fresh(&sql, &[job.id.into(), part.number.into()], |row| row.need(1))
}

/// The scopes that a job worked in, in the order in which all take them.
fn scopes(job: &Job) -> Vec<String> {
    let summary: Value = serde_json::from_str(job.summary.as_deref().unwrap_or("null")).unwrap_or_default();
    let scopes = summary["scopes"].as_array().into_iter().flatten();
    scopes.filter_map(|scope| scope.as_str().map(String::from)).collect()
}

/// The tables that a job wrote to, in the order of undoing: links, its own, those it refers to.
fn parts(job: &Job, spec: &RowsSpec) -> Result<Vec<Part>> {
    let bad = |error: SpecError| OnceError::BadJobSpec { job: job.id.to_string(), error };
    let unreadable = || bad(wrong("summary", "the summary of the job can't be read", "Restore what was recorded."));
    let summary: Value = serde_json::from_str(job.summary.as_deref().unwrap_or("null")).map_err(|_| unreadable())?;
    let mut parts = Vec::new();
    for part in summary["parts"].as_array().ok_or_else(unreadable)? {
        let text = |name: &str| part[name].as_str().map(String::from).ok_or_else(unreadable);
        let names = |name: &str| {
            let list = part[name].as_array().ok_or_else(unreadable)?;
            Ok::<_, OnceError>(list.iter().filter_map(Value::as_str).map(String::from).collect::<Vec<_>>())
        };
        let number = part["part"].as_i64().and_then(|number| i16::try_from(number).ok()).ok_or_else(unreadable)?;
        let relation = Relation { schema: text("schema")?, name: text("table")? };
        let table = targets::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
        let named = |names: Vec<String>| {
            let found = names.iter().filter_map(|name| table.column(name));
            statement_columns(found)
        };
        let identity = named(names("identity")?);
        let columns = named(names("columns")?);
        let protect = spec.protect.clone().filter(|_| number == super::write::OWN);
        let dependents = dependents(&table)?;
        parts.push(Part { number, identity, columns, protect, dependents, table });
    }
    parts.sort_by_key(|part| match part.number {
        links if links >= super::write::LINKS => (0, links),
        super::write::OWN => (1, 0),
        reference => (2, reference),
    });
    Ok(parts)
}

/// That rows of other tables would be deleted or changed together with a record `t`, by their foreign keys.
fn dependents(table: &Table) -> Result<String> {
    let keys = spi::known(
        "SELECT format('EXISTS (SELECT FROM %I.%I c WHERE %s)', n.nspname, c.relname, (SELECT string_agg(format('c.%I = t.%I', ca.attname, ta.attname), ' AND ') \
           FROM unnest(k.conkey, k.confkey) AS u(c, t) JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = u.c \
           JOIN pg_attribute ta ON ta.attrelid = k.confrelid AND ta.attnum = u.t)) \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype = 'f' AND k.confrelid = $1 AND k.confdeltype IN ('c', 'n', 'd') AND k.conparentid = 0 ORDER BY 1",
        &[table.oid.into()],
        |row| row.need::<String>(1),
    )?;
    Ok(if keys.is_empty() { "false".into() } else { keys.join(" OR ") })
}

/// # Errors
/// `55000` where images of what the job wrote are missing.
fn require_images(job: &Job) -> Result<()> {
    if images_kept(job)? < job.rows_written.unwrap_or(0) {
        return Err(OnceError::ImagesPruned { job: job.id.to_string() });
    }
    Ok(())
}

fn images_kept(job: &Job) -> Result<i64> {
    let sql = format!("SELECT count(*) FROM {} WHERE job_id = $1 AND part = 0", spi::own("import_images")?);
    spi::read_one(&sql, &[job.id.into()], |row| row.need(1))
}

/// Compares what a job of rows wrote with what is there. See `verify_import_job`.
pub fn verify(job: Job, spec: RowsSpec) -> Result<Value> {
    let expected = job.rows_written.unwrap_or(0);
    let kept = images_kept(&job)?;
    let mut actual = 0;
    let (mut gone, mut changed) = (0, 0);
    if job.summary.is_some() {
        let own = parts(&job, &spec)?.into_iter().find(|part| part.number == super::write::OWN);
        if let Some(part) = own {
            for state in spi::exact(&spec.timezone, || states(&job, &part))? {
                match state {
                    State { there: false, .. } => gone += 1,
                    State { inserted: true, same: true, .. } => actual += 1,
                    State { inserted: false, changed: columns, .. } if columns.is_empty() => actual += 1,
                    _ => changed += 1,
                }
            }
        }
    }
    let records = |count: i64| if count == 1 { "1 record".to_string() } else { format!("{count} records") };
    let message = match job.status.as_str() {
        "completed" if kept < expected => {
            "The images of the job were pruned: what it wrote is not known any more".into()
        }
        "completed" if actual == expected => format!("All there: {}", records(expected)),
        "completed" => format!("{} as written, {changed} changed since, {gone} deleted since", records(actual)),
        "rolled_back" => format!(
            "The job was rolled back at {}; {} as it wrote them",
            job.rolled_back_at.as_deref().unwrap_or("an unknown time"),
            records(actual)
        ),
        "failed" => "The job failed and wrote nothing".into(),
        status => format!("The job is {status}"),
    };
    Ok(json!({
        "success": true,
        "job_id": job.id.to_string(),
        "status": job.status,
        "expected_count": expected,
        "actual_count": actual,
        "verified": job.status == "completed" && kept >= expected && actual == expected,
        "message": message,
    }))
}

/// Deletes the images of jobs that are older than this, which can't be undone then any more.
///
/// Gives the number of images. The jobs stay on record.
///
/// # Errors
/// `22004` for NULL, `42501` for anyone who may not delete from `import_images`: its owner may.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn prune_import_images(older_than: Option<Interval>) -> std::result::Result<i64, ErrorReport> {
    let older_than = older_than.ok_or(OnceError::NullArgument { name: "older_than".into() })?;
    let (images, jobs) = (spi::own("import_images")?, spi::own("import_jobs")?);
    let Some(oid) = backend::relation_oid(&images) else { return Ok(0) };
    let hint = format!("Let the owner of schema {} prune, who made the table.", quote(&images.schema));
    rights::require(&images, oid, &["SELECT", "DELETE"], &hint)?;
    let delete = format!(
        "DELETE FROM {images} i USING {jobs} j WHERE j.id = i.job_id AND j.created_at < clock_timestamp() - $1"
    );
    Ok(spi::write(&delete, &[older_than.into()])?)
}
