//! Addresses of RFC 5322 (3.4) as they are written: also by those who never read it.

use super::Address;
use super::header::{decode, unquote};
use crate::normalize::Normalizer;
use std::mem::take;

/// Every address in `value`, in its order; those of groups too, whose names are left out.
pub fn addresses(value: &str) -> Vec<Address> {
    let mut reader = Reader::default();
    let mut rest = value;
    while let Some(letter) = rest.chars().next() {
        let taken = match letter {
            '"' => reader.quoted(rest),
            '(' => reader.comment(rest),
            _ => None,
        };
        rest = rest.get(taken.unwrap_or(letter.len_utf8())..).unwrap_or_default();
        if taken.is_none() {
            reader.letter(letter);
        }
    }
    reader.end();
    reader.addresses
}

/// What has been read of an address.
#[derive(Default)]
struct Reader {
    /// All that is outside of angle brackets, in its quotes.
    words: String,
    /// What is in angle brackets.
    angle: Option<String>,
    in_angle: bool,
    /// How much of `words` is before or in that.
    named: usize,
    comment: String,
    /// Quotes and parentheses that nothing closes are letters, and so are all after them.
    no_quotes: bool,
    no_comments: bool,
    addresses: Vec<Address>,
}

impl Reader {
    fn letter(&mut self, letter: char) {
        match letter {
            '<' if !self.in_angle && self.angle.is_none() => (self.angle, self.in_angle) = (Some(String::new()), true),
            '>' if self.in_angle => (self.in_angle, self.named) = (false, self.words.len()),
            // A second address without a comma: what is between them is its name.
            '<' if !self.in_angle => {
                let name = self.words.split_off(self.named.min(self.words.len()));
                self.end();
                (self.words, self.angle, self.in_angle) = (name, Some(String::new()), true);
            }
            // A route (RFC 5322, 4.4) has commas and colons.
            ',' | ':' if self.in_angle && self.text().trim_start().starts_with('@') => self.text().push(letter),
            // Outlook's separator, and a group's end.
            ',' | ';' => self.end(),
            // A group's name is before a colon, but so is that of a scheme, and an IPv6 address has some.
            ':' if !self.in_angle && self.angle.is_none() && !self.words.contains(['@', '[']) => self.words.clear(),
            letter => self.text().push(letter),
        }
    }

    fn text(&mut self) -> &mut String {
        match &mut self.angle {
            Some(angle) if self.in_angle => angle,
            _ => &mut self.words,
        }
    }

    /// Takes the quoted string that `rest` begins with; its length.
    fn quoted(&mut self, rest: &str) -> Option<usize> {
        if self.no_quotes {
            return None;
        }
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, letter)| {
            let ends = *letter == '"' && !escaped;
            escaped = *letter == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else {
            self.no_quotes = true;
            return None;
        };
        self.text().push_str(rest.get(..=end)?);
        Some(end + 1)
    }

    /// Takes the comment that `rest` begins with, and those in it; its length.
    fn comment(&mut self, rest: &str) -> Option<usize> {
        if self.no_comments {
            return None;
        }
        let (mut depth, mut escaped) = (0usize, false);
        let end = rest.char_indices().find(|(_, letter)| {
            match letter {
                '(' if !escaped => depth += 1,
                ')' if !escaped => depth = depth.saturating_sub(1),
                _ => {}
            }
            escaped = *letter == '\\' && !escaped;
            depth == 0
        });
        let Some((end, _)) = end else {
            self.no_comments = true;
            return None;
        };
        // The first says who it is; one in an address says nothing of the kind.
        if self.comment.is_empty() && !self.in_angle {
            self.comment = rest.get(1..end)?.replace("\\(", "(").replace("\\)", ")");
        }
        Some(end + 1)
    }

    /// Ends an address, whatever there is of it.
    fn end(&mut self) {
        let (words, angle, comment) = (take(&mut self.words), self.angle.take(), take(&mut self.comment));
        (self.in_angle, self.named) = (false, 0);
        let words = words.trim();
        let angle = angle.map(|angle| angle.trim().to_owned()).filter(|angle| !angle.is_empty());
        if let Some(angle) = angle {
            let address = angle
                .strip_prefix('@')
                .and_then(|route| route.rsplit_once(':'))
                .map_or(angle.as_str(), |(_, address)| address);
            self.push(words, &comment, address);
        } else if !words.contains('@') {
            // No address, but somebody: a local user, or a name whose address is kept from us.
            let somebody = display(words);
            self.push("", &comment, &somebody);
        } else if words.contains('"') {
            self.push("", &comment, words);
        } else {
            let (emails, names): (Vec<_>, Vec<_>) = words.split_whitespace().partition(|word| word.contains('@'));
            // One name is of one address: it is not told again and again.
            let mut of = (names.join(" "), comment);
            for email in emails {
                let (name, comment) = take(&mut of);
                self.push(&name, &comment, email);
            }
        }
    }

    fn push(&mut self, name: &str, comment: &str, email: &str) {
        let email = match Normalizer::Email.apply(email) {
            Ok(Some(email)) => email.into_owned(),
            _ => email.trim().to_owned(),
        };
        if !email.is_empty() {
            let name = Some(display(name)).filter(|name| !name.is_empty());
            let name = name.or_else(|| Some(display(comment)).filter(|comment| !comment.is_empty()));
            self.addresses.push(Address { name, email });
        }
    }
}

/// A phrase as people read it: without quotes, decoded, with single spaces.
fn display(phrase: &str) -> String {
    let mut plain = String::with_capacity(phrase.len());
    let mut rest = phrase;
    while let Some((before, quoted)) = rest.split_once('"') {
        let mut escaped = false;
        let end = quoted.find(|letter| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        });
        let Some((inner, after)) = end.and_then(|end| quoted.split_at_checked(end)) else { break };
        plain.push_str(before);
        plain.push_str(&unquote(&format!("\"{inner}\"")));
        rest = after.get(1..).unwrap_or_default();
    }
    plain.push_str(rest);
    decode(&plain).split_whitespace().collect::<Vec<_>>().join(" ")
}
