//! What a run would do, and whether one does what was planned.

use super::Call;
use crate::error::{OnceError, Result};
use crate::jobs::{Failure, Stop};
use crate::rows::checks;
use crate::rows::given::Given;
use crate::rows::matching::Matched;
use crate::rows::outcome::{Outcome, Told, Work};
use crate::rows::read::Batch;
use crate::rows::stores::Made;
use crate::spi;
use serde_json::{Map, Value, json};

impl Call<'_> {
    /// What a run would do, from what is there now.
    pub(super) fn tell_plan(&self, batch: &mut Batch<'_>) -> Result<(Work, Value)> {
        let work = self.foresee(batch)?;
        let mut answer = json!({"success": true, "job_id": null});
        let failure = self.refusal(&work);
        self.tell(&work, failure.is_none(), batch, &mut answer);
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
        self.settle(batch, &matched, &planned(&matched), &pending, &Made::new(), &mut told);
        let changes = |group: &usize| matched.group(*group).record.is_none() || !matched.changes[*group].is_empty();
        let groups: Vec<usize> = (0..matched.plan.groups.len()).filter(changes).collect();
        for (group, refusal) in checks::broken(self.target, batch, &matched, &groups, &Made::new())? {
            // Of several rows about one record it is not known which would be refused.
            let [only] = matched.group(group).rows.as_slice() else { continue };
            if let Some(Some(one)) = told.get_mut(*only) {
                *one = Told { key: one.key.take(), ..Told::of(Outcome::Rejected, Some(refusal)) };
            }
        }
        Ok(self.told(None, batch, told))
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
        let places: Vec<usize> = (0..work.outcomes.len()).collect();
        let (rows, _) = self.given.originals(&places);
        let digest = "SELECT encode(sha256(convert_to($1 || $2::text, 'UTF8')), 'hex')";
        let digest: String = spi::read_one(digest, &[text.into(), rows.into()], |row| row.need(1))?;
        plan.insert("digest".into(), digest.into());
        Ok(plan.into())
    }

    /// That the rows would do what the plan says that the job is bound to. Gives what that is; `None` where it is bound to none.
    pub(super) fn require_plan(&self, batch: &mut Batch<'_>) -> std::result::Result<Option<Work>, Stop> {
        // Plans are of rows as users give them.
        let (Some(info), Given::Json(..)) = (self.source_info, &self.given) else { return Ok(None) };
        let bound = "SELECT $1 -> 'plan' ->> 'digest', ($1 -> 'plan')::text WHERE $1 ? 'plan'";
        let bound = spi::read(bound, &[info.into()], |row| Ok((row.get::<String>(1)?, row.get::<String>(2)?)))?;
        let Some((digest, then)) = bound.into_iter().next() else { return Ok(None) };
        let then = then.unwrap_or_default();
        let digest = digest.ok_or_else(|| OnceError::NoPlan { given: then.clone() })?;
        let foreseen = self.foresee(batch)?;
        let now = self.plan(&foreseen)?;
        if now["digest"].as_str() == Some(digest.as_str()) {
            return Ok(Some(foreseen));
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
        Err(not_as_planned(&difference))
    }

    /// That what was written is what was planned: the database may have refused what could not be foreseen.
    pub(super) fn require_foreseen(&self, foreseen: &Work, work: &Work) -> std::result::Result<(), Stop> {
        let both = foreseen.outcomes.iter().zip(&work.outcomes);
        match both
            .map(|((_, then), (number, now))| (number, then, now))
            .find(|(_, then, now)| then.outcome != now.outcome)
        {
            None => Ok(()),
            Some((number, then, now)) => {
                let reason = now.refusal.as_ref().map_or_else(String::new, |refusal| format!(" ({})", refusal.shown()));
                let (then, now) = (then.outcome.name(), now.outcome.name());
                Err(not_as_planned(&format!("row {number} {now}{reason} instead of {then}")))
            }
        }
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

fn not_as_planned(difference: &str) -> Stop {
    let message = format!("The outcome would not be as planned: {difference}. Nothing was written; plan again.");
    Failure::new("55000", message).into()
}
