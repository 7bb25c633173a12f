use super::*;

fn with(name: &str, value: Value) -> Result<Message, Refusal> {
    let mut resource = json!({"id": "m", "threadId": "t"});
    resource[name] = value;
    read(&resource)
}

/// As in the API's reference, shortened.
#[test]
fn a_whole_resource() {
    let message = read(&json!({
        "id": "18d1", "threadId": "18d0", "labelIds": ["INBOX", "UNREAD"], "historyId": "987654321",
        "snippet": "It&#39;s 5 &lt; 6 &amp;&amp; &quot;so&quot; &#x1F600; &unknown; & &#0; &#xZ; &#+65;",
        "internalDate": "1706774400000", "sizeEstimate": 4321, "classificationLabelValues": [{"labelId": "x"}],
        "payload": {
            "partId": "", "mimeType": "multipart/mixed", "filename": "",
            "headers": [
                {"name": "Subject", "value": "Grüße"},
                {"name": "from", "value": "Jörg <J@Example.com>"},
                {"name": "DATE", "value": "Thu, 1 Feb 2024 09:00:00 +0100"}
            ],
            "body": {"size": 0},
            "parts": [
                {"partId": "0", "mimeType": "text/plain", "filename": "",
                 "headers": [{"name": "Content-Type", "value": "text/plain; charset=\"ISO-8859-1\""}],
                 "body": {"size": 4, "data": "Y2Fm6Q=="}},
                {"partId": "1", "mimeType": "image/PNG", "filename": "a.png", "headers": [],
                 "body": {"attachmentId": "ANGj", "size": 12345}}
            ]
        }
    }))
    .unwrap();
    assert_eq!(
        message,
        Message {
            provider_message_id: "18d1".into(),
            provider_thread_id: "18d0".into(),
            history_id: Some(987_654_321),
            label_ids: Some(vec!["INBOX".into(), "UNREAD".into()]),
            snippet: Some("It's 5 < 6 && \"so\" 😀 &unknown; & &#0; &#xZ; &#+65;".into()),
            internal_date: Some(1_706_774_400_000),
            size_estimate: Some(4321),
            format: Format::Full,
            headers: Some(vec![
                ("Subject".into(), "Grüße".into()),
                ("from".into(), "Jörg <J@Example.com>".into()),
                ("DATE".into(), "Thu, 1 Feb 2024 09:00:00 +0100".into()),
            ]),
            subject: Some("Grüße".into()),
            from: Some(person(Some("Jörg"), "J@example.com")),
            reply_to: vec![],
            to: vec![],
            cc: vec![],
            bcc: vec![],
            sent_at: Some("2024-02-01T09:00:00+01:00".into()),
            message_id: None,
            in_reply_to: vec![],
            references: vec![],
            body_plain: Some("café".into()),
            body_html: None,
            attachments: Some(vec![Attachment {
                part_id: "1".into(),
                attachment_id: Some("ANGj".into()),
                filename: Some("a.png".into()),
                mime_type: "image/png".into(),
                size_bytes: Some(12345),
                content: None,
                content_id: None,
                inline: false,
            }]),
        }
    );
    assert_eq!(message.has_attachments(), Some(true));
}

#[test]
fn partial_fetches_say_less() {
    let metadata =
        with("payload", json!({"mimeType": "multipart/mixed", "headers": [{"name": "Subject", "value": "s"}]}));
    let metadata = metadata.unwrap();
    assert_eq!((metadata.format, metadata.subject.as_deref()), (Format::Metadata, Some("s")));
    assert_eq!((metadata.body_plain, metadata.attachments, metadata.label_ids), (None, None, None));
    let minimal = with("labelIds", json!([])).unwrap();
    assert_eq!((minimal.format, minimal.headers, minimal.label_ids), (Format::Minimal, None, Some(vec![])));
    let nulls = json!({"id": "m", "threadId": "t", "payload": null, "raw": null, "labelIds": null, "snippet": null});
    assert_eq!(read(&nulls).unwrap().format, Format::Minimal);
    assert_eq!(Format::Minimal.name(), "minimal");
}

#[test]
fn a_body_that_has_to_be_downloaded_is_attached() {
    let payload = json!({"partId": "", "mimeType": "text/plain", "body": {"attachmentId": "x", "size": 9_000_000}});
    let message = with("payload", payload).unwrap();
    assert_eq!(message.body_plain, None);
    assert_eq!(message.attachments.unwrap()[0].size_bytes, Some(9_000_000));
}

#[test]
fn parts_without_ids_get_them_by_their_place() {
    let image = json!({"mimeType": "image/png", "body": {"data": "AAEC"}});
    let payload = json!({"parts": [image, {"mimeType": "multipart/related", "parts": [{}, image]}]});
    let mut payload = payload;
    payload["mimeType"] = json!("multipart/mixed");
    let attachments = with("payload", payload).unwrap().attachments.unwrap();
    assert_eq!(attachments.iter().map(|a| a.part_id.as_str()).collect::<Vec<_>>(), ["0", "1.1"]);
    assert_eq!(attachments[0].content.as_deref(), Some(&[0u8, 1, 2][..]));
}

#[test]
fn refusals() {
    let wrong = |field, expected| Err(Refusal::Type { field, expected });
    assert_eq!(read(&json!([])), Err(Refusal::NotAnObject));
    assert_eq!(read(&json!({"threadId": "t"})), Err(Refusal::Missing("id")));
    assert_eq!(read(&json!({"id": "", "threadId": "t"})), Err(Refusal::Missing("id")));
    assert_eq!(read(&json!({"id": "m"})), Err(Refusal::Missing("threadId")));
    assert_eq!(read(&json!({"id": 1, "threadId": "t"})), wrong("id", "a string"));
    assert_eq!(with("payload", json!("x")), wrong("payload", "an object"));
    assert_eq!(with("payload", json!({"headers": {}})), wrong("payload.headers", "an array"));
    assert_eq!(with("payload", json!({"headers": [{"name": 1}]})), wrong("payload.headers.name", "a string"));
    let parts = json!({"mimeType": "multipart/mixed", "parts": [1]});
    assert_eq!(with("payload", parts), wrong("payload.parts", "an array of objects"));
    assert_eq!(with("labelIds", json!("INBOX")), wrong("labelIds", "an array"));
    assert_eq!(with("labelIds", json!([1])), wrong("labelIds", "an array of strings"));
    assert_eq!(with("internalDate", json!("soon")), wrong("internalDate", "an integer"));
    assert_eq!(with("internalDate", json!(1.5)), wrong("internalDate", "an integer"));
    assert_eq!(with("internalDate", json!("")), wrong("internalDate", "an integer"));
    assert_eq!(with("internalDate", json!("-")), wrong("internalDate", "an integer"));
    assert_eq!(with("internalDate", json!("+1")), wrong("internalDate", "an integer"));
    assert_eq!(with("internalDate", json!("253402300800000")), Err(Refusal::Range("internalDate")));
    assert_eq!(with("historyId", json!("99999999999999999999")), Err(Refusal::Range("historyId")));
    assert_eq!(with("raw", json!("not base64!")), Err(Refusal::Base64("raw")));
    assert_eq!(with("raw", json!({})), wrong("raw", "a string"));
    let body = json!({"body": {"data": "%%%"}});
    assert_eq!(with("payload", body), Err(Refusal::Base64("payload.body.data")));
    let image = json!({"partId": "0", "mimeType": "image/png", "body": {"size": 1, "attachmentId": "x"}});
    let twins = json!({"mimeType": "multipart/mixed", "parts": [image, image]});
    assert_eq!(with("payload", twins), Err(Refusal::PartIds));
    let refusals: Vec<_> = [
        Refusal::NotAnObject,
        Refusal::Missing("id"),
        Refusal::Type { field: "id", expected: "a string" },
        Refusal::Range("internalDate"),
        Refusal::Base64("raw"),
        Refusal::Depth,
        Refusal::TooMany("parts"),
        Refusal::PartIds,
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    assert_eq!(
        refusals,
        [
            "is not a JSON object",
            "has no id",
            "needs a string as its id",
            "has its internalDate out of range",
            "has its raw not in base64url",
            "has parts nested more than 100 deep",
            "has more than 100000 parts",
            "has two parts with the same partId",
        ]
    );
}
