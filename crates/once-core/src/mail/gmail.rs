//! The Gmail API's message resource.

use super::address::addresses;
use super::content::{Body, Headers, Part};
use super::encoding::{base64url, without_nul};
use super::header::{date, decode, message_ids, unfold};
use super::{Address, DEPTH, Format, Json, Message, Refusal, mime};
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// In milliseconds: the years 1 to 9999.
const TIMES: RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// In bytes; Gmail's are short, and an index takes no more than some thousands.
const LONGEST_ID: usize = 1000;

/// In bytes, with its semicolon; a longer one is none.
const LONGEST_ENTITY: usize = 10;

pub fn read(resource: &Json<'_>) -> Result<Message, Refusal> {
    if !matches!(resource, Json::Object(_)) {
        return Err(Refusal::NotAnObject);
    }
    let raw = string(resource, "raw", "raw")?.filter(|raw| !raw.is_empty());
    let raw = raw.map(|raw| base64url(&raw).ok_or(Refusal::Base64("raw"))).transpose()?;
    let payload = object(resource, "payload", "payload")?;
    let (format, root) = match (&raw, payload) {
        (Some(raw), _) => (Format::Raw, Some(mime::read(raw)?)),
        (None, Some(payload)) => {
            // What a mask of fields has left over is not whole.
            let has = |field| payload.get(field).is_some();
            let whole = has("mimeType") && (has("body") || has("parts"));
            (if whole { Format::Full } else { Format::Metadata }, Some(part(payload, String::new(), 0)?))
        }
        (None, None) => (Format::Minimal, None),
    };
    let headers = root.as_ref().map(|root| {
        let owned = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| (name.to_string(), value.to_string());
        root.headers.iter().map(owned).collect::<Vec<_>>()
    });
    let found = Named(headers.as_deref().unwrap_or_default());
    let from = found.first("from").map(addresses).unwrap_or_default();
    let (body, attachments) = match root {
        Some(root) if format != Format::Metadata => root.content().map(|(body, all)| (body, Some(all)))?,
        _ => (Body::default(), None),
    };
    let internal_date = number(resource, "internalDate", "internalDate")?;
    if internal_date.is_some_and(|time| !TIMES.contains(&time)) {
        return Err(Refusal::Range("internalDate"));
    }
    let history_id = number(resource, "historyId", "historyId")?;
    Ok(Message {
        provider_message_id: required(resource, "id")?,
        provider_thread_id: required(resource, "threadId")?,
        history_id,
        label_ids: labels(resource, history_id)?,
        snippet: string(resource, "snippet", "snippet")?.map(|snippet| unescape(&snippet)),
        internal_date,
        size_estimate: number(resource, "sizeEstimate", "sizeEstimate")?,
        format,
        subject: found.first("subject").map(|subject| decode(subject).into_owned()),
        from: from.iter().find(|address| address.email.contains('@')).or(from.first()).cloned(),
        reply_to: found.addresses("reply-to"),
        to: found.addresses("to"),
        cc: found.addresses("cc"),
        bcc: found.addresses("bcc"),
        sent_at: found.first("date").and_then(date),
        message_id: found
            .first("message-id")
            .and_then(|id| message_ids(id).next().or_else(|| Some(id.to_owned()).filter(|id| !id.is_empty()))),
        in_reply_to: found.first("in-reply-to").map(|ids| message_ids(ids).collect()).unwrap_or_default(),
        references: found.first("references").map(|ids| message_ids(ids).collect()).unwrap_or_default(),
        body_plain: body.plain,
        body_html: body.html,
        attachments,
        headers,
    })
}

/// Headers by their names, in lower case.
struct Named<'a>(&'a [(String, String)]);

impl<'a> Named<'a> {
    /// The values of all headers of that name.
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// RFC 5322 wants one header of recipients; who is in another got the message too.
    fn addresses(&self, name: &str) -> Vec<Address> {
        self.all(name).flat_map(addresses).collect()
    }
}

/// A `MessagePart`; `id` is what its place makes it, `depth` that of its children.
fn part<'a>(json: &'a Json<'_>, id: String, depth: usize) -> Result<Part<'a>, Refusal> {
    if depth > DEPTH {
        return Err(Refusal::Depth);
    }
    let body = object(json, "body", "payload.body")?;
    let mut part = Part {
        id: string(json, "partId", "payload.partId")?.map_or(id, Cow::into_owned),
        headers: headers(json)?,
        filename: string(json, "filename", "payload.filename")?,
        ..Part::default()
    };
    if part.id.len() > LONGEST_ID {
        return Err(Refusal::Range("payload.partId"));
    }
    if let Some(body) = body {
        part.attachment_id = string(body, "attachmentId", "payload.body.attachmentId")?.map(Cow::into_owned);
        part.size = number(body, "size", "payload.body.size")?.filter(|size| *size >= 0);
        let data = string(body, "data", "payload.body.data")?;
        let data = data.map(|data| base64url(&data).ok_or(Refusal::Base64("payload.body.data"))).transpose()?;
        part.body = data.map(Cow::Owned);
    }
    part.mime_type = match string(json, "mimeType", "payload.mimeType")? {
        Some(mime_type) if mime_type.contains('/') => mime_type.to_ascii_lowercase(),
        _ => part.media_type("text/plain"),
    };
    // Gmail shows the parts of an attached message, which are that message's.
    if part.is_multipart() {
        let parts = array(json, "parts", "payload.parts")?.unwrap_or_default();
        part.parts = parts
            .iter()
            .enumerate()
            .map(|(place, json)| match json {
                Json::Object(_) => self::part(json, part.child(place), depth + 1),
                _ => Err(Refusal::Type { field: "payload.parts", expected: "an array of objects" }),
            })
            .collect::<Result<_, _>>()?;
    }
    Ok(part)
}

fn headers<'a>(json: &'a Json<'_>) -> Result<Headers<'a>, Refusal> {
    let headers = array(json, "headers", "payload.headers")?.unwrap_or_default();
    let header = |header: &'a Json<'_>| {
        let name = string(header, "name", "payload.headers.name")?.unwrap_or_default();
        let value = string(header, "value", "payload.headers.value")?.unwrap_or_default();
        Ok((name, unfold(value)))
    };
    headers.iter().map(header).collect()
}

/// Gmail leaves an empty list out; where the history is left out too, nothing is said of labels.
fn labels(resource: &Json<'_>, history_id: Option<i64>) -> Result<Option<Vec<String>>, Refusal> {
    let Some(labels) = array(resource, "labelIds", "labelIds")? else { return Ok(history_id.map(|_| Vec::new())) };
    let label = |label: &Json<'_>| match label {
        Json::String(label) => Ok(without_nul(Cow::Borrowed(label)).into_owned()),
        _ => Err(Refusal::Type { field: "labelIds", expected: "an array of strings" }),
    };
    labels.iter().map(label).collect::<Result<_, _>>().map(Some)
}

fn required(resource: &Json<'_>, field: &'static str) -> Result<String, Refusal> {
    let found = string(resource, field, field)?.filter(|value| !value.is_empty());
    found.map(Cow::into_owned).ok_or(Refusal::Missing(field))
}

fn string<'a>(json: &'a Json<'_>, name: &str, field: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
    match json.get(name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(without_nul(Cow::Borrowed(text)))),
        Some(_) => Err(Refusal::Type { field, expected: "a string" }),
    }
}

/// The API writes 64-bit numbers as strings.
fn number(json: &Json<'_>, name: &str, field: &'static str) -> Result<Option<i64>, Refusal> {
    let refused = Refusal::Type { field, expected: "an integer" };
    let digits = match json.get(name) {
        None => return Ok(None),
        Some(Json::String(digits) | Json::Number(digits)) => digits,
        Some(_) => return Err(refused),
    };
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused);
    }
    digits.parse().map(Some).map_err(|_| Refusal::Range(field))
}

fn object<'a, 'j>(json: &'a Json<'j>, name: &str, field: &'static str) -> Result<Option<&'a Json<'j>>, Refusal> {
    match json.get(name) {
        None => Ok(None),
        Some(object @ Json::Object(_)) => Ok(Some(object)),
        Some(_) => Err(Refusal::Type { field, expected: "an object" }),
    }
}

fn array<'a, 'j>(json: &'a Json<'j>, name: &str, field: &'static str) -> Result<Option<&'a [Json<'j>]>, Refusal> {
    match json.get(name) {
        None => Ok(None),
        Some(Json::Array(items)) => Ok(Some(items)),
        Some(_) => Err(Refusal::Type { field, expected: "an array" }),
    }
}

/// HTML's text: Gmail escapes `&`, `<`, `>` and quotes in a snippet.
fn unescape(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, from)) = rest.split_once('&') {
        text.push_str(before);
        let end = from.bytes().take(LONGEST_ENTITY).position(|byte| byte == b';');
        let entity = end.and_then(|end| Some((letter(from.get(..end)?)?, from.get(end + 1..)?)));
        (text, rest) = match entity {
            Some((letter, after)) => (text + letter.encode_utf8(&mut [0; 4]), after),
            None => (text + "&", from),
        };
    }
    text + rest
}

fn letter(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            // Rust's numbers may have a sign.
            if number.contains('+') {
                return None;
            }
            // A NUL is none of HTML's letters.
            char::from_u32(code).filter(|letter| *letter != '\0')
        }
    }
}
