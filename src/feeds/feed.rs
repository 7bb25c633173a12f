//! Feeds as they are declared.

use super::{cron, source};
use crate::backend::{self, Jsonb};
use crate::error::{OnceError, Result};
use crate::{jobs, leads, rights, rows, spi};
use once_core::feed::{FeedSpec, Schedule};
use once_core::ident::Relation;
use once_core::spec::wrong;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::{Value, json};
use std::rc::Rc;

/// In bytes; the table's check says the same.
const LONGEST_NAME: usize = 200;

/// A feed, with its target.
pub struct Feed {
    pub id: Uuid,
    pub name: String,
    pub spec: FeedSpec,
    pub target: Rc<rows::Target>,
    created_by: String,
}

/// Declares a source that is read again and again into a target.
///
/// `name`: what functions call it. `target`: one that takes rows. `spec`: where rows come from and what is done besides, `{}` at
/// least; see the docs for its fields. With a schedule the feed is handed to pg_cron, where that is installed. Declaring it again
/// with the same spec changes nothing. Gives `{feed, target, spec, created, scheduled, next_run_at}`.
///
/// # Errors
/// `22004` for a NULL, `22023` for a spec that is wrong in itself, `42704` for an unknown target or format, `42809` for one that
/// takes no rows, `42710` where the name is taken, `42501` without the right to write to the table, and what a source raises that
/// can't be read.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn create_feed(
    name: Option<String>,
    target: Option<String>,
    spec: Option<Jsonb>,
) -> std::result::Result<JsonB, ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let name = name.ok_or_else(|| null("name"))?;
    let target = target.ok_or_else(|| null("target"))?;
    let spec = spec.ok_or_else(|| null("spec"))?;
    let spec = spi::read_one("SELECT $1::text", &[spec.into()], |row| row.need::<String>(1))?;
    Ok(JsonB(create(name, target, &spec)?))
}

/// Forgets a feed, what it has taken, and its schedule. What it brought stays, and so do its logs.
///
/// # Errors
/// `22004` for NULL, `42704` where there is none, `42501` without the right to delete from the table `feeds`.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn drop_feed(feed: Option<String>) -> std::result::Result<(), ErrorReport> {
    let name = feed.ok_or(OnceError::NullArgument { name: "feed".into() })?;
    let feeds = spi::own("feeds").map_err(ErrorReport::from)?;
    // Only its name counts: target and spec may be gone or wrong.
    let unknown = || OnceError::UnknownFeed { name: name.clone() };
    let oid = backend::relation_oid(&feeds).ok_or_else(unknown)?;
    let hint = format!("Let the owner of {feeds} drop it, or grant you DELETE there, which is the right to drop any.");
    rights::require(&feeds, oid, &["DELETE"], &hint)?;
    cron::unschedule(&name)?;
    let delete = format!("DELETE FROM {feeds} WHERE name = $1");
    if spi::write(&delete, &[name.as_str().into()])? == 0 { Err(unknown().into()) } else { Ok(()) }
}

fn create(name: String, target: String, spec: &str) -> Result<Value> {
    let bad_spec = |error| OnceError::BadFeedSpec { feed: name.clone(), error };
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(bad_spec(wrong("name", "a feed's name has 1 to 200 bytes", "Give it a shorter one, as 'leads'.")));
    }
    let given = spec;
    let mut spec = FeedSpec::parse(given).map_err(bad_spec)?;
    jobs::lock_setup()?;
    install()?;
    let target = match &spec.format {
        Some(format) => format!("{target}_{format}"),
        None => target,
    };
    let target = rows::Target::open(Some(target))?;
    target.require_rights(false)?;
    leads::complete(&name, &target, &mut spec);
    if spec.notify.as_ref().is_some_and(|notify| notify.recipients.is_none()) {
        let remedy = "Add \"recipients\": \"SELECT user_id FROM …\" to \"notify\".";
        return Err(bad_spec(wrong("notify", "nobody is named who is told", remedy)));
    }
    for (field, interval) in [("overlap", Some(spec.overlap.clone())), ("keep_logs", spec.keep_logs.clone())] {
        let sql = "SELECT coalesce($1::interval BETWEEN '0' AND '1000 years', true)";
        if !spi::read_one(sql, &[interval.into()], |row| row.need::<bool>(1))? {
            let remedy = "Give an interval that is not negative, as \"90 days\".";
            return Err(bad_spec(wrong(field, format!("field \"{field}\" is no such interval"), remedy)));
        }
    }
    source::require(&spec)?;

    let (feeds, relation) = (spi::own("feeds")?, &target.table.relation);
    let insert = format!(
        // What is set stays as it was given: numbers keep their digits.
        "INSERT INTO {feeds} (name, target, spec, relation_schema, relation_name) \
         VALUES ($1, $2, $3::jsonb || CASE WHEN $6::jsonb ? 'set' \
           THEN jsonb_build_object('set', coalesce($3::jsonb -> 'set', '{{}}') || ($6::jsonb -> 'set')) ELSE '{{}}' END, $4, $5) \
         ON CONFLICT (name) DO NOTHING"
    );
    let args = [
        name.as_str().into(),
        target.name.as_str().into(),
        spec.to_json().into(),
        relation.schema.as_str().into(),
        relation.name.as_str().into(),
        given.into(),
    ];
    let created = spi::write(&insert, &args)? == 1;
    let feed = Feed::named(Some(name.clone()))?;
    if !created && (feed.target.name != target.name || feed.spec != spec) {
        return Err(OnceError::FeedExists {
            there: format!("on {} with {}", feed.target.name, feed.spec.to_json()),
            given: format!("{} with {}", target.name, spec.to_json()),
            name,
        });
    }
    if created {
        let state = format!("INSERT INTO {} (feed) VALUES ($1)", spi::own("import_states")?);
        spi::write(&state, &[name.as_str().into()])?;
    }
    let scheduled = match &spec.schedule {
        Some(_) if !cron::is_installed()? => {
            spi::notice(
                format!("nothing runs feed \"{name}\" by itself: pg_cron is not installed in this database"),
                "Install pg_cron and call schedule_feed, or let another scheduler call run_feed.".into(),
            );
            false
        }
        Some(schedule) => {
            cron::schedule(&feed, schedule)?;
            true
        }
        None => false,
    };
    let next = feed.plan_next()?;
    Ok(json!({
        "feed": name,
        "target": target.name,
        "spec": serde_json::to_value(&spec).unwrap_or_default(),
        "created": created,
        "scheduled": scheduled,
        "next_run_at": next,
    }))
}

/// Makes the tables of feeds where they are not there. Wants `jobs::lock_setup`.
///
/// # Errors
/// As `jobs::install`.
pub fn install() -> Result<()> {
    jobs::install()?;
    let feeds = spi::own("feeds")?;
    if jobs::is_made(&feeds)? { Ok(()) } else { jobs::make(&feeds, include_str!("../../sql/schema/feeds.sql")) }
}

impl Feed {
    /// The feed of that name, as it is now.
    ///
    /// # Errors
    /// `22004` for NULL, `42704` where there is none that the caller may see, and what opening its target raises.
    pub fn named(name: Option<String>) -> Result<Self> {
        let name = name.ok_or(OnceError::NullArgument { name: "feed".into() })?;
        let feeds = spi::own("feeds")?;
        if backend::relation_oid(&feeds).is_none() {
            return Err(OnceError::UnknownFeed { name });
        }
        let sql = format!(
            "SELECT id, target, spec::text, created_by, relation_schema, relation_name FROM {feeds} WHERE name = $1"
        );
        let found = spi::known_fresh(&sql, &[name.as_str().into()], |row| {
            let relation = Relation { schema: row.need(5)?, name: row.need(6)? };
            Ok((row.need::<Uuid>(1)?, row.need::<String>(2)?, row.need::<String>(3)?, row.need::<String>(4)?, relation))
        })?;
        let Some((id, target, spec, created_by, relation)) = found.into_iter().next() else {
            return Err(OnceError::UnknownFeed { name });
        };
        let spec = FeedSpec::parse(&spec).map_err(|error| OnceError::BadFeedSpec { feed: name.clone(), error })?;
        let target = rows::Target::open(Some(target))?;
        if target.table.relation != relation {
            let now = target.table.relation.clone();
            return Err(OnceError::FeedMoved { feed: name, target: target.name.clone(), relation, now });
        }
        Ok(Self { id, name, spec, target, created_by })
    }

    /// That SQL of the spec may run with the caller's rights: whoever wrote it could do all that himself.
    ///
    /// # Errors
    /// `42501` where he could not.
    pub fn require_trust(&self) -> Result<()> {
        if rights::is_trusted(&self.created_by)? {
            return Ok(());
        }
        let (feed, created_by, role) = (self.name.clone(), self.created_by.clone(), spi::current_role()?);
        Err(OnceError::UntrustedFeed { feed, created_by, role })
    }

    /// When the schedule wants the next run, in seconds since 1970.
    pub fn next(&self) -> Result<Option<f64>> {
        let Some(schedule) = &self.spec.schedule else { return Ok(None) };
        let schedule =
            Schedule::read(schedule).map_err(|error| OnceError::BadFeedSpec { feed: self.name.clone(), error })?;
        let now = "SELECT extract(epoch FROM clock_timestamp())::bigint";
        let next = schedule.next(spi::known_one(now, &[], |row| row.need(1))?);
        Ok(next.map(|seconds| seconds as f64)) // exact until the year 285 million
    }

    /// Notes when the schedule wants the next run; gives the time.
    pub fn plan_next(&self) -> Result<Option<String>> {
        let sql = format!(
            "UPDATE {} SET next_run_at = to_timestamp($2) WHERE feed = $1 RETURNING to_json(next_run_at) #>> '{{}}'",
            spi::own("import_states")?
        );
        let told = spi::fresh(&sql, &[self.name.as_str().into(), self.next()?.into()], |row| row.get::<String>(1))?;
        Ok(told.into_iter().next().flatten())
    }
}
