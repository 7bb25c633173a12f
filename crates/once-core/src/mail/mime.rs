//! A text of RFC 5322 and 2045 to 2046, taken apart into the tree of parts that Gmail gives.
//!
//! No library does it without a loss here, each tried with the messages of tests/mail and broken ones made of them:
//!
//! - mail-parser 0.11.9 takes a boundary in the middle of a line for one, loses letters before a boundary that follows a
//!   soft line break, panics where there are none, and nests attached messages without a limit. 1.0.1 does not, and but
//!   for lines such as `--boundary--x` would do; it needs Rust 1.98.
//! - mailparse 0.18.0 takes a line that only begins with the boundary for one, gives no body where there are no
//!   delimiters, refuses the message as a whole for one odd line, and the part for one odd letter of base64. Its time
//!   grows with the square of a `Content-Type`'s length: 2.4 s for 400 kB, hours for what a mail server takes.

use super::content::{Headers, Part};
use super::encoding::{base64_lenient, quoted_printable, text};
use super::header::{Parameters, unfold};
use super::{DEPTH, LIMIT, Refusal};
use memchr::{memchr, memmem};
use std::borrow::Cow;

/// The root of the tree that `bytes` are.
///
/// # Errors
/// Where it would be deeper than [`DEPTH`], or have more than [`LIMIT`] parts or headers.
pub fn read(bytes: &[u8]) -> Result<Part<'_>, Refusal> {
    Reader { parts: LIMIT, headers: LIMIT }.part(bytes, String::new(), "text/plain", 0)
}

/// What may still come.
struct Reader {
    parts: usize,
    headers: usize,
}

impl Reader {
    /// The part that `bytes` are: `id` is its Gmail id, `default` its type if it has none, `depth` that of its children.
    fn part<'a>(&mut self, bytes: &'a [u8], id: String, default: &str, depth: usize) -> Result<Part<'a>, Refusal> {
        if depth > DEPTH {
            return Err(Refusal::Depth);
        }
        let (headers, body) = self.headers(bytes)?;
        let mut part = Part { id, headers, ..Part::default() };
        part.mime_type = part.media_type(default);
        let boundary = part.content_type().and_then(|content_type| content_type.boundary());
        let parts = match boundary.filter(|_| part.is_multipart()) {
            Some(boundary) => self.split(body, &boundary)?,
            None => Err(body),
        };
        match parts {
            Ok(parts) => {
                // RFC 2046, 5.1.5.
                let default = if part.mime_type == "multipart/digest" { "message/rfc822" } else { "text/plain" };
                part.parts = parts
                    .into_iter()
                    .enumerate()
                    .map(|(place, bytes)| self.part(bytes, part.child(place), default, depth + 1))
                    .collect::<Result<_, _>>()?;
                part.size = Some(0);
            }
            Err(body) => {
                let body = decode(body, part.header("content-transfer-encoding"));
                part.size = i64::try_from(body.len()).ok();
                part.body = Some(body);
            }
        }
        Ok(part)
    }

    /// The headers, and what comes after the empty line, or after the last line that can be a header.
    fn headers<'a>(&mut self, bytes: &'a [u8]) -> Result<(Headers<'a>, &'a [u8]), Refusal> {
        let mut headers: Vec<(&[u8], &[u8])> = Vec::new();
        let mut rest = bytes;
        // A mailbox file's line (RFC 4155).
        let mut skipped = rest.starts_with(b"From ");
        if skipped {
            rest = rest.get(line(rest).len()..).unwrap_or_default();
        }
        loop {
            let line = line(rest);
            let after = rest.get(line.len()..).unwrap_or_default();
            if line.trim_ascii_end().is_empty() && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                rest = after;
                break;
            }
            let folded = line.starts_with(b" ") || line.starts_with(b"\t");
            match headers.last_mut() {
                Some((_, value)) if folded => {
                    // All its lines are next to each other.
                    let start = bytes.len() - rest.len() - value.len();
                    *value = bytes.get(start..start + value.len() + line.len()).unwrap_or_default();
                }
                _ if folded => skipped = true,
                _ => {
                    let colon = line.iter().position(|byte| *byte == b':');
                    let Some((name, value)) = colon.and_then(|colon| line.split_at_checked(colon)) else { break };
                    let name = name.trim_ascii();
                    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                        break;
                    }
                    self.headers = self.headers.checked_sub(1).ok_or(Refusal::TooMany("headers"))?;
                    headers.push((name, value.get(1..).unwrap_or_default()));
                }
            }
            rest = after;
        }
        if skipped && headers.is_empty() {
            // Those lines were no headers: a text begins like that too.
            rest = bytes;
        }
        Ok((headers.into_iter().map(|(name, value)| (text(name, None), trimmed(value))).collect(), rest))
    }

    /// What is between the delimiter lines (RFC 2046, 5.1.1); the last may have no end. Where there is nothing, the text
    /// that there is instead of parts.
    fn split<'a>(&mut self, body: &'a [u8], boundary: &str) -> Result<Result<Vec<&'a [u8]>, &'a [u8]>, Refusal> {
        let delimiter = format!("--{boundary}");
        let mut parts = Vec::new();
        let (mut part, mut closed) = (None, None);
        for start in memmem::find_iter(body, delimiter.as_bytes()) {
            let (before, from) = body.split_at_checked(start).unwrap_or_default();
            if !matches!(before.last(), None | Some(b'\n')) {
                continue;
            }
            let line = line(from);
            let closes = match line.get(delimiter.len()..).unwrap_or_default().trim_ascii() {
                b"" => false,
                b"--" => true,
                _ => continue,
            };
            if closes && part.is_none() {
                // Nothing is open yet: some more may come.
                closed = closed.or(Some(before));
                continue;
            }
            if let Some(from) = part.replace(start + line.len()) {
                parts.push(without_end(before.get(from..).unwrap_or_default()));
            }
            if closes {
                return Ok(Ok(parts));
            }
            self.parts = self.parts.checked_sub(1).ok_or(Refusal::TooMany("parts"))?;
        }
        let Some(last) = part else { return Ok(Err(closed.unwrap_or(body))) };
        parts.push(body.get(last..).unwrap_or_default());
        Ok(Ok(parts))
    }
}

/// A header's text: of UTF-8 (RFC 6532), or whatever its mailer wrote.
fn trimmed(value: &[u8]) -> Cow<'_, str> {
    unfold(text(value, None))
}

/// The first line, with its end.
fn line(bytes: &[u8]) -> &[u8] {
    memchr(b'\n', bytes).and_then(|end| bytes.get(..=end)).unwrap_or(bytes)
}

/// The line break before a delimiter is the delimiter's.
fn without_end(part: &[u8]) -> &[u8] {
    part.strip_suffix(b"\r\n").or(part.strip_suffix(b"\n")).unwrap_or(part)
}

fn decode<'a>(body: &'a [u8], encoding: Option<&str>) -> Cow<'a, [u8]> {
    // A comment may follow.
    match encoding.map(|encoding| Parameters::read(encoding).value).unwrap_or_default().trim_matches('"') {
        "base64" => Cow::Owned(base64_lenient(body)),
        "quoted-printable" => Cow::Owned(quoted_printable(body)),
        _ => Cow::Borrowed(body),
    }
}
