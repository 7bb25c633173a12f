//! Numbers, judged digit by digit.

use super::{Reading, sure, trimmed, unsure};
use std::borrow::Cow;

/// A decimal number: its digits without zeros around them, and the power of ten of the last of them.
struct Decimal<'a> {
    negative: bool,
    /// Before the point, and after it.
    digits: [&'a str; 2],
    exponent: i64,
    /// How many digits are written after the point, zeros too, moved by the exponent.
    scale: i64,
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
        let scale = i64::try_from(fraction.len()).ok()? - exponent;
        let fraction = fraction.trim_end_matches('0');
        let cut = if fraction.is_empty() { whole.trim_end_matches('0') } else { whole };
        let zeros = i64::try_from(whole.len() - cut.len()).ok()?;
        let exponent = exponent - i64::try_from(fraction.len()).ok()? + zeros;
        let whole = cut.trim_start_matches('0');
        let fraction = if whole.is_empty() { fraction.trim_start_matches('0') } else { fraction };
        Some(Self { negative, digits: [whole, fraction], exponent, scale })
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

pub(super) fn integer(text: &str, least: i64, most: i64, refusal: &str) -> Result<Reading<'static>, String> {
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

pub(super) fn numeric<'a>(text: Cow<'a, str>, fits: Option<(i64, i64)>, refusal: &str) -> Result<Reading<'a>, String> {
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
    // Zeros count, too, when Postgres reads it.
    if number.scale > 16_383 { Ok(unsure(text)) } else { Ok(sure(text)) }
}

pub(super) fn float<'a>(text: Cow<'a, str>, single: bool, refusal: &str) -> Result<Reading<'a>, String> {
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
