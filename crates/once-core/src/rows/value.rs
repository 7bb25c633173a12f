//! Values of JSON as the texts that a column's type reads, or the reason why it would not. What is said to be sure here
//! the type takes without an error and without changing it; the rest is asked of Postgres itself.

use serde_json::value::RawValue;
use std::borrow::Cow;

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
            (Self::Json, json) => Ok(sure(as_json(json))),
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

fn as_json<'a>(json: &Json<'a>) -> Cow<'a, str> {
    match json {
        Json::String(text) => serde_json::Value::from(*text).to_string().into(),
        Json::Null => "null".into(),
        other => plain(other),
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

/// A decimal number: its digits without zeros around them, and the power of ten of the last of them.
struct Decimal<'a> {
    negative: bool,
    /// Before the point, and after it.
    digits: [&'a str; 2],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let cut = if fraction.is_empty() { whole.trim_end_matches('0') } else { whole };
        let zeros = i64::try_from(whole.len() - cut.len()).ok()?;
        let exponent = exponent - i64::try_from(fraction.len()).ok()? + zeros;
        let whole = cut.trim_start_matches('0');
        let fraction = if whole.is_empty() { fraction.trim_start_matches('0') } else { fraction };
        Some(Self { negative, digits: [whole, fraction], exponent })
    }

    fn is_zero(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.digits.iter().map(|digits| digits.len()).sum()
    }

    /// How many digits stand before the point, and how many after it.
    fn places(&self) -> (i64, i64) {
        let digits = i64::try_from(self.len()).unwrap_or(i64::MAX);
        (digits.saturating_add(self.exponent), self.exponent.saturating_neg())
    }
}

/// An exponent of few enough digits that nothing overflows.
fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.strip_prefix('+').unwrap_or(text).parse().ok()
}

fn integer(text: &str, least: i64, most: i64, refusal: &str) -> Result<Reading<'static>, String> {
    let number = Decimal::parse(text.trim()).ok_or_else(|| refusal.to_string())?;
    let out_of_range = || format!("is not between {least} and {most}");
    let value = match number.places() {
        _ if number.is_zero() => 0,
        (_, fraction) if fraction > 0 => return Err(refusal.into()),
        (whole, _) if whole > 19 => return Err(out_of_range()),
        _ => {
            let zeros = usize::try_from(number.exponent).unwrap_or(0);
            let sign = if number.negative { "-" } else { "" };
            format!("{sign}{}{}", number.digits.concat(), "0".repeat(zeros))
                .parse::<i64>()
                .map_err(|_| out_of_range())?
        }
    };
    if value < least || value > most { Err(out_of_range()) } else { Ok(sure(value.to_string().into())) }
}

fn is_special(text: &str) -> bool {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text).to_ascii_lowercase();
    text.eq_ignore_ascii_case("nan") || bare == "infinity" || bare == "inf"
}

fn numeric<'a>(text: Cow<'a, str>, fits: Option<(i64, i64)>, refusal: &str) -> Result<Reading<'a>, String> {
    let text = trimmed(text);
    if is_special(&text) {
        return Ok(unsure(text));
    }
    let number = Decimal::parse(&text).ok_or_else(|| refusal.to_string())?;
    let (whole, fraction) = number.places();
    // numeric.c: the most digits before and after the point that a numeric of no declared size holds.
    let (most_whole, most_fraction) = fits.map_or((131_072, 16_383), |(precision, scale)| (precision - scale, scale));
    if !number.is_zero() && (whole > most_whole || fraction > most_fraction) {
        return Err(match fits {
            Some((precision, scale)) => format!("does not fit numeric({precision},{scale})"),
            None => "is out of range".into(),
        });
    }
    Ok(sure(text))
}

fn float<'a>(text: Cow<'a, str>, single: bool, refusal: &str) -> Result<Reading<'a>, String> {
    let text = trimmed(text);
    if is_special(&text) {
        return Ok(sure(text));
    }
    let number = Decimal::parse(&text).ok_or_else(|| refusal.to_string())?;
    let value = if single { text.parse::<f32>().map(f64::from) } else { text.parse::<f64>() };
    match value {
        Ok(value) if value.is_finite() && (value != 0.0 || number.is_zero()) => Ok(sure(text)),
        _ => Err("is out of range".into()),
    }
}

/// A time of day of the twelve-hour clock, `2:15 PM`, on that of twenty-four; `None` for what is none.
fn twelve_hours(text: &str) -> Option<String> {
    // An hour of one digit is as clear without noon.
    if text.as_bytes().get(1) == Some(&b':') && text.is_ascii() && !text.ends_with(['m', 'M']) {
        return Some(format!("0{text}"));
    }
    let lower = text.to_ascii_lowercase();
    let (time, noon) = match lower.strip_suffix("am") {
        Some(time) => (time, 0),
        None => (lower.strip_suffix("pm")?, 12),
    };
    let (hour, rest) = time.trim_end().split_once(':')?;
    let hour: u32 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    Some(format!("{:02}:{rest}", hour % 12 + noon))
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

/// Reads dates and times as ISO 8601 writes them.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        if !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.rest = rest;
        Some(number.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        if !bytes.contains(first) {
            return None;
        }
        self.rest = rest;
        Some(*first)
    }

    fn date(&mut self) -> bool {
        let mut read = || {
            let year = self.number(4)?;
            self.one_of(b"-")?;
            let month = self.number(2)?;
            self.one_of(b"-")?;
            let day = self.number(2)?;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                4 | 6 | 9 | 11 => 30,
                2 if leap => 29,
                2 => 28,
                _ => 31,
            };
            Some(year >= 1 && (1..=12).contains(&month) && (1..=last).contains(&day))
        };
        read().unwrap_or(false)
    }

    fn time_of_day(&mut self, digits: usize) -> bool {
        let mut read = || {
            let hour = self.number(2)?;
            self.one_of(b":")?;
            let minute = self.number(2)?;
            let second = if self.one_of(b":").is_some() { self.number(2)? } else { 0 };
            Some(hour < 24 && minute < 60 && second < 60 && self.fraction(digits))
        };
        read().unwrap_or(false)
    }

    /// Digits after a point, of which no more than so many say something.
    fn fraction(&mut self, digits: usize) -> bool {
        let before = self.rest;
        if self.one_of(b".").is_none() {
            return true;
        }
        let count = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let telling = self.rest[..count].iter().rposition(|b| *b != b'0').map_or(0, |at| at + 1);
        if count == 0 || telling > digits {
            self.rest = before;
            return false;
        }
        self.rest = &self.rest[count..];
        true
    }

    /// Whether it stopped at a fraction that is too long.
    fn too_precise(&self, digits: usize) -> bool {
        matches!(self.rest.split_first(), Some((b'.', rest)) if rest.iter().take_while(|b| b.is_ascii_digit()).count() > digits)
    }

    /// `Z`, an offset, or nothing.
    fn zone(&mut self) -> bool {
        if self.rest.is_empty() || self.one_of(b"Z").is_some() {
            return true;
        }
        let mut read = || {
            self.one_of(b"+-")?;
            let hours = self.number(2)?;
            let colon = self.one_of(b":").is_some();
            let minutes = if colon || !self.rest.is_empty() { self.number(2)? } else { 0 };
            Some(hours < 16 && minutes < 60)
        };
        read().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &Kind, json: Json<'_>) -> Result<String, String> {
        kind.read(&json).map(|reading| reading.text.into_owned())
    }

    fn number(text: &str) -> Json<'static> {
        Json::Number(text.into())
    }

    #[test]
    fn numbers_keep_every_digit() {
        let exact = "123456789012345678901234567890.123456789012345678901234567890";
        assert_eq!(read(&Kind::Numeric { fits: None }, number(exact)), Ok(exact.into()));
        assert_eq!(read(&Kind::Text { most: None }, number(exact)), Ok(exact.into()));
        let money = Kind::Numeric { fits: Some((12, 2)) };
        assert_eq!(read(&money, Json::String(" 10.50 ")), Ok("10.50".into()));
        assert_eq!(read(&money, number("10.500")), Ok("10.500".into()));
        assert_eq!(read(&money, number("1e9")), Ok("1e9".into()));
        for bad in ["10.505", "1e10", "12345678901", "1e-3"] {
            assert_eq!(read(&money, number(bad)), Err("does not fit numeric(12,2)".into()), "{bad}");
        }
        for bad in ["1,234.50", "RM 5", "", "1 000", "0x10", "1e", "--1", "."] {
            assert_eq!(read(&money, Json::String(bad)), Err("is not a number".into()), "{bad}");
        }
        assert_eq!(read(&Kind::Numeric { fits: None }, number("1e131072")), Err("is out of range".into()));
        // numeric(3,-3): whole thousands, up to 999000.
        let thousands = Kind::Numeric { fits: Some((3, -3)) };
        assert!(read(&thousands, number("999000")).is_ok());
        assert!(read(&thousands, number("1000000")).is_err() && read(&thousands, number("500")).is_err());
    }

    #[test]
    fn integers_are_whole_and_in_range() {
        let int = Kind::Integer { least: -2_147_483_648, most: 2_147_483_647 };
        for (given, text) in
            [("007", "7"), ("5.0", "5"), ("-0", "0"), ("+3", "3"), ("12e3", "12000"), ("-2147483648", "-2147483648")]
        {
            assert_eq!(read(&int, Json::String(given)), Ok(text.into()), "{given}");
        }
        assert_eq!(read(&int, number("2147483648")), Err("is not between -2147483648 and 2147483647".into()));
        assert_eq!(read(&int, number("1e400")), Err("is not between -2147483648 and 2147483647".into()));
        assert_eq!(read(&int, number("1.5")), Err("is not a whole number".into()));
        assert_eq!(read(&int, Json::Array("[1]".into())), Err("is not a whole number".into()));
        let big = Kind::Integer { least: i64::MIN, most: i64::MAX };
        assert_eq!(read(&big, number("9223372036854775807")), Ok("9223372036854775807".into()));
        assert!(read(&big, number("9223372036854775808")).is_err());
    }

    #[test]
    fn dates_and_times_are_iso_and_real() {
        for good in ["2024-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(read(&Kind::Date, Json::String(good)), Ok(good.into()));
        }
        for bad in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "01/02/2024",
            "2024-1-5",
            "20240105",
            "0000-01-01",
            "now",
            "2024-01-05T00:00",
        ] {
            assert_eq!(read(&Kind::Date, Json::String(bad)), Err("is not a date written YYYY-MM-DD".into()), "{bad}");
        }
        let time = Kind::TimestampTz { digits: 6 };
        for good in [
            "2024-01-05",
            "2024-01-05 10:00",
            "2024-01-05T10:00:00Z",
            "2024-01-05T10:00:00.123456+08:00",
            "2024-01-05T10:00:00.1230000-0330",
            "2024-01-05T10:00:00+08",
        ] {
            assert_eq!(read(&time, Json::String(good)), Ok(good.into()), "{good}");
        }
        for bad in [
            "2024-01-05T",
            "2024-01-05T24:00",
            "2024-01-05T10:60",
            "2024-01-05T10:00:60",
            "2024-01-05T10:00:00+8",
            "2024-01-05T10:00 PST",
            "2024-01-05T10:00:00.",
            "infinity",
        ] {
            assert!(read(&time, Json::String(bad)).is_err(), "{bad}");
        }
        assert_eq!(
            read(&time, Json::String("2024-01-05T10:00:00.1234567Z")),
            Err("has more than 6 digits of a second".into())
        );
        assert_eq!(read(&Kind::Time { digits: 0 }, Json::String("09:30")), Ok("09:30".into()));
        for (given, text) in
            [("2:15 PM", "14:15"), ("12:05am", "00:05"), ("12:00 PM", "12:00"), ("09:30:10 am", "09:30:10")]
        {
            assert_eq!(read(&Kind::Time { digits: 0 }, Json::String(given)), Ok(text.into()));
        }
        for bad in ["13:00 PM", "0:30 am", "PM", "2 PM", "2:15 PMpm"] {
            assert!(read(&Kind::Time { digits: 0 }, Json::String(bad)).is_err(), "{bad}");
        }
        assert!(read(&Kind::Time { digits: 0 }, Json::String("09:30:00.5")).is_err());
        assert_eq!(read(&Kind::Time { digits: 6 }, Json::String("9:30")), Ok("09:30".into()));
        assert!(read(&Kind::Time { digits: 6 }, Json::String("a:30")).is_err());
    }

    #[test]
    fn uuids_and_booleans_have_one_form() {
        let uuid = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11";
        let expected = Ok("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".to_string());
        assert_eq!(read(&Kind::Uuid, Json::String(uuid)), expected);
        assert_eq!(read(&Kind::Uuid, Json::String(&uuid.replace('-', ""))), expected);
        assert_eq!(read(&Kind::Uuid, Json::String(&format!("{{{uuid}}}"))), expected);
        assert!(read(&Kind::Uuid, Json::String("a0ee-bc999c0b4ef8bb6d6bb9bd380a11")).is_err());
        for (given, expected) in [("Yes", "true"), ("0", "false"), (" t ", "true")] {
            assert_eq!(read(&Kind::Boolean, Json::String(given)), Ok(expected.into()));
        }
        assert_eq!(read(&Kind::Boolean, Json::Bool(true)), Ok("true".into()));
        assert!(read(&Kind::Boolean, Json::String("maybe")).is_err());
    }

    #[test]
    fn arrays_become_what_their_input_reads() {
        let texts = Kind::Array { of: Box::new(Kind::Text { most: None }) };
        let json = r#"["a", "b,c", "say \"x\" \\", null, "NULL", "", 7, {"k": [1]}]"#;
        let reading = texts.read(&Json::Array(json.into())).unwrap();
        assert_eq!(reading.text, r#"{"a","b,c","say \"x\" \\",NULL,"NULL","","7","{\"k\": [1]}"}"#);
        assert!(reading.sure);
        let numbers = Kind::Array { of: Box::new(Kind::Numeric { fits: None }) };
        let reading = numbers.read(&Json::Array("[[1.50, 2], [3, 4]]".into())).unwrap();
        assert_eq!((reading.text.as_ref(), reading.sure), (r#"{{"1.50","2"},{"3","4"}}"#, false));
        let money = Kind::Array { of: Box::new(Kind::Numeric { fits: Some((12, 2)) }) };
        let rounded = read(&money, Json::Array("[1.505]".into()));
        assert_eq!(rounded, Err("has an element that does not fit numeric(12,2)".into()));
        let times = Kind::Array { of: Box::new(Kind::Timestamp { digits: 6 }) };
        assert!(read(&times, Json::Array(r#"["2024-01-05T10:00:00+08:00"]"#.into())).is_err());
        let documents = Kind::Array { of: Box::new(Kind::Json) };
        assert_eq!(
            read(&documents, Json::Array(r#"["a", [1], {"b": 2}]"#.into())),
            Ok(r#"{"\"a\"","[1]","{\"b\": 2}"}"#.into())
        );
        assert!(read(&texts, Json::String("a, b")).is_err());
        assert_eq!(read(&texts, Json::String("{a,b}")), Ok("{a,b}".into()));
    }

    #[test]
    fn json_stays_json() {
        assert_eq!(read(&Kind::Json, Json::String("a \"b\"")), Ok(r#""a \"b\"""#.into()));
        assert_eq!(read(&Kind::Json, number("1.10")), Ok("1.10".into()));
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert_eq!(read(&Kind::Json, Json::Array(deep.clone())), Ok(deep));
    }

    #[test]
    fn texts_are_not_cut() {
        let five = Kind::Text { most: Some(5) };
        assert_eq!(read(&five, Json::String("ÄÖÜßé")), Ok("ÄÖÜßé".into()));
        assert_eq!(read(&five, Json::String("sixsix")), Err("is longer than 5 characters".into()));
    }

    #[test]
    fn floats_are_in_range() {
        let double = Kind::Float { single: false };
        assert!(read(&double, number("1e308")).is_ok() && read(&double, number("0.000")).is_ok());
        assert!(read(&double, number("1e309")).is_err() && read(&double, number("1e-400")).is_err());
        assert!(read(&Kind::Float { single: true }, number("1e39")).is_err());
        assert!(read(&double, Json::String("NaN")).is_ok() && read(&double, Json::String("1_0")).is_err());
    }
}
