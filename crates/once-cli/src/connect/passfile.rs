//! Password files: lines `host:port:database:user:password`, `*` for any, `\` before `:` and `\`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Reads a password file. One that others may read or that is no plain file is not used, with a warning;
/// one that doesn't exist or can't be opened is not used either.
pub fn read(path: &Path, warnings: &mut Vec<String>) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() {
        warnings.push(format!("the password file {} is not a plain file, and is ignored", path.display()));
        return None;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        warnings.push(format!(
            "the password file {} can be read by others, and is ignored; run: chmod 600 {0}",
            path.display()
        ));
        return None;
    }
    std::fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The password of the first line that matches host, port, database and user.
pub fn lookup(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for value in wanted {
            let (field, after) = split(rest)?;
            if field != "*" && unescape(field) != value {
                return None;
            }
            rest = after;
        }
        let password = unescape(split(rest).map_or(rest, |(password, _)| password));
        Some(password)
    })
}

/// Splits at the first colon that no backslash precedes.
fn split(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b':' if !escaped => return Some((&text[..at], &text[at + 1..])),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

fn unescape(field: &str) -> String {
    let mut plain = String::new();
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "#*:*:*:*:comment\nbroken line\ndb.example.com:5432:codes:alice:first\n\
                        db.example.com:*:codes:*:second\nlocalhost:5432:*:alice:sock\\:et\\\\\n\
                        \\:\\:1:5432:co\\:des:alice:six\n*:*:*:bob:any:thing\n*:*:*:eve:\r\n";

    fn find(host: &str, port: &str, database: &str, user: &str) -> Option<String> {
        lookup(FILE, [host, port, database, user])
    }

    #[test]
    fn the_first_matching_line_counts() {
        assert_eq!(find("db.example.com", "5432", "codes", "alice").as_deref(), Some("first"));
        assert_eq!(find("db.example.com", "5433", "codes", "alice").as_deref(), Some("second"));
        assert_eq!(find("db.example.com", "5432", "other", "alice"), None);
        assert_eq!(find("x", "1", "y", "bob").as_deref(), Some("any"));
        assert_eq!(find("x", "1", "y", "eve").as_deref(), Some(""));
        assert_eq!(find("x", "1", "y", "zoe"), None);
    }

    #[test]
    fn backslashes_escape() {
        assert_eq!(find("localhost", "5432", "codes", "alice").as_deref(), Some("sock:et\\"));
        assert_eq!(find("::1", "5432", "co:des", "alice").as_deref(), Some("six"));
    }

    #[test]
    fn files_of_others_are_ignored() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut warnings = Vec::new();
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(file.path(), &mut warnings), None);
        }
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0].contains("chmod 600"));
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(file.path(), &mut warnings).is_some());
        assert_eq!(read(Path::new("/no/such/file"), &mut warnings), None);
        assert_eq!(warnings.len(), 3);
    }
}
