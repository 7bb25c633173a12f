//! Telephone numbers: what people write is read here, strictly, and told by libphonenumber's numbering plans.
//!
//! libphonenumber looks for a number in any text, and would find one in many that mean another or none: it takes letters
//! for digits, `6.0123456789E10` for 6012345678910 and `03-2345678/9` for 0323456789. So it is given nothing but digits.

use super::Invalid;
use super::chars::{digit, is_invisible, trim};
use rlibphonenumber::enums::Region;
use rlibphonenumber::interfaces::AsOriginal as _;
use rlibphonenumber::{
    PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, get_national_significant_number_owned as significant,
};
use std::borrow::Cow;

/// The numbering plans' version: that of the metadata in the rlibphonenumber that Cargo.lock names.
pub const METADATA: &str = "9.0.42";

/// In bytes; libphonenumber's own limit, in characters.
const LONGEST: usize = 250;

/// A number has at most 17 digits with its country code, here and there; before it an international prefix.
const MOST_DIGITS: usize = 24;

/// The code of a region that has a numbering plan, in upper case.
pub fn region(code: &str) -> Option<String> {
    let region = Region::from_code(code).ok().filter(|&region| region != Region::World)?;
    PHONE_NUMBER_UTIL.get_country_code_for_region(region)?;
    Some(region.to_string())
}

pub fn apply<'a>(text: &'a str, region: &str) -> Result<Option<Cow<'a, str>>, Invalid> {
    let text = trim(text);
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = || Invalid::Phone { region: region.to_owned() };
    if text.len() > LONGEST {
        return Err(invalid());
    }
    if is_exponent(text) {
        return Err(Invalid::Exponent);
    }
    let number = Dialled::read(text).and_then(|dialled| dialled.number(region)).ok_or_else(invalid)?;
    Ok(Some(if number == text { Cow::Borrowed(text) } else { Cow::Owned(number) }))
}

/// Whether this is what a spreadsheet shows of a long number, as `6.0123456789E10`.
fn is_exponent(text: &str) -> bool {
    let Some((digits, exponent)) = text.split_once(['E', 'e']) else { return false };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(exponent) && are_digits(&digits.replacen(['.', ','], "", 1))
}

/// The digits that were written.
struct Dialled {
    /// A plus sign, written or not, and the digits.
    digits: String,
    /// Whether the plus sign was written.
    international: bool,
    /// Whether nothing but digits was written.
    bare: bool,
}

impl Dialled {
    fn read(text: &str) -> Option<Self> {
        // An apostrophe is how people keep a spreadsheet from taking a number for one.
        let text = text.strip_prefix('\'').unwrap_or(text);
        // A URL's scheme, or what exports of leads put before a number.
        let scheme = ["tel:", "p:"].into_iter().find_map(|scheme| {
            let given = text.get(..scheme.len())?;
            given.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
        });
        let text = trim(without_extension(scheme.unwrap_or(text)));
        let mut dialled = Self { digits: String::with_capacity(1 + text.len()), international: false, bare: true };
        dialled.digits.push('+');
        let (mut dot, mut slash) = (None, None);
        for c in without_fraction(text)?.chars() {
            let len = dialled.digits.len() - 1;
            match c {
                '0'..='9' => dialled.digits.push(c),
                _ if is_invisible(c) => continue,
                '+' | '\u{FF0B}' if len == 0 && !dialled.international => dialled.international = true,
                ' ' | '\t' | '\u{A0}' | '(' | ')' | '[' | ']' | '\u{FF08}' | '\u{FF09}' => {}
                // A sum (`=012-3456789` is -3456777), or an end that was lost, begins with a sign.
                '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30FC}' | '\u{FF0D}' if len > 0 => {}
                '.' | '\u{FF0E}' if len > 0 => dot = Some(len),
                '/' | '\u{FF0F}' if len > 0 && slash.is_none() => slash = Some(len),
                _ if is_blank(c) => {}
                _ => dialled.digits.push(digit(c)?),
            }
            dialled.bare &= dialled.digits.len() - 1 > len;
        }
        let len = dialled.digits.len() - 1;
        // One digit after a point is a fraction; a number's groups are longer.
        let fraction = dot.is_some_and(|dot| dot + 1 == len);
        let two_numbers = slash.is_some_and(|slash| !dialled.parts_area_code(slash));
        ((3..=MOST_DIGITS).contains(&len) && !fraction && !two_numbers).then_some(dialled)
    }

    /// Whether the slash before this digit parts an area code from the number, as in `030/123456`, and does not stand for
    /// "or", as in `03-2345678/9` and `012-3456789/013-3456789`.
    fn parts_area_code(&self, slash: usize) -> bool {
        let (area, number) = self.digits[1..].split_at(slash);
        (self.international || area.starts_with('0'))
            && area.len() <= 8
            && number.len() >= 5
            && !number.starts_with('0')
    }

    /// The number that is meant, if the numbering plans have it: in national form, after the region's international prefix
    /// or with its own country's code before it; or else, after 00, or of bare digits, with any country's code.
    fn number(&self, region: &str) -> Option<String> {
        let region = Region::from_code(region).ok();
        let written = &self.digits;
        let national = &written[1..];
        let number = match national.strip_prefix("00") {
            _ if self.international => valid(written, region),
            Some(number) => valid(national, region).or_else(|| valid(&format!("+{number}"), region)),
            None => valid(national, region)
                .or_else(|| (self.bare && !national.starts_with('0')).then(|| valid(written, region))?),
        }?;
        let e164 = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned();
        // A few numbers would lose what looks like a prefix if they were read again (Belarus': 8104918640, dialled with
        // an 8 before it): there is no form to store these in.
        let same = || PHONE_NUMBER_UTIL.parse(&e164, region).is_ok_and(|again| again == number);
        (e164 == *written && self.international || is_without_prefix(&number) || same()).then_some(e164)
    }
}

/// Whether nothing that could be a national prefix begins the number. Reading E.164 takes nothing else away.
fn is_without_prefix(number: &PhoneNumber) -> bool {
    let (plans, code) = (PHONE_NUMBER_UTIL.as_original(), number.country_code);
    let plan = plans
        .get_region_for_country_code(code)
        .and_then(|first| plans.get_metadata_for_region_or_calling_code(code, first));
    plan.and_then(|plan| plan.national_prefix_for_parsing().anchor_start().ok())
        .is_some_and(|prefix| prefix.is_none_or(|prefix| !prefix.is_match(&significant(number))))
}

/// The number, if the numbering plans have it.
fn valid(digits: &str, region: Option<Region>) -> Option<PhoneNumber> {
    let number = PHONE_NUMBER_UTIL.parse(digits, region).ok()?;
    // Most are of the first region that has the country code; `is_valid_number` would look twice there.
    let first = PHONE_NUMBER_UTIL.get_region_for_country_code(number.country_code)?;
    let valid =
        PHONE_NUMBER_UTIL.is_valid_number_for_region(&number, first) || PHONE_NUMBER_UTIL.is_valid_number(&number);
    valid.then_some(number)
}

/// White space that does not begin another line: what is there is another number.
fn is_blank(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A whole number that a program took for a floating-point number, `60123456789.0`, as it was; `None` for another decimal
/// fraction, which is no number that people call.
fn without_fraction(text: &str) -> Option<&str> {
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) if whole.len() >= 7 && are_digits(whole) && are_digits(fraction) => {
            (fraction == "0" && !whole.starts_with('0')).then_some(whole)
        }
        _ => Some(text),
    }
}

/// How an extension begins, longer ones first: libphonenumber's words for it, and RFC 3966's.
const EXTENSIONS: [&str; 12] = [
    ";ext=",
    "extensi\u{F3}n",
    "extension",
    "extn",
    "ext",
    "anexo",
    "\u{434}\u{43E}\u{431}", // доб
    "int",
    "x",
    "\u{FF58}",
    "#",
    "\u{FF03}",
];

/// The text before an extension, such as `ext. 12` or `x12`, of 1 to 7 digits.
fn without_extension(text: &str) -> &str {
    let before = text.trim_end_matches('#');
    let number = before.trim_end_matches(|c| digit(c).is_some());
    let digits = before[number.len()..].chars().count();
    let label = number.trim_end_matches(|c: char| matches!(c, '.' | ':' | ',' | '-') || is_blank(c));
    // What every one of these ends with: most numbers have no extension.
    if !label.ends_with(|c: char| c.is_alphabetic() || matches!(c, '=' | '#' | '\u{FF03}')) {
        return text;
    }
    let Some(rest) = EXTENSIONS.iter().find_map(|word| strip_suffix(label, word)) else { return text };
    let rest = rest.trim_end_matches(|c: char| matches!(c, ',' | ';') || is_blank(c));
    if (1..=7).contains(&digits) && rest.ends_with(|c| digit(c).is_some() || c == ')') { rest } else { text }
}

/// `text` without `suffix`, which is in lower case, at its end.
fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let start = text.char_indices().rev().nth(suffix.chars().count() - 1)?.0;
    let same = text[start..].chars().flat_map(char::to_lowercase).eq(suffix.chars());
    same.then_some(&text[..start])
}

#[cfg(test)]
#[path = "phone_tests.rs"]
mod tests;
