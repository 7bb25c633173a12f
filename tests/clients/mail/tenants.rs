//! Orgs beside each other: none sees, changes or learns of another's mail.

use anyhow::Result;
use once_tests::mail::{ORG, OTHER_ORG, fields, full, ingest, install, mailbox};
use once_tests::promo::{call, refused_well, text};
use once_tests::{Value, sqlstate};

#[test]
fn an_org_has_its_own_mail_and_no_other() -> Result<()> {
    let (db, mut owner, own) = install("mail_tenants")?;
    let theirs = mailbox(&mut owner, OTHER_ORG, "bob@example.com")?;
    let (service, reader) = (db.create_role("service")?, db.create_role("reader")?);
    for (role, kind) in [(&service, "service"), (&reader, "reader")] {
        owner.execute("INSERT INTO mail_members VALUES ($1, $2::text::name)", &[&ORG, role])?;
        owner.query("SELECT once.grant_mail_access($1, $2)", &[role, &kind])?;
    }
    let grant = "SELECT once.grant_mail_access($1, $2)";
    assert_eq!(refused_well(&mut owner, grant, &[&reader, &"admin"])?, "22023");
    assert_eq!(refused_well(&mut owner, grant, &[&"nobody_at_all", &"reader"])?, "42704");
    ingest(&mut owner, theirs, &[full("secret", "t", 1, &[], &["1"])])?;

    let mut client = db.client_as(&service)?;
    let answer = ingest(&mut client, own, &[full("secret", "t", 1, &["UNREAD"], &["1"])])?;
    assert_eq!(fields(&answer, ["threads_ingested", "messages_ingested", "unchanged"]), [1, 1, 0], "{answer}");
    let row = client.query_one("SELECT message_id FROM mail_messages", &[])?;
    let message: once_tests::Uuid = row.try_get(0)?;
    let store = "SELECT sha256 FROM once.store_mail_attachment($1, '1', NULL, NULL, 'abc')";
    client.query_one(store, &[&message])?;
    let counts = "SELECT concat_ws('|', (SELECT count(*) FROM mailboxes), (SELECT count(*) FROM mail_threads), (SELECT count(*) FROM mail_messages),
        (SELECT count(*) FROM mail_attachments), (SELECT count(*) FROM mail_blobs), (SELECT count(DISTINCT org_id) FROM ledger_events))";
    assert_eq!(text(&mut client, counts)?, "1|1|1|1|1|1");
    assert_eq!(text(&mut client, "SELECT message_count::text FROM mail_threads")?, "1");
    assert_eq!(call(&mut client, "verify_ledger($1)", &[&ORG])?["valid"], true);
    assert_eq!(call(&mut client, "verify_ledger($1)", &[&OTHER_ORG])?["events"], 0);

    // Theirs does not exist for us, in any function.
    let rows = Value::from(vec![full("x", "t", 1, &[], &[])]);
    assert_eq!(refused_well(&mut client, "SELECT once.ingest_mail($1, $2)", &[&theirs, &rows])?, "P0002");
    assert_eq!(refused_well(&mut client, "SELECT once.verify_mail_idempotency($1)", &[&theirs])?, "P0002");
    let secret = "SELECT message_id FROM mail_messages WHERE mailbox_id = $1";
    let secret: once_tests::Uuid = owner.query_one(secret, &[&theirs])?.try_get(0)?;
    assert_eq!(refused_well(&mut client, store, &[&secret])?, "P0002");
    let append = "SELECT once.append_ledger_event($1, 'forged')";
    let refused = client.query(append, &[&OTHER_ORG]).err();
    assert_eq!(refused.as_ref().and_then(|error| sqlstate(error)), Some("42501"));

    // A message of ours in their thread, by hand.
    let thread: once_tests::Uuid =
        owner.query_one("SELECT thread_id FROM mail_threads WHERE mailbox_id = $1", &[&theirs])?.try_get(0)?;
    let insert =
        "INSERT INTO mail_messages (org_id, mailbox_id, thread_id, provider_message_id) VALUES ($1, $2, $3, 'y')";
    let refused = owner.execute(insert, &[&ORG, &own, &thread]).err();
    assert_eq!(refused.as_ref().and_then(|error| sqlstate(error)), Some("23503"));

    let mut client = db.client_as(&reader)?;
    assert_eq!(text(&mut client, counts)?, "1|1|1|1|1|1");
    assert_eq!(call(&mut client, "verify_ledger($1)", &[&ORG])?["valid"], true);
    let asked = once_tests::promo::refused(&mut client, "SELECT once.ingest_mail($1, $2)", &[&own, &rows])?;
    assert_eq!(asked.code().code(), "42501");
    assert!(asked.hint().is_some_and(|hint| hint.contains("grant_mail_access")), "{asked:?}");
    assert_eq!(refused_well(&mut client, store, &[&message])?, "42501");
    for sql in
        ["UPDATE mail_messages SET subject = 'x'", "DELETE FROM mail_threads", "INSERT INTO mail_blobs DEFAULT VALUES"]
    {
        let refused = client.execute(sql, &[]).err();
        assert_eq!(refused.as_ref().and_then(|error| sqlstate(error)), Some("42501"), "{sql}");
    }
    Ok(())
}
