//! The ledger: what is altered, missing or moved is found, whoever did it.

use anyhow::Result;
use once_tests::mail::{ORG, OTHER_ORG, full, ingest, install};
use once_tests::postgres::Client;
use once_tests::promo::{call, refused, refused_well, text};
use once_tests::{Value, json};

/// As the superuser does who has the triggers out of his way.
fn tampered(client: &mut Client, sql: &str) -> Result<()> {
    client.batch_execute(&format!("ALTER TABLE ledger_events DISABLE TRIGGER USER; {sql}"))?;
    Ok(())
}

fn verify(client: &mut Client, expected: Option<&str>) -> Result<Value> {
    call(client, "verify_ledger($1, $2)", &[&ORG, &expected])
}

#[test]
fn nobody_changes_what_is_written() -> Result<()> {
    let (_db, mut client, mailbox) = install("ledger_kept")?;
    ingest(&mut client, mailbox, &[full("m", "t", 1, &[], &[])])?;
    for role in ["origin", "replica"] {
        client.batch_execute(&format!("SET session_replication_role = {role}"))?;
        for sql in [
            "UPDATE ledger_events SET payload = '{}'",
            "DELETE FROM ledger_events WHERE number = 1",
            "TRUNCATE ledger_events",
            "TRUNCATE ledger_events CASCADE",
        ] {
            assert_eq!(refused_well(&mut client, sql, &[])?, "55000", "{role}: {sql}");
        }
    }
    Ok(())
}

#[test]
fn the_first_event_that_is_not_as_it_was_is_named() -> Result<()> {
    let harms: [(&str, i64, &str); 7] = [
        ("UPDATE ledger_events SET payload = '{\"x\": 1}' WHERE number = 3", 3, "content"),
        ("UPDATE ledger_events SET occurred_at = occurred_at + interval '1 microsecond' WHERE number = 4", 4, "content"),
        ("UPDATE ledger_events SET actor = 'mallory' WHERE number = 1", 1, "content"),
        ("DELETE FROM ledger_events WHERE number = 2", 2, "missing"),
        ("DELETE FROM ledger_events WHERE number <= 2", 1, "missing"),
        (
            "UPDATE ledger_events SET number = 1000 + number WHERE number IN (2, 3);
             UPDATE ledger_events SET number = 1005 - number WHERE number > 1000",
            2,
            "content",
        ),
        // Written anew with a hash of its own, so that only the next one shows it.
        (
            "UPDATE ledger_events SET actor = 'mallory' WHERE number = 3;
             UPDATE ledger_events SET hash = encode(sha256(convert_to(previous_hash || jsonb_build_array(org_id, number,
               to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), event_type, actor, entity_type,
               entity_id, correlation_id, payload)::text, 'UTF8')), 'hex') WHERE number = 3",
            4,
            "follow",
        ),
    ];
    for (harm, number, reason) in harms {
        let (_db, mut client, mailbox) = install("ledger_harm")?;
        ingest(&mut client, mailbox, &[full("m", "t", 1, &[], &[]), full("n", "t", 2, &[], &[])])?;
        assert_eq!(verify(&mut client, None)?["valid"], true);
        tampered(&mut client, harm)?;
        let found = verify(&mut client, None)?;
        assert_eq!((&found["valid"], &found["first_bad"]), (&json!(false), &json!(number)), "{harm}: {found}");
        assert!(found["reason"].as_str().is_some_and(|said| said.contains(reason)), "{harm}: {found}");
    }
    Ok(())
}

/// Who may add events adds no other than the next, and what was made of NULLs is named like all else.
#[test]
fn nobody_breaks_the_chain_by_hand() -> Result<()> {
    let (_db, mut client, mailbox) = install("ledger_forged")?;
    ingest(&mut client, mailbox, &[full("m", "t", 1, &[], &[])])?;
    let forged = |number: &str, previous: &str, hash: &str| {
        format!(
            "INSERT INTO ledger_events (org_id, number, occurred_at, event_type, actor, previous_hash, hash)
             SELECT org_id, {number}, now(), 'forged', 'mallory', {previous}, {hash} FROM ledger_events WHERE number = 4"
        )
    };
    for (number, previous, hash) in [
        ("5", "hash", "hash"),
        ("1000", "hash", "hash"),
        ("9223372036854775807", "hash", "hash"),
        ("5", "repeat('0', 64)", "hash"),
    ] {
        assert_eq!(refused_well(&mut client, &forged(number, previous, hash), &[])?, "55000", "{number} {previous}");
    }
    tampered(
        &mut client,
        "ALTER TABLE ledger_events ALTER hash DROP NOT NULL; UPDATE ledger_events SET hash = NULL WHERE number = 2",
    )?;
    let found = verify(&mut client, None)?;
    assert_eq!((&found["valid"], &found["first_bad"]), (&json!(false), &json!(2)), "{found}");
    Ok(())
}

#[test]
fn a_cut_tail_is_seen_by_who_kept_the_head() -> Result<()> {
    let (_db, mut client, mailbox) = install("ledger_cut")?;
    let first = ingest(&mut client, mailbox, &[full("m", "t", 1, &[], &[])])?;
    let second = ingest(&mut client, mailbox, &[full("n", "t", 2, &[], &[])])?;
    let (first, second) = (first["ledger_head"].as_str(), second["ledger_head"].as_str());
    // Events have come since: the earlier head is still in the ledger.
    assert_eq!(verify(&mut client, first)?["valid"], true);
    assert_eq!(verify(&mut client, second)?["valid"], true);
    tampered(&mut client, "DELETE FROM ledger_events WHERE number > 4")?;
    assert_eq!(verify(&mut client, None)?["valid"], true);
    assert_eq!(verify(&mut client, first)?["valid"], true);
    let found = verify(&mut client, second)?;
    assert_eq!(
        (&found["valid"], &found["first_bad"], &found["events"]),
        (&json!(false), &json!(5), &json!(4)),
        "{found}"
    );
    Ok(())
}

/// The formula of the table's comment, in plain SQL, and each org's chain for itself.
#[test]
fn the_chain_is_what_its_comment_says() -> Result<()> {
    let (_db, mut client, mailbox) = install("ledger_formula")?;
    ingest(&mut client, mailbox, &[full("m", "t", 1, &[], &[])])?;
    client.execute("SET TimeZone = 'Asia/Kathmandu'; ", &[])?;
    client.execute("SET DateStyle = 'German'", &[])?;
    let append = "append_ledger_event($1, 'note.added', 'ann', 'message', 'x', 'c', $2)";
    let append = format!("SELECT number FROM once.{append}");
    let payload: Value =
        serde_json_from(r#"{"text": "a \"quote\" – ü", "n": 12345678901234567890.10, "deep": {"b": [1, null]}}"#)?;
    for (org, number) in [(ORG, 5_i64), (OTHER_ORG, 1)] {
        assert_eq!(client.query_one(&append, &[&org, &payload])?.try_get::<_, i64>(0)?, number);
    }
    client.batch_execute("RESET TimeZone; RESET DateStyle")?;
    for org in [ORG, OTHER_ORG] {
        assert_eq!(call(&mut client, "verify_ledger($1)", &[&org])?["valid"], true);
    }
    let wrong = "SELECT count(*)::text FROM (SELECT *, lag(hash, 1, repeat('0', 64)) OVER (PARTITION BY org_id ORDER BY number) AS before,
        encode(sha256(convert_to(previous_hash || jsonb_build_array(org_id, number,
          to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), event_type, actor, entity_type,
          entity_id, correlation_id, payload)::text, 'UTF8')), 'hex') AS meant FROM ledger_events) e
        WHERE before <> previous_hash OR hash <> meant";
    assert_eq!(text(&mut client, wrong)?, "0");
    assert_eq!(
        refused(&mut client, "SELECT once.append_ledger_event($1, 'x', payload => NULL)", &[&ORG])?.code().code(),
        "22004"
    );
    Ok(())
}

fn serde_json_from(text: &str) -> Result<Value> {
    Ok(text.parse()?)
}
