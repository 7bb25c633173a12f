//! The schedule of a feed, which pg_cron keeps: over restarts, and making up with one run for those missed meanwhile.

use super::Feed;
use crate::error::{OnceError, Result};
use crate::spi;
use once_core::feed::Schedule;
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

/// Has pg_cron run a feed, in the name of the caller.
///
/// `cron`: minute, hour, day, month and weekday, in the time zone of pg_cron, which is GMT unless it was told another. Runs that
/// were missed while the server was down are made up by one run when it starts. Gives `{feed, schedule, next_run_at}`.
///
/// # Errors
/// `22004` for a NULL, `22023` for what is no schedule, `42704` for an unknown feed, `55000` where pg_cron is not installed in this
/// database, `42501` where the caller may not use it, or not change the feed.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn schedule_feed(
    feed: Option<String>,
    cron: default!(Option<String>, "'*/10 * * * *'"),
) -> std::result::Result<JsonB, ErrorReport> {
    let cron = cron.ok_or(OnceError::NullArgument { name: "cron".into() })?;
    let mut feed = Feed::named(feed)?;
    Schedule::read(&cron).map_err(|error| OnceError::BadFeedSpec { feed: feed.name.clone(), error })?;
    schedule(&feed, &cron)?;
    change(&feed.name, Some(&cron))?;
    feed.spec.schedule = Some(cron.clone());
    Ok(JsonB(json!({"feed": feed.name, "schedule": cron, "next_run_at": feed.plan_next()?})))
}

/// Takes a feed from pg_cron: it runs when it is called, and no other time. One without a schedule is left as it is.
///
/// # Errors
/// `22004` for NULL, `42704` for an unknown feed, `42501` where the caller may not change it.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn unschedule_feed(feed: Option<String>) -> std::result::Result<(), ErrorReport> {
    let mut feed = Feed::named(feed)?;
    change(&feed.name, None)?;
    unschedule(&feed.name)?;
    feed.spec.schedule = None;
    feed.plan_next()?;
    Ok(())
}

/// Keeps the schedule with the feed. Whose SQL it runs is told by `created_by`, which stays.
///
/// # Errors
/// `42501` for anyone but who made it and the owner of its table.
fn change(feed: &str, schedule: Option<&str>) -> Result<()> {
    let sql = format!(
        "UPDATE {} SET spec = (spec - 'schedule') || jsonb_strip_nulls(jsonb_build_object('schedule', $2)) WHERE name = $1",
        spi::own("feeds")?
    );
    if spi::write(&sql, &[feed.into(), schedule.map(String::from).into()])? == 1 {
        return Ok(());
    }
    Err(OnceError::OthersFeed { feed: feed.into(), role: spi::current_role()? })
}

/// What pg_cron calls the jobs of a feed: the one of its schedule, and the one when the server has started.
fn names(feed: &str) -> [String; 2] {
    [format!("pg_once feed {feed}"), format!("pg_once feed {feed}, at start")]
}

pub fn is_installed() -> Result<bool> {
    spi::known_one("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron')", &[], |row| row.need(1))
}

/// # Errors
/// `55000` where pg_cron is not installed in this database, `42501` where the caller may not use it.
fn require_cron() -> Result<()> {
    if !is_installed()? {
        let database = "SELECT coalesce(current_setting('cron.database_name', true), '')";
        let cron_database = spi::known_one(database, &[], |row| row.need(1))?;
        return Err(OnceError::NoCron { cron_database });
    }
    let (may, role) = spi::known_one("SELECT has_schema_privilege('cron', 'USAGE'), current_user::text", &[], |row| {
        Ok((row.need::<bool>(1)?, row.need::<String>(2)?))
    })?;
    if may {
        return Ok(());
    }
    let hint = format!("Let a superuser GRANT USAGE ON SCHEMA cron TO {};", once_core::ident::quote(&role));
    let (object, privilege) = ("schema cron".into(), "USAGE".into());
    Err(OnceError::NoPrivilege { object, privilege, role, hint })
}

/// Hands a feed to pg_cron; another schedule of it is replaced.
///
/// # Errors
/// As `require_cron`.
pub fn schedule(feed: &Feed, cron: &str) -> Result<()> {
    require_cron()?;
    let [regular, at_start] = names(&feed.name);
    let (run, states) = (spi::own("run_feed")?, spi::own("import_states")?);
    let name = once_core::ident::literal(&feed.name);
    let sql = "SELECT cron.schedule($1, $2, $3)::bigint";
    let regular_run = format!("SELECT {run}({name})");
    spi::fresh(sql, &[regular.into(), cron.into(), regular_run.into()], |_| Ok(()))?;
    let missed =
        format!("SELECT {run}(s.feed) FROM {states} s WHERE s.feed = {name} AND s.next_run_at <= pg_catalog.now()");
    spi::fresh(sql, &[at_start.into(), "@reboot".into(), missed.into()], |_| Ok(())).map(drop)
}

/// Takes a feed from pg_cron, where it has it.
pub fn unschedule(feed: &str) -> Result<()> {
    if !is_installed()? {
        return Ok(());
    }
    let names: Vec<String> = names(feed).into();
    let sql =
        "SELECT cron.unschedule(j.jobid) FROM cron.job j WHERE j.jobname = ANY ($1) AND j.username = current_user";
    spi::fresh(sql, &[names.into()], |_| Ok(())).map(drop)
}
