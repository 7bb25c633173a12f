//! Uploads: what they take, by which key, and what a match changes.

use super::{ORG, OTHER_ORG, agents, facebook, install, told};
use anyhow::{Result, anyhow};
use once_tests::postgres::GenericClient;
use once_tests::promo::{call, imported, refused_well, text, texts};
use once_tests::wait::{pid, until_blocked};
use once_tests::{Value, json};
use std::thread;

const LEAD: &str = "SELECT concat_ws('|', client_name, phone_number, phone_number_raw, email, external_lead_id, source, campaign_id, campaign_name,
        ad_id, adset_id, form_id, form_name, is_organic, platform, lead_created_time AT TIME ZONE 'UTC', lead_status, extra::text)
    FROM leads ORDER BY external_lead_id";

/// Everything about leads but ids, times of the database, and jobs.
fn content(client: &mut impl GenericClient) -> Result<Vec<String>> {
    texts(
        client,
        "SELECT concat((to_jsonb(l) - '{lead_id,import_job_id,created_at,assigned_user_id}'::text[])::text,
                ARRAY(SELECT s.source FROM lead_sources s WHERE s.lead_id = l.lead_id ORDER BY 1),
                ARRAY(SELECT t.tag FROM lead_tags t WHERE t.lead_id = l.lead_id ORDER BY 1),
                (SELECT count(*) FROM lead_assignments a WHERE a.lead_id = l.lead_id))
         FROM leads l ORDER BY phone_number",
    )
}

/// A sheet comes as the export has it, its columns in whatever order; what no column takes is in extra.
#[test]
fn a_sheet_of_facebook_s_is_taken_as_it_is() -> Result<()> {
    let (_db, mut client) = install("leads_sheet")?;
    let sheet = r#"[
        {"id": "l:1001", "created_time": "2024-05-01T09:13:22+08:00", "ad_id": "ag:23845", "ad_name": "May", "adset_id": "as:23846",
         "adset_name": "KV", "campaign_id": "c:23847", "campaign_name": "Sale", "form_id": "f:23848", "form_name": "Ask us",
         "is_organic": "false", "platform": "fb", "email": "Ann@Example.COM", "full_name": "Ann  Tan", "phone_number": "p:+60123456789",
         "lead_status": "CREATED", "org_id": "ORG", "source": "facebook", "what_is_your_budget?": 1000.50, "inbox_url": ""},
        {"org_id": "ORG", "source": "facebook", "phone_number": "p:012-345 6780", "is_organic": "TRUE", "full_name": "Bob", "platform": "ig",
         "lead_status": "CREATED", "id": "1002", "form_id": "f:23848", "campaign_id": "", "created_time": "2024-05-01 09:14", "email": "bob at home"}]"#
        .replace("ORG", &ORG.to_string());
    let rows: Value = sheet.parse()?;
    assert_eq!(told(&mut client, "leads", &rows)?, "inserted inserted");
    let expected = [
        r#"Ann Tan|+60123456789|p:+60123456789|ann@example.com|1001|facebook|23847|Sale|23845|23846|23848|Ask us|f|fb|2024-05-01 01:13:22|CREATED|{"what_is_your_budget?": 1000.5}"#,
        "Bob|+60123456780|p:012-345 6780|1002|facebook|23848|t|ig|2024-05-01 01:14:00|CREATED",
    ];
    assert_eq!(texts(&mut client, LEAD)?, expected);
    let raw = "SELECT string_agg(concat_ws('|', coalesce(email, 'none'), email_raw, split_part(phone_number_version, '/', 1)), ' ' ORDER BY external_lead_id) FROM leads";
    assert_eq!(text(&mut client, raw)?, "ann@example.com|Ann@Example.COM|phone none|bob at home|phone");
    let answer = call(&mut client, "ingest('leads', $1)", &[&rows])?;
    assert_eq!((&answer["duplicate"], &answer["ignored_fields"]), (&json!(2), &json!(null)), "{answer}");
    Ok(())
}

/// By the source's id, then the address, then the phone; of a sheet the first lead wins, whoever else a row resembles.
#[test]
fn a_match_of_a_sheet_is_a_duplicate() -> Result<()> {
    let (_db, mut client) = install("leads_order")?;
    let first = json!([
        facebook(1, "0123456701", "a@x.com"),
        facebook(2, "0123456702", "b@x.com"),
        facebook(3, "0123456703", "")
    ]);
    assert_eq!(told(&mut client, "leads", &first)?, "inserted inserted inserted");
    let before = content(&mut client)?;
    let again = json!([
        // Each finds a different lead by each of its keys, or by some of them.
        facebook(1, "0123456703", "b@x.com"),
        facebook(9, "0123456703", "b@X.COM"),
        facebook(9, "0123456703", "c@x.com"),
        facebook(3, "0123456709", ""),
        facebook(8, "0123456708", "not an address"),
        facebook(8, "0123456707", "z@x.com"),
        facebook(7, "0123456708", "y@x.com"),
    ]);
    let expected = "duplicate:source, external_lead_id duplicate:email duplicate:phone_number duplicate:source, external_lead_id \
                    inserted duplicate:source, external_lead_id duplicate:phone_number";
    assert_eq!(told(&mut client, "leads", &again)?, expected);
    assert_eq!(content(&mut client)?[..3], before);
    // The same keys are another's elsewhere, and of another source.
    let mut other = facebook(1, "0123456701", "a@x.com");
    other["org_id"] = json!(OTHER_ORG.to_string());
    let mut google = facebook(1, "0123456706", "");
    google["source"] = json!("google");
    assert_eq!(told(&mut client, "leads", &json!([other, google]))?, "inserted inserted");
    Ok(())
}

/// What messaging knows of a lead is added to it: values where it has some, sources and tags beside those that are there.
#[test]
fn tiktok_and_wsapme_complete_a_lead() -> Result<()> {
    let (_db, mut client) = install("leads_merge")?;
    agents(&mut client, ORG, &["Ann"])?;
    let mut lead = facebook(1, "0123456701", "a@x.com");
    (lead["tags"], lead["asked"]) = (json!(["may"]), json!("price"));
    assert_eq!(told(&mut client, "leads", &json!([lead]))?, "inserted");
    let tiktok = json!({"org_id": ORG.to_string(), "source": "tiktok", "lead_external_id": "T1", "phone_number": "+60 12-345 6701", "full_name": "Lead One",
                        "email": "", "campaign_name": null, "interest_level": "high", "tags": ["hot", "may"], "asked": "colour", "city": "Ipoh"});
    assert_eq!(told(&mut client, "leads_tiktok", &json!([tiktok]))?, "updated:phone_number");
    let wsapme =
        json!({"org_id": ORG.to_string(), "phone_number": "60123456701", "lead_status": "CONTACTED", "tags": "chat"});
    assert_eq!(told(&mut client, "leads_wsapme", &json!([wsapme]))?, "updated:phone_number");
    let lead = "SELECT concat_ws('|', client_name, phone_number, phone_number_raw, email, external_lead_id, source, campaign_name, lead_status,
                       interest_level, extra::text, ARRAY(SELECT s.source FROM lead_sources s ORDER BY 1), ARRAY(SELECT t.tag FROM lead_tags t ORDER BY 1),
                       (SELECT count(*) FROM lead_assignments)) FROM leads";
    let expected = r#"Lead One|+60123456701|0123456701|a@x.com|1|facebook|Sale|CONTACTED|high|{"city": "Ipoh", "asked": "price"}|{facebook,tiktok}|{chat,hot,may}|1"#;
    assert_eq!(text(&mut client, lead)?, expected);
    // Both again change nothing; a lead that is new to them is one.
    assert_eq!(told(&mut client, "leads_tiktok", &json!([tiktok]))?, "unchanged:phone_number");
    assert_eq!(told(&mut client, "leads_wsapme", &json!([wsapme]))?, "unchanged:phone_number");
    assert_eq!(
        told(&mut client, "leads_wsapme", &json!([{"org_id": ORG.to_string(), "phone_number": "0123456702"}]))?,
        "inserted"
    );
    for (target, row, reason) in [
        (
            "leads_tiktok",
            json!({"org_id": ORG.to_string(), "lead_external_id": "T2", "source": "tiktok"}),
            "phone_number is missing",
        ),
        (
            "leads_tiktok",
            json!({"org_id": ORG.to_string(), "phone_number": "0123456703", "source": "tiktok"}),
            "lead_external_id is missing",
        ),
        (
            "leads_tiktok",
            json!({"org_id": ORG.to_string(), "phone_number": "0123456703", "lead_external_id": "T2"}),
            "source is missing",
        ),
        ("leads_wsapme", json!({"org_id": ORG.to_string(), "full_name": "Nobody"}), "phone_number is missing"),
        ("leads_wsapme", json!({"phone_number": "0123456703"}), "org_id is missing"),
    ] {
        let answer = call(&mut client, "ingest($1, $2)", &[&target, &json!([row])])?;
        assert_eq!(answer["errors"][0]["reason"], reason, "{target} {row}: {answer}");
    }
    Ok(())
}

/// The row that is not taken is told why, by the name of its own field, and kept until its cause is mended.
#[test]
fn a_row_without_what_it_takes_is_named() -> Result<()> {
    let (_db, mut client) = install("leads_rejected")?;
    let without = |field: &str, value: Value| {
        let mut row = facebook(5, "0123456705", "e@x.com");
        row[field] = value;
        row
    };
    let mut nameless = facebook(6, "0123456706", "");
    nameless.as_object_mut().map(|row| row.remove("full_name"));
    let rows = json!([
        without("id", json!(" ")),
        without("id", json!("l:")),
        nameless,
        without("phone_number", json!("p:")),
        without("phone_number", json!("p:ask her")),
        without("phone_number", json!("6.01235E+10")),
        without("created_time", json!("1 May")),
        without("is_organic", json!("maybe")),
        without("assignment", json!("lottery")),
        facebook(5, "0123456705", "e@x.com"),
    ]);
    let answer = call(&mut client, "ingest('leads', $1)", &[&rows])?;
    let reasons: Vec<&str> =
        answer["errors"].as_array().into_iter().flatten().filter_map(|error| error["reason"].as_str()).collect();
    let expected = [
        "id is missing",
        "id is missing",
        "full_name is missing",
        "phone_number is not a phone number of region MY or in international form",
        "phone_number is not a phone number of region MY or in international form",
        "phone_number is a number in a spreadsheet's exponent form, which has lost digits",
        "created_time is not a time written YYYY-MM-DDTHH:MM:SS",
        "is_organic is not true or false",
        "new row for relation \"leads\" violates check constraint \"leads_assignment_check\"",
    ];
    assert_eq!((reasons.as_slice(), &answer["inserted"]), (&expected[..], &json!(1)), "{answer}");
    assert_eq!(
        text(&mut client, "SELECT count(*)::text FROM once.import_rejects WHERE original ->> 'source' = 'facebook'")?,
        "9"
    );
    Ok(())
}

/// Whoever comes second finds the lead, by whichever key, once the first has it.
#[test]
fn two_sessions_bring_one_lead_by_different_keys() -> Result<()> {
    let (db, mut owner) = install("leads_race")?;
    agents(&mut owner, ORG, &["Ann", "Bob"])?;
    for (target, expected) in [("leads", "duplicate:email inserted"), ("leads_tiktok", "updated:email inserted")] {
        owner.batch_execute("TRUNCATE leads, lead_sources, lead_tags, lead_assignments")?;
        let (mut other, mut client) = (db.client()?, db.client()?);
        // Not by the extension: nothing but the unique keys keep the two apart.
        let mut transaction = other.transaction()?;
        transaction
            .execute("INSERT INTO leads (org_id, email, client_name) VALUES ($1, 'a@x.com', 'By hand')", &[&ORG])?;
        let process = pid(&mut client)?;
        let mut rows = json!([facebook(1, "0123456701", "a@x.com"), facebook(2, "0123456702", "")]);
        for row in rows.as_array_mut().into_iter().flatten() {
            row["lead_external_id"] = row["id"].clone();
        }
        let waits = thread::spawn(move || told(&mut client, target, &rows));
        until_blocked(&mut owner, process)?;
        transaction.commit()?;
        assert_eq!(waits.join().map_err(|_| anyhow!("a thread panicked"))??, expected);
        assert_eq!(text(&mut owner, "SELECT concat_ws(' ', count(*), count(assigned_user_id)) FROM leads")?, "2 2");
    }
    let twice = "INSERT INTO leads (org_id, phone_number) SELECT org_id, phone_number FROM leads WHERE phone_number IS NOT NULL";
    let error = owner.execute(twice, &[]).err();
    assert_eq!(error.as_ref().and_then(once_tests::sqlstate), Some("23505"));
    Ok(())
}

/// An upload is undone with all that hangs on its leads; one that only completed them gives back what they had.
#[test]
fn an_upload_is_undone() -> Result<()> {
    let (_db, mut client) = install("leads_undone")?;
    agents(&mut client, ORG, &["Ann", "Bob"])?;
    client.batch_execute(&format!(
        "INSERT INTO leads (org_id, client_name, phone_number) VALUES ('{ORG}', 'Mine', '+60123456709')"
    ))?;
    let before = content(&mut client)?;
    let mut rows = json!([facebook(1, "0123456701", "a@x.com"), facebook(2, "0123456702", "b@x.com")]);
    rows[0]["tags"] = json!(["may", "new"]);
    let sheet = imported(&call(&mut client, "ingest('leads', $1)", &[&rows])?)?;
    let between = content(&mut client)?;
    let users: Vec<String> = texts(&mut client, "SELECT user_id::text FROM lead_users ORDER BY name")?;
    let rows = json!([
        {"org_id": ORG.to_string(), "source": "tiktok", "lead_external_id": "T1", "phone_number": "0123456701", "full_name": "One", "tags": "hot", "assigned_user_ids": users},
        {"org_id": ORG.to_string(), "source": "tiktok", "lead_external_id": "T9", "phone_number": "0123456709", "full_name": "Nine"},
        {"org_id": ORG.to_string(), "source": "tiktok", "lead_external_id": "T3", "phone_number": "0123456703"}]);
    assert_eq!(told(&mut client, "leads_tiktok", &json!([rows[1]]))?, "updated:phone_number");
    let nine = text(&mut client, "SELECT max(id::text) FROM once.import_jobs WHERE target = 'leads_tiktok'")?;
    let tiktok = imported(&call(&mut client, "ingest('leads_tiktok', $1)", &[&json!([rows[0], rows[2]])])?)?;
    assert_eq!(
        text(
            &mut client,
            "SELECT concat((SELECT count(*) FROM leads), (SELECT count(*) FROM lead_assignments), (SELECT count(*) FROM lead_tags))"
        )?,
        "453"
    );
    for (job, expected) in [(tiktok.to_string(), None), (nine, Some(&between)), (sheet.to_string(), Some(&before))] {
        let verified = call(&mut client, "verify_import_job($1::text::uuid)", &[&job])?;
        assert_eq!(verified["verified"], true, "{verified}");
        let undone = call(&mut client, "rollback_import_job($1::text::uuid)", &[&job])?;
        assert_eq!(
            (&undone["success"], &undone["kept"], &undone["errored"]),
            (&json!(true), &json!(0), &json!(0)),
            "{undone}"
        );
        if let Some(expected) = expected {
            assert_eq!(&content(&mut client)?, expected);
        }
    }
    let left = "SELECT concat_ws(' ', (SELECT count(*) FROM lead_sources), (SELECT count(*) FROM lead_tags), (SELECT count(*) FROM lead_assignments))";
    assert_eq!(text(&mut client, left)?, "0 0 1");
    Ok(())
}

#[test]
fn installing_twice_is_installing_once_and_a_prefix_another() -> Result<()> {
    let (_db, mut client) = install("leads_twice")?;
    agents(&mut client, ORG, &["Ann"])?;
    assert_eq!(told(&mut client, "leads", &json!([facebook(1, "0123456701", "")]))?, "inserted");
    let again = call(&mut client, "install_kit('leads', 'public')", &[])?;
    assert_eq!((&again["created"], &again["targets"]), (&json!([]), &json!(["leads", "leads_tiktok", "leads_wsapme"])));
    let prefixed = call(&mut client, "install_kit('leads', 'public', 'branch_of_petaling_jaya_')", &[])?;
    assert_eq!(prefixed["targets"][2], "branch_of_petaling_jaya_leads_wsapme");
    let user = "INSERT INTO branch_of_petaling_jaya_lead_users (org_id, name) VALUES ($1, 'Bob')";
    client.execute(user, &[&ORG])?;
    let rows = json!([{"org_id": ORG.to_string(), "phone_number": "0123456701", "tags": ["chat"], "source": "wsapme"}]);
    assert_eq!(told(&mut client, "branch_of_petaling_jaya_leads_wsapme", &rows)?, "inserted");
    let there = "SELECT concat_ws(' ', u.name, s.source, t.tag, r.last_user_id = u.user_id) FROM branch_of_petaling_jaya_leads l
        JOIN branch_of_petaling_jaya_lead_users u ON u.user_id = l.assigned_user_id JOIN branch_of_petaling_jaya_lead_sources s USING (lead_id)
        JOIN branch_of_petaling_jaya_lead_tags t USING (lead_id) JOIN branch_of_petaling_jaya_lead_rotations r ON r.org_id = l.org_id";
    assert_eq!(text(&mut client, there)?, "Bob wsapme chat t");
    client.batch_execute("CREATE SCHEMA other")?;
    assert_eq!(refused_well(&mut client, "SELECT once.install_kit('leads', 'other')", &[])?, "42710");

    let silent = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL
        UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL";
    assert_eq!(texts(&mut client, silent)?, [""; 0]);
    let unindexed = "SELECT concat(conrelid::regclass, ' ', conname) FROM pg_constraint f WHERE contype = 'f'
                     AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = f.conrelid AND i.indkey[0] = f.conkey[1])";
    assert_eq!(texts(&mut client, unindexed)?, [""; 0]);
    // Without the extension all of it stays, the turn too.
    client.batch_execute("DROP EXTENSION pg_once")?;
    client.execute("INSERT INTO leads (org_id, external_lead_id) VALUES ($1, '2')", &[&ORG])?;
    assert_eq!(super::given(&mut client)?, "1Ann 2Ann");
    Ok(())
}
