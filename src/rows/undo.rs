//! What a job of rows wrote, compared with what is there, and taken back where nobody has changed it since.

mod part;
mod state;

use crate::error::{OnceError, Result};
use crate::jobs::{self, Failure, Job, Stop};
use crate::progress::{Phase, Progress};
use crate::targets;
use crate::{backend, rights, spi};
use once_core::ident::quote;
use once_core::rows::statements::Column;
use once_core::spec::RowsSpec;
use once_core::sqlstate::is_jobs_own;
use part::Part;
use pgrx::Uuid;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use state::{State, changed_columns, locked, require_sight, states};
use std::collections::{HashMap, HashSet};

/// How many records an answer names.
const NAMED: usize = 100;

type Step<T> = std::result::Result<T, Stop>;

/// Why a record could not be taken back.
struct Refusal {
    /// That others refer to it, and so not its own fault.
    keeps: bool,
    reason: String,
}

/// What an undoing came to.
#[derive(Default)]
struct Tally {
    reversed: usize,
    kept: usize,
    errored: usize,
    links_kept: usize,
    details: Vec<Value>,
}

impl Tally {
    fn reverse(&mut self, part: &Part) {
        self.reversed += usize::from(!part.is_links());
    }

    fn keep(&mut self, part: &Part, state: &State, columns: &[String], reason: &str) {
        let count = if part.is_links() { &mut self.links_kept } else { &mut self.kept };
        *count += 1;
        self.tell(part, state, columns, reason);
    }

    fn refuse(&mut self, part: &Part, state: &State, refusal: &Refusal) {
        if refusal.keeps || part.is_links() {
            return self.keep(part, state, &[], &refusal.reason);
        }
        self.errored += 1;
        self.tell(part, state, &[], &refusal.reason);
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

/// Undoes a completed job. See `rollback_import_job`.
///
/// What a trigger writes to a record after the job has is not the job's: such a record counts as changed since, and is kept.
pub fn roll_back(job: Job, spec: RowsSpec, keep: bool) -> Result<Value> {
    let table =
        targets::find(&job.relation)?.ok_or_else(|| OnceError::RelationGone { relation: job.relation.clone() })?;
    for scope in scopes(&job) {
        jobs::lock(&table.relation, table.oid, &scope)?;
    }
    let job = jobs::load(Some(job.id), true)?;
    job.require_completed()?;
    let written = Written::by(&job)?;
    if written.are_pruned() {
        return Err(OnceError::ImagesPruned { job: job.id.to_string() });
    }
    let parts = Part::all(&job, &spec)?;
    let mut answer = json!({"success": true, "job_id": job.id.to_string(), "reversed": 0, "kept": 0, "errored": 0});
    let done = spi::exact(&spec.timezone, || {
        jobs::attempt(|| {
            let mut tally = Tally::default();
            let mut progress = Progress::start(table.oid);
            progress.phase(Phase::Deleting, job.rows_written.unwrap_or(0));
            for part in &parts {
                undo(&job, part, keep, &mut tally)?;
            }
            // Records that got links and nothing else have no image of their own: they are as before where these are gone.
            let linked = usize::try_from(written.by_links()).unwrap_or(0);
            let kept = linked.min(tally.links_kept);
            tally.kept += kept;
            tally.reversed += linked - kept;
            reopen_rejects(&job)?;
            jobs::rolled_back(job.id, i64::try_from(tally.kept).unwrap_or(i64::MAX))?;
            Ok(tally)
        })
    })?;
    match done {
        Ok(Tally { reversed, kept, errored, details, .. }) => {
            answer["reversed"] = json!(reversed);
            answer["kept"] = json!(kept);
            answer["errored"] = json!(errored);
            answer["details"] = json!(details);
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

fn records(count: impl ToString) -> String {
    match count.to_string().as_str() {
        "1" => "1 record".into(),
        count => format!("{count} records"),
    }
}

fn undo(job: &Job, part: &Part, keep: bool, tally: &mut Tally) -> Step<()> {
    let states = locked(job, part)?;
    let there = states.iter().filter(|state| state.there).count();
    if there < states.len() && rights::row_security(part.table.oid)? {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (found, written) = (count(there), count(states.len()));
        return Err(OnceError::RowsHidden { id: job.id.to_string(), found, written }.into());
    }
    let protected = states.iter().filter(|state| state.there && state.protected).count();
    if protected > 0 && !keep {
        let column = part.protect.as_deref().unwrap_or_default();
        let records = if protected == 1 { "1 record is".into() } else { format!("{protected} records are") };
        let message = format!(
            "Refused: {records} protected ({column}). Nothing was changed; p_keep_protected => true undoes the others."
        );
        return Err(Failure::new("23001", message).with("kept", Some(protected)).into());
    }
    let mut open: Vec<State> = Vec::new();
    for state in states {
        match state {
            State { there: false, inserted: true, .. } => tally.reverse(part),
            State { there: false, .. } => tally.keep(part, &state, &[], "was deleted since"),
            State { protected: true, .. } => tally.keep(part, &state, &[], "is protected"),
            State { inserted: true, .. } if !part.gone.is_empty() => {
                tally.keep(part, &state, &part.gone, "may have been changed since, in columns that are gone")
            }
            State { inserted: true, same: false, .. } => tally.keep(part, &state, &[], "was changed since"),
            _ => open.push(state),
        }
    }
    require_sight(job, part, &open)?;
    take_back(job, part, open, tally)
}

/// Takes back what can be; and again as long as that sets others free: the parents of what went, values that are unique.
fn take_back(job: &Job, part: &Part, mut open: Vec<State>, tally: &mut Tally) -> Step<()> {
    let images = spi::own("import_images")?;
    let delete = part.images(&images).delete();
    let given_back = changed_columns(job, part)?;
    let given_back: Vec<&Column> = part.writable.iter().filter(|column| given_back.contains(&column.name)).collect();
    let restore = (!given_back.is_empty()).then(|| part.images(&images).restore(&given_back));
    loop {
        let (held, made): (Vec<&State>, Vec<&State>) =
            open.iter().filter(|state| state.inserted).partition(|state| state.referring.is_some());
        let changed: Vec<&State> = open.iter().filter(|state| !state.inserted).collect();
        let mut pass = Pass::default();
        for state in held {
            let reason = format!("rows of {} refer to it", state.referring.as_deref().unwrap_or_default());
            pass.refused.insert(state.number, Refusal { keeps: true, reason });
        }
        attempt(job, part, &delete, &made, &mut pass)?;
        if let Some(restore) = &restore {
            attempt(job, part, restore, &changed, &mut pass)?;
        }
        let is_last = pass.done.is_empty() || pass.refused.is_empty();
        let (again, settled): (Vec<State>, Vec<State>) =
            open.into_iter().partition(|state| !is_last && pass.refused.contains_key(&state.number));
        for state in &settled {
            settle(part, state, &pass, tally);
        }
        if again.is_empty() {
            return Ok(());
        }
        open = states(job, part, Some(again.iter().map(|state| state.number).collect()), true)?;
    }
}

fn settle(part: &Part, state: &State, pass: &Pass, tally: &mut Tally) {
    if let Some(refusal) = pass.refused.get(&state.number) {
        tally.refuse(part, state, refusal);
    } else if !state.changed.is_empty() {
        tally.keep(part, state, &state.changed, "was changed since");
    } else if !state.gone.is_empty() {
        tally.keep(part, state, &state.gone, "had values in columns that are gone");
    } else if let Some(table) = &state.referring {
        tally.keep(part, state, &[], &format!("rows of {table} refer to it"));
    } else if pass.done.contains(&state.number) {
        tally.reverse(part);
    } else {
        tally.keep(part, state, &[], "was changed meanwhile, or is kept by a trigger or a policy");
    }
}

/// What came of one go at the records.
#[derive(Default)]
struct Pass {
    done: HashSet<i64>,
    refused: HashMap<i64, Refusal>,
}

/// Runs the statement for the records; where that fails by their own doing, halves are tried until each that fails is alone.
fn attempt(job: &Job, part: &Part, sql: &str, states: &[&State], pass: &mut Pass) -> Step<()> {
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
        (Ok(done), _) => pass.done.extend(done?),
        (Err(error), _) if !is_jobs_own(&error.sqlstate) => error.rethrow(),
        (Err(error), [only]) => {
            let keeps = ["23503", "23001"].contains(&error.sqlstate.as_str());
            // Who refers to it is in the detail; other details may show the whole record.
            let reason = error.detail.filter(|_| keeps).unwrap_or(error.message);
            pass.refused.insert(only.number, Refusal { keeps, reason });
        }
        (Err(_), _) => {
            let (left, right) = states.split_at(states.len() / 2);
            attempt(job, part, sql, left, pass)?;
            attempt(job, part, sql, right, pass)?;
        }
    }
    Ok(())
}

/// What the job, a replay, took of another's rejects is nowhere now.
fn reopen_rejects(job: &Job) -> Result<()> {
    let sql = format!(
        "UPDATE {} SET resolved_at = NULL, resolved_by_job = NULL WHERE resolved_by_job = $1",
        spi::own("import_rejects")?
    );
    spi::write(&sql, &[job.id.into()]).map(drop)
}

fn summary(job: &Job) -> Value {
    serde_json::from_str(job.summary.as_deref().unwrap_or("null")).unwrap_or_default()
}

/// The scopes that a job worked in, in the order in which all take them.
fn scopes(job: &Job) -> Vec<String> {
    let summary = summary(job);
    let scopes = summary["scopes"].as_array().into_iter().flatten();
    scopes.filter_map(|scope| scope.as_str().map(String::from)).collect()
}

/// How many records of its own a job has images of.
pub fn images_of(job: Uuid) -> Result<i64> {
    let sql = format!("SELECT count(*) FROM {} WHERE job_id = $1 AND part = 0", spi::own("import_images")?);
    spi::fresh_one(&sql, &[job.into()], |row| row.need(1))
}

/// How many records of its own a job wrote, how many of them have images, and how many of these are left.
struct Written {
    records: i64,
    images: i64,
    left: i64,
}

impl Written {
    fn by(job: &Job) -> Result<Self> {
        let left = images_of(job.id)?;
        let records = job.rows_written.unwrap_or(0);
        Ok(Self { records, images: summary(job)["images"].as_i64().unwrap_or(records), left })
    }

    fn are_pruned(&self) -> bool {
        self.left < self.images
    }

    /// Those that got links, and nothing else.
    fn by_links(&self) -> i64 {
        self.records.saturating_sub(self.images).max(0)
    }
}

/// Compares what a job of rows wrote with what is there, but for its links. See `verify_import_job`.
pub fn verify(job: Job, spec: RowsSpec) -> Result<Value> {
    let written = Written::by(&job)?;
    let expected = written.records;
    let mut actual = written.by_links();
    let (mut gone, mut changed) = (0, 0);
    let mut lost = "deleted since";
    if job.summary.is_some() {
        let part = Part::own(&job, &spec)?;
        if rights::row_security(part.table.oid)? {
            lost = "deleted since or hidden from you";
        }
        for state in spi::exact(&spec.timezone, || states(&job, &part, None, false))? {
            match state {
                State { there: false, .. } => gone += 1,
                State { inserted: true, same: true, .. } => actual += 1,
                State { inserted: false, changed, gone, .. } if changed.is_empty() && gone.is_empty() => actual += 1,
                _ => changed += 1,
            }
        }
    }
    let pruned = written.are_pruned();
    let message = match job.status.as_str() {
        "completed" if pruned => "The images of the job were pruned: what it wrote is not known any more".into(),
        "completed" if actual == expected => format!("All there: {}", records(expected)),
        "completed" => format!("{} as written, {changed} changed since, {gone} {lost}", records(actual)),
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
        "verified": job.status == "completed" && !pruned && actual == expected,
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
