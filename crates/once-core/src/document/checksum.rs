//! The checksum that tells a document: SHA-256 of its normalised text, which is hashed as it is made and never held whole.

use super::plain::{is_plain, is_plain_byte};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// How a document's text is made comparable before it is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalizer {
    /// A run of white space is one space, none is left at the ends, and the text is in NFC.
    #[default]
    Whitespace,
    /// As `Whitespace`, but a run with a line break in it is one line feed.
    KeepLines,
    /// The bytes as they are.
    Exact,
}

impl Normalizer {
    /// Every name that [`parse`](Self::parse) knows.
    pub const NAMES: [&str; 3] = ["whitespace", "keep_lines", "exact"];

    /// The normaliser called exactly `name`; `None` where there is no such.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Whitespace, Self::KeepLines, Self::Exact].into_iter().find(|normalizer| normalizer.name() == name)
    }

    /// One of [`NAMES`](Self::NAMES).
    pub fn name(self) -> &'static str {
        match self {
            Self::Whitespace => "whitespace",
            Self::KeepLines => "keep_lines",
            Self::Exact => "exact",
        }
    }

    /// What is stored beside a checksum: name and version, as `whitespace/1`. Two checksums can be compared where
    /// these are the same.
    ///
    /// The version stands for the Unicode version too: version 1 is White_Space and NFC of Unicode 18.0. Another one
    /// gives the same text for all characters that 18.0 has, but not for those that it has not.
    pub fn version(self) -> &'static str {
        match self {
            Self::Whitespace => "whitespace/1",
            Self::KeepLines => "keep_lines/1",
            Self::Exact => "exact/1",
        }
    }
}

/// What [`checksum`] finds out about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// SHA-256 of the normalised text, in 64 lower-case hex digits.
    pub hex: String,
    /// Whether there is nothing but white space, or nothing at all.
    pub blank: bool,
}

/// The checksum of `content` under `normalizer`. `pause` is called after every megabyte.
///
/// It takes a few kilobytes whatever the size of `content`, but for a run of combining marks that is not in NFC: sorting
/// one takes 12 to 24 bytes a mark, up to `LONG_RUN`.
pub fn checksum(content: &str, normalizer: Normalizer, pause: &mut dyn FnMut()) -> Checksum {
    let text = content.trim();
    let hash: [u8; 32] = match normalizer {
        Normalizer::Whitespace => Output::<false>::hash(text, pause),
        Normalizer::KeepLines => Output::<true>::hash(text, pause),
        Normalizer::Exact => {
            let mut hasher = Sha256::new();
            for bytes in content.as_bytes().chunks(MEGABYTE) {
                hasher.update(bytes);
                pause();
            }
            hasher.finalize().into()
        }
    };
    Checksum { hex: hex(hash), blank: text.is_empty() }
}

fn hex(hash: [u8; 32]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in hash {
        for digit in [byte >> 4, byte & 15] {
            hex.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    hex
}

const MEGABYTE: usize = 1 << 20;

/// Beyond so many bytes a run without white space or plain letters is hostile, if it is not in NFC: more than thirty marks
/// on one letter are parted in it then, as Unicode's Stream-Safe Text Format (UAX #15) has it, which bounds the memory that
/// NFC takes.
const LONG_RUN: usize = 1 << 20;

/// How many bytes are looked at together: a bit each in a `u64`.
const BLOCK: usize = 64;

/// The buffer's size; what a call of the hasher costs is nothing beside so much.
const BUFFER: usize = 4096;

/// The end of the normalised text, where white space may still grow by a line break and a letter be given an accent,
/// and the hash of all that goes before. `LINES`: line breaks are kept.
struct Output<const LINES: bool> {
    hasher: Sha256,
    buffer: [u8; BUFFER],
    len: usize,
}

impl<const LINES: bool> Output<LINES> {
    /// The hash of `text`, which neither begins nor ends with white space, made normal.
    ///
    /// White space is collapsed before the text is put in NFC, and not after: the order makes no difference, as white
    /// space is starters that compose with nothing, and decompose to white space alone, and nothing else does.
    fn hash(text: &str, pause: &mut dyn FnMut()) -> [u8; 32] {
        let mut output = Self { hasher: Sha256::new(), buffer: [0; BUFFER], len: 0 };
        let mut at = 0;
        while at < text.len() {
            let megabyte = at + MEGABYTE;
            while at < text.len().min(megabyte) {
                at = output.push_block(text, at, pause);
            }
            pause();
        }
        output.hasher.update(&output.buffer[..output.len]);
        output.hasher.finalize().into()
    }

    /// Appends the next 64 bytes, or what there is. Gives where the rest begins.
    fn push_block(&mut self, text: &str, at: usize, pause: &mut dyn FnMut()) -> usize {
        let rest = &text.as_bytes()[at..];
        let mut padded = [0; BLOCK];
        let (bytes, len) = match rest.first_chunk::<BLOCK>() {
            Some(bytes) => (bytes, BLOCK),
            None => {
                padded[..rest.len()].copy_from_slice(rest);
                (&padded, rest.len())
            }
        };
        let blank = bits(bytes, is_blank);
        let mut special = if bytes.is_ascii() { 0 } else { bits(bytes, |byte| !is_plain_byte(byte)) };
        self.make_room();
        if special == 0 && len == BLOCK && self.repeated(blank, 0) == 0 {
            let room = &mut self.buffer[self.len..self.len + BLOCK];
            for (out, &byte) in room.iter_mut().zip(bytes) {
                *out = collapsed::<LINES>(byte);
            }
            self.len += BLOCK;
            return at + BLOCK;
        }
        let block = Block::new::<LINES>(bytes, blank);
        let mut from = 0;
        while special != 0 {
            let found = special.trailing_zeros() as usize;
            special &= special - 1;
            if is_plain(&rest[found..]) {
                continue;
            }
            let run = Run::at(text, at + found);
            let next = run.end - at;
            if run.kind != Kind::Normal {
                self.push_plain(&block, from, found);
                match run.kind {
                    Kind::Blank => self.push_blank(&text[at + found..run.end]),
                    _ => self.push_composed(text, at + found, run.end, pause),
                }
                from = next;
            }
            if next >= len {
                if from < len {
                    self.push_plain(&block, from, len);
                    self.push(&rest[len..next]);
                }
                return run.end;
            }
            special &= u64::MAX << next;
        }
        self.push_plain(&block, from, len);
        at + len
    }

    /// Makes room for two blocks: one to append, and one that may be written after it and is not counted. The last
    /// character stays, as it may still change.
    fn make_room(&mut self) {
        if self.len + 2 * BLOCK > BUFFER {
            let hashed = (self.len - 4) / BLOCK * BLOCK;
            self.hasher.update(&self.buffer[..hashed]);
            self.buffer.copy_within(hashed..self.len, 0);
            self.len -= hashed;
        }
    }

    fn ends_blank(&self) -> bool {
        self.len > 0 && is_blank(self.buffer[self.len - 1])
    }

    /// Which white space of a block follows other white space, where `from` is the first byte that does.
    fn repeated(&self, blank: u64, from: usize) -> u64 {
        blank & (blank << 1 | u64::from(self.ends_blank()) << from)
    }

    /// Appends the bytes `from..to` of the block, plain characters all.
    fn push_plain(&mut self, block: &Block, mut from: usize, to: usize) {
        self.make_room();
        let repeated = self.repeated(block.blank, from);
        let lines = if LINES && repeated != 0 { bits(block.bytes, is_line) } else { 0 };
        while from < to {
            let kept = (from + (!repeated >> from).trailing_zeros() as usize).min(to);
            // What is left out of a run of white space may have its line break.
            if LINES && kept > from && lines >> from << (BLOCK + from - kept) != 0 {
                self.buffer[self.len - 1] = b'\n';
            }
            if kept == to {
                break;
            }
            from = (kept + (repeated >> kept).trailing_zeros() as usize).min(to);
            // Always a whole block, which is quicker than just what is kept.
            self.buffer[self.len..self.len + BLOCK].copy_from_slice(&block.collapsed[kept..kept + BLOCK]);
            self.len += from - kept;
        }
    }

    /// Appends white space that is not ASCII's.
    fn push_blank(&mut self, blank: &str) {
        if !self.ends_blank() {
            self.push(b" ");
        }
        if LINES && matches!(blank, "\u{85}" | "\u{2028}" | "\u{2029}") {
            self.buffer[self.len - 1] = b'\n';
        }
    }

    /// Appends `text[start..end]` in NFC; the character before it may get an accent from it.
    fn push_composed(&mut self, text: &str, start: usize, end: usize, pause: &mut dyn FnMut()) {
        let before = text[..start].chars().next_back().filter(|c| !c.is_whitespace()).map_or(0, char::len_utf8);
        self.len -= before;
        let run = text[start - before..end].chars();
        if end - start > LONG_RUN {
            for (number, c) in run.stream_safe().nfc().enumerate() {
                self.push(c.encode_utf8(&mut [0; 4]).as_bytes());
                if number % MEGABYTE == 0 {
                    pause();
                }
            }
        } else {
            run.nfc().for_each(|c| self.push(c.encode_utf8(&mut [0; 4]).as_bytes()));
        }
    }

    /// Appends what is not white space.
    fn push(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(BLOCK) {
            self.make_room();
            self.buffer[self.len..self.len + block.len()].copy_from_slice(block);
            self.len += block.len();
        }
    }
}

/// The bytes that are looked at together, and what was seen.
struct Block<'a> {
    bytes: &'a [u8; BLOCK],
    /// Where ASCII's white space is.
    blank: u64,
    /// The bytes with spaces and line feeds for all of ASCII's white space, and anything behind them.
    collapsed: [u8; 2 * BLOCK],
}

impl<'a> Block<'a> {
    fn new<const LINES: bool>(bytes: &'a [u8; BLOCK], blank: u64) -> Self {
        let mut block = Self { bytes, blank, collapsed: [0; 2 * BLOCK] };
        for (out, &byte) in block.collapsed.iter_mut().zip(bytes) {
            *out = collapsed::<LINES>(byte);
        }
        block
    }
}

/// The byte, or what stands for it where it is ASCII's white space.
fn collapsed<const LINES: bool>(byte: u8) -> u8 {
    match byte {
        _ if LINES && is_line(byte) => b'\n',
        _ if is_blank(byte) => b' ',
        _ => byte,
    }
}

/// A bit for each byte that `is` so, the first one's the lowest.
fn bits(bytes: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u64 {
    let flags = bytes.map(|byte| u8::from(is(byte)));
    let (words, _) = flags.as_chunks::<8>();
    // The product moves the lowest bits of eight bytes to the highest byte.
    let byte = |word: &[u8; 8]| u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    words.iter().rev().fold(0, |bits, word| bits << 8 | byte(word))
}

/// Whether the byte is ASCII's white space.
fn is_blank(byte: u8) -> bool {
    (byte == b' ') | (byte.wrapping_sub(b'\t') < 5)
}

/// Whether the byte is one of ASCII's line breaks.
fn is_line(byte: u8) -> bool {
    byte.wrapping_sub(b'\n') < 4
}

/// What begins at a character that is not plain.
struct Run {
    kind: Kind,
    /// Where it ends.
    end: usize,
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// One white space that is not ASCII's.
    Blank,
    /// Characters in NFC.
    Normal,
    /// Characters that may not be in NFC.
    Other,
}

impl Run {
    fn at(text: &str, start: usize) -> Self {
        let mut end = start;
        for c in text[start..].chars() {
            if c.is_whitespace() && end == start {
                return Self { kind: Kind::Blank, end: start + c.len_utf8() };
            }
            if c.is_whitespace() || is_plain(&text.as_bytes()[end..]) || (end - start > LONG_RUN && stands_alone(c)) {
                break;
            }
            end += c.len_utf8();
        }
        let normal = is_nfc_quick(text[start..end].chars()) == IsNormalized::Yes;
        Self { kind: if normal { Kind::Normal } else { Kind::Other }, end }
    }
}

/// Whether NFC leaves the character alone whatever is before it: a text can be parted there.
fn stands_alone(c: char) -> bool {
    canonical_combining_class(c) == 0 && is_nfc_quick(std::iter::once(c)) == IsNormalized::Yes
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::UNICODE_VERSION;
    use unicode_normalization::char::decompose_canonical;

    const ALL: [Normalizer; 3] = [Normalizer::Whitespace, Normalizer::KeepLines, Normalizer::Exact];

    const WHITE_SPACE: &str = "\t\n\u{B}\u{C}\r \u{85}\u{A0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\
        \u{2007}\u{2008}\u{2009}\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}";
    const LINE_BREAKS: &str = "\n\u{B}\u{C}\r\u{85}\u{2028}\u{2029}";

    /// Letters, marks and white space that do something to each other, and long ones that shift the others.
    const NASTY: [&str; 52] = [
        " ",
        " ",
        "  ",
        "\t",
        "\n",
        "\n",
        "\r\n",
        "\u{B}",
        "\u{85}",
        "\u{A0}",
        "\u{1680}",
        "\u{2000}",
        "\u{2001}",
        "\u{2028}",
        "\u{3000}",
        "\u{FEFF}",
        "\u{200B}",
        "a",
        "e",
        "A",
        "o",
        "\u{301}",
        "\u{301}",
        "\u{316}",
        "\u{327}",
        "\u{30A}",
        "\u{344}",
        "\u{345}",
        "é",
        "\u{1EAD}",
        "\u{212B}",
        "\u{37E}",
        "\u{958}",
        "\u{F73}",
        "\u{1D15E}",
        "\u{5E9}",
        "\u{5BC}",
        "\u{5C1}",
        "\u{FB2C}",
        "\u{1100}",
        "\u{1161}",
        "\u{11A8}",
        "\u{AC00}",
        "\u{304B}",
        "\u{3099}",
        "漢",
        "\u{1F600}",
        "\u{16D63}",
        "\u{16D67}",
        "\u{16D68}",
        "twenty seven bytes of text.",
        "über zwanzig schöne Bytes",
    ];

    fn checksum(content: &str, normalizer: Normalizer) -> Checksum {
        super::checksum(content, normalizer, &mut || ())
    }

    fn hex_of(content: &str, normalizer: Normalizer) -> String {
        checksum(content, normalizer).hex
    }

    fn same(one: &str, other: &str, normalizer: Normalizer) -> bool {
        hex_of(one, normalizer) == hex_of(other, normalizer)
    }

    fn plain_sha256(text: &str) -> String {
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The rules, as they are told.
    fn normalised(content: &str, normalizer: Normalizer) -> String {
        if normalizer == Normalizer::Exact {
            return content.into();
        }
        let mut text = String::new();
        for c in content.nfc() {
            let line = normalizer == Normalizer::KeepLines && LINE_BREAKS.contains(c);
            match (WHITE_SPACE.contains(c), text.chars().next_back()) {
                (true, Some(' ')) if line => text.replace_range(text.len() - 1.., "\n"),
                (true, Some(' ' | '\n')) => {}
                (true, _) => text.push(if line { '\n' } else { ' ' }),
                (false, _) => text.push(c),
            }
        }
        text.trim_matches([' ', '\n']).into()
    }

    fn check(content: &str) {
        for normalizer in ALL {
            let expected = plain_sha256(&normalised(content, normalizer));
            let end = &content[content.ceil_char_boundary(content.len().saturating_sub(300))..];
            assert_eq!(hex_of(content, normalizer), expected, "{normalizer:?}, {} bytes … {end:?}", content.len());
        }
    }

    /// A number below `limit`; the same ones in each run of the tests.
    fn random(state: &mut u64, limit: usize) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state % limit as u64).unwrap()
    }

    fn nasty(state: &mut u64, pieces: usize) -> String {
        (0..pieces).map(|_| NASTY[random(state, NASTY.len())]).collect()
    }

    #[test]
    fn checksums_are_what_other_programs_compute() {
        // From Python's unicodedata, re with the white space spelled out, and hashlib.
        let order = "\u{FEFF}  Bestellung\tNr. 7\r\n\r\n 3 × Cafe\u{301}\u{A0}au lait\u{2028} Größe: 5\u{202F}m\u{200B}\u{3000}\n";
        let hebrew = "\u{5E9}\u{5BC}\u{5C1}\u{5DC}\u{5D5}\u{5B9}\u{5DD}  \u{5E2}\u{5D5}\u{5DC}\u{5DD}\n";
        let korean = "\u{1112}\u{1161}\u{11AB}\u{1100}\u{116E}\u{11A8}\u{2003}語 \u{304B}\u{3099}\u{2029}\u{304D}";
        let lines: String = (0..1000).map(|i| format!("line {i},\twith  a\u{30A} and {}\r\n", i * i)).collect();
        let expected = [
            (
                order,
                "d9afcc026e3a4fe2df926ce7624e9e98f8057bd9d133a09f950bd5cb0a785fd2",
                "f1f6de7a353b36e8184db914df9895a025449648691be6ff605e42f0466df789",
                "0de46d9d8313800bbc1d7a5746fb420aacdb16e0c772af35ebf2396b7c1c45c6",
            ),
            (
                hebrew,
                "fd902f661b9e710a225bea9e5f901b42918332a790dba27bdafcc847b43f7ce3",
                "fd902f661b9e710a225bea9e5f901b42918332a790dba27bdafcc847b43f7ce3",
                "03e70b812239841da58d2cc71ff16a6cda4cf9a1c25f60162607a60d0efd2f55",
            ),
            (
                korean,
                "6690e065878be4b61cb14777da033f276ea17194987628dea8616456fc52a170",
                "4ca658db0f24509190f3dfc92b7f1f5483df4d7ba7b2cfa6aae952c37f930036",
                "5d0f6a6444a4191eb91e73d75426421e07f0e285b1873f3f8d1cec36747c1b93",
            ),
            (
                &lines,
                "3386dd7bd993063ebed19e9c9532f25d8be53e195743bd3084206e0e45b387a0",
                "b87d07f324d055f1f2bb8d4e5204d7f51f77a89ec0b2ba26a86e1d0e5c5845da",
                "76a792e484c29a24d835ca1998b892b9af87bbb8bc53022e574e73b9235553b7",
            ),
        ];
        for (text, whitespace, keep_lines, exact) in expected {
            assert_eq!(ALL.map(|normalizer| hex_of(text, normalizer)), [whitespace, keep_lines, exact]);
        }
        // From sha256sum.
        let hello = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        assert_eq!(ALL.map(|normalizer| hex_of("hello world", normalizer)), [hello; 3]);
        assert_eq!(hex_of("\thello\n\nworld ", Normalizer::Whitespace), hello);
        let kept = "26c60a61d01db5836ca70fefd44a6a016620413c8ef5f259a6c5612d4f79d3b8";
        assert_eq!(hex_of("\thello\n\nworld ", Normalizer::KeepLines), kept);
    }

    #[test]
    fn blank_documents_are_empty_ones() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; // sha256sum < /dev/null
        for text in ["", " ", "\r\n\t", WHITE_SPACE, &" \n".repeat(5000)] {
            for normalizer in ALL {
                let checksum = checksum(text, normalizer);
                assert!(checksum.blank);
                assert_eq!(checksum.hex == empty, normalizer != Normalizer::Exact || text.is_empty());
            }
        }
        assert!(
            ALL.iter().all(|&normalizer| !checksum(" x ", normalizer).blank && !checksum("\u{FEFF}", normalizer).blank)
        );
    }

    #[test]
    fn every_white_space_is_a_space_or_a_line_feed() {
        assert!(('\0'..=char::MAX).all(|c| c.is_whitespace() == WHITE_SPACE.contains(c)));
        for c in WHITE_SPACE.chars() {
            let broken = if LINE_BREAKS.contains(c) { "a\nb" } else { "a b" };
            for text in [format!("a{c}b"), format!("{c}a {c} b{c}{c}"), format!("a{c}{c}b ")] {
                assert_eq!(hex_of(&text, Normalizer::Whitespace), plain_sha256("a b"), "{text:?}");
                assert_eq!(hex_of(&text, Normalizer::KeepLines), plain_sha256(broken), "{text:?}");
            }
        }
        for c in "\u{FEFF}\u{200B}\u{180E}\u{2060}\0\u{1C}\u{1F}\u{7F}".chars() {
            let text = format!("{c}a{c}b{c}");
            assert_eq!(ALL.map(|normalizer| hex_of(&text, normalizer)), [0; 3].map(|_| plain_sha256(&text)), "{c:?}");
        }
    }

    #[test]
    fn line_ends_of_all_systems_are_the_same() {
        let unix = "one\ntwo\n\nthree\n";
        for other in
            [unix.replace('\n', "\r\n"), unix.replace('\n', "\r"), unix.replace("\n\n", "\n"), "\n ".to_owned() + unix]
        {
            assert!(same(unix, &other, Normalizer::KeepLines) && same(unix, &other, Normalizer::Whitespace));
            assert!(!same(unix, &other, Normalizer::Exact));
        }
        assert!(same("a \t \n \t b", "a\nb", Normalizer::KeepLines));
        assert!(!same("a\nb", "a b", Normalizer::KeepLines));
    }

    #[test]
    fn one_text_in_several_code_points_has_one_checksum() {
        let pairs = [
            ("caf\u{E9}", "cafe\u{301}"),
            ("\u{D55C}", "\u{1112}\u{1161}\u{11AB}"),
            ("\u{D55C}", "\u{D558}\u{11AB}"),
            ("\u{212B}", "\u{C5}"),
            ("\u{212B}", "A\u{30A}"),
            ("\u{5E9}\u{5BC}\u{5C1}", "\u{5E9}\u{5C1}\u{5BC}"),
            ("\u{FB2C}", "\u{5E9}\u{5C1}\u{5BC}"),
            ("a\u{2000}b", "a\u{2002}b"),
            ("\u{2F800}", "\u{4E3D}"),
            ("\u{1E9B}\u{323}", "\u{17F}\u{323}\u{307}"),
        ];
        for (one, other) in pairs {
            assert!(same(one, other, Normalizer::Whitespace) && same(one, other, Normalizer::KeepLines), "{one:?}");
            assert!(!same(one, other, Normalizer::Exact));
        }
        // White space keeps an accent from the letter before it, and itself has none.
        assert_eq!(hex_of("e\t\u{301}", Normalizer::Whitespace), plain_sha256("e \u{301}"));
        assert_eq!(hex_of("\t\u{301}", Normalizer::Whitespace), plain_sha256("\u{301}"));
    }

    #[test]
    fn what_is_taken_for_plain_is_left_alone_by_nfc() {
        let starter = |c: char| canonical_combining_class(c) == 0 && is_nfc_quick([c].into_iter()) == IsNormalized::Yes;
        for c in '\0'..=char::MAX {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).as_bytes();
            let plain = is_plain(bytes);
            assert!(plain || !is_plain_byte(bytes[0]), "{c:?}");
            if plain && !c.is_ascii() {
                let mut first = None;
                decompose_canonical(c, |part| _ = first.get_or_insert(part));
                assert!(starter(c) && first.is_some_and(starter) && !c.is_whitespace(), "{c:?}");
            }
        }
    }

    #[test]
    fn white_space_is_collapsed_before_or_after_nfc() {
        for c in '\0'..=char::MAX {
            decompose_canonical(c, |part| assert_eq!(part.is_whitespace(), c.is_whitespace(), "{c:?}"));
        }
        assert!(WHITE_SPACE.chars().all(|c| canonical_combining_class(c) == 0));
    }

    /// Where this fails, the versions of the normalisers must be raised if any character is treated differently now.
    #[test]
    fn the_unicode_version_is_the_normalisers() {
        assert_eq!(UNICODE_VERSION, (18, 0, 0));
    }

    #[test]
    fn random_texts_are_treated_as_the_rules_say() {
        let mut state = 1;
        for _ in 0..100_000 {
            let pieces = random(&mut state, 9);
            check(&nasty(&mut state, pieces));
        }
        for _ in 0..4000 {
            let pieces = random(&mut state, 60);
            check(&nasty(&mut state, pieces));
        }
        for _ in 0..20 {
            check(&nasty(&mut state, 4 * BUFFER / 10));
        }
    }

    #[test]
    fn nothing_depends_on_where_a_block_or_the_buffer_ends() {
        let mut state = 2;
        let filler = "ab c".repeat(BUFFER / 2);
        for before in (0..=2 * BLOCK + 2).chain(BUFFER - 2 * BLOCK..=BUFFER + BLOCK + 2) {
            let pairs = if before < BUFFER / 2 { 20 } else { 4 };
            for _ in 0..pairs {
                check(&format!("{}{}{}", &filler[..before], nasty(&mut state, 3), &filler[..before % 70]));
            }
            for piece in [
                "e\u{301}",
                "x\r\n y",
                "é \n",
                "\u{5E9}\u{5C1}\u{5BC}",
                "\u{1F600}\u{301}",
                "\u{2028} \u{301}",
                "x\u{3000}",
            ] {
                check(&format!("{}{piece}{}", &filler[..before], &filler[..before % 70]));
            }
        }
    }

    #[test]
    fn long_runs_are_one_run() {
        let marks: String = (0..100_000).map(|i| ['\u{301}', '\u{316}', '\u{5B0}', '\u{345}'][i * i % 7 % 4]).collect();
        for run in ["\u{301}".repeat(10_000), marks, " \t".repeat(10_000) + "\n\u{2009}", "\u{3000}".repeat(5000)] {
            check(&format!("a{run}b{run}"));
        }
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for (normalizer, name) in ALL.into_iter().zip(Normalizer::NAMES) {
            assert_eq!((Normalizer::parse(name), normalizer.name()), (Some(normalizer), name));
            assert_eq!(serde_json::to_value(normalizer).unwrap(), name);
            assert_eq!(normalizer.version(), format!("{name}/1"));
        }
        assert_eq!(Normalizer::default(), Normalizer::Whitespace);
        assert_eq!(["Exact", "", "keep lines"].map(Normalizer::parse), [None; 3]);
    }

    /// A run without white space or plain letters is parted where that changes nothing.
    #[test]
    fn long_runs_are_hashed_as_short_ones() {
        let unit = "\u{12000}\u{1D15E}\u{5D0}\u{5BC}\u{5B4}\u{301}\u{327}\u{F73}\u{16D67}\u{16D67}";
        let long = unit.repeat(3 * LONG_RUN / unit.len());
        for normalizer in ALL {
            assert_eq!(hex_of(&long, normalizer), plain_sha256(&normalised(&long, normalizer)), "{normalizer:?}");
        }
    }

    /// Marks without an end are parted, which bounds the memory, and are called back for.
    #[test]
    fn a_million_marks_are_hashed_in_parts() {
        let marks = format!("a{}", "\u{301}\u{316}".repeat(LONG_RUN));
        let parted: String = marks.chars().stream_safe().nfc().collect();
        let mut pauses = 0;
        let sum = super::checksum(&marks, Normalizer::Whitespace, &mut || pauses += 1);
        assert_eq!(sum.hex, plain_sha256(&parted));
        assert!(pauses > 1, "{pauses}");
    }
}
