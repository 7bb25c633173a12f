//! One run of a feed: what is new among the rows goes to its target, and is known from then on.

use super::feed::Feed;
use super::log::{self, Report};
use super::state::{self, Known, Progress, State};
use super::{notify, source};
use crate::backend::json::{Document, Element};
use crate::backend::{self, Jsonb};
use crate::error::{OnceError, Result};
use crate::rows::{self, Call, Given, NAMED, Work};
use crate::{jobs, spi};
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
    let run = Run { feed, id: jobs::new_id(), started: spi::now()? };
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

struct Run<'f> {
    feed: &'f Feed,
    id: Uuid,
    started: String,
}

/// The rows as they came: what each is known by, and their times.
#[derive(Default)]
struct Scan {
    rows: Vec<Fingerprint>,
    times: Vec<String>,
}

/// A row that goes to the target.
struct Chosen {
    /// Where it stands in this run, from 1; behind all of these, one of an earlier run.
    number: i64,
    fingerprint: Fingerprint,
    /// Where it is in `import_rejects`, if it is.
    reject: Option<i64>,
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
        Ok(Report { state: State::moved(self.feed, &self.started, Progress::default())?, ..failure })
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
        let (mut chosen, mut again, mut repeated) = (Vec::new(), Vec::new(), 0);
        let mut seen: HashSet<Fingerprint> = HashSet::new();
        for (number, fingerprint) in (1..).zip(&scan.rows) {
            match known.get(fingerprint) {
                None if seen.insert(*fingerprint) => {
                    chosen.push(Chosen { number, fingerprint: *fingerprint, reject: None });
                }
                None => repeated += 1,
                Some(Known::Rejected(reject)) if seen.insert(*fingerprint) => {
                    again.push(Chosen { number, fingerprint: *fingerprint, reject: Some(*reject) });
                }
                Some(_) => {}
            }
        }
        let mut report = Report {
            scanned: scan.rows.len(),
            new: chosen.len() + repeated,
            duplicates: repeated,
            ..Report::of("success")
        };
        let scanned = i64::try_from(report.scanned).unwrap_or(i64::MAX);
        // Where a run is given news only, what could not be taken does not come again by itself.
        if self.feed.spec.reads_news_only() {
            let rejected =
                state::rejected(self.feed)?.into_iter().filter(|(fingerprint, _)| !seen.contains(fingerprint));
            let earlier = (scanned + 1..).zip(rejected);
            again.extend(earlier.map(|(number, (fingerprint, reject))| Chosen {
                number,
                fingerprint,
                reject: Some(reject),
            }));
        }
        let last = chosen.last().map(|row| row.number);
        let id = last.and_then(|number| self.id_of(&document, number));
        chosen.extend(self.promising(rows, again, &mut report)?);
        if !chosen.is_empty() {
            self.ingest(rows, &chosen, &mut report)?;
        }
        if report.status != "error" {
            report.status = if report.rejected > 0 { "partial" } else { "success" };
        }
        // A row of an earlier run stands nowhere in this one.
        for error in report.errors.iter_mut().filter(|error| error["row"].as_i64() > Some(scanned)) {
            error["row"] = Value::Null;
        }
        let progress =
            if report.status == "error" { Progress::default() } else { Progress { row: last, id, times: scan.times } };
        report.state = State::moved(self.feed, &self.started, progress)?;
        Ok(report)
    }

    fn scan(&self, document: &Document) -> Result<Scan> {
        let elements = document.elements().ok_or(OnceError::NotRows)?;
        let spec = &self.feed.spec;
        let mut scan = Scan { rows: Vec::with_capacity(document.len()), ..Scan::default() };
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
    fn promising(&self, rows: Jsonb, again: Vec<Chosen>, report: &mut Report) -> Result<Vec<Chosen>> {
        if again.is_empty() {
            return Ok(again);
        }
        let (work, _) = self.call(rows, &again, None, true)?;
        report.errors = work.errors();
        let all = again.len();
        let taken = again.into_iter().zip(&work.outcomes).filter(|(_, (_, told))| told.outcome.is_taken());
        let taken: Vec<Chosen> = taken.map(|(row, _)| row).collect();
        report.rejected += all - taken.len();
        Ok(taken)
    }

    /// Hands the rows to the target, and notes what has become of them.
    fn ingest(&self, rows: Jsonb, chosen: &[Chosen], report: &mut Report) -> Result<()> {
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
        let count = |name: &str| answer[name].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        report.inserted = count("inserted");
        report.updated = count("updated");
        report.duplicates += count("duplicate") + count("unchanged");
        report.rejected += count("rejected") + count("ambiguous");
        report.errors.extend(work.errors());
        report.errors.sort_by_key(|error| error["row"].as_i64());
        report.errors.truncate(NAMED);
        if let Some(notify) = &self.feed.spec.notify {
            notify::recipients(self.feed, notify, self.id, job, report.inserted)?;
        }
        Ok(())
    }

    /// Hands rows to the target, each with what the feed sets.
    fn call(&self, rows: Jsonb, chosen: &[Chosen], source_info: Option<Jsonb>, dry_run: bool) -> Result<(Work, Value)> {
        // Of an earlier run only the record of the rejection has the row.
        let sql = format!(
            "SELECT jsonb_agg(CASE WHEN jsonb_typeof(r.value) = 'object' THEN r.value || coalesce(f.spec -> 'set', '{{}}') ELSE r.value END ORDER BY u.n) \
             FROM ROWS FROM (unnest($3), unnest($4)) WITH ORDINALITY AS u(number, reject, n) \
             CROSS JOIN LATERAL (SELECT coalesce($1 -> (u.number - 1)::int, (SELECT x.original FROM {} x WHERE x.id = u.reject))) AS r(value) \
             CROSS JOIN {} f WHERE f.id = $2",
            spi::own("import_rejects")?,
            spi::own("feeds")?
        );
        let numbers: Vec<i64> = chosen.iter().map(|row| row.number).collect();
        let rejects: Vec<Option<i64>> = chosen.iter().map(|row| row.reject).collect();
        let on_record = rejects.iter().map(Option::is_some).collect();
        let args = [rows.into(), self.feed.id.into(), numbers.clone().into(), rejects.into()];
        spi::with_row(&sql, &args, |row| {
            let call = Call {
                source_info,
                dry_run,
                numbers: Some(numbers),
                on_record,
                keeps_ambiguous: true,
                ..Call::of(&self.feed.target, Given::json(row.need(1)?))
            };
            call.run()
        })
    }

    /// What was taken is known from now on; what was not, to be tried again. What was rejected once and taken now is resolved.
    fn remember(&self, job: Uuid, work: &Work, chosen: &[Chosen]) -> Result<()> {
        let new = format!("SELECT line, id FROM {} WHERE job_id = $1", spi::own("import_rejects")?);
        let new: HashMap<i64, i64> =
            spi::fresh(&new, &[job.into()], |row| Ok((row.need(1)?, row.need(2)?)))?.into_iter().collect();
        let rows = || chosen.iter().zip(&work.outcomes);
        let known = rows().filter_map(|(row, (number, told))| {
            if told.outcome.is_taken() {
                return Some((row.fingerprint, None));
            }
            // What is on no record is new again in the next run.
            Some((row.fingerprint, Some(row.reject.or_else(|| new.get(number).copied())?)))
        });
        state::take(self.feed, job, &known.collect::<Vec<_>>())?;
        let taken = rows().filter(|(_, (_, told))| told.outcome.is_taken());
        rows::resolve(&self.feed.target.table.relation, taken.filter_map(|(row, _)| row.reject).collect(), Some(job))
    }
}

/// The text of a value that is sure to be a time.
fn time_of(json: &Json<'_>) -> Option<String> {
    let reading = Kind::TimestampTz { digits: 6 }.read(json).ok()?;
    reading.sure.then(|| reading.text.into_owned())
}
