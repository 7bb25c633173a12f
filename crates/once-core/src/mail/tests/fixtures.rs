//! Messages of crates/once-core/tests/mail, whose make.py says what they are by Python's `email`.

use super::*;
use std::fs;

pub fn all() -> Vec<(String, Vec<u8>, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mail");
    let expected: Value = serde_json::from_slice(&fs::read(format!("{folder}/expected.json")).unwrap()).unwrap();
    let Value::Object(expected) = expected else { panic!("no object") };
    expected
        .into_iter()
        .map(|(name, value)| (name.clone(), fs::read(format!("{folder}/{name}.eml")).unwrap(), value))
        .collect()
}

pub fn eml(name: &str) -> Message {
    let (_, bytes, _) = all().into_iter().find(|(other, ..)| other == name).unwrap();
    raw(bytes)
}

pub fn full(payload: &Value) -> Message {
    read(&json!({"id": "m", "threadId": "t", "payload": payload})).unwrap()
}

fn people(list: &[Address]) -> Value {
    list.iter().map(|address| json!([address.name, address.email])).collect()
}

#[test]
fn read_as_python_reads_them() {
    for (name, bytes, value) in all() {
        let message = raw(bytes);
        let read = json!({
            "subject": message.subject,
            "from": people(message.from.as_slice()),
            "to": people(&message.to),
            "cc": people(&message.cc),
            "bcc": people(&message.bcc),
            "reply_to": people(&message.reply_to),
            "sent_at": message.sent_at,
            "plain": message.body_plain,
            "html": message.body_html,
        });
        assert_eq!(read, value["expected"], "{name}");
    }
}

#[test]
fn a_message_is_the_same_in_full_and_raw() {
    for (name, bytes, value) in all() {
        let (raw, mut full) = (raw(bytes), full(&value["payload"]));
        assert_eq!((raw.format, full.format), (Format::Raw, Format::Full), "{name}");
        full.format = Format::Raw;
        let attachments = raw.attachments.iter().flatten().zip(full.attachments.iter_mut().flatten());
        for (raw, full) in attachments {
            assert_eq!(raw.content.as_ref().map(|content| content.len() as i64), raw.size_bytes, "{name}");
            assert!(full.attachment_id.take().is_some() || full.content == raw.content, "{name}: {}", full.part_id);
            full.content.clone_from(&raw.content);
        }
        assert_eq!(raw, full, "{name}");
    }
}

/// Part id, file name, type, inline, and size.
fn attached(name: &str) -> Vec<(String, Option<String>, String, bool, i64)> {
    let attachments = eml(name).attachments.unwrap();
    let facts = |a: Attachment| (a.part_id, a.filename, a.mime_type, a.inline, a.size_bytes.unwrap());
    attachments.into_iter().map(facts).collect()
}

fn file(
    id: &str,
    name: Option<&str>,
    mime_type: &str,
    inline: bool,
    size: i64,
) -> (String, Option<String>, String, bool, i64) {
    (id.to_owned(), name.map(str::to_owned), mime_type.to_owned(), inline, size)
}

#[test]
fn attachments() {
    assert_eq!(attached("simple"), []);
    assert_eq!(attached("mixed"), [file("1", Some("report.pdf"), "application/pdf", false, 18)]);
    assert_eq!(
        attached("related"),
        [file("1", Some("dot.png"), "image/png", true, 68), file("2", None, "image/gif", true, 14)]
    );
    let related = eml("related").attachments.unwrap();
    assert_eq!(related[0].content_id.as_deref(), Some("dot@example"));
    assert!(related[0].content.as_ref().unwrap().starts_with(b"\x89PNG\r\n"));
    assert_eq!(
        attached("rfc2231"),
        [
            file("0", Some("日本 and more.txt"), "application/octet-stream", false, 3),
            file("1", Some("naïve café.bin"), "application/x-stuff", false, 3),
            file("2", Some("Résumé 2024.pdf"), "application/pdf", false, 5),
            file("3", Some("a;b \"c\".zip"), "application/zip", false, 4),
        ]
    );
    assert_eq!(
        attached("invite"),
        [file("0.2", None, "text/calendar", false, 29), file("1", Some("invite.ics"), "application/ics", false, 15)]
    );
    assert_eq!(attached("pgp").len(), 1);
    assert_eq!(attached("smime"), [file("1", Some("smime.p7s"), "application/pkcs7-signature", false, 143)]);
    assert_eq!(attached("only_a_file"), [file("", Some("scan.pdf"), "application/pdf", false, 9)]);
    assert_eq!(
        attached("text_attached"),
        [file("1", Some("notes.txt"), "text/plain", true, 5), file("2", None, "text/html", false, 14)]
    );
}

#[test]
fn attached_messages_are_one_attachment_each() {
    let message = eml("attached_message");
    let all = message.attachments.unwrap();
    assert_eq!(
        all.iter().map(|a| (a.part_id.as_str(), a.filename.as_deref())).collect::<Vec<_>>(),
        [("1", Some("inner.eml")), ("2", Some("last.png"))]
    );
    assert!(all[0].content.as_ref().unwrap().starts_with(b"From: c@example.com\nSubject: inner\n"));
    assert!(all[0].content.as_ref().unwrap().ends_with(b"PDF\n--in--\n"));
    assert_eq!(
        attached("digest").iter().map(|a| (a.0.as_str(), a.2.as_str())).collect::<Vec<_>>(),
        [("0", "message/rfc822"), ("1", "message/rfc822")]
    );
    assert_eq!(
        attached("bounce").iter().map(|a| (a.0.as_str(), a.2.as_str())).collect::<Vec<_>>(),
        [("1", "message/delivery-status"), ("2", "message/rfc822")]
    );
}

#[test]
fn ids_of_messages_and_headers_in_their_order() {
    let message = eml("mixed");
    assert_eq!(message.message_id.as_deref(), Some("<q1@example.com>"));
    assert_eq!(message.in_reply_to, ["<p1@example.org>"]);
    assert_eq!(message.references, ["<o1@example.org>", "<p1@example.org>"]);
    let folded = eml("folded").headers.unwrap();
    let folded: Vec<_> = folded.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        folded,
        [
            ("From", "a@example.com"),
            ("Subject", "a subject that goes on\tand\ton"),
            ("Date", "Mon, 5 Feb 2024 08:00:00 +0200"),
            ("X-Empty", ""),
            ("X-Long", "one;        two"),
        ]
    );
}
