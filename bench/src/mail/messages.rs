//! A window of messages as the Gmail API gives them with `format=full`, the same for the same seed.

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::generate::scramble;

/// How many messages are taken in at once.
pub const BATCH: usize = 500;

/// When the first message came, in seconds since 1970.
const FIRST: u64 = 1_700_000_000;

const PEOPLE: [(&str, &str); 8] = [
    ("Wei Ling Tan", "weiling"),
    ("José Müller", "jose"),
    ("Aiman Abdullah", "aiman"),
    ("Billing", "billing"),
    ("Kumar Raman", "kumar"),
    ("Sophie Martin", "sophie"),
    ("Nurul Hassan", "nurul"),
    ("No Reply", "no-reply"),
];
const SYLLABLES: [&str; 16] =
    ["an", "re", "to", "mi", "sa", "lo", "ver", "ten", "per", "shi", "do", "qua", "em", "ist", "ge", "ful"];
const FILES: [(&str, &str); 4] = [
    ("invoice", "application/pdf"),
    ("minutes", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("figures", "text/csv"),
    ("logo", "image/png"),
];

/// What was written.
#[derive(Serialize)]
pub struct Window {
    pub messages: u64,
    pub threads: u64,
    pub attachments: u64,
    /// Of the JSON.
    pub bytes: u64,
    /// Of the bodies in it, decoded.
    pub text_bytes: u64,
    #[serde(skip)]
    pub batches: Vec<Box<RawValue>>,
    /// The files with the batches.
    #[serde(skip)]
    pub paths: Vec<PathBuf>,
}

impl Window {
    /// `count` messages, the newest first, as the API lists them.
    pub fn write(folder: &Path, seed: u64, count: u64) -> Result<Self> {
        let mut window = Self {
            messages: count,
            threads: 0,
            attachments: 0,
            bytes: 0,
            text_bytes: 0,
            batches: vec![],
            paths: vec![],
        };
        let places = places(seed, count);
        window.threads = places.iter().map(|place| place.thread).collect::<HashSet<_>>().len() as u64;
        let words = words();
        let numbered: Vec<_> = places.iter().enumerate().map(|(number, place)| (number as u64, place)).rev().collect();
        for (number, batch) in numbered.chunks(BATCH).enumerate() {
            let messages = batch.iter().map(|(number, place)| window.message(seed, *number, place, &words));
            let text = Value::from(messages.collect::<Vec<_>>()).to_string();
            let path = folder.join(format!("messages-{number:04}.json"));
            fs::write(&path, &text)?;
            window.bytes += text.len() as u64;
            window.batches.push(RawValue::from_string(text)?);
            window.paths.push(path);
        }
        Ok(window)
    }

    fn message(&mut self, seed: u64, number: u64, place: &Place, words: &[String]) -> Value {
        let mut random = Random::of(seed, number);
        let length = body_length(&mut random);
        let body = if random.below(10) < 3 {
            part("", "text/plain", random.text(words, length), true)
        } else {
            let plain = part("0", "text/plain", random.text(words, length / 4), false);
            let html = part("1", "text/html", random.html(words, length - length / 4), false);
            json!({"partId": "", "mimeType": "multipart/alternative", "filename": "", "body": {"size": 0},
                   "headers": [{"name": "Content-Type", "value": "multipart/alternative; boundary=\"000000alt\""}],
                   "parts": [plain, html]})
        };
        self.text_bytes += length;
        let files = if random.below(3) == 0 { 1 + random.below(3) } else { 0 };
        self.attachments += files;
        let mut payload = if files > 0 {
            let mut parts = vec![within(body, "0")];
            parts.extend((1..=files).map(|place| random.attachment(place)));
            json!({"partId": "", "mimeType": "multipart/mixed", "filename": "", "body": {"size": 0}, "parts": parts,
                   "headers": [{"name": "Content-Type", "value": "multipart/mixed; boundary=\"000000mixed\""}]})
        } else {
            body
        };
        let mut headers = random.headers(number, place, words);
        headers.extend(payload["headers"].as_array().cloned().unwrap_or_default());
        payload["headers"] = headers.into();

        let mut labels = vec![["INBOX", "SENT", "CATEGORY_UPDATES", "CATEGORY_PROMOTIONS"][random.below(4) as usize]];
        labels.extend((random.below(4) == 0).then_some("UNREAD"));
        labels.extend((random.below(3) == 0).then_some("IMPORTANT"));
        let snippet = random.text(words, 150).replace('\n', " ");
        json!({
            "id": id(number),
            "threadId": id(place.thread),
            "labelIds": labels,
            "snippet": format!("It&#39;s {} &amp; more", snippet.trim()),
            "payload": payload,
            "sizeEstimate": 3000 + length * 4 / 3,
            "historyId": (5_000_000 + number * 3).to_string(),
            "internalDate": (place.seconds() * 1000 + random.below(1000)).to_string(),
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, threads, attachments, bytes, text_bytes, batches, .. } = self;
        write!(
            f,
            "{messages} messages in {} batches, {threads} threads, {attachments} attachments; {:.1} MB of JSON, of which \
             {:.1} MB are bodies before base64",
            batches.len(),
            *bytes as f64 / 1e6,
            *text_bytes as f64 / 1e6
        )
    }
}

/// Where a message stands.
struct Place {
    /// When it came, in minutes since the first.
    minute: u64,
    /// The number of the thread's first message.
    thread: u64,
    /// How many are before it in the thread.
    replies: u64,
}

impl Place {
    fn seconds(&self) -> u64 {
        FIRST + self.minute * 60
    }
}

/// Messages in the order in which they came, of threads that go on beside each other.
fn places(seed: u64, count: u64) -> Vec<Place> {
    let mut places = Vec::new();
    for thread in 0..count {
        let mut random = Random::of(!seed, thread);
        let mut minute = thread * 10;
        for replies in 0..=random.below(6) {
            places.push(Place { minute, thread, replies });
            minute += 1 + random.below(1000);
        }
    }
    places.sort_by_key(|place| (place.minute, place.thread));
    places.truncate(count as usize);
    // Threads are called by their first messages.
    let mut first = vec![0; count as usize];
    for (number, place) in (0..).zip(&mut places) {
        let first = &mut first[place.thread as usize];
        if place.replies == 0 {
            *first = number;
        }
        place.thread = *first;
    }
    places
}

/// Gmail's id of a message.
fn id(number: u64) -> String {
    format!("{:016x}", 0x18c0_0000_0000_0000 + (number << 24) + (scramble(number, 0) & 0xff_ffff))
}

/// From 2 kB to 50 kB, short ones more often than long ones: each doubling as often as any other.
fn body_length(random: &mut Random) -> u64 {
    let shortest = 2000 << random.below(5);
    shortest + random.below(shortest.min(50_000 - shortest))
}

fn words() -> Vec<String> {
    let syllable = |number: usize| SYLLABLES[number % SYLLABLES.len()];
    let word = |number: u64| {
        let bits = scramble(number, 1) as usize;
        (0..1 + bits % 4).map(|place| syllable(bits >> (4 * place + 8))).collect()
    };
    (0..2000).map(word).collect()
}

/// A part that is text.
fn part(id: &str, mime_type: &str, text: String, is_whole: bool) -> Value {
    let mut headers = vec![json!({"name": "Content-Type", "value": format!("{mime_type}; charset=\"UTF-8\"")})];
    if !is_whole {
        headers.push(json!({"name": "Content-Transfer-Encoding", "value": "quoted-printable"}));
    }
    json!({"partId": id, "mimeType": mime_type, "filename": "", "headers": headers,
           "body": {"size": text.len(), "data": base64url(text.as_bytes())}})
}

/// A part that was a whole message, as the child `id` of another.
fn within(mut part: Value, id: &str) -> Value {
    part["partId"] = id.into();
    for (place, inner) in part.get_mut("parts").and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
        inner["partId"] = format!("{id}.{place}").into();
    }
    part
}

/// As Gmail writes it: URL-safe, with padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let value = chunk.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[(value >> shift & 63) as usize]));
        text.extend(&digits[..=chunk.len()]);
        text.push_str(&"=="[chunk.len() - 1..]);
    }
    text
}

/// As the header `Date` has it, in UTC.
fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that a leap day is a year's last (Howard Hinnant's days_to_civil).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12;
    let year = era * 400 + year + u64::from(month < 2);
    format!(
        "{}, {day} {} {year} {:02}:{:02}:{:02} +0000",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

/// Numbers that look random, for one message.
struct Random {
    stream: u64,
    drawn: u64,
}

impl Random {
    fn of(seed: u64, number: u64) -> Self {
        Self { stream: scramble(number, seed), drawn: 0 }
    }

    fn next(&mut self) -> u64 {
        self.drawn += 1;
        scramble(self.drawn, self.stream)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 8) % limit
    }

    /// Some words are much more frequent than others.
    fn word<'w>(&mut self, words: &'w [String]) -> &'w str {
        let count = words.len() as u64;
        &words[(self.below(count) * self.below(count) / count) as usize]
    }

    /// Text of so many bytes.
    fn text(&mut self, words: &[String], length: u64) -> String {
        let mut text = String::new();
        while text.len() < length as usize {
            text.push_str(self.word(words));
            // Writing to a String can't fail.
            let _ = match self.below(40) {
                0 => write!(text, " {}", self.below(100_000)),
                1 => text.write_str(" café"),
                2 => text.write_str(".\n\n"),
                3..6 => text.write_str(",\n"),
                _ => Ok(()),
            };
            text.push(' ');
        }
        cut(text, length)
    }

    /// HTML of so many bytes, of which about half are text.
    fn html(&mut self, words: &[String], length: u64) -> String {
        let mut html = String::from("<html><body style=\"margin:0;padding:0\">");
        while html.len() < length as usize {
            let text = self.text(words, 120);
            let _ = writeln!(
                html,
                "<tr><td style=\"font-family:Arial,sans-serif;font-size:{}px;color:#{:06x}\">{text}</td>\
                 <td><a href=\"https://example.com/l/{:x}\">{}</a></td></tr>",
                11 + self.below(8),
                self.below(1 << 24),
                self.next(),
                self.word(words)
            );
        }
        cut(html, length)
    }

    fn base64(&mut self, length: usize) -> String {
        let mut bytes = Vec::new();
        while bytes.len() * 4 / 3 < length {
            bytes.extend_from_slice(&self.next().to_be_bytes()[1..]);
        }
        let mut text = base64url(&bytes);
        text.truncate(length);
        text
    }

    fn attachment(&mut self, place: u64) -> Value {
        let (name, mime_type) = FILES[self.below(FILES.len() as u64) as usize];
        let suffix = ["pdf", "docx", "csv", "png"][FILES.iter().position(|(other, _)| *other == name).unwrap_or(0)];
        let filename = format!("{name}-{}.{suffix}", self.below(10_000));
        let disposition = if suffix == "png" { "inline" } else { "attachment" };
        let mut headers = vec![
            json!({"name": "Content-Type", "value": format!("{mime_type}; name=\"{filename}\"")}),
            json!({"name": "Content-Disposition", "value": format!("{disposition}; filename=\"{filename}\"")}),
            json!({"name": "Content-Transfer-Encoding", "value": "base64"}),
        ];
        if suffix == "png" {
            headers.push(json!({"name": "Content-ID", "value": format!("<ii_{:x}>", self.next())}));
        }
        json!({"partId": place.to_string(), "mimeType": mime_type, "filename": filename, "headers": headers,
               "body": {"attachmentId": format!("ANGjdJ8{}", self.base64(380)), "size": 1000 + self.below(2_000_000)}})
    }

    fn headers(&mut self, number: u64, place: &Place, words: &[String]) -> Vec<Value> {
        let person = |random: &mut Self| {
            let (name, local) = PEOPLE[random.below(8) as usize];
            format!("{name} <{local}{}@example.org>", random.below(500))
        };
        let date = date(place.seconds());
        let subject = Random::of(0, place.thread).text(words, 40).replace('\n', " ");
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut headers = vec![
            ("Delivered-To", "ann@example.com".to_owned()),
            (
                "Received",
                format!("by 2002:a05:6402:1:b0:{:x} with SMTP id {}; {date}", self.next(), self.below(1 << 30)),
            ),
            ("X-Received", format!("by 2002:a17:906:2 with SMTP id {:x}; {date}", self.next())),
            ("ARC-Seal", format!("i=1; a=rsa-sha256; d=google.com; s=arc-20240605; b={}", self.base64(340))),
            ("Return-Path", format!("<bounce-{:x}@example.org>", self.next())),
            ("Received", format!("from mail.example.org by mx.google.com with ESMTPS id {:x}; {date}", self.next())),
            (
                "Authentication-Results",
                "mx.google.com; dkim=pass header.i=@example.org; spf=pass; dmarc=pass".to_owned(),
            ),
            ("DKIM-Signature", format!("v=1; a=rsa-sha256; d=example.org; s=s1; h=from:to; b={}", self.base64(340))),
            ("MIME-Version", "1.0".to_owned()),
            ("Date", date),
            ("Message-ID", format!("<{number:x}@mail.example.org>")),
            ("Subject", if place.replies == 0 { subject } else { format!("Re: {subject}") }),
            ("From", person(self)),
            ("To", "Ann <ann@example.com>".to_owned()),
        ];
        if place.replies > 0 {
            headers.push(("In-Reply-To", format!("<{:x}@mail.example.org>", place.thread)));
            headers.push(("References", format!("<{:x}@mail.example.org>", place.thread)));
        }
        if self.below(3) == 0 {
            let copies = (0..=self.below(3)).map(|_| person(self)).collect::<Vec<_>>();
            headers.push(("Cc", copies.join(", ")));
        }
        headers.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    }
}

/// Its first bytes, without a piece of a letter.
fn cut(mut text: String, length: u64) -> String {
    text.truncate(text.floor_char_boundary(length as usize));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_up_to_six_messages_and_come_after_their_first() {
        let places = places(7, 5000);
        let mut sizes = vec![0; 5000];
        for (number, place) in (0..).zip(&places) {
            assert!(place.thread <= number);
            sizes[place.thread as usize] += 1;
        }
        let threads = sizes.iter().filter(|size| **size > 0).count();
        assert_eq!(sizes.iter().max(), Some(&6));
        assert!((1200..2200).contains(&threads), "{threads}");
    }

    #[test]
    fn bodies_have_2_to_50_kilobytes() {
        let lengths = (0..10_000).map(|number| body_length(&mut Random::of(7, number)));
        let (least, most) = lengths.fold((u64::MAX, 0), |(least, most), length| (least.min(length), most.max(length)));
        assert!((2000..2100).contains(&least) && (49_000..50_000).contains(&most), "{least} {most}");
    }

    #[test]
    fn dates_are_written_as_mail_has_them() {
        assert_eq!(date(1_700_000_000), "Tue, 14 Nov 2023 22:13:20 +0000");
        assert_eq!(date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 +0000");
        assert_eq!(date(0), "Thu, 1 Jan 1970 00:00:00 +0000");
    }

    #[test]
    fn a_seed_gives_always_the_same_messages() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("once-bench-messages-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let [one, same, other] = [7, 7, 8].map(|seed| Window::write(&folder, seed, 50));
        fs::remove_dir_all(&folder)?;
        let text = |window: Result<Window>| Ok::<_, anyhow::Error>(window?.batches[0].get().to_owned());
        let (one, same, other) = (text(one)?, text(same)?, text(other)?);
        assert_eq!(one, same);
        assert_ne!(one, other);
        Ok(())
    }
}
