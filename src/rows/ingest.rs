//! Taking rows in: each finds its record, which is merged with it, or is a new one.

use super::checks;
use super::matching::{KeySlots, Made, Matched, lacking, matched};
use super::read::{self, Batch, Refusal};
use super::target::Target;
use super::write::{Conflict, Round, Writer, Written, missing_links, shown_key};
use super::{references, rejects};
use crate::backend::Jsonb;
use crate::backend::json::Document;
use crate::error::{OnceError, Result};
use crate::jobs::{self, Failure, Stop};
use crate::progress::{Phase, Progress};
use crate::spi;
use once_core::rows::plan::{Fate, Holder};
use once_core::rows::statements::name_parts;
use once_core::spec::{Ambiguous, Missing, OnError, OnMatch, Spec};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How many faulty rows an answer names; the counts are of all of them.
const NAMED: usize = 100;

/// How often rows that lost a race go round again.
const ROUNDS: usize = 10;

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
        spi::notice(message, "Name a field as the table's column, or as the spec's references and links do.".into());
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

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Inserted,
    Updated,
    Unchanged,
    Duplicate,
    Ambiguous,
    Rejected,
}

impl Outcome {
    const ALL: [Self; 6] =
        [Self::Inserted, Self::Updated, Self::Unchanged, Self::Duplicate, Self::Ambiguous, Self::Rejected];

    fn name(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Duplicate => "duplicate",
            Self::Ambiguous => "ambiguous",
            Self::Rejected => "rejected",
        }
    }
}

/// What is told of a row.
#[derive(Debug, Clone)]
pub struct Told {
    pub outcome: Outcome,
    pub key: Option<Value>,
    /// The number of the key that found its record.
    pub matched_by: Option<usize>,
    pub changed: Vec<String>,
    pub refusal: Option<Box<Refusal>>,
}

impl Told {
    fn of(outcome: Outcome, refusal: Option<Refusal>) -> Self {
        Self { outcome, key: None, matched_by: None, changed: Vec::new(), refusal: refusal.map(Box::new) }
    }
}

/// A call's result, row by row.
pub struct Work {
    pub job: Option<Uuid>,
    pub key_names: Vec<String>,
    pub outcomes: Vec<(i64, Told)>,
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
    let call = Call { target: &target, rows, source_info, dry_run, told_by_row, numbers: None, replayed: None };
    spi::exact(&target.spec.timezone, || call.run())
}

/// A call, of a user or of a replay.
pub struct Call<'t> {
    pub target: &'t Target,
    pub rows: Jsonb,
    pub source_info: Option<Jsonb>,
    pub dry_run: bool,
    /// Whether each row is told, with its key.
    pub told_by_row: bool,
    /// The numbers of the rows, where they are not 1, 2, 3, ….
    pub numbers: Option<Vec<i64>>,
    /// The job whose rejected rows these are: they are on record there.
    pub replayed: Option<Uuid>,
}

impl Call<'_> {
    pub fn run(&self) -> Result<(Work, Value)> {
        let target = self.target;
        target.require_rights(self.dry_run)?;
        let document = Document::of(self.rows);
        let mut batch = read::rows(target, &document, self.numbers.as_deref())?;
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
        self.count(&work, done.is_ok(), &batch, &mut answer);
        if let Err(failure) = done {
            failure.tell(&mut answer);
        }
        Ok((work, answer))
    }

    /// What a run would do, from what is there now.
    fn tell_plan(&self, batch: &mut Batch<'_>) -> Result<(Work, Value)> {
        let work = self.foresee(batch)?;
        let mut answer = json!({"success": true, "job_id": null});
        let failure = self.refusal(&work);
        self.count(&work, failure.is_none(), batch, &mut answer);
        answer["plan"] = self.plan(&work)?;
        if let Some(failure) = failure {
            failure.tell(&mut answer);
        }
        Ok((work, answer))
    }

    /// What would become of the rows, from what is there now.
    fn foresee(&self, batch: &mut Batch<'_>) -> Result<Work> {
        let pending = vec![true; batch.lines.len()];
        let (matched, _) = self.look(batch, &pending, false)?;
        let mut told = vec![None; batch.lines.len()];
        self.settle(batch, &matched, &planned(&matched), &pending, &mut told);
        // Of several rows about one record it is not known which would be refused.
        let alone = |group: &usize| {
            let changes = matched.group(*group).record.is_none() || !matched.changes[*group].is_empty();
            changes && matched.group(*group).rows.len() == 1
        };
        let groups: Vec<usize> = (0..matched.plan.groups.len()).filter(alone).collect();
        for (group, refusal) in checks::broken(self.target, batch, &matched, &groups, &Made::new())? {
            if let Some(Some(one)) = told.get_mut(matched.group(group).rows[0]) {
                *one = Told { key: one.key.take(), ..Told::of(Outcome::Rejected, Some(refusal)) };
            }
        }
        Ok(self.told(None, batch, told))
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
        let mut conflict = Conflict::Unlikely;
        self.require_plan(batch)?;
        jobs::processing(job, total)?;
        progress.phase(Phase::Inserting, total);
        let mut idle = 0;
        while pending.contains(&true) {
            pgrx::check_for_interrupts!();
            let (matched, references) = self.look(batch, &pending, true)?;
            let waiting = pending.iter().filter(|waits| **waits).count();
            let lost = match writer.write(batch, &matched, &references, conflict)? {
                Round::Again => true,
                Round::Written(written) => {
                    self.settle_written(batch, &matched, &written, &mut pending, &mut told, &mut writer);
                    !written.lost.is_empty()
                }
            };
            // Who loses twice has not lost a race: something else is in the way.
            conflict = match conflict {
                Conflict::Unlikely if lost => Conflict::PassOver,
                Conflict::PassOver if lost => Conflict::Refuse,
                _ => Conflict::Unlikely,
            };
            idle = if pending.iter().filter(|waits| **waits).count() < waiting { 0 } else { idle + 1 };
            if idle == ROUNDS {
                return Err(OnceError::Unsettled { relation: target.table.relation.clone() }.into());
            }
        }
        self.settle_changed_again(&writer, &mut told)?;
        let work = done.insert(self.told(Some(job), batch, told));
        if let Some(failure) = self.refusal(work) {
            return Err(failure.into());
        }
        if self.replayed.is_none() {
            rejects::write(target, job, self.rows, work, target.spec.ambiguous == Ambiguous::Reject)?;
        }
        let mut summary = json!({});
        self.count(work, true, batch, &mut summary);
        summary["scopes"] = json!(scopes(target, batch));
        summary["parts"] = parts(target);
        summary["images"] = json!(super::undo::images_of(job)?);
        if let Some(fields) = summary.as_object_mut() {
            fields.remove("errors");
        }
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

    /// Notes what became of the lines of a round; those that lost a race stay pending.
    fn settle_written(
        &self,
        batch: &mut Batch<'_>,
        matched: &Matched<'_>,
        written: &Written,
        pending: &mut [bool],
        told: &mut [Option<Told>],
        writer: &mut Writer<'_>,
    ) {
        for (group, refusal) in &written.refused {
            for line in &matched.group(*group).rows {
                batch.lines[*line].refuse(refusal.clone());
            }
        }
        for group in &written.apart {
            for line in &matched.group(*group).rows {
                batch.lines[*line].stands_alone = true;
            }
        }
        let again = |group: usize| written.lost.contains(&group) || written.apart.contains(&group);
        let before = pending.to_vec();
        for (line, waits) in pending.iter_mut().enumerate() {
            let later = matched.plan.fates[line] == Fate::Later;
            *waits = *waits && (later || matched.group_of(line).is_some_and(|(group, _)| again(group)));
        }
        let outcome = |group: usize| {
            if written.inserted.contains_key(&group) {
                Outcome::Inserted
            } else if written.updated.contains(&group) {
                Outcome::Updated
            } else {
                Outcome::Unchanged
            }
        };
        let settled: Vec<bool> = before.iter().zip(pending.iter()).map(|(before, now)| *before && !*now).collect();
        self.settle(batch, matched, &outcome, &settled, told);
        // Nobody asks in the only round.
        if writer.touched.is_empty() && !pending.contains(&true) {
            return;
        }
        for (group, name) in &written.inserted {
            writer.touched.insert(name.clone(), super::write::number(matched.group(*group).rows[0]));
        }
        // What an earlier round has touched is the earlier row's: this one repeats it.
        for (line, settled) in settled.iter().enumerate() {
            let Some((group, _)) = matched.group_of(line).filter(|_| *settled) else { continue };
            let name = match matched.group(group).record {
                Some(record) => matched.records[record].clone(),
                None => continue,
            };
            let first = i64::try_from(matched.group(group).rows[0]).unwrap_or(i64::MAX);
            let toucher = *writer.touched.entry(name).or_insert(first);
            if toucher == first {
                continue;
            }
            let earlier = super::matching::index(toucher);
            let number = batch.lines.get(earlier).map_or(toucher, |line| line.number);
            let Some(one) = told[line].as_mut().filter(|one| one.refusal.is_none()) else { continue };
            let changed = std::mem::take(&mut one.changed);
            one.outcome = Outcome::Duplicate;
            one.refusal = Some(Refusal::row(format!("repeats row {number}")).into());
            if !changed.is_empty() {
                writer.changed_again.insert(toucher);
            }
        }
    }

    /// Tells of records that rows of several rounds have changed what it came to, with the first of these rows.
    fn settle_changed_again(&self, writer: &Writer<'_>, told: &mut [Option<Told>]) -> Result<()> {
        if writer.changed_again.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT i.number, ARRAY(SELECT b.name FROM jsonb_each(i.before) AS b(name, value) \
             WHERE b.value IS DISTINCT FROM i.after -> b.name ORDER BY 1) \
             FROM {} i WHERE i.job_id = $1 AND i.part = $2 AND i.action = 'updated' AND i.number = ANY ($3)",
            writer.images
        );
        let numbers: Vec<i64> = writer.changed_again.iter().copied().collect();
        let args = [writer.job.into(), super::write::OWN.into(), numbers.into()];
        for (number, changed) in spi::fresh(&sql, &args, |row| Ok((row.need::<i64>(1)?, row.need::<Vec<String>>(2)?)))?
        {
            let Some(Some(first)) = told.get_mut(super::matching::index(number)) else { continue };
            if matches!(first.outcome, Outcome::Unchanged | Outcome::Updated) {
                first.changed.retain(|name| self.target.table.column(name).is_none());
                first.changed.extend(changed);
                first.outcome = if first.changed.is_empty() { Outcome::Unchanged } else { Outcome::Updated };
            }
        }
        Ok(())
    }

    /// Tells the outcome of each of these lines.
    fn settle(
        &self,
        batch: &Batch<'_>,
        matched: &Matched<'_>,
        outcome: &dyn Fn(usize) -> Outcome,
        which: &[bool],
        told: &mut [Option<Told>],
    ) {
        let target = self.target;
        let keys = KeySlots::of(target, batch);
        let key_name = |key: usize| self.key_name(key);
        let named = |holder: &Holder| match holder {
            Holder::Record(record) => format!(
                "{} {}",
                target.table.relation.name,
                name_parts(&matched.records[*record], target.table.identity.len()).join(", ")
            ),
            Holder::New(group) => format!("row {}", batch.lines[matched.group(*group).rows[0]].number),
        };
        for (number, line) in batch.lines.iter().enumerate().filter(|(number, _)| which[*number]) {
            let mut one = if let Some(refusal) = &line.refusal {
                Told { refusal: Some(refusal.clone()), ..Told::of(Outcome::Rejected, None) }
            } else {
                match &matched.plan.fates[number] {
                    Fate::Keyless => {
                        let refusal = Refusal::row(format!("has no key: {}", self.lacking(batch, line)));
                        Told::of(Outcome::Rejected, Some(refusal))
                    }
                    Fate::Taken { key, holder } => {
                        let reason = format!("would give its record the {} that {} has", key_name(*key), named(holder));
                        Told::of(Outcome::Rejected, Some(Refusal::row(reason)))
                    }
                    Fate::Incomplete => {
                        let name = lacking(target, batch, line).unwrap_or_default();
                        let name = target.field(name).map_or_else(String::new, |field| target.source_of(field));
                        Told::of(Outcome::Rejected, Some(Refusal::of(&name, None, "is missing")))
                    }
                    // It is told when it comes.
                    Fate::Later => continue,
                    Fate::Ambiguous { found } => {
                        let found: Vec<String> = found
                            .iter()
                            .map(|(key, holder)| format!("{} finds {}", key_name(*key), named(holder)))
                            .collect();
                        Told::of(Outcome::Ambiguous, Some(Refusal::row(found.join(", "))))
                    }
                    Fate::Contradicts { column, holder, key } => {
                        let column = &target.table.tracked[*column];
                        let value = batch.slot_named(target, column).and_then(|slot| line.cell(slot).text());
                        let reason = format!("contradicts {}, which {} finds", named(holder), key_name(*key));
                        Told::of(Outcome::Ambiguous, Some(Refusal::of(column, value, reason)))
                    }
                    Fate::Skipped { holder, key, .. } => {
                        let reason = match holder {
                            Holder::Record(_) => "is there already".to_string(),
                            Holder::New(_) => format!("repeats {}", named(holder)),
                        };
                        Told { matched_by: Some(*key), ..Told::of(Outcome::Duplicate, Some(Refusal::row(reason))) }
                    }
                    Fate::Grouped { group, key } => {
                        let first = matched.group(*group).rows[0];
                        let mut one = if first == number {
                            Told::of(outcome(*group), None)
                        } else {
                            let reason = format!("repeats row {}", batch.lines[first].number);
                            Told::of(Outcome::Duplicate, Some(Refusal::row(reason)))
                        };
                        one.matched_by = *key;
                        if one.outcome == Outcome::Updated {
                            one.changed.clone_from(&matched.changes[*group]);
                        }
                        one
                    }
                }
            };
            if self.told_by_row {
                one.key = shown_key(target, batch, &keys, line);
            }
            told[number] = Some(one);
        }
    }

    /// What each of the keys lacks, by the names that rows have for it.
    fn lacking(&self, batch: &Batch<'_>, line: &read::Line<'_>) -> String {
        let target = self.target;
        let lacks = |(column, null_counts): &(once_core::key::KeyColumn, bool)| {
            let field = target.field(&column.name)?;
            let filled = batch.slot(field).is_some_and(|slot| line.cell(slot).text().is_some());
            (!filled && !null_counts).then(|| target.source_of(field))
        };
        let of_key = |key: &once_core::rows::statements::Key| {
            let lacking: Vec<String> = key.columns.iter().filter_map(lacks).collect();
            format!("{} {} missing", lacking.join(" and "), if lacking.len() == 1 { "is" } else { "are" })
        };
        target.table.keys.iter().map(of_key).collect::<Vec<_>>().join(", ")
    }

    fn key_name(&self, key: usize) -> String {
        self.target.table.keys[key].shown_without(self.target.spec.scope.as_deref())
    }

    fn told(&self, job: Option<Uuid>, batch: &Batch<'_>, told: Vec<Option<Told>>) -> Work {
        let untold = || Told::of(Outcome::Rejected, None);
        let tell = |(line, told): (&read::Line<'_>, Option<Told>)| {
            let told = told.unwrap_or_else(|| Told { refusal: line.refusal.clone(), ..untold() });
            (line.number, told)
        };
        let key_names = (0..self.target.table.keys.len()).map(|key| self.key_name(key)).collect();
        Work { job, key_names, outcomes: batch.lines.iter().zip(told).map(tell).collect() }
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
            Failure::new("22000", format!("{rows} rejected, so nothing was written")).with("errors", Some(errors(work)))
        })
    }

    /// The counts and the errors of an answer; of a job that failed, only of the rows at fault.
    fn count(&self, work: &Work, succeeded: bool, batch: &Batch<'_>, answer: &mut Value) {
        answer["total"] = json!(work.outcomes.len());
        for outcome in Outcome::ALL {
            let at_fault = matches!(outcome, Outcome::Ambiguous | Outcome::Rejected);
            let is_one = |told: &Told| told.outcome == outcome && (succeeded || (at_fault && told.refusal.is_some()));
            answer[outcome.name()] = json!(work.outcomes.iter().filter(|(_, told)| is_one(told)).count());
        }
        answer["errors"] = json!(errors(work));
        if !batch.unknown.is_empty() {
            answer["ignored_fields"] = json!(batch.unknown);
        }
    }

    /// What a plan is known by: the counts, and a hash of the rows and their outcomes.
    fn plan(&self, work: &Work) -> Result<Value> {
        let mut text = String::new();
        let mut plan = Map::new();
        for (number, told) in &work.outcomes {
            let reason = told.refusal.as_ref().map(|refusal| refusal.shown()).unwrap_or_default();
            let by = told.matched_by.map_or(-1, |key| i64::try_from(key).unwrap_or(i64::MAX));
            text += &format!("{number} {} {by} {} {reason}\n", told.outcome.name(), told.changed.join(","));
            let count = plan.entry(told.outcome.name()).or_insert(json!(0));
            *count = json!(count.as_i64().unwrap_or(0) + 1);
        }
        let digest = "SELECT encode(sha256(convert_to($1 || $2::text, 'UTF8')), 'hex')";
        let digest: String = spi::read_one(digest, &[text.into(), self.rows.into()], |row| row.need(1))?;
        plan.insert("digest".into(), digest.into());
        Ok(plan.into())
    }

    /// That the rows would do what the plan says that the job is bound to.
    fn require_plan(&self, batch: &mut Batch<'_>) -> std::result::Result<(), Stop> {
        let Some(info) = self.source_info else { return Ok(()) };
        let bound = "SELECT $1 -> 'plan' ->> 'digest', ($1 -> 'plan')::text WHERE $1 ? 'plan'";
        let bound = spi::read(bound, &[info.into()], |row| Ok((row.get::<String>(1)?, row.get::<String>(2)?)))?;
        let Some((digest, then)) = bound.into_iter().next() else { return Ok(()) };
        let then = then.unwrap_or_default();
        let digest = digest.ok_or_else(|| OnceError::NoPlan { given: then.clone() })?;
        let now = self.plan(&self.foresee(batch)?)?;
        if now["digest"].as_str() == Some(digest.as_str()) {
            return Ok(());
        }
        let then: Value = serde_json::from_str(&then).unwrap_or_default();
        let difference: Vec<String> = Outcome::ALL
            .into_iter()
            .map(Outcome::name)
            .filter(|name| now[*name] != then[*name])
            .map(|name| {
                format!("{name} {} instead of {}", now[name].as_i64().unwrap_or(0), then[name].as_i64().unwrap_or(0))
            })
            .collect();
        let difference =
            if difference.is_empty() { "other rows or other changes".into() } else { difference.join(", ") };
        let message = format!("The outcome would not be as planned: {difference}. Nothing was written; plan again.");
        Err(Failure::new("55000", message).into())
    }
}

/// What groups would become.
fn planned<'m>(matched: &'m Matched<'_>) -> impl Fn(usize) -> Outcome + 'm {
    |group| match matched.group(group).record {
        None => Outcome::Inserted,
        Some(_) if matched.changes[group].is_empty() => Outcome::Unchanged,
        Some(_) => Outcome::Updated,
    }
}

fn errors(work: &Work) -> Vec<Value> {
    let faulty =
        work.outcomes.iter().filter(|(_, told)| matches!(told.outcome, Outcome::Rejected | Outcome::Ambiguous));
    let told = faulty.take(NAMED).filter_map(|(number, told)| {
        let refusal = told.refusal.as_ref()?;
        Some(json!({"row": number, "column": refusal.column, "value": refusal.value, "reason": refusal.shown()}))
    });
    told.collect()
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
    let mut parts = vec![(super::write::OWN, &target.table)];
    for (at, reference) in target.references.iter().enumerate().filter(|(_, r)| r.missing == Missing::Create) {
        parts.push((i16::try_from(at + 1).unwrap_or(i16::MAX), &reference.target.table));
    }
    for (at, link) in target.links.iter().enumerate() {
        parts.push((super::write::LINKS + i16::try_from(at).unwrap_or(0), &link.table));
    }
    let part = |(part, table): (i16, &once_core::rows::statements::Table)| {
        let names = |columns: &[once_core::rows::statements::Column]| {
            columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>()
        };
        json!({
            "part": part,
            "schema": table.relation.schema,
            "table": table.relation.name,
            "identity": names(&table.identity),
            "columns": names(&table.columns),
        })
    };
    parts.into_iter().map(part).collect()
}
