//! Values of JSON as the texts that a column's type reads, or the reason why it would not. What is said to be sure here
//! the type takes without an error and without changing it; the rest is asked of Postgres itself.

mod number;
mod time;

use number::{float, integer, numeric};
use serde_json::value::RawValue;
use std::borrow::Cow;
use time::{Scanner, twelve_hours};

/// A value as it came, from Postgres's own `jsonb`: numbers keep their digits.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Number(String),
    String(&'a str),
    /// An array or an object, as JSON.
    Array(String),
    Object(String),
}

impl Json<'_> {
    /// The value as a message shows it.
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string().into(),
            Self::String(text) => (*text).into(),
            Self::Number(text) | Self::Array(text) | Self::Object(text) => text.into(),
        }
    }

    /// Whether it says nothing: null, or a text of white space.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::String(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// The value as JSON.
    pub fn written(&self) -> Cow<'_, str> {
        match self {
            Self::String(text) => serde_json::Value::from(*text).to_string().into(),
            other => other.shown(),
        }
    }
}

/// What a row has in a column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Cell<'a> {
    /// The row does not name the column.
    #[default]
    Missing,
    Null,
    /// What the type's input reads.
    Text(Cow<'a, str>),
}

impl Cell<'_> {
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A text for a type's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'a> {
    pub text: Cow<'a, str>,
    /// Whether the type is known to take it as it is.
    pub sure: bool,
}

/// What a column can hold, as far as a value can be judged without asking the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// At most so many characters.
    Text {
        most: Option<usize>,
    },
    Boolean,
    Integer {
        least: i64,
        most: i64,
    },
    /// Precision and scale.
    Numeric {
        fits: Option<(i64, i64)>,
    },
    Float {
        single: bool,
    },
    Date,
    /// So many digits of a second.
    Time {
        digits: usize,
    },
    Timestamp {
        digits: usize,
    },
    TimestampTz {
        digits: usize,
    },
    Uuid,
    Json,
    Array {
        of: Box<Kind>,
    },
    /// What only the database can check in full.
    Domain {
        over: Box<Kind>,
    },
    /// A type that only the database knows: its own word counts.
    Other,
}

impl Kind {
    /// Whether equal values are equal texts, as `read` gives them.
    pub fn is_canonical(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Boolean | Self::Integer { .. } | Self::Date | Self::Uuid)
    }

    /// The value as a text that the type reads.
    ///
    /// # Errors
    /// Why the type would not take it, to stand after the column's name.
    pub fn read<'a>(&self, json: &Json<'a>) -> Result<Reading<'a>, String> {
        match (self, json) {
            (Self::Domain { over }, json) => {
                let reading = over.read(json)?;
                if let Self::Timestamp { .. } = **over {
                    refuse_zone(&reading.text)?;
                }
                Ok(unsure(reading.text))
            }
            (Self::Json, json) => Ok(sure(json.written().into_owned().into())),
            (Self::Array { of }, Json::Array(text)) => array(text, of),
            (Self::Array { .. }, Json::String(text)) if text.trim_start().starts_with('{') => {
                Ok(unsure((*text).into()))
            }
            (Self::Array { .. }, _) => Err("is not an array".into()),
            (Self::Text { most }, json) => fitting(plain(json), *most),
            (Self::Other, json) => Ok(unsure(plain(json))),
            (_, Json::Array(_) | Json::Object(_)) => Err(format!("is not {}", self.noun())),
            (Self::Boolean, json) => boolean(&plain(json)).ok_or_else(|| self.refusal()),
            (Self::Integer { least, most }, json) => integer(&plain(json), *least, *most, &self.refusal()),
            (Self::Numeric { fits }, json) => numeric(plain(json), *fits, &self.refusal()),
            (Self::Float { single }, json) => float(plain(json), *single, &self.refusal()),
            (Self::Uuid, json) => uuid(&plain(json)).ok_or_else(|| self.refusal()),
            (_, json) => self.instant(plain(json)),
        }
    }

    fn refusal(&self) -> String {
        format!("is not {}", self.noun())
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Text { .. } | Self::Json | Self::Domain { .. } | Self::Other => "a value of its type",
            Self::Boolean => "true or false",
            Self::Integer { .. } => "a whole number",
            Self::Numeric { .. } | Self::Float { .. } => "a number",
            Self::Date => "a date written YYYY-MM-DD",
            Self::Time { .. } => "a time of day written HH:MM:SS",
            Self::Timestamp { .. } | Self::TimestampTz { .. } => "a time written YYYY-MM-DDTHH:MM:SS",
            Self::Uuid => "a UUID",
            Self::Array { .. } => "an array",
        }
    }

    fn instant<'a>(&self, text: Cow<'a, str>) -> Result<Reading<'a>, String> {
        let text = trimmed(text);
        let mut rest = Scanner { rest: text.as_bytes() };
        let (well_formed, digits) = match self {
            Self::Date => (rest.date(), 6),
            Self::Time { digits } => match twelve_hours(&text) {
                Some(full) => return self.instant(full.into()),
                None => (rest.time_of_day(*digits), *digits),
            },
            Self::Timestamp { digits } | Self::TimestampTz { digits } => {
                let dated = rest.date();
                let separated = rest.rest.is_empty() || rest.one_of(b"T ").is_some();
                let timed = rest.rest.is_empty() || rest.time_of_day(*digits);
                (dated && separated && timed && rest.zone(), *digits)
            }
            _ => (false, 6),
        };
        match well_formed && rest.rest.is_empty() && !text.ends_with(['T', ' ']) {
            true => Ok(sure(text)),
            false if rest.too_precise(digits) => Err(format!("has more than {digits} digits of a second")),
            false => Err(self.refusal()),
        }
    }
}

fn sure(text: Cow<'_, str>) -> Reading<'_> {
    Reading { text, sure: true }
}

fn unsure(text: Cow<'_, str>) -> Reading<'_> {
    Reading { text, sure: false }
}

/// What a text column would hold of the value.
fn plain<'a>(json: &Json<'a>) -> Cow<'a, str> {
    match json {
        Json::Null => "".into(),
        Json::Bool(value) => if *value { "true" } else { "false" }.into(),
        Json::String(text) => (*text).into(),
        Json::Number(text) | Json::Array(text) | Json::Object(text) => text.clone().into(),
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => text.trim().into(),
        Cow::Owned(text) if text.trim().len() == text.len() => text.into(),
        Cow::Owned(text) => text.trim().to_string().into(),
    }
}

fn fitting(text: Cow<'_, str>, most: Option<usize>) -> Result<Reading<'_>, String> {
    match most {
        Some(most) if text.len() > most && text.chars().count() > most => {
            Err(format!("is longer than {most} characters"))
        }
        _ => Ok(sure(text)),
    }
}

fn boolean(text: &str) -> Option<Reading<'static>> {
    let text = match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => "true",
        "false" | "f" | "no" | "n" | "off" | "0" => "false",
        _ => return None,
    };
    Some(sure(text.into()))
}

/// 32 hex digits, with hyphens after the 8th, 12th, 16th and 20th or without any; braces around them are left off.
fn uuid(text: &str) -> Option<Reading<'static>> {
    let text = text.trim();
    let bare = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let hyphens: Vec<usize> = bare.bytes().enumerate().filter(|(_, b)| *b == b'-').map(|(at, _)| at).collect();
    let hex: String = bare.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let grouped = hyphens.is_empty() || hyphens == [8, 13, 18, 23];
    if !grouped || hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Some(sure(parts.join("-").into()))
}

/// A local time in a place whose type would drop the zone that it names.
fn refuse_zone(text: &str) -> Result<(), String> {
    match text.get(10..) {
        Some(time) if time.contains(['Z', '+', '-']) => Err("names a time zone, which its type does not keep".into()),
        _ => Ok(()),
    }
}

/// A JSON array as an array's input reads it.
fn array(json: &str, of: &Kind) -> Result<Reading<'static>, String> {
    let mut text = String::with_capacity(json.len() + 2);
    let sure = write_array(json, of, &mut text)?;
    Ok(Reading { text: text.into(), sure })
}

/// Whether the array is sure to be taken: it holds no other arrays, and nothing that is not.
fn write_array(json: &str, of: &Kind, out: &mut String) -> Result<bool, String> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| "is not an array")?;
    let mut all_sure = true;
    out.push('{');
    for (number, element) in elements.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        let raw = element.get();
        let string: String;
        let value = match raw.as_bytes().first() {
            Some(b'n') => {
                out.push_str("NULL");
                continue;
            }
            Some(b'[') if *of != Kind::Json => {
                all_sure = false;
                write_array(raw, of, out)?;
                continue;
            }
            Some(b'[') => Json::Array(raw.into()),
            Some(b'{') => Json::Object(raw.into()),
            Some(b't') => Json::Bool(true),
            Some(b'f') => Json::Bool(false),
            Some(b'"') => {
                string = serde_json::from_str(raw).map_err(|_| "is not an array")?;
                Json::String(&string)
            }
            _ => Json::Number(raw.into()),
        };
        let of_element = |reason: String| format!("has an element that {reason}");
        let reading = of.read(&value).map_err(of_element)?;
        if let Kind::Timestamp { .. } = of {
            refuse_zone(&reading.text).map_err(of_element)?;
        }
        all_sure &= reading.sure;
        quote_element(&reading.text, out);
    }
    out.push('}');
    Ok(all_sure)
}

fn quote_element(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests;
