//! Fixtures with something broken in them, at random but the same ones each time.

use super::super::{encoding, header};
use super::*;
use std::collections::HashSet;

/// xorshift64 (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

const PIECES: [&[u8]; 24] = [
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xe6\x97",
    b"--b",
    b"--b--",
    b"--",
    b"=",
    b"=\n",
    b"=?utf-8?q?",
    b"?=",
    b"=?iso-2022-jp?B?",
    b"\"",
    b"\\",
    b"(",
    b"<",
    b">",
    b";",
    b":",
    b"*0*=utf-8''%",
    b"\nContent-Type: message/rfc822\n",
];

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let to = (at + random.below(40)).min(bytes.len());
        match random.below(5) {
            0 => drop(bytes.drain(at..to)),
            1 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            2 => {
                let copy = bytes[at..to].to_vec();
                let place = random.below(bytes.len() + 1);
                drop(bytes.splice(place..place, copy));
            }
            3 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            _ => bytes.truncate(bytes.len() - random.below(bytes.len() / 8 + 1)),
        }
    }
}

fn check(message: &Message) {
    let mut texts = vec![&message.provider_message_id, &message.provider_thread_id];
    let options = [&message.snippet, &message.subject, &message.message_id, &message.body_plain, &message.body_html];
    texts.extend(options.into_iter().flatten());
    texts.extend(message.headers.iter().flatten().flat_map(|(name, value)| [name, value]));
    texts.extend(message.label_ids.iter().flatten().chain(&message.in_reply_to).chain(&message.references));
    let lists = [&message.reply_to, &message.to, &message.cc, &message.bcc];
    for address in lists.into_iter().flatten().chain(&message.from) {
        assert!(!address.email.is_empty());
        texts.push(&address.email);
        texts.extend(&address.name);
    }
    let mut ids = HashSet::new();
    for attachment in message.attachments.iter().flatten() {
        assert!(ids.insert(&attachment.part_id));
        texts.push(&attachment.mime_type);
        texts.extend([&attachment.filename, &attachment.content_id, &attachment.attachment_id].into_iter().flatten());
        if let Some(name) = &attachment.filename {
            check_name(name);
        }
    }
    assert!(texts.iter().all(|text| !text.contains('\0')));
}

fn check_name(name: &str) {
    let safe = file_name(name);
    assert!((1..=255).contains(&safe.len()) && safe != "." && safe != "..", "{name:?}");
    assert!(!safe.contains(['/', '\\', '\0', '\n']), "{name:?}");
    assert_eq!(file_name(&safe), safe, "{name:?}");
}

#[test]
fn broken_mail_is_read() {
    let mut random = Random(0x5eed);
    for (_, bytes, _) in super::fixtures::all() {
        for _ in 0..1500 {
            let mut bytes = bytes.clone();
            mutate(&mut bytes, &mut random);
            check(&raw(bytes));
        }
    }
}

#[test]
fn every_charset_takes_every_byte() {
    let mut random = Random(0x5eed);
    let charsets = "utf-8 us-ascii utf-7 utf-16 utf-16le utf-16be iso-8859-1 iso-8859-8-i iso-8859-16 windows-874 \
        windows-1258 macintosh ibm850 koi8-u shift_jis euc-jp iso-2022-jp gb2312 gbk gb18030 big5 big5-hkscs euc-kr \
        iso-2022-kr hz-gb-2312 x-user-defined x-unknown \u{fffd}";
    for charset in charsets.split_whitespace() {
        for _ in 0..3000 {
            let bytes: Vec<u8> = (0..random.below(12))
                .map(|_| {
                    if random.below(3) == 0 { b"\x1b$B(+-=\x80\xff"[random.below(9)] } else { random.below(256) as u8 }
                })
                .collect();
            assert!(!encoding::text(&bytes, Some(charset)).contains('\0'), "{charset} {bytes:?}");
        }
    }
}

#[test]
fn any_date_is_read_or_not() {
    let pieces = [
        "Mon, ",
        "1 ",
        "31 ",
        "Jan ",
        "February ",
        "97 ",
        "2024 ",
        "99999999999 ",
        "10:00",
        ":",
        ":61",
        "-",
        "+",
        "0530",
        "2500",
        " GMT",
        " EST",
        " CEST",
        " A",
        "(",
        ")",
        ";",
        "\\",
        "é",
        "日本 ",
        "\t",
        "24:00:00 ",
        "",
    ];
    let shape =
        regex::Regex::new(r"^\d{4}-[01]\d-[0-3]\d\u{54}[0-2]\d:[0-5]\d:[0-6]\d(Z|[+-][01]\d:[0-5]\d)$").unwrap();
    let mut random = Random(0x5eed);
    let mut read = 0;
    for _ in 0..200_000 {
        let mut text = if random.below(2) == 0 { String::new() } else { "1 Jan 2024 10:00".to_owned() };
        (0..random.below(9)).for_each(|_| text += pieces[random.below(pieces.len())]);
        if let Some(date) = header::date(&text) {
            assert!(shape.is_match(&date), "{text:?}: {date}");
            read += 1;
        }
    }
    assert!(read > 1000, "{read}");
}

/// Any value in the place of any other.
fn replace(value: &mut Value, random: &mut Random) {
    let inner = match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    };
    if inner > 0 && random.below(6) > 0 {
        let at = random.below(inner);
        return match value {
            Value::Array(items) => replace(&mut items[at], random),
            Value::Object(members) => members.values_mut().nth(at).into_iter().for_each(|value| replace(value, random)),
            _ => {}
        };
    }
    *value = match random.below(9) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!("\0"),
        4 => json!("message/rfc822"),
        5 => json!("multipart/mixed"),
        6 => json!([]),
        7 => json!({}),
        _ => json!("x".repeat(random.below(9))),
    };
}

#[test]
fn broken_json_is_read_or_refused() {
    let mut random = Random(0x5eed);
    let (mut taken, mut refused) = (0, 0);
    for (_, _, value) in super::fixtures::all() {
        for _ in 0..500 {
            let mut resource =
                json!({"id": "m", "threadId": "t", "labelIds": ["a"], "snippet": "&amp;", "internalDate": "1"});
            resource["payload"] = value["payload"].clone();
            replace(&mut resource, &mut random);
            match read(&resource) {
                Ok(message) => {
                    check(&message);
                    taken += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} {refused}");
}

#[test]
fn file_names_are_safe() {
    let mut random = Random(0x5eed);
    let letters = [
        '.', ' ', '/', '\\', 'a', 'C', 'O', 'N', '1', 'é', 'e', '\u{301}', '日', '\0', '\u{212a}', '\u{37e}',
        '\u{200d}',
    ];
    for _ in 0..20_000 {
        let length = if random.below(4) == 0 { random.below(400) } else { random.below(8) };
        let name: String = (0..length).map(|_| letters[random.below(letters.len())]).collect();
        check_name(&name);
    }
}
