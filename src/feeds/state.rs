//! How far a feed has come: it moves in the transaction that writes the rows, so that no crash can part them.

use super::Feed;
use crate::error::Result;
use crate::spi;
use hashbrown::HashMap;
use once_core::feed::Fingerprint;
use once_core::ident::Relation;
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::Value;

pub struct State {
    last_time: Option<TimestampWithTimeZone>,
}

/// What is new about a feed after a run; nothing by default.
#[derive(Default)]
pub struct Progress {
    /// Where the last row that was new stood, and what it is known by.
    pub row: Option<i64>,
    pub id: Option<String>,
    /// The times of the rows, as texts that are sure to be times; one that is yet to come tells nothing of how far the feed has come.
    pub times: Vec<String>,
}

fn table() -> Result<Relation> {
    spi::own("import_states")
}

fn rows() -> Result<Relation> {
    spi::own("import_state_rows")
}

impl State {
    /// Reads and locks the state, until the transaction ends; `None` while another one has it. A transaction whose snapshot is
    /// older than the last run gets `40001` here.
    pub fn locked(feed: &Feed) -> Result<Option<Self>> {
        let insert = format!("INSERT INTO {} (feed) VALUES ($1) ON CONFLICT (feed) DO NOTHING", table()?);
        let read = format!("SELECT last_processed_time FROM {} WHERE feed = $1 FOR UPDATE SKIP LOCKED", table()?);
        let read = || spi::fresh(&read, &[feed.name.as_str().into()], |row| Ok(Self { last_time: row.get(1)? }));
        if let Some(state) = read()?.into_iter().next() {
            return Ok(Some(state));
        }
        let there = format!("SELECT EXISTS (SELECT FROM {} WHERE feed = $1)", table()?);
        if spi::fresh_one(&there, &[feed.name.as_str().into()], |row| row.need::<bool>(1))? {
            return Ok(None);
        }
        spi::write(&insert, &[feed.name.as_str().into()])?;
        Ok(read()?.into_iter().next())
    }

    /// From when on a source is to be read.
    pub fn since(&self, overlap: &str) -> Result<Option<TimestampWithTimeZone>> {
        let Some(time) = self.last_time else { return Ok(None) };
        spi::read_one("SELECT $1 - $2::interval", &[time.into(), overlap.into()], |row| row.get(1))
    }

    /// Moves the state on by a run that began at `started`; gives it as answers tell it.
    pub fn moved(feed: &Feed, started: &str, progress: Progress) -> Result<Value> {
        let update = format!(
            "UPDATE {} SET last_processed_row = coalesce($2, last_processed_row), \
               last_processed_id = CASE WHEN $2 IS NULL THEN last_processed_id ELSE $3 END, \
               last_processed_time = greatest(last_processed_time, (SELECT max(u.t::timestamptz) FROM unnest($4) AS u(t) \
                 WHERE u.t::timestamptz <= $5::timestamptz)), \
               last_run_at = $5::timestamptz, next_run_at = to_timestamp($6) \
             WHERE feed = $1 RETURNING jsonb_build_object('last_processed_row', last_processed_row, \
               'last_processed_id', last_processed_id, 'last_processed_time', last_processed_time, 'last_run_at', last_run_at, \
               'next_run_at', next_run_at)",
            table()?
        );
        let args = [
            feed.name.as_str().into(),
            progress.row.into(),
            progress.id.into(),
            progress.times.into(),
            started.into(),
            feed.next()?.into(),
        ];
        let state = spi::fresh(&update, &args, |row| row.need::<pgrx::JsonB>(1))?;
        Ok(state.into_iter().next().map(|state| state.0).unwrap_or_default())
    }
}

/// What a row is to a feed that has seen it.
#[derive(Clone, Copy)]
pub enum Known {
    Taken,
    /// It could not be taken, and stands here in `import_rejects`.
    Rejected(i64),
}

/// Which of these rows the feed knows. What a replay has taken meanwhile counts as taken.
pub fn known(feed: &Feed, fingerprints: &[Fingerprint]) -> Result<HashMap<Fingerprint, Known>> {
    // Each looked up by itself: joined, the planner may compare each with all that the feed has.
    let sql = format!(
        "SELECT r.fingerprint, r.reject_id FROM unnest($2) AS u(fingerprint) CROSS JOIN LATERAL \
           (SELECT x.fingerprint, CASE WHEN NOT EXISTS (SELECT FROM {} j WHERE j.id = x.reject_id AND j.resolved_at IS NOT NULL) \
              THEN x.reject_id END AS reject_id \
            FROM {} x WHERE x.feed = $1 AND x.fingerprint = u.fingerprint OFFSET 0) r",
        spi::own("import_rejects")?,
        rows()?
    );
    let ids: Vec<Uuid> = fingerprints.iter().map(|fingerprint| Uuid::from_bytes(*fingerprint)).collect();
    let mut known = HashMap::with_capacity(ids.len());
    spi::by_index(|| {
        spi::fresh(&sql, &[feed.name.as_str().into(), ids.into()], |row| {
            let reject = row.get::<i64>(2)?;
            known.insert(*row.need::<Uuid>(1)?.as_bytes(), reject.map_or(Known::Taken, Known::Rejected));
            Ok(())
        })
    })?;
    Ok(known)
}

/// The rows that could not be taken yet and that the caller sees, each with its place in `import_rejects`.
pub fn rejected(feed: &Feed) -> Result<Vec<(Fingerprint, i64)>> {
    let relation = &feed.target.table.relation;
    let sql = format!(
        "SELECT r.fingerprint, r.reject_id FROM {} r JOIN {} j ON j.id = r.reject_id AND j.job_id = r.job_id \
         WHERE r.feed = $1 AND j.resolved_at IS NULL AND j.relation_schema = $2 AND j.relation_name = $3 ORDER BY r.reject_id",
        rows()?,
        spi::own("import_rejects")?
    );
    let args = [feed.name.as_str().into(), relation.schema.as_str().into(), relation.name.as_str().into()];
    spi::fresh(&sql, &args, |row| Ok((*row.need::<Uuid>(1)?.as_bytes(), row.need(2)?)))
}

/// Notes rows as taken by the job, or (with their place in `import_rejects`) as rejected.
pub fn take(feed: &Feed, job: Uuid, taken: &[(Fingerprint, Option<i64>)]) -> Result<()> {
    let sql = format!(
        "INSERT INTO {} AS r (feed, fingerprint, job_id, reject_id) SELECT $1, u.fingerprint, $2, u.reject_id \
         FROM unnest($3, $4) AS u(fingerprint, reject_id) ORDER BY u.fingerprint \
         ON CONFLICT (feed, fingerprint) DO UPDATE SET job_id = CASE WHEN excluded.reject_id IS NULL THEN excluded.job_id ELSE r.job_id END, \
           reject_id = excluded.reject_id",
        rows()?
    );
    let ids: Vec<Uuid> = taken.iter().map(|(fingerprint, _)| Uuid::from_bytes(*fingerprint)).collect();
    let rejects: Vec<Option<i64>> = taken.iter().map(|(_, reject)| *reject).collect();
    spi::fresh(&sql, &[feed.name.as_str().into(), job.into(), ids.into(), rejects.into()], |_| Ok(())).map(drop)
}
