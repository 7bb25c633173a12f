//! Normalisers that take any text.

use super::chars::{digit, is_invisible, trim};
use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfkc_quick};

fn unless_blank(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(text)
}

pub fn whitespace(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let mut after_space = false;
    // ASCII's other white space is 9 to 13; non-ASCII is looked at character by character.
    let normal = text.bytes().all(|byte| {
        let twice = after_space && byte == b' ';
        after_space = byte == b' ';
        byte < 0x80 && !twice && !(9..=13).contains(&byte)
    });
    unless_blank(if normal || is_spaced_normally(text) {
        Cow::Borrowed(text)
    } else {
        let mut spaced = String::with_capacity(text.len());
        for word in text.split_whitespace() {
            if !spaced.is_empty() {
                spaced.push(' ');
            }
            spaced.push_str(word);
        }
        Cow::Owned(spaced)
    })
}

fn is_spaced_normally(trimmed: &str) -> bool {
    let mut after_space = false;
    trimmed.chars().all(|c| {
        let twice = after_space && c == ' ';
        after_space = c == ' ';
        !twice && (c == ' ' || !c.is_whitespace())
    })
}

pub fn lower(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let normal = if text.is_ascii() {
        !text.bytes().any(|byte| byte.is_ascii_uppercase())
    } else {
        text.chars().all(|c| c.to_lowercase().eq([c]))
    };
    unless_blank(if normal { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) })
}

pub fn upper(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let normal = if text.is_ascii() {
        !text.bytes().any(|byte| byte.is_ascii_lowercase())
    } else {
        text.chars().all(|c| c.to_uppercase().eq([c]))
    };
    unless_blank(if normal { Cow::Borrowed(text) } else { Cow::Owned(text.to_uppercase()) })
}

pub fn digits(text: &str) -> Option<Cow<'_, str>> {
    let normal = text.bytes().all(|byte| byte.is_ascii_digit());
    unless_blank(if normal { Cow::Borrowed(text) } else { Cow::Owned(text.chars().filter_map(digit).collect()) })
}

pub fn code(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let ascii = text.is_ascii();
    if ascii && !text.bytes().any(|byte| byte.is_ascii_lowercase() || byte == b' ' || (9..=13).contains(&byte)) {
        return unless_blank(Cow::Borrowed(text));
    }
    let seen = text.chars().filter(|&c| is_code(c));
    if ascii {
        return unless_blank(Cow::Owned(seen.map(|c| c.to_ascii_uppercase()).collect()));
    }
    if text.chars().all(|c| is_code(c) && c.to_uppercase().eq([c])) && is_nfkc_quick(text.chars()) == IsNormalized::Yes
    {
        return unless_blank(Cow::Borrowed(text));
    }
    // Upper case may part what NFKC has composed, and NFKC may give lower case and spaces: until nothing changes, which is
    // after two rounds in all that Unicode has.
    let mut code = folded(seen);
    for _ in 0..8 {
        let next = folded(code.chars());
        if next == code {
            break;
        }
        code = next;
    }
    unless_blank(if code == text { Cow::Borrowed(text) } else { Cow::Owned(code) })
}

/// Whether the character belongs to a code.
fn is_code(c: char) -> bool {
    !c.is_whitespace() && !is_invisible(c)
}

fn folded(chars: impl Iterator<Item = char>) -> String {
    chars.nfkc().flat_map(char::to_uppercase).nfkc().filter(|&c| is_code(c)).collect()
}

pub fn unprefixed(text: &str) -> Option<Cow<'_, str>> {
    let mut text = trim(text);
    // All of them: with one left, the result would not be its own.
    while let Some((prefix, rest)) = text.split_once(':')
        && (1..=2).contains(&prefix.len())
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase())
    {
        text = trim(rest);
    }
    unless_blank(Cow::Borrowed(text))
}
