//! Whether a mailbox has anything twice.

use super::kit::Kit;
use crate::error::{OnceError, Result};
use crate::spi;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};

/// Counts what a mailbox has, and what of it is there more than once: by Gmail's ids of threads and messages, and by message and part
/// of attachments.
///
/// Gives `{mailbox_id, threads, messages, attachments, attachments_stored, duplicates: {threads, messages, attachments}, valid}`.
/// Unique indexes keep the duplicates at 0; what is counted is the tables.
///
/// # Errors
/// `22004` for a NULL, `P0002` for an unknown mailbox, `42501` without the rights, and what the target raises.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn verify_mail_idempotency(
    mailbox_id: Option<Uuid>,
    target: default!(Option<String>, "'mail_messages'"),
) -> std::result::Result<JsonB, ErrorReport> {
    let id = mailbox_id.ok_or(OnceError::NullArgument { name: "mailbox_id".into() })?;
    Ok(verify(&Kit::of(target)?, id)?)
}

fn verify(kit: &Kit, id: Uuid) -> Result<JsonB> {
    let mailbox = kit.mailbox(id)?;
    for table in ["mail_threads", super::MAIN, "mail_attachments"] {
        kit.require(table, &["SELECT"])?;
    }
    let counts = |tables: &str, key: &str, more: &str| {
        format!(
            "(SELECT jsonb_build_object('all', coalesce(sum(n), 0), 'more', coalesce(sum(stored), 0), 'twice', coalesce(sum(n - 1), 0)) \
             FROM (SELECT count(*) AS n, count({more}) AS stored FROM {tables} WHERE m.org_id = $1 AND m.mailbox_id = $2 GROUP BY {key}) k)"
        )
    };
    let messages = format!("{} m", kit.table(super::MAIN));
    let attachments = format!("{messages} JOIN {} a ON a.message_id = m.message_id", kit.table("mail_attachments"));
    let sql = format!(
        "SELECT jsonb_build_object('mailbox_id', $2, 'threads', t -> 'all', 'messages', m -> 'all', 'attachments', a -> 'all', \
         'attachments_stored', a -> 'more', \
         'duplicates', jsonb_build_object('threads', t -> 'twice', 'messages', m -> 'twice', 'attachments', a -> 'twice'), \
         'valid', ARRAY[t -> 'twice', m -> 'twice', a -> 'twice'] <@ ARRAY[jsonb '0']) \
         FROM (SELECT {} AS t, {} AS m, {} AS a) c",
        counts(&format!("{} m", kit.table("mail_threads")), "m.provider_thread_id", "NULL::text"),
        counts(&messages, "m.provider_message_id", "NULL::text"),
        // By the messages, which have an index by the mailbox.
        counts(&attachments, "a.message_id, a.provider_attachment_id", "a.sha256")
    );
    spi::fresh_one(&sql, &[mailbox.org.into(), mailbox.id.into()], |row| row.need(1))
}
