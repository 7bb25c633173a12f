//! Telling people of new records: in the transaction that makes them, and of each once.

use super::{Feed, source};
use crate::error::Result;
use crate::spi;
use once_core::feed::{Mode, Notify, filled};
use once_core::rows::statements::Column;
use pgrx::Uuid;
use serde_json::json;

/// What listeners listen to.
const CHANNEL: &str = "once_feed";

/// Tells the recipients of what the job inserted: one by one, or of all together.
///
/// # Errors
/// What the query of the recipients raises, `42501` where it is SQL of someone whom the caller need not trust.
pub fn recipients(feed: &Feed, notify: &Notify, run: Uuid, job: Uuid, inserted: usize) -> Result<()> {
    let Some(recipients) = notify.recipients.as_ref().filter(|_| inserted > 0) else { return Ok(()) };
    feed.require_trust()?;
    let recipients = format!(
        "SELECT DISTINCT r.user_id::text FROM ({}) r(user_id) WHERE r.user_id IS NOT NULL ORDER BY 1",
        source::part(recipients)
    );
    let recipients = spi::fresh(&recipients, &[], |row| row.need::<String>(1))?;
    let each = match notify.mode {
        Mode::Each => true,
        Mode::Summary => false,
        Mode::Auto => inserted <= usize::try_from(notify.threshold).unwrap_or(usize::MAX),
    };
    let messages = if each {
        let columns = &feed.target.table.columns;
        let named: Vec<&Column> =
            columns.iter().filter(|c| notify.message.contains(&format!("{{{}}}", c.name))).collect();
        let records = new_records(feed, job, &named)?.into_iter();
        records
            .map(|(id, values)| (Some(id), filled(&notify.message, |name| value(feed, &named, &values, name))))
            .collect()
    } else {
        let value = |name: &str| match name {
            "count" => Some(inserted.to_string()),
            "feed" => Some(feed.name.clone()),
            _ => None,
        };
        vec![(None, filled(&notify.summary, value))]
    };
    let (ids, messages): (Vec<Option<String>>, Vec<String>) = messages.into_iter().unzip();
    let insert = format!(
        "INSERT INTO {} (user_id, type, title, message, lead_id, feed_id, feed, run_id) \
         SELECT r.user_id, $1, $2, m.message, m.lead_id, $8, $3, $4 \
         FROM ROWS FROM (unnest($5), unnest($6)) WITH ORDINALITY AS m(lead_id, message, n) CROSS JOIN unnest($7) AS r(user_id) \
         ORDER BY m.n, r.user_id ON CONFLICT DO NOTHING",
        spi::own("notifications")?
    );
    let args = [
        notify.kind.as_str().into(),
        notify.title.as_str().into(),
        feed.name.as_str().into(),
        run.into(),
        ids.into(),
        messages.into(),
        recipients.into(),
        feed.id.into(),
    ];
    spi::write(&insert, &args).map(drop)
}

/// The records that the job made, in the order of its rows: what names each, and its values of these columns.
fn new_records(feed: &Feed, job: Uuid, columns: &[&Column]) -> Result<Vec<(String, Vec<Option<String>>)>> {
    let sql = feed.target.table.made(&spi::own("import_images")?, columns);
    spi::fresh(&sql, &[job.into()], |row| Ok((row.need(1)?, row.need(2)?)))
}

/// What a message says for a name in braces: a value of the record, or the feed.
fn value(feed: &Feed, columns: &[&Column], values: &[Option<String>], name: &str) -> Option<String> {
    let found = columns.iter().zip(values).find(|(column, _)| column.name == name);
    match (found, name) {
        (Some((_, Some(value))), _) => Some(value.clone()),
        (Some((_, None)), "platform") | (None, "feed") => Some(feed.name.clone()),
        (Some((_, None)), _) => Some("unknown".into()),
        (None, _) => None,
    }
}

/// Tells whoever listens of a run, once its transaction has committed.
pub fn listeners(run: Uuid, feed: &Feed, report: &super::log::Report) -> Result<()> {
    let payload = json!({
        "feed": feed.name,
        "run_id": run.to_string(),
        "status": report.status,
        "inserted": report.inserted,
        "updated": report.updated,
        "rejected": report.rejected,
    });
    spi::read_one("SELECT pg_notify($1, $2)::text IS NULL", &[CHANNEL.into(), payload.to_string().into()], |_| Ok(()))
}
