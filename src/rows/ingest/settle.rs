//! What is told of each row once it is known what becomes of it.

use super::Call;
use crate::error::Result;
use crate::rows::matching::{Matched, lacking};
use crate::rows::outcome::{Outcome, Told, Work};
use crate::rows::read::{self, Batch, Refusal};
use crate::rows::stores::{KeySlots, Made, index, number, shown_key};
use crate::rows::write::{OWN, Writer, Written};
use crate::spi;
use once_core::rows::plan::{Fate, Holder};
use once_core::rows::statements::name_parts;
use pgrx::Uuid;

impl Call<'_> {
    /// Notes what became of the lines of a round; those that lost a race stay pending.
    pub(super) fn settle_written(
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
        // What a line met in rows before it is not so where these were not written.
        let all_written = written.refused.is_empty() && written.apart.is_empty() && written.lost.is_empty();
        let before = pending.to_vec();
        for (line, waits) in pending.iter_mut().enumerate() {
            let comes_again = match &matched.plan.fates[line] {
                Fate::Later => true,
                Fate::Grouped { group, .. } => again(*group),
                Fate::Ambiguous { .. } | Fate::Contradicts { .. } | Fate::Taken { .. } | Fate::Skipped { .. } => {
                    !all_written
                }
                Fate::Keyless | Fate::Incomplete => false,
            };
            *waits = *waits && comes_again && batch.lines[line].refusal.is_none();
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
        self.settle(batch, matched, &outcome, &settled, &writer.made, told);
        // Nobody asks in the only round.
        if writer.touched.is_empty() && !pending.contains(&true) {
            return;
        }
        for (group, name) in &written.inserted {
            writer.touched.insert(name.clone(), number(matched.group(*group).rows[0]));
        }
        // What an earlier round has touched is the earlier row's: this one repeats it.
        for (line, settled) in settled.iter().enumerate() {
            let Some(group) = matched.group_of(line).filter(|_| *settled) else { continue };
            let name = match matched.group(group).record {
                Some(record) => matched.records[record].clone(),
                None => continue,
            };
            let first = number(matched.group(group).rows[0]);
            let toucher = *writer.touched.entry(name).or_insert(first);
            if toucher == first {
                continue;
            }
            let earlier = index(toucher);
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
    pub(super) fn settle_changed_again(&self, writer: &Writer<'_>, told: &mut [Option<Told>]) -> Result<()> {
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
        let args = [writer.job.into(), OWN.into(), numbers.into()];
        for (number, changed) in spi::fresh(&sql, &args, |row| Ok((row.need::<i64>(1)?, row.need::<Vec<String>>(2)?)))?
        {
            let Some(Some(first)) = told.get_mut(index(number)) else { continue };
            if matches!(first.outcome, Outcome::Unchanged | Outcome::Updated) {
                first.changed.retain(|name| self.target.table.column(name).is_none());
                first.changed.extend(changed);
                first.outcome = if first.changed.is_empty() { Outcome::Unchanged } else { Outcome::Updated };
            }
        }
        Ok(())
    }

    /// Tells the outcome of each of these lines. `made`: the records that were made for their references.
    pub(super) fn settle(
        &self,
        batch: &Batch<'_>,
        matched: &Matched<'_>,
        outcome: &dyn Fn(usize) -> Outcome,
        which: &[bool],
        made: &Made,
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
                        let name = target.field(name).map_or_else(String::new, |field| line.source_of(target, field));
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
                        let column =
                            target.field(column).and_then(|field| line.called(target, field)).unwrap_or(column);
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
                one.key = shown_key(target, batch, &keys, line, made);
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
            (!filled && !null_counts).then(|| line.source_of(target, field))
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

    pub(super) fn told(&self, job: Option<Uuid>, batch: &Batch<'_>, told: Vec<Option<Told>>) -> Work {
        let untold = || Told::of(Outcome::Rejected, None);
        let tell = |(line, told): (&read::Line<'_>, Option<Told>)| {
            let told = told.unwrap_or_else(|| Told { refusal: line.refusal.clone(), ..untold() });
            (line.number, told)
        };
        let key_names = (0..self.target.table.keys.len()).map(|key| self.key_name(key)).collect();
        Work { job, key_names, outcomes: batch.lines.iter().zip(told).map(tell).collect() }
    }
}
