//! What roles need that work with mail.

use super::kit::Kit;
use crate::error::{OnceError, Result};
use crate::rights;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// What a kind of role may do with each table.
const ACCESS: [(&str, &str, &str); 6] = [
    ("mailboxes", "SELECT, INSERT, UPDATE", "SELECT"),
    ("mail_threads", "SELECT, INSERT, UPDATE, DELETE", "SELECT"),
    (super::MAIN, "SELECT, INSERT, UPDATE, DELETE", "SELECT"),
    ("mail_attachments", "SELECT, INSERT, UPDATE, DELETE", "SELECT"),
    ("mail_blobs", "SELECT, INSERT", "SELECT"),
    ("ledger_events", "SELECT, INSERT", "SELECT"),
];

/// Grants a role what it needs to synchronise mailboxes (`service`) or to read them (`reader`). Which orgs' it may see the
/// table `mail_members` says.
///
/// # Errors
/// `22004` for a NULL, `22023` for another kind, `42704` for an unknown role, `42501` where the caller can't grant it, and what
/// the target raises.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn grant_mail_access(
    role: Option<String>,
    kind: Option<String>,
    target: default!(Option<String>, "'mail_messages'"),
) -> std::result::Result<(), ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    Ok(grant(role.ok_or_else(|| null("role"))?, kind.ok_or_else(|| null("kind"))?, target)?)
}

fn grant(role: String, kind: String, target: Option<String>) -> Result<()> {
    let kit = Kit::of(target)?;
    let of_kind = |(table, service, reader): &(&str, &'static str, &'static str)| match kind.as_str() {
        "service" => Ok((kit.table(table), *service)),
        "reader" => Ok((kit.table(table), *reader)),
        _ => Err(OnceError::UnknownAccess { kind: kind.clone() }),
    };
    let tables = ACCESS.iter().map(of_kind).collect::<Result<Vec<_>>>()?;
    rights::grant_tables(&role, &tables)
}
