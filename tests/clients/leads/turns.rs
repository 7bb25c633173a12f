//! New leads are given to the active agents of their org, one after the other.

use super::{ORG, OTHER_ORG, agents, facebook, given, install, told};
use anyhow::{Result, anyhow, ensure};
use once_tests::postgres::Client;
use once_tests::promo::{call, text, texts};
use once_tests::wait::{pid, until_blocked};
use once_tests::{Value, json};
use std::thread;

/// Leads of these numbers and minutes, each with a phone of its own.
fn leads(numbers: impl IntoIterator<Item = u32>) -> Value {
    Value::Array(numbers.into_iter().map(|n| facebook(n, &format!("01234567{n:02}"), "")).collect())
}

fn by_hand(client: &mut Client, id: &str) -> Result<()> {
    client.execute("INSERT INTO leads (org_id, external_lead_id) VALUES ($1, $2)", &[&ORG, &id])?;
    Ok(())
}

/// In the order in which the leads were made, however they lie in the sheet; the next upload goes on where it left off.
#[test]
fn leads_are_given_in_turn() -> Result<()> {
    let (_db, mut client) = install("turns")?;
    agents(&mut client, ORG, &["A", "B", "C"])?;
    client.execute(
        "INSERT INTO lead_users (org_id, name, role) VALUES ($1, 'Boss', 'manager'), ($2, 'Theirs', 'agent')",
        &[&ORG, &OTHER_ORG],
    )?;
    told(&mut client, "leads", &leads([4, 1, 3, 2]))?;
    assert_eq!(given(&mut client)?, "1A 2B 3C 4A");
    told(&mut client, "leads", &leads([4, 5, 6]))?;
    assert_eq!(given(&mut client)?, "1A 2B 3C 4A 5B 6C");
    by_hand(&mut client, "7")?;
    // Open ones wait, and those that somebody has are left to him; neither moves the turn.
    let c = "INSERT INTO leads (org_id, external_lead_id, assignment, assigned_user_id) VALUES ($1, '8', 'open', NULL),
             ($1, '9', 'round_robin', (SELECT user_id FROM lead_users WHERE name = 'C'))";
    client.execute(c, &[&ORG])?;
    by_hand(&mut client, "9b")?;
    assert_eq!(given(&mut client)?, "1A 2B 3C 4A 5B 6C 7A 8- 9C 9bB");
    let listed = "SELECT string_agg(concat(l.external_lead_id, u.name), ' ' ORDER BY l.external_lead_id) FROM lead_assignments JOIN leads l USING (lead_id)
                  JOIN lead_users u USING (user_id)";
    assert_eq!(text(&mut client, listed)?, "1A 2B 3C 4A 5B 6C 7A 9bB");
    // Another org has agents and a turn of its own; its users can't be given our leads.
    let mut theirs = leads([1, 2]);
    for row in theirs.as_array_mut().into_iter().flatten() {
        row["org_id"] = json!(OTHER_ORG.to_string());
    }
    told(&mut client, "leads", &theirs)?;
    let of_theirs = "SELECT string_agg(DISTINCT u.name, ' ') FROM leads l JOIN lead_users u ON u.user_id = l.assigned_user_id WHERE l.org_id = $1";
    assert_eq!(client.query_one(of_theirs, &[&OTHER_ORG])?.get::<_, String>(0), "Theirs");
    let mixed =
        "UPDATE leads SET assigned_user_id = (SELECT user_id FROM lead_users WHERE name = 'Theirs') WHERE org_id = $1";
    let error = client.execute(mixed, &[&ORG]).err();
    assert_eq!(error.as_ref().and_then(once_tests::sqlstate), Some("23503"));
    Ok(())
}

/// The turn goes on after whoever was last, also when he is away or gone; new agents come last.
#[test]
fn agents_come_and_go() -> Result<()> {
    let (_db, mut client) = install("turns_agents")?;
    told(&mut client, "leads", &leads([1]))?;
    assert_eq!(given(&mut client)?, "1-", "no agent");
    agents(&mut client, ORG, &["A", "B", "C", "D"])?;
    told(&mut client, "leads", &leads([2, 3]))?;
    client.batch_execute("UPDATE lead_users SET active = false WHERE name = 'B'")?;
    told(&mut client, "leads", &leads([4]))?;
    // B is back; C, who was last, is gone for good, and his lead waits.
    client.batch_execute(
        "UPDATE lead_users SET active = true WHERE name = 'B'; DELETE FROM lead_users WHERE name = 'C'",
    )?;
    assert_eq!(given(&mut client)?, "1- 2A 3B 4-");
    client.execute("INSERT INTO lead_users (org_id, name) VALUES ($1, 'E')", &[&ORG])?;
    told(&mut client, "leads", &leads(10..16))?;
    assert_eq!(given(&mut client)?, "1- 10D 11E 12A 13B 14D 15E 2A 3B 4-");
    client.batch_execute("UPDATE lead_users SET active = false")?;
    told(&mut client, "leads", &leads([20]))?;
    client.batch_execute("UPDATE lead_users SET active = true WHERE name = 'A'")?;
    told(&mut client, "leads", &leads([21, 22]))?;
    assert!(given(&mut client)?.contains("20- 21A 22A"));
    Ok(())
}

/// A writer waits for the one before, and goes on after him; what that one takes back is free again.
#[test]
fn the_next_writer_goes_on_after_the_one_before() -> Result<()> {
    let (db, mut owner) = install("turns_waiting")?;
    agents(&mut owner, ORG, &["A", "B", "C"])?;
    // The first turn of an org ever, and one of many.
    for (end, before, expected) in [
        ("COMMIT", None, "1A 2B 3C"),
        ("ROLLBACK", None, "2A 3B"),
        ("COMMIT", Some("0"), "0A 1B 2C 3A"),
        ("ROLLBACK", Some("0"), "0A 2B 3C"),
    ] {
        owner.batch_execute("TRUNCATE leads, lead_assignments, lead_sources, lead_tags, lead_rotations")?;
        before.map_or(Ok(()), |id| by_hand(&mut owner, id))?;
        let (mut other, mut client) = (db.client()?, db.client()?);
        other.batch_execute("BEGIN")?;
        by_hand(&mut other, "1")?;
        let process = pid(&mut client)?;
        let waits = thread::spawn(move || told(&mut client, "leads", &leads([2, 3])));
        until_blocked(&mut owner, process)?;
        other.batch_execute(end)?;
        assert_eq!(waits.join().map_err(|_| anyhow!("a thread panicked"))??, "inserted inserted");
        assert_eq!(given(&mut owner)?, expected, "{end} {before:?}");
    }
    Ok(())
}

/// Many sessions at once, in two orgs: every lead has one agent, and no agent has more than one lead above another.
#[test]
fn many_writers_share_the_turn() -> Result<()> {
    const WRITERS: u32 = 6;
    const EACH: u32 = 15;
    let (db, mut owner) = install("turns_crowd")?;
    agents(&mut owner, ORG, &["A", "B", "C", "D", "E", "F", "G"])?;
    agents(&mut owner, OTHER_ORG, &["P", "Q", "R"])?;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for writer in 0..WRITERS {
            let mut client = db.client()?;
            threads.push(scope.spawn(move || {
                (0..EACH).try_for_each(|n| {
                    let n = 100 * writer + n;
                    // By hand, both orgs in one statement or one alone; and by uploads, which wait for each other anyhow.
                    if writer < 4 {
                        let insert = "INSERT INTO leads (org_id, external_lead_id, source) SELECT o, $1, 'hand' FROM unnest($2::uuid[]) o";
                        let orgs = if writer < 2 { vec![OTHER_ORG, ORG] } else { vec![ORG] };
                        client.execute(insert, &[&n.to_string(), &orgs])?;
                        return Ok(());
                    }
                    let rows = json!([facebook(n, &format!("01212{n:05}"), "")]);
                    let told = told(&mut client, "leads", &rows)?;
                    ensure!(told == "inserted", "{told}");
                    Ok(())
                })
            }));
        }
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    let spread = "SELECT concat_ws(' ', l.org_id = $1, max(l.n) - min(l.n) <= 1, sum(l.n))
        FROM (SELECT org_id, assigned_user_id, count(*) AS n FROM leads GROUP BY 1, 2) l GROUP BY l.org_id ORDER BY 1";
    let found: Vec<String> = owner.query(spread, &[&ORG])?.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, ["f t 30", "t t 90"]);
    let alike = "SELECT concat(count(*), bool_and(a.user_id = l.assigned_user_id)) FROM leads l LEFT JOIN lead_assignments a USING (lead_id)";
    assert_eq!(text(&mut owner, alike)?, "120t");
    Ok(())
}

/// Users that an upload names are added, whoever had the turn; unknown ones and another org's cost their row.
#[test]
fn uploads_add_users() -> Result<()> {
    let (_db, mut client) = install("turns_named")?;
    agents(&mut client, ORG, &["A", "B"])?;
    agents(&mut client, OTHER_ORG, &["P"])?;
    let ids = texts(&mut client, "SELECT user_id::text FROM lead_users ORDER BY name")?;
    let mut rows = leads(1..6);
    (rows[0]["assigned_user_ids"], rows[0]["assignment"]) = (json!([ids[0], ids[1]]), json!("open"));
    rows[1]["assigned_user_ids"] = json!(ids[1]);
    rows[2]["assigned_user_ids"] = json!(ids[2]);
    rows[3]["assigned_user_ids"] = json!("nobody");
    rows[4]["assigned_user_id"] = json!(ids[1]);
    let answer = call(&mut client, "ingest('leads', $1)", &[&rows])?;
    let faulty: Vec<_> = answer["errors"].as_array().into_iter().flatten().map(|error| error["row"].clone()).collect();
    assert_eq!(faulty, [json!(3), json!(4)], "{answer}");
    let listed = "SELECT string_agg(concat(l.external_lead_id, u.name), ' ' ORDER BY l.external_lead_id, u.name) FROM lead_assignments
                  JOIN leads l USING (lead_id) JOIN lead_users u USING (user_id)";
    assert_eq!(text(&mut client, listed)?, "1A 1B 2A 2B 5B");
    assert_eq!(given(&mut client)?, "1- 2A 5B");
    Ok(())
}

/// Ten thousand in one statement, from an empty table and without statistics: each agent has his share, soon.
#[test]
fn ten_thousand_at_once() -> Result<()> {
    let (_db, mut client) = install("turns_many")?;
    agents(&mut client, ORG, &["A", "B", "C"])?;
    client.batch_execute("SET statement_timeout = '20s'")?;
    let insert =
        "INSERT INTO leads (org_id, external_lead_id, source) SELECT $1, n, 'hand' FROM generate_series(1, 10000) n";
    client.execute(insert, &[&ORG])?;
    let shares = "SELECT string_agg(concat(name, n), ' ' ORDER BY name) FROM (SELECT u.name, count(*) AS n FROM leads l
                  JOIN lead_users u ON u.user_id = l.assigned_user_id GROUP BY 1) s";
    assert_eq!(text(&mut client, shares)?, "A3334 B3333 C3333");
    Ok(())
}
