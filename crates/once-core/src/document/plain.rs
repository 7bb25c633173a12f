//! Characters that normalising leaves alone, to be told quickly.

/// Whether the byte is within a character, or all characters that begin with it are plain.
pub fn is_plain_byte(byte: u8) -> bool {
    (byte < 0xC2) | matches!(byte, 0xC3..=0xCB | 0xCF..=0xD1 | 0xD3..=0xD5 | 0xDA | 0xE4..=0xE9 | 0xEB..=0xEE)
}

/// Whether the character at the beginning of `bytes` is plain: one that NFC leaves alone whatever is before it, that
/// nothing before it is changed by, and that is no white space but ASCII's. Some plain characters of rarer scripts are
/// not known here; text in these is right, too, and slower.
pub fn is_plain(bytes: &[u8]) -> bool {
    let low = |byte: u8| usize::from(byte & 0x3F);
    let (page, bit) = match *bytes {
        [0..0x80, ..] => return true,
        [lead @ 0xC0..0xE0, last, ..] => (usize::from(lead & 0x1F), low(last)),
        [lead @ 0xE0..0xF0, middle, last, ..] => (usize::from(lead & 0x0F) << 6 | low(middle), low(last)),
        [0xF0, 0x9F, ..] => return true,
        _ => return false,
    };
    PLAIN[page] >> bit & 1 != 0
}

/// A bit for each character up to U+FFFF.
static PLAIN: [u64; 1024] = {
    let mut plain = [0; 1024];
    let mut range = 0;
    while range < PLAIN_RANGES.len() {
        let [first, last] = PLAIN_RANGES[range];
        let mut c = first as usize;
        while c <= last as usize {
            plain[c >> 6] |= 1 << (c & 0x3F);
            c += 1;
        }
        range += 1;
    }
    plain
};

/// The first and the last character of each range: Latin, Greek, Cyrillic, Armenian, Hebrew and Arabic; the scripts of
/// India, Thai, Lao, Georgian and Hangul's initials, Ethiopic; more Latin and Greek; signs; kana, Han, Yi; Hangul,
/// private use, wide forms.
const PLAIN_RANGES: [[u16; 2]; 45] = [
    [0xA1, 0x2FF],
    [0x388, 0x482],
    [0x48A, 0x590],
    [0x5CA, 0x60F],
    [0x61B, 0x64A],
    [0x660, 0x66F],
    [0x671, 0x6D5],
    [0x904, 0x93B],
    [0x93D, 0x94C],
    [0x960, 0x9BB],
    [0x9BF, 0x9CC],
    [0x9E0, 0x9FD],
    [0x9FF, 0xA32],
    [0xA3D, 0xA4C],
    [0xA5F, 0xABB],
    [0xABD, 0xACC],
    [0xACE, 0xB3B],
    [0xB3F, 0xB4C],
    [0xB5E, 0xBBD],
    [0xBBF, 0xBCC],
    [0xBD8, 0xC3B],
    [0xC3D, 0xC4C],
    [0xC57, 0xCBB],
    [0xCD7, 0xD3A],
    [0xD3F, 0xD4C],
    [0xD58, 0xDC9],
    [0xDE0, 0xE37],
    [0xE3B, 0xE47],
    [0xE4C, 0xEB7],
    [0xEBB, 0xEC7],
    [0x108E, 0x1160],
    [0x11C3, 0x135C],
    [0x1360, 0x167F],
    [0x1E00, 0x1F70],
    [0x200B, 0x2027],
    [0x2030, 0x205E],
    [0x2060, 0x20CF],
    [0x2190, 0x2328],
    [0x232B, 0x2ADB],
    [0x3001, 0x3029],
    [0x3030, 0x3098],
    [0x309B, 0xA66E],
    [0xAC00, 0xD7FF],
    [0xE000, 0xF8FF],
    [0xFE30, 0xFFFF],
];
