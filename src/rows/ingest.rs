//! Taking rows in: each finds its record, which is merged with it, or is a new one.

mod dry_run;
mod settle;

use super::given::Given;
use super::matching::{Matched, matched};
use super::outcome::{Outcome, Told, Work};
use super::read::{self, Batch};
use super::target::Target;
use super::write::{Conflict, LINKS, OWN, Round, Writer, missing_links};
use super::{references, rejects};
use crate::backend::Jsonb;
use crate::error::{OnceError, Result};
use crate::jobs::{self, Failure, Stop};
use crate::progress::{Phase, Progress};
use crate::spi;
use once_core::rows::statements::Table;
use once_core::spec::{Ambiguous, Missing, OnError, OnMatch, Spec};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How often rows that lost a race go round again.
const ROUNDS: usize = 10;

/// How many times in a row a row may lose before it is told what is in the way.
const RACES: usize = 4;

/// Takes rows into a target: an outcome for each, all of them written or (the job failed) none.
///
/// `rows`: an array of objects; what their fields are is the target's spec's matter. `source_info`: anything worth keeping
/// with the job, or NULL; its field `plan`, of an earlier dry run's answer, binds the job to what was planned there.
/// `dry_run`: gives the same answer and writes nothing, no job either. Gives `{success, job_id, total, inserted, updated,
/// unchanged, duplicate, ambiguous, rejected, errors: [{row, column, value, reason}, … at most 100]}`, with `ignored_fields`
/// where rows have some that nothing takes, and `plan` after a dry run; where `success` is false, `sqlstate` and `message`.
///
/// # Errors
/// `22004` for a NULL, `22023` where `rows` is no array, `42704`, `42809`, `42P10` and others for the target, `42501` without
/// the rights, `55P03` where another job holds the scope, `40001` where others kept changing the same records.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn ingest(
    target: Option<String>,
    rows: Option<Jsonb>,
    source_info: default!(Option<Jsonb>, "NULL"),
    dry_run: default!(Option<bool>, "false"),
) -> std::result::Result<JsonB, ErrorReport> {
    let (_, answer) = run(target, rows, source_info, dry_run, false)?;
    Ok(JsonB(answer))
}

/// As `ingest`, and tells what became of each row.
///
/// Gives a row a row, in order: its number, its outcome, the job (NULL after a dry run), its key as it is compared, the key
/// that found its record, the columns that it changed there, and why it was not taken.
///
/// # Errors
/// As `ingest`. Where the job failed, all rows are `rejected`, each with the reason.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn ingest_rows(
    target: Option<String>,
    rows: Option<Jsonb>,
    source_info: default!(Option<Jsonb>, "NULL"),
    dry_run: default!(Option<bool>, "false"),
) -> std::result::Result<
    TableIterator<
        'static,
        (
            name!(row_number, Option<i64>),
            name!(outcome, Option<String>),
            name!(job_id, Option<Uuid>),
            name!(row_key, Option<JsonB>),
            name!(matched_by, Option<String>),
            name!(changed_columns, Option<Vec<String>>),
            name!(reason, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let (work, answer) = run(target, rows, source_info, dry_run, true)?;
    if let Some(fields) = answer["ignored_fields"].as_array() {
        let names: Vec<&str> = fields.iter().filter_map(Value::as_str).collect();
        let message = format!("nothing takes these fields of the rows: {}", names.join(", "));
        spi::notice(message, "Name a field as the table's column, or as the spec's fields, references and links do; or give these a column, \"rest\".".into());
    }
    let failed = answer["success"] == json!(false);
    let message = answer["message"].as_str().map(String::from);
    let rows: Vec<_> = work
        .outcomes
        .into_iter()
        .map(|(number, told)| {
            let outcome = if failed { Outcome::Rejected } else { told.outcome };
            let changed = (!failed && !told.changed.is_empty()).then_some(told.changed);
            let matched_by = told.matched_by.filter(|_| !failed).and_then(|key| work.key_names.get(key).cloned());
            let reason = told.refusal.map(|refusal| refusal.shown()).or_else(|| message.clone().filter(|_| failed));
            let name = outcome.name().to_string();
            (Some(number), Some(name), work.job, told.key.map(JsonB), matched_by, changed, reason)
        })
        .collect();
    Ok(TableIterator::new(rows))
}

fn run(
    target: Option<String>,
    rows: Option<Jsonb>,
    source_info: Option<Jsonb>,
    dry_run: Option<bool>,
    told_by_row: bool,
) -> Result<(Work, Value)> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let target = Target::open(target)?;
    let rows = rows.ok_or_else(|| null("rows"))?;
    let dry_run = dry_run.ok_or_else(|| null("dry_run"))?;
    let call = Call { source_info, dry_run, told_by_row, ..Call::of(&target, Given::json(rows)) };
    spi::exact(&target.spec.timezone, || call.run())
}

/// A call, of a user or of a replay.
pub struct Call<'t> {
    pub target: &'t Target,
    pub given: Given<'t>,
    pub source_info: Option<Jsonb>,
    pub dry_run: bool,
    /// Whether each row is told, with its key.
    pub told_by_row: bool,
    /// The numbers of the rows, where they are not 1, 2, 3, ….
    pub numbers: Option<Vec<i64>>,
    /// Which of the rows are on record as rejected, by their places; none where left out.
    pub on_record: Vec<bool>,
    /// Whether rows that found several records are kept with the rejected ones, whatever the spec says.
    pub keeps_ambiguous: bool,
}

impl<'t> Call<'t> {
    /// One that is like any other but for its rows.
    pub fn of(target: &'t Target, given: Given<'t>) -> Self {
        Self {
            target,
            given,
            source_info: None,
            dry_run: false,
            told_by_row: false,
            numbers: None,
            on_record: Vec::new(),
            keeps_ambiguous: false,
        }
    }
}

impl Call<'_> {
    pub fn run(&self) -> Result<(Work, Value)> {
        let target = self.target;
        target.require_rights(self.dry_run)?;
        let mut batch = read::rows(target, &self.given, self.numbers.as_deref())?;
        if self.dry_run {
            return self.tell_plan(&mut batch);
        }
        let scope = self.lock(&batch)?;
        let job = self.begin(scope)?;
        let mut work = None;
        let done = jobs::attempt(|| self.work(job, &mut batch, &mut work))?;
        let mut answer = json!({"success": true, "job_id": job.to_string()});
        if let Err(failure) = &done {
            jobs::failed(job, failure, None)?;
        }
        let work = work.unwrap_or_else(|| self.told(Some(job), &batch, vec![None; batch.lines.len()]));
        self.tell(&work, done.is_ok(), &batch, &mut answer);
        if let Err(failure) = done {
            failure.tell(&mut answer);
        }
        Ok((work, answer))
    }

    /// Locks every scope that the rows are of, here and in the targets that records may be made in, in one order for all.
    /// Gives the scope where there is one only.
    fn lock(&self, batch: &Batch<'_>) -> Result<Option<String>> {
        let target = self.target;
        let own = scopes(target, batch);
        let mut locks: BTreeSet<(u32, String)> = own.iter().map(|scope| (target.oid.to_u32(), scope.clone())).collect();
        let mut relations = vec![(target.oid, &target.table.relation)];
        for (reference, subs) in target.references.iter().zip(&batch.references) {
            if reference.missing == Missing::Create && !subs.lines.is_empty() {
                let other = &reference.target;
                locks.extend(scopes(other, subs).into_iter().map(|scope| (other.oid.to_u32(), scope)));
                relations.push((other.oid, &other.table.relation));
            }
        }
        for (oid, scope) in &locks {
            if let Some((known, relation)) = relations.iter().find(|(known, _)| known.to_u32() == *oid) {
                jobs::lock(relation, *known, scope)?;
            }
        }
        let mut own = own.into_iter();
        let only = own.next().filter(|scope| !scope.is_empty());
        Ok(if own.next().is_none() { only } else { None })
    }

    fn begin(&self, scope: Option<String>) -> Result<Uuid> {
        let spec = Spec::Rows(self.target.spec.clone());
        jobs::create(&self.target.name, &self.target.table.relation, &spec, scope, self.source_info)
    }

    /// What is told of the rows goes to `done` as soon as it is known, since it counts where the job fails, too.
    fn work(&self, job: Uuid, batch: &mut Batch<'_>, done: &mut Option<Work>) -> std::result::Result<(), Stop> {
        let target = self.target;
        let total = i64::try_from(batch.lines.len()).unwrap_or(i64::MAX);
        let mut progress = Progress::start(target.oid);
        progress.phase(Phase::Validating, total);
        jobs::validating(job)?;
        let mut writer = Writer::new(target, job, spi::own("import_images")?);
        let mut pending = vec![true; batch.lines.len()];
        let mut told = vec![None; batch.lines.len()];
        let (mut conflict, mut losses) = (Conflict::Unlikely, 0);
        let foreseen = self.require_plan(batch)?;
        jobs::processing(job, total)?;
        progress.phase(Phase::Inserting, total);
        let mut idle = 0;
        while pending.contains(&true) {
            pgrx::check_for_interrupts!();
            let (matched, references) = self.look(batch, &pending, true)?;
            let waiting = pending.iter().filter(|waits| **waits).count();
            // Where what was matched is not so any more, nothing has been tried yet.
            if let Round::Written(written) = writer.write(batch, &matched, &references, conflict)? {
                self.settle_written(batch, &matched, &written, &mut pending, &mut told, &mut writer);
                losses = if written.lost.is_empty() { 0 } else { losses + 1 };
            }
            // Who loses again and again has not lost a race: something else is in the way.
            conflict = match losses {
                0 => Conflict::Unlikely,
                1..RACES => Conflict::PassOver,
                _ => Conflict::Refuse,
            };
            idle = if pending.iter().filter(|waits| **waits).count() < waiting { 0 } else { idle + 1 };
            if idle == ROUNDS {
                return Err(OnceError::Unsettled { relation: target.table.relation.clone() }.into());
            }
        }
        self.settle_changed_again(&writer, &mut told)?;
        let work = done.insert(self.told(Some(job), batch, told));
        if let Some(foreseen) = foreseen {
            self.require_foreseen(&foreseen, work)?;
        }
        if let Some(failure) = self.refusal(work) {
            return Err(failure.into());
        }
        let is_kept = |place: usize, outcome: Outcome| {
            let kept = self.keeps_ambiguous || target.spec.ambiguous == Ambiguous::Reject;
            (outcome == Outcome::Rejected || (kept && outcome == Outcome::Ambiguous))
                && self.on_record.get(place) != Some(&true)
        };
        rejects::write(target, job, &self.given, work, is_kept)?;
        let mut summary = json!({});
        self.count(work, true, batch, &mut summary);
        summary["scopes"] = json!(scopes(target, batch));
        summary["parts"] = parts(target);
        summary["images"] = json!(super::undo::images_of(job)?);
        jobs::summarized(job, &summary)?;
        let records = |name: &str| summary[name].as_i64().unwrap_or(0);
        jobs::completed(job, records("inserted") + records("updated"))?;
        Ok(())
    }

    /// Resolves what the pending lines refer to, and matches them.
    fn look<'a>(
        &self,
        batch: &mut Batch<'a>,
        pending: &[bool],
        in_waves: bool,
    ) -> Result<(Matched<'a>, Vec<Matched<'a>>)> {
        let references = references::resolve(self.target, batch)?;
        let mut found = matched(self.target, batch, self.target.spec.on_match, pending, in_waves)?;
        if self.target.spec.on_match == OnMatch::Update {
            missing_links(self.target, batch, &mut found)?;
        }
        Ok((found, references))
    }

    /// Why nothing may be written, where the spec wants all or nothing.
    fn refusal(&self, work: &Work) -> Option<Failure> {
        if self.target.spec.on_error != OnError::Abort {
            return None;
        }
        let rejects_ambiguous = self.target.spec.ambiguous == Ambiguous::Reject;
        let refused = |told: &Told| {
            told.outcome == Outcome::Rejected || (rejects_ambiguous && told.outcome == Outcome::Ambiguous)
        };
        let count = work.outcomes.iter().filter(|(_, told)| refused(told)).count();
        (count > 0).then(|| {
            let rows = if count == 1 { "1 row was".into() } else { format!("{count} rows were") };
            Failure::new("22000", format!("{rows} rejected, so nothing was written"))
                .with("errors", Some(work.errors()))
        })
    }

    /// What is told of the rows together.
    fn tell(&self, work: &Work, succeeded: bool, batch: &Batch<'_>, answer: &mut Value) {
        self.count(work, succeeded, batch, answer);
        answer["errors"] = json!(work.errors());
    }

    /// The counts, and what nothing takes.
    fn count(&self, work: &Work, succeeded: bool, batch: &Batch<'_>, answer: &mut Value) {
        work.count(succeeded, answer);
        if !batch.unknown.is_empty() {
            answer["ignored_fields"] = json!(batch.unknown);
        }
    }
}

/// The scopes of the lines, as texts; an empty one where the target has none.
fn scopes(target: &Target, batch: &Batch<'_>) -> BTreeSet<String> {
    let Some(name) = &target.spec.scope else { return BTreeSet::from([String::new()]) };
    let slot = batch.slot_named(target, name);
    let texts = batch.lines.iter().filter_map(|line| slot.and_then(|slot| line.cell(slot).text()));
    texts.map(String::from).collect()
}

/// The tables that a job may have written to, with what its images are to be compared by.
fn parts(target: &Target) -> Value {
    let mut parts = vec![(OWN, &target.table)];
    for (at, reference) in target.references.iter().enumerate().filter(|(_, r)| r.missing == Missing::Create) {
        parts.push((i16::try_from(at + 1).unwrap_or(i16::MAX), &reference.target.table));
    }
    for (at, link) in target.links.iter().enumerate() {
        parts.push((LINKS + i16::try_from(at).unwrap_or(0), &link.table));
    }
    let part = |(part, table): (i16, &Table)| {
        json!({
            "part": part,
            "schema": table.relation.schema,
            "table": table.relation.name,
            "identity": table.identity.iter().map(|column| &column.name).collect::<Vec<_>>(),
            "columns": table.digested().map(|column| &column.name).collect::<Vec<_>>(),
        })
    };
    parts.into_iter().map(part).collect()
}
