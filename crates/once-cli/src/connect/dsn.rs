//! Connection strings, read as libpq's documentation has them: `key=value …`, URL, or a bare database name.
//!
//! No error repeats a value: whatever stands in the wrong place may be a piece of a password.

use std::iter::Peekable;
use std::str::Chars;

use super::keywords::{self, Known};
use crate::error::{Failure, Result};

/// Keywords and their values, in the order given: the last one of a keyword counts.
pub type Pairs = Vec<(&'static str, String)>;

/// Reads a connection string. One that holds a password is refused, because a command line is public.
pub fn parse(dsn: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    if let Some(rest) = dsn.strip_prefix("postgresql://").or_else(|| dsn.strip_prefix("postgres://")) {
        url(rest, &mut pairs)?;
    } else if dsn.contains('=') {
        words(dsn, &mut pairs)?;
    } else if dsn.contains([':', '/', '@']) {
        return Err(Failure::usage("the connection string is neither a URL nor made of key=value words")
            .detail("A URL begins with postgres:// or postgresql://.")
            .hint(EXAMPLES));
    } else if !dsn.trim().is_empty() {
        pairs.push(("dbname", dsn.trim().into()));
    }
    Ok(pairs)
}

const EXAMPLES: &str =
    "Write it as \"host=db.example.com dbname=codes user=alice\" or postgresql://alice@db.example.com/codes.";

fn keep(pairs: &mut Pairs, word: &str, value: String) -> Result<()> {
    if keywords::is_secret(word) && !value.is_empty() {
        return Err(password_refused(word));
    }
    match keywords::known(word) {
        Some(Known::Followed(name)) => pairs.push((name, value)),
        Some(Known::Ignored) => {}
        None => return Err(unknown(word)),
    }
    Ok(())
}

fn password_refused(word: &str) -> Failure {
    let hint = match word {
        "password" => "Take it out, and put it into PGPASSWORD, ~/.pgpass or a service file (~/.pg_service.conf).",
        _ => "Take it out, and put it into a service file (~/.pg_service.conf).",
    };
    Failure::usage(format!("the connection string holds a secret: {word}"))
        .detail("Other users of this machine can read a command line, and shells keep it in their history.")
        .hint(hint)
}

fn unknown(word: &str) -> Failure {
    let failure = if keywords::is_wordlike(word) {
        Failure::usage(format!("unknown keyword \"{word}\" in the connection string"))
    } else {
        Failure::usage("the connection string has an = after what is no keyword")
    };
    failure
        .detail("The keywords are those of libpq: host, port, dbname, user, sslmode, service and others.")
        .hint(EXAMPLES)
}

fn malformed(what: &str) -> Failure {
    Failure::usage(format!("the connection string can't be read: {what}"))
        .detail("Values with spaces are quoted, as in options='-c statement_timeout=5s'; inside, write \\' and \\\\.")
        .hint(EXAMPLES)
}

fn words(dsn: &str, pairs: &mut Pairs) -> Result<()> {
    let mut chars = dsn.chars().peekable();
    loop {
        skip_space(&mut chars);
        if chars.peek().is_none() {
            return Ok(());
        }
        let mut word = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_ascii_whitespace()) {
            word.push(c);
        }
        skip_space(&mut chars);
        if chars.next_if_eq(&'=').is_none() {
            return Err(malformed("an = is missing after a keyword"));
        }
        skip_space(&mut chars);
        let value = value(&mut chars)?;
        keep(pairs, &word, value)?;
    }
}

fn skip_space(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(char::is_ascii_whitespace).is_some() {}
}

fn value(chars: &mut Peekable<Chars<'_>>) -> Result<String> {
    let quoted = chars.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match chars.next() {
            Some('\\') => value.extend(chars.next()),
            Some('\'') if quoted => return Ok(value),
            Some(c) if !quoted && c.is_ascii_whitespace() => return Ok(value),
            Some(c) => value.push(c),
            None if quoted => return Err(malformed("a quote is not closed")),
            None => return Ok(value),
        }
    }
}

fn bad_url(what: &str) -> Failure {
    Failure::usage(format!("the connection URL can't be read: {what}"))
        .detail("Its form is postgresql://user@host:port/database?keyword=value&…, with hosts separated by commas.")
        .hint("Write special characters as percent codes: %2F for /, %40 for @, %3A for :, %25 for %.")
}

fn url(rest: &str, pairs: &mut Pairs) -> Result<()> {
    let before_slash = rest.split('/').next().unwrap_or(rest);
    let (user, rest) = match before_slash.find('@') {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    if let Some(user) = user {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        if !password.is_empty() {
            return Err(password_refused("password"));
        }
        if !name.is_empty() {
            keep(pairs, "user", decode(name)?)?;
        }
    }
    let (hierarchy, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = hierarchy.split_once('/').unwrap_or((hierarchy, ""));
    // user:pass/word@host: what looks like a port and a database is a password with a bare slash.
    if user.is_none() && authority.contains(':') && path.contains('@') {
        return Err(bad_url("an @ follows its first /"));
    }
    hosts(authority, pairs)?;
    if !path.is_empty() {
        keep(pairs, "dbname", decode(path)?)?;
    }
    query_words(query, pairs)
}

fn hosts(authority: &str, pairs: &mut Pairs) -> Result<()> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for part in authority.split(',') {
        let (name, port) = match part.strip_prefix('[') {
            Some(v6) => {
                let (name, after) = v6.split_once(']').ok_or_else(|| bad_url("a [ is not closed"))?;
                let port = after.strip_prefix(':').or_else(|| after.is_empty().then_some(""));
                (name, port.ok_or_else(|| bad_url("after ] comes a port or nothing"))?)
            }
            None => part.split_once(':').unwrap_or((part, "")),
        };
        if !port.chars().all(|c| c.is_ascii_digit()) {
            return Err(bad_url("a port is not a number"));
        }
        names.push(decode(name)?);
        ports.push(port);
    }
    for (word, value) in [("host", names.join(",")), ("port", ports.join(","))] {
        if !value.is_empty() {
            keep(pairs, word, value)?;
        }
    }
    Ok(())
}

fn query_words(query: &str, pairs: &mut Pairs) -> Result<()> {
    if query.is_empty() {
        return Ok(());
    }
    for part in query.strip_suffix('&').unwrap_or(query).split('&') {
        let (word, value) = part.split_once('=').ok_or_else(|| bad_url("an = is missing in its query"))?;
        if value.contains('=') {
            return Err(bad_url("a value in its query has a bare ="));
        }
        let (word, value) = (decode(word)?, decode(value)?);
        // JDBC's spelling, which libpq takes too.
        if word == "ssl" && value == "true" {
            keep(pairs, "sslmode", "require".into())?;
        } else {
            keep(pairs, &word, value)?;
        }
    }
    Ok(())
}

fn decode(text: &str) -> Result<String> {
    let broken = || bad_url("a % is not followed by two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(*b).to_digit(16));
        let (high, low) = (digit().ok_or_else(broken)?, digit().ok_or_else(broken)?);
        match u8::try_from(high * 16 + low).unwrap_or(0) {
            0 => return Err(bad_url("%00 is not allowed")),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad_url("its percent codes are not UTF-8"))
}

#[cfg(test)]
#[path = "dsn_tests.rs"]
mod tests;
