//! The mail kit as its users meet it: mailboxes of an org, and messages as Gmail's API gives them.

use crate::promo::call;
use crate::{Db, Uuid, Value, json};
use anyhow::Result;
use postgres::{Client, GenericClient};

pub const ORG: Uuid = Uuid::from_u128(0xaaaa_aaaa_aaaa_4aaa_8aaa_aaaa_aaaa_aaaa);
pub const OTHER_ORG: Uuid = Uuid::from_u128(0xbbbb_bbbb_bbbb_4bbb_8bbb_bbbb_bbbb_bbbb);

/// A database with the kit in schema `public`, and a mailbox of `ORG`.
pub fn install(label: &str) -> Result<(Db, Client, Uuid)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('mail', 'public')", &[])?;
    let mailbox = mailbox(&mut client, ORG, "ann@example.com")?;
    Ok((db, client, mailbox))
}

pub fn mailbox(client: &mut impl GenericClient, org: Uuid, email: &str) -> Result<Uuid> {
    let insert = "INSERT INTO mailboxes (org_id, provider_email) VALUES ($1, $2) RETURNING mailbox_id";
    Ok(client.query_one(insert, &[&org, &email])?.try_get(0)?)
}

/// Takes messages in; the answer.
pub fn ingest(client: &mut impl GenericClient, mailbox: Uuid, messages: &[Value]) -> Result<Value> {
    call(client, "ingest_mail($1, $2)", &[&mailbox, &Value::from(messages)])
}

/// These fields of an answer.
pub fn fields<const N: usize>(answer: &Value, names: [&str; N]) -> [i64; N] {
    names.map(|name| answer[name].as_i64().unwrap_or(-1))
}

/// A message as `format=full` has it: of a thread, at a second, with labels and the part numbers of its attachments.
pub fn full(id: &str, thread: &str, at: i64, labels: &[&str], attachments: &[&str]) -> Value {
    let mut parts = vec![json!({"partId": "0", "mimeType": "text/plain", "filename": "",
               "body": {"size": 5, "data": base64url(format!("the text of {id}").as_bytes())}})];
    parts.extend(attachments.iter().map(|part| {
        json!({"partId": part, "mimeType": "application/pdf", "filename": format!("{part}.pdf"),
               "body": {"attachmentId": format!("fetch-{id}-{part}"), "size": 3}})
    }));
    let headers = [
        ("From", format!("Sender {id} <{id}@example.org>")),
        ("To", "Ann <ann@example.com>".into()),
        ("Subject", format!("About {thread}")),
    ];
    let headers: Vec<Value> = headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({"id": id, "threadId": thread, "labelIds": labels, "historyId": at.to_string(), "snippet": format!("begins {id}"),
           "internalDate": (at * 1000).to_string(), "sizeEstimate": 1234,
           "payload": {"partId": "", "mimeType": "multipart/mixed", "filename": "", "headers": headers, "parts": parts}})
}

/// A message as `format=minimal` has it.
pub fn minimal(id: &str, thread: &str, history: i64, labels: &[&str]) -> Value {
    json!({"id": id, "threadId": thread, "labelIds": labels, "historyId": history.to_string()})
}

/// As Gmail writes it: URL-safe, with padding.
pub fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = |value: u32| char::from(DIGITS[(value & 63) as usize]);
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let value = chunk.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits: Vec<char> = [18, 12, 6, 0].map(|shift| digit(value >> shift)).into();
        text.extend(&digits[..=chunk.len()]);
        text.push_str(&"=="[chunk.len() - 1..]);
    }
    text
}

/// What `mail_threads` says of each thread, and what its messages say, which must be the same.
pub fn facts(client: &mut impl GenericClient) -> Result<(Vec<String>, Vec<String>)> {
    let said = "SELECT concat_ws('|', provider_thread_id, message_count, has_attachments, first_message_at, last_message_at, is_read,
                       array_to_string(label_ids, ','), array_to_string(participant_emails, ','), subject, snippet)
                FROM mail_threads ORDER BY provider_thread_id";
    let meant = "SELECT concat_ws('|', t.provider_thread_id, count(m.message_id), coalesce(bool_or(m.has_attachments), false),
                       min(coalesce(m.internal_date, m.sent_at)), max(coalesce(m.internal_date, m.sent_at)),
                       count(*) FILTER (WHERE 'UNREAD' = ANY (m.label_ids)) = 0,
                       (SELECT coalesce(string_agg(l, ',' ORDER BY l), '') FROM (SELECT DISTINCT unnest(x.label_ids) COLLATE \"C\" AS l FROM mail_messages x
                          WHERE x.thread_id = t.thread_id) l),
                       (SELECT coalesce(string_agg(e, ',' ORDER BY e), '') FROM (SELECT DISTINCT unnest(x.from_email || x.to_emails || x.cc_emails || x.bcc_emails)
                          COLLATE \"C\" AS e FROM mail_messages x WHERE x.thread_id = t.thread_id) e),
                       (SELECT x.subject FROM mail_messages x WHERE x.thread_id = t.thread_id AND x.subject <> ''
                          ORDER BY coalesce(x.internal_date, x.sent_at), x.provider_message_id LIMIT 1),
                       (SELECT x.snippet FROM mail_messages x WHERE x.thread_id = t.thread_id AND x.snippet <> ''
                          ORDER BY coalesce(x.internal_date, x.sent_at) DESC NULLS LAST, x.provider_message_id DESC LIMIT 1))
                FROM mail_threads t LEFT JOIN mail_messages m ON m.thread_id = t.thread_id
                GROUP BY t.thread_id ORDER BY t.provider_thread_id";
    Ok((crate::promo::texts(client, said)?, crate::promo::texts(client, meant)?))
}
