//! Where an attachment is stored.

use unicode_normalization::UnicodeNormalization as _;

/// In bytes: what file systems and object stores take.
const LONGEST: usize = 255;
/// In bytes; what is longer after a dot is no extension.
const LONGEST_EXTENSION: usize = 32;

/// `name` as that of one file in a folder, on every system: in Unicode's NFC, at most 255 bytes and never empty. What
/// separates paths or streams, controls or reverses text is a `_`; Windows's devices get one before their name.
/// Its own result it gives again.
pub fn file_name(name: &str) -> String {
    let safe: String = name.nfc().map(|letter| if is_forbidden(letter) { '_' } else { letter }).collect();
    // Windows drops blanks and dots at the end; at the start they hide a file, and two of them are the folder above.
    let safe = safe.trim_matches(is_edge);
    let safe = if is_device(safe) { format!("_{safe}") } else { safe.to_owned() };
    let safe = shorten(&safe);
    if safe.is_empty() { "attachment".to_owned() } else { safe }
}

/// `{org}/{mailbox}/{sha256}/{file_name}`: the name is made safe here; the others are the caller's, two UUIDs and a hash
/// in hexadecimal digits.
pub fn storage_path(org: &str, mailbox: &str, sha256: &str, filename: &str) -> String {
    format!("{org}/{mailbox}/{sha256}/{}", file_name(filename))
}

fn is_forbidden(letter: char) -> bool {
    letter.is_control()
        // Unicode's own ends of lines and paragraphs.
        || matches!(letter, '\u{2028}' | '\u{2029}')
        || matches!(letter, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        // What reverses text shows `exe.jpg` for `gpj.exe`.
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_edge(letter: char) -> bool {
    letter == '.' || letter.is_whitespace()
}

/// Windows takes these for devices, whatever follows a dot
/// (<https://learn.microsoft.com/windows/win32/fileio/naming-a-file>).
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let port = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || port.is_some_and(|port| {
            let mut port = port.chars();
            matches!((port.next(), port.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
}

/// Cut before the extension.
fn shorten(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let dot = name.rfind('.').filter(|dot| name.len() - dot <= LONGEST_EXTENSION).unwrap_or(name.len());
    let (stem, extension) = name.split_at_checked(dot).unwrap_or((name, ""));
    let end = stem.floor_char_boundary(LONGEST - extension.len());
    format!("{}{extension}", stem.get(..end).unwrap_or_default().trim_end_matches(is_edge))
}
