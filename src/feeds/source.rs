//! What a run reads that is given no rows, with the rights of who runs it.

use super::Feed;
use super::state::State;
use crate::backend::Jsonb;
use crate::error::{OnceError, Result};
use crate::spi::{self, Arg};
use once_core::feed::{FeedSpec, Source};

/// The rows of the feed's source, as an array; `work` sees them while they are in memory.
///
/// # Errors
/// What the source raises, `42501` where it is SQL of someone whom the caller need not trust.
pub fn read<T>(feed: &Feed, source: &Source, state: &State, work: impl FnOnce(Jsonb) -> Result<T>) -> Result<T> {
    feed.require_trust()?;
    // Named so that no column of the source is meant.
    let sql = format!(
        "SELECT coalesce(jsonb_agg(to_jsonb(\"once source\".*)), '[]') FROM ({}) \"once source\"",
        query(source)
    );
    let since = if feed.spec.reads_news_only() { Some(state.since(&feed.spec.overlap)?) } else { None };
    let args: Vec<Arg> = since.into_iter().map(Arg::from).collect();
    spi::with_row(&sql, &args, |row| work(row.need(1)?))
}

fn query(source: &Source) -> String {
    match source {
        Source::Relation(name) => format!("TABLE {name}"),
        Source::Query(query) => part(query),
    }
}

/// A query as a part of another: without a semicolon at its end, and with one for a comment there.
pub fn part(query: &str) -> String {
    format!("{}\n", query.trim_end().trim_end_matches(';'))
}

/// That the SQL of a spec can be run, without running it.
///
/// # Errors
/// What Postgres says of it.
pub fn require(spec: &FeedSpec) -> Result<()> {
    if let Some(source) = &spec.source {
        if let Source::Relation(name) = source {
            let known = spi::known_one("SELECT to_regclass($1) IS NOT NULL", &[name.as_str().into()], |row| {
                row.need::<bool>(1)
            })?;
            if !known {
                return Err(OnceError::UnknownSource { name: name.clone() });
            }
        }
        let since: Option<pgrx::datum::TimestampWithTimeZone> = None;
        let args: Vec<Arg> = if spec.reads_news_only() { vec![since.into()] } else { vec![] };
        spi::read(&format!("SELECT FROM ({}) q LIMIT 0", query(source)), &args, |_| Ok(()))?;
    }
    if let Some(recipients) = spec.notify.as_ref().and_then(|notify| notify.recipients.as_ref()) {
        spi::read(&format!("SELECT r.user_id::text FROM ({}) r(user_id) LIMIT 0", part(recipients)), &[], |_| Ok(()))?;
    }
    Ok(())
}
