//! The leads kit's functions: feeds on its targets, as those call them who work with leads.

use crate::backend::{self, Jsonb};
use crate::error::OnceError;
use crate::feeds::{self, Feed};
use crate::rows::Target;
use once_core::feed::{FeedSpec, Notify};
use once_core::ident::{Relation, literal};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

/// Whose leads they are where nothing says: an installation for one org needs no other.
const NO_ORG: &str = "00000000-0000-0000-0000-000000000000";

/// Takes leads in by a configuration, which is a feed on a target of the leads kit. Gives what `run_feed` gives.
///
/// # Errors
/// As `run_feed`, and `42809` for another feed.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn import_leads(
    configuration: Option<String>,
    rows: default!(Option<Jsonb>, "NULL"),
) -> std::result::Result<JsonB, ErrorReport> {
    let configuration = configuration.ok_or(OnceError::NullArgument { name: "configuration".into() })?;
    let feed = Feed::named(Some(configuration))?;
    if users(&feed.target).is_none() {
        return Err(OnceError::NoLeads { name: feed.name, relation: feed.target.table.relation.clone() }.into());
    }
    Ok(JsonB(feeds::run(&feed, rows)?))
}

/// The table of the kit's users beside its leads; `None` for the target of another table.
fn users(target: &Target) -> Option<Relation> {
    let relation = &target.table.relation;
    let users = relation.beside(&format!("{}lead_users", relation.name.strip_suffix("leads")?));
    backend::relation_oid(&users).map(|_| users)
}

/// Fills in what a feed on the kit's leads does not say: whose leads they are, what their source is called, and that all active
/// users of the org are told of new ones.
pub fn complete(name: &str, target: &Target, spec: &mut FeedSpec) {
    let Some(users) = users(target) else { return };
    let org = spec.set.entry("org_id").or_insert_with(|| json!(NO_ORG)).clone();
    let org = org.as_str().map_or_else(|| org.to_string(), String::from);
    if spec.format.is_none() {
        spec.set.entry("source").or_insert_with(|| json!(name));
    }
    spec.time.get_or_insert_with(|| "created_time".into());
    spec.notify.get_or_insert_with(Notify::default).recipients.get_or_insert_with(|| {
        format!("SELECT u.user_id FROM {users} u WHERE u.active AND u.org_id::text = {}", literal(&org))
    });
}
