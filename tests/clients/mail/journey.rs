//! Windows that overlap, in any order: nothing twice, nothing lost, and threads as their messages say.

use anyhow::Result;
use once_tests::mail::{ORG, facts, fields, full, ingest, install, minimal};
use once_tests::postgres::Client;
use once_tests::promo::{call, imported, refused_well, text, texts};
use once_tests::{Uuid, Value, json};

const COUNTS: [&str; 5] = ["threads_ingested", "threads_updated", "messages_ingested", "messages_updated", "unchanged"];

/// Messages of a mailbox: number `n` is of thread `n % 7`, every third has an attachment.
fn window(numbers: impl Iterator<Item = i64>) -> Vec<Value> {
    let message = |n: i64| {
        let labels: &[&str] = if n % 2 == 0 { &["INBOX", "UNREAD"] } else { &["INBOX"] };
        let attachments: &[&str] = if n % 3 == 0 { &["1"] } else { &[] };
        full(&format!("m{n:03}"), &format!("t{}", n % 7), 1_700_000_000 + n, labels, attachments)
    };
    numbers.map(message).collect()
}

fn counts(client: &mut Client) -> Result<String> {
    text(
        client,
        "SELECT concat_ws(' ', (SELECT count(*) FROM mail_threads), (SELECT count(*) FROM mail_messages),
                (SELECT count(*) FROM mail_attachments), (SELECT count(*) FROM ledger_events))",
    )
}

fn nothing_twice(client: &mut Client, mailbox: Uuid) -> Result<()> {
    let verified = call(client, "verify_mail_idempotency($1)", &[&mailbox])?;
    assert_eq!(verified["duplicates"], json!({"threads": 0, "messages": 0, "attachments": 0}));
    assert_eq!(verified["valid"], true);
    let (said, meant) = facts(client)?;
    assert_eq!(said, meant);
    Ok(())
}

#[test]
fn a_window_comes_twice_and_an_incremental_run_after_it() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_journey")?;
    let first = ingest(&mut client, mailbox, &window(0..100))?;
    assert_eq!(fields(&first, COUNTS), [7, 0, 100, 0, 0], "{first}");
    assert_eq!(fields(&first, ["attachments_seen", "attachments_saved", "rejected"]), [34, 0, 0]);
    assert_eq!(first["attachments_missing"].as_array().map(Vec::len), Some(34));
    // Threads, messages, attachments; and of the ledger started, each thread, each message, completed.
    assert_eq!(counts(&mut client)?, "7 100 34 109");

    let rows = "SELECT md5(string_agg(concat(xmin, x::text), ',' ORDER BY x::text)) FROM
                (SELECT xmin, message_id::text FROM mail_messages UNION ALL SELECT xmin, thread_id::text FROM mail_threads) x (xmin, x)";
    let before = text(&mut client, rows)?;
    let again = ingest(&mut client, mailbox, &window((0..100).rev()))?;
    assert_eq!(fields(&again, COUNTS), [0, 0, 0, 0, 100], "{again}");
    assert_eq!(counts(&mut client)?, "7 100 34 111");
    assert_eq!(text(&mut client, rows)?, before, "what did not change was written");
    nothing_twice(&mut client, mailbox)?;

    // New mail, one that is read now, and a late reply from before all others.
    let mut later = window(98..103);
    later.push(minimal("m000", "t0", 1_800_000_000, &["INBOX", "Label_7"]));
    later.push(full("early", "t1", 1_600_000_000, &["SENT"], &[]));
    let answer = call(
        &mut client,
        "ingest_mail($1, $2, '{\"history_id\": \"4711\", \"correlation_id\": \"run-3\", \"actor\": \"sync\"}')",
        &[&mailbox, &Value::from(later)],
    )?;
    assert_eq!(fields(&answer, COUNTS), [0, 5, 4, 1, 2], "{answer}");
    nothing_twice(&mut client, mailbox)?;
    let of_thread = "SELECT concat_ws('|', subject, snippet, message_count, first_message_at AT TIME ZONE 'UTC', is_read, label_ids)
                     FROM mail_threads WHERE provider_thread_id = 't1'";
    // By hand: 1, 8, …, 99 are 15 messages and the early one; 98 and 100 are not of it.
    assert_eq!(text(&mut client, of_thread)?, "About t1|begins m099|16|2020-09-13 12:26:40|f|{INBOX,SENT,UNREAD}");
    let relabelled = "SELECT concat_ws('|', body_plain, label_ids, has_attachments) FROM mail_messages WHERE provider_message_id = 'm000'";
    assert_eq!(text(&mut client, relabelled)?, "the text of m000|{INBOX,Label_7}|t");
    let mailbox_row =
        "SELECT concat_ws('|', status, last_history_id, last_synced_at IS NOT NULL, sync_error_message) FROM mailboxes";
    assert_eq!(text(&mut client, mailbox_row)?, "active|4711|t");
    let told = "SELECT string_agg(DISTINCT concat(actor, ' ', correlation_id), ',') FROM ledger_events WHERE correlation_id = 'run-3'";
    assert_eq!(text(&mut client, told)?, "sync run-3");
    let verified = call(&mut client, "verify_ledger($1, $2)", &[&ORG, &answer["ledger_head"].as_str()])?;
    assert_eq!((&verified["valid"], &verified["head"]), (&json!(true), &answer["ledger_head"]));
    Ok(())
}

/// A window in pieces, in any order and over each other, ends as the whole of it.
#[test]
fn the_order_is_no_matter() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_order")?;
    let dump = "SELECT concat_ws('|', t.provider_thread_id, m.provider_message_id, m.label_ids, m.subject, m.body_plain, m.internal_date)
                FROM mail_messages m JOIN mail_threads t USING (thread_id) ORDER BY 1";
    ingest(&mut client, mailbox, &window(0..60))?;
    let (whole, threads) = (texts(&mut client, dump)?, facts(&mut client)?.0);
    for pieces in [[40..60, 10..45, 0..20], [0..35, 30..60, 20..40]] {
        client.batch_execute("TRUNCATE mail_messages, mail_threads, mail_attachments")?;
        for piece in pieces {
            ingest(&mut client, mailbox, &window(piece.rev()))?;
        }
        assert_eq!(texts(&mut client, dump)?, whole);
        assert_eq!(facts(&mut client)?.0, threads);
    }
    nothing_twice(&mut client, mailbox)
}

/// Of two fetches the newer one's labels stay, whichever comes first; what only one has stays.
#[test]
fn a_partial_fetch_takes_nothing_away() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_partial")?;
    let whole = full("m", "t", 1_700_000_000, &["INBOX", "UNREAD"], &["1"]);
    let newer = minimal("m", "t", 1_700_000_009, &["INBOX"]);
    let mut metadata = full("m", "t", 1_700_000_005, &["STARRED"], &[]);
    metadata["payload"] = json!({"mimeType": "multipart/mixed", "headers": [{"name": "Subject", "value": "About t"}]});
    let row = "SELECT concat_ws('|', from_email, to_emails, body_plain, jsonb_array_length(raw_headers), label_ids, has_attachments, history_id)
               FROM mail_messages";
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        client.batch_execute("TRUNCATE mail_messages, mail_threads, mail_attachments")?;
        for at in order {
            ingest(&mut client, mailbox, &[[&whole, &newer, &metadata][at].clone()])?;
        }
        let expected = "m@example.org|{ann@example.com}|the text of m|3|{INBOX}|t|1700000009";
        assert_eq!(text(&mut client, row)?, expected, "{order:?}");
        assert_eq!(text(&mut client, "SELECT count(*)::text FROM mail_attachments")?, "1");
    }
    Ok(())
}

/// A message that has moved is in the thread that the newest fetch names, whichever comes last.
#[test]
fn an_older_fetch_moves_nothing() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_moved")?;
    for (thread, history, expected) in
        [("a", 5, "a:1"), ("b", 9, "a:0 b:1"), ("a", 7, "a:0 b:1"), ("c", 1, "a:0 b:1 c:0")]
    {
        ingest(&mut client, mailbox, &[minimal("m", thread, history, &["INBOX"])])?;
        let threads = "SELECT string_agg(concat(provider_thread_id, ':', message_count), ' ' ORDER BY provider_thread_id) FROM mail_threads";
        assert_eq!(text(&mut client, threads)?, expected, "{thread} {history}");
        let (said, meant) = facts(&mut client)?;
        assert_eq!(said, meant);
    }
    Ok(())
}

/// What a mask of fields has left over of a message takes nothing away, and no labels are a set of labels, too.
#[test]
fn what_is_left_out_is_not_lost_and_labels_may_all_go() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_masked")?;
    ingest(&mut client, mailbox, &[full("m", "t", 1_700_000_000, &["INBOX", "UNREAD"], &["1"])])?;
    let row = "SELECT concat_ws('|', to_emails, body_plain, jsonb_array_length(raw_headers), has_attachments) FROM mail_messages";
    let before = text(&mut client, row)?;
    for payload in [
        json!({"parts": [{"partId": "0", "body": {"size": 4}}, {"partId": "1", "filename": "x.pdf", "body": {"attachmentId": "Q", "size": 3}}]}),
        json!({"headers": [{"name": "Subject", "value": "s"}], "body": {"size": 0}}),
        json!({"mimeType": "text/plain", "body": {"size": 0, "data": ""}}),
        json!({}),
    ] {
        ingest(&mut client, mailbox, &[json!({"id": "m", "threadId": "t", "payload": payload})])?;
        assert_eq!(text(&mut client, row)?, before, "{payload}");
    }
    ingest(&mut client, mailbox, &[json!({"id": "m", "threadId": "t", "raw": ""})])?;
    assert_eq!(text(&mut client, row)?, before);
    let labels = "SELECT concat_ws('|', m.label_ids, m.history_id, t.is_read) FROM mail_messages m JOIN mail_threads t USING (thread_id)";
    for (message, expected) in [
        (json!({"id": "m", "threadId": "t"}), "{INBOX,UNREAD}|1700000000|f"),
        (
            json!({"id": "m", "threadId": "t", "historyId": "1700000001", "labelIds": ["B", "A", "B"]}),
            "{A,B}|1700000001|t",
        ),
        (json!({"id": "m", "threadId": "t", "historyId": "1700000005"}), "{}|1700000005|t"),
        (json!({"id": "m", "threadId": "t", "historyId": "1700000003", "labelIds": ["UNREAD"]}), "{}|1700000005|t"),
    ] {
        ingest(&mut client, mailbox, std::slice::from_ref(&message))?;
        assert_eq!(text(&mut client, labels)?, expected, "{message}");
    }
    Ok(())
}

/// One odd attachment or number costs at most its message; what the database says of a message's content stays inside.
#[test]
fn odd_parts_cost_no_other_message() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_odd")?;
    client.batch_execute("CREATE INDEX ON mail_messages ((CASE WHEN subject LIKE 'SECRET%' THEN subject::int END))")?;
    let mut negative = full("negative", "t", 1, &[], &["1"]);
    negative["payload"]["parts"][1]["body"]["size"] = json!(-5);
    let long = full("long", "t", 2, &[], &[&"9".repeat(20_000)]);
    let mut secret = full("secret", "t", 3, &[], &[]);
    secret["payload"]["headers"][2]["value"] = json!("SECRETSUBJECT");
    let mut late = full("late", "t", 4, &[], &[]);
    late["internalDate"] = json!("253402300799999");
    let good = full("good", "t", 5, &[], &[]);
    let answer = ingest(&mut client, mailbox, &[negative, long, secret, late, good.clone(), good])?;
    assert_eq!(fields(&answer, ["messages_ingested", "duplicate", "rejected"]), [3, 1, 2], "{answer}");
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(2), "{answer}");
    assert!(!answer.to_string().contains("SECRET"), "{answer}");
    assert_eq!(answer["errors"][1]["reason"], "the database refuses the message (SQLSTATE 22P02)", "{answer}");
    let told = "SELECT internal_date AT TIME ZONE 'UTC' || '' FROM mail_messages WHERE provider_message_id = 'late'";
    assert_eq!(text(&mut client, told)?, "9999-12-31 23:59:59.999");
    Ok(())
}

/// What can't be read costs its message and no other; and where the next run begins is not moved beyond it.
#[test]
fn a_message_that_can_not_be_read_is_named() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_faulty")?;
    let secret = "the secret text";
    let mut broken = full("broken", "t", 1, &[], &[]);
    broken["payload"]["parts"][0]["body"]["data"] = json!(format!("{secret}!"));
    let messages = [
        json!(5),
        json!({"id": "x"}),
        full("good", "t", 2, &[], &[]),
        broken,
        json!({"id": "r", "threadId": "t", "raw": 7}),
    ];
    let info = r#"{"history_id": 99}"#;
    let answer =
        call(&mut client, "ingest_mail($1, $2, $3::text::jsonb)", &[&mailbox, &Value::from(messages.to_vec()), &info])?;
    assert_eq!(fields(&answer, ["messages_ingested", "rejected"]), [1, 4], "{answer}");
    let rows: Vec<_> = answer["errors"].as_array().into_iter().flatten().map(|error| error["row"].as_i64()).collect();
    assert_eq!(rows, [Some(1), Some(2), Some(4), Some(5)]);
    assert!(!answer.to_string().contains(secret), "{answer}");
    assert_eq!(text(&mut client, "SELECT coalesce(last_history_id::text, 'none') FROM mailboxes")?, "none");
    let told = text(&mut client, "SELECT coalesce(string_agg(payload::text, ''), '') FROM ledger_events")?;
    assert!(!told.contains(secret) && !told.contains("the text of"));
    Ok(())
}

/// A call that fails leaves no message, and is told: in the answer, the job, the mailbox and the ledger.
#[test]
fn a_sync_that_fails_is_on_record() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_failed")?;
    client.batch_execute(
        "CREATE FUNCTION renamed() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN NEW.provider_message_id := NEW.provider_message_id || ''x''; RETURN NEW; END';
         CREATE TRIGGER renamed BEFORE INSERT ON mail_messages FOR EACH ROW EXECUTE FUNCTION renamed()",
    )?;
    let answer = ingest(&mut client, mailbox, &window(0..3))?;
    assert_eq!((&answer["success"], &answer["sqlstate"]), (&json!(false), &json!("P0001")), "{answer}");
    assert_eq!(counts(&mut client)?, "0 0 0 2");
    let told = "SELECT concat_ws('|', (SELECT string_agg(event_type, ',' ORDER BY number) FROM ledger_events), b.status, b.last_synced_at,
                       b.sync_error_message = j.error_message, j.status) FROM mailboxes b, once.import_jobs j";
    assert_eq!(text(&mut client, told)?, "sync.started,sync.failed|error|t|failed");
    client.batch_execute("DROP TRIGGER renamed ON mail_messages")?;
    assert_eq!(fields(&ingest(&mut client, mailbox, &window(0..3))?, ["messages_ingested"]), [3]);
    assert_eq!(text(&mut client, "SELECT concat_ws('|', status, sync_error_message) FROM mailboxes")?, "active");
    Ok(())
}

/// An import is undone with its threads and attachments, but for what others have come to.
#[test]
fn an_import_is_undone() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_undo")?;
    let first = imported(&ingest(&mut client, mailbox, &window(0..10))?)?;
    let before = (counts(&mut client)?, facts(&mut client)?.0);
    let second = imported(&ingest(&mut client, mailbox, &window(7..40))?)?;
    let verified = call(&mut client, "verify_import_job($1)", &[&second])?;
    assert_eq!(verified["verified"], true, "{verified}");
    let undone = call(&mut client, "rollback_import_job($1)", &[&second])?;
    assert_eq!(fields(&undone, ["reversed", "kept", "errored"]), [30, 0, 0], "{undone}");
    assert_eq!(facts(&mut client)?.0, before.1);
    assert_eq!(
        counts(&mut client)?.rsplit_once(' ').map(|c| c.0.to_string()),
        before.0.rsplit_once(' ').map(|c| c.0.to_string())
    );
    let undone = call(&mut client, "rollback_import_job($1)", &[&first])?;
    assert_eq!(fields(&undone, ["reversed", "kept", "errored"]), [17, 0, 0], "{undone}");
    assert!(counts(&mut client)?.starts_with("0 0 0 "));
    Ok(())
}

/// With the messages goes what hung on them; the mailbox is to be read again, and the ledger knows.
#[test]
fn what_hangs_on_an_import_is_undone_with_it() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_undo_rest")?;
    let left = "SELECT concat_ws('|', (SELECT string_agg(provider_thread_id, ',' ORDER BY provider_thread_id) FROM mail_threads), (SELECT count(*) FROM mail_attachments),
                  (SELECT last_history_id FROM mailboxes))";
    let sync = |client: &mut Client, messages: Vec<Value>| {
        call(client, "ingest_mail($1, $2, '{\"history_id\": \"70\"}')", &[&mailbox, &Value::from(messages)])
    };
    let undo = |client: &mut Client, answer: &Value| call(client, "rollback_import_job($1)", &[&imported(answer)?]);
    let known = sync(&mut client, vec![minimal("a", "t1", 5, &["INBOX"]), full("x", "t2", 5, &[], &["1"])])?;
    let enriched = sync(&mut client, vec![full("a", "t1", 6, &["INBOX"], &["1", "2"]), full("b", "t1", 7, &[], &[])])?;
    assert_eq!(text(&mut client, left)?, "t1,t2|3|70");

    // What the second job found in a message of the first goes, and the message stays as it was.
    assert_eq!(fields(&undo(&mut client, &enriched)?, ["reversed", "kept"]), [2, 0]);
    assert_eq!(text(&mut client, left)?, "t1,t2|1");
    assert_eq!(fields(&sync(&mut client, vec![full("a", "t1", 6, &["INBOX"], &["1"])])?, ["messages_updated"]), [1]);
    assert_eq!(text(&mut client, left)?, "t1,t2|2|70");

    // A thread stays for another job's message, and no longer than that.
    let later = sync(&mut client, vec![full("y", "t2", 9, &[], &[])])?;
    assert_eq!(fields(&undo(&mut client, &known)?, ["kept"]), [3]);
    assert_eq!(text(&mut client, left)?, "t1,t2|1");
    undo(&mut client, &later)?;
    assert_eq!(text(&mut client, left)?, "t1|1");
    let told = "SELECT string_agg(concat_ws(' ', entity_id = $$MAILBOX$$, correlation_id = payload ->> 'job_id', payload ->> 'reversed', payload ->> 'kept'), ','
                ORDER BY number) FROM ledger_events WHERE event_type = 'sync.rolled_back'";
    assert_eq!(text(&mut client, &told.replace("MAILBOX", &mailbox.to_string()))?, "t t 2 0,t t 1 3,t t 1 0");
    assert_eq!(call(&mut client, "verify_ledger($1)", &[&ORG])?["valid"], true);
    nothing_twice(&mut client, mailbox)
}

/// A thread that a message leaves is changed as well as the one it comes to; and `plan` is only a word in `sync_info`.
#[test]
fn a_message_moves_to_another_thread() -> Result<()> {
    let (_db, mut client, mailbox) = install("mail_moves")?;
    ingest(&mut client, mailbox, &[full("a", "t1", 5, &[], &[]), full("b", "t1", 5, &[], &[])])?;
    let sync = "ingest_mail($1, $2, '{\"plan\": \"weekly\"}')";
    let moved = Value::from(vec![full("a", "t2", 6, &[], &[])]);
    let answer = call(&mut client, sync, &[&mailbox, &moved])?;
    assert_eq!(fields(&answer, ["threads_ingested", "threads_updated", "messages_updated"]), [1, 1, 1], "{answer}");
    nothing_twice(&mut client, mailbox)
}

/// Tables that look like the kit's, and lack what keeps them right, are not taken for its own.
#[test]
fn tables_without_the_triggers_are_not_adopted() -> Result<()> {
    let (_db, mut client, _) = install("mail_adopt")?;
    let again = call(&mut client, "install_kit('mail', 'public')", &[])?;
    assert_eq!(again["created"], json!([]), "{again}");
    client.batch_execute(
        "CREATE SCHEMA bare; CREATE TABLE bare.b_mailboxes (LIKE mailboxes INCLUDING ALL); CREATE TABLE bare.b_mail_messages (LIKE mail_messages INCLUDING ALL)",
    )?;
    assert_eq!(refused_well(&mut client, "SELECT once.install_kit('mail', 'bare', 'b_')", &[])?, "55000");
    client.batch_execute("DROP TRIGGER ledger_events_guard ON ledger_events")?;
    assert_eq!(refused_well(&mut client, "SELECT once.install_kit('mail', 'public')", &[])?, "55000");
    Ok(())
}
