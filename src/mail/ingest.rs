//! Taking messages in: threads, messages and what is attached to them, each once, and the ledger told of it.

use super::attachments::{self, Attached, Content};
use super::kit::{Kit, Mailbox};
use super::ledger::{self, Event};
use crate::backend::Jsonb;
use crate::backend::json::Document;
use crate::error::{OnceError, Result};
use crate::rows::{Call, Fields, Given, NAMED, Outcome, Refusal};
use crate::spi;
use hashbrown::{HashMap, HashSet};
use once_core::mail::{Address, Attachment, Format, Message};
use once_core::rows::value::Json;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Takes messages of a mailbox in: a message that is there already is merged with what came, and what nothing changes is left alone.
///
/// `messages`: an array of Gmail API message resources as `users.messages.get` returns them, of any format. `sync_info`: anything
/// worth keeping with the job, or NULL; of its fields `history_id` is kept with the mailbox once all messages are taken,
/// `correlation_id` and `actor` are the ledger's. Gives `{success, job_id, threads_ingested, threads_updated, messages_ingested,
/// messages_updated, unchanged, duplicate, rejected, attachments_seen, attachments_saved, attachments_missing: [{message_id,
/// provider_message_id, provider_attachment_id, download_id, filename, mime_type, size_bytes}, …], ledger_head, errors: [{row, column,
/// value, reason}, … at most 100]}`, and where `success` is false, `sqlstate` and `message`. `attachments_missing` are those of these
/// messages whose content is not stored.
///
/// # Errors
/// `22004` for a NULL, `22023` where `messages` is no array or `sync_info` can't be read, `P0002` for an unknown mailbox, `42501`
/// without the rights, `55P03`, `40001`, and what the target raises.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn ingest_mail(
    mailbox_id: Option<Uuid>,
    messages: Option<Jsonb>,
    sync_info: default!(Option<Jsonb>, "NULL"),
    target: default!(Option<String>, "'mail_messages'"),
) -> std::result::Result<JsonB, ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let (mailbox, messages) =
        (mailbox_id.ok_or_else(|| null("mailbox_id"))?, messages.ok_or_else(|| null("messages"))?);
    let kit = Kit::of(target)?;
    let mailbox = kit.mailbox(mailbox)?;
    let ids = [mailbox.org.to_string(), mailbox.id.to_string()];
    let sync = Sync { kit: &kit, mailbox: &mailbox, ids, info: SyncInfo::read(sync_info)?, given: sync_info };
    Ok(JsonB(spi::exact("UTC", || sync.run(messages))?))
}

/// What a call says of itself.
struct SyncInfo {
    actor: String,
    correlation: Option<String>,
    history_id: Option<i64>,
}

impl SyncInfo {
    fn read(info: Option<Jsonb>) -> Result<Self> {
        let (is_object, actor, correlation, history) = spi::known_one(
            "SELECT coalesce(jsonb_typeof($1) = 'object', true), coalesce($1 ->> 'actor', current_user::text), \
             $1 ->> 'correlation_id', $1 ->> 'history_id'",
            &[info.into()],
            |row| Ok((row.need::<bool>(1)?, row.need::<String>(2)?, row.get(3)?, row.get::<String>(4)?)),
        )?;
        let history_id = history.as_ref().map(|text| text.parse::<i64>());
        let is_short = |id: &Option<String>| id.as_ref().is_none_or(|id| id.len() <= ledger::LONGEST_ID);
        match history_id.transpose() {
            Ok(history_id) if is_object && history_id.is_none_or(|id| id >= 0) && is_short(&correlation) => {
                Ok(Self { actor, correlation, history_id })
            }
            _ => Err(OnceError::BadSyncInfo { history_id: history.unwrap_or_default() }),
        }
    }
}

/// A call.
struct Sync<'a> {
    kit: &'a Kit,
    mailbox: &'a Mailbox,
    /// The ids of the org and the mailbox, as texts.
    ids: [String; 2],
    info: SyncInfo,
    given: Option<Jsonb>,
}

/// A message that is written, as its table has it.
struct Written {
    id: Uuid,
    thread: Uuid,
}

/// What a call has done, for its answer and the ledger.
#[derive(Default)]
struct Done {
    /// Messages by Gmail's id.
    written: HashMap<String, Written>,
    ingested: Vec<String>,
    new_threads: Vec<(Uuid, String)>,
    threads_updated: usize,
}

impl Sync<'_> {
    fn run(&self, messages: Jsonb) -> Result<Value> {
        for table in ["mail_threads", super::MAIN] {
            self.kit.require(table, &["SELECT", "INSERT", "UPDATE"])?;
        }
        let started = spi::now()?;
        let document = Document::of(messages);
        let trees = document.trees().ok_or(OnceError::NotMessages)?;
        let (mut read, mut errors): (Vec<(i64, Message)>, Vec<Value>) = (Vec::new(), Vec::new());
        let (mut total, mut refused) = (0, 0);
        for (number, tree) in (1..).zip(trees) {
            pgrx::check_for_interrupts!();
            total = number;
            match Message::read(&tree) {
                Ok(message) => read.push((number, message)),
                Err(refusal) => {
                    refused += 1;
                    if errors.len() < NAMED {
                        errors.push(json!({"row": number, "column": null, "value": null, "reason": format!("the message {refusal}")}));
                    }
                }
            }
        }
        let dates = Self::dates(&read)?;
        let rows = read.iter().zip(&dates).map(|((_, message), date)| self.row(message, date.as_deref()));
        let call = Call {
            source_info: self.given,
            numbers: Some(read.iter().map(|(number, _)| *number).collect()),
            ..Call::of(&self.kit.target, Given::Fields(rows.collect()))
        };
        let (work, taken) = call.run()?;
        let job = work.job.map(|job| job.to_string()).unwrap_or_default();
        let correlation = self.info.correlation.clone().unwrap_or_else(|| job.clone());
        let count = |name: &str| taken[name].as_u64().unwrap_or(0);
        let rejected = refused + count("rejected") + count("ambiguous");
        errors.extend(work.faulty().map(|(number, refusal)| told_of(number, refusal)));
        errors.sort_by_key(|error| error["row"].as_i64());
        errors.truncate(NAMED);
        let mut answer = json!({"success": taken["success"], "job_id": job});
        if taken["success"] != true {
            (answer["sqlstate"], answer["message"]) = (taken["sqlstate"].clone(), taken["message"].clone());
            answer["errors"] = errors.into();
            self.close(taken["message"].as_str(), false)?;
            let ended = spi::now()?;
            let payload = json!({"messages": total, "sqlstate": taken["sqlstate"]});
            answer["ledger_head"] = self.tell(vec![
                self.event("sync.started", &started, &correlation),
                Event { payload, ..self.event("sync.failed", &ended, &correlation) },
            ])?;
            return Ok(answer);
        }

        let outcome_of: HashMap<i64, Outcome> =
            work.outcomes.iter().map(|(number, told)| (*number, told.outcome)).collect();
        let (done, saved, missing) = spi::by_index(|| {
            let done = self.done(&read, &outcome_of, work.job)?;
            let attached = done.attached(&read);
            attachments::list(self.kit, self.mailbox, &attached)?;
            let saved = attachments::store(self.kit, self.mailbox, &contents(self.mailbox, &attached))?;
            let missing = attachments::missing(self.kit, &done.names())?;
            Ok((done, saved, missing))
        })?;
        self.close(None, rejected == 0)?;
        let seen: usize = read.iter().map(|(_, message)| message.attachments.as_ref().map_or(0, Vec::len)).sum();
        for (name, value) in [
            ("threads_ingested", json!(done.new_threads.len())),
            ("threads_updated", json!(done.threads_updated)),
            ("messages_ingested", json!(count("inserted"))),
            ("messages_updated", json!(count("updated"))),
            ("unchanged", json!(count("unchanged"))),
            ("duplicate", json!(count("duplicate"))),
            ("rejected", json!(rejected)),
            ("attachments_seen", json!(seen)),
            ("attachments_saved", json!(saved.len())),
        ] {
            answer[name] = value;
        }

        let ended = spi::now()?;
        let mut events = vec![self.event("sync.started", &started, &correlation)];
        for (thread, provider_id) in &done.new_threads {
            events.push(Event {
                entity_type: Some("thread"),
                entity_id: Some(thread.to_string()),
                payload: json!({"provider_thread_id": provider_id}),
                ..self.event("thread.ingested", &ended, &correlation)
            });
        }
        for provider_id in &done.ingested {
            let Some(written) = done.written.get(provider_id) else { continue };
            events.push(Event {
                entity_type: Some("message"),
                entity_id: Some(written.id.to_string()),
                payload: json!({"provider_message_id": provider_id, "thread_id": written.thread.to_string()}),
                ..self.event("message.ingested", &ended, &correlation)
            });
        }
        events.extend(
            saved.iter().map(|stored| attachments::saved(stored, &ended, &self.info.actor, Some(&correlation))),
        );
        let mut counts = answer.clone();
        if let Some(counts) = counts.as_object_mut() {
            counts.retain(|name, _| name != "success");
        }
        events.push(Event { payload: counts, ..self.event("sync.completed", &ended, &correlation) });
        answer["ledger_head"] = self.tell(events)?;
        answer["attachments_missing"] = missing.into();
        answer["errors"] = errors.into();
        Ok(answer)
    }

    /// The dates of the messages.
    fn dates(read: &[(i64, Message)]) -> Result<Vec<Option<String>>> {
        let dates: Vec<Option<i64>> = read.iter().map(|(_, message)| message.internal_date).collect();
        spi::known(
            // By days and the rest, as both are exact; the time zone is UTC here.
            "SELECT to_json(timestamptz 'epoch' + u.ms / 86400000 * interval '1 day' + u.ms % 86400000 * interval '1 millisecond') #>> '{}' \
             FROM unnest($1) WITH ORDINALITY AS u(ms, n) ORDER BY n",
            &[dates.into()],
            |row| row.get::<String>(1),
        )
    }

    /// A message as a row of its target. What a partial fetch leaves out is left out here, too: nothing that is known gets lost by it.
    fn row<'m>(&'m self, message: &'m Message, internal_date: Option<&'m str>) -> Fields<'m> {
        let has_headers = message.headers.as_ref().is_some_and(|headers| !headers.is_empty());
        let is_whole = has_headers && matches!(message.format, Format::Full | Format::Raw);
        let text = |text: &'m str| Some(Json::String(text));
        let number = |number: Option<i64>| number.map(|number| Json::Number(number.to_string()));
        let list = |list: Value| Some(Json::Array(list.to_string()));
        let emails = |addresses: &[Address]| {
            let emails: Vec<&String> = addresses.iter().map(|address| &address.email).collect();
            if is_whole || !emails.is_empty() { list(json!(emails)) } else { None }
        };
        // An empty one is none: it may be what a partial fetch has left of it.
        let body = |body: &'m Option<String>| body.as_deref().filter(|body| !body.is_empty()).and_then(text);
        let labels = |labels: &Vec<String>| list(json!(labels.iter().collect::<BTreeSet<_>>()));
        let fields = [
            ("org_id", text(&self.ids[0])),
            ("mailbox_id", text(&self.ids[1])),
            ("provider_thread_id", text(&message.provider_thread_id)),
            ("provider_message_id", text(&message.provider_message_id)),
            ("history_id", number(message.history_id)),
            ("from_email", message.from.as_ref().and_then(|from| text(&from.email))),
            ("from_name", message.from.as_ref().and_then(|from| text(from.name.as_ref()?))),
            ("to_emails", emails(&message.to)),
            ("cc_emails", emails(&message.cc)),
            ("bcc_emails", emails(&message.bcc)),
            ("subject", message.subject.as_deref().and_then(text)),
            ("snippet", message.snippet.as_deref().and_then(text)),
            ("body_plain", body(&message.body_plain)),
            ("body_html", body(&message.body_html)),
            ("sent_at", message.sent_at.as_deref().and_then(text)),
            ("internal_date", internal_date.and_then(text)),
            ("raw_headers", message.headers.as_ref().filter(|_| is_whole).and_then(|headers| list(json!(headers)))),
            ("label_ids", message.label_ids.as_ref().and_then(labels)),
            ("has_attachments", message.has_attachments().filter(|has| *has || is_whole).map(Json::Bool)),
            ("size_estimate", number(message.size_estimate)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// What has become of the messages and their threads.
    fn done(&self, read: &[(i64, Message)], outcomes: &HashMap<i64, Outcome>, job: Option<Uuid>) -> Result<Done> {
        // Each table by itself: joined, the planner may read the whole mailbox as long as there are no statistics.
        let ids: Vec<String> = read.iter().map(|(_, message)| message.provider_message_id.clone()).collect();
        let messages = format!(
            "SELECT provider_message_id, message_id, thread_id FROM {} WHERE org_id = $1 AND mailbox_id = $2 AND provider_message_id = ANY ($3)",
            self.kit.table(super::MAIN)
        );
        let (org, mailbox) = (self.mailbox.org, self.mailbox.id);
        let mut done = Done::default();
        spi::fresh(&messages, &[org.into(), mailbox.into(), ids.into()], |row| {
            done.written.insert(row.need(1)?, Written { id: row.need(2)?, thread: row.need(3)? });
            Ok(())
        })?;
        let ids: HashSet<Uuid> = done.written.values().map(|written| written.thread).collect();
        let threads = format!(
            "SELECT thread_id, provider_thread_id FROM {} WHERE org_id = $1 AND mailbox_id = $2 AND thread_id = ANY ($3) AND import_job_id = $4",
            self.kit.table("mail_threads")
        );
        let ids: Vec<Uuid> = ids.into_iter().collect();
        done.new_threads = spi::fresh(&threads, &[org.into(), mailbox.into(), ids.into(), job.into()], |row| {
            Ok((row.need(1)?, row.need(2)?))
        })?;
        let new_threads: HashSet<Uuid> = done.new_threads.iter().map(|(thread, _)| *thread).collect();
        let mut updated: HashSet<Uuid> = HashSet::new();
        for (number, message) in read {
            let Some(written) = done.written.get(&message.provider_message_id) else { continue };
            match outcomes.get(number) {
                Some(Outcome::Inserted) => done.ingested.push(message.provider_message_id.clone()),
                Some(Outcome::Updated) => {}
                _ => continue,
            }
            if !new_threads.contains(&written.thread) {
                updated.insert(written.thread);
            }
        }
        if read.iter().any(|(number, _)| outcomes.get(number) == Some(&Outcome::Updated)) {
            let left = format!(
                "SELECT DISTINCT (before ->> 'thread_id')::uuid FROM {} WHERE job_id = $1 AND part = 0 AND before ? 'thread_id'",
                spi::own("import_images")?
            );
            updated.extend(spi::fresh(&left, &[job.into()], |row| row.need::<Uuid>(1))?);
        }
        done.threads_updated = updated.len();
        done.new_threads.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(done)
    }

    /// Notes with the mailbox how the synchronisation went. `all`: whether nothing is left that must come again.
    fn close(&self, failure: Option<&str>, all: bool) -> Result<()> {
        self.kit.require("mailboxes", &["SELECT", "UPDATE"])?;
        let sql = format!(
            "UPDATE {} SET last_synced_at = CASE WHEN $2 IS NULL THEN now() ELSE last_synced_at END, sync_error_message = $2, \
             last_history_id = CASE WHEN $3 THEN greatest(last_history_id, $4) ELSE last_history_id END, \
             status = CASE WHEN $2 IS NOT NULL AND status = 'active' THEN 'error' WHEN $2 IS NULL AND status = 'error' THEN 'active' \
               ELSE status END \
             WHERE mailbox_id = $1",
            self.kit.table("mailboxes")
        );
        let args = [self.mailbox.id.into(), failure.map(String::from).into(), all.into(), self.info.history_id.into()];
        spi::known_fresh(&sql, &args, |_| Ok(())).map(drop)
    }

    fn event<'e>(&'e self, event_type: &'e str, at: &'e str, correlation: &'e str) -> Event<'e> {
        Event {
            event_type,
            occurred_at: at,
            actor: &self.info.actor,
            entity_type: Some("mailbox"),
            entity_id: Some(self.mailbox.id.to_string()),
            correlation_id: Some(correlation),
            payload: json!({}),
        }
    }

    /// Last, so that the org's ledger is held as briefly as can be.
    fn tell(&self, events: Vec<Event<'_>>) -> Result<Value> {
        Ok(ledger::append(self.kit, self.mailbox.org, &events)?.hash.into())
    }
}

impl Done {
    /// What is attached to the messages; of one that came twice, what the last says.
    fn attached<'m>(&self, read: &'m [(i64, Message)]) -> Attached<'m> {
        let mut attached = Attached::new();
        for (_, message) in read {
            let Some(written) = self.written.get(&message.provider_message_id) else { continue };
            let parts = message.attachments.iter().flatten();
            attached.extend(parts.map(|part| ((written.id, part.part_id.as_str()), part)));
        }
        attached
    }

    /// Gmail's ids of the messages.
    fn names(&self) -> HashMap<Uuid, &str> {
        self.written.iter().map(|(name, written)| (written.id, name.as_str())).collect()
    }
}

/// The contents that came with the messages, as far as they are kept here.
fn contents<'m>(mailbox: &Mailbox, attached: &Attached<'m>) -> Vec<Content<'m>> {
    let of = |((message, part), attachment): (&(Uuid, &'m str), &&'m Attachment)| {
        Some(Content { message: *message, part, bytes: attachment.content.as_deref()? })
    };
    if mailbox.is_external { Vec::new() } else { attached.iter().filter_map(of).collect() }
}

/// A message that was not taken, without anything that it says, which the words of a constraint or a trigger may show.
fn told_of(number: i64, refusal: &Refusal) -> Value {
    let reason = match &refusal.sqlstate {
        Some(sqlstate) => format!("the database refuses the message (SQLSTATE {sqlstate})"),
        None => refusal.shown(),
    };
    json!({"row": number, "column": refusal.column, "value": null, "reason": reason})
}
