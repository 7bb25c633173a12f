//! Rows that were not taken: kept with the reason, and tried again once the cause is mended.

use super::given::Given;
use super::ingest::Call;
use super::outcome::{Outcome, Told, Work};
use super::target::Target;
use crate::backend::Jsonb;
use crate::error::{OnceError, Result};
use crate::{jobs, spi};
use once_core::ident::Relation;
use once_core::spec::Spec;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::json;

/// Keeps the rows of a job that were not taken: those that `is_kept` says, by place and outcome.
pub fn write(
    target: &Target,
    job: Uuid,
    given: &Given<'_>,
    work: &Work,
    is_kept: impl Fn(usize, Outcome) -> bool,
) -> Result<()> {
    let refused: Vec<(usize, &(i64, _))> =
        work.outcomes.iter().enumerate().filter(|(at, (_, told))| is_kept(*at, told.outcome)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let refusal = |(_, (_, told)): &(usize, &(i64, Told))| told.refusal.clone();
    let reasons: Vec<Option<String>> = refused.iter().map(|row| refusal(row).map(|r| r.shown())).collect();
    let columns: Vec<Option<String>> = refused.iter().map(|row| refusal(row).and_then(|r| r.column)).collect();
    let values: Vec<Option<String>> = refused.iter().map(|row| refusal(row).and_then(|r| r.value)).collect();
    let states: Vec<Option<String>> = refused.iter().map(|row| refusal(row).and_then(|r| r.sqlstate)).collect();
    let (rows, places) = given.originals(&refused.iter().map(|(at, _)| *at).collect::<Vec<_>>());
    let numbers: Vec<i64> = refused.iter().map(|(_, (number, _))| *number).collect();
    let insert = format!(
        "INSERT INTO {} (target, line, column_name, value, reason, sqlstate, job_id, original, relation_schema, relation_name) \
         SELECT $1, u.line, u.col, u.val, coalesce(u.reason, 'was refused'), u.state, $2, $3 -> u.place::int, $4, $5 \
         FROM ROWS FROM (unnest($6), unnest($7), unnest($8), unnest($9), unnest($10), unnest($11)) \
         AS u(place, line, col, val, reason, state)",
        spi::own("import_rejects")?
    );
    let relation = &target.table.relation;
    let args = [
        target.name.as_str().into(),
        job.into(),
        rows.into(),
        relation.schema.as_str().into(),
        relation.name.as_str().into(),
        places.into(),
        numbers.into(),
        columns.into(),
        values.into(),
        reasons.into(),
        states.into(),
    ];
    spi::write(&insert, &args).map(drop)
}

/// Notes that a job has taken these rejected rows of a table.
pub fn resolve(relation: &Relation, ids: Vec<i64>, job: Option<Uuid>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let resolve = format!(
        "UPDATE {} SET resolved_at = clock_timestamp(), resolved_by_job = $2 WHERE id = ANY ($1) AND resolved_at IS NULL \
         AND relation_schema = $3 AND relation_name = $4",
        spi::own("import_rejects")?
    );
    let (schema, name) = (relation.schema.as_str().into(), relation.name.as_str().into());
    spi::write(&resolve, &[ids.into(), job.into(), schema, name]).map(drop)
}

/// Takes the rejected rows of a job in again, as a job of its own, now that their cause may be mended. Those that are taken
/// count as resolved; the others stay on record with the first job.
///
/// Gives what `ingest` gives, rows with their first numbers; `job_id` is NULL where there was nothing to try.
///
/// # Errors
/// `22004` for NULL, `P0002` for an unknown job, `42809` where the job is none of rows, and as `ingest`.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn replay_rejects(p_job_id: Option<Uuid>) -> std::result::Result<JsonB, ErrorReport> {
    let job = jobs::load(p_job_id, false)?;
    let Spec::Rows(_) = job.spec()? else {
        return Err(OnceError::WrongKind { name: job.target, is: "bulk".into(), must: "rows".into() }.into());
    };
    let target = Target::open(Some(job.target.clone()))?;
    // Locked: who replays the same job beside us waits, and finds them resolved.
    let open = format!(
        "SELECT coalesce(array_agg(r.id ORDER BY r.line), '{{}}'), coalesce(array_agg(r.line ORDER BY r.line), '{{}}'), \
         coalesce(jsonb_agg(r.original ORDER BY r.line), '[]'), jsonb_build_object('replay_of', $1) \
         FROM (SELECT * FROM {} WHERE job_id = $1 AND resolved_at IS NULL ORDER BY line FOR UPDATE) r",
        spi::own("import_rejects")?
    );
    let answer = spi::with_row(&open, &[job.id.into()], |row| {
        let (ids, numbers): (Vec<i64>, Vec<i64>) = (row.need(1)?, row.need(2)?);
        let (rows, info): (Jsonb, Jsonb) = (row.need(3)?, row.need(4)?);
        if ids.is_empty() {
            let counts =
                json!({"inserted": 0, "updated": 0, "unchanged": 0, "duplicate": 0, "ambiguous": 0, "rejected": 0});
            let mut answer = json!({"success": true, "job_id": null, "total": 0, "errors": []});
            for (name, count) in counts.as_object().into_iter().flatten() {
                answer[name] = count.clone();
            }
            return Ok(answer);
        }
        let call = Call {
            source_info: Some(info),
            numbers: Some(numbers),
            on_record: vec![true; ids.len()],
            ..Call::of(&target, Given::json(rows))
        };
        let (work, answer) = spi::exact(&target.spec.timezone, || call.run())?;
        let resolved: Vec<i64> = ids
            .iter()
            .zip(&work.outcomes)
            .filter(|(_, (_, told))| told.outcome.is_taken())
            .map(|(id, _)| *id)
            .collect();
        if answer["success"] == json!(true) {
            resolve(&job.relation, resolved, work.job)?;
        }
        Ok(answer)
    })?;
    Ok(JsonB(answer))
}
