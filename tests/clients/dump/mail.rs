//! The kit `mail` in a dump and without the extension: the ledger is whole, facts go on being kept, and a sync goes on.

use anyhow::Result;
use once_tests::mail::{ORG, facts, fields, full, ingest, mailbox, minimal};
use once_tests::postgres::Client;
use once_tests::promo::{call, refused, text, texts};
use once_tests::{Db, Uuid, Value, json};

use super::{connect, dump, restore};

struct Past {
    mailbox: Uuid,
    job: Uuid,
    head: Value,
}

fn messages() -> Vec<Value> {
    (0..6).map(|n| full(&format!("m{n}"), &format!("t{}", n % 2), n + 1, &["UNREAD"], &["1"])).collect()
}

const CONTENT: &str =
    "SELECT to_jsonb(t)::text FROM mail_threads t UNION ALL SELECT to_jsonb(m)::text FROM mail_messages m
    UNION ALL SELECT to_jsonb(a)::text FROM mail_attachments a UNION ALL SELECT to_jsonb(b)::text FROM mail_blobs b
    UNION ALL SELECT to_jsonb(e)::text FROM ledger_events e ORDER BY 1";

fn live(client: &mut Client) -> Result<Past> {
    call(client, "install_kit('mail', 'public')", &[])?;
    let mailbox = mailbox(client, ORG, "ann@example.com")?;
    ingest(client, mailbox, &messages()[..3])?;
    let answer = ingest(client, mailbox, &messages())?;
    let store =
        "SELECT count(*) FROM mail_messages m, once.store_mail_attachment(m.message_id, '1', NULL, NULL, 'abc')";
    assert_eq!(text(client, &store.replace("count(*)", "count(*)::text"))?, "6");
    let head = call(client, "verify_ledger($1)", &[&ORG])?["head"].clone();
    Ok(Past { mailbox, job: once_tests::promo::imported(&answer)?, head })
}

/// That everything goes on from where it was.
fn goes_on(client: &mut Client, past: &Past) -> Result<()> {
    let verified = call(client, "verify_ledger($1, $2)", &[&ORG, &past.head.as_str()])?;
    assert_eq!((&verified["valid"], &verified["head"]), (&json!(true), &past.head), "{verified}");
    for sql in ["UPDATE ledger_events SET actor = 'x'", "DELETE FROM ledger_events", "TRUNCATE ledger_events"] {
        assert_eq!(refused(client, sql, &[])?.code().code(), "55000", "{sql}");
    }
    assert_eq!(call(client, "verify_import_job($1)", &[&past.job])?["verified"], true);
    let answer = ingest(client, past.mailbox, &messages())?;
    assert_eq!(fields(&answer, ["unchanged", "messages_ingested"]), [6, 0], "{answer}");
    assert_eq!(answer["attachments_missing"], json!([]));
    ingest(client, past.mailbox, &[minimal("m0", "t0", 99, &["INBOX"])])?;
    let (said, meant) = facts(client)?;
    assert_eq!(said, meant);
    assert_eq!(call(client, "verify_mail_idempotency($1)", &[&past.mailbox])?["valid"], true);
    let answer = call(client, "rollback_import_job($1)", &[&past.job])?;
    assert_eq!(fields(&answer, ["reversed", "kept", "errored"]), [3, 0, 0], "{answer}");
    assert_eq!(call(client, "verify_ledger($1)", &[&ORG])?["valid"], true);
    Ok(())
}

#[test]
fn mail_comes_back_from_a_dump() -> Result<()> {
    let db = Db::on_own_cluster("dumped_mail", &[])?;
    let mut client = db.client()?;
    let past = live(&mut client)?;
    let whole = dump(&db, db.name(), "postgres", &[])?;
    db.cluster().createdb("restored_mail", None)?;
    restore(&db, "restored_mail", "postgres", &whole)?;
    assert_eq!(dump(&db, "restored_mail", "postgres", &[])?, whole);
    let mut restored = connect(&db, "restored_mail", "postgres")?;
    assert_eq!(texts(&mut restored, CONTENT)?, texts(&mut client, CONTENT)?);
    restored.batch_execute("SET TimeZone = 'America/Lima'; SET DateStyle = 'German'; SET bytea_output = 'escape'")?;
    goes_on(&mut restored, &past)?;
    goes_on(&mut client, &past)
}

#[test]
fn mail_outlives_the_extension() -> Result<()> {
    let db = Db::new("dropped_mail")?;
    let mut client = db.client()?;
    let past = live(&mut client)?;
    let before = texts(&mut client, CONTENT)?;
    client.batch_execute("DROP EXTENSION pg_once")?;
    assert_eq!(texts(&mut client, CONTENT)?, before);
    // What the tables promise, they keep without it.
    client.batch_execute(
        "BEGIN; UPDATE mail_messages SET label_ids = '{x}' WHERE provider_message_id IN ('m0', 'm2', 'm4')",
    )?;
    let thread = "SELECT concat_ws('|', is_read, label_ids) FROM mail_threads WHERE provider_thread_id = 't0'";
    assert_eq!(text(&mut client, thread)?, "t|{x}");
    client.batch_execute("ROLLBACK")?;
    assert_eq!(refused(&mut client, "DELETE FROM ledger_events", &[])?.code().code(), "55000");
    client.batch_execute("CREATE EXTENSION pg_once SCHEMA once; SELECT once.install_kit('mail', 'public')")?;
    assert_eq!(texts(&mut client, CONTENT)?, before);
    goes_on(&mut client, &past)
}
