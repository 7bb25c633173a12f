//! What is attached to messages: whether it is there, and storing it once per org.

use super::kit::{Kit, Mailbox, unknown};
use super::ledger::{self, Event};
use crate::backend::Jsonb;
use crate::error::{OnceError, Result};
use crate::spi;
use hashbrown::HashMap;
use once_core::mail::{self, Attachment};
use once_core::sha256::sha256;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The content of an attachment that the kit's table has.
pub struct Content<'a> {
    pub message: Uuid,
    pub part: &'a str,
    pub bytes: &'a [u8],
}

/// An attachment that has been stored.
pub struct Stored {
    pub attachment: Uuid,
    pub message: Uuid,
    pub sha256: String,
    pub storage_path: String,
}

/// An attachment, as its table has it.
struct Known {
    attachment: Uuid,
    /// Where it has been stored.
    stored: Option<(String, String)>,
}

/// Where the content of an attachment is stored: `{org_id}/{mailbox_id}/{sha256}/{filename}`.
///
/// `sha256`: of the content, in hex. `filename`: made safe here (one file in a folder, on any system, 255 bytes at most).
///
/// # Errors
/// `22004` for a NULL, `22023` for what is no SHA-256.
#[pg_extern(immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn mail_storage_path(
    org_id: Option<Uuid>,
    mailbox_id: Option<Uuid>,
    sha256: Option<&str>,
    filename: Option<&str>,
) -> std::result::Result<String, ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let (org, mailbox) = (org_id.ok_or_else(|| null("org_id"))?, mailbox_id.ok_or_else(|| null("mailbox_id"))?);
    let (hash, name) = (sha256.ok_or_else(|| null("sha256"))?, filename.ok_or_else(|| null("filename"))?);
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(OnceError::BadHash { given: hash.into() }.into());
    }
    Ok(mail::storage_path(&org.to_string(), &mailbox.to_string(), &hash.to_ascii_lowercase(), name))
}

/// Whether the content of an attachment is stored: one row, `exists` with where it is, or false with what is known of it.
///
/// `provider_attachment_id`: the part's id in the message (Gmail's `partId`).
///
/// # Errors
/// `22004` for a NULL, `42501` without the rights, and what the target raises.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn mail_attachment_exists(
    message_id: Option<Uuid>,
    provider_attachment_id: Option<String>,
    target: default!(Option<String>, "'mail_messages'"),
) -> std::result::Result<
    TableIterator<
        'static,
        (
            name!(exists, bool),
            name!(attachment_id, Option<Uuid>),
            name!(sha256, Option<String>),
            name!(storage_path, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let message = message_id.ok_or_else(|| null("message_id"))?;
    let part = provider_attachment_id.ok_or_else(|| null("provider_attachment_id"))?;
    let kit = Kit::of(target)?;
    kit.require("mail_attachments", &["SELECT"])?;
    let known = known(&kit, message, &part, "")?;
    let attachment = known.as_ref().map(|known| known.attachment);
    let (hash, path) = known.and_then(|known| known.stored).unzip();
    Ok(TableIterator::once((hash.is_some(), attachment, hash, path)))
}

/// Stores the content of an attachment, once per org however many messages carry it, and tells the ledger.
///
/// `provider_attachment_id`: the part's id in the message (Gmail's `partId`). `filename`, `mime_type`: where the message did not say,
/// or NULL. Of a mailbox whose contents are kept elsewhere only hash and path are kept. Gives the attachment, whether it had been
/// stored before, the content's SHA-256 and its path: the same ones for the same content however often it is stored.
///
/// # Errors
/// `22004` for another NULL, `P0002` for an unknown message, `55000` where the attachment is stored with another content, `42501`,
/// and what the target raises.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn store_mail_attachment(
    message_id: Option<Uuid>,
    provider_attachment_id: Option<String>,
    filename: Option<String>,
    mime_type: Option<String>,
    content: Option<&[u8]>,
    target: default!(Option<String>, "'mail_messages'"),
) -> std::result::Result<
    TableIterator<
        'static,
        (name!(attachment_id, Uuid), name!(is_duplicate, bool), name!(sha256, String), name!(storage_path, String)),
    >,
    ErrorReport,
> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let message = message_id.ok_or_else(|| null("message_id"))?;
    let part = provider_attachment_id.ok_or_else(|| null("provider_attachment_id"))?;
    let bytes = content.ok_or_else(|| null("content"))?;
    let kit = Kit::of(target)?;
    let (stored, is_duplicate) = store_one(&kit, &Content { message, part: &part, bytes }, filename, mime_type)?;
    Ok(TableIterator::once((stored.attachment, is_duplicate, stored.sha256, stored.storage_path)))
}

fn store_one(
    kit: &Kit,
    content: &Content<'_>,
    filename: Option<String>,
    mime_type: Option<String>,
) -> Result<(Stored, bool)> {
    let mailbox = mailbox_of(kit, content.message)?;
    kit.require("mail_attachments", &["SELECT", "INSERT", "UPDATE"])?;
    let attachments = kit.table("mail_attachments");
    // The message may have come without its parts.
    let insert = format!(
        "INSERT INTO {attachments} AS a (org_id, mailbox_id, message_id, provider_attachment_id, filename, mime_type) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (message_id, provider_attachment_id) DO UPDATE \
         SET filename = coalesce(a.filename, excluded.filename), mime_type = coalesce(a.mime_type, excluded.mime_type) \
         WHERE a.sha256 IS NULL AND (a.filename IS NULL OR a.mime_type IS NULL)"
    );
    let args = [
        mailbox.org.into(),
        mailbox.id.into(),
        content.message.into(),
        content.part.into(),
        filename.into(),
        mime_type.into(),
    ];
    spi::known_fresh(&insert, &args, |_| Ok(()))?;
    let known = known(kit, content.message, content.part, " FOR UPDATE")?;
    let gone = || unknown("attachment", content.part, &attachments);
    let known = known.ok_or_else(gone)?;
    if let Some((hash, storage_path)) = known.stored {
        if hash != sha256(&[content.bytes]) {
            let (attachment, message) = (content.part.into(), content.message.to_string());
            return Err(OnceError::OtherContent { attachment, message, relation: attachments });
        }
        // It may have been stored while contents were kept elsewhere.
        keep(kit, &mailbox, [(hash.as_str(), content.bytes)].into_iter())?;
        let (attachment, message) = (known.attachment, content.message);
        return Ok((Stored { attachment, message, sha256: hash, storage_path }, true));
    }
    let mut stored = store(kit, &mailbox, std::slice::from_ref(content))?;
    let stored = stored.pop().ok_or_else(gone)?;
    let (now, actor) = (spi::now()?, spi::current_role()?);
    ledger::append(kit, mailbox.org, &[saved(&stored, &now, &actor, None)])?;
    Ok((stored, false))
}

/// What the ledger is told of an attachment that was stored.
pub fn saved<'e>(stored: &Stored, now: &'e str, actor: &'e str, correlation: Option<&'e str>) -> Event<'e> {
    Event {
        event_type: "attachment.saved",
        occurred_at: now,
        actor,
        entity_type: Some("attachment"),
        entity_id: Some(stored.attachment.to_string()),
        correlation_id: correlation,
        payload: json!({"message_id": stored.message.to_string(), "sha256": stored.sha256}),
    }
}

fn mailbox_of(kit: &Kit, message: Uuid) -> Result<Mailbox> {
    kit.require(super::MAIN, &["SELECT"])?;
    let messages = kit.table(super::MAIN);
    let sql = format!("SELECT mailbox_id FROM {messages} WHERE message_id = $1");
    let mailbox = spi::known_fresh(&sql, &[message.into()], |row| row.need(1))?;
    kit.mailbox(mailbox.into_iter().next().ok_or_else(|| unknown("message", message, &messages))?)
}

fn known(kit: &Kit, message: Uuid, part: &str, lock: &str) -> Result<Option<Known>> {
    let sql = format!(
        "SELECT attachment_id, sha256, storage_path FROM {} WHERE message_id = $1 AND provider_attachment_id = $2{lock}",
        kit.table("mail_attachments")
    );
    let found = spi::known_fresh(&sql, &[message.into(), part.into()], |row| {
        Ok(Known { attachment: row.need(1)?, stored: row.get(2)?.zip(row.get(3)?) })
    })?;
    Ok(found.into_iter().next())
}

/// What is attached to messages, by message and part.
pub type Attached<'m> = HashMap<(Uuid, &'m str), &'m Attachment>;

/// Brings what is attached to messages of a mailbox to its table.
///
/// # Errors
/// `42501` without the rights.
pub fn list(kit: &Kit, mailbox: &Mailbox, attached: &Attached<'_>) -> Result<()> {
    if attached.is_empty() {
        return Ok(());
    }
    kit.require("mail_attachments", &["SELECT", "INSERT", "UPDATE"])?;
    let row = |((message, part), attachment): (&(Uuid, &str), &&Attachment)| {
        json!({
            "message_id": message.to_string(),
            "provider_attachment_id": part,
            "download_id": attachment.attachment_id,
            "filename": attachment.filename,
            "mime_type": attachment.mime_type,
            "size_bytes": attachment.size_bytes,
            "content_id": attachment.content_id,
            "is_inline": attachment.inline,
        })
    };
    let rows = Jsonb::of(&attached.iter().map(row).collect::<Value>().to_string());
    let given = "jsonb_to_recordset($1) AS g(message_id uuid, provider_attachment_id text, download_id text, filename text, \
                 mime_type text, size_bytes bigint, content_id text, is_inline boolean)";
    let table = kit.table("mail_attachments");
    let is_one = "a.message_id = g.message_id AND a.provider_attachment_id = g.provider_attachment_id";
    let insert = format!(
        "INSERT INTO {table} (org_id, mailbox_id, message_id, provider_attachment_id, download_id, filename, mime_type, size_bytes, \
           content_id, is_inline) \
         SELECT $2, $3, g.message_id, g.provider_attachment_id, g.download_id, g.filename, g.mime_type, g.size_bytes, g.content_id, \
           g.is_inline FROM {given} WHERE NOT EXISTS (SELECT FROM {table} a WHERE {is_one}) \
         ORDER BY g.message_id, g.provider_attachment_id ON CONFLICT (message_id, provider_attachment_id) DO NOTHING"
    );
    spi::fresh(&insert, &[rows.into(), mailbox.org.into(), mailbox.id.into()], |_| Ok(()))?;
    // What the next download takes; of what is stored there will be none.
    let update = format!(
        "UPDATE {table} a SET download_id = g.download_id FROM {given} WHERE {is_one} AND a.sha256 IS NULL \
         AND g.download_id IS NOT NULL AND a.download_id IS DISTINCT FROM g.download_id"
    );
    spi::fresh(&update, &[rows.into()], |_| Ok(())).map(drop)
}

/// The attachments of these messages whose content is not stored, as answers tell them. `names`: Gmail's ids of the messages.
pub fn missing(kit: &Kit, names: &HashMap<Uuid, &str>) -> Result<Vec<Value>> {
    let ids: Vec<Uuid> = names.keys().copied().collect();
    let sql = format!(
        "SELECT message_id, jsonb_build_object('message_id', message_id, 'provider_attachment_id', provider_attachment_id, \
           'download_id', download_id, 'filename', filename, 'mime_type', mime_type, 'size_bytes', size_bytes), provider_attachment_id \
         FROM {} WHERE message_id = ANY ($1) AND sha256 IS NULL",
        kit.table("mail_attachments")
    );
    let mut missing = spi::fresh(&sql, &[ids.into()], |row| {
        let name = names.get(&row.need::<Uuid>(1)?).copied().unwrap_or_default();
        let JsonB(mut told) = row.need(2)?;
        told["provider_message_id"] = name.into();
        Ok((name, row.need::<String>(3)?, told))
    })?;
    missing.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    Ok(missing.into_iter().map(|(_, _, told)| told).collect())
}

/// Stores the contents of attachments of a mailbox that are not stored yet. Gives these.
///
/// # Errors
/// `42501` without the rights.
pub fn store(kit: &Kit, mailbox: &Mailbox, contents: &[Content<'_>]) -> Result<Vec<Stored>> {
    if contents.is_empty() {
        return Ok(Vec::new());
    }
    kit.require("mail_attachments", &["SELECT", "UPDATE"])?;
    let attachments = kit.table("mail_attachments");
    let (messages, parts): (Vec<Uuid>, Vec<String>) =
        contents.iter().map(|content| (content.message, content.part.to_string())).unzip();
    let open = format!(
        "SELECT g.number, a.attachment_id, coalesce(a.filename, '') FROM unnest($1, $2) WITH ORDINALITY \
           AS g(message_id, part, number) JOIN {attachments} a ON a.message_id = g.message_id AND a.provider_attachment_id = g.part \
         WHERE a.sha256 IS NULL ORDER BY a.attachment_id FOR UPDATE OF a"
    );
    let open = spi::fresh(&open, &[messages.into(), parts.into()], |row| {
        let number = usize::try_from(row.need::<i64>(1)?).unwrap_or_default();
        Ok((number, row.need::<Uuid>(2)?, row.need::<String>(3)?))
    })?;
    let mut blobs: BTreeMap<String, &[u8]> = BTreeMap::new();
    let mut stored = Vec::new();
    let mut sizes = Vec::new();
    for (number, attachment, filename) in open {
        let Some(content) = number.checked_sub(1).and_then(|at| contents.get(at)) else { continue };
        pgrx::check_for_interrupts!();
        let sha256 = sha256(&[content.bytes]);
        let storage_path = mail::storage_path(&mailbox.org.to_string(), &mailbox.id.to_string(), &sha256, &filename);
        blobs.insert(sha256.clone(), content.bytes);
        sizes.push(i64::try_from(content.bytes.len()).unwrap_or(i64::MAX));
        stored.push(Stored { attachment, message: content.message, sha256, storage_path });
    }
    keep(kit, mailbox, blobs.iter().map(|(sha256, bytes)| (sha256.as_str(), *bytes)))?;
    let update = format!(
        "UPDATE {attachments} a SET sha256 = g.sha256, storage_path = g.path, size_bytes = g.size, stored_at = now() \
         FROM unnest($1, $2, $3, $4) AS g(attachment_id, sha256, path, size) WHERE a.attachment_id = g.attachment_id"
    );
    let column = |of: fn(&Stored) -> String| stored.iter().map(of).collect::<Vec<_>>();
    let ids: Vec<Uuid> = stored.iter().map(|stored| stored.attachment).collect();
    let (hashes, paths) = (column(|stored| stored.sha256.clone()), column(|stored| stored.storage_path.clone()));
    spi::fresh(&update, &[ids.into(), hashes.into(), paths.into(), sizes.into()], |_| Ok(()))?;
    Ok(stored)
}

/// Keeps contents, each under its hash, for the mailbox's org, unless they are kept elsewhere.
fn keep<'b>(kit: &Kit, mailbox: &Mailbox, blobs: impl Iterator<Item = (&'b str, &'b [u8])>) -> Result<()> {
    if mailbox.is_external {
        return Ok(());
    }
    kit.require("mail_blobs", &["SELECT", "INSERT"])?;
    let insert = format!(
        "INSERT INTO {} (org_id, sha256, bytes, size_bytes) VALUES ($1, $2, $3, $4) ON CONFLICT (org_id, sha256) DO NOTHING",
        kit.table("mail_blobs")
    );
    // One by one: together they may be more than a statement can take.
    for (sha256, bytes) in blobs {
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let args = [mailbox.org.into(), sha256.into(), bytes.to_vec().into(), size.into()];
        spi::known_fresh(&insert, &args, |_| Ok(()))?;
    }
    Ok(())
}
