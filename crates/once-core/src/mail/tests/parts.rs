use super::*;

fn mixed(parts: &[&str]) -> Message {
    let parts: String = parts.iter().map(|part| format!("--b\n{part}\n")).collect();
    raw(format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n"))
}

#[test]
fn inline_texts_are_joined() {
    let message =
        mixed(&["\none", "\n", "\ntwo\n", "Content-Type: text/html\n\n<i>", "Content-Type: text/html\n\n</i>"]);
    assert_eq!(message.body_plain.as_deref(), Some("one\ntwo\n"));
    assert_eq!(message.body_html.as_deref(), Some("<i>\n</i>"));
    assert_eq!(message.has_attachments(), Some(false));
}

#[test]
fn of_alternatives_the_first_of_each_kind_counts() {
    let message = raw("Content-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--b\n\ntwo\n\
         --b\nContent-Type: text/html\n\n<1>\n--b\nContent-Type: text/html\n\n<2>\n--b--\n");
    assert_eq!((message.body_plain.as_deref(), message.body_html.as_deref()), (Some("one"), Some("<1>")));
}

#[test]
fn what_is_neither_plain_nor_html_is_attached() {
    let message = mixed(&["\nx", "Content-Type: text/csv\n\n1,2", "Content-Type: nonsense\n\ny"]);
    assert_eq!(message.body_plain.as_deref(), Some("x\ny"));
    let attachment = &message.attachments.unwrap()[0];
    assert_eq!((attachment.mime_type.as_str(), attachment.part_id.as_str()), ("text/csv", "1"));
    assert_eq!(attachment.content.as_deref(), Some(&b"1,2"[..]));
}

#[test]
fn inline_is_what_its_sender_asked_for() {
    let inline = |headers: &str| {
        let message = mixed(&[&format!("Content-Type: image/png\n{headers}\n\nx")]);
        message.attachments.unwrap()[0].inline
    };
    assert!(inline("Content-Disposition: inline; filename=a.png"));
    assert!(inline("Content-ID: <a@b>"));
    assert!(!inline("Content-ID: <a@b>\nContent-Disposition: attachment"));
    assert!(!inline("X: y"));
}

#[test]
fn parts_nested_too_deep_are_refused() {
    let nested = |levels: usize| {
        let mut text = String::new();
        for level in 0..levels {
            text += &format!("Content-Type: multipart/mixed; boundary=b{level}_\n\n--b{level}_\n");
        }
        read(&json!({"id": "m", "threadId": "t", "raw": base64url((text + "\nx").as_bytes())}))
    };
    assert_eq!(nested(DEPTH).unwrap().body_plain.as_deref(), Some("x"));
    assert_eq!(nested(DEPTH + 1), Err(Refusal::Depth));
    assert_eq!(nested(20_000), Err(Refusal::Depth));

    let nested = |levels: usize| {
        let mut payload = json!({"mimeType": "text/plain", "body": {"data": "eA"}});
        for _ in 0..levels {
            payload = json!({"mimeType": "multipart/mixed", "parts": [payload]});
        }
        read(&json!({"id": "m", "threadId": "t", "payload": payload}))
    };
    assert_eq!(nested(DEPTH).unwrap().body_plain.as_deref(), Some("x"));
    assert_eq!(nested(DEPTH + 1), Err(Refusal::Depth));
}

/// Messages attached to messages are not looked into, so they may be as deep as they like.
#[test]
fn messages_in_messages() {
    let message = raw("Content-Type: message/rfc822\n\n".repeat(100_000));
    let attachment = &message.attachments.unwrap()[0];
    assert_eq!((attachment.part_id.as_str(), attachment.size_bytes), ("", Some(2_999_970)));
}

#[test]
fn many_parts_and_headers() {
    let refused = |text: String| read(&json!({"id": "m", "threadId": "t", "raw": base64url(text.as_bytes())})).err();
    let parts = |count: usize| {
        format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--", "--b\nContent-Type: a/b\n\nx\n".repeat(count))
    };
    // One header is the message's own.
    assert_eq!(raw(parts(LIMIT - 1)).attachments.unwrap().len(), LIMIT - 1);
    assert_eq!(refused(parts(LIMIT)), Some(Refusal::TooMany("headers")));
    assert_eq!(refused("--b\n".repeat(LIMIT)), None);
    let bare = |count: usize| "Content-Type: multipart/mixed; boundary=b\n\n".to_owned() + &"--b\n".repeat(count);
    assert_eq!((refused(bare(LIMIT)), refused(bare(LIMIT + 1))), (None, Some(Refusal::TooMany("parts"))));
    assert_eq!(raw("a:\n".repeat(LIMIT)).headers.unwrap().len(), LIMIT);
    assert_eq!(refused("a:\n".repeat(LIMIT + 1)), Some(Refusal::TooMany("headers")));
}

/// A text that no empty line is before, whatever it begins with.
#[test]
fn a_text_is_not_taken_for_headers() {
    assert_eq!(
        mixed(&["  indented\ntext", "From here on"]).body_plain.as_deref(),
        Some("  indented\ntext\nFrom here on")
    );
    assert_eq!(raw(" \tonly\n").body_plain.as_deref(), Some(" \tonly\n"));
    // Before headers there is none.
    let message = raw("From x\n folded\nSubject: s\n\ntext");
    assert_eq!((message.subject.as_deref(), message.body_plain.as_deref()), (Some("s"), Some("text")));
}

#[test]
fn a_closing_delimiter_alone_is_no_part() {
    let multipart = |text: &str| raw(format!("Content-Type: multipart/mixed; boundary=b\n\n{text}"));
    assert_eq!(multipart("text\n--b--\n").body_plain.as_deref(), Some("text\n"));
    assert_eq!(multipart("--b--\n--b\n\ntext\n--b--\n").body_plain.as_deref(), Some("text"));
    assert_eq!(multipart("--b--\n").body_plain, None);
}

#[test]
fn comments_in_what_says_how_to_read() {
    for boundary in ["b (comment)", "\"b\" (comment)", "\"b\"; (comment)"] {
        let message = raw(format!("Content-Type: multipart/mixed; boundary={boundary}\n\n--b\n\ntext\n--b--\n"));
        assert_eq!(message.body_plain.as_deref(), Some("text"), "{boundary}");
    }
    // Delimiters are not decoded.
    let message = raw("Content-Type: multipart/mixed; boundary=\"=?a?q?b?=\"\n\n--=?a?q?b?=\n\ntext\n--=?a?q?b?=--\n");
    assert_eq!(message.body_plain.as_deref(), Some("text"));
    for encoding in ["base64 (comment)", "BASE64;", "\"base64\"", " base64 "] {
        let message = raw(format!("Content-Transfer-Encoding: {encoding}\n\ndGV4dA=="));
        assert_eq!(message.body_plain.as_deref(), Some("text"), "{encoding}");
    }
}

/// Each level looks through all that is in it.
#[test]
fn large_and_deep() {
    let begun = std::time::Instant::now();
    let nested: String =
        (0..DEPTH).map(|level| format!("Content-Type: multipart/mixed; boundary=b{level}_\n\n--b{level}_\n")).collect();
    for line in ["\n", "--\n", "--b\n"] {
        let body = line.repeat(16_000_000 / line.len());
        assert_eq!(raw(format!("{nested}\n{body}")).body_plain.unwrap().len(), body.len());
    }
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}
