//! The kit `leads`: what advertising and messaging send, each lead once, and new ones given to agents in turn.

#[path = "leads/turns.rs"]
mod turns;
#[path = "leads/uploads.rs"]
mod uploads;

use anyhow::Result;
use once_tests::postgres::{Client, GenericClient};
use once_tests::promo::{call, text};
use once_tests::{Db, Uuid, Value, json};

const ORG: Uuid = Uuid::from_u128(0xaaaa_aaaa_aaaa_4aaa_8aaa_aaaa_aaaa_aaaa);
const OTHER_ORG: Uuid = Uuid::from_u128(0xbbbb_bbbb_bbbb_4bbb_8bbb_bbbb_bbbb_bbbb);

/// A database with the kit in schema `public`.
fn install(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('leads', 'public')", &[])?;
    Ok((db, client))
}

/// Agents of an org, who came in this order.
fn agents(client: &mut impl GenericClient, org: Uuid, names: &[&str]) -> Result<()> {
    let insert = "INSERT INTO lead_users (org_id, name, created_at) \
                  SELECT $1, u.name, '2024-01-01'::timestamptz + u.n * interval '1 day' FROM unnest($2::text[]) WITH ORDINALITY u (name, n)";
    client.execute(insert, &[&org, &names])?;
    Ok(())
}

/// A lead of an ad, as a sheet of Facebook's export has it, with the org and the source that the uploader adds.
fn facebook(number: u32, phone: &str, email: &str) -> Value {
    json!({"org_id": ORG.to_string(), "source": "facebook", "id": format!("l:{number}"), "created_time": format!("2024-05-01T09:{:02}:22+08:00", number % 60),
           "ad_id": "ag:23845", "ad_name": "May", "adset_id": "as:23846", "adset_name": "Klang Valley", "campaign_id": "c:23847",
           "campaign_name": "Sale", "form_id": "f:23848", "form_name": "Ask us", "is_organic": "false", "platform": "fb",
           "email": email, "full_name": format!("Lead {number}"), "phone_number": phone, "lead_status": "CREATED"})
}

/// What became of each row, one after the other, with the key that found it.
fn told(client: &mut impl GenericClient, target: &str, rows: &Value) -> Result<String> {
    let sql =
        "SELECT string_agg(concat_ws(':', outcome, matched_by), ' ' ORDER BY row_number) FROM once.ingest_rows($1, $2)";
    Ok(client.query_one(sql, &[&target, rows])?.try_get(0)?)
}

/// Who has each lead, by the leads' external ids; "-" where nobody has.
fn given(client: &mut impl GenericClient) -> Result<String> {
    text(
        client,
        "SELECT coalesce(string_agg(concat(l.external_lead_id, coalesce(u.name, '-')), ' ' ORDER BY l.external_lead_id), '')
         FROM leads l LEFT JOIN lead_users u ON u.user_id = l.assigned_user_id",
    )
}
