//! SHA-256 as texts.

use sha2::{Digest as _, Sha256};

/// The SHA-256 of these pieces, one after the other, in 64 lower-case hex digits.
pub fn sha256(pieces: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    pieces.iter().for_each(|piece| hasher.update(piece));
    hex(hasher.finalize().into())
}

/// A hash in 64 lower-case hex digits.
pub fn hex(hash: [u8; 32]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in hash {
        for digit in [byte >> 4, byte & 15] {
            hex.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    hex
}
