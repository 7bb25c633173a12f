//! Attachments: downloaded once, stored once, wherever they are kept.

use anyhow::Result;
use once_tests::mail::{ORG, OTHER_ORG, base64url, fields, full, ingest, install, mailbox};
use once_tests::postgres::Client;
use once_tests::promo::{refused_well, text};
use once_tests::{Uuid, json};

const EXISTS: &str = "SELECT \"exists\", sha256, storage_path FROM once.mail_attachment_exists($1, $2)";
const STORE: &str =
    "SELECT attachment_id, is_duplicate, sha256, storage_path FROM once.store_mail_attachment($1, $2, $3, NULL, $4)";

fn message(client: &mut Client, provider_id: &str) -> Result<Uuid> {
    let sql = "SELECT message_id FROM mail_messages WHERE provider_message_id = $1 ORDER BY mailbox_id LIMIT 1";
    Ok(client.query_one(sql, &[&provider_id])?.try_get(0)?)
}

type Stored = (Uuid, bool, String, String);

fn store(client: &mut Client, message: Uuid, part: &str, name: Option<&str>, bytes: &[u8]) -> Result<Stored> {
    let row = client.query_one(STORE, &[&message, &part, &name, &bytes])?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
}

/// SHA-256 of "abc", from FIPS 180-2.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_content_is_stored_once() -> Result<()> {
    let (_db, mut client, home) = install("mail_attachments")?;
    let messages = [full("a", "t", 1, &[], &["1", "2"]), full("b", "t", 2, &[], &["1"])];
    ingest(&mut client, home, &messages)?;
    let (a, b) = (message(&mut client, "a")?, message(&mut client, "b")?);
    let row = client.query_one(EXISTS, &[&a, &"1"])?;
    assert_eq!((row.try_get(0)?, row.try_get(1)?), (false, None::<String>));
    let first = store(&mut client, a, "1", Some("other.pdf"), b"abc")?;
    assert_eq!((first.1, first.2.as_str()), (false, ABC));
    assert_eq!(first.3, format!("{ORG}/{home}/{ABC}/1.pdf"), "the sender's name of the file counts");
    let row = client.query_one(EXISTS, &[&a, &"1"])?;
    assert_eq!((row.try_get(0)?, row.try_get::<_, String>(2)?), (true, first.3.clone()));
    let again = store(&mut client, a, "1", None, b"abc")?;
    assert_eq!(again, (first.0, true, first.2.clone(), first.3.clone()));
    // The same bytes in other places are other attachments, and one content.
    assert!(!store(&mut client, a, "2", None, b"abc")?.1);
    assert!(!store(&mut client, b, "1", None, b"abc")?.1);
    let contents = "SELECT concat_ws('|', count(*), min(encode(bytes, 'escape')), min(size_bytes)) FROM mail_blobs";
    assert_eq!(text(&mut client, contents)?, "1|abc|3");
    assert_eq!(refused_well(&mut client, STORE, &[&a, &"1", &None::<&str>, &b"abd".as_slice()])?, "55000");
    assert_eq!(refused_well(&mut client, STORE, &[&Uuid::nil(), &"1", &None::<&str>, &b"abc".as_slice()])?, "P0002");
    let saved = "SELECT count(*)::text FROM ledger_events WHERE event_type = 'attachment.saved'";
    assert_eq!(text(&mut client, saved)?, "3");
    // What is stored is not missing any more, nor asked for by the next run.
    let answer = ingest(&mut client, home, &messages)?;
    assert_eq!(answer["attachments_missing"], json!([]), "{answer}");
    // One that the message was fetched without.
    assert!(!store(&mut client, b, "9", Some("late.txt"), b"late")?.1);
    Ok(())
}

/// Gmail's own id of an attachment is another one at every fetch: it is kept for the next download, and makes nothing new.
#[test]
fn the_part_names_an_attachment() -> Result<()> {
    let (_db, mut client, home) = install("mail_parts")?;
    let mut message = full("a", "t", 1, &[], &["1"]);
    ingest(&mut client, home, std::slice::from_ref(&message))?;
    message["payload"]["parts"][1]["body"]["attachmentId"] = json!("another");
    let answer = ingest(&mut client, home, &[message])?;
    assert_eq!(answer["attachments_missing"][0]["download_id"], "another", "{answer}");
    assert_eq!(
        text(&mut client, "SELECT concat_ws('|', count(*), min(download_id)) FROM mail_attachments")?,
        "1|another"
    );
    Ok(())
}

/// A raw message brings its attachments along; of an org each content is there once, and no org has another's.
#[test]
fn raw_messages_bring_their_contents() -> Result<()> {
    let (_db, mut client, home) = install("mail_raw")?;
    let raw = |subject: &str| {
        let text = format!(
            "From: a@example.org\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: image/png; name=\"../../etc/x.png\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--b--\r\n"
        );
        json!({"id": subject, "threadId": "t", "raw": base64url(text.as_bytes())})
    };
    let answer = ingest(&mut client, home, &[raw("one"), raw("two")])?;
    assert_eq!(fields(&answer, ["messages_ingested", "attachments_seen", "attachments_saved"]), [2, 2, 2], "{answer}");
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM mail_blobs")?, "1");
    let path = text(&mut client, "SELECT min(storage_path) FROM mail_attachments")?;
    let name = path.strip_prefix(&format!("{ORG}/{home}/{ABC}/")).map(String::from);
    assert!(name.is_some_and(|name| !name.contains('/') && name.ends_with("x.png")), "{path}");
    let again = ingest(&mut client, home, &[raw("one"), raw("two")])?;
    assert_eq!(fields(&again, ["unchanged", "attachments_saved"]), [2, 0], "{again}");

    let theirs = mailbox(&mut client, OTHER_ORG, "bob@example.com")?;
    ingest(&mut client, theirs, &[raw("one")])?;
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM mail_blobs")?, "2");

    // Kept elsewhere: the client is told to store it there, and only the hash and the path come here.
    let elsewhere = mailbox(&mut client, ORG, "carl@example.com")?;
    client.execute("UPDATE mailboxes SET blob_storage = 'external' WHERE mailbox_id = $1", &[&elsewhere])?;
    let answer = ingest(&mut client, elsewhere, &[raw("three")])?;
    assert_eq!(answer["attachments_missing"][0]["provider_attachment_id"], "1", "{answer}");
    let id = message(&mut client, "three")?;
    let stored = store(&mut client, id, "1", None, b"content that is elsewhere")?;
    assert!(stored.3.starts_with(&format!("{ORG}/{elsewhere}/{}/", stored.2)));
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM mail_blobs")?, "2");
    // And once they are to be kept here, what comes again is.
    client.execute("UPDATE mailboxes SET blob_storage = 'embedded'", &[])?;
    assert!(store(&mut client, id, "1", None, b"content that is elsewhere")?.1);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM mail_blobs")?, "3");
    Ok(())
}
