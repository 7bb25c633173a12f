//! E-mail addresses as the web takes them: the syntax of HTML's `<input type=email>` (WHATWG HTML, "E-mail state"), with
//! letters of all scripts (RFC 6531) and the lengths of RFC 5321.
//!
//! So there are no quoted local parts, comments, display names and address literals, and dots may stand anywhere in the
//! local part, as they do in addresses of some carriers. Other than there, a domain has a dot, as all on the internet
//! have, and its last label is not a number.

use super::Invalid;
use super::chars::{is_invisible, trim};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// In octets (RFC 5321, 4.5.3.1.3, without the angle brackets).
const LONGEST: usize = 254;
const LONGEST_LOCAL: usize = 64;
const LONGEST_LABEL: usize = 63;

pub fn apply(text: &str) -> Result<Option<Cow<'_, str>>, Invalid> {
    let address = trim(text);
    if address.is_empty() {
        return Ok(None);
    }
    // Making a domain normal shortens it to a quarter at most; what is longer is not looked at.
    if address.len() > 4 * LONGEST {
        return Err(Invalid::Email);
    }
    let (local, given) = address.rsplit_once('@').ok_or(Invalid::Email)?;
    let domain = lower(given);
    if !is_local(local) || !is_domain(&domain) || local.len() + 1 + domain.len() > LONGEST {
        return Err(Invalid::Email);
    }
    Ok(Some(if given == domain { Cow::Borrowed(address) } else { Cow::Owned(format!("{local}@{domain}")) }))
}

/// The address in lower case; the local part letter by letter, as the domain.
pub fn lowered(text: &str) -> Result<Option<Cow<'_, str>>, Invalid> {
    let Some(address) = apply(text)? else { return Ok(None) };
    if !address.chars().any(|letter| letter.to_lowercase().ne([letter])) {
        return Ok(Some(address));
    }
    // It may be longer than before.
    let lowered: String = address.chars().flat_map(char::to_lowercase).collect();
    Ok(apply(&lowered)?.map(|address| Cow::Owned(address.into_owned())))
}

/// The domain as registries compare it, nearly so: IDNA's mapping (UTS #46) is NFKC and lower case, letter by letter, as
/// a sigma is none of its two at the end.
fn lower(domain: &str) -> Cow<'_, str> {
    if !domain.is_ascii() {
        return Cow::Owned(domain.nfkc().flat_map(char::to_lowercase).nfkc().collect());
    }
    if domain.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(domain.to_ascii_lowercase());
    }
    Cow::Borrowed(domain)
}

fn is_local(local: &str) -> bool {
    (1..=LONGEST_LOCAL).contains(&local.len())
        && local.chars().all(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => true,
            '.' | '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '/' | '=' | '?' | '^' | '_' | '`' | '{' | '|'
            | '}' | '~' | '-' => true,
            _ => !c.is_ascii() && !c.is_whitespace() && !c.is_control() && !is_invisible(c),
        })
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().count() <= LONGEST_LABEL
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| {
                c == '-' || c.is_ascii_alphanumeric() || !c.is_ascii() && (c.is_alphanumeric() || is_combining_mark(c))
            })
    };
    domain.split('.').all(is_label)
        && domain.rsplit_once('.').is_some_and(|(_, last)| !last.bytes().all(|byte| byte.is_ascii_digit()))
}
