//! Bytes out of base64 and quoted-printable, and texts out of bytes.

use charset::Charset;
use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

/// In bytes; a longer name is none of IANA's.
const LONGEST_CHARSET: usize = 75;

/// What stands for no sextet in [`SEXTETS`].
const NONE: u8 = 0xff;

/// Both alphabets of RFC 4648: `+/` and `-_`.
const SEXTETS: [u8; 256] = {
    let mut table = [NONE; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut value = 0;
    while value < 62 {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table[b'+' as usize] = 62;
    table[b'-' as usize] = 62;
    table[b'/' as usize] = 63;
    table[b'_' as usize] = 63;
    table
};

/// base64 of JSON (RFC 4648, 4 and 5): with padding or without, in lines or not. `None` where it is anything else.
pub fn base64url(text: &str) -> Option<Vec<u8>> {
    let (bytes, clean) = base64(text.as_bytes());
    clean.then_some(bytes)
}

/// base64 of mail (RFC 2045, 6.8): what is not of its alphabet is passed over.
pub fn base64_lenient(text: &[u8]) -> Vec<u8> {
    base64(text).0
}

/// The bytes, and whether nothing was passed over but white space and padding.
fn base64(text: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut clean, mut padded) = (true, false);
    let (mut bits, mut count) = (0u32, 0u32);
    let mut rest = text;
    loop {
        // Four at a time, wherever nothing is between them.
        while count == 0
            && let [a, b, c, d, tail @ ..] = rest
        {
            let [a, b, c, d] = [a, b, c, d].map(|byte| SEXTETS[usize::from(*byte)]);
            // A sextet has no high bits.
            if a | b | c | d > 63 {
                break;
            }
            clean &= !padded;
            let [_, quantum @ ..] =
                (u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d)).to_be_bytes();
            bytes.extend_from_slice(&quantum);
            rest = tail;
        }
        let Some((byte, tail)) = rest.split_first() else { break };
        rest = tail;
        match SEXTETS[usize::from(*byte)] {
            NONE if *byte == b'=' => {
                // Padding ends a text; texts that were put one after another go on.
                padded = true;
                clean &= flush(&mut bytes, bits, count);
                (bits, count) = (0, 0);
            }
            NONE => clean &= byte.is_ascii_whitespace(),
            sextet => {
                clean &= !padded;
                (bits, count) = (bits << 6 | u32::from(sextet), count + 1);
                if count == 4 {
                    let [_, quantum @ ..] = bits.to_be_bytes();
                    bytes.extend_from_slice(&quantum);
                    (bits, count) = (0, 0);
                }
            }
        }
    }
    clean &= flush(&mut bytes, bits, count);
    (bytes, clean)
}

/// Writes the bytes of `count` sextets, fewer than four; `false` for a single one, which is less than a byte.
fn flush(bytes: &mut Vec<u8>, bits: u32, count: u32) -> bool {
    match (count, (bits << (6 * (4 - count.clamp(1, 4)))).to_be_bytes()) {
        (2, [_, first, ..]) => bytes.push(first),
        (3, [_, first, second, _]) => bytes.extend_from_slice(&[first, second]),
        _ => {}
    }
    count != 1
}

/// quoted-printable (RFC 2045, 6.7). What is no escape stays as it is.
pub fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        // White space at a line's end is of the transport.
        let content = line.trim_ascii_end();
        if let Some(soft) = content.strip_suffix(b"=") {
            unescape(soft, b'=', &mut bytes);
        } else {
            unescape(content, b'=', &mut bytes);
            let end = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(line);
            bytes.extend_from_slice(line.get(end.len()..).unwrap_or_default());
        }
    }
    bytes
}

/// The encoding `Q` of an encoded word (RFC 2047, 4.2).
pub fn q(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    unescape(text.replace('_', " ").as_bytes(), b'=', &mut bytes);
    bytes
}

/// Percent encoding of a header's parameter (RFC 2231, 4).
pub fn percent(text: &str, bytes: &mut Vec<u8>) {
    unescape(text.as_bytes(), b'%', bytes);
}

fn unescape(text: &[u8], escape: u8, bytes: &mut Vec<u8>) {
    let mut pieces = text.split(|byte| *byte == escape);
    bytes.extend_from_slice(pieces.next().unwrap_or_default());
    for piece in pieces {
        if let [high, low, after @ ..] = piece
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            bytes.push(high << 4 | low);
            bytes.extend_from_slice(after);
        } else {
            bytes.push(escape);
            bytes.extend_from_slice(piece);
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The text of `bytes` in `charset`, a name of IANA's registry; whatever is wrong about either, some text is given.
/// Without a charset, or with one that is not known, it is UTF-8, or else windows-1252, in which each byte stays itself.
pub fn text<'a>(bytes: &'a [u8], charset: Option<&str>) -> Cow<'a, str> {
    let charset = charset.map_or(Named::Unknown, named);
    without_nul(match (charset, str::from_utf8(bytes)) {
        // The mark that such a text may begin with says the order of its bytes.
        (Named::Known(charset), _) if charset.name().starts_with("UTF-16") => charset.decode(bytes).0,
        (Named::Known(charset), _) if charset.name() != "UTF-8" => charset.decode_without_bom_handling(bytes).0,
        (Named::Other(decode), _) if !bytes.is_empty() => Cow::Owned(decode(bytes)),
        (_, Ok(text)) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        (Named::Known(_) | Named::Other(_), Err(_)) => String::from_utf8_lossy(bytes),
        (Named::Unknown, Err(_)) => match Charset::for_label(b"windows-1252") {
            Some(charset) => charset.decode_without_bom_handling(bytes).0,
            None => String::from_utf8_lossy(bytes),
        },
    })
}

enum Named {
    Known(Charset),
    Other(fn(&[u8]) -> String),
    Unknown,
}

fn named(name: &str) -> Named {
    let quote = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    // A comment may follow (RFC 2045, 5.1).
    let name = name.trim_start_matches(quote).split(|c: char| quote(c) || c == '(' || c == ';').next();
    let name = name.filter(|name| name.len() <= LONGEST_CHARSET).unwrap_or_default().to_ascii_lowercase();
    // No replacement: the 7-bit charsets that browsers give up as a whole have ASCII that can be read.
    let known = |label: &str| Charset::for_label_no_replacement(label.as_bytes()).map(Named::Known);
    let label = match name.as_str() {
        // What says ASCII says nothing about the other bytes.
        "us-ascii" | "ascii" | "ansi_x3.4-1968" => return Named::Unknown,
        // Microsoft's numbers, which only some of the labels have.
        "cp932" => "shift_jis",
        "cp936" => "gbk",
        "cp949" => "euc-kr",
        "cp950" => "big5",
        "csutf7" => "utf-7",
        name => name,
    };
    let replaced = || {
        let names = ["iso-2022-kr", "csiso2022kr", "iso-2022-cn", "iso-2022-cn-ext", "hz-gb-2312", "replacement"];
        names.contains(&label.replace('_', "-").as_str())
    };
    // mail-parser knows more names, and one of DOS's charsets.
    known(label)
        .or_else(|| charset_decoder(label.as_bytes()).filter(|_| !replaced()).map(Named::Other))
        .unwrap_or(Named::Unknown)
}

/// Postgres's texts have no NUL.
pub fn without_nul(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { text }
}
