//! The ledger of an org: events that nobody alters unnoticed, since the hash of each is over its content and the hash before.

use super::kit::Kit;
use crate::backend::Jsonb;
use crate::error::{OnceError, Result};
use crate::{jobs, spi};
use once_core::ledger::{Head, Reading};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde::Serialize;
use serde_json::{Value, json};

pub const TABLE: &str = "ledger_events";

/// What the hash of an event is over, after the hash before it: one text for one content, whatever the session's settings.
const CONTENT: &str = "pg_catalog.jsonb_build_array(org_id, number, pg_catalog.to_char(occurred_at AT TIME ZONE 'UTC', \
    'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), event_type, actor, entity_type, entity_id, correlation_id, payload)::pg_catalog.text";

/// In bytes: what names a thing or a run. The table's checks say the same.
pub const LONGEST_ID: usize = 1000;

/// How many events are read at a time.
const READ: i64 = 10_000;

/// An event that is to be written.
#[derive(Serialize)]
pub struct Event<'a> {
    pub event_type: &'a str,
    /// In ISO 8601, with its zone.
    pub occurred_at: &'a str,
    pub actor: &'a str,
    pub entity_type: Option<&'a str>,
    pub entity_id: Option<String>,
    pub correlation_id: Option<&'a str>,
    pub payload: Value,
}

/// Writes events to the ledger of an org, in order, in one statement. Other writers of the org wait until the transaction ends.
///
/// # Errors
/// `42501` without the rights, `55P03` where another holds the ledger, `40001` where the transaction does not see its last event.
pub fn append(kit: &Kit, org: Uuid, events: &[Event<'_>]) -> Result<Head> {
    append_with(kit, org, events, None)
}

/// `payload`: of all events, in place of their own.
fn append_with(kit: &Kit, org: Uuid, events: &[Event<'_>], payload: Option<Jsonb>) -> Result<Head> {
    let oid = kit.require(TABLE, &["SELECT", "INSERT"])?;
    let ledger = kit.table(TABLE);
    jobs::lock(&ledger, oid, &org.to_string())?;
    let last = format!("SELECT number, hash FROM {ledger} WHERE org_id = $1 ORDER BY number DESC LIMIT 1");
    let last = spi::known_fresh(&last, &[org.into()], |row| Ok(Head { number: row.need(1)?, hash: row.need(2)? }))?;
    let before = last.into_iter().next().unwrap_or_default();

    let written = Jsonb::of(&json!(events).to_string());
    let rows = "SELECT $1::pg_catalog.uuid AS org_id, $2 + e.number AS number, e.occurred_at, e.event_type, e.actor, e.entity_type, \
                e.entity_id, e.correlation_id, coalesce($4, e.payload) AS payload FROM ROWS FROM (pg_catalog.jsonb_to_recordset($3) \
                AS (occurred_at pg_catalog.timestamptz, event_type pg_catalog.text, actor pg_catalog.text, entity_type pg_catalog.text, \
                entity_id pg_catalog.text, correlation_id pg_catalog.text, payload pg_catalog.jsonb)) WITH ORDINALITY \
                AS e(occurred_at, event_type, actor, entity_type, entity_id, correlation_id, payload, number)";
    let args = || [org.into(), before.number.into(), written.into(), payload.into()];
    let contents = format!("SELECT {CONTENT} FROM ({rows}) e ORDER BY number");
    let contents = spi::known(&contents, &args(), |row| row.need::<String>(1))?;
    let mut head = before.clone();
    let mut hashes = vec![head.hash.clone()];
    for content in &contents {
        head = Head { number: head.number + 1, hash: head.hash(content) };
        hashes.push(head.hash.clone());
    }
    let insert = format!(
        "INSERT INTO {ledger} (org_id, number, occurred_at, event_type, actor, entity_type, entity_id, correlation_id, payload, \
           previous_hash, hash) \
         SELECT org_id, number, occurred_at, event_type, actor, entity_type, entity_id, correlation_id, payload, \
           $5[number - $2], $5[number - $2 + 1] FROM ({rows}) e ORDER BY number ON CONFLICT (org_id, number) DO NOTHING RETURNING number"
    );
    let args = args().into_iter().chain([hashes.into()]).collect::<Vec<_>>();
    let inserted = spi::known_fresh(&insert, &args, |row| row.need::<i64>(1))?;
    if inserted.len() == events.len() {
        Ok(head)
    } else {
        Err(OnceError::LedgerMoved { relation: ledger, org: org.to_string() })
    }
}

/// Writes an event to the ledger of an org.
///
/// `actor`: who did it; NULL for the current role. `entity_type`, `entity_id`: what it is about, or NULL. `correlation_id`: what it
/// belongs to, or NULL. `payload`: anything else; a ledger keeps it for good, so nothing that must be forgotten one day.
/// Gives the event's number in the ledger, from 1, and its hash.
///
/// # Errors
/// `22004` for a NULL org, event_type or payload, `42501` without the rights, `55P03`, `40001`, and what the target raises.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn append_ledger_event(
    org_id: Option<Uuid>,
    event_type: Option<String>,
    actor: default!(Option<String>, "NULL"),
    entity_type: default!(Option<String>, "NULL"),
    entity_id: default!(Option<String>, "NULL"),
    correlation_id: default!(Option<String>, "NULL"),
    payload: default!(Option<Jsonb>, "'{}'"),
    target: default!(Option<String>, "'mail_messages'"),
) -> std::result::Result<TableIterator<'static, (name!(number, i64), name!(hash, String))>, ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let (org, event_type) = (org_id.ok_or_else(|| null("org_id"))?, event_type.ok_or_else(|| null("event_type"))?);
    let payload = payload.ok_or_else(|| null("payload"))?;
    let kit = Kit::of(target)?;
    let actor = match actor {
        Some(actor) => actor,
        None => spi::current_role()?,
    };
    let event = Event {
        event_type: &event_type,
        occurred_at: &spi::now()?,
        actor: &actor,
        entity_type: entity_type.as_deref(),
        entity_id,
        correlation_id: correlation_id.as_deref(),
        payload: Value::Null,
    };
    let head = append_with(&kit, org, &[event], Some(payload))?;
    Ok(TableIterator::once((head.number, head.hash)))
}

/// Whether the ledger of an org is as it was written: every event there, in its place, with its content.
///
/// `expected_head`: a hash that was told earlier and kept elsewhere, or NULL: only with it can be told whether the last events
/// are gone. Gives `{valid, events, head, first_bad, reason}`: how many events there are, the last one's hash (NULL where there is
/// none); where it is not valid, the number of the first event that is not as it was, and why. An org whose events the caller may not
/// see has none.
///
/// # Errors
/// `22004` for a NULL org, `42501` without the right to read, and what the target raises.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn verify_ledger(
    org_id: Option<Uuid>,
    expected_head: default!(Option<String>, "NULL"),
    target: default!(Option<String>, "'mail_messages'"),
) -> std::result::Result<JsonB, ErrorReport> {
    let org = org_id.ok_or(OnceError::NullArgument { name: "org_id".into() })?;
    Ok(JsonB(verify(&Kit::of(target)?, org, expected_head.as_deref())?))
}

fn verify(kit: &Kit, org: Uuid, expected: Option<&str>) -> Result<Value> {
    kit.require(TABLE, &["SELECT"])?;
    let sql = format!(
        "SELECT coalesce(number, 0), coalesce(previous_hash, ''), coalesce(hash, ''), coalesce({CONTENT}, '') FROM {} WHERE org_id = $1 ORDER BY number",
        kit.table(TABLE)
    );
    let cursor = spi::Cursor::open(&sql, &[org.into()])?;
    let mut reading = Reading::expecting(expected);
    loop {
        pgrx::check_for_interrupts!();
        let events = cursor.fetch(READ, |row| {
            reading.read(row.need(1)?, &row.need::<String>(2)?, row.need(3)?, &row.need::<String>(4)?);
            Ok(())
        })?;
        if events.is_empty() {
            break;
        }
    }
    let bad = reading.first_bad();
    Ok(json!({
        "valid": bad.is_none(),
        "events": reading.events,
        "head": (reading.events > 0).then_some(reading.head.hash),
        "first_bad": bad.map(|(number, _)| number),
        "reason": bad.map(|(_, fault)| fault.reason()),
    }))
}
