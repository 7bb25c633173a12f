//! What headers say: encoded words, parameters, dates and message ids.

use super::encoding::{base64_lenient, percent, q, text};
use mail_parser::DateTime;
use std::borrow::Cow;

/// `value` without the line breaks of folding (RFC 5322, 2.2.3), trimmed.
pub fn unfold(value: Cow<'_, str>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(value) if !value.contains(['\r', '\n']) => Cow::Borrowed(value.trim()),
        value => Cow::Owned(value.replace(['\r', '\n'], "").trim().to_owned()),
    }
}

/// `value` with its encoded words decoded (RFC 2047). Neighbours in one charset are decoded together, as many mailers
/// cut a letter in two; words that touch others are decoded too.
pub fn decode(value: &str) -> Cow<'_, str> {
    let mut decoded = String::new();
    let mut run = Run::default();
    let (mut rest, mut searched) = (value, 0);
    while let Some(found) = rest.get(searched..).and_then(|unread| unread.find("=?")) {
        let start = searched + found;
        let Some((between, word)) = rest.split_at_checked(start) else { break };
        let Some((charset, encoding, from)) = head(word) else {
            searched = start + 2;
            continue;
        };
        // Where this word has no end, none has.
        let Some((encoded, after)) = from.split_once("?=") else { break };
        let bytes = if encoding == "b" { base64_lenient(encoded.as_bytes()) } else { q(encoded) };
        let neighbours = !run.charset.is_empty() && between.trim().is_empty();
        if !neighbours || !run.charset.eq_ignore_ascii_case(charset) || is_stateful(charset) {
            run.end(&mut decoded);
            // White space between encoded words is none of the text.
            decoded.push_str(if neighbours { "" } else { between });
            run.charset = charset;
        }
        run.bytes.extend(bytes);
        (rest, searched) = (after, 0);
    }
    if rest.len() == value.len() {
        return Cow::Borrowed(value);
    }
    run.end(&mut decoded);
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// Whether each word begins and ends in ASCII, by escapes that can't be next to each other.
fn is_stateful(charset: &str) -> bool {
    let begins = |with: &str| charset.get(..with.len()).is_some_and(|name| name.eq_ignore_ascii_case(with));
    begins("iso-2022") || begins("utf-7")
}

/// Encoded words that are decoded together.
#[derive(Default)]
struct Run<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
}

impl Run<'_> {
    fn end(&mut self, decoded: &mut String) {
        decoded.push_str(&text(&self.bytes, Some(self.charset)));
        self.bytes.clear();
    }
}

/// The charset of the encoded word that `text` begins with, `b` or `q`, and what is after its third `?`.
fn head(text: &str) -> Option<(&str, &'static str, &str)> {
    let (charset, rest) = text.strip_prefix("=?")?.split_once('?').filter(|(charset, _)| charset.len() <= 75)?;
    let (encoding, rest) = match rest.split_once('?')? {
        ("b" | "B", rest) => ("b", rest),
        ("q" | "Q", rest) => ("q", rest),
        _ => return None,
    };
    // A language may follow the charset (RFC 2231, 5).
    let charset = charset.split_once('*').map_or(charset, |(charset, _)| charset);
    (!charset.is_empty() && !charset.contains(char::is_whitespace)).then_some((charset, encoding, rest))
}

/// A header that has parameters (RFC 2045, 5.1; RFC 2183, 2).
pub struct Parameters<'a> {
    /// The word before them, in lower case.
    pub value: String,
    /// Names in lower case; values without their quotes.
    list: Vec<(String, Cow<'a, str>)>,
}

impl<'a> Parameters<'a> {
    pub fn read(header: &'a str) -> Self {
        let mut pieces = split(header);
        let value = pieces.next().unwrap_or_default();
        // A comment may follow the value, or what has lost its semicolon.
        let value = value.split(|c: char| c == '(' || c.is_whitespace()).find(|value| !value.is_empty());
        let value = value.unwrap_or_default().to_ascii_lowercase();
        let list = pieces
            .filter_map(|piece| piece.split_once('='))
            .map(|(name, value)| {
                let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
                // A comment may follow (RFC 2045, 5.1). Names of files have parentheses without quotes, boundaries have not.
                let comment = (name == "boundary" && !value.starts_with('"')).then(|| value.split_once(" (")).flatten();
                let value = unquote(comment.map_or(value, |(value, _)| value.trim_end()));
                (name, value)
            })
            .collect();
        Self { value, list }
    }

    /// A parameter's text; `None` where it is missing or empty. The extended form of RFC 2231 counts before the plain
    /// one, and encoded words are decoded, which no RFC allows and many mailers write.
    pub fn get(&self, name: &str) -> Option<String> {
        let decoded = self.extended(name).or_else(|| self.plain(name).map(|value| decode(value).into_owned()))?;
        Some(decoded.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// What delimits the parts of a multipart: as it is written, since the delimiters are too.
    pub fn boundary(&self) -> Option<String> {
        let written = self.plain("boundary").map(str::trim_end).filter(|written| !written.is_empty());
        written.map(str::to_owned).or_else(|| self.get("boundary"))
    }

    /// A parameter as it is written.
    pub fn plain(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_ref())
    }

    /// `name*` (RFC 2231, 4), or `name*0`, `name*1*` and so on (3), which may cut a letter in two.
    fn extended(&self, name: &str) -> Option<String> {
        let mut pieces: Vec<(u32, bool, &str)> = self
            .list
            .iter()
            .filter_map(|(other, value)| {
                let suffix = other.strip_prefix(name)?.strip_prefix('*')?;
                let (number, encoded) = match suffix.strip_suffix('*') {
                    Some(number) => (number, true),
                    None => (suffix, suffix.is_empty()),
                };
                let number = if number.is_empty() { 0 } else { number.parse().ok()? };
                Some((number, encoded, value.as_ref()))
            })
            .collect();
        pieces.sort_by_key(|(number, ..)| *number);
        pieces.dedup_by_key(|(number, ..)| *number);
        let mut charset = None;
        let mut bytes = Vec::new();
        for ((number, encoded, value), expected) in pieces.iter().zip(0u32..) {
            if *number != expected {
                break;
            }
            let mut value = *value;
            if expected == 0
                && *encoded
                && let Some((first, rest)) = value.split_once('\'')
                && let Some((_language, rest)) = rest.split_once('\'')
            {
                (charset, value) = (Some(first), rest);
            }
            if *encoded {
                percent(value, &mut bytes);
            } else {
                bytes.extend_from_slice(value.as_bytes());
            }
        }
        pieces.first().filter(|(number, ..)| *number == 0).map(|_| text(&bytes, charset).into_owned())
    }
}

/// What is between semicolons that are not in quotes.
fn split(header: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    header.split(move |c| {
        let ends = c == ';' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && quoted && !escaped;
        ends
    })
}

/// A quoted string's text (RFC 5322, 3.2.4). A `\` that escapes nothing stays, as in the Windows paths of old mailers.
pub fn unquote(value: &str) -> Cow<'_, str> {
    let Some(inner) = value.strip_prefix('"') else { return Cow::Borrowed(value) };
    // What follows the quotes is a comment, or has lost its semicolon.
    let after = inner.rmatch_indices('"').next().and_then(|(end, _)| {
        let after = inner.get(end + 1..)?;
        let ends = after.is_empty() || after.starts_with([' ', '\t', '(']) && !inner.get(..end)?.ends_with('\\');
        ends.then_some(after.len() + 1)
    });
    let inner = after.and_then(|after| inner.get(..inner.len() - after)).unwrap_or(inner);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars().peekable();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => letters.next_if(|next| matches!(next, '"' | '\\')).unwrap_or('\\'),
            letter => letter,
        });
    }
    Cow::Owned(text)
}

/// A date of RFC 5322 (3.3, and 4.3 for old ones) as RFC 3339 writes it, and Postgres reads it. Without a zone, or with
/// one that is not known, it is UTC's. A leap second is the one before, for Postgres has none.
pub fn date(value: &str) -> Option<String> {
    let mut depth = 0usize;
    let outside = value.chars().filter(|letter| {
        depth = match letter {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        depth == 0 && *letter != ')'
    });
    let plain = outside.collect::<String>().split(':').map(str::trim).collect::<Vec<_>>().join(":");
    let mut words = String::with_capacity(plain.len() + 4);
    for word in plain.split_whitespace() {
        let zone = word.strip_prefix(['+', '-']).and_then(|zone| zone.parse::<u64>().ok());
        // Postgres takes less than 16 hours; mail-parser takes the rest of a division by 24.
        if zone.is_some_and(|zone| zone / 100 > 15 || zone % 100 > 59) {
            return None;
        }
        // mail-parser wants the seconds, which may be missing, and the month in three letters.
        let month = word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        words.push_str(if month { word.get(..3)? } else { word });
        let short = word.split(':').count() == 2 && word.bytes().all(|byte| byte == b':' || byte.is_ascii_digit());
        words.push_str(if short && word.len() > 3 { ":00 " } else { " " });
    }
    let mut date = DateTime::parse_rfc822(&words)?;
    let leap = date.year.is_multiple_of(4) && (!date.year.is_multiple_of(100) || date.year.is_multiple_of(400));
    let days = match date.month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let exists = (1..=9999).contains(&date.year)
        && (1..=days).contains(&date.day)
        && date.hour < 24
        && date.minute < 60
        && date.second <= 60
        && date.tz_hour < 16
        && date.tz_minute < 60;
    date.second = date.second.min(59);
    exists.then(|| date.to_rfc3339())
}

/// Every `<left@right>` in `value` (RFC 5322, 3.6.4).
pub fn message_ids(value: &str) -> impl Iterator<Item = String> {
    value.split('<').skip(1).filter_map(|piece| {
        let (id, _) = piece.split_once('>')?;
        let id: String = id.chars().filter(|c| !c.is_whitespace()).collect();
        (!id.is_empty()).then(|| format!("<{id}>"))
    })
}
