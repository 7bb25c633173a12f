//! One run of a feed: what is new among the rows goes to its target, and is known from then on.

use super::feed::{Feed, new_id};
use super::log::{self, Report};
use super::state::{self, Known, Progress, State};
use super::{notify, source};
use crate::backend::json::{Document, Element};
use crate::backend::{self, Jsonb};
use crate::error::{OnceError, Result};
use crate::rows::{Call, Given, NAMED, Outcome, Work};
use crate::spi;
use hashbrown::{HashMap, HashSet};
use once_core::feed::{Fingerprint, fingerprint};
use once_core::rows::value::{Json, Kind};
use once_core::sqlstate::is_passing;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::{Value, json};

/// Runs a feed: of the rows, those that are new go to its target, and those that could not be taken before are tried again.
///
/// `rows`: an array of objects; NULL for what the feed's source has. Gives `{success, status, run_id, job_id, rows_scanned,
/// new_rows_detected, inserted, updated, duplicates_skipped, rejected, errors: [{row, column, value, reason}, … at most 100],
/// state: {last_processed_row, last_processed_id, last_processed_time, last_run_at, next_run_at}}`, and where `status` is `error`,
/// `sqlstate` and `message`. `status`: `success`; `partial` where rows were rejected; `error`; `skipped` where another run of the
/// feed is under way. `job_id` is NULL where nothing was new.
///
/// # Errors
/// `22004` for a NULL, or where there are neither rows nor a source; `22023` where `rows` is no array, `42704` for an unknown feed,
/// `42501` without the rights on the tables of feeds, `40001`, and what says that the server is in trouble. Other errors are
/// answered, and kept in `import_logs`.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn run_feed(feed: Option<String>, rows: default!(Option<Jsonb>, "NULL")) -> std::result::Result<JsonB, ErrorReport> {
    Ok(JsonB(run(&Feed::named(feed)?, rows)?))
}

/// See `run_feed`.
pub fn run(feed: &Feed, rows: Option<Jsonb>) -> Result<Value> {
    if rows.is_none() && feed.spec.source.is_none() {
        return Err(OnceError::NoFeedSource { feed: feed.name.clone() });
    }
    let run = Run { feed, id: new_id(), started: now()? };
    let report = match State::locked(feed)? {
        Some(state) => {
            let report = run.attempt(rows, &state)?;
            notify::listeners(run.id, feed, &report)?;
            report
        }
        None => Report { message: Some("already running".into()), ..Report::of("skipped") },
    };
    log::keep(feed, run.id, &run.started, &report)?;
    Ok(report.told(run.id))
}

fn now() -> Result<String> {
    spi::known_one("SELECT to_json(clock_timestamp()) #>> '{}'", &[], |row| row.need(1))
}

struct Run<'f> {
    feed: &'f Feed,
    id: Uuid,
    started: String,
}

/// The rows as they came.
struct Scan<'a> {
    document: &'a Document,
    rows: Vec<Fingerprint>,
    times: Vec<String>,
}

/// What goes to the target: rows of this run and, after these, such as could not be taken in an earlier one.
#[derive(Default)]
struct Chosen {
    /// Of each row, where it stands in this run, from 1.
    numbers: Vec<i64>,
    fingerprints: Vec<Fingerprint>,
    /// Where it is in `import_rejects`, if it is.
    rejects: Vec<Option<i64>>,
}

impl Run<'_> {
    /// What the run fails at is undone and reported, unless another moment may be better.
    fn attempt(&self, rows: Option<Jsonb>, state: &State) -> Result<Report> {
        let timezone = &self.feed.target.spec.timezone;
        let failure = match backend::subtransaction(|| spi::exact(timezone, || self.work(rows, state))) {
            Ok(Ok(report)) => return Ok(report),
            Ok(Err(OnceError::NotRows)) => return Err(OnceError::NotRows),
            Ok(Err(error)) => {
                let (sqlstate, message) = error.told();
                if is_passing(&sqlstate) {
                    return Err(error);
                }
                Report::failed(sqlstate, message)
            }
            Err(error) if is_passing(&error.sqlstate) => error.rethrow(),
            Err(error) => Report::failed(error.sqlstate, error.message),
        };
        let nothing = Progress { row: None, id: None, times: Vec::new(), started: &self.started };
        Ok(Report { state: State::moved(self.feed, &nothing)?, ..failure })
    }

    fn work(&self, rows: Option<Jsonb>, state: &State) -> Result<Report> {
        match (rows, &self.feed.spec.source) {
            (Some(rows), _) => self.take(rows),
            (None, Some(source)) => source::read(self.feed, source, state, |rows| self.take(rows)),
            (None, None) => Err(OnceError::NoFeedSource { feed: self.feed.name.clone() }),
        }
    }

    fn take(&self, rows: Jsonb) -> Result<Report> {
        let document = Document::of(rows);
        let scan = self.scan(&document)?;
        let known = state::known(self.feed, &scan.rows)?;
        let (mut fresh, mut again, mut repeated) = (Chosen::default(), Chosen::default(), 0);
        let mut seen: HashSet<Fingerprint> = HashSet::new();
        for (number, fingerprint) in (1..).zip(&scan.rows) {
            match known.get(fingerprint) {
                None if seen.insert(*fingerprint) => fresh.add(number, *fingerprint, None),
                None => repeated += 1,
                Some(Known::Rejected(reject)) if seen.insert(*fingerprint) => {
                    again.add(number, *fingerprint, Some(*reject));
                }
                Some(_) => {}
            }
        }
        let mut report =
            Report { scanned: scan.rows.len(), new: fresh.numbers.len() + repeated, ..Report::of("success") };
        report.duplicates = repeated;
        // Where a run is given news only, what could not be taken does not come again by itself.
        let mut earlier = Chosen::default();
        if self.feed.spec.reads_news_only() {
            let number = |at: usize| i64::try_from(scan.rows.len() + 1 + at).unwrap_or(i64::MAX);
            let rejected =
                state::rejected(self.feed)?.into_iter().filter(|(fingerprint, _)| !seen.contains(fingerprint));
            for (at, (fingerprint, reject)) in rejected.enumerate() {
                earlier.add(number(at), fingerprint, Some(reject));
            }
        }
        let again = self.promising(rows, again.and(earlier), &mut report)?;
        let last = fresh.numbers.last().copied();
        let progress = Progress {
            row: last,
            id: last.and_then(|number| self.id_of(scan.document, number)),
            times: scan.times.iter().map(String::as_str).collect(),
            started: &self.started,
        };
        let chosen = fresh.and(again);
        if !chosen.numbers.is_empty() {
            self.ingest(rows, &chosen, &mut report)?;
        }
        if report.status != "error" {
            report.status = if report.rejected > 0 { "partial" } else { "success" };
        }
        // A row of an earlier run stands nowhere in this one.
        let scanned = i64::try_from(report.scanned).unwrap_or(i64::MAX);
        for error in report.errors.iter_mut().filter(|error| error["row"].as_i64() > Some(scanned)) {
            error["row"] = Value::Null;
        }
        let nothing = Progress { row: None, id: None, times: Vec::new(), started: &self.started };
        report.state = State::moved(self.feed, if report.status == "error" { &nothing } else { &progress })?;
        Ok(report)
    }

    fn scan<'a>(&self, document: &'a Document) -> Result<Scan<'a>> {
        let elements = document.elements().ok_or(OnceError::NotRows)?;
        let spec = &self.feed.spec;
        let mut scan = Scan { document, rows: Vec::with_capacity(document.len()), times: Vec::new() };
        for (at, element) in elements.enumerate() {
            if at % 1000 == 0 {
                pgrx::check_for_interrupts!();
            }
            scan.rows.push(match element {
                Element::Object(fields) => {
                    let time = spec.time.as_ref().and_then(|time| fields.clone().find(|(name, _)| name == time));
                    scan.times.extend(time.and_then(|(_, json)| time_of(&json)));
                    fingerprint(fields, &spec.row_id)
                }
                Element::Other(_, json) => fingerprint(std::iter::once(("", json)), &[]),
            });
        }
        Ok(scan)
    }

    /// What a row is known by: its own id, as the feed's spec names it, or the field `id`.
    fn id_of(&self, document: &Document, number: i64) -> Option<String> {
        let at = usize::try_from(number - 1).ok()?;
        let Some(Element::Object(fields)) = document.elements()?.nth(at) else { return None };
        let fields: HashMap<&str, Json<'_>> = fields.collect();
        let shown =
            |name: &str| fields.get(name).filter(|json| **json != Json::Null).map(|json| json.shown().into_owned());
        match self.feed.spec.row_id.as_slice() {
            [] => shown("id"),
            names => {
                let parts: Vec<String> = names.iter().map(|name| shown(name).unwrap_or_default()).collect();
                Some(parts.join(", "))
            }
        }
    }

    /// Of the rows that could not be taken before, those that would be now: the others leave no job behind each time.
    fn promising(&self, rows: Jsonb, again: Chosen, report: &mut Report) -> Result<Chosen> {
        if again.numbers.is_empty() {
            return Ok(again);
        }
        let (work, _) = self.call(rows, &again, None, true)?;
        report.rejected += work.outcomes.iter().filter(|(_, told)| !is_taken(told.outcome)).count();
        report.errors = work.errors();
        Ok(again.only(|at| work.outcomes.get(at).is_some_and(|(_, told)| is_taken(told.outcome))))
    }

    /// Hands the rows to the target, and notes what has become of them.
    fn ingest(&self, rows: Jsonb, chosen: &Chosen, report: &mut Report) -> Result<()> {
        let info = json!({"feed": self.feed.name, "run_id": self.id.to_string()});
        let (work, answer) = self.call(rows, chosen, Some(Jsonb::of(&info.to_string())), false)?;
        report.job = work.job;
        if answer["success"] != true {
            let text = |name: &str| answer[name].as_str().map(String::from);
            report.status = "error";
            (report.sqlstate, report.message) = (text("sqlstate"), text("message"));
            report.errors.extend(work.errors());
            report.errors.truncate(NAMED);
            return Ok(());
        }
        let Some(job) = work.job else { return Ok(()) };
        self.remember(job, &work, chosen)?;
        let count = |outcome: Outcome| work.outcomes.iter().filter(|(_, told)| told.outcome == outcome).count();
        report.inserted = count(Outcome::Inserted);
        report.updated = count(Outcome::Updated);
        report.duplicates += count(Outcome::Duplicate) + count(Outcome::Unchanged);
        report.rejected += count(Outcome::Rejected) + count(Outcome::Ambiguous);
        report.errors.extend(work.errors());
        report.errors.sort_by_key(|error| error["row"].as_i64());
        report.errors.truncate(NAMED);
        if let Some(notify) = &self.feed.spec.notify {
            notify::recipients(self.feed, notify, self.id, job, report.inserted)?;
        }
        Ok(())
    }

    /// Hands rows to the target, each with what the feed sets.
    fn call(&self, rows: Jsonb, chosen: &Chosen, source_info: Option<Jsonb>, dry_run: bool) -> Result<(Work, Value)> {
        // Of an earlier run only the record of the rejection has the row.
        let sql = format!(
            "SELECT jsonb_agg(CASE WHEN jsonb_typeof(r.value) = 'object' THEN r.value || coalesce(f.spec -> 'set', '{{}}') ELSE r.value END ORDER BY u.n) \
             FROM ROWS FROM (unnest($3), unnest($4)) WITH ORDINALITY AS u(number, reject, n) \
             CROSS JOIN LATERAL (SELECT coalesce($1 -> (u.number - 1)::int, (SELECT x.original FROM {} x WHERE x.id = u.reject))) AS r(value) \
             CROSS JOIN {} f WHERE f.id = $2",
            spi::own("import_rejects")?,
            spi::own("feeds")?
        );
        let args = [rows.into(), self.feed.id.into(), chosen.numbers.clone().into(), chosen.rejects.clone().into()];
        spi::with_row(&sql, &args, |row| {
            let call = Call {
                target: &self.feed.target,
                given: Given::json(row.need(1)?),
                source_info,
                dry_run,
                told_by_row: false,
                numbers: Some(chosen.numbers.clone()),
                on_record: chosen.rejects.iter().map(Option::is_some).collect(),
                keeps_ambiguous: true,
            };
            call.run()
        })
    }

    /// What was taken is known from now on; what was not, to be tried again. What was rejected once and taken now is resolved.
    fn remember(&self, job: Uuid, work: &Work, chosen: &Chosen) -> Result<()> {
        let rejects = spi::own("import_rejects")?;
        let new = format!("SELECT line, id FROM {rejects} WHERE job_id = $1");
        let new: HashMap<i64, i64> =
            spi::fresh(&new, &[job.into()], |row| Ok((row.need(1)?, row.need(2)?)))?.into_iter().collect();
        let rows = chosen.fingerprints.iter().zip(&chosen.rejects).zip(&work.outcomes);
        let taken = rows.map(|((fingerprint, reject), (number, told))| {
            if is_taken(told.outcome) {
                return Some((*fingerprint, None));
            }
            // What is on no record is new again in the next run.
            Some((*fingerprint, Some(reject.or_else(|| new.get(number).copied())?)))
        });
        let taken = taken.flatten();
        state::take(self.feed, job, &taken.collect::<Vec<_>>())?;
        let resolved = chosen.rejects.iter().zip(&work.outcomes);
        let resolved: Vec<i64> =
            resolved.filter(|(_, (_, told))| is_taken(told.outcome)).filter_map(|(reject, _)| *reject).collect();
        if !resolved.is_empty() {
            let resolve = format!(
                "UPDATE {rejects} SET resolved_at = clock_timestamp(), resolved_by_job = $2 WHERE id = ANY ($1) AND resolved_at IS NULL \
                 AND relation_schema = $3 AND relation_name = $4"
            );
            let relation = &self.feed.target.table.relation;
            let (schema, name) = (relation.schema.as_str().into(), relation.name.as_str().into());
            spi::write(&resolve, &[resolved.into(), job.into(), schema, name])?;
        }
        Ok(())
    }
}

impl Chosen {
    fn add(&mut self, number: i64, fingerprint: Fingerprint, reject: Option<i64>) {
        self.numbers.push(number);
        self.fingerprints.push(fingerprint);
        self.rejects.push(reject);
    }

    fn and(mut self, other: Self) -> Self {
        self.numbers.extend(other.numbers);
        self.fingerprints.extend(other.fingerprints);
        self.rejects.extend(other.rejects);
        self
    }

    fn only(&self, is_wanted: impl Fn(usize) -> bool) -> Self {
        let mut chosen = Self::default();
        for at in (0..self.numbers.len()).filter(|at| is_wanted(*at)) {
            chosen.add(self.numbers[at], self.fingerprints[at], self.rejects[at]);
        }
        chosen
    }
}

fn is_taken(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Rejected | Outcome::Ambiguous)
}

/// The text of a value that is sure to be a time.
fn time_of(json: &Json<'_>) -> Option<String> {
    let reading = Kind::TimestampTz { digits: 6 }.read(json).ok()?;
    reading.sure.then(|| reading.text.into_owned())
}
