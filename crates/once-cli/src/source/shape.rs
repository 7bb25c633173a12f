//! What kind of CSV a file is, told by its beginning.

use std::fmt;
use std::path::Path;

use encoding_rs::{Encoding, UTF_8};

use super::{Reading, problem};
use crate::error::Result;

/// How to read a file.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub encoding: &'static Encoding,
    /// The bytes of a byte order mark, 0 without one.
    pub bom: usize,
    pub delimiter: u8,
    pub line_ends: LineEnds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnds {
    Lf,
    CrLf,
    Cr,
}

const DELIMITERS: [u8; 4] = *b",;\t|";

impl Shape {
    /// The shape of the file that begins with `head`.
    ///
    /// # Errors
    /// Where it is no text.
    pub fn of(path: &Path, head: &[u8], reading: &Reading) -> Result<Self> {
        let mark = Encoding::for_bom(head);
        let encoding = mark.map(|(encoding, _)| encoding).or(reading.encoding).unwrap_or(UTF_8);
        if mark.is_none() && reading.encoding.is_none() && looks_like_utf16(head) {
            return Err(problem(path, Some(1), "every second byte is 0, as in UTF-16 without a byte order mark")
                .hint("Read it with --encoding utf-16le (or utf-16be), or save it as UTF-8."));
        }
        let bom = mark.map_or(0, |(_, length)| length);
        let text = if encoding == UTF_8 {
            String::from_utf8_lossy(&head[bom..])
        } else {
            encoding.decode_without_bom_handling(&head[bom..]).0
        };
        let delimiter = reading.delimiter.unwrap_or_else(|| delimiter_of(&text));
        Ok(Self { encoding, bom, delimiter, line_ends: line_ends_of(&text) })
    }

    /// The encoding as people call it.
    pub fn encoding_name(&self) -> String {
        let name = self.encoding.name();
        if self.bom > 0 { format!("{name}, BOM") } else { name.into() }
    }

    /// The delimiter as people call it.
    pub fn delimiter_name(&self) -> String {
        if self.delimiter == b'\t' { "tab".into() } else { char::from(self.delimiter).to_string() }
    }
}

fn looks_like_utf16(head: &[u8]) -> bool {
    let pairs = head.len() / 2;
    let zeros = |offset: usize| head.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    pairs > 2 && (zeros(0) * 10 > pairs * 8 || zeros(1) * 10 > pairs * 8)
}

/// What parts the header's cells: of the usual ones that which is there most often, outside of quotes.
fn delimiter_of(text: &str) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    let header = text.trim_start_matches(['\r', '\n']).bytes();
    for byte in header.take_while(|byte| !b"\r\n".contains(byte)) {
        match DELIMITERS.iter().position(|d| *d == byte) {
            _ if byte == b'"' => quoted = !quoted,
            Some(at) if !quoted => counts[at] += 1,
            _ => {}
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    counts.iter().position(|count| *count == most).and_then(|at| DELIMITERS.get(at)).copied().unwrap_or(b',')
}

fn line_ends_of(text: &str) -> LineEnds {
    match text.find(['\r', '\n']) {
        Some(at) if text[at..].starts_with("\r\n") => LineEnds::CrLf,
        Some(at) if text[at..].starts_with('\r') => LineEnds::Cr,
        _ => LineEnds::Lf,
    }
}

impl fmt::Display for LineEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lf => "LF",
            Self::CrLf => "CRLF",
            Self::Cr => "CR",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(head: &[u8]) -> Shape {
        Shape::of(Path::new("a.csv"), head, &Reading::default()).unwrap()
    }

    #[test]
    fn delimiters_are_counted_outside_of_quotes() {
        assert_eq!(shape(b"a,b,c\n1,2,3").delimiter, b',');
        assert_eq!(shape(b"a;\"b,c,d,e\";f\n").delimiter, b';');
        assert_eq!(shape(b"\n\na\tb\n1,2,3,4\n").delimiter, b'\t');
        assert_eq!(shape(b"code\n").delimiter, b',');
    }

    #[test]
    fn marks_and_line_ends_are_seen() {
        let marked = shape(b"\xef\xbb\xbfcode\r\nA\r\n");
        assert_eq!((marked.encoding.name(), marked.bom, marked.line_ends), ("UTF-8", 3, LineEnds::CrLf));
        let wide = shape(b"\xff\xfec\0;\0d\0\r\0");
        assert_eq!((wide.encoding.name(), wide.delimiter, wide.line_ends), ("UTF-16LE", b';', LineEnds::Cr));
        assert!(Shape::of(Path::new("a.csv"), b"c\0o\0d\0e\0\n\0", &Reading::default()).is_err());
    }
}
