//! The checksum that tells a document: SHA-256 of its normalised text, which is hashed as it is made and never held whole.

use super::plain::{is_plain, is_plain_byte};
use crate::sha256::hex;
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
#[path = "checksum_tests.rs"]
mod tests;
